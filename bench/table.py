"""From figures to the Markdown table: the numbers to hold of `docs/architecture.md`, with verdicts."""

from collections.abc import Iterator, Mapping

from bench import plans, scheduling
from bench.measure import Figures
from bench.table_row import Row

MEMORY_CASES = {
    "memory-chain": "chain, 1,000 tasks",
    "memory-fan": "fan, 1,002 tasks",
    "memory-1000": "layered DAG, 1,000 tasks",
    "memory-10000": "layered DAG, 10,000 tasks",
    "memory-100000": "layered DAG, 100,000 tasks",
}
Results = Mapping[str, Figures]


def rows(results: Results) -> Iterator[Row]:
    """Every row that the results have figures for."""
    yield from memory_rows(results)
    yield from build_rows(results)
    yield from makespan_rows(results)
    yield from durable_rows(results)
    yield from store_rows(results)
    yield from crash_rows(results)
    yield from import_rows(results)
    yield from live_rows(results)
    yield from scheduling.rows(results)
    yield from plans.rows(results)


def memory_rows(results: Results) -> Iterator[Row]:
    """CPU time of a task in memory."""
    for case, graph in MEMORY_CASES.items():
        if case in results:
            yield memory_row(graph, results[case])
    sizes = [results[case] for case in ("memory-1000", "memory-10000", "memory-100000") if case in results]
    if len(sizes) > 1:
        floor = sizes[-1]["floor_cpu_us"] / sizes[0]["floor_cpu_us"]
        yield flat_row("the same, largest ÷ smallest n", [size.get("ours_cpu_us") for size in sizes], f"{floor:.2f}")


def memory_row(graph: str, figures: Figures) -> Row:
    """One graph."""
    line, target = f"CPU per no-op task in memory, {graph}", "≤ 25 µs and ≤ 5 × floor"
    floor = f"{figures['floor_cpu_us']:.1f} µs (TaskGroup {figures['taskgroup_cpu_us']:.1f})"
    if "ratio" not in figures:
        return Row(line, target, floor)
    passed = figures["ours_cpu_us"] <= 25 and figures["ratio"] <= 5
    return Row(line, target, floor, f"{figures['ours_cpu_us']:.1f} µs", f"{figures['ratio']:.2f} ×", passed)


def flat_row(line: str, per_size: list[float | None], floor: str = "") -> Row:
    """Whether the cost of a task grows with their number."""
    known = [cost for cost in per_size if cost is not None]
    if len(known) < 2:
        return Row(line, "≤ 1.3", floor)
    growth = known[-1] / known[0]
    return Row(line, "≤ 1.3", floor, " → ".join(f"{cost:.1f}" for cost in known), f"{growth:.2f}", growth <= 1.3)


def build_rows(results: Results) -> Iterator[Row]:
    """Making a graph."""
    cpu_s = results.get("build", {}).get("ours_cpu_s")
    if cpu_s is not None:
        line = "build a 10,000-task graph, types checked, CPU"
        yield Row(line, "≤ 0.06 s", ours=f"{cpu_s:.3f} s", passed=cpu_s <= 0.06)


def makespan_rows(results: Results) -> Iterator[Row]:
    """Makespan over critical path."""
    figures = results.get("makespan", {})
    for mode, slack in (("memory", 0.02), ("durable", 0.04)):
        if not figures:
            return
        line, target = f"makespan ÷ critical path, uneven tasks, {mode}", f"≤ floor + {slack}"
        floor = f"{figures['floor']:.3f}"
        if mode not in figures:
            yield Row(line, target, floor)
            continue
        over = figures[mode] - figures["floor"]
        yield Row(line, target, floor, f"{figures[mode]:.3f}", f"{over:+.3f}", over <= slack)


