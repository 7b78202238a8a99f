"""A frozen dict whose next version costs under a microsecond: layers of dicts, the newest wins, None is gone.

    top      fewer than 16 entries, copied by every change
    layers   [.... 16384 ....][.. 2048 ..][. 128 .]     oldest and largest first, each over twice the next

A full top is merged with every layer at most twice its size, so an entry is copied O(log n) times in its
life, by `dict.copy`, which is a block copy. A look-up asks every layer, newest first. A dict copied at every
change would cost 23 us at 10k entries and grow. Older versions share layers with newer ones and stay valid.
The amortised bound holds for a line of versions; changing one old version again and again may pay for the
same merge each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

import msgspec

K = TypeVar("K")
V = TypeVar("V")

TOP = 16
RATIO = 2


class Layered(msgspec.Struct, Generic[K, V], frozen=True, eq=False):
    """A persistent dict. `None` is not a value of it."""

    layers: tuple[dict[K, V | None], ...] = ()
    top: dict[K, V | None] = {}
    size: int = 0

    def __len__(self) -> int:
        return self.size

    def get(self, key: K) -> V | None:
        """The value of a key, or None."""
        if key in self.top:
            return self.top[key]
        for layer in reversed(self.layers):
            if key in layer:
                return layer[key]
        return None

    def __contains__(self, key: K) -> bool:
        return self.get(key) is not None

    def added(self, key: K, value: V) -> Layered[K, V] | None:
        """With one more entry; None where the key is there already.

        Cost: 0.5 to 0.8 us from 1k to 100k entries.
        """
        if self.get(key) is not None:
            return None
        top = self.top.copy()
        top[key] = value
        if len(top) < TOP:
            return Layered(self.layers, top, self.size + 1)
        return Layered(merged(self.layers, top, self.size + 1), {}, self.size + 1)

    def changed(self, changes: Mapping[K, V | None]) -> Layered[K, V]:
        """With some entries set, or removed where their value is None."""
        size = self.size
        for key, value in changes.items():
            size += (value is not None) - (self.get(key) is not None)
        top = self.top | dict(changes)
        if len(top) < TOP:
            return Layered(self.layers, top, size)
        return Layered(merged(self.layers, top, size), {}, size)

    def flat(self) -> dict[K, V]:
        """All entries in one new dict, oldest key first (one removed and set again may keep its place)."""
        everything: dict[K, V | None] = {}
        for layer in self.layers:
            everything.update(layer)
        everything.update(self.top)
        return {key: value for key, value in everything.items() if value is not None}

    def __iter__(self) -> Iterator[K]:
        return iter(self.flat())


def merged(layers: tuple[dict[K, V | None], ...], top: dict[K, V | None], size: int) -> tuple[dict[K, V | None], ...]:
    """The layers with a full top merged in; tombstones go where nothing older is left for them to hide."""
    kept, entries = len(layers), len(top)
    while kept and len(layers[kept - 1]) <= entries * RATIO:
        kept -= 1
        entries += len(layers[kept])
    if kept == len(layers) and kept:
        return (*layers, top)
    lowest = layers[kept].copy() if layers else {}
    for layer in layers[kept + 1 :]:
        lowest.update(layer)
    lowest.update(top)
    if not kept and len(lowest) != size:
        lowest = {key: value for key, value in lowest.items() if value is not None}
    return (*layers[:kept], lowest)
