"""Results for attempts of which only time and cost are known: the smallest instance of the task's declared type."""

from __future__ import annotations

from typing import Any

import msgspec

from makespan.authoring.place import Registry
from makespan.authoring.task import HOOKS
from makespan.authoring.turn import TurnTask
from makespan.codec import NotEncodable
from makespan.draws import draws
from makespan.graph.node import Declaration, Kind
from makespan.machine.observations import StartAttempt
from makespan.machine.state import State
from makespan.profiles.profile import Profile
from makespan.sim.stand_in import TEXT, instance, shape
from makespan.values import NONE_VALUE

WIDTH_DRAW = 1_000_000
"""Added to the attempt's number: how many items a list has is drawn apart from how long the attempt takes."""
MOMENT = "2026-01-01T00:00:00Z"
"""A text that is a moment too: the schema of a time with or without a zone does not say what it is."""
_encode = msgspec.msgpack.encode


class Assumed:
    """What many simulated runs of one subject assumed, each thing once."""

    def __init__(self) -> None:
        self.unknown: dict[str, None] = {}
        """Keys of tasks of which the profile knows nothing."""
        self.stood_in: dict[str, bytes] = {}
        """Key → an example of a result that stood in."""
        self.widths: dict[str, None] = {}
        """Keys of tasks whose lists got the default number of items."""
        self.guards: dict[str, None] = {}
        self.cached: dict[str, None] = {}
        """Keys of tasks whose results a cache may keep: simulated ones never are."""


class TypedValues:
    """`sim.guessing.Values` by the declared types of the tasks of one run.

    Args:
        registry: of the run; live bodies add to it. items: of lists that nothing is known of.
    """

    def __init__(self, registry: Registry, profile: Profile, items: int, assumed: Assumed, made: Made) -> None:
        self._registry, self._profile, self._items = registry, profile, items
        self._assumed, self._made = assumed, made

    def fits(self, declaration: Declaration, value: bytes) -> bool:
        """Whether the task as it is today could give this."""
        task = self._registry.get(declaration.key)
        if task is None:
            return True
        known = self._made.fits.get((declaration.key, value))
        if known is None:
            try:
                task.signature.result.decode(value)
                known = True
            except NotEncodable:
                known = False
            self._made.fits[(declaration.key, value)] = known
        return known

    def stand_in(self, command: StartAttempt, state: State) -> bytes:
        """A result of the declared type; for one without a type whatever its readers look for."""
        key = command.declaration.key
        items = self._width(command, state)
        found = self._made.values.get((key, items))
        if found is None:
            found = self._make(command, state, items)
            if found is None:
                return self._shaped(command, state)
            self._made.values[(key, items)] = found
        self._assumed.stood_in.setdefault(key, found)
        if items == self._items and key not in self._profile.widths and _has_list(found):
            self._assumed.widths[key] = None
        return found

    def _width(self, command: StartAttempt, state: State) -> int:
        known = self._profile.widths.get(command.declaration.key)
        if known is None:
            return self._items
        seed = state.started.seed if state.started is not None else 0
        return known.quantile(draws(seed, command.id, command.attempt + WIDTH_DRAW)[0])

    def _make(self, command: StartAttempt, state: State, items: int) -> bytes | None:
        declaration = command.declaration
        if declaration.kind == Kind.SIGNAL:
            schema = declaration.wait.schema if declaration.wait is not None else b""
            return _encode(instance(msgspec.json.decode(schema), items)) if schema else NONE_VALUE
        task = self._registry.get(declaration.key)
        if task is None:
            return None
        if isinstance(task, TurnTask):  # the turn of an agent in which it answers
            return _encode({"value": msgspec.Raw(typed_stand_in(task.agent.returns, items))})
        return None if task.returns is Any else typed_stand_in(task.returns, items)

    def _shaped(self, command: StartAttempt, state: State) -> bytes:
        task = state.tasks[command.task]
        readers = [state.tasks[number].spec for number in task.dependents or ()]
        value = _encode(shape(path for spec in readers for number, path, _ in spec.sources if number == command.task))
        self._assumed.stood_in.setdefault(command.declaration.key, value)
        return value


class Made:
    """Values that were made or looked at before, for all runs of one subject."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, int], bytes] = {}
        self.fits: dict[tuple[str, bytes], bool] = {}


def typed_stand_in(annotation: Any, items: int) -> bytes:
    """The encoded smallest instance of a type that counts as true; None where none can be made.

    Cost: about 100 µs: what is made is kept by those who ask often.
    """
    if annotation is None or annotation is type(None):
        return NONE_VALUE
    if annotation is Any:
        return _encode(True)
    for text in (TEXT, MOMENT):
        try:
            plain = instance(msgspec.json.schema(annotation, schema_hook=_schema), items, text)
            return HOOKS.codec(annotation).encode(HOOKS.convert(plain, annotation))
        except (TypeError, NotEncodable, NameError):
            continue
    try:  # whatever cannot say its schema may still have defaults for all it holds
        return HOOKS.codec(annotation).encode(HOOKS.convert({}, annotation))
    except NotEncodable:
        return NONE_VALUE


def _schema(kind: type) -> dict[str, Any]:
    """Types that only their codec knows: pydantic models say their schema, paths are text, others are anything."""
    schema: dict[str, Any] = kind.model_json_schema() if hasattr(kind, "model_json_schema") else {"type": "string"}
    return schema


def _has_list(encoded: bytes) -> bool:
    """Whether a value holds a list anywhere."""
    return _mentions_list(msgspec.msgpack.decode(encoded))


def _mentions_list(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_mentions_list, value.values()))
    return isinstance(value, list) and bool(value)
