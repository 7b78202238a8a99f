"""The code agent: failures go back to the model, tries run beside each other in worktrees of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples import codefix
from makespan.models.scripted import Scripted, prompt_text
from makespan.ports import ModelRequest
from makespan.testing import running


def learning(request: ModelRequest) -> str:
    """First, last, and only then the middle one."""
    asked = prompt_text(request)
    item = "first" if "first was wrong" not in asked else "last" if "last was wrong" not in asked else "middle"
    return f'{{"value": "{item}"}}'


def test_the_tests_results_lead_to_the_fix_wherever_it_is_killed() -> None:
    verdicts = {"first": "AssertionError: wrong item", "last": "AssertionError: wrong item", "middle": ""}

    done = running.run(
        codefix.fix("middle([1, 2, 3]) must be 2"),
        fakes={codefix.run_tests: verdicts.__getitem__},
        models=Scripted(learning),
        crash_at="each",
    )

    assert done.output == "middle"


@pytest.mark.parametrize(("item", "problem"), [("first", "wrong item"), ("last", "wrong item"), ("middle", "")])
def test_a_patch_is_tested_for_real(item: codefix.Patch, problem: str, tmp_path: Path) -> None:
    assert codefix.run_tests.fn(item, tmp_path).endswith(problem)
    assert (tmp_path / "check.py").exists()


@pytest.mark.slow
def test_the_whole_of_it_mends_the_function() -> None:
    model = Scripted(learning)

    done = running.run(codefix.fix("middle([1, 2, 3]) must be 2"), models=model)

    assert done.output == "middle"
    assert "first was wrong: AssertionError: wrong item" in prompt_text(model.calls[-1])


def test_tries_that_all_give_up_say_what_was_wrong() -> None:
    done = running.run(
        codefix.fix("middle([1, 2, 3]) must be 2"),
        fakes={codefix.run_tests: lambda item: "AssertionError: never right"},
        models=Scripted('{"value": "first"}'),
    )

    assert done.status == "failed"
    assert "not mended; first was wrong: AssertionError: never right" in str(done.error)
