"""The main job: `python -m examples.incident` makes up an incident, investigates it and writes the report.

Kill it at any moment: the resume command it prints at the start finishes the run, report included. So does
this command with the same `--id`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

import makespan as ms
from examples.incident.facts import by_rule
from examples.incident.telemetry import generate, write_truth
from examples.incident.workflow import Report, incident
from makespan.cli.failures import BY_STATUS, USAGE, guarded, say
from makespan.cli.progress import choose_progress
from makespan.cli.stopping import interruptible
from makespan.models.scripted import Scripted
from makespan.ports import Model, ModelRequest
from makespan.result import resume_command


class Options(argparse.Namespace):
    """The command line."""

    seed: int
    scale: str
    store: str
    out: str
    id: str
    model: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the main job; the exit status says how it ended."""
    options = read_options(arguments)
    database = telemetry(Path(options.store), options.seed, options.scale)
    report, store = Path(options.out).absolute(), Path(options.store).absolute()
    return asyncio.run(investigate(options, incident(str(database), str(report), str(store))))


def read_options(arguments: Sequence[str] | None) -> Options:
    """The command line, with a fresh run id unless one is given."""
    parser = argparse.ArgumentParser(prog="python -m examples.incident", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=7, help="which incident to make up")
    parser.add_argument("--scale", choices=("full", "small"), default="full", help="size of the telemetry")
    parser.add_argument("--store", default=".makespan", help="folder of the journal and the telemetry")
    parser.add_argument("--out", default="report.md", help="file to write the report to")
    parser.add_argument("--id", default=f"incident-{os.urandom(4).hex()}", help="go on with this run if it exists")
    parser.add_argument("--model", choices=("embedded", "rule"), default="embedded", help="who reads log lines")
    return parser.parse_args(arguments, Options())


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
    progress = choose_progress(quiet=False)
    async with ms.Engine(options.store, models=models(options.model)) as engine:
        engine.start(call, id=options.id)
        run: ms.Run[Report] = engine.resume(options.id)
        say(f"run {run.id}; after a kill, finish it with: {how_to_go_on(options)}")
        with interruptible(run, options.store):
            progress.attach(run, None)
            try:
                result = await run
            finally:
                progress.close()
    if result.error is not None:
        say(f"{result.status}: {result.error}")
        return BY_STATUS.get(result.status, USAGE)
    print(summary(result))
    return 0


def how_to_go_on(options: Options) -> str:
    """What to type after a kill; `makespan resume` knows the embedded model, not the rule."""
    if options.model == "embedded":
        return resume_command(options.id, options.store)
    given = {"seed": options.seed, "scale": options.scale, "store": options.store, "model": options.model}
    words = [word for name, value in (given | {"id": options.id}).items() for word in (f"--{name}", str(value))]
    return shlex.join(["python", "-m", "examples.incident", *words])


def models(name: str) -> dict[str, Model | str]:
    """Who answers for the model `embedded`."""
    return {"embedded": Scripted(copy_spans) if name == "rule" else name}


def copy_spans(request: ModelRequest) -> str:
    """The answer of the rule that stands in for a model."""
    return msgspec.json.encode(by_rule(request.messages[-1].text)).decode()


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


if __name__ == "__main__":
    sys.exit(guarded(main))
