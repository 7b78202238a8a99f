"""How often the verdict is right, beside three rules of thumb.

`python -m examples.incident.score --seeds 20`, from the repository root.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

import msgspec

from examples.incident import naive
from examples.incident.evidence import Evidence
from examples.incident.plain import collect
from examples.incident.scenario import Truth
from examples.incident.telemetry import generate
from examples.incident.verdict import Verdict, judge

RULES = {
    "highest error rate": naive.highest_error_rate,
    "latest deployment": naive.latest_deployment,
    "first alert": naive.first_alert,
}


def is_right(verdict: Verdict, truth: Truth) -> bool:
    """True when service, kind of cause and change are all right."""
    named = (verdict.service, verdict.cause_kind, verdict.change.id if verdict.change else "")
    return named == (truth.service, truth.cause_kind, truth.change)


def without_logs(evidence: Evidence) -> Evidence:
    """The same evidence without any log line: the verdict must not hang on how people word errors."""
    bare = [msgspec.structs.replace(detail, own_logs=(), caller_logs=()) for detail in evidence.details]
    return msgspec.structs.replace(evidence, details=tuple(bare), facts=())


def score_seed(seed: int, scale: str, folder: Path) -> dict[str, bool]:
    """Who is right on one seed: the verdict, the verdict without logs, each rule. Prints one line."""
    path = folder / "telemetry.db"
    started_s = time.process_time()
    truth = generate(path, seed=seed, scale=scale)
    generated_s = time.process_time()
    evidence = collect(path)
    verdict = judge(evidence)
    judged_s = time.process_time()
    right = {
        "verdict": is_right(verdict, truth),
        "without logs": is_right(judge(without_logs(evidence)), truth),
    }
    right |= {name: rule(evidence.overview) == truth.service for name, rule in RULES.items()}
    marks = "  ".join(f"{name} {'ok' if ok else 'WRONG'}" for name, ok in right.items())
    print(
        f"{seed:4d}  {truth.service:15} {truth.cause_kind:18} {verdict.confidence:4.0%}  {marks}  "
        f"generate {generated_s - started_s:.2f} s, investigate {judged_s - generated_s:.2f} s"
    )
    if not right["verdict"]:
        change = verdict.change.id if verdict.change else "no change"
        print(f"      said {verdict.service} {verdict.cause_kind} {change}; truth {truth.change}")
    return right


def main() -> None:
    """Score a range of seeds; exits 1 when a verdict was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--scale", choices=("full", "small"), default="full")
    options = parser.parse_args()
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.first, options.first + options.seeds):
            right = score_seed(seed, options.scale, Path(folder))
            total.update(name for name, ok in right.items() if ok)
    for name in ("verdict", "without logs", *RULES):
        print(f"{name:20} right {total[name]} of {options.seeds}")
    raise SystemExit(0 if total["verdict"] == options.seeds else 1)


if __name__ == "__main__":
    main()
