"""Makes .venv by pip alone and installs this project with the extras that are named.

Run it with the system's Python: `python3 .ci/make_venv.py local,dev`. It prints how long the download took
apart from the rest of the set-up. Standard library only.
"""

import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
NO_PIP = """\
{python} can make no virtual environment: it has neither ensurepip nor pip. On Debian install them with
    apt-get install -y python3-venv
and run make again."""


def main() -> int:
    """Make the environment, download, install; returns the exit status."""
    extras = [name for name in ",".join(sys.argv[1:]).split(",") if name]
    started = time.monotonic()
    if not has_pip(VENV_PYTHON) and not make_venv():
        print(NO_PIP.format(python=sys.executable), file=sys.stderr)
        return 1
    requirements = read_requirements(extras)
    with tempfile.TemporaryDirectory(prefix="wheels-", dir=VENV) as wheels:
        download_started = time.monotonic()
        pip("wheel", "--wheel-dir", wheels, *requirements)
        download_s = time.monotonic() - download_started
        pip("install", "--no-index", "--find-links", wheels, "--editable", str(ROOT), *requirements)
    setup_s = time.monotonic() - started - download_s
    print(f"set-up: {setup_s:.1f} s, and download: {download_s:.1f} s ({len(extras)} extras into .venv)")
    return 0


def has_pip(python: Path) -> bool:
    """Whether this interpreter exists and can run pip."""
    return python.exists() and succeeds(str(python), "-m", "pip", "--version")


def make_venv() -> bool:
    """Make .venv with ensurepip, or, on a Debian without python3-venv, with the system's pip."""
    if succeeds(sys.executable, "-m", "venv", "--clear", str(VENV)):
        return True
    bare = succeeds(sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV))
    return bare and succeeds(
        sys.executable, "-m", "pip", "-qq", "--python", str(VENV_PYTHON), "install", "pip", "setuptools"
    )


def read_requirements(extras: list[str]) -> list[str]:
    """What pyproject.toml names: the core, the extras, and what building the editable wheel takes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    core = project["project"]["dependencies"]
    optional = project["project"]["optional-dependencies"]
    chosen = [requirement for extra in extras for requirement in optional[extra]]
    return [*project["build-system"]["requires"], "editables", *core, *chosen]


def pip(*arguments: str) -> None:
    """Run the environment's pip; it prints errors only. Ends the program when it fails."""
    command = [str(VENV_PYTHON), "-m", "pip", "-qq", "--disable-pip-version-check", *arguments]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    if status:
        sys.exit(f"pip {arguments[0]} failed with status {status}; the lines above say why")


def succeeds(*command: str) -> bool:
    """Run a command silently; True when it exits with 0."""
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
