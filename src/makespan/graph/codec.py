"""A graph as JSON and back, exactly: `from_json(to_json(graph)) == graph`, labels and code digests included.

    {"makespan_graph": 1,
     "declarations": [{"key": "search", ...}],             each once, by key; nodes name them by index
     "scopes": [...], "nodes": [...]}                       by id, ids as hex

Arguments that are one whole value are shown as that value (`args`) where JSON can hold it exactly; all others
are `pieces`: base64, and an index for every hole. The rows below are the format. A new field needs a default;
a change of meaning needs a new version. Readers refuse newer versions.
"""

from __future__ import annotations

import binascii
import sys
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from makespan.errors import GraphError
from makespan.graph.digest import asked
from makespan.graph.graph import Graph
from makespan.graph.node import (
    Declaration,
    Errors,
    First,
    Kind,
    MapOver,
    Mode,
    Node,
    Options,
    Scope,
    Source,
    Undo,
    Wait,
)
from makespan.values import Nanos, NanoUsd, ScopeId, TaskId

VERSION = 1


class SourceRow(Struct, omit_defaults=True, forbid_unknown_fields=True):
    task: str
    path: tuple[str | int, ...] = ()
    mode: str = "value"


class DeclarationRow(Struct, omit_defaults=True, forbid_unknown_fields=True):
    key: str
    kind: str = "call"
    options: dict[str, Any] | None = None
    returns: str = ""
    code: str = ""
    wait: WaitRow | None = None
    undo: UndoRow | None = None


class WaitRow(Struct, omit_defaults=True, forbid_unknown_fields=True):
    name: str = ""
    schema: str = ""
    has_default: bool = False


class UndoRow(Struct, omit_defaults=True, forbid_unknown_fields=True):
    declaration: DeclarationRow
    parameter: str


class FirstRow(Struct, omit_defaults=True, forbid_unknown_fields=True):
    wanted: int = 1
    accept: str = ""
    many: bool = False
    default: bool = False
    gated: bool = False


class MapRow(Struct, omit_defaults=True, forbid_unknown_fields=True):
    nodes: list[NodeRow]
    output: SourceRow
    errors: str = "raise"
    limit: int = 0
    items: list[SourceRow] = []


class NodeRow(Struct, omit_defaults=True, forbid_unknown_fields=True):
    id: str
    declaration: int
    scope: str
    args: Any = UNSET
    pieces: list[str | int] = []
    sources: list[SourceRow] = []
    when: str = ""
    label: str = ""
    first: FirstRow | None = None
    over: MapRow | None = None
    delay_ns: int = 0


class ScopeRow(Struct, omit_defaults=True, forbid_unknown_fields=True):
    id: str
    parent: str
    name: str
    budget: int | None = None
    deadline_ns: int | None = None
    limit: int = 0
    undo: bool = False
    tolerant: bool = False


class Document(Struct, forbid_unknown_fields=True):
    makespan_graph: int
    declarations: list[DeclarationRow]
    scopes: list[ScopeRow]
    nodes: list[NodeRow]


class Header(Struct):
    makespan_graph: int


def to_json(graph: Graph) -> bytes:
    """The graph as one line of JSON. Equal graphs give equal bytes. Cost: O(N log N), about 10 us a task."""
    nodes = [node for _, node in sorted(graph.nodes.items())]
    rows = {declaration: declaration_row(declaration) for declaration in declared_by(nodes)}
    declarations = sorted(rows, key=lambda each: msgspec.json.encode(rows[each]))
    index = {declaration: place for place, declaration in enumerate(declarations)}
    document = Document(
        makespan_graph=VERSION,
        declarations=[rows[declaration] for declaration in declarations],
        scopes=[scope_row(scope) for _, scope in sorted(graph.scopes.items())],
        nodes=[node_row(node, index) for node in nodes],
    )
    return msgspec.json.encode(document)


def from_json(text: bytes | str) -> Graph:
    """The graph that JSON stands for.

    Raises:
        GraphError: not JSON, not a graph, or made by a newer makespan; the message says where.
    """
    try:
        version = msgspec.json.decode(text, type=Header).makespan_graph
        if version > VERSION:
            raise GraphError(f"this graph has format {version}, this makespan reads up to {VERSION}; upgrade makespan")
        document = msgspec.json.decode(text, type=Document)
        declarations = [declaration_of(row) for row in document.declarations]
        nodes = [node_of(row, declarations) for row in document.nodes]
        return Graph.of(nodes, map(scope_of, document.scopes))
    except (msgspec.DecodeError, binascii.Error, KeyError, IndexError, ValueError) as error:
        raise GraphError(f"not a graph that makespan wrote: {error}") from error


def declared_by(nodes: Iterable[Node]) -> Iterable[Declaration]:
    """The declarations of nodes and of the templates in them."""
    for node in nodes:
        yield node.declaration
        if node.over is not None:
            yield from declared_by(node.over.nodes)


