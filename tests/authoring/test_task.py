"""Tasks: what they are called, what identifies a call, where they may be called."""

from __future__ import annotations

import unicodedata
from datetime import date
from typing import Any

import pytest

import makespan as ms
from makespan.authoring.task import FunctionCode
from makespan.errors import GraphError
from makespan.ports import AttemptInfo
from makespan.values import ROOT_SCOPE
from tests.authoring.graphs import calls_of, id_of, ids_of


@ms.task
def grade(text: str, weight: float = 1.0, tags: list[str] | None = None) -> float:
    return len(text) * weight


@ms.task
def other(text: str, weight: float = 1.0) -> float:
    return weight


@ms.task
def loose(value) -> Any:  # type: ignore[no-untyped-def]
    return value


@ms.task
def on_day(day: date) -> str:
    return day.isoformat()


# ---------------------------------------------------------------- identity


def test_the_same_call_has_the_same_id() -> None:
    assert id_of(grade("a", 2.0)) == id_of(grade("a", 2.0))


@pytest.mark.parametrize(
    "call",
    [
        lambda: grade("a", 1.0),
        lambda: grade("a", weight=1),
        lambda: grade(text="a"),
        lambda: grade(weight=1.0, text="a"),
        lambda: grade("a", tags=None),
    ],
)
def test_arguments_count_by_their_value_however_they_are_given(call: Any) -> None:
    assert id_of(call()) == id_of(grade("a"))


@pytest.mark.parametrize(
    "call",
    [
        lambda: grade("b"),
        lambda: grade("a", 1.5),
        lambda: grade("a", tags=[]),
        lambda: other("a"),
        lambda: grade.options(version="2")("a"),
        lambda: grade.options(key="graded")("a"),
        lambda: grade.options(retries=1)("a"),
        lambda: grade.options(priority=1)("a"),
        lambda: grade.options(timeout_s=5)("a"),
    ],
)
def test_another_value_key_version_or_option_is_another_id(call: Any) -> None:
    assert id_of(call()) != id_of(grade("a"))


def test_a_whole_number_is_the_same_float_but_another_value_where_nothing_is_declared() -> None:
    assert id_of(grade("a", 2)) == id_of(grade("a", 2.0))
    assert id_of(loose(1)) != id_of(loose(1.0))
    assert id_of(loose(1)) != id_of(loose(True))


def test_text_counts_by_its_code_points() -> None:
    composed, decomposed = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")

    assert id_of(grade(composed)) != id_of(grade(decomposed))


@pytest.mark.parametrize(
    ("one", "same"),
    [({"a": 1, "b": [2]}, {"b": [2], "a": 1}), ([1, [2, {"x": None}]], [1, [2, {"x": None}]])],
)
def test_dicts_count_by_their_content_not_their_order(one: Any, same: Any) -> None:
    assert id_of(loose(one)) == id_of(loose(same))


def test_the_order_of_calls_does_not_matter() -> None:
    @ms.workflow(key="w")
    def forward() -> list[float]:
        return ms.gather(grade("a"), grade("b"), other("a"))

    @ms.workflow(key="w")
    def backward() -> list[float]:
        third, second, first = other("a"), grade("b"), grade("a")
        return ms.gather(first, second, third)

    assert sorted(ids_of(forward())) == sorted(ids_of(backward()))


def test_what_comes_before_an_unrelated_call_does_not_matter() -> None:
    @ms.workflow(key="w")
    def short() -> float:
        return grade("a")

    @ms.workflow(key="w")
    def long() -> float:
        other("x")
        other("y")
        return grade("a")

    assert ids_of(short())[0] == ids_of(long())[2]


def test_equal_calls_are_apart_and_numbered() -> None:
    @ms.workflow
    def twice() -> list[float]:
        return ms.gather(grade("a"), grade("a"))

    first, second = ids_of(twice())
    assert first == id_of(grade("a"))
    assert second != first


