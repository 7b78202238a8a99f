"""`undo=` and `ms.scope(undo=True)`: what is refused before anything runs, and what a declaration says."""

from __future__ import annotations

from typing import Any

import pytest

import makespan as ms
from makespan.authoring.trace import trace
from makespan.machine.compensation import code_targets
from makespan.machine.state import State
from tests.machine.driver import Life


@ms.task
def unbook(ref: str, note: str = "") -> None:
    return None


@ms.task(undo=unbook)
def book(kind: str) -> str:
    return kind


def declared(undo: Any, **options: Any) -> Any:
    """Declare a booking with this undo: errors come at its first use."""

    @ms.task(undo=undo, **options)
    def hire(kind: str) -> str:
        return kind

    return hire.declaration


def test_the_declaration_says_which_task_takes_the_result_as_what() -> None:
    undo = book.declaration.undo

    assert undo is not None
    assert (undo.declaration.key, undo.parameter) == ("unbook", "ref")
    assert undo.target.endswith(":unbook")
    assert undo.undone.endswith(":book")


def test_an_undo_that_cannot_take_the_result_is_refused_with_both_ends() -> None:
    @ms.task
    def refund(usd: float) -> None: ...

    with pytest.raises(
        ms.GraphError, match=r"refund undoes .*hire.*'usd' cannot take the result.*str does not fit float"
    ):
        declared(refund)


def test_an_undo_that_needs_more_than_the_result_is_refused() -> None:
    @ms.task
    def refund(ref: str, usd: float) -> None: ...

    with pytest.raises(ms.GraphError, match="gets its result only: give its parameter 'usd' a default"):
        declared(refund)


def test_an_undo_without_parameters_is_refused() -> None:
    @ms.task
    def panic() -> None: ...

    with pytest.raises(ms.GraphError, match="takes no parameter"):
        declared(panic)


def test_an_undo_is_a_task_not_a_function_and_not_a_workflow() -> None:
    @ms.workflow
    async def cleaning(ref: str) -> None: ...

    with pytest.raises(ms.GraphError, match="it is a task: its first parameter takes the result"):
        declared(lambda ref: None)
    with pytest.raises(ms.GraphError, match="it must be a task, not a workflow"):
        declared(cleaning)


def test_a_pure_or_cached_task_has_nothing_to_undo() -> None:
    with pytest.raises(ms.GraphError, match="is pure, so there is nothing"):
        declared(unbook, effect="pure")
    with pytest.raises(ms.GraphError, match="was made by another run"):
        declared(unbook, cache_s=60)


def test_a_plain_workflow_has_no_undo_of_its_own() -> None:
    @ms.workflow(undo=unbook)
    def package(kind: str) -> str:
        return book(kind)

    with pytest.raises(ms.GraphError, match="its tasks join the caller's graph"):
        trace(package("tour")._unbound)  # type: ignore[arg-type]


def test_two_tasks_may_undo_each_other_and_an_undo_is_not_undone() -> None:
    @ms.task
    def close(ref: str) -> str:
        return ref

    opening = ms.task(undo=close)(lambda_free_open)
    both = close.options(undo=opening)

    assert both.declaration.undo is not None
    assert both.declaration.undo.declaration.undo is None
    assert opening.declaration.undo is not None


def lambda_free_open(ref: str) -> str:
    return ref


def test_another_undo_at_the_call_makes_it_another_call() -> None:
    @ms.task
    def refund(ref: str) -> None: ...

    @ms.workflow
    def two() -> list[str]:
        return ms.gather(book("a"), book.options(undo=refund)("a"), book.options(undo=unbook)("a"))

    nodes = trace(two()._unbound).template.nodes  # type: ignore[arg-type]

    assert len({node.id for node in nodes if node.key == "book"}) == 3


def test_the_code_of_an_undo_is_known_to_the_run_that_may_need_it() -> None:
    @ms.workflow
    def one() -> str:
        return book("a")

    life = Life(one()).run()
    state: State = life.state

    assert "unbook" in life.registry
    assert code_targets(state) == {"book": book.target, "unbook": unbook.target}


def test_a_scope_says_whether_it_undoes_as_true_or_false() -> None:
    with pytest.raises(ms.GraphError, match="it is True or False; the task that undoes is an option"):
        ms.scope("booking", undo=unbook)  # type: ignore[arg-type]


def test_an_async_workflow_writes_async_with() -> None:
    @ms.workflow
    async def hasty() -> str:
        with ms.scope("booking", undo=True):
            return await book("a")

    life = Life(hasty()).run()

    assert life.state.error is not None
    assert "write `async with ms.scope('booking', undo=True)`" in life.state.error.message
