"""Chance by counters: the same names give the same numbers, in any order, on any machine.

    draws(seed, task, attempt)   three numbers of one attempt: a policy that starts tasks in another order, or leaves
                                 some out, changes nobody else's luck. Two policies are compared on common random
                                 numbers, which takes most of the noise out of their difference.
    Stream(seed, *key)           as many numbers as a search asks for.

Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011); the function is blake2b.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from hashlib import blake2b
from typing import Any, TypeVar

T = TypeVar("T")
_WORDS = 1 << 64
_UNIT = 2.0**-53


def draws(seed: int, task: bytes, attempt: int) -> tuple[float, float, float]:
    """Three uniform numbers in [0, 1). Cost: 1 µs."""
    digest = blake2b(b"%d:%d:" % (seed, attempt) + task, digest_size=24).digest()
    return (
        (int.from_bytes(digest[:8], "big") >> 11) * _UNIT,
        (int.from_bytes(digest[8:16], "big") >> 11) * _UNIT,
        (int.from_bytes(digest[16:], "big") >> 11) * _UNIT,
    )


class Stream:
    """Numbers named by a seed and a key; two streams with different keys are independent."""

    __slots__ = ("_block", "_count", "_name")

    def __init__(self, seed: int, *key: int | str) -> None:
        self._name = repr((seed, *key)).encode()
        self._count = 0
        self._block: list[int] = []

    def word(self) -> int:
        """64 random bits."""
        if not self._block:
            digest = blake2b(self._name, digest_size=64, salt=self._count.to_bytes(16, "little")).digest()
            self._block = [int.from_bytes(digest[at : at + 8], "little") for at in range(0, 64, 8)]
            self._count += 1
        return self._block.pop()

    def unit(self) -> float:
        """A number in [0, 1)."""
        return (self.word() >> 11) * _UNIT

    def below(self, bound: int) -> int:
        """An integer in [0, bound); the bias is at most bound / 2**64."""
        return self.word() * bound // _WORDS

    def between(self, least: int, most: int) -> int:
        """An integer in [least, most]."""
        return least + self.below(most - least + 1)

    def happens(self, probability: float) -> bool:
        """True with this probability."""
        return self.unit() < probability

    def pick(self, choices: Sequence[T]) -> T:
        """One of them."""
        return choices[self.below(len(choices))]

    def shuffle(self, values: MutableSequence[Any]) -> None:
        """Put them into a random order (Fisher and Yates)."""
        for last in range(len(values) - 1, 0, -1):
            other = self.below(last + 1)
            values[last], values[other] = values[other], values[last]
