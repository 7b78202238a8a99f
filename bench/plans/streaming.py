"""A scripted planner that writes at a steady pace."""

from collections.abc import AsyncIterator, Awaitable, Callable


async def lines(
    text: str, first_s: float, line_s: float, sleep: Callable[[float], Awaitable[object]]
) -> AsyncIterator[str]:
    """The lines of a text, each with its line break, as a planner writes them.

    Args:
        first_s: until it begins to write, seconds.
        line_s: for each line, seconds; the first one is there after `first_s + line_s`.
        sleep: waits so many seconds, on whichever clock.
    """
    await sleep(first_s)
    for line in text.splitlines():
        await sleep(line_s)
        yield line + "\n"
