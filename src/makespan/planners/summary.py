"""A bounded view of a long history: what matters now in full, the last actions, and a summary of all the rest.

    head    │ board: a line per goal │ summary of what is older │ the last k actions          never above `cap_chars`

A summary is made of the summary before and the actions since, so its cost does not grow with the run. Whatever a
summariser returns is cut to its share. Without one, the lines that say most are kept as they are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from makespan.authoring.task import Task
from makespan.errors import GraphError, TaskError

CAP_CHARS = 8_000
"""Characters of a view: about 2,000 tokens."""
MIN_CHARS = 1_000
"""A smaller cap would show nothing of use."""
RECENT = 8
"""Actions that are shown as they were."""

_WORD = re.compile(r"\w{3,}")


class Summary:
    """A history that is shown within a cap.

    Args:
        head: shown always and in full, such as the question and the tools.
        cap_chars: of the whole view, head included.
        recent: actions that are shown as they were.
        summariser: a task or prompt of (earlier: str, actions: list[str], max_chars: int); it may return what it likes.
    Raises:
        GraphError: the head leaves less than half of the cap to the history.
    """

    def __init__(
        self,
        head: str = "",
        *,
        cap_chars: int = CAP_CHARS,
        recent: int = RECENT,
        summariser: Task[..., str] | None = None,
    ) -> None:
        if cap_chars < MIN_CHARS:
            raise GraphError(f"a view of {cap_chars} characters shows nothing: give at least {MIN_CHARS}")
        if len(head) > cap_chars // 2:
            raise GraphError(
                f"what is always shown (question and tools) has {len(head)} characters, more than half of the "
                f"{cap_chars} of a view: raise the cap, or offer fewer tools"
            )
        self.head, self.cap_chars, self.recent = head, cap_chars, recent
        self._summariser = summariser
        self.earlier = ""
        """Summary of what is not among the last actions."""
        self._recent: list[str] = []
        self._to_sum: list[str] = []
        self.model_calls = 0
        """Times the summariser was asked."""

    def note(self, action: str) -> None:
        """One more action, in words."""
        self._recent.append(" ".join(action.split()))
        while len(self._recent) > self.recent:
            self._to_sum.append(self._recent.pop(0))

    @property
    def has_summariser(self) -> bool:
        """Whether a view may ask a model."""
        return self._summariser is not None

    async def view(self, board: Sequence[str]) -> str:
        """What a prompt is shown. Never longer than the cap; asks the summariser where something is older.

        Args:
            board: lines that are shown whatever else is, such as one a goal; cut to fair shares of half of the space.
        """
        space = self.cap_chars - len(self.head) - 120
        taken, self._to_sum = self._to_sum, []
        if taken:
            try:
                self.earlier = await self._summed(taken, space // 4)
            except BaseException:  # who asks was cancelled: the next view tells of these
                self._to_sum = taken + self._to_sum
                raise
        parts = [self.head, "Goals:", *shared(board, space // 2)]
        if self.earlier:
            parts += ["Earlier, in short:", self.earlier]
        if self._recent:
            parts += ["Last actions:", *shared(self._recent, space // 4)]
        return "\n".join(part for part in parts if part)[: self.cap_chars]

    async def _summed(self, taken: Sequence[str], chars: int) -> str:
        actions = shared(taken, chars)
        if self._summariser is not None:
            self.model_calls += 1
            try:
                return cut((await self._summariser(self.earlier, actions, chars)).strip(), chars)
            except TaskError:  # a view without its summary is worse than one with a plain one
                pass
        return telling([*self.earlier.splitlines(), *actions], chars)


def shared(lines: Sequence[str], chars: int) -> list[str]:
    """Lines, the long ones cut so that all fit; where there are too many, the first and the last of them.

    Short lines leave what they do not need to the long ones.
    """
    least = 40
    most = max(chars // (least + 1), 2)
    if len(lines) > most:
        first, last = (most - 1) // 2, most - 1 - (most - 1) // 2
        gone = len(lines) - first - last
        lines = [*lines[:first], f"… {gone} more …", *(lines[-last:] if last else ())]
    left, cuts = chars - len(lines), {}
    for rest, (place, line) in zip(
        range(len(lines), 0, -1), sorted(enumerate(lines), key=lambda each: len(each[1])), strict=True
    ):
        cuts[place] = cut(line, max(left // rest, 0))
        left -= len(cuts[place])
    return [cuts[place] for place in range(len(lines))]


def cut(text: str, chars: int) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= chars else f"{text[: max(chars - 1, 0)]}…"[:chars]


def telling(lines: Sequence[str], chars: int) -> str:
    """The lines that say most, in their order, within so many characters.

    What a line says is the rarity of its words, over the root of its length: words that stand in every line say
    nothing, and a long line is not better for being long. Cost: O(characters).
    """
    words = [set(_WORD.findall(line.lower())) for line in lines]
    often = Counter(word for several in words for word in several)
    worth = [
        sum(1 / often[word] for word in several) / max(len(line), 1) ** 0.5
        for line, several in zip(lines, words, strict=True)
    ]
    kept, left = set[int](), chars
    for place in sorted(range(len(lines)), key=lambda each: (-worth[each], -each)):
        if len(lines[place]) + 1 <= left:
            kept.add(place)
            left -= len(lines[place]) + 1
    return "\n".join(lines[place] for place in sorted(kept)) or cut("\n".join(lines), chars)
