"""A process that runs (or goes on with) a run of paid calls on a shared store: every call is billed in a file."""

from __future__ import annotations

import asyncio
import os
import sys

import makespan as ms
from makespan.app import Engine
from makespan.models.prices import Price
from makespan.ports import ModelReply, ModelRequest
from makespan.values import Usage

STORE, RUN, BILL, AMOUNT = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
PRICE = Price(1_000_000, 1_000_000, 1_000_000)
"""A thousandth of a dollar a token."""


def write_down(tokens: int) -> None:
    with open(BILL, "a") as bill:
        bill.write(f"{tokens}\n")


class Shop:
    """A provider that bills as it begins to work: 1 to 20 tokens of the 20 it may."""

    name = "shop"

    async def complete(self, request: ModelRequest) -> ModelReply:
        tokens = 1 + hash(request.messages[-1].text) % 20
        write_down(tokens)
        await asyncio.sleep(0.01)
        return ModelReply("ok", finish_reason="stop", usage=Usage(tokens, 0, 0))

    def worst_case(self, request: ModelRequest) -> Usage:
        return Usage(20, 0, 0)

    async def close(self) -> None:
        """Nothing to close."""


@ms.prompt(models=["shop"])
def buy(x: int) -> str:
    ms.chat(f"buy {os.getpid()} {x}")


@ms.workflow
async def shopping(count: int) -> int:
    bought = 0
    for start in range(0, count, 8):
        bought += len(await asyncio.gather(*[buy(start + n) for n in range(8)]))
    return bought


async def main() -> None:
    models, prices = {"shop": Shop()}, {"shop": PRICE}
    async with Engine(STORE, models=models, prices=prices, budgets={"usd": AMOUNT}) as engine:
        known = engine.journal.run(RUN)
        is_new = known is None or not any(engine.journal.read(RUN))
        run = engine.start(shopping(400), id=RUN) if is_new else engine.resume(RUN, shopping)
        result = await run
        print(result.status, result.reason, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
