from typing import Any

import msgspec
import pytest

from makespan.graph.digest import digest
from makespan.graph.edit import (
    AddTasks,
    Batch,
    Edit,
    ExpandTask,
    RemoveScopes,
    RemoveTask,
    ReplaceTask,
    Rewire,
    apply,
    inverse,
)
from makespan.graph.graph import EditRefused, Graph, Refusal
from makespan.graph.node import Declaration, Scope, Source
from makespan.values import ROOT_SCOPE
from tests.graph.samples import diamond, graph, map_node, node, on_item, scope_id, task, template

SCOPE = Scope(scope_id("s"), ROOT_SCOPE, "s")
REWIRED = Rewire(task("d"), (Source(task("b")),), (0,))


def refusal(edit: Edit, start: Graph | None = None, **options: Any) -> Refusal:
    """Why an edit is refused."""
    with pytest.raises(EditRefused) as caught:
        apply(start or diamond(), edit, **options)
    return caught.value.reason


def names(changed: Graph, of: str) -> list[str]:
    """The keys of what a task needs."""
    return [changed.known(source.task).key for source in changed.known(task(of)).sources]


def test_tasks_may_be_added_in_any_order() -> None:
    changed = apply(diamond(), AddTasks((node("f", "e"), node("e", "d"))))

    assert names(changed, "f") == ["e"]
    assert len(diamond()) == 4


def test_removing_a_task_needs_what_depends_on_it_to_go_too() -> None:
    assert refusal(RemoveTask(task("b"))) is Refusal.DANGLING
    assert refusal(Batch((RemoveTask(task("b")), RemoveTask(task("c"))))) is Refusal.DANGLING

    both = Batch((RemoveTask(task("b")), RemoveTask(task("d"))))
    assert apply(diamond(), both) == graph(a="", c="a")
    assert apply(diamond(), Batch((RemoveTask(task("c")), REWIRED))) == graph(a="", b="a", d="b")


def test_replacing_a_task_leads_its_dependents_to_the_new_one() -> None:
    changed = apply(diamond(), ReplaceTask(task("b"), node("b2", "a")))

    assert names(changed, "d") == ["b2", "c"]
    assert task("b") not in changed


def test_expanding_a_task_puts_a_graph_in_its_place() -> None:
    changed = apply(diamond(), ExpandTask(task("b"), (node("b1", "a"), node("b2", "b1")), task("b2")))

    assert names(changed, "d") == ["b2", "c"]
    assert names(changed, "b2") == ["b1"]
    assert task("b") not in changed


def test_an_edge_inside_a_template_is_led_to_the_new_task_too() -> None:
    over = template(node("inner", "style", args=(0,)), on_item("other"), output="inner")
    start = graph(docs="", style="").add(map_node("m", over))

    changed = apply(start, ReplaceTask(task("style"), node("style2")))

    inner = changed.known(task("m")).over
    assert inner is not None
    assert inner.nodes[0].sources == (Source(task("style2")),)
    assert refusal(RemoveTask(task("style")), start) is Refusal.DANGLING


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (Rewire(task("a"), (Source(task("d")),), (0,)), Refusal.CYCLE),
        (Rewire(task("a"), (Source(task("a")),), (0,)), Refusal.CYCLE),
        (AddTasks((node("e", "f"), node("f", "e"))), Refusal.CYCLE),
        (ReplaceTask(task("a"), node("a2", "d")), Refusal.CYCLE),
        (ExpandTask(task("b"), (node("b1", "d"),), task("b1")), Refusal.CYCLE),
        (RemoveTask(task("x")), Refusal.UNKNOWN_TASK),
        (Rewire(task("x"), (), ()), Refusal.UNKNOWN_TASK),
        (ExpandTask(task("b"), (node("b1"),), task("x")), Refusal.UNKNOWN_TASK),
        (AddTasks((node("a"),)), Refusal.DUPLICATE),
        (AddTasks((node("e"), node("e"))), Refusal.DUPLICATE),
        (ReplaceTask(task("b"), node("c")), Refusal.DUPLICATE),
        (AddTasks((node("e", "x"),)), Refusal.DANGLING),
        (AddTasks((node("e"), node("f", "x"))), Refusal.DANGLING),
        (AddTasks((node("e", scope=SCOPE.id),)), Refusal.DANGLING),
        (AddTasks((), (Scope(scope_id("t"), SCOPE.id, "t"),)), Refusal.DANGLING),
        (RemoveScopes((SCOPE.id,)), Refusal.DANGLING),
    ],
)
def test_a_refused_edit_has_a_typed_reason(edit: Edit, reason: Refusal) -> None:
    assert refusal(edit) is reason


