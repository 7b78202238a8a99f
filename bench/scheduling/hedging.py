"""Hedging on heavy-tailed durations: p95 of the makespan, and the cost on common random numbers.

Simulated: a run of 200 calls, 50 at a time, then 40 that read them; log-normal with a tail of stragglers, as model
calls and web requests have. Every attempt is paid in full, the losers too. Quantiles are learned by each run itself; a
row with a profile knows them before.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from bench.measure import Figures
from bench.table_row import Row

RUNS, QUICK_RUNS = 300, 60
QUANTILE = 0.95


def heavy_tail(profiled: bool, quick: bool) -> Figures:
    """p95 makespan and mean cost of hedged runs over plain ones."""
    import makespan as ms
    from makespan.authoring.trace import trace
    from makespan.machine.facts import Limits
    from makespan.machine.opening import opening
    from makespan.profiles.distributions import Constant, empirical
    from makespan.profiles.profile import ModeProfile, Profile
    from makespan.sim.simulation import Simulation, drawn_from, header

    profile = Profile({"call": {"": ModeProfile(empirical(durations_ns()), Constant(1_000_000))}})

    def run(hedge: float | None, seed: int) -> tuple[int, int, int]:
        template = trace(workflow(ms, hedge)._unbound).template
        simulation = Simulation(
            header(template.root, seed=seed, limits=Limits(running=50)),
            opening(template.nodes, template.scopes),
            drawn_from(profile, seed),
            estimates=profile if profiled else None,
        )
        outcome = simulation.run()
        assert outcome.succeeded
        return outcome.makespan_ns, outcome.cost, outcome.waste

    seeds = range(QUICK_RUNS if quick else RUNS)
    plain, hedged = [run(None, seed) for seed in seeds], [run(QUANTILE, seed) for seed in seeds]
    return {
        "runs": len(seeds),
        "plain_p95_s": p95([makespan for makespan, _, _ in plain]) / 1e9,
        "hedged_p95_s": p95([makespan for makespan, _, _ in hedged]) / 1e9,
        "cost_ratio": sum(cost for _, cost, _ in hedged) / sum(cost for _, cost, _ in plain),
        "waste_share": sum(waste for _, _, waste in hedged) / sum(cost for _, cost, _ in hedged),
    }


def durations_ns() -> list[int]:
    """1,000 durations: log-normal around 1 s (sigma 0.3), and 2 % of stragglers that take 6 to 20 times as long."""
    from makespan.profiles.distributions import LogNormal

    usual = LogNormal(1_000_000_000, 0.3)
    return [usual.quantile((i + 0.5) / 980) for i in range(980)] + [round(1e9 * (6 + 14 * i / 19)) for i in range(20)]


def workflow(ms: Any, hedge: float | None) -> Any:
    """200 calls, and 40 that each read five of them."""

    def one(number: int, needs: list[None]) -> None: ...

    call = ms.task(key="call", **({} if hedge is None else {"hedge": hedge}))(one)

    def stages() -> Any:
        first = [call(number, []) for number in range(200)]
        return ms.gather(*[call(200 + n, first[5 * n : 5 * n + 5]) for n in range(40)])

    return ms.workflow(key="stages")(stages)()


def p95(values: list[int]) -> int:
    """95th percentile."""
    return sorted(values)[int(0.95 * len(values))]


CASES: dict[str, Callable[[bool], Figures]] = {
    "hedging-learned": partial(heavy_tail, False),
    "hedging-profiled": partial(heavy_tail, True),
}


def rows(results: Mapping[str, Figures]) -> Iterator[Row]:
    """A row a source of quantiles."""
    for case, source in (("hedging-learned", "learned in the run"), ("hedging-profiled", "from a profile")):
        if case not in results:
            continue
        figures = results[case]
        gain = 1 - figures["hedged_p95_s"] / figures["plain_p95_s"]
        extra = figures["cost_ratio"] - 1
        yield Row(
            f"hedged at its 0.95 quantile, {source}: p95 makespan, {figures['runs']:.0f} seeds",
            "−30 % for ≤ 10 % more cost",
            f"{figures['plain_p95_s']:.2f} s",
            f"{figures['hedged_p95_s']:.2f} s",
            f"−{gain:.0%}, cost +{extra:.1%} (waste {figures['waste_share']:.1%})",
            gain >= 0.30 and extra <= 0.10,
        )
