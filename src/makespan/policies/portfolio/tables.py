"""What comes of a task under every action, as rows to draw from: made once a task key, used in every decision.

An action is a place in the task's list of modes and a number of samples. A row is one fate, the same under all actions
(common random numbers): the i-th attempt has the same luck in row r, whatever its mode and whoever flies beside it.

    first    [actions, rows]   the one try that is begun now: how long, whether it succeeds, its cost
    whole    [actions, rows]   tried with the same action until it succeeds, waits between the tries included
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from makespan.machine.retry import FIRST_DELAY_NS, LONGEST_DELAY_NS
from makespan.policies.portfolio.attempts import Billed, Draws, Ends, drawn_by, ends, grid_of
from makespan.profiles.profile import Profile

if TYPE_CHECKING:
    from makespan.policies.portfolio.attempts import Flags, Floats, Grid

ROWS = 1024
"""Fates to draw from. Each column of their uniform numbers is stratified, so shares are right to 1/ROWS."""
TRIES = 4
"""Tries of the most samples that a fate holds; whoever fails so often is taken never to succeed."""
LEAST_ATTEMPTS = 32
TABLE_SEED = 20_240_607
MEAN_SHARE = 0.75
"""Of the longest wait after a failure, which is drawn between a half and the whole of it."""

Action = tuple[str, int]
"""(mode, samples)"""


@dataclass(frozen=True, slots=True)
class Fates:
    """Rows of one task key, all [actions, rows]; times in nanoseconds, `inf` for never."""

    actions: tuple[Action, ...]
    first_takes: Floats
    first_ok: Flags
    first_cost: Floats
    whole_takes: Floats
    whole_cost: Floats
    first_work: Floats
    whole_work: Floats
    """Attempt-nanoseconds of the slots."""
    worst: Floats
    """[actions]: what the try may cost at most, which is what the machine reserves."""


class Tables:
    """Fates by task key. Every task has the same number of actions; where it has fewer modes its last one stands in.

    Args:
        samples: numbers of samples to choose from, ascending.
    """

    def __init__(self, profile: Profile, samples: tuple[int, ...], billed: Billed) -> None:
        self._profile, self.samples, self._billed = profile, samples, billed
        self._attempts = max(LEAST_ATTEMPTS, TRIES * samples[-1])
        self._uniform: Floats | None = None
        self._ends: dict[tuple[str, str, int, int], Ends] = {}
        self._grids: dict[tuple[str, str], Grid] = {}
        self._draws: dict[tuple[str, str], Draws] = {}
        self._fates: dict[tuple[Any, ...], Fates] = {}

    def of(
        self, key: str, modes: tuple[str, ...], places: int, failures: int, tries_left: int, *, is_alone: bool
    ) -> Fates:
        """The fates of a task.

        Args:
            modes: those it has. places: as many modes as the actions are to tell apart.
            failures, tries_left: how often it has failed, and may still be tried. is_alone: whether one sample is all.
        Cost: about 10 ms the first time, then 1 µs.
        """
        tries_left = min(tries_left, self._attempts)
        name = key, modes, places, failures, tries_left, is_alone
        found = self._fates.get(name)
        if found is None:
            actions = tuple(
                [
                    (modes[min(place, len(modes) - 1)], 1 if is_alone else count)
                    for place in range(places)
                    for count in self.samples
                ]
            )
            found = self._fates[name] = self._made(key, actions, failures, tries_left)
        return found

    def grid(self, key: str, mode: str) -> Grid:
        """Attempts of one mode, to draw from: see `attempts.grid_of`."""
        found = self._grids.get((key, mode))
        if found is None:
            found = self._grids[key, mode] = grid_of(self._profile.of(key, mode), ROWS)
        return found

    def nothing(self, places: int) -> Fates:
        """The fates of what takes no attempt, as far as anybody knows."""
        import numpy as np

        zeros = np.zeros((places * len(self.samples), ROWS), np.float32)
        actions = (("", 1),) * len(zeros)
        return Fates(actions, zeros, zeros == 0, zeros, zeros, zeros, zeros, zeros, zeros[:, 0])

    def _made(self, key: str, actions: tuple[Action, ...], failures: int, tries_left: int) -> Fates:
        import numpy as np

        first = [self._ends_of(key, mode, count, 1) for mode, count in actions]
        whole = [self._ends_of(key, mode, count, 0) for mode, count in actions]
        waits = waits_ns(failures, self._attempts)
        takes = [
            np.where((each.tries > 0) & (each.tries <= tries_left), each.takes + waits[each.tries - 1], np.inf)
            for each in whole
        ]
        worst = [self._profile.of(key, mode).cost.most * count for mode, count in actions]
        if tries_left == 1:  # then the first try is all there is, and what it costs is all it costs
            whole = first
        return Fates(
            actions,
            np.stack([np.where(each.tries > 0, each.takes, each.lasts) for each in first]).astype(np.float32),
            np.stack([each.tries > 0 for each in first]),
            np.stack([each.cost for each in first]).astype(np.float32),
            np.stack(takes).astype(np.float32),
            np.stack([each.cost for each in whole]).astype(np.float32),
            np.stack([each.work for each in first]).astype(np.float32),
            np.stack([each.work for each in whole]).astype(np.float32),
            np.array(worst, float),
        )

    def _ends_of(self, key: str, mode: str, count: int, tries: int) -> Ends:
        name = key, mode, count, tries
        found = self._ends.get(name)
        if found is None:
            found = self._ends[name] = ends(self._draws_of(key, mode), count, billed=self._billed, tries=tries or None)
        return found

    def _draws_of(self, key: str, mode: str) -> Draws:
        name = key, mode
        found = self._draws.get(name)
        if found is None:
            if self._uniform is None:
                self._uniform = stratified(ROWS, self._attempts)
            known = self._profile.of(key, mode)
            found = self._draws[name] = drawn_by(self._uniform, known, self.grid(key, mode))
        return found


def stratified(rows: int, attempts: int) -> Floats:
    """Uniform numbers [3, rows, attempts], of which every column has one in each of `rows` equal parts of [0, 1).

    Source: McKay, Beckman and Conover, "A Comparison of Three Methods for Selecting Values of Input Variables" (1979).
    """
    import numpy as np

    chance = np.random.Generator(np.random.Philox(key=TABLE_SEED))
    parts = np.broadcast_to(np.arange(rows, dtype=float)[None, :, None], (3, rows, attempts))
    inside = chance.random((3, rows, attempts))
    uniform: Floats = (chance.permuted(parts, axis=1) + inside) / rows
    return uniform


def waits_ns(failures: int, count: int) -> Floats:
    """[n]: how long a task that has failed so often waits in all for its n further failures, on average."""
    import numpy as np

    each = [MEAN_SHARE * min(FIRST_DELAY_NS << min(failures + n, 20), LONGEST_DELAY_NS) for n in range(max(count, 1))]
    return np.concatenate([[0.0], np.cumsum(each)])


def wait_ns(failures: int) -> float:
    """How long a task waits, on average, when it fails once more."""
    return float(waits_ns(failures, 1)[1])