def durable_rows(results: Results) -> Iterator[Row]:
    """Tasks per second that survive a kill."""
    for case, line, least in (
        ("durable-chain", "durable chain, 1,000 tasks, no fsync", 0.35),
        ("durable-dag", "durable DAG, 1,000 tasks, fsync, group commit", 0.5),
    ):
        figures = results.get(case)
        if not figures:
            continue
        floor = f"{figures['floor_per_s']:,.0f}/s"
        if "floor_fsync_per_s" in figures:
            floor += f" (fsync {figures['floor_fsync_per_s']:,.0f}/s)"
        if "ratio" not in figures:
            yield Row(line, f"≥ {least} × floor", floor)
            continue
        ours, ratio = f"{figures['ours_per_s']:,.0f}/s", figures["ratio"]
        yield Row(line, f"≥ {least} × floor", floor, ours, f"{ratio:.2f} ×", ratio >= least)


def store_rows(results: Results) -> Iterator[Row]:
    """Bytes on disk."""
    per_task = [results.get(case, {}).get("bytes") for case in ("store-1000", "store-10000")]
    known = [size for size in per_task if size is not None]
    if known:
        ours = " → ".join(f"{size:.0f} B" for size in known)
        passed = max(known) <= 300 and known[-1] <= 1.1 * known[0]
        yield Row("database and blobs per task, 1,000 → 10,000", "≤ 300 B, linear", ours=ours, passed=passed)
        wal_bytes = results.get("store-10000", results.get("store-1000", {}))["wal_bytes"]
        yield Row("peak write-ahead log of that run", "printed", ours=f"{wal_bytes / 2**20:.1f} MiB")


def crash_rows(results: Results) -> Iterator[Row]:
    """Work repeated after a kill."""
    figures = results.get("crash", {})
    if "kills" in figures:
        again = figures["committed_again"]
        yield Row(
            f"committed tasks run again, {figures['kills']:.0f} kills in a wide DAG",
            "0",
            ours=f"{again:.0f} (in flight: {figures['in_flight_again']:.0f})",
            passed=again == 0,
        )


def import_rows(results: Results) -> Iterator[Row]:
    """What `import makespan` costs."""
    figures = results.get("import")
    if figures:
        floor = f"{figures['floor_ms']:.0f} ms"
        ratio = figures.get("ratio")
        line, target = "`import makespan` ÷ `import asyncio, msgspec`, CPU", "≤ 1.3 ×"
        if ratio is None:
            yield Row(line, target, floor)
        else:
            yield Row(line, target, floor, f"{figures['ours_ms']:.0f} ms", f"{ratio:.2f} ×", ratio <= 1.3)


def live_rows(results: Results) -> Iterator[Row]:
    """Graphs that grow call by call."""
    sizes = [results[case] for case in ("live-1000", "live-100000") if results.get(case)]
    for case in ("live-1000", "live-100000"):
        figures = results.get(case)
        if figures:
            yield Row(
                f"async workflow that adds {int(case.removeprefix('live-')):,} tasks, CPU per task",
                "≤ 2 × plain",
                f"plain {figures['plain_cpu_us']:.1f} µs",
                f"{figures['live_cpu_us']:.1f} µs",
                f"{figures['ratio']:.2f} ×",
                figures["ratio"] <= 2,
            )
    if len(sizes) == 2:
        yield flat_row("the same, largest ÷ smallest n", [size["live_cpu_us"] for size in sizes])
    if results.get("live-memory"):
        figures = results["live-memory"]
        ours = f"{figures['peak_bytes'] / 2**20:.0f} MiB, {figures['bytes_per_task']:.0f} B a task"
        yield Row("the same, peak memory of the process", "printed", ours=ours)
    if results.get("live-chain"):
        yield Row("awaited chain, CPU per task", "printed", ours=f"{results['live-chain']['cpu_us']:.1f} µs")
    steps = [results[case]["cpu_us"] for case in ("live-plan-1000", "live-plan-5000") if results.get(case)]
    if steps:
        yield Row("step of a live plan of 1,000, streamed, CPU per step", "printed", ours=f"{steps[0]:.0f} µs")
        yield flat_row("the same, largest ÷ smallest n", list(steps))
