"""A budget for every customer: who is over it is partial, the others are whole.

makespan run examples/audits.py:audits -i 'questions={"ann": "How long do refunds take?", "bob": "Who?"}'
"""

import makespan as ms
from examples.rag import Answer, rag


@ms.workflow
async def audit(customer: str, question: str) -> Answer:
    return await rag(f"{question} (asked by {customer})")


@ms.workflow
async def audits(questions: dict[str, str], budget_usd: float = 0.50) -> dict[str, str]:
    limited = audit.options(budget_usd=budget_usd, deadline_s=300)
    outcomes = await ms.map(lambda customer: limited(customer, questions[customer]), list(questions), errors="keep")
    return {
        customer: outcome.value.text if outcome else f"partial: {outcome.error}"
        for customer, outcome in zip(questions, outcomes, strict=True)
    }
