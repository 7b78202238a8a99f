"""A conversation that works at a structured memory instead of at its transcript.

    text ─▶ revise (a model) ─▶ intents ─▶ events ─▶ Memory ──check──▶ rules that are stale, as tasks ─▶ reply
              ▲ path to the active slot, names; never the transcript       the answer is what the memory holds

`open_memory` is the memory alone, for any async workflow: named values with provenance, computed by your tasks when
somebody asks, kept for the session by `ms.state`. `answer` is one turn of a chat on top of it. Invariant: a rule runs
only where no kept version was computed from the same contents; a turn is done as a whole or not at all.

Source: the Task Memory Engine (TME). Changed: rollback brings versions back and is no update; dependants are found by
content, not marked by notes; they are computed again by tasks, on demand; nothing about the domain is built in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from makespan.authoring.context import context as run_context
from makespan.authoring.model_task import ModelCode, ModelTask, Structured
from makespan.authoring.signature import MISSING
from makespan.authoring.state import Slot as StateSlot
from makespan.authoring.state import state
from makespan.authoring.task import HOOKS, Task
from makespan.authoring.toolbox import tool_name
from makespan.authoring.turn import DEFAULT_MODELS, MODEL_RETRIES
from makespan.errors import GraphError, LimitError, ProviderError, TaskError
from makespan.graph.node import Effect, Options
from makespan.memory import revising
from makespan.memory.asking import Gap, Known, ask
from makespan.memory.differences import differences
from makespan.memory.events import Events
from makespan.memory.fold import fold
from makespan.memory.intents import (
    ELSEWHERE,
    Check,
    Compute,
    Intent,
    Revisions,
    events_of,
    offered_slots,
    paired,
    read_lines,
    schema_for,
)
from makespan.memory.staleness import basis_of, stale
from makespan.memory.state import Author, Memory, RevisionRefused
from makespan.memory.view import context
from makespan.models.tokens import byte_bound
from makespan.ports import Message, ModelReply, ModelRequest, TaskCode

NAME = "task memory"
CONTEXT_TOKENS = 1_000
"""Of the memory, shown to a model in one turn; in bytes, the project's upper bound of tokens."""
ANSWER_TOKENS = 512
COMMAND = "/"
"""A message that begins so is no prose: it is read as lines, and no model is asked."""
TRIES = 2
"""Times a model is asked in one turn: once more with what was wrong with its first answer."""


def tokens(text: str) -> int:
    """Upper bound of a text's tokens, without what stands around a message."""
    return byte_bound(ModelRequest((Message.user(text),)), count_schema=False).prompt_tokens - _AROUND


_AROUND = byte_bound(ModelRequest((Message.user(""),)), count_schema=False).prompt_tokens


# ---------------------------------------------------------------- the memory of a session in a workflow


