"""Names that follow from content: of a task, of the n-th task with the same content, and of a whole graph.

    task id    = blake2b-128( len(scope) scope  len(key) key  args )          for the first with this content
               = blake2b-128( task id of the first ‖ n )                      for the n-th after it
    graph      = blake2b-128( every node and scope, sorted by id )

Lengths stand before every part but the last, so no two different triples give the same bytes. Nothing here
depends on the order in which code happened to run. Source: RFC 7693 (BLAKE2).
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from makespan.graph.graph import Graph
from makespan.graph.node import Declaration, MapOver, Node, Options
from makespan.values import TaskId

DIGEST_BYTES = 16
ENCODER = msgspec.msgpack.Encoder()
DEFAULTS = msgspec.structs.asdict(Options())


class Identity:
    """What ids of one task in one scope have in common, hashed once; `of` only adds the arguments."""

    __slots__ = ("started",)

    def __init__(self, scope: bytes, key: bytes) -> None:
        self.started = blake2b(prefixed(scope) + prefixed(key), digest_size=DIGEST_BYTES)

    def of(self, args: bytes) -> TaskId:
        """The id of the call with these arguments. Cost: 0.5 us."""
        state = self.started.copy()
        state.update(args)
        return TaskId(state.digest())


def task_id(scope: bytes, key: bytes, args: bytes) -> TaskId:
    """The id of the first call of `key` with these arguments in this scope. `Identity` is the fast path."""
    return Identity(scope, key).of(args)


def occurrence(content: TaskId, n: int) -> TaskId:
    """The id of the n-th call after the first one with the same content; n = 0 is the first itself."""
    if n == 0:
        return content
    return TaskId(blake2b(content + n.to_bytes(8, "big"), digest_size=DIGEST_BYTES).digest())


def prefixed(part: bytes) -> bytes:
    """A part with its length before it."""
    return len(part).to_bytes(4, "big") + part


def digest(graph: Graph) -> bytes:
    """16 bytes that say what a graph does, in whatever order it was made.

    Covers ids, declarations (key, kind, options), arguments, sources, guards, joins, templates, delays and
    scopes. Labels, result types and code digests are for people and stay out. Cost: O(N log N), about 4 us a
    task.
    """
    state = blake2b(digest_size=DIGEST_BYTES)
    declared: dict[Declaration, bytes] = {}
    for part in (
        [canonical(node, declared) for _, node in sorted(graph.nodes.items())],
        [ENCODER.encode(scope) for _, scope in sorted(graph.scopes.items())],
    ):
        state.update(len(part).to_bytes(8, "big"))
        state.update(b"".join(map(prefixed, part)))
    return state.digest()


def canonical(node: Node, declared: dict[Declaration, bytes]) -> bytes:
    """The bytes that say what a node is."""
    return ENCODER.encode(
        (
            node.id,
            declaration_digest(node.declaration, declared),
            node.scope,
            node.args,
            node.sources,
            node.when,
            node.first,
            canonical_template(node.over, declared) if node.over is not None else None,
            node.delay_ns,
        )
    )


def canonical_template(template: MapOver, declared: dict[Declaration, bytes]) -> list[object]:
    """What a template is. Its nodes keep their order: ids of equal calls in it depend on that."""
    nodes = [canonical(node, declared) for node in template.nodes]
    return [nodes, template.output, template.errors, template.limit, template.items]


def declaration_digest(declaration: Declaration, declared: dict[Declaration, bytes]) -> bytes:
    """Digest of what a declaration asks for; remembered by the caller."""
    found = declared.get(declaration)
    if found is None:
        said = ENCODER.encode((declaration.key, declaration.kind, asked(declaration.options), *awaited(declaration)))
        found = declared[declaration] = blake2b(said, digest_size=DIGEST_BYTES).digest()
    return found


def awaited(declaration: Declaration) -> list[object]:
    """What a task waits for and how it is undone; nothing for most, whose digests stay as they were."""
    wait, undo = declaration.wait, declaration.undo
    said: list[object] = [] if wait is None else [(wait.name, wait.has_default)]
    return said if undo is None else [*said, (undo.declaration.key, asked(undo.declaration.options), undo.parameter)]


def asked(options: Options) -> dict[str, object]:
    """The options that differ from their defaults, in order: a new option with a default changes no digest.

    `omit_defaults` would not do: it compares by identity, so equal texts could give different bytes.
    """
    values = msgspec.structs.asdict(options)
    return {name: value for name, value in values.items() if value != DEFAULTS[name]}
