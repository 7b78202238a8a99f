"""An order waits for its payment, reminds every day and expires on the third: messages and timers survive restarts.

makespan run examples/order.py -i order_id=o1 --id o1
makespan send o1 paid '{"usd": 20}'         in another shell; or: makespan send o1 cancel '{"why": "too slow"}'
"""

from dataclasses import dataclass

import makespan as ms

DAY_S = 86_400


@dataclass(frozen=True)
class Paid:
    usd: float


@dataclass(frozen=True)
class Cancel:
    why: str


@ms.task(effect="irreversible")
def ship(order_id: str, usd: float) -> str:
    return f"{order_id} is on its way, {usd:.2f} USD paid"


@ms.task
def remind(order_id: str, day: int) -> None:
    ms.context().log.warning("order %s is not paid yet: reminder %d", order_id, day)


@ms.workflow
async def order(order_id: str) -> str:
    for day in range(1, 4):
        match await ms.first(ms.receive("paid", Paid), ms.receive("cancel", Cancel), ms.sleep(DAY_S)):
            case Paid(usd=usd):
                return await ship(order_id, usd)
            case Cancel(why=why):
                return f"{order_id} was cancelled: {why}"
            case None:
                await remind(order_id, day)
    return f"{order_id} has expired"
