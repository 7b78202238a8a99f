"""What a statement of a plan written in Python asks for, found by looking at its syntax; nothing is ever run.

    height = search(f"height of {name}")["metres"]  ──▶  Step("height", "search", (Text(("height of ", ...)),)),
                                                         and `height` means Reference("height", ("metres",))

Values are arguments, where results of calls are references. Loops and comprehensions over values that are known now
are unrolled. A statement that cannot be read leaves no trace: no step of it, no name.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from typing import Any

from makespan.planners.formats.marks import joined
from makespan.planners.formats.numbered_lines import ENDS
from makespan.planners.formats.program_parts import (
    POSSIBLE,
    Function,
    Outcome,
    Returned,
    Unplannable,
    dotted,
    is_call,
    is_main,
    kind,
    parts_of,
)
from makespan.planners.steps import Argument, Join, Problem, Reference, Spot, Step, Text

MAX_UNROLLED = 1000
"""Rounds of loops and calls of functions in one plan, and the steps made in them."""

MAX_VALUE_PARTS = 2000
"""Items and parts of strings in one value, those inside counted."""

MAX_CALLS_DEEP = 8
"""Functions of the plan that call each other."""

_PASSED_ON = frozenset({"asyncio.run", "asyncio.create_task", "asyncio.ensure_future", "create_task", "list", "tuple"})
"""Functions of one value that is their result as well, for a plan."""

_GATHER = frozenset({"asyncio.gather", "gather"})
_OTHER_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_IGNORED = ast.Pass | ast.Import | ast.ImportFrom | ast.Global | ast.Nonlocal


class Values:
    """The names of a plan and what they mean, statement by statement."""

    def __init__(self) -> None:
        self.names: dict[str, Argument] = {}
        self.functions: dict[str, Function] = {}
        self.called: set[str] = set()
        self.read: set[str] = set()
        """Names whose values were asked for."""
        self.taken: set[str] = set()
        """Names that steps have."""
        self.spare = MAX_UNROLLED
        self._counts: dict[str, int] = {}
        self._undo: list[tuple[str, Argument, bool]] = []
        self._found: list[Step | Problem | Join] = []
        self._why = ""
        self._start = Spot()
        self._lines: list[str] = []
        self._depth = 0
        self._repeating = 0
        self._wanted = ""
        """The name that the next call is assigned to."""

    def statement(self, node: ast.stmt, lines: list[str], start: Spot, why: str) -> Outcome:
        """One top-level statement in the lines it was read from, which begin at a spot.

        Raises:
            Unplannable: it cannot be part of a plan; nothing of it was taken in.
        """
        self._undo, self._found, self._why, self._start = [], [], why, start
        self._lines, self._depth, self._repeating, self._wanted = lines, 0, 0, ""
        spare = self.spare
        try:
            outcome = self._top(node)
        except (Unplannable, RecursionError) as reason:
            self._take_back(spare)
            if isinstance(reason, RecursionError):
                raise Unplannable(node, "the statement is nested too deeply") from None
            raise
        outcome.found = self._found
        outcome.bound = tuple(dict.fromkeys(name for name, _, _ in self._undo))
        return outcome

    def _take_back(self, spare: int) -> None:
        for name, value, was_there in reversed(self._undo):
            if was_there:
                self.names[name] = value
            else:
                self.names.pop(name, None)
        self.spare = spare
        self.taken -= {each.name for each in self._found if isinstance(each, Step)}

    def _top(self, node: ast.stmt) -> Outcome:
        try:
            if isinstance(node, ast.Expr):
                value = self._expression(node.value)
                return Outcome([], last=value, has_value=not isinstance(node.value, ast.Constant))
            self._do(node)
        except Returned as returned:
            self._found.append(Join(returned.spot, (returned.value,), self._why))
        return Outcome([])

    def spot(self, node: ast.AST) -> Spot:
        """Where a node stands in the whole text."""
        line, offset = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        written = self._lines[min(line, len(self._lines)) - 1]
        if not written.isascii():  # the parser counts bytes
            offset = len(written.encode("utf-8", "replace")[:offset].decode("utf-8", "ignore"))
        return Spot(self._start.line + line - 1, offset + (self._start.column if line == 1 else 1))

    # ------------------------------------------------------------ statements

    def _do(self, node: ast.stmt) -> None:
        match node:
            case ast.Expr(value=value):
                self._expression(value)
            case ast.Assign(targets=targets, value=value):
                self._assign(targets, value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign([target], value)
            case ast.AugAssign(target=ast.Name(id=name), op=ast.Add(), value=value):
                self._set(name, self._sum(node, self._name(node.target), self._expression(value)))
            case ast.For(target=target, iter=several, body=body, orelse=[]):
                self._repeating += 1
                for item in self._known_items(several):
                    self._unroll(node)
                    self._bind(target, item)
                    self._body(body)
                self._repeating -= 1
            case ast.Return(value=value):
                raise Returned(None if value is None else self._expression(value), self.spot(node))
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._define(node)
            case ast.If(test=test, body=body, orelse=[]) if is_main(test):
                self._body(body)
            case ast.If():
                raise Unplannable(node, "a plan cannot branch on what is not known yet; plan both, or plan again later")
            case ast.While() | ast.AsyncFor():
                raise Unplannable(node, f"a plan cannot loop for an unknown number of rounds; {POSSIBLE}")
            case _ if isinstance(node, _IGNORED):
                self._ignore(node)
            case _:
                raise Unplannable(node, f"{kind(node)} cannot be part of a plan; {POSSIBLE}")

    def _ignore(self, node: ast.stmt) -> None:
        if not isinstance(node, ast.Pass):
            message = "a plan needs no imports; tools are known by their names"
            self._found.append(Problem(self.spot(node), ast.unparse(node), message, repaired=True))

    def _body(self, body: list[ast.stmt]) -> None:
        for node in body:
            self._do(node)

    def _assign(self, targets: list[ast.expr], value: ast.expr) -> None:
        name = targets[0].id if len(targets) == 1 and isinstance(targets[0], ast.Name) else ""
        self._wanted = name if is_call(value) else ""
        found = self._expression(value)
        self._wanted = ""
        for target in targets:
            self._bind(target, found)

    def _bind(self, target: ast.expr, value: Argument) -> None:
        match target:
            case ast.Name(id=name):
                self._set(name, value)
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                if any(isinstance(each, ast.Starred) for each in targets):
                    raise Unplannable(target, "a plan cannot take a result apart with `*`; index it")
                if isinstance(value, list) and len(value) != len(targets):
                    raise Unplannable(target, f"{len(value)} values for {len(targets)} names")
                for number, each in enumerate(targets):
                    self._bind(each, self._item(target, value, number))
            case ast.Subscript(value=ast.Name(id=name), slice=key):
                held, at = self.names.get(name), self._expression(key)
                if not isinstance(held, dict) or not isinstance(at, str):
                    raise Unplannable(target, "only a dict of the plan can be given a value by a known key")
                self._set(name, {**held, at: value})
            case _:
                raise Unplannable(target, f"{kind(target)} cannot be given a value in a plan; use a name")

    def _set(self, name: str, value: Argument) -> None:
        self._undo.append((name, self.names.get(name), name in self.names))
        self.names[name] = self._bounded(value)

    def _bounded(self, value: Argument) -> Argument:
        if parts_of(value, MAX_VALUE_PARTS) >= MAX_VALUE_PARTS:
            raise Unplannable(ast.Pass(), f"a value has more than MAX_VALUE_PARTS={MAX_VALUE_PARTS} parts")
        return value

    def _define(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        given = node.args
        if given.args or given.posonlyargs or given.kwonlyargs or given.vararg or given.kwarg or node.decorator_list:
            raise Unplannable(node, f"a function of a plan takes no parameters; {POSSIBLE}")
        self.functions[node.name] = Function(node, self._lines, self._start)

    def _unroll(self, node: ast.AST) -> None:
        self.spare -= 1
        if self.spare < 0:
            raise Unplannable(node, f"the plan unrolls to more than MAX_UNROLLED={MAX_UNROLLED} steps and rounds")

    # ------------------------------------------------------------ expressions

    def _expression(self, node: ast.expr) -> Argument:
        wanted, self._wanted = self._wanted, ""
        match node:
            case ast.Await(value=value):
                self._wanted = wanted
                return self._expression(value)
            case ast.Call():
                return self._call(node, wanted)
            case ast.Subscript(value=value, slice=key):
                self._wanted = wanted
                held = self._expression(value)
                return self._item(node, held, self._expression(key))
            case ast.Attribute(value=value, attr=name):
                self._wanted = wanted
                return self._field(node, self._expression(value), name)
            case ast.Constant(value=value):
                return self._constant(node, value)
            case ast.Name():
                return self._name(node)
            case ast.JoinedStr(values=values):
                return self._text(values)
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                return self._bounded(list(self._items(items)))
            case ast.Dict():
                return self._bounded(self._dict(node))
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self._sum(node, self._expression(left), self._expression(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                value = self._expression(operand)
                if isinstance(value, int | float) and not isinstance(value, bool):
                    return -value
                raise Unplannable(node, "a plan cannot compute with results; call a tool for it")
            case ast.ListComp(elt=item, generators=loops) | ast.GeneratorExp(elt=item, generators=loops):
                return self._bounded([self._expression(item) for _ in self._rounds(node, loops)])
            case ast.SetComp(elt=item, generators=loops):
                return self._bounded([self._expression(item) for _ in self._rounds(node, loops)])
            case ast.DictComp(key=key, value=item, generators=loops):
                return {self._key(key): self._expression(item) for _ in self._rounds(node, loops)}
            case ast.NamedExpr(target=ast.Name(id=name), value=value):
                self._wanted = name if is_call(value) else ""
                found = self._expression(value)
                self._set(name, found)
                return found
            case ast.BinOp() | ast.BoolOp() | ast.Compare() | ast.UnaryOp():
                raise Unplannable(node, "a plan cannot compute with results; call a tool for it")
            case _:
                raise Unplannable(node, f"{kind(node)} cannot be part of a plan; {POSSIBLE}")

    def _constant(self, node: ast.expr, value: Any) -> Argument:
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        raise Unplannable(node, f"{ast.unparse(node)[:80]} is no value of JSON; write a string or a number")

    def _name(self, node: ast.expr) -> Argument:
        assert isinstance(node, ast.Name)
        if node.id in self.names:
            self.read.add(node.id)
            return self.names[node.id]
        if node.id in _OTHER_WORDS:
            return _OTHER_WORDS[node.id]
        raise Unplannable(node, f"{node.id!r} is no name that a statement before has given")

    def _items(self, nodes: list[ast.expr]) -> Iterator[Argument]:
        for node in nodes:
            if isinstance(node, ast.Starred):
                yield from self._known_items(node.value)
            else:
                yield self._expression(node)

    def _dict(self, node: ast.Dict) -> dict[str, Argument]:
        found: dict[str, Argument] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None:
                found[self._key(key)] = self._expression(value)
                continue
            inner = self._expression(value)
            if not isinstance(inner, dict):
                raise Unplannable(value, "only a dict that is known now can be spread with `**`")
            found |= inner
        return found

    def _key(self, node: ast.expr) -> str:
        key = self._expression(node)
        if isinstance(key, str):
            return key
        if isinstance(key, int) and not isinstance(key, bool):
            return str(key)
        raise Unplannable(node, "the key of a dict is a string that is known now")

    def _text(self, nodes: list[ast.expr]) -> Argument:
        """An f-string; it stays a Text where it is one result alone, for it asks for a string."""
        parts: list[str | Reference] = []
        for node in nodes:
            if not isinstance(node, ast.FormattedValue):
                parts += self._words(self._expression(node))
                continue
            value = self._expression(node.value)
            if node.format_spec is not None or node.conversion not in (-1, 115):
                raise Unplannable(node.value, "a plan cannot format a result; leave out what follows `:` or `!`")
            parts += self._words(value)
        return self._string(parts)

    def _string(self, parts: list[str | Reference]) -> Argument:
        made = joined(parts)
        return self._bounded(Text((made,)) if isinstance(made, Reference) else made)

    def _words(self, value: Argument) -> tuple[str | Reference, ...]:
        if isinstance(value, Text):
            return value.parts
        if isinstance(value, str | Reference):
            return (value,)
        if isinstance(value, list):
            inner: list[str | Reference] = []
            for item in value:
                inner += [", ", *self._words(item)] if inner else [*self._words(item)]
            return ("[", *inner, "]")
        return (str(value),)

    def _sum(self, node: ast.AST, left: Argument, right: Argument) -> Argument:
        if isinstance(left, list) and isinstance(right, list):
            return self._bounded([*left, *right])
        if isinstance(left, str | Text) or isinstance(right, str | Text):
            return self._string([*self._words(left), *self._words(right)])
        raise Unplannable(node, "a plan cannot compute with results; call a tool for it")

    def _item(self, node: ast.AST, held: Argument, key: Argument) -> Argument:
        if isinstance(held, Reference) and isinstance(key, str | int) and not isinstance(key, bool):
            return Reference(held.step, (*held.path, key))
        if isinstance(held, list) and isinstance(key, int) and -len(held) <= key < len(held):
            return held[key]
        if isinstance(held, dict) and isinstance(key, str) and key in held:
            return held[key]
        raise Unplannable(node, "there is no such item; a result is indexed with a name or a whole number")

    def _field(self, node: ast.expr, held: Argument, name: str) -> Argument:
        if isinstance(held, Reference):
            return Reference(held.step, (*held.path, name))
        raise Unplannable(node, f"only results have fields such as {name!r}")

    # ------------------------------------------------------------ loops

    def _rounds(self, node: ast.AST, loops: list[ast.comprehension]) -> Iterator[None]:
        """Bind the names of a comprehension, round after round."""
        first, *others = loops
        if first.ifs or first.is_async:
            raise Unplannable(node, "a comprehension of a plan has no conditions; list what is meant")
        self._repeating += 1
        for item in self._known_items(first.iter):
            self._unroll(node)
            self._bind(first.target, item)
            if others:
                yield from self._rounds(node, others)
            else:
                yield
        self._repeating -= 1

    def _known_items(self, node: ast.expr) -> list[Argument]:
        """The items of something that is known now."""
        if isinstance(node, ast.Call):
            found = self._known_call(node)
            if found is not None:
                return found
        value = self._expression(node)
        if isinstance(value, dict):
            return list(value)
        if isinstance(value, list):
            return value
        raise Unplannable(
            node, "a plan can only loop over values that are known now; give results to a tool as a whole"
        )

    def _known_call(self, node: ast.Call) -> list[Argument] | None:
        name = dotted(node.func) or ""
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if method in ("items", "values", "keys") and not node.args and isinstance(node.func, ast.Attribute):
            held = self._expression(node.func.value)
            if not isinstance(held, dict):
                raise Unplannable(node, "a plan can only loop over values that are known now")
            return {"items": [[k, v] for k, v in held.items()], "values": [*held.values()], "keys": [*held]}[method]
        if name == "range":
            return self._range(node)
        if name == "enumerate" and len(node.args) == 1:
            return [[number, item] for number, item in enumerate(self._known_items(node.args[0]))]
        if name == "zip":
            return [list(items) for items in zip(*(self._known_items(each) for each in node.args), strict=False)]
        return None

    def _range(self, node: ast.Call) -> list[Argument]:
        bounds = [self._expression(each) for each in node.args]
        whole = [each for each in bounds if isinstance(each, int) and not isinstance(each, bool)]
        if not 1 <= len(whole) <= 3 or len(whole) != len(bounds) or whole[2:] == [0]:
            raise Unplannable(node, "a range of a plan has whole numbers that are known now")
        counted = range(*whole)
        if abs((counted.stop - counted.start) // counted.step) > MAX_UNROLLED:
            raise Unplannable(node, f"the plan unrolls to more than MAX_UNROLLED={MAX_UNROLLED} steps and rounds")
        return list(counted)

    # ------------------------------------------------------------ calls

    def _call(self, node: ast.Call, wanted: str) -> Argument:
        name = dotted(node.func)
        if name is None:
            raise Unplannable(node.func, "a tool is called by its name")
        owner, _, method = name.rpartition(".")
        if owner.split(".")[0] in self.names:
            return self._method(node, owner, method)
        if name in self.functions:
            return self._inline(node, name)
        if name in _GATHER:
            return self._bounded(list(self._items(node.args)))
        if name in _PASSED_ON and len(node.args) == 1 and not node.keywords:
            self._wanted = wanted
            return self._expression(node.args[0])
        if name == "str" and len(node.args) == 1:
            return self._text([ast.FormattedValue(node.args[0], -1, None)])
        args = list(self._items(node.args))
        kwargs: dict[str, Argument] = {}
        for each in node.keywords:
            if each.arg is None:
                kwargs |= self._dict(ast.Dict([None], [each.value]))
            else:
                kwargs[each.arg] = self._expression(each.value)
        if name == "print":
            return args[-1] if len(args) == 1 else args
        if name.lower() in ENDS:
            self._found.append(Join(self.spot(node), (*args, *kwargs.values()), self._why))
            return None
        return self._step(node, name, wanted, args, kwargs)

    def _step(
        self, node: ast.Call, tool: str, wanted: str, args: list[Argument], kwargs: dict[str, Argument]
    ) -> Reference:
        if self._repeating:
            self._unroll(node)
        name = self._fresh(wanted, tool)
        self._found.append(Step(name, tool, tuple(args), kwargs, why=self._why, spot=self.spot(node)))
        return Reference(name)

    def _fresh(self, wanted: str, tool: str) -> str:
        """A name that no step has: that of the variable, else of the tool with a number."""
        base = wanted or tool.rpartition(".")[2]
        count = self._counts.get(base, 0) + 1
        name = base if wanted and count == 1 else f"{base}_{count}"
        while name in self.taken:
            count += 1
            name = f"{base}_{count}"
        self._counts[base] = count
        self.taken.add(name)
        return name

    def _method(self, node: ast.Call, owner: str, method: str) -> Argument:
        held = self.names.get(owner)
        if isinstance(held, list) and method in ("append", "extend") and len(node.args) == 1:
            added = self._known_items(node.args[0]) if method == "extend" else [self._expression(node.args[0])]
            self._set(owner, [*held, *added])
            return None
        raise Unplannable(node, f"a plan cannot call {method!r} of a value; give the value to a tool")

    def _inline(self, node: ast.Call, name: str) -> Argument:
        if node.args or node.keywords:
            raise Unplannable(node, f"{name!r} takes no arguments")
        self.called.add(name)
        self._unroll(node)
        if self._depth >= MAX_CALLS_DEEP:
            raise Unplannable(node, f"functions call each other deeper than MAX_CALLS_DEEP={MAX_CALLS_DEEP}")
        function, here = self.functions[name], (self._lines, self._start)
        self._depth += 1
        self._repeating += 1
        self._lines, self._start = function.lines, function.start
        try:
            self._body(function.node.body)
        except Returned as returned:
            return returned.value
        finally:
            self._depth -= 1
            self._repeating -= 1
            self._lines, self._start = here
        return None
