"""`python -m bench [--quick] [--case NAME] [--peers [FOLDER]]`: measure and print a Markdown table.

Exits with 1 when a row misses its target or a case fails.
"""

import argparse
import asyncio
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import measure, peers, scheduling
from bench.cases import CASES, has_engine
from bench.measure import Figures
from bench.table import rows
from bench.table_row import HEADER, Row


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; returns the exit status."""
    options = parse(arguments)
    if options.life:
        live_and_die(options.life)
        return 0
    if options.child:
        measure.report(CASES[options.child](options.quick))
        return 0
    names = [name for name in CASES if is_chosen(name, options.case)]
    if not names:
        print(f"no case is called {options.case}; there are {', '.join(CASES)}", file=sys.stderr)
        return 2
    results, failures = measure_all(names, options.quick)
    table = [*rows(results), *failures]
    print(f"\nPython {platform.python_version()}, {platform.machine()}; each case in a fresh process, medians.")
    if not has_engine():
        print("There is no engine in this environment: floors only.")
    print("\n" + HEADER)
    for row in table:
        print(row.markdown())
    if options.peers is not None:
        print("\n" + peers.table(options.peers, options.quick))
    return 1 if any(row.passed is False for row in table) else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Cost of a task beside its floors.")
    parser.add_argument("--case", action="append", help="a case or its first word (memory, durable, live, ...)")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: seconds instead of minutes")
    parser.add_argument(
        "--peers",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="LangGraph, pydantic-graph and DBOS too; FOLDER holds a virtual environment per peer",
    )
    parser.add_argument("--life", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--child", choices=sorted(CASES), help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def live_and_die(folder: Path) -> None:
    """Be a process that `bench.crash` kills."""
    from bench import crash

    asyncio.run(crash.live_once(folder))


def is_chosen(name: str, wanted: Sequence[str] | None) -> bool:
    """Whether a case was asked for: by its name, by the first word of it, or with no choice at all."""
    return not wanted or name in wanted or name.split("-")[0] in wanted


def measure_all(names: Sequence[str], quick: bool) -> tuple[dict[str, Figures], list[Row]]:
    """Figures of the cases that ran, and a failed row for each that did not."""
    results: dict[str, Figures] = {}
    failures: list[Row] = []
    for name in names:
        print(f"measuring {name}", file=sys.stderr)
        try:
            arguments = ["--child", name, *(["--quick"] if quick else [])]
            limit_s = scheduling.LIMITS_S.get(name, measure.CHILD_LIMIT_S)
            results[name] = measure.in_fresh_process("bench", arguments, limit_s=limit_s)
        except RuntimeError as error:
            failures.append(Row(name, ours=str(error), passed=False))
    return results, failures


if __name__ == "__main__":
    sys.exit(main())
