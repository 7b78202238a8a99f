"""Every seam above the machine, as Protocols: what the engine asks of models, stores, the world and task code.

Each has at least one implementation in this package. Pass your own object that fits to `Engine(...)`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Literal, Protocol

import msgspec

from makespan.values import NanoUsd, Usage, Value

# ---------------------------------------------------------------- models


class ToolCall(msgspec.Struct, frozen=True):
    """A call of a tool that a model asked for."""

    id: str
    """As the model's service gave it; the result is sent back under it."""
    name: str
    arguments: str
    """JSON as the model wrote it, unchecked."""


class Tool(msgspec.Struct, frozen=True):
    """What a model is told about a tool."""

    name: str
    """1 to 64 characters of `a-z A-Z 0-9 _ -`."""
    description: str
    parameters: dict[str, Any]
    """JSON Schema of an object."""


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message of a conversation with a model."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    """What an assistant's message asked for."""
    call_id: str = ""
    """Which call a tool's message answers."""

    @staticmethod
    def system(text: str) -> Message:
        return Message("system", text)

    @staticmethod
    def user(text: str) -> Message:
        return Message("user", text)

    @staticmethod
    def assistant(text: str, tool_calls: tuple[ToolCall, ...] = ()) -> Message:
        return Message("assistant", text, tool_calls)

    @staticmethod
    def tool(call_id: str, text: str) -> Message:
        """The result of the call with this id."""
        return Message("tool", text, (), call_id)


class TokenLogprob(msgspec.Struct, frozen=True):
    """A generated token and its natural-log probability."""

    token: str
    logprob: float


class ModelRequest(msgspec.Struct, frozen=True):
    """One call of a model. `schema` is a JSON Schema the answer must follow; None asks for free text.

    With `tools` the model may ask for calls of them instead of answering.
    """

    messages: tuple[Message, ...]
    schema: dict[str, Any] | None = None
    max_tokens: int = 512
    temperature: float = 0.0
    seed: int | None = None
    logprobs: bool = False
    stop: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()


