"""ThreadWeaver: an answer that forks where the model says so; its threads are written at once, then it goes on.

    main ── text <Parallel><Outlines> 1 2 3 </Outlines> ─┬─ thread 1 (may fork again) ─┬─ joined, in order ── main ──▶
                                                         ├─ thread 2 ──────────────────┤
                                                         └─ thread 3 ──────────────────┘

Source: Lian et al., "ThreadWeaver: Adaptive Threading for Efficient Parallel Reasoning" (2025), the client's side of
its text protocol. Parts: `planners.formats.threads` reads the tags; a call of the model is a task of the run, so a run
that is cut goes on with what was written. What differs: a thread sees its own outline only, not those of its siblings;
threads fork again; tags out of order, in the answer or in a thread, make the rest of the answer serial, in one call,
and no text is lost.
Measured by `pytest tests/recipes/test_threadweaver.py`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import msgspec

import makespan as ms
from makespan.authoring.task import Task
from makespan.planners.asking import asked_of
from makespan.planners.formats.threads import Fork, ThreadReader, parse
from makespan.planners.steps import Problem

MAX_DEPTH = 4
"""Forks inside threads of forks; an answer with deeper ones is written serially from its outermost fork on."""
MAX_FORKS = 32
"""Forks of one answer; one with more is written serially from there on."""
MAX_TOKENS = 4096
"""Of one piece of text; what a model writes beyond it is cut off."""

OUTLINES_END, THREAD_END = "</Outlines>", "</Thread>"
_OUTLINES = re.compile(r"<outlines>", re.IGNORECASE)
_END = re.compile(f"{OUTLINES_END}|{THREAD_END}", re.IGNORECASE)
_OUTLINES_END = re.compile(OUTLINES_END, re.IGNORECASE)
_PARALLEL = re.compile(r"<parallel>", re.IGNORECASE)

HOW = (
    "Where parts of your answer do not need each other, fork: write <Parallel><Outlines><Outline>1: what the first "
    "part is about</Outline><Outline>2: ...</Outline></Outlines>, then each part as <Thread>...</Thread>, then "
    "</Parallel>, and go on from all of them. A part may fork again."
)


class Woven(msgspec.Struct, frozen=True):
    """An answer whose threads were written at the same time."""

    text: str
    """As one model would have written it, tags included."""
    forks: int
    """Those whose threads were written at the same time."""
    problems: tuple[str, ...]
    """Tags out of order, and limits that were met; what followed was written serially."""

    @property
    def content(self) -> str:
        """What it says, without tags and outlines."""
        return parse(self.text).content()


@ms.prompt(max_tokens=MAX_TOKENS)
def write(question: str, written: str, serial: bool) -> str:
    """The answer, from where it stands: up to the end of the next outlines, or (`serial`) all of it."""
    ms.chat(*_conversation(question, written), system=HOW, stop=() if serial else (OUTLINES_END,))


@ms.prompt(max_tokens=MAX_TOKENS)
def write_thread(question: str, context: str, outline: str, written: str) -> str:
    """One thread, from where it stands: up to the end of its next outlines, or of the thread.

    Args:
        context: the text before the fork. outline: what this thread is about. written: of the thread, so far.
    """
    beginning = _opening(context, outline) + written
    ms.chat(*_conversation(question, beginning), system=HOW, stop=(OUTLINES_END, THREAD_END))


def _conversation(question: str, written: str) -> list[ms.Message]:
    asked = [ms.Message.user(question)]
    return [*asked, ms.Message.assistant(written)] if written else asked


def _opening(context: str, outline: str) -> str:
    """A fork up to its thread, as if that were the only one."""
    return f"{context}<Parallel><Outlines><Outline>{outline}</Outline></Outlines>\n<Thread>"


async def threadweaver(
    question: str,
    *,
    models: Sequence[str] = (),
    main: Task[..., str] = write,
    thread: Task[..., str] = write_thread,
    max_depth: int = MAX_DEPTH,
    max_forks: int = MAX_FORKS,
) -> Woven:
    """Answer with threads that are written at the same time; use it in an async workflow.

    Args:
        main, thread: tasks or prompts with the parameters of `write` and `write_thread`. What they give ends before
            the first `</Outlines>` (of a thread, also `</Thread>`), or is cut there; serial text has no such end.
    Raises:
        TaskError: a model failed; the threads beside it have ended by then.
    """
    weaving = _Weaving(question, asked_of(main, models), asked_of(thread, models), max_depth, max_forks)
    text = await weaving.answer()
    return Woven(text, weaving.forks, tuple(weaving.problems))


async def pursue(goal: str, *, tools: Sequence[Task[..., Any]], models: Sequence[str]) -> str:
    """For the command line: the answer; no tool is called."""
    return (await threadweaver(goal, models=models)).text


class _Serial(Exception):
    """The answer has to be written serially from here on."""


class _Weaving:
    """One answer on its way."""

    def __init__(
        self, question: str, main: Task[..., str], thread: Task[..., str], max_depth: int, max_forks: int
    ) -> None:
        self._question, self._main, self._thread = question, main, thread
        self._max_depth, self._max_forks = max_depth, max_forks
        self.forks = 0
        self.problems: list[str] = []

    async def answer(self) -> str:
        """The whole text."""
        written = ""
        while True:
            more, fork, wrong = _read(await self._main(self._question, written, False), _OUTLINES_END)
            written += more
            if fork is None and wrong is None:
                return written
            forks = self.forks
            try:
                written += await self._joined(fork, wrong, _before_fork(written), 1)
            except _Serial as why:
                self.forks = forks
                self.problems.append(str(why))
                rest: str = await self._main(self._question, written, True)
                return written + rest

    async def _part(self, context: str, outline: str, depth: int) -> str:
        """The whole text of one thread."""
        written = ""
        while True:
            more, fork, wrong = _read(await self._thread(self._question, context, outline, written), _END)
            written += more
            if fork is None and wrong is None:
                return written
            before = _opening(context, outline) + _before_fork(written)
            written += await self._joined(fork, wrong, before, depth + 1)

    async def _joined(self, fork: Fork | None, wrong: Problem | None, context: str, depth: int) -> str:
        """The threads of a fork, written at the same time, as they stand in the text. Raises _Serial."""
        if wrong is not None or fork is None:
            raise _Serial(wrong)
        if depth > self._max_depth or self.forks >= self._max_forks:
            limit = f"max_depth={self._max_depth}" if depth > self._max_depth else f"max_forks={self._max_forks}"
            raise _Serial(f"{limit} reached; the rest is written serially")
        self.forks += 1
        parts = [self._part(context, outline.text, depth) for outline in fork.outlines]
        texts = await asyncio.gather(*parts, return_exceptions=True)
        for text in texts:
            if isinstance(text, BaseException):
                raise text
        return "".join(f"\n<Thread>{text}{THREAD_END}" for text in texts) + "\n</Parallel>"


def _read(more: str, ends: re.Pattern[str]) -> tuple[str, Fork | None, Problem | None]:
    """A piece of text with the tag that it was stopped at, the fork that it ends in, and what is wrong with it."""
    end = ends.search(more)  # some services say the text that they stopped at, and some go on
    more = more if end is None else more[: end.start()]
    tags = _OUTLINES.findall(more)
    is_open = bool(tags) if end is None else end.group().lower() == OUTLINES_END.lower()
    more += OUTLINES_END if is_open else ""
    reader = ThreadReader()
    events = reader.feed(more)
    fork = next((event for event in events if isinstance(event, Fork)), None)
    if fork is None or not is_open:
        events += reader.close()
    return more, fork, next((event for event in events if isinstance(event, Problem) and not event.repaired), None)


def _before_fork(written: str) -> str:
    """The text before the fork that it ends in; all of it where there is none."""
    starts = [tag.start() for tag in _PARALLEL.finditer(written)]
    return written[: starts[-1]] if starts else written
