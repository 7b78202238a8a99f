"""Which policy and planner a run has: chosen at its start, recorded by name, made again for each of its lives."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from makespan.errors import UsageError, suggestion
from makespan.graph.node import Declaration
from makespan.machine.facts import RunStarted
from makespan.machine.observations import Choice, PlanView
from makespan.machine.policy import Policy
from makespan.machine.records import TaskState
from makespan.machine.state import State
from makespan.policies.named import FIFO, NAMES, check_name, policy
from makespan.policies.portfolio.planner import PortfolioPlanner
from makespan.policies.ranking import Planned
from makespan.ports import Planner
from makespan.profiles.form import read
from makespan.profiles.profile import Profile

PLANNED = "planned:"
"""What follows is the file of a plan, whose order the run keeps."""

GivenPolicy = Policy | Callable[[], Policy]
"""A policy, or what makes one for each run: wanted for those that remember anything of a run."""
PORTFOLIO = "portfolio"
NONE = "none"
"""Said to have no planner, where makespan.toml or a flag would name one."""


class RunPlanners:
    """The planners one engine knows.

    Args:
        given: planners by name, beside `portfolio`. They serve all runs, on threads, one question a run at a time.
        profile: what the built-in one plans with.
    Raises:
        UsageError: an object that is none, or a name that is built in.
    """

    def __init__(self, given: Mapping[str, Planner] | None, profile: Profile | None) -> None:
        self._given, self._profile = dict(given or {}), profile
        self._portfolio: PortfolioPlanner | None = None
        for name, each in self._given.items():
            if name in ("", PORTFOLIO, NONE):
                raise UsageError(f"planners={{{name!r}: ...}}: give yours another name; {PORTFOLIO} is built in")
            if not callable(getattr(each, "wants", None)) or not callable(getattr(each, "choose", None)):
                raise UsageError(
                    f"planners={{{name!r}: {each!r}}}: give an object with `wants(declaration)` and `choose(view)`, "
                    "as makespan.ports.Planner says"
                )

    def chosen(self, said: str | None) -> str:
        """The name to record for a run; empty is none. Raises UsageError: no such planner, or it cannot plan here."""
        if not said or said == NONE:
            return ""
        if not isinstance(said, str):
            raise UsageError(f"planner={said!r}: give its name; your own objects go into Engine(planners={{name: it}})")
        if problem := self.problem(said):
            raise UsageError(problem)
        self._of(said)
        return said

    def problem(self, name: str) -> str | None:
        """Why a run with this planner recorded cannot go on here, or None."""
        if not name or name in self._given:
            return None
        if name == PORTFOLIO:
            if self._profile is not None and self._profile.tasks:
                return None
            return (
                "the planner `portfolio` plans with a profile of the tasks, and there is none: write one with "
                "`makespan profile`, and give it as --profile, in makespan.toml or as Engine(profile=...)"
            )
        known = [PORTFOLIO, *self._given]
        return (
            f"no planner is called {name!r}; there are {', '.join(known)}{suggestion(name, known)} "
            f"(your own are given as Engine(planners={{{name!r}: ...}}))"
        )

    def of(self, header: RunStarted) -> Planner | None:
        """The planner of one life of a run; None without one, also where `problem` has one."""
        return self._of(header.planner) if header.planner and not self.problem(header.planner) else None

    def _of(self, name: str) -> Planner:
        if name in self._given:
            return _WatchedPlanner(name, self._given[name])
        assert self._profile is not None, "`problem` has looked"
        if self._portfolio is None:
            self._portfolio = PortfolioPlanner(self._profile)
        return self._portfolio


class RunPolicies:
    """The policies one engine knows.

    Args:
        default: for runs that name none. given: policies by name, beside the built-in ones.
        profile: expected durations for the built-in policies, or the file they are in. planners: by name.
    Raises:
        UsageError: no such policy, an object that is none, or a file that holds no profile.
    """

    def __init__(
        self,
        default: str | Policy = FIFO,
        given: Mapping[str, GivenPolicy] | None = None,
        profile: Profile | str | os.PathLike[str] | None = None,
        planners: Mapping[str, Planner] | None = None,
    ) -> None:
        self._given = dict(given or {})
        for name, each in self._given.items():
            if name.partition(":")[0] in NAMES:
                raise UsageError(f"policies={{{name!r}: ...}}: {name!r} is built in; give yours another name")
            if not callable(each):
                _check_shape(each)
        self.profile = profile if isinstance(profile, Profile) or profile is None else profile_in(Path(profile))
        self.planners = RunPlanners(planners, self.profile)
        self._default = self.chosen(default)

    def chosen(self, said: str | Policy | None) -> str:
        """The name to record for a run; empty is first come, first served. An object is known from here on by its
        name, to this engine only."""
        if said is None:
            return self._default
        if isinstance(said, str):
            if said.startswith(PLANNED):  # known by its whole path: a run may be resumed from another folder
                said = f"{PLANNED}{Path(said.removeprefix(PLANNED)).absolute()}"
            if problem := self.problem(said):
                raise UsageError(problem)
            return "" if said == FIFO else said
        _check_shape(said)
        if said.name.partition(":")[0] in NAMES:
            raise UsageError(f"policy {said.name!r}: that name is built in; give the object another `name`")
        self._given[said.name] = said
        return said.name

    def problem(self, name: str) -> str | None:
        """Why a run with this policy recorded cannot go on here, or None."""
        if not name or name in self._given:
            return None
        if name.startswith(PLANNED):
            try:
                planned_starts(Path(name.removeprefix(PLANNED)))
            except UsageError as error:
                return str(error)
            return None
        if name.partition(":")[0] in NAMES:
            try:
                check_name(name)
            except UsageError as error:
                return str(error)
            return None
        if PORTFOLIO in name.split("+"):
            return (
                f"policy {name!r}: {PORTFOLIO} is a planner, which a run may have beside its policy; give it as "
                f"--planner {PORTFOLIO}, or planner={PORTFOLIO!r}"
            )
        known = [*NAMES, f"{PLANNED}FILE", *self._given]
        return (
            f"no policy is called {name!r}; there are {', '.join(known)}{suggestion(name, known)} "
            f"(your own are given as Engine(policies={{{name!r}: ...}}))"
        )

    def problem_of(self, started: RunStarted) -> str | None:
        """Why a run cannot go on here, or None."""
        return self.problem(started.policy) or self.planners.problem(started.planner)

    def of(self, header: RunStarted) -> Policy | None:
        """A policy for one life of a run; None is first come, first served, also where `problem` has one."""
        name = header.policy
        if name in self._given:
            given = self._given[name]
            made = given() if callable(given) else given
            _check_shape(made)
            return _Watched(name, made)
        if not name or name == FIFO or self.problem(name):
            return None
        if name.startswith(PLANNED):
            return Planned(planned_starts(Path(name.removeprefix(PLANNED))), name)
        return policy(name, profile=self.profile, modes=dict(header.modes), seed=header.seed)


class _Watched:
    """A policy of somebody else's: what goes wrong in it is told as theirs, with its name and the task."""

    def __init__(self, name: str, inner: Policy) -> None:
        self.name, self._inner = name, inner

    @property
    def epoch(self) -> int:
        return self._inner.epoch

    def rank(self, state: State, task: TaskState) -> int:
        try:
            rank = self._inner.rank(state, task)
        except Exception as error:
            raise UsageError(
                f"policy {self.name!r} raised {type(error).__name__} for task {task.declaration.key}: {error}; "
                "correct it and resume the run"
            ) from error
        if not isinstance(rank, int):
            raise UsageError(f"policy {self.name!r} gave {rank!r} for task {task.declaration.key}: a rank is an int")
        return rank


