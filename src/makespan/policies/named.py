"""Policies by name, as the journal records them: `critical-path`, or with what they depend on, `noisy:shortest:0.3`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from makespan.errors import UsageError, suggestion
from makespan.machine.policy import Policy
from makespan.policies.expected import Expected
from makespan.policies.ranking import (
    AnyOrder,
    CriticalPath,
    EarliestDeadline,
    Fair,
    FirstCome,
    LatestFinish,
    LeastSlack,
    Ranking,
    Shortest,
    Urgency,
)
from makespan.profiles.profile import Profile

FIFO = "fifo"
NOISE = 0.2
"""Share by which `noisy` doubts each expected duration, unless it says another."""
BY_EXPECTATION: Mapping[str, Callable[[str, Expected], Ranking]] = {
    "critical-path": CriticalPath,
    "latest-finish": LatestFinish,
    "least-slack": LeastSlack,
    "deadline": EarliestDeadline,
    "urgency": Urgency,
    "shortest": Shortest,
    "fair": Fair,
}
NAMES = (FIFO, *BY_EXPECTATION, "random", "noisy")


def policy(
    name: str, *, profile: Profile | None = None, modes: Mapping[str, str] | None = None, seed: int = 0
) -> Policy:
    """A policy for one run.

    Args:
        name: one of `NAMES`; `noisy:RULE[:SHARE]` doubts every expected duration by up to that share (0.2 unless
            given), so that each seed searches elsewhere.
        profile: expected durations by task key; what it does not know is learned in the run.
        modes: task key → the mode chosen for the run. seed: for `random` and `noisy`, usually the run's.
    Raises:
        UsageError: no such policy, or a share that is none.
    """
    rule, said = check_name(name)
    if rule == FIFO:
        return FirstCome(name, Expected())
    if rule == "random":
        return AnyOrder(name, Expected(), seed)
    return BY_EXPECTATION[rule](name, Expected(profile, modes=modes, noise=said, seed=seed))


def check_name(name: str) -> tuple[str, float]:
    """(rule, share of noise) that a name stands for. Raises UsageError as `policy` does."""
    rule, _, rest = name.partition(":")
    if rule not in NAMES:
        raise UsageError(f"no policy is called {rule!r}; there are {', '.join(NAMES)}{suggestion(rule, NAMES)}")
    if rule != "noisy":
        if rest:
            raise UsageError(f"policy {name!r}: {rule} takes nothing behind a colon")
        return rule, 0.0
    inner, _, share = rest.partition(":")
    if inner not in BY_EXPECTATION:
        hint = suggestion(inner, BY_EXPECTATION)
        example = f"noisy:critical-path:{NOISE}"
        raise UsageError(f"policy {name!r}: {inner!r} is no rule that expects durations{hint}; write {example}")
    return inner, _share(name, share) if share else NOISE


def _share(name: str, said: str) -> float:
    try:
        share = float(said)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise UsageError(f"policy {name!r}: the noise is a share above 0 and at most 1, such as {NOISE}; got {said!r}")
    return share
