"""Each rule catches its violation in a small made-up tree, and lets the honest neighbour pass."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.architecture import rules
from tests.architecture.source_tree import Module, read_modules

Rule = Callable[[Iterable[Module]], Iterator[str]]
Files = dict[str, str]

CAUGHT: list[tuple[str, Rule, Files, str]] = [
    (
        "up",
        rules.layer_violations,
        {"graph/a.py": "from makespan.machine.b import x", "machine/b.py": "x = 1"},
        "makespan/graph/a.py:1: makespan.graph.a imports makespan.machine.b, but machine lies above graph",
    ),
    (
        "up, for types only",
        rules.layer_violations,
        {
            "graph/a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import makespan.app",
            "app.py": "",
        },
        "app lies above graph",
    ),
    (
        "up, relative",
        rules.layer_violations,
        {"graph/a.py": "from ..machine import b", "machine/b.py": ""},
        "imports makespan.machine.b",
    ),
    (
        "sideways",
        rules.layer_violations,
        {"journal/a.py": "import makespan.runtime.b", "runtime/b.py": ""},
        "on one line of the layer table",
    ),
    (
        "re-exports",
        rules.layer_violations,
        {"app.py": "from makespan import task", "__init__.py": ""},
        "import the name from the module that defines it",
    ),
    ("no layer", rules.layer_violations, {"helpers/a.py": ""}, "package 'helpers' has no layer"),
    (
        "cycle",
        rules.cycle_violations,
        {
            "graph/a.py": "import makespan.graph.b",
            "graph/b.py": "from makespan.graph import c",
            "graph/c.py": "def f():\n    from makespan.graph.a import x",
        },
        "makespan.graph.a -> makespan.graph.b -> makespan.graph.c -> makespan.graph.a",
    ),
    ("clock module", rules.purity_violations, {"machine/a.py": "from time import monotonic"}, "imports time"),
    ("nested module", rules.purity_violations, {"ports.py": "import os.path"}, "imports os.path"),
    (
        "clock call",
        rules.purity_violations,
        {"values.py": "import datetime as d\nd.datetime.now(d.UTC)"},
        "values.py:2: makespan.values is pure but calls d.datetime.now()",
    ),
    (
        "file",
        rules.purity_violations,
        {"traces/a.py": "def f(p):\n    return open(p).read()"},
        "calls open()",
    ),
    (
        "coroutine",
        rules.purity_violations,
        {"sim/a.py": "async def f(x):\n    pass"},
        "makespan.sim.a is pure but awaits",
    ),
    (
        "distribution",
        rules.third_party_violations,
        {"graph/a.py": "import numpy.linalg"},
        "the package 'graph' may not import numpy",
    ),
    (
        "root distribution",
        rules.third_party_violations,
        {"__init__.py": "import rich"},
        "the root package may not",
    ),
    (
        "import in a function",
        rules.function_import_violations,
        {"machine/a.py": "def f():\n    from makespan.graph.edit import Edit"},
        "f() imports makespan.graph.edit; move the import to the top",
    ),
    (
        "import in a module's __getattr__",
        rules.function_import_violations,
        {"graph/a.py": "def __getattr__(name):\n    import json"},
        "__getattr__() imports json",
    ),
    ("long file", rules.size_violations, {"cli/a.py": "x = 1\n" * 501}, "501 lines, the limit is 500"),
    (
        "full init",
        rules.init_violations,
        {"graph/__init__.py": "from makespan.graph.a import x"},
        "stay empty",
    ),
    (
        "pickle",
        rules.unsafe_violations,
        {"runtime/a.py": "def f():\n    from pickle import loads"},
        "pickle can run",
    ),
    (
        "eval",
        rules.unsafe_violations,
        {"planners/a.py": "def f(text):\n    return eval(text)"},
        "eval() runs data",
    ),
]

PASSED: list[tuple[str, Rule, Files]] = [
    (
        "down",
        rules.layer_violations,
        {"machine/a.py": "from makespan.graph.b import x", "graph/b.py": "x = 1"},
    ),
    (
        "inside one package",
        rules.layer_violations,
        {"graph/a.py": "import makespan.graph.b", "graph/b.py": ""},
    ),
    ("recipes know the public names", rules.layer_violations, {"recipes/a.py": "import makespan as ms"}),
    (
        "cycle for types only",
        rules.cycle_violations,
        {
            "graph/a.py": "import makespan.graph.b",
            "graph/b.py": "import typing\nif typing.TYPE_CHECKING:\n    import makespan.graph.a",
        },
    ),
    (
        "shared diamond",
        rules.cycle_violations,
        {
            "graph/a.py": "import makespan.graph.b, makespan.graph.c",
            "graph/b.py": "import makespan.graph.d",
            "graph/c.py": "import makespan.graph.d",
            "graph/d.py": "",
        },
    ),
    ("a clock in the shell", rules.purity_violations, {"runtime/a.py": "import time\nasync def f(): ..."}),
    (
        "an async Protocol",
        rules.purity_violations,
        {"ports.py": "class Model:\n    async def ask(self): ..."},
    ),
    ("a method called now", rules.purity_violations, {"graph/a.py": "def f(world):\n    return world.now()"}),
    (
        "an adapter's own dependency",
        rules.third_party_violations,
        {"journal/a.py": "import apsw, msgspec, json"},
    ),
    (
        "a dependency imported when built",
        rules.function_import_violations,
        {"models/a.py": "def build():\n    import xllamacpp"},
    ),
    ("a command", rules.function_import_violations, {"cli/a.py": "def run():\n    import makespan.app"}),
    (
        "the package's __getattr__",
        rules.function_import_violations,
        {"__init__.py": "def __getattr__(name):\n    from makespan.app import Engine"},
    ),
    ("a full file", rules.size_violations, {"cli/a.py": "x = 1\n" * 500}),
    ("the root's init", rules.init_violations, {"__init__.py": "x = 1", "graph/__init__.py": "\n"}),
    ("a compiled pattern", rules.unsafe_violations, {"graph/a.py": "import re\nre.compile('x')"}),
]


@pytest.mark.parametrize(("rule", "files", "sentence"), [case[1:] for case in CAUGHT], ids=[case[0] for case in CAUGHT])
def test_rule_catches(rule: Rule, files: Files, sentence: str, tmp_path: Path) -> None:
    violations = list(rule(write_tree(tmp_path, files)))

    assert len(violations) == 1
    assert sentence in violations[0]


@pytest.mark.parametrize(("rule", "files"), [case[1:] for case in PASSED], ids=[case[0] for case in PASSED])
def test_rule_lets_pass(rule: Rule, files: Files, tmp_path: Path) -> None:
    assert list(rule(write_tree(tmp_path, files))) == []


def test_no_source_means_no_violation(tmp_path: Path) -> None:
    assert read_modules(tmp_path / "missing") == []


def write_tree(root: Path, files: Files) -> list[Module]:
    """Write the files as a root package and read them back as modules."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_modules(root)
