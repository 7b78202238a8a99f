"""`python -m bench.plans`: what the scripted planner makes of ParallelQA, and every answer that differs."""

from bench.plans.parallelqa import Verdict, folder, items, score


def main() -> None:
    """Print the figures."""
    asked = items()
    if not asked:
        print(f"no ParallelQA in {folder()}; set MAKESPAN_DATA to the folder that holds llmcompiler/")
        return
    found = score(asked)
    counts = ", ".join(f"{found.count(verdict)} {verdict.value}" for verdict in Verdict)
    print(f"ParallelQA: {len(asked)} questions, {counts}; {found.entities} entities")
    print(f"{found.searches} searches ({found.repeated} repeated), {found.calls} calls; {found.rounds}")
    for item, answer in found.misses:
        print(f"  {found.verdicts[item.id].value}: {answer} for {item.answer}: {item.question}")


if __name__ == "__main__":
    main()
