"""A folder of its own for every test, and the command line called in this process."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.calling import PROCESSES, WORKFLOWS

if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # Started in the background of a shell, where Ctrl-C is ignored; commands would inherit that and never be left.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder: empty but for `flows.py`; modules imported from it are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    for name in ("MAKESPAN_STORE", "MAKESPAN_DEBUG", "MAKESPAN_ALLOW_UNKNOWN_PRICES", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "flows.py").write_text(WORKFLOWS)
    yield tmp_path
    while PROCESSES:
        PROCESSES.pop().clear_away()
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
