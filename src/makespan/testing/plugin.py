"""The pytest plugin, loaded by its entry point wherever makespan is installed: fixtures for workflows.

def test_the_order_ships(run_workflow): assert run_workflow(order("o1"), crash_at="each").output == "shipped"
def test_the_answer(run_workflow, cassette): ...           run_workflow(ask("why?"), models={"default": cassette()})

It imports nothing of the engine before a fixture is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from makespan.models.recorded import Recorded
    from makespan.ports import Model

FOLDER = "cassettes"
RECORD = "MAKESPAN_RECORD"
"""Set to 1: what a cassette does not hold yet is asked of the real model, and written down."""


@pytest.fixture
def run_workflow() -> Callable[..., Any]:
    """`makespan.testing.run`."""
    from makespan.testing.running import run

    return run


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Callable[..., Recorded]:
    """`cassette(model)`: a model whose answers are kept in `cassettes/<module>.<test>.jsonl` beside the test.

    The model may be left out for playing back. What the file does not hold is an error that says how to record it.
    """
    from makespan.models.recorded import Recorded

    path = Path(request.path).parent / FOLDER / f"{request.path.stem}.{request.node.name}.jsonl".replace(os.sep, "_")

    def make(model: Model | None = None, *, name: str = "recorded") -> Recorded:
        if os.environ.get(RECORD) == "1" and model is not None:
            path.parent.mkdir(exist_ok=True)
            return Recorded(path, "auto", model=model, name=name)
        return Recorded(path, "replay", name=name)

    return make