class _WatchedPlanner:
    """A planner of somebody else's: what goes wrong in it is told as theirs, with its name."""

    def __init__(self, name: str, inner: Planner) -> None:
        self._name, self._inner = name, inner

    def wants(self, declaration: Declaration) -> bool:
        try:
            return bool(self._inner.wants(declaration))
        except Exception as error:
            raise UsageError(
                f"planner {self._name!r} raised {type(error).__name__} in wants() for task {declaration.key}: {error}; "
                "correct it and resume the run"
            ) from error

    def choose(self, view: PlanView) -> Sequence[Choice]:
        chosen: Any = self._inner.choose(view)
        if chosen is None:
            return []
        choices = list(chosen) if isinstance(chosen, Iterable) else [chosen]
        for each in choices:
            if not (isinstance(each, Choice) and _is_exact(each)):
                raise UsageError(
                    f"planner {self._name!r} gave {each!r}: choose() gives a list of "
                    "makespan.machine.observations.Choice(task number, mode, samples)"
                )
        return choices


def _is_exact(choice: Choice) -> bool:
    return type(choice.task) is int and type(choice.mode) is str and type(choice.samples) is int


def _check_shape(said: object) -> None:
    has_name = isinstance(getattr(said, "name", None), str) and isinstance(getattr(said, "epoch", None), int)
    if not has_name or not callable(getattr(said, "rank", None)):
        raise UsageError(
            f"policy={said!r}: give a name ({', '.join(NAMES)}) or an object with `name`, `epoch` and "
            "`rank(state, task)`, as makespan.machine.policy.Policy says"
        )


def planned_starts(path: Path) -> dict[bytes, int]:
    """Planned start of each task by id, as `makespan plan --schedule -o FILE` writes it.

    Raises:
        UsageError: the file cannot be read, or holds no plan.
    """
    try:
        said = msgspec.json.decode(path.read_bytes(), type=dict[str, tuple[int, int]])
        return {bytes.fromhex(task): start for task, (start, _) in said.items()}
    except OSError as error:
        raise UsageError(f"the plan {path} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise UsageError(
            f'{path} is no plan: {error}; write {{"<task id>": [start_ns, end_ns], ...}}, or let '
            "`makespan plan TARGET --schedule -o FILE` write it"
        ) from error


def profile_in(path: Path) -> Profile:
    """The profile a file holds. Raises UsageError that names the file."""
    try:
        return read(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"the profile {path} cannot be read: {error.strerror}") from error
