"""Success checks as expressions over a result: `len(result) > 3 and "EUR" in result.price`.

A model writes them, so nothing is run: the syntax is read and walked, with a fixed list of what may stand there, over
plain values (fields of records are keys). Whatever an expression does, it ends, and it takes no memory to speak of.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

MAX_CHARS = 500
"""Characters of one expression."""

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "len": len,
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "abs": abs,
    "min": min,
    "max": max,
    "sum": sum,
    "round": round,
    "any": any,
    "all": all,
    "lower": str.lower,
    "startswith": str.startswith,
    "endswith": str.endswith,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}


class Unreadable(Exception):
    """An expression that is none, or asks for more than there is; its text says what is possible."""


class Expression:
    """A check that has been read.

    Raises:
        Unreadable: it cannot be.
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_CHARS:
            raise Unreadable(f"the check has {len(text)} characters; {MAX_CHARS} are allowed")
        try:
            self._body = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise Unreadable(f"the check is no expression: {text!r}; write for example `len(result) > 3`") from None
        self.text = text
        _refuse_unknown(self._body)

    def holds(self, result: Any) -> bool:
        """Whether a result, as plain values, passes. Raises Unreadable where it does not make sense for it."""
        try:
            return bool(_value(self._body, result))
        except Exception as error:  # noqa: BLE001 - a model's expression may do to a result whatever does not fit it
            raise Unreadable(f"`{self.text}`: {type(error).__name__}: {error}") from None


def _refuse_unknown(node: ast.expr) -> None:
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and each.id not in ("result", *_FUNCTIONS):
            raise Unreadable(f"the check says {each.id!r}; it may use `result` and {', '.join(_FUNCTIONS)}")
        if isinstance(each, ast.Call) and (not isinstance(each.func, ast.Name) or each.keywords):
            raise Unreadable(f"the check calls {ast.unparse(each.func)!r}; it may call {', '.join(_FUNCTIONS)}")
        if isinstance(each, ast.expr) and not isinstance(each, _ALLOWED):
            raise Unreadable(f"a check may not hold {type(each).__name__}: {ast.unparse(each)!r}")
        if isinstance(each, ast.BinOp) and type(each.op) not in _ARITHMETIC:
            raise Unreadable(f"a check may not hold {type(each.op).__name__}: {ast.unparse(each)!r}")


_ALLOWED = (
    ast.Constant,
    ast.Name,
    ast.Attribute,
    ast.Subscript,
    ast.Slice,
    ast.List,
    ast.Tuple,
    ast.Call,
    ast.Compare,
    ast.BoolOp,
    ast.BinOp,
    ast.UnaryOp,
    ast.IfExp,
)


def _value(node: ast.expr, result: Any) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id="result"):
            return result
        case ast.Name(id=name):
            raise TypeError(f"{name} is a function; call it")
        case ast.Attribute(value=owner, attr=name):
            return _value(owner, result)[name]
        case ast.Subscript(value=owner, slice=ast.Slice(lower=low, upper=high, step=None)):
            return _value(owner, result)[_bound(low, result) : _bound(high, result)]
        case ast.Subscript(value=owner, slice=key):
            return _value(owner, result)[_value(key, result)]
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [_value(part, result) for part in parts]
        case ast.Call(func=ast.Name(id=name), args=args):
            return _FUNCTIONS[name](*(_value(each, result) for each in args))
        case ast.IfExp(test=test, body=body, orelse=other):
            return _value(body if _value(test, result) else other, result)
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            return not _value(inner, result)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner, result)
        case ast.BinOp(left=left, op=op, right=right):
            return _calculated(op, _value(left, result), _value(right, result))
    return _truth(node, result)


def _truth(node: ast.expr, result: Any) -> Any:
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_value(part, result) for part in parts)
        case ast.BoolOp(values=parts):
            return any(_value(part, result) for part in parts)
        case ast.Compare(left=left, ops=ops, comparators=others):
            value = _value(left, result)
            for op, other in zip(ops, others, strict=True):
                right = _value(other, result)
                if not _COMPARISONS[type(op)](value, right):
                    return False
                value = right
            return True
    raise TypeError(f"a check may not hold {type(node).__name__}")


def _bound(node: ast.expr | None, result: Any) -> Any:
    return None if node is None else _value(node, result)


def _calculated(op: ast.operator, left: Any, right: Any) -> Any:
    """Only numbers are calculated with: `"a" * 10**9` and `"%9999d" % 1` are no checks."""
    if not (isinstance(left, int | float) and isinstance(right, int | float)):
        raise TypeError("only numbers are calculated with")
    return _ARITHMETIC[type(op)](left, right)
