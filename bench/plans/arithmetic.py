"""The calculator that plans call: one expression in, one number out, nothing else within reach."""

import ast
import math as numbers
import operator
import re
from collections.abc import Callable

MAX_EXPRESSION_CHARS = 1_000

_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_SIGNS: dict[type[ast.unaryop], Callable[[float], float]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}


def _mean(*values: float) -> float:
    return numbers.fsum(values) / len(values)


_FUNCTIONS: dict[str, Callable[..., float]] = {"max": max, "min": min, "abs": abs, "mean": _mean}


def math(expression: str) -> float:
    """The value of an expression of numbers with + - * /, parentheses, max, min, abs, mean and figure.

    `figure('30029572 people, 695662 km2', 'km2')` is the number before a unit in a text.

    Raises:
        ValueError: something else stands there, it is too long, or it divides by zero.
    """
    if len(expression) > MAX_EXPRESSION_CHARS:
        raise ValueError(f"{len(expression)} characters are no sum of ours; write at most {MAX_EXPRESSION_CHARS}")
    try:
        value = _value(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, TypeError) as reason:
        raise ValueError(f"{expression!r} cannot be worked out: {reason}") from reason
    except ZeroDivisionError as reason:
        raise ValueError(f"{expression!r} divides by zero") from reason
    if not numbers.isfinite(value):
        raise ValueError(f"{expression!r} is beyond what a float holds")
    return value


def _value(said: ast.expr) -> float:
    match said:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return float(number)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left), _value(right))
        case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _SIGNS:
            return _SIGNS[type(sign)](_value(operand))
        case ast.Call(func=ast.Name(id="figure"), args=[ast.Constant(value=str(text)), ast.Constant(value=str(unit))]):
            return _figure(text, unit)
        case ast.Call(func=ast.Name(id=name), args=[_, *_] as args, keywords=[]) if name in _FUNCTIONS:
            values = [_value(arg) for arg in args]
            return float(_FUNCTIONS[name](*values if name in ("abs", "mean") else (values,)))
    raise ValueError(
        f"{ast.unparse(said)!r} is not arithmetic; write numbers, + - * /, {', '.join(_FUNCTIONS)}, figure"
    )


def _figure(text: str, unit: str) -> float:
    found = re.search(rf"(-?\d+(?:\.\d+)?) {re.escape(unit)}(?!\w)", text)
    if found is None:
        raise ValueError(f"no figure in {unit} in {text!r}")
    return float(found.group(1))
