"""The source tree keeps the rules of `docs/architecture.md`; each failure is one sentence a violation."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.architecture import rules
from tests.architecture.source_tree import Module, read_modules

SOURCE = Path(__file__).parents[2] / "src" / "makespan"
Rule = Callable[[Iterable[Module]], Iterator[str]]


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    return read_modules(SOURCE)


@pytest.mark.parametrize(
    "rule",
    [
        rules.layer_violations,
        rules.cycle_violations,
        rules.purity_violations,
        rules.third_party_violations,
        rules.function_import_violations,
        rules.size_violations,
        rules.init_violations,
        rules.unsafe_violations,
    ],
    ids=lambda rule: rule.__name__.removesuffix("_violations"),
)
def test_source_keeps_the_rule(rule: Rule, modules: list[Module]) -> None:
    violations = list(rule(modules))

    if violations:
        pytest.fail("\n".join(violations), pytrace=False)


def test_purity_has_no_exceptions() -> None:
    assert not rules.PURITY_EXCEPTIONS, "a pure module needs no exception: pass the value in as an argument"