class TaskMemory:
    """The memory of a session while one workflow works with it. Made by `open_memory`; `save` keeps what was done.

    Its changes are those of `makespan.memory.revising`, and raise RevisionRefused like them.
    """

    def __init__(
        self, memory: Memory, slot: StateSlot[Memory], rules: Mapping[str, Task[..., Any]], by: Author
    ) -> None:
        self.memory = memory
        self.rules = rules
        self._slot, self._by = slot, by
        self._saved = memory
        self._computing: dict[str, asyncio.Task[None]] = {}

    def set(self, name: str, value: Any, *, parent: str | None = None) -> None:
        """Make a slot, or give an old one a value."""
        self.apply(revising.set_slot(self.memory, name, value, parent=parent, by=self._by))

    def heading(self, name: str, *, parent: str | None = None) -> None:
        """Make a slot without a value, for others to stand below."""
        self.apply(revising.set_slot(self.memory, name, parent=parent, by=self._by))

    def change(self, name: str, value: Any) -> None:
        """Give a slot that there is another value."""
        self.apply(revising.change(self.memory, name, value, by=self._by))

    def compute(
        self,
        name: str,
        rule: Task[..., Any] | str,
        needs: Mapping[str, str] | Sequence[str],
        *,
        parent: str | None = None,
    ) -> None:
        """Say that a slot is computed by one of the rules; it runs when somebody asks.

        Args:
            needs: parameter → slot, or slots in the order of the rule's parameters.
        Raises:
            RevisionRefused: `fit`: no such rule, or the slots do not fit its parameters; and as `revising.compute`.
        """
        known = rule_name(rule) if isinstance(rule, Task) else rule
        wanted = dict(needs) if isinstance(needs, Mapping) else paired(known, needs, parameters_of(self.rules))
        check_fit(known, wanted, self.rules)
        self.apply(revising.compute(self.memory, name, known, wanted, parent=parent))

    def release(self, name: str) -> None:
        """Make a computed slot a plain one that keeps its value."""
        self.apply(revising.release(self.memory, name))

    def mark(self, label: str) -> None:
        """Give this moment a name to go back to."""
        self.apply(revising.mark(self.memory, label))

    def unmark(self, label: str) -> None:
        """Forget a mark."""
        self.apply(revising.unmark(self.memory, label))

    def back(self, name: str, to: str | int | None = None) -> None:
        """One slot as it was at a mark, in a kept version, or before its current one."""
        self.apply(revising.back(self.memory, name, to, by=self._by))

    def go_back(self, to: str) -> None:
        """Everything as it was at a mark."""
        self.apply(revising.go_back(self.memory, to, by=self._by))

    def rename(self, name: str, to: str) -> None:
        """Another name, also where others are computed from it."""
        self.apply(revising.rename(self.memory, name, to))

    def replace(self, name: str, to: str, *value: Any) -> None:
        """Put a slot, new or not, in the place of another one; with a value for it, or with what it has."""
        self.apply(revising.replace(self.memory, name, to, *value, by=self._by))

    def remove(self, name: str) -> None:
        """Take a slot out that no other one needs."""
        self.apply(revising.remove(self.memory, name))

    def focus(self, name: str) -> None:
        """Say that the work is at this slot now."""
        self.apply(revising.focus(self.memory, name))

    def apply(self, events: Events) -> None:
        """Fold events that were decided for this memory."""
        self.memory = fold(self.memory, events)

    def stale(self) -> list[str]:
        """The slots to be computed before their values stand, in the order of the memory."""
        old = stale(self.memory)
        return [name for name in self.memory.slots if name in old]

    def ask(self, name: str) -> Known | Gap:
        """What the memory holds; nothing is computed."""
        return ask(self.memory, name)

    def context(self, active: str | None = None, cap_tokens: int = CONTEXT_TOKENS) -> str:
        """What a model must see to work at one slot (the active one), instead of the conversation."""
        return context(self.memory, self.memory.active if active is None else active, cap_tokens, tokens)

    async def save(self) -> None:
        """Keep the memory for the session, and wait until it is durable. Nothing is written if nothing changed."""
        if self.memory != self._saved:
            await self._slot.set(self.memory)
            self._saved = self.memory

    # ------------------------------------------------------------ computing

    async def check(self, name: str) -> Known | Gap:
        """The value of a slot, computed where it is stale; a rule that fails is a Gap (`failed`).

        Raises:
            LimitError: a budget or a deadline was met.
        """
        try:
            await self._done(name)
        except LimitError:
            raise
        except (TaskError, GraphError, RevisionRefused) as error:
            return Gap(name, "failed", f"{name!r} cannot be computed: {error}")
        return ask(self.memory, name)

    async def value(self, name: str) -> Any:
        """The value of a slot, computed where it is stale: each rule at most once, those that can side by side.

        Raises:
            RevisionRefused: `unknown`, or `no version`: there is no value, and why.
            TaskError: of a rule that failed.
        """
        await self._done(name)
        found = ask(self.memory, name)
        if isinstance(found, Gap):
            is_there = name in self.memory.slots
            raise RevisionRefused(found.why, reason="no version" if is_there else "unknown", slot=name)
        return found.value

    async def _refresh(self, name: str) -> None:
        """Make a slot stand, after those it is computed from. Stops early where one of them came out as it was."""
        if name not in stale(self.memory):
            return
        old = stale(self.memory)
        needs = [need for need in dict.fromkeys(self.memory.slots[name].needs.values()) if need in old]
        ended = await asyncio.gather(*map(self._done, needs), return_exceptions=True)
        for end in ended:
            if isinstance(end, BaseException):
                raise end
        if name in stale(self.memory):
            await self._compute(name)

    def _done(self, name: str) -> asyncio.Future[None]:
        """One computation of a slot, however many wait for it, and whichever of them is cancelled."""
        running = self._computing.get(name)
        if running is None or running.done():
            running = self._computing[name] = asyncio.ensure_future(self._refresh(name))
        return asyncio.shield(running)

    async def _compute(self, name: str) -> None:
        slot, basis = self.memory.slots[name], basis_of(self.memory, name)
        if basis is None:
            return
        remembered = revising.recall(self.memory, name, by=self._by)
        if remembered:
            self.apply(remembered)
            return
        check_fit(slot.rule, slot.needs, self.rules)
        rule = self.rules[slot.rule]
        values = {parameter: self.memory.slots[need].current for parameter, need in slot.needs.items()}
        made = await rule(**{parameter: version.value for parameter, version in values.items() if version})
        author = Author(f"task {slot.rule}", self._by.turn)
        if name in self.memory.slots:  # it may have been removed meanwhile
            self.apply(revising.computed(self.memory, name, plain(made), basis, by=author))


