"""Evaluations: a workflow run over cases, options and repeats, scored, and summed up with honest intervals.

    cases × grid × repeats ──▶ subject ──▶ scorers ──▶ Trial ──▶ Report

A suite is an ordinary workflow, so it is durable, limited by budgets and deadlines, and traced like any other. A
subject that fails is a trial with an error, and counts as 0 for every scorer: leaving failures out would reward them.

    call = evals.suite(rag, [evals.Case("why?", "because")], [exact], grid={"models": [["a"], ["b"]]}, repeats=3)
    print(ms.run(call, budget_usd=5).output.table())

To resume a suite from another process, call it inside a workflow of a module: that can be found again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from itertools import product
from math import isfinite
from statistics import fmean
from typing import Any, cast

import msgspec

from makespan.authoring.bodies import LiveBodies
from makespan.authoring.combine import gather, map, outcome
from makespan.authoring.place import Place, current
from makespan.authoring.ref import Ref
from makespan.authoring.task import HOOKS, Task, TaskOptions, code_digest
from makespan.authoring.workflow import Workflow
from makespan.errors import GraphError
from makespan.estimates import Estimate, clustered_mean, pass_hat
from makespan.graph.node import Kind
from makespan.values import untyped

LIMIT = 16
"""Trials that run at once, unless `limit=` says otherwise."""
MOST_TRIALS = 100_000
"""Cases × variants × repeats of one suite."""
PASSING = 1.0
UNBOUNDED_USD = 1e6
"""Budget of a subject without one of its own: what it spends is counted against something."""

Scorer = Callable[[Any, "Case"], float]


class Case(msgspec.Struct, frozen=True):
    """One thing to try: the input, what is expected, and an id that stays when other cases come and go."""

    input: Any
    """The only argument; for several parameters a dict by name, or a tuple in order."""
    target: Any = None
    id: str = ""
    """Made from input and target unless given."""
    tags: dict[str, str] = {}


class Trial(msgspec.Struct, frozen=True):
    """One case under one variant, once."""

    case: str
    variant: str
    repeat: int
    output: Any = None
    error: str = ""
    """Why there is no output."""
    scores: dict[str, float] = {}
    problems: dict[str, str] = {}
    """Scorers that failed, and why; each counts as 0."""
    cost_usd: float = 0.0
    scoring_cost_usd: float = 0.0
    duration_s: float = 0.0


class VariantReport(msgspec.Struct, frozen=True):
    """What one combination of options came to."""

    variant: str
    options: dict[str, Any]
    trials: int
    failed: int
    scores: dict[str, Estimate]
    pass_hat: list[float]
    """pass^1, pass^2, …: the chance that so many repeats of a case all pass."""
    cost_usd: float
    scoring_cost_usd: float
    duration_s: float
    """Mean over trials."""


class Report(msgspec.Struct, frozen=True):
    """Everything a suite measured."""

    subject: str
    variants: list[VariantReport]
    trials: list[Trial]

    def table(self) -> str:
        """One line a variant, as text. A score is `mean [low, high]` at 95 %."""
        names = list(self.variants[0].scores) if self.variants else []
        most = max((len(each.pass_hat) for each in self.variants), default=1)
        head = ["VARIANT", *names, "PASS^1", *([f"PASS^{most}"] if most > 1 else []), "FAILED", "USD", "SECONDS"]
        return _aligned([head, *(_cells(each, most) for each in self.variants)])

    def to_json(self) -> bytes:
        """The whole report as JSON."""
        return msgspec.json.encode(self)


def suite(
    subject: Task[..., Any],
    cases: Sequence[Case],
    scorers: Sequence[Scorer | Task[..., Any]],
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    repeats: int = 1,
    limit: int = LIMIT,
    passing: float = PASSING,
) -> Ref[Report]:
    """A call that evaluates `subject`, for `ms.run(...)` or inside a workflow of yours.

    Args:
        subject: a task, prompt or workflow; options that hold for all variants by `subject.options(...)`.
        scorers: functions (output, case) -> float or bool, or tasks of that shape, such as a prompt that judges.
        grid: option name → the values to try; every combination is a variant. `models` of a workflow reaches all
            prompts inside that were not given models at their call.
        repeats: trials of each case and variant.
        limit: trials at once.
        passing: a trial passes when every score is at least this.
    Raises:
        GraphError: no cases, two with one id, an option that does not exist, a scorer of another shape.
    """
    known = _identified(cases)
    variants = _variants(subject, grid or {})
    count = len(known) * len(variants) * repeats
    if repeats < 1 or limit < 1:
        raise GraphError(f"repeats={repeats}, limit={limit}: both are at least 1")
    if count > MOST_TRIALS:
        raise GraphError(
            f"{count} trials ({len(known)} cases × {len(variants)} variants × {repeats}); at most {MOST_TRIALS}"
        )
    plan = _Suite(subject, known, variants, [_scorer(each, subject, known) for each in scorers])
    plan.check_names()

    async def evaluate_all() -> Report:
        chosen = [(case, variant, repeat) for variant in variants for case in known for repeat in range(repeats)]
        found = await map(
            lambda each: plan.evaluate(*each),
            chosen,
            errors="keep",
            limit=limit,
            key=lambda each: "/".join(map_key(each)),
        )
        trials = [
            each.value if each else Trial(case, variant, repeat, error=str(each.error))
            for (case, variant, repeat), each in zip(chosen, found, strict=True)
        ]
        return _report(plan, trials, passing)

    return Workflow(evaluate_all, {"key": f"suite of {subject.key}"})()


def map_key(chosen: tuple[str, str, int]) -> list[str]:
    """What a trial is known by across restarts."""
    return [str(part) for part in chosen]


class _Suite:
    """What is evaluated, and the sub-workflow that makes one trial."""

    def __init__(
        self,
        subject: Task[..., Any],
        cases: Mapping[str, Case],
        variants: Mapping[str, dict[str, Any]],
        scorers: Sequence[Task[..., Any]],
    ) -> None:
        self.subject, self.cases, self.options, self.scorers = subject, cases, variants, scorers
        self.variants = {name: _wrapped(name, subject, options, cases) for name, options in variants.items()}
        self.evaluate: Workflow[[str, str, int], Trial] = Workflow(self._trial, {"key": f"trial of {subject.key}"})

    def check_names(self) -> None:
        """Scores are told apart by their scorer's name."""
        names = [scorer.__name__ for scorer in self.scorers]
        if not names or len(set(names)) < len(names):
            raise GraphError(f"scorers: {', '.join(names) or 'none'}; give at least one, each with a name of its own")

    async def _trial(self, case: str, variant: str, repeat: int) -> Trial:
        said = self.cases[case]
        run = self.variants[variant](said)
        got = await outcome(run)
        cost_usd, duration_s = _measured(run)
        if not got:
            return Trial(
                case,
                variant,
                repeat,
                error=str(got.error or got.status),
                scores={scorer.__name__: 0.0 for scorer in self.scorers},
                cost_usd=cost_usd,
                duration_s=duration_s,
            )
        marks = [scorer(run, said) for scorer in self.scorers]
        ends = await gather(*[outcome(mark) for mark in marks])
        scores, problems = {}, {}
        for scorer, end in zip(self.scorers, ends, strict=True):
            value = float(end.value) if end else 0.0
            scores[scorer.__name__] = value if isfinite(value) else 0.0
            if not end or not isfinite(value):
                problems[scorer.__name__] = str(end.error or end.status) if not end else f"{value} is no score"
        output = untyped(HOOKS.codec(self.subject.returns).encode(got.value))
        paid = sum(_measured(mark)[0] for mark in marks)
        return Trial(case, variant, repeat, output, "", scores, problems, cost_usd, paid, duration_s)


