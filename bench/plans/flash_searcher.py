"""Thirty scripted questions: three goals side by side with fallbacks, against an agent that makes one call at a time.

Which path succeeds is drawn with a seed. Both make the same calls; what differs is how many rounds they need.
A *step*, as we read the source: a round of at most five calls made side by side, or the answer. One call at a time is a
step a call, and the answer. *All rounds*: ours with planning and refining as steps of their own, though theirs has the
choice of a call and the call in one. Rounds are counted by what waits for what (calls with as many before them are one
round), and by the clock (a round ends when a call starts that may know of a result of it).
"""

import asyncio
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

import makespan as ms
from bench.measure import Figures
from bench.table_row import Row
from makespan.models.scripted import Scripted, prompt_text
from makespan.planners.goal_edits import Goal
from makespan.ports import ModelRequest
from makespan.recipes.flash_searcher import Answer, Refinement, flash_searcher, summarise
from makespan.testing import running

QUESTIONS = 30
GOALS, PATHS, CALLS = 3, 3, 2
"""Goals of a question, paths of a goal at most, calls of a path at most."""
MODEL_S = 2.0
"""A model's round."""
AT_MOST = 0.65
"""Of the steps of one call at a time."""
CAP_CHARS = 4_000
LONG_STEPS = 60


@dataclass(frozen=True)
class ScriptedGoal:
    """What becomes of the paths of one goal."""

    name: str
    calls: tuple[int, ...]
    """Of each path, how many calls."""
    fails_at: tuple[int, ...]
    """Of each path, which call finds nothing, from 1; 0 for the one that succeeds."""

    def path(self, number: int, seed: int) -> list[str]:
        """The calls of a path, from 1, as a planner writes them."""
        calls = range(1, self.calls[number - 1] + 1)
        given = ["", *(f", ${call - 1}.found" for call in calls[1:])]
        return [
            f'{call}. look("{seed}/{self.name}/{number}/{call}"{result})'
            for call, result in zip(calls, given, strict=True)
        ]

    def made(self) -> list[tuple[int, int]]:
        """The calls that anybody has to make who tries the paths in order: path and call, from 1."""
        tried = list(enumerate(zip(self.calls, self.fails_at, strict=True), 1))
        last = self.fails_at.index(0) + 1
        return [(n, call) for n, (calls, fails) in tried[:last] for call in range(1, (fails or calls) + 1)]


def script(seed: int) -> list[ScriptedGoal]:
    """A question's goals: every goal has a path that succeeds, and none behind it is ever tried."""
    rng = random.Random(f"flash {seed}")
    goals = []
    for number in range(1, GOALS + 1):
        paths = rng.randint(1, PATHS)
        right = rng.randrange(paths)
        calls = tuple(rng.randint(1, CALLS) for _ in range(paths))
        fails = tuple(0 if place == right else rng.randint(1, many) for place, many in enumerate(calls))
        goals.append(ScriptedGoal(f"goal{number}", calls, fails))
    return goals


def seconds(query: str) -> float:
    """How long a call takes."""
    return random.Random(query).uniform(0.5, 3.0)


class Page(msgspec.Struct, frozen=True):
    """What a call found."""

    found: str
    is_good: bool = True


STARTED: list[tuple[float, float]] = []
"""Start and end of every call on the virtual clock."""


@ms.task(retries=0)
async def look(query: str, given: str = "") -> Page:
    """Look something up; the query says which call of the script it is."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    await asyncio.sleep(seconds(query))
    STARTED.append((begun, clock()))
    seed, name, path, call = query.split("/")
    goal = next(each for each in script(int(seed)) if each.name == name)
    if goal.fails_at[int(path) - 1] != int(call):
        return Page(f"about {query}")
    if int(call) < goal.calls[int(path) - 1] or random.Random(f"how {query}").random() < 0.5:
        raise LookupError(f"nothing about {query}")
    return Page("something else", False)


# ---------------------------------------------------------------- ours


@ms.task(key="flash planner")
async def plan_script(question: str, tools: list[str], problems: list[str]) -> list[Goal]:
    """A scripted planner: the question is the script's seed."""
    await asyncio.sleep(MODEL_S)
    seed = int(question)
    return [
        Goal(goal.name, goal.name, [goal.path(n, seed) for n in range(1, len(goal.calls) + 1)], "result.is_good")
        for goal in script(seed)
    ]


@ms.task(key="flash refiner")
async def change_nothing(view: str) -> Refinement:
    """A scripted refiner: all goes well."""
    await asyncio.sleep(MODEL_S)
    return Refinement()


@ms.task(key="flash answerer")
async def answer_all(view: str) -> str:
    """A scripted answer."""
    await asyncio.sleep(MODEL_S)
    return "done"


@ms.workflow
async def with_goals(seed: int) -> Answer:
    """One question."""
    return await flash_searcher(
        str(seed), tools=[look], planner=plan_script, refiner=change_nothing, answerer=answer_all
    )


# ---------------------------------------------------------------- one call at a time


@ms.task(key="flash choose")
async def choose(known: int) -> int:
    """The round of a model that chooses the next call, or answers."""
    await asyncio.sleep(MODEL_S)
    return known


@ms.workflow
async def one_at_a_time(seed: int) -> int:
    """The same question; gives its steps."""
    steps = 0
    for goal in script(seed):
        for number in range(1, len(goal.calls) + 1):
            given = Page("")
            for call in range(1, goal.calls[number - 1] + 1):
                steps += 1
                await choose(steps)
                how = await ms.outcome(look(f"{seed}/{goal.name}/{number}/{call}", given.found))
                given = how.value if how else Page("", False)
                if not given.is_good:
                    break
            if given.is_good:
                break
    await choose(steps + 1)
    return steps + 1


