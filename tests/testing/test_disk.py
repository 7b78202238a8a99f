"""The simulated disk keeps what a disk must keep, and loses all that a disk may lose."""

import random
from collections.abc import Iterator

import apsw
import pytest

from makespan.testing.disk import SimulatedDisk
from makespan.testing.disk_file import SECTOR_BYTES, SimulatedFile

SEEDS = range(200)


def after_power_cut(file: SimulatedFile, seed: int) -> bytes:
    file.cut_power(random.Random(seed))
    return bytes(file.seen)


def test_what_was_synced_survives_every_power_cut() -> None:
    for seed in SEEDS:
        file = SimulatedFile()
        file.write(0, b"a" * 2000)
        file.sync()
        file.write(2000, b"b" * 2000)

        assert after_power_cut(file, seed)[:2000] == b"a" * 2000


def test_an_unsynced_write_is_lost_kept_or_torn_by_sectors() -> None:
    outcomes = set()
    for seed in SEEDS:
        file = SimulatedFile()
        file.write(0, b"a" * 3 * SECTOR_BYTES)
        file.sync()
        file.write(0, b"b" * 3 * SECTOR_BYTES)

        content = after_power_cut(file, seed)
        sectors = [content[start : start + SECTOR_BYTES] for start in range(0, len(content), SECTOR_BYTES)]
        assert all(len(set(sector)) == 1 for sector in sectors)
        outcomes.add(b"".join(sector[:1] for sector in sectors))

    assert len(outcomes) == 8


def test_of_two_unsynced_writes_the_later_may_survive_alone() -> None:
    outcomes = set()
    for seed in SEEDS:
        file = SimulatedFile()
        file.write(0, bytes(2 * SECTOR_BYTES))
        file.sync()
        file.write(0, b"1" * SECTOR_BYTES)
        file.write(SECTOR_BYTES, b"2" * SECTOR_BYTES)
        content = after_power_cut(file, seed)
        outcomes.add((content[:1], content[SECTOR_BYTES : SECTOR_BYTES + 1]))

    assert outcomes == {(b"\0", b"\0"), (b"1", b"\0"), (b"\0", b"2"), (b"1", b"2")}


def test_an_unsynced_length_is_any_of_those_the_file_had() -> None:
    lengths = set()
    for seed in SEEDS:
        file = SimulatedFile()
        file.write(0, bytes(1000))
        file.sync()
        file.write(1000, bytes(500))
        file.truncate(200)
        lengths.add(len(after_power_cut(file, seed)))

    assert lengths == {200, 1000, 1500}


def test_the_same_seed_leaves_the_same_disk() -> None:
    def survivors() -> bytes:
        file = SimulatedFile()
        for number in range(20):
            file.write(number * 100, bytes([number]) * 300)
        return after_power_cut(file, 7)

    assert survivors() == survivors()


def test_a_failed_sync_leaves_its_writes_uncovered_by_the_next_one() -> None:
    file = SimulatedFile()
    file.write(0, b"a")
    file.forsake()
    file.write(1, b"b")
    file.sync()

    assert file.seen == b"ab"
    assert after_power_cut(file, 0) == b"\0b"


@pytest.fixture
def disk() -> Iterator[SimulatedDisk]:
    with SimulatedDisk() as disk:
        yield disk


def connect(disk: SimulatedDisk) -> apsw.Connection:
    connection = apsw.Connection("/x.db", vfs=disk.vfs)
    connection.pragma("journal_mode", "wal")
    return connection


def test_a_connection_of_an_earlier_life_neither_reads_nor_writes(disk: SimulatedDisk) -> None:
    old = connect(disk)
    old.execute("CREATE TABLE t(a)")

    disk.kill()

    new = connect(disk)
    new.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(apsw.IOError):
        old.execute("INSERT INTO t VALUES (2)")
    with pytest.raises(apsw.IOError):
        old.close()
    assert new.execute("SELECT a FROM t").get == 1
    new.close()


def test_disks_do_not_know_each_other(disk: SimulatedDisk) -> None:
    with SimulatedDisk() as other:
        mine, theirs = connect(disk), connect(other)
        mine.execute("CREATE TABLE t(a)")

        assert theirs.execute("SELECT count(*) FROM sqlite_schema").get == 0
        mine.close()
        theirs.close()


def test_a_closed_disk_is_unknown_to_sqlite() -> None:
    disk = SimulatedDisk()
    names = {disk.vfs}
    disk.kill()
    names.add(disk.vfs)

    disk.close()

    assert len(names) == 2
    assert not names & set(apsw.vfs_names())


def test_only_the_chosen_operation_fails(disk: SimulatedDisk) -> None:
    connection = connect(disk)
    connection.execute("CREATE TABLE t(a)")
    disk.fail("write", 2, "full")

    with pytest.raises(apsw.FullError, match="simulated SQLITE_FULL"):
        connection.execute("INSERT INTO t VALUES (1)")
    connection.execute("INSERT INTO t VALUES (2)")

    assert connection.execute("SELECT a FROM t").get == 2
    connection.close()


def test_a_hook_sees_every_sync_with_its_path(disk: SimulatedDisk) -> None:
    connection = connect(disk)
    paths: list[str] = []
    disk.on_sync = paths.append

    connection.pragma("synchronous", "full")
    connection.execute("CREATE TABLE t(a)")

    assert set(paths) == {"/x.db-wal"}
    connection.close()