def _measured(ref: Ref[Any]) -> tuple[float, float]:
    """Cost in USD and seconds of what a Ref stands for, which has ended."""
    place = current.get()
    assert isinstance(place, Place)
    assert isinstance(place.builder, LiveBodies)
    ended = place.builder.ended(ref)
    if ended is None:
        return 0.0, 0.0
    return ended.cost / 1e9, (ended.at - ended.started) / 1e9 if ended.started >= 0 else 0.0


# ---------------------------------------------------------------- what was asked for


def _identified(cases: Sequence[Case]) -> dict[str, Case]:
    found: dict[str, Case] = {}
    for case in cases:
        if not isinstance(case, Case):
            raise GraphError(f"cases: {type(case).__name__} is no Case; write evals.Case(input, target)")
        encoded = HOOKS.encoder.encode((case.input, case.target))
        named = case if case.id else msgspec.structs.replace(case, id=blake2b(encoded, digest_size=5).hexdigest())
        if named.id in found:
            raise GraphError(f"two cases have the id {named.id!r}; give each an id of its own")
        found[named.id] = named
    if not found:
        raise GraphError("cases: none; an evaluation needs at least one evals.Case(input, target)")
    return found


def _variants(subject: Task[..., Any], grid: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """Name → options of every combination; each is tried on the subject, so that a wrong one is refused now."""
    if "models" in grid and not subject.takes_models:
        raise GraphError(f"grid: models means nothing to the task {subject.key}; only prompts and workflows have them")
    for name, values in grid.items():
        if not isinstance(values, list | tuple) or not values:
            raise GraphError(f"grid: {name}={values!r}: it is a list of the values to try")
        if "." in name:
            raise GraphError(f"grid: {name!r}: an option of the whole subject, not of one task inside; e.g. models")
    found = {}
    for values in product(*grid.values()):
        options = dict(zip(grid, values, strict=True))
        name = " ".join(f"{option}={_shown(value)}" for option, value in options.items()) or "as written"
        subject.options(**cast("TaskOptions", options))
        found[name] = options
    return found


def _shown(value: Any) -> str:
    return ",".join(value) if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value) else str(value)


