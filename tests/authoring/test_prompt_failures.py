"""A prompt's function that raises fails its task: the run and the workflow go on."""

from __future__ import annotations

import makespan as ms
from makespan.errors import TaskError
from makespan.models.scripted import Scripted
from makespan.testing import run


@ms.prompt()
def share(of: int) -> str:
    ms.chat(f"What is {100 / of} %?")


@ms.workflow
async def ask_or_not(of: int) -> str:
    try:
        return await share(of)
    except TaskError as error:
        return f"caught: {error}"


def test_a_prompt_whose_function_raises_fails_its_task_with_the_reason() -> None:
    model = Scripted("much")

    assert run(ask_or_not(4), models=model).output == "much"
    assert (
        "the prompt share cannot be asked, its function raised ZeroDivisionError"
        in run(ask_or_not(0), models=model).output
    )
    assert len(model.calls) == 1