async def open_memory(
    name: str = NAME, rules: Sequence[Task[..., Any]] = (), *, who: str = "user", first: Memory | None = None
) -> TaskMemory:
    """The session's memory of this name, in an async workflow; without a session, of the run alone.

    Args:
        rules: tasks that may compute slots, known by their function's name or key, and `version=`: a task whose version
            has changed makes what it computed stale.
        who: the author of the changes.
        first: what there is while nothing was saved; `Memory(limits=...)` for other limits.
    Raises:
        GraphError: two rules with one name.
    """
    known: dict[str, Task[..., Any]] = {}
    for rule in rules:
        if known.setdefault(rule_name(rule), rule) is not rule:
            raise GraphError(f"two rules are called {rule_name(rule)!r}; give one of them key=...")
    slot = state(name, Memory, default=first or Memory())
    memory = await slot
    opened = TaskMemory(memory, slot, known, Author(who, run_context().run_id))
    opened.apply(_changed_rules(memory, known))
    return opened


def _changed_rules(memory: Memory, rules: Mapping[str, Task[..., Any]]) -> Events:
    """Slots whose rule is here in another version are computed by that one."""
    here = {name.partition("@")[0]: name for name in rules}
    events: Events = ()
    for slot in memory.slots.values():
        now = here.get(slot.rule.partition("@")[0])
        if now is not None and slot.rule not in rules:
            events += revising.compute(memory, slot.name, now, slot.needs)
    return events


def rule_name(rule: Task[..., Any]) -> str:
    """How a task is called as a rule: its name as a tool, with its version."""
    version = rule._options.get("version", "")
    return f"{tool_name(rule)}@{version}" if version else tool_name(rule)


def parameters_of(rules: Mapping[str, Task[..., Any]]) -> dict[str, list[str]]:
    """The parameters of each rule, in order."""
    return {name: [parameter.name for parameter in rule.signature.parameters] for name, rule in rules.items()}


def check_fit(rule: str, needs: Mapping[str, str], rules: Mapping[str, Task[..., Any]]) -> None:
    """A rule can be called with these parameters. Raises RevisionRefused: `fit`."""
    if rule not in rules:
        paired(rule, (), dict.fromkeys(rules, ()))
    parameters = {parameter.name: parameter.default is MISSING for parameter in rules[rule].signature.parameters}
    wrong = [name for name in needs if name not in parameters]
    short = [name for name, is_needed in parameters.items() if is_needed and name not in needs]
    if wrong or short:
        what = f"has no parameter {wrong[0]!r}" if wrong else f"misses {', '.join(map(repr, short))}"
        raise RevisionRefused(f"{rule}({', '.join(parameters)}) {what}", reason="fit")