def _wrapped(name: str, subject: Task[..., Any], options: dict[str, Any], cases: Mapping[str, Case]) -> Task[..., Any]:
    """The subject under a variant as a workflow of one case, so that its cost and time can be told."""
    under = subject.options(**cast("TaskOptions", options)) if options else subject
    parameters = [parameter.name for parameter in subject.signature.parameters]
    for case in cases.values():
        _arguments(parameters, case)

    async def run(case: Case) -> Any:
        args, kwargs = _arguments(parameters, cases[case.id])
        return await under(*args, **kwargs)

    run.__annotations__ = {"case": Case, "return": subject.returns}
    return Workflow(run, {"key": f"{subject.key} [{name}]"}).options(budget_usd=UNBOUNDED_USD)


def _arguments(parameters: list[str], case: Case) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if len(parameters) == 1:
        return (case.input,), {}
    if isinstance(case.input, dict):
        return (), case.input
    if isinstance(case.input, tuple | list):
        return tuple(case.input), {}
    names = ", ".join(parameters) or "nothing"
    raise GraphError(f"case {case.id!r}: the subject takes {names}; give its input as a dict by name, or a tuple")


def _scorer(scorer: Any, subject: Task[..., Any], cases: Mapping[str, Case]) -> Task[..., Any]:
    """A scorer as a task of (output, case) that gives a number."""
    if isinstance(scorer, Task):
        if len(scorer.signature.parameters) != 2 or scorer.returns not in (float, int, bool):
            raise GraphError(f"the scorer {scorer.key} is a task of (output, case) that returns float or bool")
        return scorer.options(budget_usd=UNBOUNDED_USD) if scorer.kind == Kind.WORKFLOW else scorer
    name = getattr(scorer, "__name__", "")
    if not callable(scorer) or name in ("", "<lambda>"):
        raise GraphError(f"scorers: {scorer!r} is no named function of (output, case)")

    def score(output: Any, case: Any) -> Any:
        return float(scorer(output, cases.get(case.id, case)))

    async def score_later(output: Any, case: Any) -> Any:
        return float(await scorer(output, cases.get(case.id, case)))

    made = score_later if inspect.iscoroutinefunction(scorer) else score
    made.__annotations__ = {"output": subject.returns, "case": Case, "return": float}
    made.__name__ = name
    task: Task[..., Any] = Task(made, {"key": f"score {name}", "version": code_digest(scorer)})
    return task


# ---------------------------------------------------------------- what came of it


def _report(plan: _Suite, trials: list[Trial], passing: float) -> Report:
    variants = [
        _of_variant(name, plan, [trial for trial in trials if trial.variant == name], passing) for name in plan.variants
    ]
    return Report(plan.subject.key, variants, trials)


def _of_variant(name: str, plan: _Suite, trials: list[Trial], passing: float) -> VariantReport:
    names = [scorer.__name__ for scorer in plan.scorers]
    scores: dict[str, dict[str, list[float]]] = {scorer: {} for scorer in names}
    passed: dict[str, list[bool]] = {}
    for trial in trials:
        marks = [trial.scores.get(scorer, 0.0) for scorer in names]
        for scorer, mark in zip(names, marks, strict=True):
            scores[scorer].setdefault(trial.case, []).append(mark)
        passed.setdefault(trial.case, []).append(min(marks) >= passing)
    return VariantReport(
        name,
        {option: _plain(value) for option, value in plan.options[name].items()},
        len(trials),
        sum(bool(trial.error) for trial in trials),
        {scorer: clustered_mean(by_case) for scorer, by_case in scores.items()},
        pass_hat(passed),
        sum(trial.cost_usd for trial in trials),
        sum(trial.scoring_cost_usd for trial in trials),
        fmean(trial.duration_s for trial in trials),
    )


def _plain(value: Any) -> Any:
    """An option's value as JSON-like data."""
    if isinstance(value, str | int | float | bool | None):
        return value
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else str(value)


def _cells(variant: VariantReport, most: int) -> list[str]:
    chances = variant.pass_hat
    last = [f"{chances[-1]:.2f}"] if most > 1 else []
    total = variant.cost_usd + variant.scoring_cost_usd
    return [
        variant.variant,
        *(_estimated(score) for score in variant.scores.values()),
        f"{chances[0]:.2f}",
        *last,
        f"{variant.failed}/{variant.trials}",
        f"{total:.4f}",
        f"{variant.duration_s:.2f}",
    ]


def _estimated(score: Estimate) -> str:
    if score.low is None or score.high is None:
        return f"{score.mean:.3f}"
    return f"{score.mean:.3f} [{score.low:.3f}, {score.high:.3f}]"


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
