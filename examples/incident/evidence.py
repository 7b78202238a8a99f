"""What the investigation can know: small frozen records that travel between tasks.

Times are UTC epoch seconds (`_s`), latencies milliseconds (`_ms`), error rates shares of requests in 0..1.
"""

from __future__ import annotations

from typing import Literal

import msgspec

ChangeKind = Literal["release", "migration", "config", "certificate", "client"]


class Window(msgspec.Struct, frozen=True):
    """The span the telemetry covers; the investigation happens at `end_s`."""

    start_s: float
    end_s: float
    bucket_s: float


class Dependency(msgspec.Struct, frozen=True):
    """`caller` sends requests to `callee`."""

    caller: str
    callee: str


class Shift(msgspec.Struct, frozen=True):
    """A lasting rise of one signal: from level `before` to level `after` at `onset_s`.

    `strength` is the rise in units of the signal's usual scatter.
    """

    onset_s: float
    before: float
    after: float
    strength: float


class ServiceHealth(msgspec.Struct, frozen=True):
    """How a service answers its callers; a shift is None where the signal did not rise and stay up.

    `failed_share` counts every 4xx and 5xx answer of the last 15 minutes.
    """

    service: str
    errors: Shift | None
    latency: Shift | None
    failed_share: float

    @property
    def onset_s(self) -> float | None:
        """When the first of the two signals rose."""
        times_s = [shift.onset_s for shift in (self.errors, self.latency) if shift]
        return min(times_s, default=None)


class EdgeShift(msgspec.Struct, frozen=True):
    """Traffic of one caller to one callee, before the onset and since."""

    caller: str
    callee: str
    requests_per_s: float
    error_rate_before: float
    error_rate_after: float
    latency_before_ms: float
    latency_after_ms: float

    @property
    def excess_errors_per_s(self) -> float:
        """Failed requests a second beyond what was usual."""
        return max(0.0, self.error_rate_after - self.error_rate_before) * self.requests_per_s

    @property
    def excess_wait(self) -> float:
        """Seconds of waiting added in each second, over all requests."""
        return max(0.0, self.latency_after_ms - self.latency_before_ms) * self.requests_per_s / 1_000


class PoolUse(msgspec.Struct, frozen=True):
    """Use of a service's connection pool; `share` shifts in 0..1 of its size, None if it did not rise."""

    service: str
    share: Shift | None


class Surge(msgspec.Struct, frozen=True):
    """A client's requests a second to a service rose for good."""

    client: str
    service: str
    traffic: Shift


class Change(msgspec.Struct, frozen=True):
    """Something that changed: a deployment, a setting, a certificate's expiry, a client's traffic."""

    id: str
    kind: ChangeKind
    service: str
    at_s: float
    summary: str


class Alert(msgspec.Struct, frozen=True):
    """One alert, `at_s` when it fired."""

    id: str
    at_s: float
    service: str
    rule: str


class Excerpt(msgspec.Struct, frozen=True):
    """One log line, with how often lines of its shape (numbers aside) occur in the window asked for."""

    id: int
    at_s: float
    service: str
    message: str
    count: int


class LogFact(msgspec.Struct, frozen=True):
    """What one log line says, in spans copied from it; an empty string where it says nothing.

    `upstream` the service, client or component blamed, `error` the kind of failure, `value` a number with
    its unit.
    """

    upstream: str = ""
    error: str = ""
    value: str = ""


class GroundedFact(msgspec.Struct, frozen=True):
    """A fact whose every span occurs in the excerpt it was taken from."""

    excerpt: Excerpt
    fact: LogFact


class Overview(msgspec.Struct, frozen=True):
    """Stage one: the whole shop at a glance."""

    window: Window
    dependencies: tuple[Dependency, ...]
    health: tuple[ServiceHealth, ...]
    changes: tuple[Change, ...]
    alerts: tuple[Alert, ...]


class Detail(msgspec.Struct, frozen=True):
    """Stage two: a closer look at one suspect, in its own logs and those of its callers."""

    service: str
    pool: PoolUse
    surges: tuple[Surge, ...]
    own_logs: tuple[Excerpt, ...]
    caller_logs: tuple[Excerpt, ...]


class Evidence(msgspec.Struct, frozen=True):
    """Everything the verdict rests on."""

    overview: Overview
    edges: tuple[EdgeShift, ...]
    details: tuple[Detail, ...]
    facts: tuple[GroundedFact, ...] = ()
