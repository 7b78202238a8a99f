"""Forty revision sequences of our own: what is said line by line, and what must be known in the end.

`asked` are the answers to the `check` lines in order, a Gap by its reason as `?reason`; `final` is every slot with its
value once all is computed (None: no value); `stale` are the slots that nobody has asked for since they became stale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


def add(a: float, b: float) -> float:
    return a + b


def subtract(a: float, b: float) -> float:
    return a - b


def multiply(a: float, b: float) -> float:
    return a * b


def above(a: float, b: float) -> bool:
    return a > b


def join(a: str, b: str) -> str:
    return f"{a} {b}"


def length(text: str) -> int:
    return len(text)


def pick(which: bool, a: float, b: float) -> float:
    return a if which else b


RULES: dict[str, Callable[..., Any]] = {
    rule.__name__: rule for rule in (add, subtract, multiply, above, join, length, pick)
}


class Sequence(NamedTuple):
    title: str
    script: str
    asked: list[Any]
    final: dict[str, Any]
    stale: frozenset[str] = frozenset()


SEQUENCES = [
    Sequence("one value", "set city = Rome\ncheck city", ["Rome"], {"city": "Rome"}),
    Sequence(
        "a value is changed",
        "set city = Rome\nchange city = Turin\ncheck city",
        ["Turin"],
        {"city": "Turin"},
    ),
    Sequence(
        "a value is taken back",
        "set city = Rome\nchange city = Turin\nback city\ncheck city",
        ["Rome"],
        {"city": "Rome"},
    ),
    Sequence(
        "taken back twice is two steps back",
        "set city = Rome\nchange city = Turin\nchange city = Bari\nback city\nback city\ncheck city",
        ["Rome"],
        {"city": "Rome"},
    ),
    Sequence(
        "a named version survives later changes",
        "set budget = 900\nmark first offer\nchange budget = 700\nchange budget = 500\nback budget to first offer\n"
        "check budget",
        [900],
        {"budget": 900},
    ),
    Sequence(
        "what was never said is a gap",
        "set budget = 900\ncheck hotel\ncheck budget",
        ["?unknown", 900],
        {"budget": 900},
    ),
    Sequence(
        "what was removed is another gap",
        "set hotel = Astra\nset nights = 2\nremove hotel\ncheck hotel",
        ["?removed"],
        {"nights": 2},
    ),
    Sequence(
        "a price follows from two values",
        "set people = 3\nset price = 120\ncompute total = multiply(people, price)\ncheck total",
        [360],
        {"people": 3, "price": 120, "total": 360},
    ),
    Sequence(
        "a price nobody asks for stays stale",
        "set people = 3\nset price = 120\ncompute total = multiply(people, price)\ncheck total\nchange price = 100",
        [360],
        {"people": 3, "price": 100, "total": 300},
        frozenset({"total"}),
    ),
    Sequence(
        "an equal change changes nothing",
        "set people = 3\nset price = 120\ncompute total = multiply(people, price)\ncheck total\nchange price = 120",
        [360],
        {"people": 3, "price": 120, "total": 360},
    ),
    Sequence(
        "there and back is as before",
        "set people = 3\nset price = 120\ncompute total = multiply(people, price)\ncheck total\nchange price = 90\n"
        "change price = 120",
        [360],
        {"people": 3, "price": 120, "total": 360},
    ),
    Sequence(
        "going back with everything needs no computing",
        "set people = 3\nset price = 120\ncompute total = multiply(people, price)\ncheck total\nmark before\n"
        "change price = 90\nchange people = 4\ncheck total\nback to before\ncheck total",
        [360, 360, 360],
        {"people": 3, "price": 120, "total": 360},
    ),
    Sequence(
        "going back with one value leaves the others",
        "set people = 3\nset price = 120\ncompute total = multiply(people, price)\nmark before\nchange price = 90\n"
        "change people = 4\nback price to before\ncheck total",
        [480],
        {"people": 4, "price": 120, "total": 480},
    ),
    Sequence(
        "forth again after going back",
        "set a = 1\nmark one\nchange a = 2\nmark two\nback to one\ncheck a\nback to two\ncheck a",
        [1, 2],
        {"a": 2},
    ),
    Sequence(
        "what came after a mark is gone with it",
        "set a = 1\nmark early\nset b = 2\nback to early\ncheck b\ncheck a",
        ["?removed", 1],
        {"a": 1},
    ),
    Sequence(
        "what was removed since comes back",
        "set a = 1\nset b = 2\nmark both\nremove b\nback to both\ncheck b",
        [2],
        {"a": 1, "b": 2},
    ),
    Sequence(
        "a train in the flight's place",
        "set flight = 210\nset hotel = 300\ncompute sum = add(flight, hotel)\ncheck sum\n"
        "replace flight by train = 90\ncheck sum\ncheck flight",
        [510, 390, "?removed"],
        {"train": 90, "hotel": 300, "sum": 390},
    ),
    Sequence(
        "a new name alone makes nothing stale",
        "set flight = 210\nset hotel = 300\ncompute sum = add(flight, hotel)\ncheck sum\nreplace flight by travel",
        [510],
        {"travel": 210, "hotel": 300, "sum": 510},
    ),
    Sequence(
        "one known value in another one's place",
        "set bus = 40\nset car = 75\nset hotel = 300\ncompute sum = add(bus, hotel)\ncheck sum\nreplace bus by car\n"
        "check sum",
        [340, 375],
        {"car": 75, "hotel": 300, "sum": 375},
    ),
    Sequence(
        "in its place with the same value stays fresh",
        "set bus = 40\nset tram = 40\nset hotel = 300\ncompute sum = add(bus, hotel)\ncheck sum\nreplace bus by tram",
        [340],
        {"tram": 40, "hotel": 300, "sum": 340},
    ),
    Sequence(
        "a chain goes stale to its end",
        "set flour = 500\nset factor = 2\ncompute dough = multiply(flour, factor)\nset water = 300\n"
        "compute weight = add(dough, water)\ncheck weight\nchange flour = 400",
        [1300],
        {"flour": 400, "factor": 2, "dough": 800, "water": 300, "weight": 1100},
        frozenset({"dough", "weight"}),
    ),
    Sequence(
        "only the branch behind the change goes stale",
        "set flour = 500\nset eggs = 4\nset factor = 2\ncompute dough = multiply(flour, factor)\n"
        "compute yolks = multiply(eggs, factor)\ncheck dough\ncheck yolks\nchange eggs = 5",
        [1000, 8],
        {"flour": 500, "eggs": 5, "factor": 2, "dough": 1000, "yolks": 10},
        frozenset({"yolks"}),
    ),
    Sequence(
        "asking in the middle computes no further",
        "set a = 1\nset b = 2\ncompute c = add(a, b)\ncompute d = add(c, b)\ncheck d\nchange a = 5\ncheck c",
        [5, 7],
        {"a": 5, "b": 2, "c": 7, "d": 9},
        frozenset({"d"}),
    ),
    Sequence(
        "an early end where a check comes out as before",
        "set spent = 80\nset limit = 100\ncompute over = above(spent, limit)\nset fine = 5\nset none = 0\n"
        "compute fee = pick(over, fine, none)\ncheck fee\nchange spent = 90\ncheck over",
        [0, False],
        {"spent": 90, "limit": 100, "over": False, "fine": 5, "none": 0, "fee": 0},
    ),
    Sequence(
        "no early end where it comes out otherwise",
        "set spent = 80\nset limit = 100\ncompute over = above(spent, limit)\nset fine = 5\nset none = 0\n"
        "compute fee = pick(over, fine, none)\ncheck fee\nchange spent = 110\ncheck over",
        [0, True],
        {"spent": 110, "limit": 100, "over": True, "fine": 5, "none": 0, "fee": 5},
        frozenset({"fee"}),
    ),
    Sequence(
        "a diamond is computed once and right",
        "set base = 10\nset two = 2\ncompute left = add(base, two)\ncompute right = multiply(base, two)\n"
        "compute top = subtract(right, left)\ncheck top\nchange base = 20\ncheck top",
        [8, 18],
        {"base": 20, "two": 2, "left": 22, "right": 40, "top": 18},
    ),
    Sequence(
        "another rule for the same slot",
        "set a = 6\nset b = 3\ncompute c = add(a, b)\ncheck c\ncompute c = multiply(a, b)\ncheck c",
        [9, 18],
        {"a": 6, "b": 3, "c": 18},
    ),
    Sequence(
        "back to the other rule",
        "set a = 6\nset b = 3\ncompute c = add(a, b)\ncheck c\nmark sums\ncompute c = multiply(a, b)\ncheck c\n"
        "back c to sums",
        [9, 18],
        {"a": 6, "b": 3, "c": 9},
    ),
    Sequence(
        "from a value to a rule, and back",
        "set total = 50\nset a = 6\nset b = 3\nmark by hand\ncompute total = add(a, b)\ncheck total\n"
        "back total to by hand\ncheck total",
        [9, 50],
        {"total": 50, "a": 6, "b": 3},
    ),
    Sequence(
        "what misses a value says so",
        "set a = 6\nset b\ncompute c = add(a, b)\ncheck c\nchange b = 4\ncheck c",
        ["?unset", 10],
        {"a": 6, "b": 4, "c": 10},
    ),
    Sequence(
        "a heading has no value",
        "set trip\nset city = Rome under trip\ncheck trip\ncheck city",
        ["?unset", "Rome"],
        {"trip": None, "city": "Rome"},
    ),
    Sequence(
        "removing a heading keeps what is below",
        "set trip\nset city = Rome under trip\nremove trip\ncheck city",
        ["Rome"],
        {"city": "Rome"},
    ),
    Sequence(
        "a greeting put together",
        "set first = Ada\nset last = Byron\ncompute name = join(first, last)\ncheck name\nchange last = Lovelace\n"
        "check name",
        ["Ada Byron", "Ada Lovelace"],
        {"first": "Ada", "last": "Lovelace", "name": "Ada Lovelace"},
    ),
    Sequence(
        "the length stays, so nothing behind it is stale",
        "set word = pear\ncompute size = length(word)\nset each = 3\ncompute cost = multiply(size, each)\ncheck cost\n"
        "change word = plum\ncheck size",
        [12, 4],
        {"word": "plum", "size": 4, "each": 3, "cost": 12},
    ),
    Sequence(
        "a list is a value",
        'set guests = ["Ada", "Bob"]\nchange guests = ["Ada"]\nback guests\ncheck guests',
        [["Ada", "Bob"]],
        {"guests": ["Ada", "Bob"]},
    ),
    Sequence(
        "a meeting moved twice and moved back",
        "set day = Monday\nset room = 4\nmark agreed\nchange day = Tuesday\nchange day = Friday\nchange room = 5\n"
        "back day to agreed\ncheck day\ncheck room",
        ["Monday", 5],
        {"day": "Monday", "room": 5},
    ),
    Sequence(
        "a mark set again is the later moment",
        "set a = 1\nmark here\nchange a = 2\nmark here\nchange a = 3\nback a to here\ncheck a",
        [2],
        {"a": 2},
    ),
    Sequence(
        "replaced, changed, and all taken back",
        "set flight = 210\nset hotel = 300\ncompute sum = add(flight, hotel)\ncheck sum\nmark plan a\n"
        "replace flight by train = 90\nchange hotel = 250\ncheck sum\nback to plan a\ncheck sum\ncheck flight",
        [510, 340, 510, 210],
        {"flight": 210, "hotel": 300, "sum": 510},
    ),
    Sequence(
        "a renamed slot goes back under its new name",
        "set flight = 210\nmark old\nreplace flight by ticket\nchange ticket = 260\nback ticket to old\ncheck ticket",
        [210],
        {"ticket": 210},
    ),
    Sequence(
        "a cart from first to last",
        "set apples = 4\nset apple price = 2\ncompute apple sum = multiply(apples, apple price)\nset pears = 3\n"
        "set pear price = 3\ncompute pear sum = multiply(pears, pear price)\ncompute sum = add(apple sum, pear sum)\n"
        "check sum\nmark cart\nchange apples = 6\nremove pears\nchange pears = 0\ncheck sum\nback apples to cart\n"
        "check apple sum\ncheck sum",
        [17, 12, 8, 8],
        {
            "apples": 4,
            "apple price": 2,
            "apple sum": 8,
            "pears": 0,
            "pear price": 3,
            "pear sum": 0,
            "sum": 8,
        },
    ),
]
