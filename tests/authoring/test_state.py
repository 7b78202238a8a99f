"""`ms.state`: what a run reads, sets and finds again, in a session and alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest

import makespan as ms
from makespan.errors import JournalError, LimitError
from makespan.journal.sqlite import SqliteJournal
from makespan.runtime.attempts import Call
from makespan.store_port import SlotKey
from makespan.testing.disk import SimulatedDisk
from makespan.testing.lives import SimulatedCrash
from makespan.testing.world import SimulatedWorld


@dataclass(frozen=True)
class Notes:
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Profile:
    name: str
    age: int = 0


def in_session(*calls: ms.Ref[Any], session: str | None = "s", store: str = "memory") -> list[ms.Result[Any]]:
    """Run the calls one after the other, in one session or in none."""

    async def main() -> list[ms.Result[Any]]:
        options: Any = {} if session is None else {"session": session}
        async with ms.Engine(store) as engine:
            return [await engine.start(call, **options) for call in calls]

    return asyncio.run(main())


@ms.workflow
async def note(line: str) -> list[str]:
    notes = ms.state("notes", Notes)
    known = await notes
    await notes.set(Notes([*known.lines, line]))
    return (await notes).lines


@ms.workflow
async def count() -> tuple[int, int]:
    number = ms.state("number", int)
    value = await number
    before = number.version
    await number.set(value + 1)
    return before, number.version


# ---------------------------------------------------------------- values and versions


@pytest.mark.parametrize("place", ["memory", "file"])
def test_a_run_finds_what_earlier_runs_of_its_session_set(place: str, tmp_path: Path) -> None:
    store = "memory" if place == "memory" else str(tmp_path)

    results = in_session(note("a"), note("b"), note("c"), store=store)

    assert [result.output for result in results] == [["a"], ["a", "b"], ["a", "b", "c"]]


def test_a_run_without_a_session_has_slots_of_its_own() -> None:
    assert [result.output for result in in_session(note("a"), note("b"), session=None)] == [["a"], ["b"]]


def test_the_version_counts_every_set_of_the_session() -> None:
    assert [result.output for result in in_session(count(), count())] == [(0, 1), (1, 2)]


def test_a_sub_workflow_shares_the_slots_of_its_session() -> None:
    @ms.workflow
    async def outer() -> list[str]:
        await note("inner")
        return (await ms.state("notes", Notes)).lines

    assert in_session(outer())[0].output == ["inner"]


def test_a_value_of_a_megabyte_comes_back_whole(tmp_path: Path) -> None:
    @ms.workflow
    async def grow() -> int:
        text = ms.state("text", str)
        known = await text
        await text.set(known + "x" * 1_000_000)
        return len(await text)

    assert [result.output for result in in_session(grow(), grow(), store=str(tmp_path))] == [1_000_000, 2_000_000]


def test_a_ref_may_be_set() -> None:
    @ms.task
    def made() -> Notes:
        return Notes(["made"])

    @ms.workflow
    async def keeps() -> list[str]:
        notes = ms.state("notes", Notes)
        await notes.set(made())
        return (await notes).lines

    assert in_session(keeps())[0].output == ["made"]


@pytest.mark.parametrize(
    ("kind", "options", "first"),
    [
        (int, {}, 0),
        (list[str], {}, []),
        (int | None, {}, None),
        (Any, {}, None),
        (Profile, {"default": None}, None),
        (Profile, {"default": Profile("ann", 3)}, Profile("ann", 3)),
    ],
)
def test_a_slot_that_was_never_set_gives_the_default(kind: Any, options: dict[str, Any], first: Any) -> None:
    seen: list[Any] = []

    @ms.workflow
    async def looks() -> None:
        seen.append(await ms.state("slot", kind, **options))

    in_session(looks())

    assert seen == [first]


def test_a_default_that_a_body_changes_is_not_the_next_ones() -> None:
    @ms.workflow
    async def spoils() -> list[str]:
        slot = ms.state("slot", list[str])
        (await slot).append("spoilt")
        return await slot

    assert in_session(spoils())[0].output == []


def test_what_a_failed_run_has_set_stays_set() -> None:
    @ms.workflow
    async def sets_and_fails() -> None:
        await ms.state("notes", Notes).set(Notes(["kept"]))
        raise ms.Fatal("no")

    results = in_session(sets_and_fails(), note("b"))

    assert results[0].status == "failed"
    assert results[1].output == ["kept", "b"]


# ---------------------------------------------------------------- conflicts and types


def test_two_sets_over_one_version_are_a_conflict() -> None:
    @ms.workflow
    async def races() -> tuple[str, list[str]]:
        mine, other = ms.state("notes", Notes), ms.state("notes", Notes)
        await mine
        await other
        await other.set(Notes(["other"]))
        try:
            await mine.set(Notes(["mine"]))
        except ms.TaskError as error:
            await mine
            await mine.set(Notes(["after reading again"]))
            return error.type, (await mine).lines
        return "", []

    kind, lines = in_session(races())[0].output

    assert kind == "makespan.errors.SlotConflict"
    assert lines == ["after reading again"]


def test_a_slot_set_without_being_read_is_replaced_whatever_it_holds() -> None:
    @ms.workflow
    async def resets() -> int:
        number = ms.state("notes", int)
        await number.set(7)
        return await number

    assert in_session(note("a"), resets())[1].output == 7


def test_a_value_that_no_longer_fits_names_session_slot_version_and_field() -> None:
    @ms.workflow
    async def older() -> None:
        await ms.state("profile", dict[str, Any]).set({"name": "ann", "age": "three"})

    @ms.workflow
    async def newer() -> str:
        return (await ms.state("profile", Profile, default=Profile(""))).name

    result = in_session(older(), newer(), session="kitchen")[1]

    assert result.status == "failed"
    said = str(result.error)
    assert "slot 'profile' of session 'kitchen'" in said
    assert "version 1" in said
    assert "$.age" in said


def test_a_value_of_another_type_is_refused_where_it_is_set() -> None:
    @ms.workflow
    async def sets() -> None:
        await ms.state("number", int).set("seven")  # type: ignore[arg-type]

    assert "argument 'value' of state set number" in str(in_session(sets())[0].error)


def test_a_value_above_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("makespan.sessions.MAX_SLOT_BYTES", 100)

    @ms.workflow
    async def sets() -> None:
        await ms.state("text", str).set("x" * 200)

    error = in_session(sets())[0].error

    assert error is not None
    assert isinstance(error, LimitError)
    assert "slot_bytes" in str(error)


# ---------------------------------------------------------------- wrong use


def test_a_type_that_needs_arguments_asks_for_a_default() -> None:
    @ms.workflow
    async def looks() -> Profile:
        return await ms.state("profile", Profile)

    assert "give default=" in str(in_session(looks())[0].error)


@pytest.mark.parametrize("name", ["", "x" * 101])
def test_a_name_has_1_to_100_characters(name: str) -> None:
    @ms.workflow
    async def looks() -> None:
        await ms.state(name, int)

    assert "1 to 100 characters" in str(in_session(looks())[0].error)


def test_a_plain_workflow_is_told_to_be_async() -> None:
    @ms.workflow
    def plain() -> int:
        return ms.state("number", int)  # type: ignore[return-value]

    with pytest.raises(ms.GraphError, match="make the workflow `async def`"):
        ms.plan(plain())


def test_a_task_cannot_use_it() -> None:
    @ms.task
    def looks() -> None:
        ms.state("number", int)

    assert "ms.state inside the task" in str(in_session(looks())[0].error)


def test_the_version_is_not_known_before_it_was_read() -> None:
    @ms.workflow
    async def asks() -> int:
        return ms.state("number", int).version

    assert "`await` the slot first" in str(in_session(asks())[0].error)


# ---------------------------------------------------------------- crashes


@ms.workflow
async def counts_to(last: int) -> list[int]:
    number, seen = ms.state("number", int), []
    for _ in range(last):
        value = await number
        seen.append(value)
        await number.set(value + 1)
    return seen


def lives(seed: int, crash_every: Callable[[int], int]) -> tuple[list[int], int, int]:
    """Output, newest version and crashes of one run that is resumed until it ends."""
    writes: list[bytes] = []

    async def note_writes(call: Call, rest: Any) -> Any:
        if call.key.startswith("state set"):
            writes.append(call.info.task_id)
        return await rest(call)

    async def live(world: SimulatedWorld, journal: SqliteJournal) -> Any:
        async with ms.Engine(world=world, journal=journal, interceptors=[note_writes]) as engine:
            if journal.run("r") is None:
                return await engine.start(counts_to(5), id="r", session="s")
            return await engine.resume("r", counts_to)

    crashes, result = 0, None
    with SimulatedDisk() as disk, SimulatedWorld(seed, disk) as world:
        while result is None:
            if crashes < 8:
                world.crash_after(crash_every(crashes))
            journal = SqliteJournal("/store/makespan.db", vfs=disk.vfs)
            try:
                result = world.run_until(live(world, journal))
            except SimulatedCrash:
                crashes += 1
            with suppress(apsw.Error, JournalError):  # its disk is gone with a crash
                journal.close()
        journal = SqliteJournal("/store/makespan.db", vfs=disk.vfs)
        newest = journal.slot_versions(SlotKey("s", "", "number"))[0]
        journal.close()
    return result.output, newest.version, len(writes) - len(set(writes))


def test_a_resumed_body_sees_what_it_saw_and_sets_nothing_twice() -> None:
    repeated = 0
    for seed in range(40):
        seen, version, again = lives(seed, lambda crash, seed=seed: 9 + (seed * 13 + crash * 7) % 17)  # type: ignore[misc]
        assert seen == [0, 1, 2, 3, 4], f"seed {seed}"
        assert version == 5, f"seed {seed}"
        repeated += again

    assert repeated > 3, "some sets were cut between the slot and the run, and done again without effect"
