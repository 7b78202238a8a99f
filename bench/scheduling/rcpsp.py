"""Static schedules: J30 of PSPLIB with and without the solver, and problems that are hard to solve at all.

The instances of J30 are read from outside; see `patterson`. The runs themselves are in `rcpsp_runs`, loaded by the
case that needs them.
"""

from collections.abc import Callable, Iterator, Mapping

from bench.measure import Figures
from bench.table_row import Row


def heuristics(_quick: bool) -> Figures:
    """J30 without a solver; all of it, as it takes seconds."""
    from bench.scheduling import rcpsp_runs

    return rcpsp_runs.heuristics()


def proofs(quick: bool) -> Figures:
    """J30 with CP-SAT."""
    from bench.scheduling import rcpsp_runs

    return rcpsp_runs.proofs(quick)


def feasibility(quick: bool) -> Figures:
    """Problems that get harder by levels."""
    from bench.scheduling import rcpsp_runs

    return rcpsp_runs.feasibility(quick)


CASES: Mapping[str, Callable[[bool], Figures]] = {
    "rcpsp-heuristics": heuristics,
    "rcpsp-exact": proofs,
    "rcpsp-feasible": feasibility,
}
LIMITS_S: Mapping[str, float] = {"rcpsp-exact": 7_200, "rcpsp-feasible": 3_600}
"""Cases that may take longer than others: hundreds of proofs of up to a minute each."""


def rows(results: Mapping[str, Figures]) -> Iterator[Row]:
    """Every row that the results have figures for."""
    for case in ("rcpsp-heuristics", "rcpsp-exact"):
        if case in results and not results[case]["instances"]:
            yield Row(f"{case}, J30", ours="no data: set MAKESPAN_DATA to the folder that holds rcpsp/")
        elif case in results:
            yield from (heuristic_rows if case == "rcpsp-heuristics" else proof_rows)(results[case])
    if "rcpsp-feasible" in results:
        yield from feasible_rows(results["rcpsp-feasible"])


def heuristic_rows(figures: Figures) -> Iterator[Row]:
    """Without a solver."""
    for kind, line, most in (
        ("serial", "one latest-finish schedule, serial", 0.055),
        ("parallel", "one latest-finish schedule, parallel", 0.055),
        ("sampled", "best within 100 schedules (justification counted)", 0.015),
    ):
        over = figures[f"{kind}_over"]
        ours = f"{over:.2%}, {figures[f'{kind}_cpu_ms']:.2f} ms CPU"
        if kind == "sampled":
            ours += f", {figures['generated']:.0f} schedules on average, {figures['equal']:.0f} equal"
            line += f", most used {figures['most_generated']:.0f}"
        yield Row(f"J30 × {figures['instances']:.0f}: {line}", f"≤ {most:.1%} above", ours=ours, passed=over <= most)


def proof_rows(figures: Figures) -> Iterator[Row]:
    """With the solver."""
    count = f"J30 × {figures['instances']:.0f}"
    proved, length = figures["proved"] / figures["instances"], figures["makespan"]
    took = f"{figures['solver_s']:.0f} s in all, slowest {figures['slowest_s']:.1f} s"
    yield Row(
        f"{count}: CP-SAT, 1 worker, ≤ 60 s, proved", "≥ 97 %", ours=f"{proved:.2%} ({took})", passed=proved >= 0.97
    )
    ours = f"{length:.0f} ({figures['better']:.0f} better, {figures['worse']:.0f} worse)"
    floor, ratio = f"{figures['reference']:.0f}", length / figures["reference"]
    yield Row(f"{count}: sum of makespans", "≤ +0.1 %", floor, ours, f"{ratio:.4f} ×", ratio <= 1.001)


def feasible_rows(figures: Figures) -> Iterator[Row]:
    """A row a level."""
    seeds = figures["seeds"]
    levels = [name.removeprefix("exact_") for name in figures if name.startswith("exact_")]
    for level in levels:
        share = {name: figures[f"{name}_{level}"] / seeds for name in ("as-given", "latest-start", "repaired", "exact")}
        yield Row(
            f"solvable problems with {level} edges × {seeds:.0f}: rules and repair; CP-SAT alone",
            "≥ 95 %; 100 %",
            floor=f"FIFO {share['as-given']:.1%}, latest-start {share['latest-start']:.1%}",
            ours=f"{share['repaired']:.1%}; {share['exact']:.1%}",
            passed=share["repaired"] >= 0.95 and share["exact"] == 1,
        )
    per = len(levels) * seeds
    ours = f"{1e3 * figures['heuristic_s'] / per:.0f} ms; {1e3 * figures['solver_s'] / per:.0f} ms"
    yield Row("the same, time for each: rules and repair (CPU); CP-SAT (wall)", "printed", ours=ours)
