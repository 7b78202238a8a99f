"""A trip planned by talking: what is said changes notes, and what follows from them is computed when asked for.

makespan run examples/recipes/task_memory.py -i text="There are three of us." --session rome
makespan run examples/recipes/task_memory.py -i text="/set price = 120" --session rome         (/ needs no model)
makespan run examples/recipes/task_memory.py -i text="/compute sum = multiply(people, price)" --session rome
makespan run examples/recipes/task_memory.py -i text="/check sum" --session rome
"""

import makespan as ms
from makespan.recipes import task_memory


@ms.task(effect="pure")
def multiply(a: float, b: float) -> float:
    """a × b"""
    return a * b


@ms.workflow
async def turn(text: str) -> str:
    return (await task_memory.answer(text, rules=[multiply])).text
