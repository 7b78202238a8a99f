"""The main job: `python -m examples.incident` makes up an incident, investigates it and writes the report.

Kill it at any moment: the resume command it prints at the start finishes the run, report included. So does
this command with the same `--id`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

import makespan as ms
from examples.incident.facts import by_rule
from examples.incident.telemetry import generate, write_truth
from examples.incident.workflow import Report, incident
from makespan.machine.facts import Fact, TaskFailed, TaskSucceeded
from makespan.machine.state import State
from makespan.models.scripted import Scripted
from makespan.ports import Model, ModelRequest
from makespan.result import resume_command

EXIT = {"succeeded": 0, "failed": 1, "cancelled": 3, "paused": 4}
INTERRUPTED = 130


class Options(argparse.Namespace):
    """The command line."""

    seed: int
    scale: str
    store: str
    out: str
    id: str
    model: str


def main() -> int:
    """Run the main job; the exit status says how it ended."""
    options = read_options()
    database = telemetry(Path(options.store), options.seed, options.scale)
    report, store = Path(options.out).absolute(), Path(options.store).absolute()
    try:
        return asyncio.run(investigate(options, incident(str(database), str(report), str(store))))
    except KeyboardInterrupt:
        say(f"interrupted; go on with: {resume_command(options.id, options.store)}")
        return INTERRUPTED


def read_options() -> Options:
    """The command line, with a fresh run id unless one is given."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.incident", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--seed", type=int, default=7, help="which incident to make up")
    parser.add_argument("--scale", choices=("full", "small"), default="full", help="size of the telemetry")
    parser.add_argument("--store", default=".makespan", help="folder of the journal and the telemetry")
    parser.add_argument("--out", default="report.md", help="file to write the report to")
    parser.add_argument(
        "--id", default=f"incident-{os.urandom(4).hex()}", help="go on with this run if it exists"
    )
    parser.add_argument(
        "--model", choices=("embedded", "rule"), default="embedded", help="who reads log lines"
    )
    return parser.parse_args(namespace=Options())


def telemetry(folder: Path, seed: int, scale: str) -> Path:
    """The database of a seed, written once; the truth goes beside it, for `examples.incident.score`."""
    path = folder.absolute() / f"incident-{seed}-{scale}.db"
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        started_s = time.perf_counter()
        draft = path.with_suffix(".draft.db")
        write_truth(generate(draft, seed=seed, scale=scale), path.with_suffix(".truth.json"))
        draft.replace(path)
        say(f"telemetry of seed {seed} written in {time.perf_counter() - started_s:.1f} s: {path}")
    return path


async def investigate(options: Options, call: ms.Ref[Report]) -> int:
    """Start the run, or go on with it, and say how it ended."""
    async with ms.Engine(options.store, models=models(options.model)) as engine:
        engine.start(call, id=options.id)
        run: ms.Run[Report] = engine.resume(options.id)
        say(f"run {run.id}; after a kill, finish it with: {resume_command(run.id, options.store)}")
        run.watch(Progress())
        result = await run
    if result.error is not None:
        say(f"{result.status}: {result.error}")
        return EXIT.get(result.status, 1)
    print(summary(result))
    return 0


def models(name: str) -> dict[str, Model | str]:
    """Who answers for the model `embedded`."""
    return {"embedded": Scripted(copy_spans) if name == "rule" else name}


def copy_spans(request: ModelRequest) -> str:
    """The answer of the rule that stands in for a model."""
    return msgspec.json.encode(by_rule(request.messages[-1].text)).decode()


class Progress:
    """One line on stderr for every task that ends."""

    def __init__(self) -> None:
        self._started_s = time.perf_counter()
        self._done = 0

    def __call__(self, facts: Sequence[Fact], state: State) -> None:
        for fact in facts:
            if isinstance(fact, TaskSucceeded | TaskFailed):
                self._done += 1
                key = state.tasks[fact.task].declaration.key
                word = "failed" if isinstance(fact, TaskFailed) else "done"
                say(f"{time.perf_counter() - self._started_s:6.2f} s  {self._done:3} {word}  {key}")


def summary(result: ms.Result[Report]) -> str:
    """The verdict and what it cost, for the terminal."""
    report, totals = result.output, result.summary
    verdict = report.verdict
    what = f"{verdict.service}: {verdict.cause_kind.replace('_', ' ')}" if verdict.service else "no incident"
    change = f", {verdict.change.id} ({verdict.change.summary})" if verdict.change else ""
    ratio = result.makespan_s / result.critical_path_s if result.critical_path_s else 1.0
    return (
        f"verdict: {what}{change}; confidence {verdict.confidence:.0%}\n"
        f"report:  {report.path}\n"
        f"cost:    {totals.tasks.succeeded} tasks in {result.makespan_s:.2f} s, "
        f"{ratio:.2f} × the critical path; "
        f"{totals.tokens.prompt} tokens in ({totals.tokens.cached} cached), {totals.tokens.completion} out; "
        f"${result.cost_usd:.4f}"
    )


def say(line: str) -> None:
    """One line to stderr, at once."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