def rounds_by_clock() -> int:
    """Rounds of calls as they happened: one ends when a call starts that may know of a result of it, or with five."""
    rounds, size, first_end = 0, 0, float("-inf")
    for begun, end in sorted(STARTED):
        if begun >= first_end or size == 5:
            rounds, size, first_end = rounds + 1, 0, float("inf")
        size, first_end = size + 1, min(first_end, end)
    return rounds


def questions(quick: bool) -> Figures:
    """All questions, both ways."""
    figures = dict.fromkeys(("ours", "ours_by_clock", "theirs", "model_rounds", "calls", "their_calls"), 0.0)
    figures |= dict.fromkeys(("ours_s", "theirs_s", "reached", "goals"), 0.0)
    for seed in range(QUESTIONS):
        STARTED.clear()
        ours = running.run(with_goals(seed))
        figures["ours_by_clock"] += rounds_by_clock() + ours.output.model_rounds
        figures["calls"] += len(STARTED)
        STARTED.clear()
        theirs = running.run(one_at_a_time(seed))
        figures["their_calls"] += len(STARTED)
        figures["ours"] += ours.output.steps
        figures["model_rounds"] += ours.output.model_rounds
        figures["theirs"] += theirs.output
        figures["ours_s"] += ours.makespan_s
        figures["theirs_s"] += theirs.makespan_s
        figures["reached"] += sum(view.status == "completed" for view in ours.output.goals)
        figures["goals"] += len(ours.output.goals)
    return figures


# ---------------------------------------------------------------- prompts of a long run


def long_model() -> Scripted:
    """A model whose goals never succeed, and who adds a path whenever it is asked, with many words."""
    asked = iter(range(10_000))

    def answer(request: ModelRequest) -> str:
        text, n = prompt_text(request), next(asked)
        if text.startswith("Split"):
            goals = [{"name": f"goal{g}", "want": "w " * 200, "paths": [[f'1. wander("{g}")']]} for g in range(3)]
            return json.dumps([{**goal, "check": "len(result) == 0"} for goal in goals])
        if "What should change?" in text:
            blocked = [f"goal{g}" for g in range(3) if f"- goal{g} [blocked]" in text]
            calls = [f'{c}. wander("{n} {c}")' for c in range(1, 3)]
            return json.dumps({"changes": [{"type": "AddPath", "goal": goal, "calls": calls} for goal in blocked]})
        return "words " * 4_000 if text.startswith("Summarise") else "no"

    return Scripted(answer)


@ms.task
async def wander(query: str) -> str:
    """Much text that does not help."""
    await asyncio.sleep(1)
    return f"{query} " + " ".join(random.Random(query).choices(["alpha", "beta", "gamma", "delta"], k=1_000))


@ms.workflow
async def long_search(summed: bool) -> Answer:
    """A question that takes all steps there are."""
    return await flash_searcher(
        "Where is it?",
        tools=[wander],
        summariser=summarise if summed else None,
        context_chars=CAP_CHARS,
        max_steps=LONG_STEPS,
    )


def prompts(quick: bool) -> Figures:
    """The longest prompt after a refinement, with a summariser that returns far too much, and without one."""
    figures: Figures = {"cap": CAP_CHARS}
    for name, summed in (("summed", True), ("plain", False)):
        model = long_model()
        done = running.run(long_search(summed), models=model, options={"budget_usd": 0.0}).output
        texts = [prompt_text(call) for call in model.calls]
        later = [text for text in texts if not text.startswith("Split")]
        figures |= {f"{name}_longest": max(map(len, later)), f"{name}_steps": done.steps, f"{name}_prompts": len(later)}
    return figures


CASES: dict[str, Callable[[bool], Figures]] = {"plans-flash": questions, "plans-flash-prompts": prompts}


def rows(results: Mapping[str, Figures]) -> Iterator[Row]:
    """The table's rows for which there are figures."""
    if "plans-flash" in results:
        seen = results["plans-flash"]
        planning = seen["model_rounds"] - QUESTIONS
        for what, less in (("steps: rounds of ≤ 5 calls, and the answer", planning), ("all rounds", 0.0)):
            ours, by_clock = seen["ours"] - less, seen["ours_by_clock"] - less
            has_all = seen["reached"] == seen["goals"]
            yield Row(
                f"{QUESTIONS} questions, {GOALS} goals with fallbacks, {what}",
                f"≤ {AT_MOST} × one call at a time, all goals" if less else "",
                f"{seen['theirs']:.0f} for {seen['their_calls']:.0f} calls, {seen['theirs_s']:.0f} s",
                f"{ours:.0f} for {seen['calls']:.0f} calls, {seen['ours_s']:.0f} s; "
                f"{seen['model_rounds']:.0f} rounds of models; {seen['reached']:.0f}/{seen['goals']:.0f} goals",
                f"{ours / seen['theirs']:.2f} ×, by the clock {by_clock / seen['theirs']:.2f} ×",
                max(ours, by_clock) <= AT_MOST * seen["theirs"] and has_all if less else None,
            )
    if "plans-flash-prompts" in results:
        seen = results["plans-flash-prompts"]
        longest = max(seen["summed_longest"], seen["plain_longest"])
        yield Row(
            f"the longest prompt over {min(seen['summed_steps'], seen['plain_steps']):.0f} steps",
            f"≤ 1.2 × {seen['cap']:.0f} characters",
            "",
            f"{longest:.0f} of {seen['summed_prompts'] + seen['plain_prompts']:.0f} prompts",
            f"{longest / seen['cap']:.2f} ×",
            longest <= 1.2 * seen["cap"],
        )
