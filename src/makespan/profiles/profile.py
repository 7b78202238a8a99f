"""What is known about tasks before they run: by task key and mode, how long, how dear, how likely to succeed.

A mode is one way to do a task: the name of a model with its configuration, as in the task's `models`. `""` stands for
whatever the task does by itself. Profiles are written by hand, or fitted from past journals (`makespan profile`).
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from makespan.profiles.distributions import Constant, Distribution

SCHEMA = 1
ANY = ""
"""The mode of a task that has none, or to which none was given."""


class Drawn(msgspec.Struct, frozen=True, gc=False):
    """How one attempt goes."""

    takes_ns: int
    cost: int = 0
    """Nano-USD."""
    ok: bool = True
    value: bytes | None = None
    """Its encoded result, where one is known."""


class Seen(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One attempt of the past: drawn as a whole, so that a dear one is dear because it was long."""

    takes_ns: int
    cost: int = 0
    ok: bool = True
    value: bytes | None = None


class ModeProfile(msgspec.Struct, frozen=True, omit_defaults=True):
    """One mode of a task."""

    duration: Distribution = Constant(0)
    """Of one attempt, nanoseconds."""
    cost: Distribution = Constant(0)
    """Of one attempt, nano-USD."""
    success: float = 1.0
    """Chance that an attempt gives a result."""
    quality: float = 1.0
    """Share of results that are right, where somebody has measured it."""
    seen: tuple[Seen, ...] = ()
    """Attempts to draw from; the figures above then summarise them."""
    results: tuple[bytes, ...] = ()
    """Encoded results to draw from, where a profile is written by hand; all are equally likely."""

    def draw(self, which: float, price: float, luck: float) -> Drawn:
        """One attempt, from three uniform numbers in [0, 1)."""
        if self.seen:
            row = self.seen[int(which * len(self.seen))]
            return Drawn(row.takes_ns, row.cost, row.ok, row.value)
        ok, value = luck < self.success, None
        if ok and self.results:  # below `success` the number is uniform again
            value = self.results[int(luck / self.success * len(self.results))]
        return Drawn(self.duration.quantile(which), self.cost.quantile(price), ok, value)


class Profile(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything that is known, as one JSON artefact."""

    tasks: dict[str, dict[str, ModeProfile]] = {}
    """Task key → mode → figures."""
    default: ModeProfile = ModeProfile(Constant(1_000_000_000))
    """For tasks that nothing is known of."""
    schema: int = SCHEMA
    widths: dict[str, Distribution] = {}
    """Task key → how many items its result had, where that was a list or a map went over it."""

    def of(self, key: str, mode: str = ANY) -> ModeProfile:
        """The figures of a mode; without a mode those of the task's first; `default` where nothing is known.

        A key may be given in full (`module.task`) or by its last part.
        """
        modes = self.tasks.get(key) or self.tasks.get(key.rpartition(".")[2])
        if not modes:
            return self.default
        found = modes.get(mode)
        if found is not None:
            return found
        if mode == ANY:
            return next(iter(modes.values()))
        return modes.get(ANY, self.default)

    def modes(self, key: str) -> tuple[str, ...]:
        """The modes that are known of a task."""
        return tuple(self.tasks.get(key) or self.tasks.get(key.rpartition(".")[2]) or ())

    def mean_ns(self, key: str, mode: str = ANY) -> float:
        """Mean duration of an attempt. Without a mode, and with several known: the mean over them."""
        names = self.modes(key)
        if mode == ANY and len(names) > 1 and ANY not in names:
            return sum(self.of(key, name).duration.mean for name in names) / len(names)
        return self.of(key, mode).duration.mean

    def quantile_ns(self, key: str, mode: str, q: float) -> int | None:
        """The duration that a share `q` of attempts does not exceed; None where nothing is known."""
        return self.of(key, mode).duration.quantile(q) if self.modes(key) else None

    @property
    def digest(self) -> str:
        """Of the content: what was compiled from one profile knows it again."""
        return blake2b(msgspec.json.encode(self, order="deterministic"), digest_size=8).hexdigest()


def read_profile(body: bytes) -> Profile:
    """A profile from its JSON. Raises ValueError that says what is wrong with it."""
    try:
        profile = msgspec.json.decode(body, type=Profile)
    except msgspec.DecodeError as error:
        raise ValueError(f"this is no profile: {error}") from None
    if profile.schema != SCHEMA:
        raise ValueError(f"this profile has the schema {profile.schema}; this version of makespan reads {SCHEMA}")
    return profile


def written(profile: Profile) -> bytes:
    """The JSON of a profile, one mode a line or so: made to be read and edited."""
    return msgspec.json.format(msgspec.json.encode(profile, order="deterministic"), indent=2) + b"\n"