def plain(value: Any) -> Any:
    """A task's result as JSON-like data."""
    return msgspec.to_builtins(value, str_keys=True, enc_hook=HOOKS.encode)


# ---------------------------------------------------------------- one turn of a conversation


class Seen(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model is shown of a memory."""

    context: str = ""
    slots: list[str] = []
    marks: list[str] = []
    rules: list[str] = []
    """`name(parameters)`."""
    problems: list[str] = []
    """What was wrong with its last answer."""


class Reply(msgspec.Struct, frozen=True):
    """What one turn came to."""

    text: str
    """For people; made from the memory, never by a model."""
    answers: list[Known | Gap] = []
    stale: list[str] = []
    """Slots whose values no longer stand, and that nobody has asked for."""
    refused: list[str] = []
    """Why nothing was changed; empty when the turn was done."""


SYSTEM = """You keep the notes of a task. Say what the message wants of them, as JSON {"revisions": [...]}, with:
set (a new slot: name, value, parent or "") · change (slot, value) · compute (name, rule, needs: slots in order)
rollback (slot or "(everything)", to: a mark or "(previous)") · mark (label) · replace (slot by name, value or null)
remove (slot) · check (the message asks for a slot's value) · nothing (none of these).
Values are numbers, texts or lists, as the message says them. Without JSON: one line each, `set NAME = VALUE`,
`change NAME = VALUE`, `check NAME`, `back NAME to LABEL`, `compute NAME = RULE(NAME, NAME)`, `nothing`."""


def _revise(text: str, seen: Seen) -> Revisions:
    """The parameters of the task; the work is done by ReviseCode."""
    raise GraphError("reading a turn's intents is no function")


class ReviseTask(ModelTask[..., Revisions]):
    """What a turn wants of a memory, by a model."""

    def __init__(self) -> None:
        options = Options(effect=Effect.IDEMPOTENT, retries=MODEL_RETRIES, models=DEFAULT_MODELS, priced=True)
        super().__init__(_revise, {"key": "task_memory revise"}, defaults=options)

    def code_with(self, structured: Structured) -> TaskCode:
        return ReviseCode(self, structured)


class ReviseCode(ModelCode):
    """Reading a turn behind the TaskCode port."""

    def request(self, args: bytes, seed: int) -> ModelRequest:
        """The message with what the memory shows of itself; the schema offers what there is."""
        said = self._task.signature.decode(args)
        seen: Seen = said["seen"]
        rules = [rule.partition("(")[0] for rule in seen.rules]
        messages = (Message.system(SYSTEM), Message.user(shown(said["text"], seen)))
        return ModelRequest(messages, schema_for(seen.slots, seen.marks, rules), ANSWER_TOKENS, 0.0, seed % 2**31)

    def read(self, reply: ModelReply, request: ModelRequest) -> Revisions:
        """JSON, else lines; what is neither is told to the model by the turn, not asked for again here."""
        try:
            found: Revisions = self._structured.read(reply, Revisions)
            return found
        except ProviderError as error:
            if error.kind != "malformed":
                raise
            return read_lines(reply.text)


revise = ReviseTask()


def shown(text: str, seen: Seen) -> str:
    """The user message of one turn."""
    parts = [f"Notes around the slot at hand:\n{seen.context}" if seen.context else ""]
    parts += [f"Slots: {', '.join(seen.slots)}" if seen.slots else "There are no slots yet."]
    parts += [f"Marks: {', '.join(seen.marks)}" if seen.marks else ""]
    parts += [f"Rules: {', '.join(seen.rules)}" if seen.rules else ""]
    parts += [f"Message: {text}", *(f"Your last answer did not work: {problem}" for problem in seen.problems)]
    return "\n".join(part for part in parts if part)


async def answer(
    text: str,
    *,
    rules: Sequence[Task[..., Any]] = (),
    name: str = NAME,
    models: Sequence[str] = (),
    who: str = "user",
    cap_tokens: int = CONTEXT_TOKENS,
) -> Reply:
    """One turn of a conversation, for the body of an async workflow whose runs share a session.

    Args:
        text: what was said; `/change price = 120` is done as it stands, without a model.
        rules: tasks that may compute slots. models: as of a prompt. name, who: as of `open_memory`.
        cap_tokens: of the memory, shown to the model.
    Raises:
        TaskError: the models failed. What a model wants that cannot be done is in `Reply.refused`.
    Cost: one model call (none for a command), two when the first answer does not work; the stale rules that a
            question needs.
    """
    memory = await open_memory(name, rules, who=who)
    asked = revise.options(models=tuple(models)) if models else revise
    before, problems, is_command = memory.memory, list[str](), text.lstrip().startswith(COMMAND)
    for _ in range(1 if is_command else TRIES):
        seen = _seen(memory, text, cap_tokens, problems)
        wanted = commanded(text) if is_command else await asked(text, seen)
        problems = _revised(memory, wanted)
        if not problems:
            break
    else:
        return Reply(f"Nothing was changed: {problems[0]}", refused=problems)
    reply = await _replied(memory, differences(before, memory.memory), wanted.revisions)
    await memory.save()
    return reply


def commanded(text: str) -> Revisions:
    """What a command says, line by line; nothing of it is done where a line is none."""
    read = read_lines("\n".join(line.strip().removeprefix(COMMAND) for line in text.splitlines()))
    return Revisions([], read.unread) if read.unread else read


def _seen(memory: TaskMemory, text: str, cap_tokens: int, problems: list[str]) -> Seen:
    rules = [f"{name}({', '.join(takes)})" for name, takes in parameters_of(memory.rules).items()]
    slots = offered_slots(memory.memory, text)
    return Seen(memory.context(cap_tokens=cap_tokens), slots, list(memory.memory.marks), rules, problems)


def _revised(memory: TaskMemory, wanted: Revisions) -> list[str]:
    """Do everything that a turn wants; if something cannot be done nothing is, and this says what."""
    if not wanted.revisions:
        return [f"it names no revision: {wanted.unread[:200]!r}"]
    before, takes = memory.memory, parameters_of(memory.rules)
    for intent in wanted.revisions:
        try:
            if isinstance(intent, Compute):
                check_fit(intent.rule, paired(intent.rule, intent.needs, takes), memory.rules)
            memory.apply(events_of(memory.memory, intent, takes, memory._by))
        except RevisionRefused as refused:
            memory.memory = before
            return [str(refused)]
    return []


async def _replied(memory: TaskMemory, changes: list[str], intents: Sequence[Intent]) -> Reply:
    """The reply to a turn whose changes are done: questions are answered now, from the memory."""
    answers = [await _answered(memory, intent) for intent in intents if isinstance(intent, Check)]
    old = memory.stale()
    lines = [*changes, *(told(found) for found in answers)]
    if changes and old:
        lines.append(f"to be computed when asked for: {', '.join(old)}")
    return Reply("; ".join(lines) or "nothing to note", answers, old)


async def _answered(memory: TaskMemory, question: Check) -> Known | Gap:
    if question.slot == ELSEWHERE:
        return Gap("", "unknown", "that is not in memory")
    found = await memory.check(question.slot)
    if isinstance(found, Known):
        memory.focus(question.slot)
    return found


def told(found: Known | Gap) -> str:
    """An answer as a sentence, with where the value comes from."""
    if isinstance(found, Gap):
        return found.why
    sources = found.version.basis.sources.values()
    origin = f" ({found.version.basis.rule} of {', '.join(source.slot for source in sources)})" if sources else ""
    return f"{found.slot} = {found.version.text}{origin}"
