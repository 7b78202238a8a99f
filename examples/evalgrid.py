"""An evaluation: prompts × models × cases × repeats as one durable run, with intervals that are honest about repeats.

makespan run examples/evalgrid.py --budget 1
"""

import makespan as ms
from makespan.evals import Case, Report, suite

CASES = [
    Case("The parcel came late.", "delivery", id="late"),
    Case("I was charged twice.", "billing", id="twice"),
    Case("The app crashes when it starts.", "software", id="crash"),
]


@ms.prompt(max_tokens=20)
def classify(text: str) -> str:
    ms.chat(text, system="Answer with one word: delivery, billing or software.")


def exact(said: str, case: Case) -> float:
    return float(said.strip(" .").lower() == case.target)


def brief(said: str, case: Case) -> float:
    return float(len(said.split()) == 1)


@ms.workflow
async def evalgrid(repeats: int = 2) -> Report:
    report = await suite(
        classify, CASES, [exact, brief], grid={"models": [["embedded"], ["scripted"]]}, repeats=repeats
    )
    ms.context().log.info("%s", report.table())
    return report
