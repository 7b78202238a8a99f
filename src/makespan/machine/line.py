"""The line before shared resources: who waits for what, and whose turn it is.

    run a   gpu ▸ ▸ ▸      api ▸          within a run: by rank, then first come, first served
    run b   gpu ▸ ▸                       between runs: who had least of late, for its weight, and who waits longest

Those of one run that need the same stand in one queue, so 10,000 in line are a few queues, and a release looks at the
heads of those that it can concern. The score of a run, lowest first:

    (what it holds + what it was granted of late, as parts of the whole) / weight  -  how long it was passed over

Grants count half after HALF_LIFE_NS. Being passed over AGEING_NS weighs as much as having been granted a whole
resource, so whoever is behind comes first in the end; being served starts that anew, so a long backlog is no claim.
Sources: dominant shares, Ghodsi et al., "Dominant Resource Fairness" (2011); decayed use with ageing as in Slurm's
multifactor priority. Changed: what counts is what was granted, not how long it was held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush

import msgspec

from makespan.machine.policy import Rank
from makespan.machine.resources import BUDGET, Holder, Needs, pool_of

HALF_LIFE_NS = 60_000_000_000
AGEING_NS = 10_000_000_000

QueueKey = tuple[str, Needs]


class Waiting(msgspec.Struct):
    """One attempt in line."""

    holder: Holder
    needs: Needs
    rank: Rank
    sequence: int
    asked_at: int
    queue: Queue
    is_gone: bool = False


class Queue:
    """Attempts of one run that need the same (of budgets: whatever amount), best first."""

    def __init__(self, key: QueueKey) -> None:
        self.key, self.run_id = key, key[0]
        self.names = tuple(dict.fromkeys(each for name, _ in key[1] for each in (name, pool_of(name))))
        """What it waits for; of a named unit also its pool."""
        self.size = 0
        self._heap: list[tuple[Rank, int, Waiting]] = []

    def push(self, waiting: Waiting) -> None:
        self.size += 1
        heappush(self._heap, (waiting.rank, waiting.sequence, waiting))

    @property
    def head(self) -> Waiting | None:
        """The one whose turn it is in this queue."""
        heap = self._heap
        while heap and heap[0][2].is_gone:
            heappop(heap)
        return heap[0][2] if heap else None


class Share:
    """What one run was given of late."""

    def __init__(self, weight: float = 1.0) -> None:
        self.weight, self.held = weight, 0.0
        self.granted_at = 0
        self._granted = 0.0

    def grant(self, part: float, at: int) -> None:
        self._granted = self._of_late(at) + part
        self.held += part
        self.granted_at = max(at, self.granted_at)

    def _of_late(self, at: int) -> float:
        passed = max(at - self.granted_at, 0)
        return self._granted * 0.5 ** (passed / HALF_LIFE_NS) if self._granted else 0.0

    def score(self, head: Waiting, at: int) -> float:
        """Lower is served first."""
        passed_over = max(at - max(head.asked_at, self.granted_at), 0)
        return (self.held + self._of_late(at)) / self.weight - passed_over / AGEING_NS


class Line:
    """All who wait. Invariant: an attempt stands in it once."""

    def __init__(self) -> None:
        self._waiting: dict[Holder, Waiting] = {}
        self._queues: dict[QueueKey, Queue] = {}
        self._by_name: dict[str, dict[QueueKey, Queue]] = {}
        self._shares: dict[str, Share] = {}
        self._last, self._first = 0, 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, holder: Holder) -> bool:
        return holder in self._waiting

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._waiting.values())

    def share(self, run_id: str) -> Share:
        """What the run was given."""
        found = self._shares.get(run_id)
        if found is None:
            found = self._shares[run_id] = Share()
        return found

    def forget(self, run_id: str) -> None:
        """The run has ended."""
        for holder in [holder for holder in self._waiting if holder[0] == run_id]:
            self.remove(holder)
        self._shares.pop(run_id, None)

    def waits_for(self, name: str) -> bool:
        """Whether somebody in line needs it."""
        return name in self._by_name

    def add(self, holder: Holder, needs: Needs, rank: Rank, at: int, *, first: bool = False) -> None:
        """To the end of its queue, or (`first`) back to its head."""
        key = (holder[0], tuple((name, 0 if name.startswith(BUDGET) else units) for name, units in needs))
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = Queue(key)
            for name in queue.names:
                self._by_name.setdefault(name, {})[key] = queue
        if first:
            self._first -= 1
        else:
            self._last += 1
        waiting = Waiting(holder, needs, rank, self._first if first else self._last, at, queue)
        self._waiting[holder] = waiting
        queue.push(waiting)

    def remove(self, holder: Holder) -> Waiting | None:
        """Out of the line; None when it was not in it."""
        waiting = self._waiting.pop(holder, None)
        if waiting is None:
            return None
        waiting.is_gone = True
        queue = waiting.queue
        queue.size -= 1
        if queue.head is None:
            del self._queues[queue.key]
            for name in queue.names:
                queues = self._by_name[name]
                del queues[queue.key]
                if not queues:
                    del self._by_name[name]
        return waiting

    def concerned(self, names: Iterable[str]) -> list[Queue]:
        """Queues that room in these resources may help, and all that share a resource with one of them."""
        found: dict[QueueKey, Queue] = {}
        todo = [name for name in names if name in self._by_name]
        seen = set(todo)
        while todo:
            for key, queue in self._by_name[todo.pop()].items():
                if key not in found:
                    found[key] = queue
                    fresh = [name for name in queue.names if name not in seen]
                    seen.update(fresh)
                    todo += fresh
        return list(found.values())


class Turns:
    """Walks the heads of some queues in the order in which they are to be served, one look at the line."""

    def __init__(self, line: Line, queues: Iterable[Queue], at: int) -> None:
        self._line, self._at = line, at
        self._heads: dict[str, list[tuple[Rank, int, Queue]]] = {}
        self._runs: list[tuple[float, int, str]] = []
        for queue in queues:
            self._push_head(queue)
        for run_id in self._heads:
            self._push_run(run_id)

    def _push_head(self, queue: Queue) -> None:
        head = queue.head
        if head is not None:
            heappush(self._heads.setdefault(queue.run_id, []), (head.rank, head.sequence, queue))

    def _push_run(self, run_id: str) -> None:
        heads = self._heads[run_id]
        while heads:
            head = heads[0][2].head
            if head is not None:
                score = self._line.share(run_id).score(head, self._at)
                heappush(self._runs, (score, head.sequence, run_id))
                return
            heappop(heads)

    def next(self) -> Waiting | None:
        """Whose turn it is; its queue is out until `served`."""
        if not self._runs:
            return None
        _, _, run_id = heappop(self._runs)
        head = heappop(self._heads[run_id])[2].head
        assert head is not None, "nothing leaves the line between two turns"
        return head

    def passed(self, waiting: Waiting) -> None:
        """It could not be served, so none behind it in its queue can."""
        self._push_run(waiting.queue.run_id)

    def served(self, waiting: Waiting) -> None:
        """It was, and has left the line: the next of its queue follows."""
        self._push_head(waiting.queue)
        self._push_run(waiting.queue.run_id)
