"""`makespan doctor` and `makespan models`: what this machine has."""

from __future__ import annotations

from pathlib import Path

import pytest

from makespan.cli.doctor import file_system_of
from tests.cli.calling import PRICED, makespan


def test_doctor_finds_nothing_wrong_and_makes_no_store(folder: Path) -> None:
    said = makespan("doctor", "--json")

    assert said.code == 0
    assert said.json["ok"]
    assert {check["what"] for check in said.json["checks"]} >= {"python", "sqlite", "store", "disk space"}
    assert [path.name for path in folder.iterdir()] == ["flows.py"]


def test_doctor_exits_5_when_the_store_is_broken(folder: Path) -> None:
    (folder / "broken.db").write_text("no database " * 500)

    said = makespan("doctor", "--store", "broken.db")

    assert said.code == 5
    assert "broken" in said.out


def test_the_file_system_of_a_folder_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    (tmp_path / "mounts").write_text(f"/dev/a / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n")

    assert file_system_of(tmp_path / "deep", tmp_path / "mounts") == "nfs4"
    assert file_system_of(Path("/"), tmp_path / "mounts") == "ext4"
    assert file_system_of(tmp_path, tmp_path / "none") is None


def test_models_are_listed_with_what_they_stand_for(folder: Path) -> None:
    (folder / "makespan.toml").write_text(PRICED)

    models = {model["name"]: model for model in makespan("models", "list", "--json").json["models"]}

    assert models["fast"] == {"name": "fast", "model": "scripted", "problem": None}
    assert "fast" in makespan("models").out


@pytest.mark.parametrize(("name", "code"), [("scripted", 0), ("scriptde", 2), ("openai:gpt-4o", 5)])
def test_models_check_tells_a_wrong_name_from_a_missing_key(name: str, code: int) -> None:
    assert makespan("models", "check", name).code == code
