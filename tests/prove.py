"""How much the long lane does: `MAKESPAN_PROVE_SCALE` times the full number of seeds or kills."""

import os

SCALE = float(os.environ.get("MAKESPAN_PROVE_SCALE", "1"))


def prove_count(full: int) -> int:
    """How many of `full` seeds, kills or files to go through."""
    return max(round(full * SCALE), 1)
