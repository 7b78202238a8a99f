"""The tasks of one place as a document says them: the workflow itself, or what a map does with each item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from makespan.authoring.place import with_name
from makespan.authoring.task import Task
from makespan.authoring.trace import Inlined
from makespan.documents.link import OF_TRACED
from makespan.documents.options import said_options
from makespan.documents.prompts import parameters_of
from makespan.documents.references import Reference, escaped, pieces, written
from makespan.documents.regions import Path as Around
from makespan.documents.regions import Places, Region, own_sources
from makespan.documents.types import yaml_type
from makespan.documents.words import Hole, Words
from makespan.errors import GraphError
from makespan.graph.node import Declaration, Errors, Kind, MapOver, Mode, Node, Scope, Source, is_placeholder
from makespan.values import ScopeId, TaskId

Said = dict[str, Any]


class Block:
    """The tasks of one place: the workflow itself, or what a map does with each item."""

    def __init__(
        self,
        exporter: Words,
        nodes: Sequence[Node],
        scopes: list[Scope],
        read: Sequence[TaskId] = (),
        *,
        depth: int = 0,
        above: Block | None = None,
    ) -> None:
        self.read = read
        self.exporter, self.nodes, self.depth, self.above = exporter, nodes, depth, above
        self.places = Places(nodes, scopes)
        self.calls = self._calls()
        self.by_id = {node.id: node for node in nodes}
        self.absorbed = self._absorbed()
        for node in nodes:
            if self.places.is_when(node):
                held = self.by_id.get(self.by_id[node.sources[0].task].sources[0].task)
                exporter.hints[node.id] = "choice" if held is None or held.first is not None else held.key
            elif self.places.is_fallback(node):
                exporter.hints[node.id] = "fallback"
        self.outcomes: dict[tuple[TaskId, Around], str] = {}
        self.extra: dict[Around, Said] = {}
        self.leaks: dict[object, list[TaskId]] = {}
        """Tasks in a scope that something outside of it reads."""
        self._find_leaks()

    def _calls(self) -> dict[TaskId, Inlined]:
        """The plain workflow that each node came from, for those that came from one called here."""
        here = {node.id for node in self.nodes}
        found: dict[TaskId, Inlined] = {}
        for call in self.exporter.template.registry.inlined:  # outer ones come later and take the place of inner ones
            if here.issuperset(call.made):
                found |= dict.fromkeys(call.made, call)
        return found

    def _path_of(self, call: Inlined) -> Around:
        """Where a call of a plain workflow stands: what is around its tasks, up to its own guards and scope."""
        outer = self.places.scopes_around(call.scope)
        path: list[object] = []
        guards = 0
        for each in max((self.places.paths[task] for task in call.made), key=len):
            guards += isinstance(each, Region)
            if guards > call.guards or (isinstance(each, bytes) and each not in outer):
                break
            path.append(each)
        return tuple(path)

    def _absorbed(self) -> set[TaskId]:
        """Nodes that are part of another's words: the results of branches, gates."""
        found: set[TaskId] = set()
        for node in self.nodes:
            if self.places.is_when(node):
                found |= {source.task for source in node.sources}
            elif self.places.is_fallback(node):
                found.add(node.sources[0].task)
            elif node.first is not None and node.first.gated:
                found |= {source.task for source in node.sources[len(node.sources) // 2 :]}
        return found

    # ------------------------------------------------------------ the tree of tasks

    def tasks(self) -> Said:
        return self.inside(())

    def inside(self, around: Around) -> Said:
        """What stands directly in a region or scope, by name and in order."""
        found: Said = {}
        for node in self.nodes:
            path = self.places.paths[node.id]
            call = self.calls.get(node.id)
            if node.id in self.absorbed and call is None:
                continue
            if call is not None and (node.id != call.made[0] or self._path_of(call) == around):
                if node.id == call.made[0]:
                    found[self.exporter.name(_call_node(call))] = self.inlined(call, around)
                continue
            path = path if call is None else self._path_of(call)
            if path == around:
                said = self.task(node, around)
                if said is not None:
                    found[self.exporter.name(node)] = said
            elif path[: len(around)] == around:
                inner = path[len(around)]
                if isinstance(inner, bytes) and self._group_name(inner) not in found:
                    found[self._group_name(inner)] = self.group(ScopeId(inner), (*around, inner))
        return {**found, **self.extra.pop(around, {})}

    def _group_name(self, scope: Any) -> str:
        names = self.exporter.names
        if scope not in names:
            names[scope] = self.exporter.name(_Named(TaskId(scope), self.places.scopes[scope].name))  # type: ignore[arg-type]
        return names[scope]

    def group(self, scope: ScopeId, around: Around) -> Said:
        """A named scope with its limits."""
        found = self.places.scopes[scope]
        said: Said = {"scope": found.name}
        if found.budget is not None:
            said["budget_usd"] = found.budget / 1e9
        if found.deadline_ns is not None:
            said["deadline_s"] = found.deadline_ns / 1e9
        if found.undo:
            said["undo"] = True
        said["tasks"] = self.inside(around)
        leaked = self.leaks.get(scope, [])
        if leaked:
            outputs = [written(*self._way(task, self._result_path(task), around)) for task in leaked]
            said["output"] = outputs[0] if len(outputs) == 1 else outputs
        return said

    def _find_leaks(self) -> None:
        """What is read from outside of the scope it stands in, for each scope on the way."""
        readers = [(self.places.paths[node.id], self._read_by(node)) for node in self.nodes]
        for around, tasks in [*readers, ((), list(self.read))]:
            for task in tasks:
                path = self.places.paths.get(task, ())
                for number, each in enumerate(path):
                    if isinstance(each, bytes) and around[: number + 1] != path[: number + 1]:
                        listed = self.leaks.setdefault(each, [])
                        if task not in listed:
                            listed.append(task)

    def _read_by(self, node: Node) -> list[TaskId]:
        tasks = [source.task for source in node.sources]
        return [*tasks, node.over.output.task] if node.over is not None else tasks

    # ------------------------------------------------------------ references

    def reference(self, source: Source, around: Around = ()) -> str:
        """The token that reads a source from a place."""
        exporter = self.exporter
        if source.task == exporter.inputs:
            return written("inputs", source.path)
        if is_placeholder(source.task):
            return written(item_name(2**64 - 1 - int.from_bytes(source.task[8:], "big")), source.path)
        if source.task not in self.by_id:
            if self.above is None:
                raise GraphError(f"a task {source.task.hex()[:8]} is not in the graph")
            return self.above.reference(source, self.above.open_at)
        path = source.path
        if source.mode == Mode.OUTCOME:
            return written(self._outcome(source.task, around), path)
        if source.task in exporter.firsts and source.mode == Mode.VALUE:
            node = self.by_id[source.task]
            if path[:1] != (1,):
                raise exporter.refused(node, "which of its candidates won is read; YAML reads only the value")
            path = path[1:]
        name, steps = self._way(source.task, path, around)
        return written(name, steps)

    open_at: Around = ()
    """Where the map stands whose items are being written."""

    def _way(self, task: TaskId, path: tuple[str | int, ...], around: Around) -> tuple[str, tuple[str | int, ...]]:
        """Name and steps by which a task is read: through the output of the group it stands in, from outside of it."""
        call = self.calls.get(task)
        own = self.places.paths[task] if call is None else self._path_of(call)
        result = self._result_path(task)
        if call is not None and (task != call.result or path[: len(result)] != result):
            why = f"it is read from outside of {call.workflow.key}, where it is made"
            raise self.exporter.refused(self.by_id[task], why)
        path = path[len(result) :]
        if task in self.absorbed and call is None:
            raise self.exporter.refused(self.by_id[task], "it is part of another task, and read from outside of it")
        for number, each in enumerate(own):
            if around[: number + 1] == own[: number + 1]:
                continue
            if isinstance(each, Region):
                raise self.exporter.refused(self.by_id[task], "it is read from outside of the branch it stands in")
            listed = self.leaks[each]
            steps = path if len(listed) == 1 else (listed.index(task), *path)
            return self._group_name(each), steps
        return self.exporter.name(self.by_id[task] if call is None else _call_node(call)), path

    def _result_path(self, task: TaskId) -> tuple[str | int, ...]:
        """The part of a task that is the result of the plain workflow it came from."""
        call = self.calls.get(task)
        if call is None:
            return ()
        return call.path[1:] if task in self.exporter.firsts else call.path

    def _outcome(self, task: TaskId, around: Around) -> str:
        """The name of how a task ended, said where it is read: it makes no node."""
        found = self.outcomes.get((task, around))
        if found is None:
            base = f"{self.exporter.name(self.by_id[task])}_outcome"
            number, found = 2, base
            while found in self.exporter.taken:
                found, number = f"{base}_{number}", number + 1
            self.exporter.taken.add(found)
            self.outcomes[task, around] = found
            token = written(*self._way(task, self._result_path(task), around))
            self.extra.setdefault(around, {})[found] = {"outcome": token}
        return found

    def data(self, node: Node, value: Any, around: Around = ()) -> Any:
        """Data with references where it has holes."""
        if isinstance(value, Hole):
            return self.reference(node.sources[value.number], around)
        if isinstance(value, list):
            return [self.data(node, each, around) for each in value]
        if isinstance(value, dict):
            if not all(isinstance(name, str) for name in value):
                raise self.exporter.refused(node, "a mapping in its arguments has keys that are no texts")
            return {name: self.data(node, each, around) for name, each in value.items()}
        if isinstance(value, str):
            return escaped(value)
        if isinstance(value, int | float | bool | type(None)):
            return value
        return msgspec.to_builtins(value)

    # ------------------------------------------------------------ one task

    def task(self, node: Node, around: Around) -> Said | None:
        """What the document says of one node."""
        match node.declaration.kind:
            case Kind.CALL | Kind.WORKFLOW:
                return self.call(node, around)
            case Kind.VALUE:
                return self.value(node, around)
            case Kind.FIRST:
                return self.first(node, around)
            case Kind.MAP:
                return self.map(node, around)
            case Kind.TIMER:
                return self.timer(node, around)
            case Kind.SIGNAL:
                return self.signal(node, around)
            case Kind.EDIT:
                raise self.exporter.refused(node, "edits are made while a run goes on, and are no part of its template")

    def call(self, node: Node, around: Around) -> Said:
        exporter = self.exporter
        task = exporter.template.registry.get(node.key)
        if task is None:
            raise exporter.refused(node, "its code is not at hand")
        arguments = exporter.holes(node)
        if hasattr(task.fn, "said"):
            said = self.prompt(node, task, arguments, around)
        else:
            target, found = exporter.target(node, task)
            said = {"call": target}
            if arguments:
                said["with"] = self.data(node, arguments, around)
            said |= said_options(node.declaration, found.declaration)
            if node.declaration.undo != found.declaration.undo and node.declaration.undo is not None:
                undo = exporter.template.registry.get(node.declaration.undo.declaration.key)
                if undo is None:
                    raise exporter.refused(node, "the code of its `undo` is not at hand")
                said["undo"] = exporter.target(node, undo)[0]
        after = [s for s in node.sources[: own_sources(node)] if s.mode == Mode.AFTER]
        if after:
            said["after"] = [self.reference(s, around) for s in after]
        return said

    def inlined(self, call: Inlined, around: Around) -> Said:
        """A call of a plain workflow or of another document."""
        node = _call_node(call)
        said: Said = {"call": self.exporter.target(node, call.workflow)[0]}
        arguments = self.exporter.holes(node)
        if arguments:
            said["with"] = self.data(node, arguments, around)
        return said | {name: value for name, value in call.workflow._overrides.items() if name in OF_TRACED}

    def prompt(self, node: Node, task: Task[..., Any], arguments: Any, around: Around) -> Said:
        spoken = task.fn.said  # type: ignore[attr-defined]  # a prompt of a document has what it said there
        parameters = parameters_of(spoken.texts)
        tokens = {name: self.data(node, arguments[parameter], around) for name, parameter in parameters.items()}
        given = {parameter: tokens[name] for name, parameter in parameters.items()}
        if [*parameters_of(map(str, tokens.values())).values()] == [*given]:
            given = {}  # the references themselves give the same names
        else:
            tokens = {name: written(parameter, ()) for name, parameter in parameters.items()}

        def text(said: str) -> str:
            parts = list(pieces(said))
            return "".join(tokens[p.name, p.path] if isinstance(p, Reference) else escaped(p) for p in parts)

        is_one = len(spoken.messages) == 1 and spoken.messages[0][0] == "user"
        said: Said = {"prompt": text(spoken.messages[0][1]) if is_one else [{r: text(t)} for r, t in spoken.messages]}
        if spoken.system:
            said["system"] = text(spoken.system)
        if given:
            said["with"] = given
        if spoken.returns is not None:
            said["returns"] = self._returns(node, task)
        said |= {name: value for name, value in spoken.options.items() if name != "key"}
        if self.exporter.name(node) != task.key:
            said["key"] = task.key
        return said

    def _returns(self, node: Node, task: Task[..., Any]) -> Any:
        try:
            return yaml_type(task.returns)
        except GraphError as error:
            raise self.exporter.refused(node, str(error)) from None

    def value(self, node: Node, around: Around) -> Said:
        said: Said = {"value": self.data(node, self.exporter.holes(node), around)}
        return said if node.key == "value" else {**said, "key": node.key}

    def first(self, node: Node, around: Around) -> Said:
        first = node.first
        assert first is not None
        if self.places.is_when(node):
            return self.when(node, around)
        if self.places.is_fallback(node):
            return {"fallback": self.alternatives(node, around)}
        if first.default:
            raise self.exporter.refused(node, "a join with a default that is of no `when`")
        choices = node.sources[: len(node.sources) // 2] if first.gated else node.sources
        said: Said = {"first": [self.reference(source, around) for source in choices]}
        if first.many:
            said["n"] = first.wanted
        if first.accept:
            said["accept"] = first.accept
        if first.gated:
            gate = self.by_id[node.sources[-1].task]
            said["accept"] = {name: each for name, each in self.call(gate, around).items() if name != "with"}
        return said

    def when(self, node: Node, around: Around) -> Said:
        regions = [region for region in self.places.regions if region.join is node]
        held = regions[0].guards[-1]
        branch = self.by_id[node.sources[0].task]
        source = branch.sources[own_sources(branch) + len(regions[0].guards) - 1]
        said = self.branch(regions[0], branch, (*around, regions[0]))
        token = self.reference(source, around)
        said["when"] = with_name(held.test, token)
        if len(regions) > 1:
            other = self.by_id[node.sources[1].task]
            said["otherwise"] = self.branch(regions[1], other, (*around, regions[1]))
        return said

    def branch(self, region: Region, result: Node, around: Around) -> Said:
        """One task where the branch is one, a group otherwise."""
        output = self.data(result, self.exporter.holes(result), around)
        tasks = self.inside(around)
        if len(tasks) == 1:
            name, only = next(iter(tasks.items()))
            if output == f"${{{name}}}" and "when" not in only and not _needs_its_name(only):
                return dict(only)
        if not tasks:
            raise self.exporter.refused(result, "a branch that only passes a value on; put a task in it")
        return {"tasks": tasks, "output": output}

    def alternatives(self, node: Node, around: Around) -> list[Said]:
        """The first alternative stands beside the fallback; the others in their regions."""
        found: list[Said] = []
        regions = {region.number: region for region in self.places.regions if region.join is node}
        for number, source in enumerate(node.sources):
            each = self.by_id[source.task]
            if number == 0:
                said = self.task(each, around)
                if said is None or self.places.paths[each.id] != around or source.path[:1] not in ((), (1,)):
                    raise self.exporter.refused(each, "it stands elsewhere than the fallback it is part of")
                found.append(said)
                continue
            inner = (*around, regions[number])
            output = self.reference(source, inner)
            tasks = self.inside(inner)
            only = next(iter(tasks.values()))
            found.append(only if len(tasks) == 1 else {"tasks": tasks, "output": output})
        return found

    def map(self, node: Node, around: Around) -> Said:
        over = node.over
        assert over is not None
        items = next(source for source in node.sources if source.mode == Mode.VALUE)
        said: Said = {"map": self.reference(items, around)}
        if self.depth:
            said["as"] = item_name(self.depth)
        said["do"] = self.template(node, over, around)
        if over.errors != Errors.RAISE:
            said["errors"] = over.errors.name.lower()
        if over.limit:
            said["limit"] = over.limit
        key = node.key.removeprefix("map ")
        return said if key == "map" else {**said, "key": key}

    def template(self, node: Node, over: MapOver, around: Around) -> Said:
        self.open_at = around
        inner = Block(self.exporter, over.nodes, [], depth=self.depth + 1, above=self)
        output = inner.reference(over.output)
        tasks = inner.tasks()
        if not tasks:
            raise self.exporter.refused(node, "what it does with an item makes no task")
        name, only = next(iter(tasks.items()))
        if len(tasks) == 1 and output == f"${{{name}}}" and not _needs_its_name(only):
            return dict(only)
        return {"tasks": tasks, "output": output}

    def timer(self, node: Node, around: Around) -> Said:
        if not node.args:
            return {"sleep": node.delay_ns / 1e9}
        said = self.exporter.holes(node)
        name, value = next(iter(said.items()))
        return {"sleep" if name == "seconds" else "until": self.data(node, value, around)}

    def signal(self, node: Node, around: Around) -> Said:
        wait = node.declaration.wait
        assert wait is not None
        kind = self.exporter.template.registry.awaited.get(node.declaration, Any)
        try:
            returns = yaml_type(kind)
        except GraphError as error:
            raise self.exporter.refused(node, str(error)) from None
        if wait.name:
            return {"receive": wait.name} if returns == "any" else {"receive": wait.name, "returns": returns}
        given = self.exporter.holes(node)
        said: Said = {"ask": self.data(node, given["question"], around)}
        if returns != "bool":
            said["returns"] = returns
        if "about" in given:
            said["about"] = self.data(node, given["about"], around)
        if node.delay_ns:
            said["deadline_s"] = node.delay_ns / 1e9
        return {**said, "default": given["default"]} if "default" in given else said


def _call_node(call: Inlined) -> Node:
    """A call of a plain workflow in the form of a node: what it reads and what it is called."""
    made = TaskId(b"call" + call.made[0])
    return Node(made, Declaration(call.workflow.key), call.scope, call.args, call.sources)


class _Named(msgspec.Struct, frozen=True):
    """Stands for a scope where a node's name is wanted."""

    id: TaskId
    key: str
    label: str = ""


def item_name(depth: int) -> str:
    """What the item of a map inside `depth` others is called."""
    return "item" if depth == 0 else f"item{depth + 1}"


def _needs_its_name(said: Said) -> bool:
    """Whether a task is known by its name in the document: a prompt without `key`."""
    return "prompt" in said and "key" not in said
