"""The tree of a document to its steps: keys, forms and references checked, tasks in an order in which they can be made.

Everything wrong with the text is found here, all at once; what needs Python (targets, types of arguments) comes later.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from makespan.documents.form import COMMON, DOCUMENT, ELSEWHERE, INPUT, KINDS, NEEDED, Key, keys_of, schedule_keys
from makespan.documents.forms import Forms
from makespan.documents.problems import Mark, Problems, Skip
from makespan.documents.reader import Tree, kind_of
from makespan.documents.references import NAME
from makespan.errors import suggestion

INPUTS = "inputs"
MAX_TASKS = 2_000
"""Most tasks in one document, inner ones included."""
_DOUBLE_BRACES = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_-]*)[^{}]*\}\}")


class Step(msgspec.Struct, eq=False):
    """One task of a document. `uses` are the names around it that it reads."""

    name: str
    kind: str
    at: Mark
    keys: dict[str, Tree]
    marks: dict[str, Mark]
    uses: dict[str, Mark] = {}
    inner: dict[str, Step] = {}
    """`do` of a map, `otherwise`, `accept` of a first."""
    parts: list[Step | Tree] = []
    """Candidates of a first, alternatives of a fallback."""
    block: Block | None = None
    item: str = ""
    """What a map calls its item."""
    has_unknown: bool = False
    """Whether keys were refused: what is missing may be among them."""


class Block(msgspec.Struct, eq=False):
    """Tasks that see each other, in an order in which each stands after those it uses."""

    steps: list[Step]
    output: Tree | None
    uses: dict[str, Mark]


class Input(msgspec.Struct, eq=False):
    """One input: its type, and a default where it has one."""

    name: str
    at: Mark
    kind: Tree
    default: Tree | None = None
    about: str = ""


class Outline(msgspec.Struct, eq=False):
    """A whole document."""

    name: str
    about: str
    version: str
    inputs: list[Input]
    types: Tree | None
    block: Block
    returns: Tree | None
    schedule: Tree | None = None
    schedule_keys: dict[str, Tree] = {}
    on_end: Tree | None = None


def _elsewhere(name: str) -> list[str]:
    return [ELSEWHERE[name]] if name in ELSEWHERE else []


class Parser:
    """Reads one document."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.forms = Forms(problems)
        self.count = 0
        self.inputs: list[str] = []
        self.groups: dict[str, str] = {}
        """Names of tasks inside groups, maps and branches, with where they are."""

    def outline(self, tree: Tree) -> Outline:
        """The document's outline. Raises Skip when it is none; problems are noted all the same."""
        if not isinstance(tree.value, dict):
            raise self.problems.stop(
                tree.at, f"a workflow is a mapping that begins with `workflow: NAME`, not {kind_of(tree)}"
            )
        keys = self.known_keys(tree, DOCUMENT, "a workflow")
        for name in NEEDED:
            if name not in tree.value:
                self.problems.add(tree.at, f"the key `{name}` is missing: {DOCUMENT[name].about}")
        inputs = self.read_inputs(keys.get("inputs"))
        self.inputs = [each.name for each in inputs]
        self.check_types(keys.get("types"))
        tasks = keys.get("tasks")
        block = self.block(tasks, keys.get("output"), {INPUTS}, "") if tasks is not None else Block([], None, {})
        texts = {name: keys[name].value if name in keys else "" for name in ("workflow", "description", "version")}
        named = (texts["workflow"] or "workflow", texts["description"], texts["version"])
        schedule = keys.get("schedule")
        ticks = {} if schedule is None else self.known_keys(schedule, schedule_keys(), "`schedule`")
        returns, on_end = keys.get("returns"), keys.get("on_end")
        return Outline(*named, inputs, keys.get("types"), block, returns, schedule, ticks, on_end)

    # ------------------------------------------------------------ keys, inputs, types

    def known_keys(self, tree: Tree, known: Mapping[str, Key], what: str) -> dict[str, Tree]:
        """The values of keys that exist and have the right form; the rest is noted."""
        found: dict[str, Tree] = {}
        for name, value in tree.value.items():
            key = known.get(name)
            if key is None:
                hint = self.closest(name, known) or f"; it has {', '.join(known)}"
                self.problems.add(tree.keys[name], f"{what} has no key {name!r}{hint}")
            elif self.forms.fits(value, key, name):
                found[name] = value
        return found

    @staticmethod
    def closest(name: str, known: Mapping[str, Key]) -> str:
        """A suggestion: what another format calls so, or what is spelt like it."""
        here = [key for key in _elsewhere(name) if key in known]
        return f"; did you mean {here[0]!r}?" if here else suggestion(name, known)

    def read_inputs(self, tree: Tree | None) -> list[Input]:
        found: list[Input] = []
        for name, value in tree.value.items() if tree is not None else ():
            at = tree.keys[name] if tree is not None else value.at
            if not name.isidentifier():
                self.problems.add(at, f"the input {name!r}: letters, digits and `_`, no digit first")
            elif isinstance(value.value, dict) and "type" in value.value:
                keys = self.known_keys(value, INPUT, f"the input {name!r}")
                about = keys["description"].value if "description" in keys else ""
                if "type" in keys:
                    found.append(Input(name, at, keys["type"], keys.get("default"), about))
            else:
                found.append(Input(name, at, value))
        return found

    def check_types(self, tree: Tree | None) -> None:
        for name in tree.value if tree is not None else ():
            if tree is not None and not name.isidentifier():
                self.problems.add(tree.keys[name], f"the type {name!r}: letters, digits and `_`, no digit first")

    # ------------------------------------------------------------ tasks

    def block(self, tree: Tree, output: Tree | None, around: Collection[str], inside: str) -> Block:
        """The tasks of a mapping, in an order that can be made."""
        names = [name for name in tree.value if self.is_free(name, tree.keys[name], around)]
        if inside:
            self.groups.update(dict.fromkeys(names, inside))
        seen = {*around, *names}
        steps: list[Step] = []
        for name in names:
            try:
                steps.append(self.step(name, tree.value[name], seen, tree.keys[name]))
            except Skip:
                continue
        outer: dict[str, Mark] = {}
        for step in steps:
            outer |= {name: at for name, at in step.uses.items() if name in around}
        if output is not None:
            outer |= {name: at for name, at in self.uses(output, seen).items() if name in around}
        return Block(self.in_order(steps), output, outer)

    def is_free(self, name: str, at: Mark, around: Collection[str]) -> bool:
        """Whether a name can be a task's; noted if not."""
        if not NAME.fullmatch(name):
            self.problems.add(at, f"{name!r} is no name: letters, digits, `_` and `-`, a letter or `_` first")
        elif name == INPUTS:
            self.problems.add(at, "`inputs` stands for the inputs; give the task another name")
        elif name in around:
            self.problems.add(at, f"{name!r} is the name of a task or item around this one; give it another name")
        else:
            return True
        return False

    def step(self, name: str, tree: Tree, seen: Collection[str], at: Mark | None = None) -> Step:
        """One task. Raises Skip after noting why it is none."""
        at = tree.at if at is None else at
        self.count += 1
        if self.count > MAX_TASKS:
            raise self.problems.stop(
                at, f"more than {MAX_TASKS:,} tasks (MAX_TASKS); map over a list, or split the file"
            )
        kind = self.kind_of_task(name, tree, at)
        keys = self.known_keys(tree, keys_of(kind), f"a task with `{kind}`")
        step = Step(
            name, kind, at, keys, {key: tree.keys[key] for key in keys}, has_unknown=len(keys) < len(tree.value)
        )
        uses: dict[str, Mark] = {}
        for key, value in keys.items():
            uses |= self.uses_of_key(step, keys_of(kind)[key].form, key, value, seen)
        if kind not in keys:
            raise Skip
        self.check_together(step)
        step.uses = uses
        return step

    def kind_of_task(self, name: str, tree: Tree, at: Mark) -> str:
        if not isinstance(tree.value, dict):
            is_target = isinstance(tree.value, str) and ":" in tree.value
            hint = f"; write {{call: {tree.value}}}" if is_target else "; `value:` makes a task of data"
            raise self.problems.stop(
                at, f"the task {name!r} is a mapping with one of {', '.join(KINDS)}, not {kind_of(tree)}{hint}"
            )
        kinds = [kind for kind in KINDS if kind in tree.value]
        if len(kinds) > 1:
            raise self.problems.stop(
                tree.keys[kinds[1]], f"the task {name!r} has {' and '.join(kinds)}: it is one of them; split it"
            )
        if kinds:
            return kinds[0]
        close = [(key, hint) for key in tree.value if key not in COMMON and (hint := suggestion(key, KINDS))]
        if close:
            raise self.problems.stop(tree.keys[close[0][0]], f"a task has no key {close[0][0]!r}{close[0][1]}")
        raise self.problems.stop(at, f"the task {name!r} says not what it does: give it one of {', '.join(KINDS)}")

    def uses_of_key(self, step: Step, form: str, key: str, value: Tree, seen: Collection[str]) -> dict[str, Mark]:
        """Read what a key holds into the step; gives the names it uses."""
        match form:
            case "task" | "accept" if isinstance(value.value, dict):
                return self.inner(step, key, value, seen)
            case "tasks":
                block = self.block(value, step.keys.get("output"), seen, step.name)
                step.block = block
                return block.uses
            case "candidates" | "alternatives":
                return self.part_uses(step, value, seen)
            case "output":
                return {}
            case _ if key == "output":
                return {}  # the block reads it
            case "template":
                own = step.keys["with"].value if "with" in step.keys else {}
                self.refuse_double_braces(value, {*seen, *own})
                uses = self.uses(value, {*seen, *own}, is_text=True)
                return {name: at for name, at in uses.items() if name not in own}
        return self.uses(value, seen, is_text=form == "expression") if self.forms.holds(form) else {}

    def inner(self, step: Step, key: str, value: Tree, seen: Collection[str]) -> dict[str, Mark]:
        name, inside = (step.name if key == "do" else f"{step.name}_{key}"), set(seen)
        if key == "do":
            step.item = str(step.keys["as"].value) if "as" in step.keys else "item"
            at = step.keys["as"].at if "as" in step.keys else step.at
            if not NAME.fullmatch(step.item):
                raise self.problems.stop(at, f"{step.item!r} is no name: letters, digits, `_` and `-`")
            if step.item in seen:
                hint = "name this one with `as:`" if "as" not in step.keys else "choose another"
                raise self.problems.stop(at, f"the item's name {step.item!r} is taken; {hint}")
            inside.add(step.item)
            self.groups[step.item] = step.name
        step.inner[key] = found = self.step(name, value, inside)
        return {used: at for used, at in found.uses.items() if used in seen}

    def part_uses(self, step: Step, value: Tree, seen: Collection[str]) -> dict[str, Mark]:
        uses: dict[str, Mark] = {}
        for number, part in enumerate(value.value, 1):
            if isinstance(part.value, dict):
                found = self.step(f"{step.name}_{number}", part, seen)
                step.parts.append(found)
                uses |= found.uses
            elif step.kind == "first":
                step.parts.append(part)
                uses |= self.uses(part, seen)
            else:
                self.problems.add(part.at, f"an alternative is a task (a mapping), not {kind_of(part)}")
        return uses

    def check_together(self, step: Step) -> None:
        """What keys want of each other."""
        if "otherwise" in step.keys and "when" not in step.keys:
            self.problems.add(step.marks["otherwise"], "`otherwise` needs a `when`: give the condition")
        if step.kind == "prompt" and "with" in step.keys:
            self.check_read(step)
        if step.kind == "map" and "do" not in step.keys:
            self.problems.add(step.at, f"the map {step.name!r} has no `do:`, the task for each item")
        if step.kind == "ask" and "default" in step.keys and "deadline_s" not in step.keys:
            message = "`default` is the answer when `deadline_s` is over: give that too"
            raise self.problems.stop(step.marks["default"], message)

    def check_read(self, step: Step) -> None:
        """Every name under `with` of a prompt is read by its texts."""
        texts = [step.keys[key] for key in ("prompt", "system") if key in step.keys]
        read = {each.name for text in texts for each, _ in self.forms.references(text, is_text=True)}
        for name, at in step.keys["with"].keys.items():
            if name not in read:
                self.problems.add(at, f"the texts of the prompt {step.name!r} do not read ${{{name}}}; take it away")

    # ------------------------------------------------------------ references

    def uses(self, tree: Tree, seen: Collection[str], *, is_text: bool = False) -> dict[str, Mark]:
        """The names a value reads; those that do not exist are noted."""
        found: dict[str, Mark] = {}
        for reference, at in self.forms.references(tree, is_text=is_text):
            if reference.name not in seen:
                self.problems.add(at, self.unknown(reference.name, seen))
            elif reference.name == INPUTS and (not reference.path or reference.path[0] not in self.inputs):
                self.problems.add(at, self.unknown_input(reference.path))
            else:
                found[reference.name] = at
        return found

    def unknown(self, name: str, seen: Collection[str]) -> str:
        if name in self.inputs:
            return f"there is no task {name!r}; for the input write ${{inputs.{name}}}"
        if name in self.groups:
            group = self.groups[name]
            return f"{name!r} is inside {group!r} and only seen there; read its output: ${{{group}}}"
        names = sorted(seen)
        return f"there is no task {name!r}{suggestion(name, names) or '; there are ' + ', '.join(names[:12])}"

    def unknown_input(self, path: tuple[str | int, ...]) -> str:
        if not path:
            return "`inputs` is no value; write ${inputs.NAME}"
        known = f"; there are {', '.join(self.inputs)}" if self.inputs else "; declare it under `inputs:`"
        return f"there is no input {path[0]!r}{suggestion(str(path[0]), self.inputs) or known}"

    def refuse_double_braces(self, tree: Tree, seen: Collection[str]) -> None:
        """`{{ name }}` of another format would reach the model as it stands."""
        for text in self.forms.texts(tree):
            for match in _DOUBLE_BRACES.finditer(text.value):
                if match[1] in seen or match[1] in self.inputs:
                    name = match[1] if match[1] in seen else f"inputs.{match[1]}"
                    self.problems.add(
                        text.mark_of(match[0]), f"`{match[0]}` stays as it is; write ${{{name}}} for the value"
                    )

    def in_order(self, steps: list[Step]) -> list[Step]:
        """Each after those it uses, else as written; a circle is noted."""
        by_name = {step.name: step for step in steps}
        done: dict[str, Step] = {}
        path: list[str] = []
        circles: set[str] = set()

        def visit(step: Step) -> None:
            if step.name in circles:
                raise Skip
            if step.name in path:
                circles.update(path)
                circle = " -> ".join([*path[path.index(step.name) :], step.name])
                raise self.problems.stop(
                    step.at, f"these tasks need each other: {circle}; take one of the references away"
                )
            if step.name in done:
                return
            path.append(step.name)
            for name in step.uses:
                if name in by_name:
                    visit(by_name[name])
            path.pop()
            done[step.name] = step

        for step in steps:
            path.clear()
            try:
                visit(step)
            except (Skip, RecursionError):
                continue
        return list(done.values())


def all_steps(block: Block) -> Iterator[Step]:
    """Every step of a block, inner ones after those around them."""
    waiting: list[Any] = list(block.steps)
    while waiting:
        step = waiting.pop(0)
        yield step
        waiting.extend(each for each in (*step.inner.values(), *step.parts) if isinstance(each, Step))
        waiting.extend(step.block.steps if step.block is not None else ())
