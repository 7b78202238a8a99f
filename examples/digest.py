"""Map-reduce over 500 documents of which a few cannot be read: 499 of 500 is an answer, 400 of 500 is not.

makespan run examples/digest.py -i count=12             each summary is a call of the model
"""

import makespan as ms


@ms.task(effect="pure")
def documents(count: int) -> list[str]:
    return [f"Report {number}: {number % 7} of {number + 7} machines stood still." for number in range(count)]


@ms.prompt(max_tokens=40)
def summarise(document: str, style: str) -> str:
    ms.chat(f"Say it {style}: {document}")


@ms.prompt(max_tokens=80)
def combine(parts: list[str], missing: int) -> str:
    ms.chat("\n".join(parts)[:2000], f"Sum this up in one sentence. {missing} reports could not be read.")


@ms.workflow
async def digest(count: int = 500) -> str:
    texts = await documents(count)
    outcomes = await ms.map(lambda text: summarise(text, style="briefly"), texts, errors="keep", limit=50)
    good = [outcome.value for outcome in outcomes if outcome]
    if len(good) < 0.9 * len(outcomes):
        raise ms.Fatal(f"only {len(good)} of {len(outcomes)} documents could be read")
    return await combine(good, len(outcomes) - len(good))
