"""Journals as files: the turns' bodies, each behind its length, and what they fold to as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from makespan.graph.digest import digest
from makespan.machine.facts import Fact, decode_facts
from makespan.machine.realised import realised
from makespan.machine.state import State

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob("*.bin"))


def pack(bodies: list[bytes]) -> bytes:
    return b"".join(len(body).to_bytes(4, "big") + body for body in bodies)


def unpack(packed: bytes) -> list[bytes]:
    bodies = []
    while packed:
        size = int.from_bytes(packed[:4], "big")
        bodies.append(packed[4 : 4 + size])
        packed = packed[4 + size :]
    return bodies


def facts_of(name: str) -> list[Fact]:
    """All facts of a stored journal."""
    return [fact for body in unpack((HERE / f"{name}.bin").read_bytes()) for fact in decode_facts(body)]


def folded(name: str) -> State:
    """The state a stored journal folds to."""
    state = State(blob_of(name))
    for fact in facts_of(name):
        state.apply(fact)
    return state


def blob_of(name: str) -> Any:
    """Where a journal's blobs are: all of them hold the one text that `bulky` gives."""
    return dict.fromkeys(map(bytes.fromhex, expected(name)["blobs"]), b"\xdb\x00\x01\x11p" + b"x" * 70000).__getitem__


def expected(name: str) -> dict[str, Any]:
    """What was recorded when the journal was made."""
    found: dict[str, Any] = msgspec.json.decode((HERE / f"{name}.json").read_bytes())
    return found


def summary_of(state: State) -> dict[str, Any]:
    """What a run came to, in words that outlive the classes they were taken from."""
    return {
        "status": state.status,
        "reason": state.reason,
        "at": state.at,
        "error": None if state.error is None else state.error.message,
        "committed": [scope.committed for scope in state.scopes],
        "reserved": [scope.reserved for scope in state.scopes],
        "late_cost": state.late_cost,
        "edits": state.edits,
        "finish_log": state.finish_log,
        "graph": digest(realised(state)).hex(),
        "tasks": [
            {
                "key": task.declaration.key,
                "status": task.status.name.lower(),
                "attempt": task.attempt,
                "failures": task.failures,
                "cause": task.cause,
                "started_at": task.started_at,
                "ended_at": task.ended_at,
                "not_before": task.not_before,
                "value": None if not isinstance(task.value, bytes) else task.value.hex(),
            }
            for task in state.tasks
        ],
    }
