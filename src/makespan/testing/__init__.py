"""For tests of workflows: `run` on virtual time, and in its modules the simulated machine below it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from makespan.testing.running import Stuck as Stuck
    from makespan.testing.running import run as run

__all__ = ["Stuck", "run"]


def __getattr__(name: str) -> Any:
    """Import at the first use: the pytest plugin loads this package wherever makespan is installed."""
    import importlib

    if name not in __all__:
        raise AttributeError(f"module 'makespan.testing' has no attribute {name!r}")
    return getattr(importlib.import_module("makespan.testing.running"), name)
