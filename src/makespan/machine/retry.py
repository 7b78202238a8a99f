"""When a failed attempt is tried again, and how long to wait first. Pure: the jitter is a hash, not a die.

Source of full-range exponential backoff with jitter: Brooker, "Exponential Backoff And Jitter" (2015); we draw from the
upper half of the range so that a retry never comes at once.
"""

from __future__ import annotations

from hashlib import blake2b
from math import isfinite

from makespan.errors import ErrorRecord
from makespan.graph.node import Effect, Options
from makespan.machine.facts import Limits
from makespan.values import NANOS_PER_SECOND

FIRST_DELAY_NS = NANOS_PER_SECOND // 2
LONGEST_DELAY_NS = 60 * NANOS_PER_SECOND
RETRY = "makespan.errors.Retry"
FATAL = "makespan.errors.Fatal"


def may_retry(options: Options, error: ErrorRecord, failures: int, limits: Limits) -> bool:
    """Whether the `failures`-th failure (counting this one) is followed by another attempt."""
    if FATAL in error.lineage or error.retryable is False or failures >= limits.attempts:
        return False
    if RETRY in error.lineage:
        return failures <= (options.retries or (limits.implied_retries if options.heeds_retry else 0))
    if failures > options.retries:
        return False
    if options.retry_on:
        return any(name in options.retry_on for name in error.lineage)
    return options.effect != Effect.IRREVERSIBLE


def delay_ns(error: ErrorRecord, failures: int, seed: int, task_id: bytes) -> int:
    """Nanoseconds to wait before the next attempt: doubling, jittered, never sooner than the error itself asks."""
    longest = min(FIRST_DELAY_NS << min(failures - 1, 20), LONGEST_DELAY_NS)
    draw = blake2b(b"%d:%d:" % (seed, failures) + task_id, digest_size=4).digest()
    jittered = longest // 2 + longest // 2 * int.from_bytes(draw, "big") // 2**32
    if error.retry_after_s is not None and isfinite(error.retry_after_s):
        return max(jittered, round(error.retry_after_s * NANOS_PER_SECOND))
    return jittered