@pytest.mark.parametrize(
    ("edit", "started"),
    [
        (RemoveTask(task("d")), "d"),
        (Rewire(task("d"), (), ()), "d"),
        (ReplaceTask(task("d"), node("d", label="other")), "d"),
        (ReplaceTask(task("b"), node("b2")), "d"),
        (ExpandTask(task("b"), (node("b1"),), task("b1")), "b"),
        (Batch((AddTasks((node("e"),)), RemoveTask(task("d")))), "d"),
    ],
)
def test_what_started_is_never_altered_nor_are_the_edges_into_it(edit: Edit, started: str) -> None:
    assert refusal(edit, frozen={task(started)}) is Refusal.ALREADY_STARTED


def test_new_tasks_may_depend_on_what_started() -> None:
    everything = {task(name) for name in "abcd"}

    assert task("e") in apply(diamond(), AddTasks((node("e", "d"),)), everything)


def test_the_number_of_tasks_is_limited() -> None:
    assert refusal(AddTasks((node("e"),)), max_tasks=4) is Refusal.LIMIT
    assert refusal(AddTasks((node("e"), node("f"))), max_tasks=5) is Refusal.LIMIT
    assert len(apply(diamond(), AddTasks((node("e"), node("f"))), max_tasks=6)) == 6


def test_a_result_that_does_not_fit_is_refused_where_something_takes_it() -> None:
    def same(old: Declaration, new: Declaration) -> bool:
        return old.returns == new.returns

    other = Declaration("b2", returns="int")

    assert refusal(ReplaceTask(task("b"), node("b2", declaration=other)), fits=same) is Refusal.TYPE_MISMATCH
    assert refusal(ReplaceTask(task("b"), node("b", declaration=other)), fits=same) is Refusal.TYPE_MISMATCH
    assert apply(diamond(), ReplaceTask(task("d"), node("d2", declaration=other)), fits=same)


def test_a_scope_goes_only_when_nothing_is_in_it() -> None:
    start = Graph.of([node("a", scope=SCOPE.id)], [SCOPE])

    assert refusal(RemoveScopes((SCOPE.id,)), start) is Refusal.DANGLING
    assert apply(start, Batch((RemoveTask(task("a")), RemoveScopes((SCOPE.id,))))) == Graph()


def test_a_batch_is_all_or_nothing_and_judged_at_its_end() -> None:
    swap = Batch((AddTasks((node("e", "f"),)), AddTasks((node("f", "d"),))))

    assert names(apply(diamond(), swap), "e") == ["f"]
    assert refusal(Batch((swap, RemoveTask(task("x"))))) is Refusal.UNKNOWN_TASK


@pytest.mark.parametrize(
    "edit",
    [
        AddTasks((node("e", "d"),)),
        AddTasks((node("e", "d", scope=SCOPE.id),), (SCOPE,)),
        RemoveTask(task("d")),
        REWIRED,
        ReplaceTask(task("b"), node("b2", "a")),
        ReplaceTask(task("b"), node("b", "a", label="again")),
        ExpandTask(task("b"), (node("b1", "a"), node("b2", "b1")), task("b2")),
        Batch((RemoveTask(task("d")), AddTasks((node("d", "b"),)), RemoveTask(task("c")))),
    ],
)
def test_an_edit_then_its_inverse_is_nothing(edit: Edit) -> None:
    there = apply(diamond(), edit)
    back = apply(there, inverse(diamond(), edit))

    assert there != diamond()
    assert back == diamond()
    assert digest(back) == digest(diamond())


def test_edits_are_data() -> None:
    over = template(on_item("inner", "x"), output="inner")
    edit = Batch((AddTasks((node("e", "d"), map_node("m", over, "d")), (SCOPE,)), RemoveTask(task("b")), REWIRED))

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(edit), type=Edit) == edit
