"""The web UI that ships is the one whose sources are here; it is small, whole and asks nobody else for anything."""

import gzip
import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

import makespan

ROOT = Path(__file__).resolve().parents[2]
STATIC = Path(makespan.__file__).parent / "web" / "static"
MOST_JS_GZIP_BYTES = 150_000
ELSEWHERE = re.compile(r"""(?:src|href|url\(|@import|import\()\s*=?\s*["']?\s*(?:https?:)?//""")


def hashing() -> ModuleType:
    """frontend/source_hash.py, which is a script and no module of the package."""
    spec = importlib.util.spec_from_file_location("source_hash", ROOT / "frontend" / "source_hash.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_bundle_was_built_from_the_sources_that_are_here() -> None:
    kept = (STATIC / "source-hash.txt").read_text().strip()

    assert kept == hashing().source_hash(), "frontend/ has changed since the bundle was built: make ui"


def test_the_hash_tells_a_changed_and_a_renamed_source(tmp_path: Path) -> None:
    module = hashing()
    for name in module.TOP:
        (tmp_path / name).write_text("x")
    (tmp_path / "src").mkdir()
    source = tmp_path / "src" / "main.ts"
    source.write_text("one")
    before = module.source_hash(tmp_path)

    (tmp_path / "src" / "main.test.ts").write_text("a test changes nothing in the bundle")
    assert module.source_hash(tmp_path) == before

    source.write_text("two")
    changed = module.source_hash(tmp_path)
    source.rename(tmp_path / "src" / "other.ts")
    assert len({before, changed, module.source_hash(tmp_path)}) == 3


def test_all_scripts_together_stay_small() -> None:
    total = sum(len(gzip.compress(script.read_bytes(), mtime=0)) for script in STATIC.rglob("*.js"))

    assert total <= MOST_JS_GZIP_BYTES


@pytest.mark.guarantee("S3")
def test_the_page_has_no_inline_script_or_style_and_nothing_from_elsewhere() -> None:
    page = (STATIC / "index.html").read_text()

    assert not re.search(r"<script(?![^>]*\ssrc=)", page)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page)
    for file in [STATIC / "index.html", *STATIC.rglob("*.css")]:
        assert not ELSEWHERE.search(file.read_text()), file.name


def test_every_file_that_the_page_names_is_there_under_a_hashed_name() -> None:
    page = (STATIC / "index.html").read_text()
    named = re.findall(r'(?:src|href)="/([^"]+)"', page)

    assert named
    for name in named:
        assert (STATIC / name).is_file(), name
    for asset in (STATIC / "assets").iterdir():
        assert re.search(r"-[\w-]{8}\.\w+$", asset.name), f"{asset.name} has no hash in its name"


@pytest.mark.prove
def test_building_it_again_gives_the_bundle_to_the_byte(tmp_path: Path) -> None:
    if shutil.which("npm") is None or not (ROOT / "frontend" / "node_modules").is_dir():
        pytest.skip("needs Node and the packages of frontend/, which `make prove` gets")
    for command in ("check", "test", "build"):
        done = subprocess.run(
            ["npm", "run", "-s", command],
            cwd=ROOT / "frontend",
            env={**os.environ, "MAKESPAN_UI_OUT": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"npm run {command}:\n{done.stdout}\n{done.stderr}"

    def contents(bundle: Path) -> dict[str, bytes]:
        return {each.relative_to(bundle).as_posix(): each.read_bytes() for each in bundle.rglob("*") if each.is_file()}

    shipped = contents(STATIC)
    shipped.pop("source-hash.txt")
    assert contents(tmp_path) == shipped