def test_a_ref_counts_as_the_task_it_stands_for_and_the_path() -> None:
    @ms.task
    def make(n: int) -> dict[str, str]:
        return {"x": str(n)}

    @ms.workflow
    def parts() -> list[float]:
        one, two = make(1), make(2)
        return ms.gather(grade(one["x"]), grade(one["y"]), grade(two["x"]))

    ids = ids_of(parts())
    assert len(set(ids)) == 5


def test_a_dict_with_refs_counts_by_its_content_too() -> None:
    @ms.workflow(key="w")
    def forward() -> Any:
        ref = grade("a")
        return loose({"x": ref, "y": 1, "z": grade("b")})

    @ms.workflow(key="w")
    def backward() -> Any:
        ref = grade("a")
        return loose({"z": grade("b"), "y": 1, "x": ref})

    assert sorted(ids_of(forward())) == sorted(ids_of(backward()))


def test_scopes_keep_equal_calls_apart_by_name() -> None:
    @ms.workflow
    def scoped() -> list[float]:
        with ms.scope("a"):
            first = grade("x")
        with ms.scope("b"):
            second = grade("x")
        return ms.gather(first, second, grade("x"))

    nodes = calls_of(scoped())
    assert len({node.id for node in nodes}) == 3
    assert [node.scope == ROOT_SCOPE for node in nodes] == [False, False, True]


def test_an_argument_changed_after_the_call_is_not_seen() -> None:
    said = {"x": [1]}

    @ms.workflow
    def changing() -> Any:
        ref = loose(said)
        said["x"].append(2)
        return ref

    assert calls_of(changing())[0].args == (b"\x81\xa5value\x81\xa1x\x91\x01",)


# ---------------------------------------------------------------- names


def test_a_key_is_the_qualified_name_without_module() -> None:
    class Tools:
        @staticmethod
        @ms.task
        def search(q: str) -> str:
            return q

    assert grade.key == "grade"
    assert Tools.search.key.endswith("Tools.search")
    assert "<locals>" not in Tools.search.key


def test_two_functions_with_one_key_are_refused_naming_both() -> None:
    @ms.task(key="grade")
    def imposter(text: str) -> float:
        return 0.0

    @ms.workflow
    def both() -> list[float]:
        return ms.gather(grade("a"), imposter("a"))

    with pytest.raises(GraphError, match=r"two functions have the key 'grade' \(.*test_task:\d+ and .*test_task:\d+\)"):
        ids_of(both())


def test_one_function_under_several_options_is_one_key() -> None:
    @ms.workflow
    def both() -> list[float]:
        return ms.gather(grade("a"), grade.options(retries=2)("a"))

    assert len(set(ids_of(both()))) == 2


def test_a_lambda_needs_a_key() -> None:
    with pytest.raises(GraphError, match="a lambda needs key="):
        ms.task(lambda x: x)

    assert ms.task(key="double")(lambda x: 2 * x).key == "double"


# ---------------------------------------------------------------- where a task may be called


def test_a_task_called_inside_a_task_is_refused_saying_what_to_write() -> None:
    @ms.task
    def outer(text: str) -> float:
        return grade(text)

    info = AttemptInfo("r", b"t", "outer", 1)
    with pytest.raises(GraphError, match=r"called inside the task '.*outer'.*grade\.fn"):
        FunctionCode(outer).invoke(b"\x81\xa4text\xa1a", info)


def test_the_plain_function_is_there_for_inside_and_for_tests() -> None:
    assert grade.fn("abc", 2.0) == 6.0


@pytest.mark.parametrize("combine", [lambda: ms.gather(), lambda: ms.sleep(1), lambda: ms.map(grade, ["a"])])
def test_combining_outside_of_a_workflow_is_refused(combine: Any) -> None:
    with pytest.raises(GraphError, match="works inside a workflow only"):
        combine()
