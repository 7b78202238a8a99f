"""Questions, facts and plans for measuring planners offline; needs nothing of the engine."""
