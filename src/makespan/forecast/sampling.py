"""Many simulated runs of one subject: the same seeds for every policy, so that their difference is the policy's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from makespan.draws import draws
from makespan.errors import UsageError
from makespan.forecast.subject import Subject
from makespan.forecast.values import Assumed, Made, TypedValues
from makespan.graph.node import Kind
from makespan.machine.broker import Broker
from makespan.machine.facts import Limits
from makespan.machine.observations import StartAttempt
from makespan.machine.records import Status
from makespan.machine.resources import Pool, Rate
from makespan.policies.named import FIFO
from makespan.ports import Planner
from makespan.profiles.profile import Drawn, Profile
from makespan.run_policies import RunPolicies
from makespan.sim.simulation import FAILED, SIMULATED, Outcome, Simulation, WorstCase, header
from makespan.sim.stand_in import ITEMS
from makespan.traces.summary import critical_path
from makespan.traces.words import name_of

_TAKES_TIME = (Kind.CALL, Kind.TIMER, Kind.SIGNAL)


class Setting(msgspec.Struct, frozen=True):
    """Under which conditions a subject is simulated. Money in nano-USD, times in nanoseconds."""

    budget: int | None = None
    deadline_ns: int | None = None
    limits: Limits = Limits()
    pools: Mapping[str, int | Pool] = {}
    rates: Mapping[str, Rate] = {}
    items: int = ITEMS
    """Of lists that stand in and that the profile does not know."""
    seed: int = 0
    """Of the first run; the others follow."""
    billed: Literal["full", "elapsed"] = "full"
    """What a stopped attempt costs."""
    modes: tuple[tuple[str, str], ...] = ()
    """(task key, mode) chosen for every run."""
    started_wall_ns: int = 0
    """Wall clock at the start of every run, for bodies that look at it."""


NO_LIMITS = Setting()
NO_PLANNERS: Mapping[str, Callable[[], Planner]] = {}


class Sample(msgspec.Struct, frozen=True):
    """One simulated run in numbers."""

    seed: int
    status: str
    reason: str
    """Of a pause."""
    error: str
    makespan_ns: int
    cost: int
    waste: int
    attempts: int
    path: tuple[str, ...] = ()
    """Names of the tasks on its critical path, each once."""

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"


class Forecaster:
    """Simulates one subject again and again.

    Args:
        planners: what makes a planner, by names that may be given like those of policies, or behind one: `RULE+NAME`.
        look: called with each run's outcome, for figures beyond those of a `Sample`.
    Cost: about 40 µs a task of a run.
    """

    def __init__(
        self,
        subject: Subject,
        profile: Profile,
        setting: Setting = NO_LIMITS,
        *,
        planners: Mapping[str, Callable[[], Planner]] = NO_PLANNERS,
        look: Callable[[str, Outcome], None] = lambda _policy, _outcome: None,
    ) -> None:
        self.subject, self.profile, self.setting, self._look = subject, profile, setting, look
        self.assumed = Assumed()
        self.planners = planners
        self._planner: dict[str, Planner] = {}
        self._policies = RunPolicies(profile=profile)
        self._made, self._pricing = Made(), WorstCase(profile)
        self._known: dict[str, bool] = {}

    @property
    def dearest(self) -> int:
        """Nano-USD that one attempt of the tasks met so far may cost at most."""
        profile = self.profile
        return max((profile.of(key, mode).cost.most for key in self._known for mode in profile.modes(key)), default=0)

    def samples(self, policy_name: str, runs: int) -> list[Sample]:
        """So many runs, with the seeds from `setting.seed` on. Raises UsageError for an unknown policy."""
        rule, _ = self._parts(policy_name)
        self._policies.chosen(rule)
        return [self.sample(policy_name, self.setting.seed + place) for place in range(runs)]

    def sample(self, policy_name: str, seed: int) -> Sample:
        """One run."""
        outcome = self.outcome(policy_name, seed)
        self._look(policy_name, outcome)
        state = outcome.state
        error = state.error
        return Sample(
            seed,
            outcome.status if outcome.status != "running" else "stuck",
            outcome.reason,
            ""
            if error is None
            else f"{_whose(outcome)}{error.type}: {error.message}".replace(state.run_id, "this run"),
            outcome.makespan_ns,
            outcome.cost,
            outcome.waste,
            sum(task.attempt for task in state.tasks if task.kind == Kind.CALL),
            _names_on_path(outcome) if outcome.succeeded else (),
        )

    def outcome(self, policy_name: str, seed: int, *, keep_journal: bool = False, run_id: str = "") -> Outcome:
        """One run in full: its state, and its journal if wanted."""
        subject, setting = self.subject, self.setting
        rule, planner = self._parts(policy_name)
        run_id = run_id or f"s-{seed}"
        bodies = subject.bodies(run_id, seed, setting.started_wall_ns)
        registry = subject.registry if bodies is None else bodies.registry
        try:
            first = header(
                subject.root,
                seed=seed,
                budget=setting.budget,
                deadline_ns=setting.deadline_ns,
                run_id=run_id,
                workflow=f"{SIMULATED}{subject.name}",
                target=f"{SIMULATED}{subject.name}",
                inputs=subject.inputs,
                started_wall_ns=setting.started_wall_ns,
                limits=setting.limits,
                policy="" if rule == FIFO else rule,
                planner=planner,
                modes=setting.modes,
            )
            simulation = Simulation(
                first,
                subject.opening,
                self._attempts(seed),
                policy=self._policies.of(first),
                planner=self._planner_of(planner),
                estimates=self.profile,
                broker=Broker(dict(setting.pools), dict(setting.rates)),
                pricing=self._pricing,
                bodies=bodies,
                values=TypedValues(registry, self.profile, setting.items, self.assumed, self._made)
                if subject.reads_values
                else None,
                outside=True,
                billed=setting.billed,
                keep_journal=keep_journal,
            )
            outcome = simulation.run()
        finally:
            if bodies is not None:
                bodies.close()
        for guard in simulation.machine.guessed:
            self.assumed.guards[guard] = None
        return outcome

    def _parts(self, name: str) -> tuple[str, str]:
        """Policy and planner: `critical-path+portfolio` has both, `portfolio` alone starts what is ready in order."""
        rule, _, planner = name.partition("+")
        if rule in self.planners and not planner:
            return FIFO, rule
        if planner and planner not in self.planners:
            raise UsageError(f"no planner is called {planner!r}; there are {', '.join(self.planners) or 'none'}")
        return rule, planner

    def _planner_of(self, name: str) -> Planner | None:
        """One for all runs: planners remember nothing of a run."""
        if name and name not in self._planner:
            self._planner[name] = self.planners[name]()
        return self._planner.get(name)

    def _attempts(self, seed: int) -> Callable[[StartAttempt], Drawn]:
        profile, known = self.profile, self._known

        def attempt(command: StartAttempt) -> Drawn:
            key = command.declaration.key
            if key not in known:
                self._meet(command)
            return profile.of(key, command.mode).draw(*draws(seed, command.id, command.attempt))

        return attempt

    def _meet(self, command: StartAttempt) -> None:
        """A key for the first time."""
        key = command.declaration.key
        self._known[key] = bool(self.profile.modes(key))
        if not self._known[key]:
            self.assumed.unknown[key] = None
        if command.declaration.options.cache_ns is not None:
            self.assumed.cached[key] = None


def _whose(outcome: Outcome) -> str:
    """The task that was drawn to fail, where the error does not say."""
    error, tasks = outcome.state.error, outcome.state.tasks
    if error is None or error.type != FAILED.type:
        return ""
    return next((f"task {name_of(task)} failed: " for task in tasks if task.status == Status.FAILED), "")


def _names_on_path(outcome: Outcome) -> tuple[str, ...]:
    path = critical_path(outcome.state)
    return tuple(
        dict.fromkeys(name_of(task) for task in path if task.kind in _TAKES_TIME and task.status == Status.SUCCEEDED)
    )


def path_shares(samples: list[Sample]) -> list[tuple[str, float]]:
    """Tasks by the share of the runs that succeeded in which they were on the critical path, most often first."""
    ended = [sample for sample in samples if sample.succeeded]
    counts = Counter(name for sample in ended for name in sample.path)
    return [(name, count / len(ended)) for name, count in counts.most_common()]