def declaration_row(declaration: Declaration) -> DeclarationRow:
    options = msgspec.to_builtins(asked(declaration.options)) or None
    wait, undo = declaration.wait, declaration.undo
    return DeclarationRow(
        declaration.key,
        word(declaration.kind),
        options,
        declaration.returns,
        declaration.code,
        None if wait is None else WaitRow(wait.name, wait.schema.decode(), wait.has_default),
        None if undo is None else UndoRow(declaration_row(undo.declaration), undo.parameter),
    )


def declaration_of(row: DeclarationRow) -> Declaration:
    options = msgspec.convert(row.options or {}, Options)
    wait, undo = row.wait, row.undo
    return Declaration(
        row.key,
        Kind[row.kind.upper()],
        options,
        row.returns,
        row.code,
        None if wait is None else Wait(wait.name, wait.schema.encode(), wait.has_default),
        None if undo is None else Undo(declaration_of(undo.declaration), undo.parameter),
    )


def scope_row(scope: Scope) -> ScopeRow:
    return ScopeRow(
        scope.id.hex(),
        scope.parent.hex(),
        scope.name,
        scope.budget,
        scope.deadline_ns,
        scope.limit,
        scope.undo,
        scope.tolerant,
    )


def scope_of(row: ScopeRow) -> Scope:
    return Scope(
        ScopeId(bytes.fromhex(row.id)),
        ScopeId(bytes.fromhex(row.parent)),
        row.name,
        None if row.budget is None else NanoUsd(row.budget),
        None if row.deadline_ns is None else Nanos(row.deadline_ns),
        row.limit,
        row.undo,
        row.tolerant,
    )


def source_row(source: Source) -> SourceRow:
    return SourceRow(source.task.hex(), source.path, word(source.mode))


def source_of(row: SourceRow) -> Source:
    return Source(TaskId(bytes.fromhex(row.task)), row.path, Mode[row.mode.upper()])


def node_row(node: Node, index: Mapping[Declaration, int]) -> NodeRow:
    args = readable(node.args)
    over = node.over
    return NodeRow(
        id=node.id.hex(),
        declaration=index[node.declaration],
        scope=node.scope.hex(),
        args=args,
        pieces=[] if args is not UNSET else [piece_row(piece) for piece in node.args],
        sources=[source_row(source) for source in node.sources],
        when=node.when,
        label=node.label,
        first=None if node.first is None else FirstRow(**msgspec.structs.asdict(node.first)),
        over=None if over is None else map_row(over, index),
        delay_ns=node.delay_ns,
    )


def node_of(row: NodeRow, declarations: list[Declaration]) -> Node:
    if row.declaration < 0:
        raise ValueError("the index of a declaration is at least 0")
    pieces: tuple[bytes | int, ...] = tuple(map(piece_of, row.pieces))
    return Node(
        id=TaskId(bytes.fromhex(row.id)),
        declaration=declarations[row.declaration],
        scope=ScopeId(bytes.fromhex(row.scope)),
        args=pieces if row.args is UNSET else (msgspec.msgpack.encode(row.args),),
        sources=tuple(map(source_of, row.sources)),
        when=row.when,
        label=row.label,
        first=None if row.first is None else First(**msgspec.structs.asdict(row.first)),
        over=None if row.over is None else map_of(row.over, declarations),
        delay_ns=Nanos(row.delay_ns),
    )


def map_row(over: MapOver, index: Mapping[Declaration, int]) -> MapRow:
    return MapRow(
        [node_row(node, index) for node in over.nodes],
        source_row(over.output),
        word(over.errors),
        over.limit,
        [source_row(item) for item in over.items],
    )


def map_of(row: MapRow, declarations: list[Declaration]) -> MapOver:
    return MapOver(
        tuple(node_of(node, declarations) for node in row.nodes),
        source_of(row.output),
        Errors[row.errors.upper()],
        row.limit,
        tuple(map(source_of, row.items)),
    )


def word(member: IntEnum) -> str:
    """A member of an enumeration as the format has it. Interned: `omit_defaults` compares by identity."""
    return sys.intern(member.name.lower())


def piece_row(piece: bytes | int) -> str | int:
    return piece if isinstance(piece, int) else binascii.b2a_base64(piece, newline=False).decode()


def piece_of(piece: str | int) -> bytes | int:
    return piece if isinstance(piece, int) else binascii.a2b_base64(piece, strict_mode=True)


def readable(args: tuple[bytes | int, ...]) -> Any | UnsetType:
    """The arguments as the value they encode, where JSON gives back exactly the same bytes."""
    if len(args) != 1 or isinstance(args[0], int):
        return UNSET
    try:
        value = msgspec.msgpack.decode(args[0])
        back = msgspec.msgpack.encode(msgspec.json.decode(msgspec.json.encode(value)))
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        return UNSET
    return value if back == args[0] else UNSET
