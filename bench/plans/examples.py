"""Eight plans in the shapes of LLMCompiler's published examples, with lines of our own, and what they take at best.

The shapes (which tool, which results) are facts about the examples; the arguments are ours. Times as they are scripted:
a reasoning call 1.0 s, a planner's first token 0.5 s, each of its lines 0.25 s (the join line too), a search 0.8 s, a
calculation 0.4 s, and one reasoning call for the joiner.
"""

from collections.abc import Sequence

REASON_S, FIRST_S, LINE_S = 1.0, 0.5, 0.25
TOOL_S = {"search": 0.8, "math": 0.4}

PLANS: tuple[tuple[str, ...], ...] = (
    ('search("first violin makers")', 'search("first cello makers")'),
    ('search("river through Ulm")', 'search("river through Bonn")'),
    tuple(f'search("films by director {letter}")' for letter in "ABCDEFGH"),
    (
        'search("height of tower one")',
        'math("$1 * 1.1")',
        'search("height of tower two")',
        'math("$3 * 0.9")',
        'search("height of tower three")',
        'math("$5 * 1.2")',
        'math("max($2, $4, $6)")',
    ),
    (
        'search("depth of trench one")',
        'math("$1 / 2")',
        'search("depth of trench two")',
        'math("$3 / 3")',
        'math("$3 - $4")',
    ),
    ('search("area of lake one")', 'math("$1 * 2")', 'search("area of lake two")', 'math("$3 * 3")'),
    (
        'search("length of river one")',
        'search("length of river two")',
        'math("$1 / $2")',
        'search("length of river three")',
        'search("length of river four")',
        'math("$4 / $5")',
        'math("$3 - $6")',
    ),
    ('search("weight of whale one")', 'search("weight of whale two")', 'math("$1 + $2")'),
)


def numbered(plan: Sequence[str]) -> list[str]:
    """The lines as the planner writes them, the join line last."""
    return [f"{place}. {call}\n" for place, call in enumerate([*plan, "join()"], 1)]


def tool_of(call: str) -> str:
    """The tool that a line calls."""
    return call[: call.index("(")]


def needs_of(call: str) -> list[int]:
    """The calls whose results a line needs, by number from 1."""
    return [number for number in range(20, 0, -1) if f"${number}" in call.replace(f"${number}0", "")][::-1]


def ends(plan: Sequence[str], starts: Sequence[float]) -> list[float]:
    """When each call ends that may start no earlier than so, seconds."""
    ended: list[float] = []
    for call, start in zip(plan, starts, strict=True):
        ready = max([start, *(ended[number - 1] for number in needs_of(call))])
        ended.append(ready + TOOL_S[tool_of(call)])
    return ended


def serial_s(plan: Sequence[str]) -> float:
    """One call after the other, a reasoning call before each and at the end."""
    return sum(REASON_S + TOOL_S[tool_of(call)] for call in plan) + REASON_S


def plan_then_run_s(plan: Sequence[str]) -> float:
    """The whole plan first, then all calls as soon as they can, then the joiner."""
    written = FIRST_S + LINE_S * (len(plan) + 1)
    return written + max(ends(plan, [0.0] * len(plan))) + REASON_S


def streaming_s(plan: Sequence[str]) -> float:
    """Each call as soon as its line and its results are there, then the joiner."""
    lines = [FIRST_S + LINE_S * place for place in range(1, len(plan) + 2)]
    return max(lines[-1], *ends(plan, lines[:-1])) + REASON_S
