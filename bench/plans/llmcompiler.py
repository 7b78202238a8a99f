"""Eight plans, read while they are written: on the virtual clock, and scaled on the real one.

The floor is the best that any reader of the same lines can do: each call starts with its line or its last result.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import makespan as ms
from bench.measure import Figures
from bench.plans import examples
from bench.plans.examples import FIRST_S, LINE_S, PLANS, REASON_S, TOOL_S
from bench.table_row import Row
from makespan.planners.known import Known
from makespan.planners.live import LivePlan
from makespan.recipes.llmcompiler import Verdict, llmcompiler
from makespan.testing import running

SCALE = 10
"""Real runs are so many times faster than what is scripted."""
WITHIN = 1.03
"""Of the floor, on either clock."""
SILENCE_S = 5.0
"""How long a planner says nothing after a line, scaled as the rest, while the line's call must start at once."""


@ms.task
async def search(query: str, scale: float = 1.0) -> str:
    """Look something up."""
    await asyncio.sleep(TOOL_S["search"] / scale)
    return f"about {query}"


@ms.task
async def math(expression: str, scale: float = 1.0) -> float:
    """Work something out."""
    await asyncio.sleep(TOOL_S["math"] / scale)
    return float(len(expression))


def planner_of(scale: float) -> ms.Task[..., list[str]]:
    """A scripted planner: `question` is the number of the plan it writes."""

    @ms.task(key=f"planner {scale}")
    async def write(
        question: str, tools: list[str], calls: list[Known], why: str, problems: list[str]
    ) -> AsyncIterator[str]:
        await asyncio.sleep(FIRST_S / scale)
        for line in examples.numbered(PLANS[int(question)]):
            await asyncio.sleep(LINE_S / scale)
            yield line.replace('")', f'", scale={scale})')

    return write


def joiner_of(scale: float) -> ms.Task[..., Verdict]:
    """A scripted joiner."""

    @ms.task(key=f"joiner {scale}")
    async def judge(question: str, calls: list[Known], problems: list[str], last: bool) -> Verdict:
        await asyncio.sleep(REASON_S / scale)
        return Verdict(answer="; ".join(call.said for call in calls))

    return judge


def answering(scale: float) -> ms.Workflow[[str], int]:
    """The workflow that carries out one plan; gives the number of its calls."""
    planner, joiner = planner_of(scale), joiner_of(scale)

    @ms.workflow(key=f"answer {scale}")
    async def answer(question: str) -> int:
        done = await llmcompiler(question, tools=[search, math], planner=planner, joiner=joiner)
        assert not done.missing, done
        return len(done.calls)

    return answer


def eight(quick: bool) -> Figures:
    """All plans on both clocks."""
    virtual, real = answering(1.0), answering(float(SCALE))
    virtual_s, real_s, calls = 0.0, 0.0, 0
    for number in range(len(PLANS)):
        seen = running.run(virtual(str(number)))
        virtual_s, calls = virtual_s + seen.makespan_s, calls + seen.output
        real_s += statistics.median(
            ms.run(real(str(number)), store="memory").makespan_s for _ in range(1 if quick else 3)
        )
    return {
        "serial_s": sum(map(examples.serial_s, PLANS)),
        "plan_then_run_s": sum(map(examples.plan_then_run_s, PLANS)),
        "floor_s": sum(map(examples.streaming_s, PLANS)),
        "virtual_s": virtual_s,
        "real_s": real_s * SCALE,
        "calls": calls,
    }


def lag(quick: bool) -> Figures:
    """From a line to the start of its call, while the planner is silent: virtual, and real in milliseconds."""
    count = 30 if quick else 200
    said: list[float] = []
    began: list[float] = []

    @ms.task(key="note")
    async def note(n: int, clock: str) -> int:
        began.append(time.perf_counter() if clock == "real" else asyncio.get_running_loop().time())
        return n

    @ms.task(key="slow planner")
    async def slow(clock: str, silence_s: float, count: int) -> AsyncIterator[str]:
        for n in range(count):
            await asyncio.sleep(silence_s)
            said.append(time.perf_counter() if clock == "real" else asyncio.get_running_loop().time())
            yield f'{n + 1}. note({n}, "{clock}")\n'
        await asyncio.sleep(silence_s)

    @ms.workflow(key="silent")
    async def silent(clock: str, silence_s: float, count: int) -> int:
        plan = LivePlan([note])
        await plan.ingest(slow(clock, silence_s, count))
        await plan.settled()
        return len(plan.outcomes())

    assert running.run(silent("virtual", SILENCE_S, 20)).output == 20
    virtual_s = max(start - line for line, start in zip(said, began, strict=True))
    said.clear()
    began.clear()
    assert ms.run(silent("real", 0.005, count), store="memory").output == count
    lags = sorted((start - line) * 1e3 for line, start in zip(said, began, strict=True))
    return {"virtual_s": virtual_s, "p50_ms": lags[count // 2], "p95_ms": lags[int(count * 0.95)], "count": count}


CASES: dict[str, Callable[[bool], Figures]] = {"plans-llmcompiler": eight, "plans-lag": lag}


def rows(results: Mapping[str, Figures]) -> Iterator[Row]:
    """The table's rows for which there are figures."""
    if "plans-llmcompiler" in results:
        seen = results["plans-llmcompiler"]
        for clock in ("virtual", "real"):
            ours, floor = seen[f"{clock}_s"], seen["floor_s"]
            scaled = "" if clock == "virtual" else f", 1/{SCALE} of the time"
            yield Row(
                f"eight plans of {seen['calls']:.0f} calls read while they are written, {clock} clock{scaled}",
                f"≤ {WITHIN} × ideal streaming",
                f"{floor:.1f} s (serial {seen['serial_s']:.1f}, plan then run {seen['plan_then_run_s']:.1f})",
                f"{ours:.2f} s",
                f"{ours / floor:.3f} ×, {seen['serial_s'] / ours:.2f} × faster than serial",
                ours <= WITHIN * floor,
            )
    if "plans-lag" in results:
        seen = results["plans-lag"]
        yield Row(
            "from a planner's line to the start of its call, the planner silent",
            "0 s on the virtual clock",
            "",
            f"{seen['virtual_s']:.3f} s",
            f"real p50 {seen['p50_ms']:.2f} ms, p95 {seen['p95_ms']:.2f} ms",
            seen["virtual_s"] == 0.0,
        )
