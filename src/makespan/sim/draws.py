"""Chance without a state: the numbers of an attempt are a hash of (seed, task, attempt).

So a policy that starts tasks in another order, or leaves some out, changes nobody else's luck: two policies are
compared on common random numbers, which takes most of the noise out of their difference.
Source of counter-based generators: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (2011).
"""

from __future__ import annotations

from hashlib import blake2b

_SCALE = 2.0**-53


def draws(seed: int, task: bytes, attempt: int) -> tuple[float, float, float]:
    """Three uniform numbers in [0, 1). Cost: 1 µs."""
    digest = blake2b(b"%d:%d:" % (seed, attempt) + task, digest_size=24).digest()
    return (
        (int.from_bytes(digest[:8], "big") >> 11) * _SCALE,
        (int.from_bytes(digest[8:16], "big") >> 11) * _SCALE,
        (int.from_bytes(digest[16:], "big") >> 11) * _SCALE,
    )