class ModelReply(msgspec.Struct, frozen=True):
    """What a model answered."""

    text: str
    finish_reason: Literal["stop", "length", "filter", "tools"]
    usage: Usage
    logprobs: tuple[TokenLogprob, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    """What it wants to know before it answers; not empty only with the finish reason `tools`."""


class Model(Protocol):
    """A language model. `name` is what the price list knows.

    Two things a model may have besides, as `StreamingModel` and `ToolModel` say: without `stream` its text comes in
    one piece, without `native_tools` the choice of a tool is asked of it as an answer with a schema.
    """

    @property
    def name(self) -> str: ...

    def worst_case(self, request: ModelRequest) -> Usage:
        """Upper bound of what the call can use. Synchronous, cheap, no I/O: it is reserved before the call."""
        ...

    async def complete(self, request: ModelRequest) -> ModelReply: ...

    async def close(self) -> None: ...


class StreamingModel(Model, Protocol):
    """A model that passes its text on as it comes."""

    async def stream(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
        """As `complete`, and `on_text` hears the pieces of the text on the event loop, in order, before it returns.

        Together the pieces are the reply's text. When it raises, what was heard belongs to no reply.
        """
        ...


class ToolModel(Model, Protocol):
    """A model that may understand `ModelRequest.tools`, tool messages and assistants' calls by itself."""

    @property
    def native_tools(self) -> bool: ...


async def streamed(model: Model, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
    """`model.stream` where the model has it; else its whole text in one piece, at the end."""
    stream = getattr(model, "stream", None)
    if stream is not None:
        reply: ModelReply = await stream(request, on_text)
        return reply
    reply = await model.complete(request)
    if reply.text:
        on_text(reply.text)
    return reply


# ---------------------------------------------------------------- task code


class Produced(msgspec.Struct, frozen=True, gc=False):
    """What one attempt gave: the encoded value and what it used."""

    value: bytes
    cost: NanoUsd = NanoUsd(0)
    usage: Usage | None = None


class SlotStore(Protocol):
    """The slots of `ms.state`, as an attempt sees them. May be used from any thread."""

    def read(self, info: AttemptInfo, name: str) -> SlotVersion | None:
        """The newest version of a slot of the attempt's session (or run), None while it was never set."""
        ...

    def write(self, info: AttemptInfo, name: str, value: bytes, expected: int | None) -> int:
        """Set it, once however often the attempt is repeated; returns the new version.

        Raises:
            SlotConflict: it has another version than `expected`. LimitError: the value is too large.
        """
        ...


class Services(Protocol):
    """What the engine lends to running task code."""

    @property
    def slots(self) -> SlotStore: ...

    def model(self, name: str) -> Model:
        """The model configured under a name. Raises ProviderError (`unknown_model`) with a suggestion."""
        ...

    def cost(self, model: str, usage: Usage) -> NanoUsd:
        """Price of what a call used. Raises ProviderError (`unknown_price`) unless unknown prices are allowed."""
        ...


class AttemptInfo(msgspec.Struct, frozen=True, gc=False):
    """What task code may know about the attempt it is. All but `services`, `emit`
    and `injected` crosses to worker processes."""

    run_id: str
    task_id: bytes
    key: str
    attempt: int
    last_error: str = ""
    deadline_ns: int | None = None
    """Wall clock of the run's deadline."""
    reserved: int = 0
    """Nano-USD this attempt may cost."""
    seed: int = 0
    generation: int = 0
    services: Any = None
    """`Services`; None in a worker process."""
    emit: Any = None
    """`(kind, encoded value) -> None`, from any thread: passes on a piece of an answer (`chunk`) or progress
    (`progress`). May be lost, never journaled; None where nobody listens."""
    injected: Any = None
    """Values of the parameters whose defaults are `ms.use(...)`, by name; opened by the engine for this attempt."""
    session: str = ""
    """The session of the run, "" without one."""
    scheduled_ns: int | None = None
    """Wall clock of the tick that the run stands for; None when no schedule started it."""
    zone: str = ""
    """The zone of that schedule."""
    models: tuple[str, ...] = ()
    """Names of the models of this task, those given by `.options(models=...)` at its call included."""
    stream: bool = False
    """Whether the pieces of a model's answer are wanted."""
    files: str = ""
    """The folder that holds the files of the store; its sibling `work` holds the working directories of attempts."""
    units: dict[str, tuple[int, ...]] = {}
    """Numbers of the units held, by pool."""

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of the task, also after a resume; a new one when the task is reopened on purpose.

        Cost: 1 µs, so only on demand.
        """
        which = self.run_id.encode() + self.task_id + (b":%d" % self.generation if self.generation else b"")
        return blake2b(which, digest_size=16).hexdigest()


class Piece(msgspec.Struct, frozen=True, gc=False):
    """A piece of an answer or some progress of a running attempt. Not part of the journal: it may be lost.

    `kind` says what `body` is: `chunk` (an encoded text that goes on from the chunk before), `progress` (any encoded
    value, the newest counts), `discard` (nothing: the chunks of this attempt so far are void) or `lost` (how many
    pieces of the attempt were dropped before this place). Pieces are ordered by epoch and number.
    """

    epoch: int
    number: int
    task: int
    attempt: int
    kind: str
    body: bytes


class Dependency(Protocol):
    """What a parameter can be injected with: a provider, or a reference to a secret. Hashable, known by itself."""

    @property
    def key(self) -> str:
        """Its name in messages and in `Engine(fakes=)`."""
        ...

    @property
    def scope(self) -> str:
        """How long one lives: `engine`, `run` or `attempt`."""
        ...

    @property
    def how(self) -> str:
        """What `make` gives: the `value`, a `coroutine` for it, or a `generator` or `async_generator` that yields it
        once."""
        ...

    @property
    def is_quick(self) -> bool:
        """Whether a plain `make` may run on the loop; otherwise it gets a thread."""
        ...

    @property
    def needs(self) -> Mapping[str, Dependency]:
        """Its own injected parameters, by name."""
        ...

    @property
    def make(self) -> Callable[..., Any]: ...


class TaskCode(Protocol):
    """The code behind a task: bytes in, bytes out. Types live at this border and nowhere below it."""

    @property
    def key(self) -> str: ...

    @property
    def executor(self) -> Literal["inline", "asyncio", "thread", "process"]: ...

    @property
    def target(self) -> str:
        """`module:qualname` or `file.py:qualname`: how another process finds the task."""
        ...

    def invoke(self, args: bytes, info: AttemptInfo) -> Produced:
        """Run one attempt of synchronous code (inline, on a thread, or in a worker process)."""
        ...

    async def invoke_async(self, args: bytes, info: AttemptInfo) -> Produced:
        """Run one attempt of asynchronous code."""
        ...


# ---------------------------------------------------------------- the world


class Timer(Protocol):
    """A pending call of `World.call_at`."""

    def cancel(self) -> None: ...


class World(Protocol):
    """Time, chance, identity, threads: all that the runtime may not reach in any other way."""

    def wall_ns(self) -> int:
        """Wall clock, UTC, nanoseconds since 1970."""
        ...

    def monotonic_ns(self) -> int: ...

    def random_bytes(self, count: int) -> bytes: ...

    def owner(self) -> Owner:
        """Who this process is, for leases."""
        ...

    def is_alive(self, owner: Owner) -> bool | None:
        """Whether the owner's process still runs; None when it is on another host."""
        ...

    def call_at(self, monotonic_ns: int, callback: Callable[[], None]) -> Timer: ...

    def call_soon(self, callback: Callable[[], None]) -> None: ...

    def call_from_thread(self, callback: Callable[[], None]) -> None:
        """As `call_soon`, from any thread; without effect once the loop is closed."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> Cancellable:
        """Start asynchronous work on the loop. The caller keeps the handle, and the work reports its own failures."""
        ...

    def in_thread(self, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
        """Run `work` off the loop, then call `done(result, error)` on the loop."""
        ...

    def commit_in_thread(self, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
        """As `in_thread`, in order, one at a time, on a thread that user code cannot occupy: for commits."""
        ...

    def close(self) -> None:
        """Let the threads go. Bounded: what user code still does on one is abandoned."""
        ...


class Cancellable(Protocol):
    """Running asynchronous work."""

    def cancel(self) -> object: ...


# ---------------------------------------------------------------- the journal


class Owner(msgspec.Struct, frozen=True):
    """One process on one boot of one host: a process number alone is reused."""

    boot_id: str
    pid: int
    started: int


class Lease(msgspec.Struct, frozen=True):
    """The right to append to a run. `epoch` is the fencing token: every append names it, an older one is refused."""

    run_id: str
    number: int
    epoch: int


class RunRow(msgspec.Struct, frozen=True):
    """What the store's list of runs knows about one."""

    run_id: str
    number: int
    workflow: str
    target: str
    """How the command line finds the workflow again: `file.py:name`, or empty for runs started from a program."""
    status: str
    started_wall_ns: int
    updated_wall_ns: int
    epoch: int
    owner: Owner | None
    lease_until_ns: int
    summary: bytes = b""
    """JSON of the run's last known totals."""
    session: str = ""


class Request(msgspec.Struct, frozen=True):
    """What another process asks of a run's owner; seen through the `requests` table."""

    number: int
    run_id: str
    kind: str
    body: bytes


class TurnRecord(msgspec.Struct, frozen=True):
    """One committed turn of one run: the facts as encoded bytes, plus the blobs they name."""

    lease: Lease
    body: bytes
    blobs: Sequence[tuple[bytes, bytes]] = ()
    """(sha256, content) of values this turn stores."""
    sync: bool = False
    """Whether the commit must survive a power cut."""
    requests_done: Sequence[int] = ()
    ledger: Sequence[LedgerChange] = ()
    status: str | None = None
    summary: bytes | None = None
    wall_ns: int = 0
    """Written to the run's row only together with `status` or `summary`."""
    cache: Sequence[CacheChange] = ()


class LedgerChange(msgspec.Struct, frozen=True):
    """One row of the broker's ledger written (`units` > 0) or removed (0) with the turn that needs it."""

    resource: str
    run_id: str
    task: int
    attempt: int
    units: int
    epoch: int
    at_ns: int
    numbers: str = ""
    """Which units of a pool, as `0,1`: the store fills it in when it grants a claim."""


class Claim(msgspec.Struct, frozen=True):
    """Units that one attempt wants of one shared resource."""

    change: LedgerChange
    capacity: int
    window_ns: int = 0
    """0: a pool, where units come back. Otherwise a rate: at most `capacity` units in any window this long."""


class CacheChange(msgspec.Struct, frozen=True):
    """What a turn does to the cache: `put` a result (which ends its flight), `end` a flight without one, or note that
    an entry was `used`."""

    kind: Literal["put", "end", "used"]
    key: bytes
    at_ns: int = 0
    """Wall clock."""
    task: str = ""
    value: Value = b""
    """A blob that the same turn stores, or the bytes."""


class CacheEntry(msgspec.Struct, frozen=True):
    """An earlier result."""

    value: Value
    made_ns: int
    used_ns: int


class CacheTotals(msgspec.Struct, frozen=True):
    """What the cache holds of one task."""

    task: str
    entries: int
    size_bytes: int
    oldest_ns: int
    newest_ns: int


class Flight(msgspec.Struct, frozen=True):
    """A result that is being computed, by a task of a run whose lease is good as far as the store knows."""

    run_id: str
    task: int
    owner: Owner
    lease_until_ns: int


class Cache(Protocol):
    """Results of earlier tasks of a store, by key, and who computes which one now. Synchronous, microseconds.

    Results are written with the turn that journals them (`TurnRecord.cache`), so none is there that no run has. They
    are bounded in number and bytes: those not used for longest go first.
    """

    def find(self, key: bytes, made_after_ns: int) -> CacheEntry | None:
        """The result under a key, unless it was made before."""
        ...

    def flight(self, key: bytes) -> Flight | None:
        """Who computes it now."""
        ...

    def take_off(self, key: bytes, lease: Lease, task: int, wall_ns: int, is_dead: Callable[[Owner], bool]) -> bool:
        """Begin to compute it; False while somebody else does whose lease is good and who is not known to be dead."""
        ...

    def totals(self, task: str | None = None) -> list[CacheTotals]:
        """What is there, by task; of one task if given."""
        ...

    def clear(self, task: str | None, made_before_ns: int) -> int:
        """Forget entries (of one task, if given) made before; returns how many."""
        ...


class Entry(msgspec.Struct, frozen=True):
    """A small record that belongs to no run: a schedule's mark, a call that is owed. Kept by (kind, key)."""

    kind: str
    key: str
    body: bytes
    version: int
    """Counts its writes; a write names the version it replaces, so that of two writers one learns of the other."""


class LineEntry(msgspec.Struct, frozen=True):
    """A run that enters the line of its session, with all that is needed to begin it in any later process."""

    run_id: str
    session: str
    workflow: str
    target: str
    busy: Literal["queue", "reject", "cancel"]
    """What to do when the line is not empty."""
    most: int
    """Runs that the line may hold."""
    body: bytes
    """Its first turn: header and graph."""
    blobs: Sequence[tuple[bytes, bytes]] = ()
    sync: bool = False


class SlotKey(msgspec.Struct, frozen=True):
    """A slot of a session; with `session` empty, one of the run alone."""

    session: str
    run_id: str
    name: str


class SlotVersion(msgspec.Struct, frozen=True):
    """A value that a slot had."""

    name: str
    version: int
    """From 1."""
    value: bytes
    written_by: str
    """Id of the run that set it."""
    at_ns: int


class SlotWrite(msgspec.Struct, frozen=True):
    """One setting of a slot."""

    slot: SlotKey
    value: bytes
    expected: int | None
    """The version it replaces, 0 for none yet; None replaces whatever there is."""
    write_id: str
    """The same when it is repeated after a crash: then it changes nothing."""
    keep: int
    """Versions that stay readable."""
    wall_ns: int


class Journal(Protocol):
    """Append-only store of facts. All methods are synchronous; the runtime decides on which thread they run."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes may see the same store: then leases are renewed and inboxes looked at."""
        ...

    def create(
        self, run_id: str, workflow: str, target: str, owner: Owner, wall_ns: int, lease_ns: int
    ) -> Lease | None:
        """A new run owned by `owner`, or None when the id exists."""
        ...

    def enter(self, entry: LineEntry, owner: Owner, wall_ns: int, lease_ns: int) -> Lease | None:
        """A new run at the end of its session's line, with its first turn; None when the id exists.

        With `busy="cancel"` every run before it is asked to cancel, in the same transaction.

        Raises:
            SessionBusy: `busy="reject"` and the line is not empty, or the line is full.
        """
        ...

    def reenter(self, lease: Lease, session: str) -> None:
        """Put a run that had ended back into its session's line. Raises SessionBusy when that is not empty."""
        ...

    def line(self, session: str) -> list[RunRow]:
        """The runs of a session that have not ended, in the order in which they entered: the first one works."""
        ...

    def write_slot(self, lease: Lease, write: SlotWrite) -> int:
        """Set a slot and return its new version; repeated with the same `write_id` it only returns it.

        Raises:
            SlotConflict: the slot has another version than expected. LeaseLost: the run has another owner.
        """
        ...

    def slot_versions(self, slot: SlotKey, most: int = 1) -> list[SlotVersion]:
        """The kept versions of a slot, newest first."""
        ...

    def slot_names(self, session: str, run_id: str = "") -> list[str]:
        """The slots of a session that have been set; with `session` empty, those of the run."""
        ...

    def acquire(
        self, run_id: str, owner: Owner, wall_ns: int, lease_ns: int, *, may_replace: Callable[[RunRow], bool]
    ) -> Lease:
        """Take the run over with a higher epoch. Raises LeaseLost when it is owned and `may_replace(row)` is false."""
        ...

    def renew(self, leases: Sequence[Lease], wall_ns: int, lease_ns: int) -> list[Lease]:
        """Extend leases; returns those that were lost."""
        ...

    def release(self, lease: Lease) -> None:
        """Give the run back: anyone may acquire it at once."""
        ...

    def append(self, turns: Sequence[TurnRecord], *, may_wait: bool = True) -> None:
        """Commit the turns in one transaction, all or nothing.

        Raises:
            StoreBusy: another process is writing, and this call may not wait for it.
            LeaseLost: naming the stale run. JournalError: the store cannot.
        """
        ...

    def read(self, run_id: str, after: int = 0) -> Iterable[bytes]:
        """Bodies of the run's turns in order, checksums and chain verified. Raises JournalError at damage."""
        ...

    def keep_pieces(
        self, lease: Lease, pieces: Sequence[Piece], ended: Sequence[tuple[int, int]] = (), forget: int = 0
    ) -> None:
        """Lend pieces of running attempts to readers in other processes, until their attempts end.

        Never waits for other processes and never syncs; beside the journal, not in its chain. `acquire` and `release`
        drop all pieces of the run.

        Args:
            pieces: a progress replaces the one its attempt had.
            ended: (task, attempt) whose pieces go. forget: pieces of this epoch up to this number go, too.
        Raises:
            StoreBusy: another process is writing. LeaseLost, JournalError: as `append`.
        """
        ...

    def pieces(self, run_id: str, after: tuple[int, int] = (0, 0)) -> list[Piece]:
        """Pieces of attempts that run, in order, after (epoch, number)."""
        ...

    def blob(self, sha256: bytes) -> bytes: ...

    def run(self, run_id: str) -> RunRow | None: ...

    def runs(self) -> list[RunRow]:
        """Newest first."""
        ...

    def unfinished(self, workflow: str) -> list[RunRow]:
        """The runs of a workflow that have not ended, oldest first. Cost: does not grow with the store."""
        ...

    def entries(self, kind: str) -> list[Entry]:
        """All records of a kind, by key."""
        ...

    def entry(self, kind: str, key: str) -> Entry | None: ...

    def write_entry(self, kind: str, key: str, body: bytes | None, replaces: int) -> bool:
        """Write a record (None removes it) if its version is still `replaces`, 0 for none; False if it is not."""
        ...

    def ask(self, run_id: str, kind: str, body: bytes, request_id: str, wall_ns: int) -> bool:
        """Append to the owner's inbox; False when `request_id` was seen before."""
        ...

    def requests(self, run_ids: Sequence[str]) -> list[Request]: ...

    def ledger(self) -> list[LedgerChange]:
        """Every held slot of every run, as the broker wrote them."""
        ...

    def claim(self, claims: Sequence[Claim], wall_ns: int) -> bool:
        """Write the units into the ledger if all of them fit beside what every process holds; all or nothing.

        Units of a pool count while their run is owned under the same epoch: a dead owner's come back with its lease.
        Each has a number, the lowest that is free, told by `units`.
        """
        ...

    def units(self, run_id: str, task: int, attempt: int) -> dict[str, tuple[int, ...]]:
        """Numbers of the units that an attempt holds, by pool."""
        ...

    @property
    def cache(self) -> Cache:
        """Results of earlier tasks."""
        ...

    def changed(self) -> bool:
        """Whether another connection committed since the last look (`PRAGMA data_version`, about 3 µs)."""
        ...

    def checkpoint(self) -> None:
        """Move the write-ahead log into the database; cheap when there is nothing to move."""
        ...

    def close(self) -> None: ...
