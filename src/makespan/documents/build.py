"""A linked document as the body of a plain workflow: the same calls a Python function would make, in the same places.

Nothing here makes a node by itself: `ms.map`, `ms.when` and their siblings do, so a document and its twin in Python are
the same graph.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from makespan.authoring.combine import first, gather, outcome, tried_in_order, when
from makespan.authoring.combine import map as map_over
from makespan.authoring.place import here
from makespan.authoring.ref import Ref, part_of
from makespan.authoring.scope import scope
from makespan.authoring.signature import MISSING, Pieces
from makespan.authoring.task import HOOKS, Task
from makespan.authoring.waiting import ask, receive, sleep
from makespan.documents.link import Linked
from makespan.documents.problems import Mark, Problems, Skip
from makespan.documents.prompts import parameters_of
from makespan.documents.reader import Tree
from makespan.documents.references import Reference, pieces, unescaped, whole
from makespan.documents.steps import INPUTS, Block, Step
from makespan.errors import GraphError, suggestion
from makespan.graph.types import shown

Names = dict[str, Any]
"""What is visible at one place: Refs by name, and the inputs."""


class Build:
    """Makes the calls of a document once; what is refused is noted where it stands."""

    def __init__(self, linked: dict[int, Linked], problems: Problems) -> None:
        self.linked, self.problems = linked, problems
        self.nullable: set[str] = set()
        """Names of tasks whose value is null when their `when` does not hold."""

    def block(self, block: Block, names: Names) -> Names:
        """Make the tasks of a block; gives what is visible inside it. A task that cannot be made is missing there."""
        inside = dict(names)
        for step in block.steps:
            try:
                inside[step.name] = self.step(step, inside)
            except Skip:
                continue
        return inside

    def step(self, step: Step, names: Names) -> Any:
        """The Ref of one task. Raises Skip after noting why there is none."""
        linked = self.linked.get(id(step))
        if linked is None:
            raise Skip
        make: Callable[[Step, Linked, Names], Any] = getattr(self, f"_{step.kind}")
        condition_said = linked.condition
        if condition_said is None:
            return self.at(step.at, lambda: make(step, linked, names))
        if "otherwise" not in step.inner:
            self.nullable.add(step.name)
        refs = [self.follow(each, names, step.keys["when"].mark_of(each.token)) for each in condition_said.reads]
        condition = refs[0] if len(refs) == 1 else gather(*refs)
        branches = [lambda: self.at(step.at, lambda: make(step, linked, names))]
        if "otherwise" in step.inner:
            branches.append(lambda: self.step(step.inner["otherwise"], names))
        return self.at(step.at, lambda: when(condition, *branches, test=condition_said.test))

    # ------------------------------------------------------------ kinds

    def _call(self, step: Step, linked: Linked, names: Names) -> Any:
        task: Task[..., Any] = linked.task
        signature = self.at(step.keys["call"].at, lambda: task.signature)
        given = step.keys["with"].value if "with" in step.keys else {}
        arguments = {}
        for name, tree in given.items():
            if name not in signature.names:
                hint = suggestion(name, signature.names) or f"; it takes {', '.join(signature.names) or 'none'}"
                self.problems.add(step.keys["with"].keys[name], f"{task.key} has no parameter {name!r}{hint}")
                continue
            parameter = signature.parameters[signature.names[name]]
            arguments[name] = self.data(tree, names)
            self.check(arguments[name], parameter.annotation, parameter.where, tree)
        missing = [p for p in signature.parameters if p.default is MISSING and p.name not in given]
        if missing and len(arguments) == len(given) and not step.has_unknown:
            said = ", ".join(f"{p.name!r} ({shown(p.annotation)})" for p in missing)
            self.problems.add(
                step.marks.get("with", step.at), f"{task.key} misses its argument {said}; give it under `with:`"
            )
        if missing or len(arguments) < len(given):
            raise Skip
        return self.after(step, task, names)(**arguments)

    def check(self, value: Any, annotation: Any, where: str, tree: Tree) -> None:
        """Whether an argument fits; the authoring layer's own words at the argument's own place."""
        try:
            Pieces().put(value, annotation, where, HOOKS)
        except GraphError as error:
            message, hint = str(error), ""
            if isinstance(value, Ref):
                message = message.replace(f"the result of {value!r}", tree.value.strip())
                found = whole(tree.value)
                if found is not None and found.name in self.nullable:
                    hint = f"; or give {found.name!r} an `otherwise`: its value is null when its `when` does not hold"
            elif annotation is str and not isinstance(value, str | list | dict):
                hint = "; put it in quotes to make it a text"
            raise self.problems.stop(tree.at, f"{message}{hint}") from None

    def after(self, step: Step, task: Task[..., Any], names: Names) -> Task[..., Any]:
        """The task with what it has to wait for."""
        tree = step.keys.get("after")
        if tree is None:
            return task
        listed = tree.value if isinstance(tree.value, list) else [tree]
        return task.options(after=[self.data(each, names) for each in listed])

    def _prompt(self, step: Step, linked: Linked, names: Names) -> Any:
        said = linked.task.fn.said
        arguments = {}
        own = step.keys["with"].value if "with" in step.keys else {}
        for (name, path), parameter in parameters_of(said.texts).items():
            reference = Reference(name, path, "")
            if name in own:
                here_too = {name: self.data(own[name], names)}
                arguments[parameter] = self.follow(reference, here_too, own[name].at)
                continue
            arguments[parameter] = self.follow(reference, names, step.keys["prompt"].at)
        return self.after(step, linked.task, names)(**arguments)

    def _map(self, step: Step, linked: Linked, names: Names) -> Any:
        items = self.data(step.keys["map"], names)
        options = dict(linked.options)

        def each(item: Any) -> Any:
            return self.step(step.inner["do"], {**names, step.item: item})

        if "key" in options:
            each.key = options.pop("key")  # type: ignore[attr-defined]  # where the map looks for its name
        if "do" not in step.inner:
            raise Skip
        return map_over(each, items, **options)

    def _first(self, step: Step, linked: Linked, names: Names) -> Any:
        wanted = linked.options.get("n", 1)
        if not 1 <= wanted <= len(step.parts):
            message = f"`n` is {wanted}, but there are {len(step.parts)} candidates; want 1 to {len(step.parts)}"
            raise self.problems.stop(step.keys["n"].at, message)
        candidates = [self.step(p, names) if isinstance(p, Step) else self.data(p, names) for p in step.parts]
        if "accept" not in step.inner:
            return first(*candidates, **linked.options)
        judge = self.linked.get(id(step.inner["accept"]))
        if judge is None:
            raise Skip
        return first(*candidates, **linked.options, accept=judge.task)

    def _fallback(self, step: Step, linked: Linked, names: Names) -> Any:
        def call(part: Any) -> Callable[[], Ref[Any]]:
            return lambda: self.step(part, names)

        return tried_in_order([call(part) for part in step.parts])

    def _tasks(self, step: Step, linked: Linked, names: Names) -> Any:
        assert step.block is not None
        if not linked.options:
            return self.output(step.block, self.block(step.block, names), step.at)
        if here("a scope").depth:
            at = step.marks.get("scope", step.at)
            raise self.problems.stop(at, "a scope, or a limit of one, cannot stand inside a map; put it around the map")
        limits = {name: value for name, value in linked.options.items() if name != "name"}
        with scope(linked.options["name"], **limits):
            return self.output(step.block, self.block(step.block, names), step.at)

    def output(self, block: Block, names: Names, at: Mark) -> Any:
        """The value of a group: a reference, several of them, or data in a node of its own."""
        if block.output is None:
            return self.node(None, type(None), "value")
        value = self.data(block.output, names)
        if isinstance(value, Ref):
            return value
        if isinstance(value, list) and value and all(isinstance(each, Ref) for each in value):
            return gather(*value)
        return self.node(value, kind_of_data(value), "value")

    def _value(self, step: Step, linked: Linked, names: Names) -> Any:
        value = self.data(step.keys["value"], names)
        kind = linked.returns or kind_of_data(value)
        if linked.returns is not None:
            self.check(value, kind, f"the value of {step.name}", step.keys["value"])
        return self.node(value, kind, step.keys["key"].value if "key" in step.keys else "value")

    @staticmethod
    def node(value: Any, kind: Any, name: str) -> Any:
        """A node that only puts data together."""
        holder = Pieces()
        holder.put(value, kind if not isinstance(value, Ref) else Any, name, HOOKS)
        return here("a value").value(holder.done(), tuple(holder.sources), kind, name)

    def _outcome(self, step: Step, linked: Linked, names: Names) -> Any:
        return outcome(self.data(step.keys["outcome"], names))

    def _sleep(self, step: Step, linked: Linked, names: Names) -> Any:
        return sleep(self.data(step.keys["sleep"], names))

    def _until(self, step: Step, linked: Linked, names: Names) -> Any:
        moment = self.data(step.keys["until"], names)
        if isinstance(moment, str):
            try:
                moment = msgspec.convert(moment, datetime)
            except msgspec.ValidationError:
                message = f"{moment!r} is no moment; write e.g. 2030-01-31T09:00:00Z"
                raise self.problems.stop(step.keys["until"].at, message) from None
            if moment.tzinfo is None:
                raise self.problems.stop(step.keys["until"].at, f"{moment} has no time zone; add Z, or e.g. +01:00")
        return sleep(until=moment)

    def _receive(self, step: Step, linked: Linked, names: Names) -> Any:
        return receive(step.keys["receive"].value, linked.returns)

    def _ask(self, step: Step, linked: Linked, names: Names) -> Any:
        about = self.data(step.keys["about"], names) if "about" in step.keys else None
        return ask(self.data(step.keys["ask"], names), linked.returns, about=about, **linked.options)

    # ------------------------------------------------------------ data and references

    def data(self, tree: Tree, names: Names) -> Any:
        """A value with Refs where the document has references."""
        if isinstance(tree.value, list):
            return [self.data(each, names) for each in tree.value]
        if isinstance(tree.value, dict):
            return {name: self.data(each, names) for name, each in tree.value.items()}
        if not isinstance(tree.value, str):
            return tree.value
        try:
            reference = whole(tree.value)
            if reference is None and any(isinstance(each, Reference) for each in pieces(tree.value)):
                raise Skip  # noted when the text was read
        except ValueError:
            raise Skip from None
        return unescaped(tree.value) if reference is None else self.follow(reference, names, tree.at)

    def follow(self, reference: Reference, names: Names, at: Mark) -> Any:
        """The Ref that a reference stands for."""
        found, path = names.get(reference.name, MISSING), reference.path
        if reference.name == INPUTS and path:
            found, path = names[INPUTS].get(path[0], MISSING), path[1:]
        if found is MISSING:
            raise Skip  # what it names could not be made, and why has been noted
        for step in path:
            found = self.at(at, lambda found=found, step=step: _part(found, step))  # type: ignore[misc]
        return found

    def at(self, at: Mark, make: Callable[[], Any]) -> Any:
        """What `make` gives; what it refuses is noted at this place."""
        try:
            return make()
        except GraphError as error:
            raise self.problems.stop(at, str(error)) from None


def _part(value: Any, step: str | int) -> Any:
    if not isinstance(value, Ref):  # an item of a list that stands in the document itself
        try:
            return value[step]
        except (TypeError, KeyError, IndexError):
            raise GraphError(f"there is no {step!r} in {value!r}"[:200]) from None
    return value[step] if isinstance(step, int) else part_of(value, step)


def kind_of_data(value: Any) -> Any:
    """The type of data in a document."""
    if isinstance(value, Ref):
        return value._type
    if isinstance(value, list):
        kinds = {str(kind_of_data(each)): kind_of_data(each) for each in value}
        return list[next(iter(kinds.values()))] if len(kinds) == 1 else list[Any]  # type: ignore[misc]
    return dict[str, Any] if isinstance(value, dict) else type(value)
