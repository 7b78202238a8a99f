"""A support agent with tools: every call is a task of the run, and a refund waits until a person has approved it.

    makespan run examples/support.py:support -i ticket="Order o-2 came broken, I want my 30 USD back" --id t-1
    makespan approve t-1                        in another shell, when it asks (weeks later, if need be)

The built-in model calls tools, but seldom well: name a larger one as `default` under [models] in makespan.toml.

`page` shows what a web page would: the answer word by word, and what a person is asked.
"""

from collections.abc import AsyncIterator

import makespan as ms

ORDERS = {"o-1": 12.5, "o-2": 30.0}


@ms.task(effect="pure")
def price(order: str) -> float:
    """What an order cost, in USD."""
    if order not in ORDERS:
        raise LookupError(f"there is no order {order!r}; the customer has {', '.join(ORDERS)}")
    return ORDERS[order]


@ms.task(effect="irreversible", approve=True)
def refund(order: str, usd: float) -> str:
    """Pay money back for an order."""
    return f"refunded {usd:.2f} USD for {order}, receipt {ms.context().idempotency_key[:8]}"


@ms.prompt(tools=[price, refund], max_turns=6, max_tokens=100, stream=True, budget_usd=0.20)
def support(ticket: str) -> str:
    """You are support. Look up the price of the order, refund it if that is fair, and answer the customer: {ticket}"""
    ms.chat()


async def page(engine: ms.Engine, ticket: str, session: str) -> AsyncIterator[str]:
    run = engine.start(support(ticket), session=session, busy="queue")
    async for update in run.updates(only=["chunk", "question"]):
        asks = update.kind == "question"
        yield f"may {update.key} run? {update.value['arguments']}" if asks else str(update.value)
