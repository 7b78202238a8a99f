"""Two of five: the first two approvals decide, and where there is only one, nothing is accepted."""

from __future__ import annotations

from collections.abc import Callable

from examples import quorum
from makespan.errors import ProviderError
from makespan.models.scripted import Scripted, prompt_text
from makespan.ports import ModelRequest
from makespan.testing import running


def view_of(request: ModelRequest) -> str:
    return next(view for view in quorum.VIEWS if f"its {view}" in prompt_text(request))


def approving(*views: str) -> Callable[[ModelRequest], str]:
    """Reviewers of whom these approve."""

    def answer(request: ModelRequest) -> str:
        view = view_of(request)
        return f'{{"approve": {"true" if view in views else "false"}, "why": "{view}"}}'

    return answer


def seconds(request: ModelRequest) -> float:
    """One second for the first view, five for the last."""
    return 1.0 + quorum.VIEWS.index(view_of(request))


def test_the_first_two_that_approve_decide_and_nobody_waits_for_the_rest() -> None:
    model = Scripted(approving("speed", "cost", "privacy"), latency_s=seconds)

    done = running.run(quorum.quorum("Add an index."), models=model, crash_at="each")

    assert done.output == "accepted: speed; cost"
    assert 3.0 <= done.makespan_s < 4.0


def test_one_approval_is_no_quorum() -> None:
    done = running.run(quorum.quorum("Drop the table."), models=Scripted(approving("cost")), crash_at="each")

    assert done.output == "no quorum for: Drop the table."


def test_a_reviewer_that_fails_does_not_approve() -> None:
    faults = {call: ProviderError("ill", kind="refused", retryable=False) for call in range(3)}
    model = Scripted(approving(*quorum.VIEWS), faults=faults)

    done = running.run(quorum.quorum("Add an index."), models=model)

    assert done.output.startswith("accepted: ")
    assert len(model.calls) == 5
