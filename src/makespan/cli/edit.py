"""`makespan edit RUN PATCH`: a person changes a plan or a graph while it runs, whatever process drives it."""

from __future__ import annotations

import re
import time
import uuid
from typing import TYPE_CHECKING, Any

import click

from makespan.cli.options import json_option, store_option

if TYPE_CHECKING:
    from makespan.documents.problems import Mark, Problems
    from makespan.documents.reader import Tree
    from makespan.store_port import Journal
    from makespan.traces.edits import EditEntry

WAIT_S = 5.0
"""How long the owner may take to judge it."""
LOOK_EVERY_S = 0.02
AUTHOR = "the command line"
_BESIDE: dict[str, tuple[type, ...]] = {"author": (str,), "why": (str,), "plan": (str, bool), "seen": (int,)}
"""What a patch says besides its changes."""
_CHANGES = ("edits", "changes", "operations", "add", "drop", "replace")
_PLACE = re.compile(r"edits\[(\d+)\]((?:\.[\w$-]+|\[\d+\])*)")


@click.command("edit", short_help="Change the plan or the graph of a run while it runs.")
@click.argument("run_id", metavar="RUN")
@click.argument("patch", metavar="PATCH", type=click.Path(allow_dash=True))
@click.option("--author", help=f"Who wants it; as the patch says, else {AUTHOR!r}.")
@click.option("--why", help="What for; as the patch says unless given.")
@click.option("--plan", help="Which of the run's live plans, by name; `-` is the graph.")
@click.option("--id", "request_id", help="Sent again with the same id it is the same edit.")
@store_option
@json_option
def command(
    run_id: str,
    patch: str,
    author: str | None,
    why: str | None,
    plan: str | None,
    request_id: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Change RUN as the file PATCH says (YAML or JSON, `-` for stdin): all of it, or nothing.

    A patch is a list of `add: {name, tool, args, after}`, `drop: NAME` and `replace: NAME` with `with: {tool, args}`.
    Names are steps of the run's live plan, else tasks by key or by the beginning of their ids; `${NAME.field}` stands
    for a result. What has started is never altered. Nobody drives the run? Then it is judged when the run goes on,
    before anything starts.
    """
    from makespan.cli.failures import say
    from makespan.cli.text import one_line

    body = read_patch(patch)
    body["author"] = author or body.get("author") or AUTHOR
    body["why"] = why if why is not None else body.get("why", "")
    if plan is not None:
        body["plan"] = False if plan == "-" else plan
    run, request, entry, is_taken = _ask(run_id, body, request_id, store)
    state = "waiting" if not is_taken else "not_taken" if entry is None else entry.status
    if as_json:
        _tell_json(run, request, state, entry)
    elif state == "applied":
        say(f"applied to run {run}: {one_line(_what(entry), 300)}")
    elif state == "refused" and entry is not None:
        say(f"error: run {run} refused it ({entry.reason}): {one_line(entry.detail, 400)}; nothing was changed")
    elif state == "waiting":
        say(f"nobody drives run {run} now: `makespan resume {run}` judges it before anything starts")
    else:
        say(f"error: run {run} ended or paused before it looked at it; nothing was changed")
    return 2 if state in ("refused", "not_taken") else 0


def _what(entry: EditEntry | None) -> str:
    from makespan.traces.edits import edit_line

    return "" if entry is None else edit_line(entry)


def _tell_json(run: str, request: str, state: str, entry: EditEntry | None) -> None:
    import msgspec

    said = {"run_id": run, "request": request, "state": state}
    if entry is not None:
        said |= {name: value for name, value in msgspec.to_builtins(entry).items() if name not in ("status", "request")}
    click.echo(msgspec.json.encode(said).decode())


# ---------------------------------------------------------------- the file


def read_patch(path: str) -> dict[str, Any]:
    """The patch of a file as plain values: `edits`, and what it says of author, why, plan and seen.

    Raises:
        UsageError: no such file. DocumentError: it is wrong, with `file:line:column`.
    """
    from makespan.documents.problems import Mark, Problems, Skip
    from makespan.documents.reader import read

    shown = "stdin" if path == "-" else path
    text, problems = _text_of(path), Problems(shown)
    if not text.strip():
        problems.add(Mark(1, 1), "the patch is empty; it begins with `edits:` or with a list of changes")
        raise problems.error()
    try:
        tree = read(text, problems)
        return _checked(tree, problems)
    except Skip:
        raise problems.error() from None


def _text_of(path: str) -> bytes:
    from makespan.errors import UsageError

    try:
        with click.open_file(path, "rb") as file:
            content: bytes = file.read()
            return content
    except OSError as error:
        raise UsageError(f"the patch {path} cannot be read: {error.strerror}") from None


def _checked(tree: Tree, problems: Problems) -> dict[str, Any]:
    """The patch as plain values. Shapes are looked at here, where the file is; names where the run is."""
    from makespan.planners.changes import Refused
    from makespan.planners.patches import changes_of, edits_of

    plain = tree.plain
    said = _beside(tree, problems) if isinstance(plain, dict) else {}
    try:
        edits = edits_of(plain)
        changes_of(edits, lambda name: name)
        if not edits:
            raise Refused("unreadable", "the patch changes nothing")
    except Refused as refusal:
        raise problems.stop(_mark(tree, str(refusal)), str(refusal)) from None
    return {**said, "edits": edits}


def _beside(tree: Tree, problems: Problems) -> dict[str, Any]:
    """What a patch says besides its changes."""
    plain: dict[str, Any] = tree.plain
    said: dict[str, Any] = {}
    for key, kinds in _BESIDE.items():
        value = plain.get(key)
        if value is None:
            continue
        if not isinstance(value, kinds) or value is True:
            raise problems.stop(tree.value[key].at, f"{key}: {value!r} is no value for it")
        said[key] = value
    odd = next((key for key in plain if key not in _BESIDE and key not in _CHANGES), None)
    if odd is not None and "with" not in plain and "op" not in plain:
        message = f"{odd!r} is no part of a patch; these are: edits (or add, drop, replace), {', '.join(_BESIDE)}"
        raise problems.stop(tree.keys.get(odd, tree.at), message)
    return said


def _mark(tree: Tree, detail: str) -> Mark:
    """Where in the file stands what a message is about."""
    found = _PLACE.match(detail)
    at = tree
    if isinstance(tree.value, dict):
        at = next((tree.value[key] for key in ("edits", "changes", "operations") if key in tree.value), tree)
    if found is None or not isinstance(at.value, list):
        return at.at
    for part in [found[1], *re.findall(r"[\w$-]+", found[2])]:
        inner = _part(at, part)
        if inner is None:
            break
        at = inner
    return at.at


def _part(tree: Tree, part: str) -> Tree | None:
    """A part of a list or mapping, None where there is no such part."""
    found: Tree | None = None
    if isinstance(tree.value, list):
        found = tree.value[int(part)] if part.isdigit() and int(part) < len(tree.value) else None
    elif isinstance(tree.value, dict):
        found = tree.value.get(part)
    return found


# ---------------------------------------------------------------- the run


def _ask(
    said: str, body: dict[str, Any], request_id: str | None, store: str | None
) -> tuple[str, str, EditEntry | None, bool]:
    """Put the edit into the run's inbox and wait for its verdict: run, request, verdict, whether a process took it."""
    from makespan.cli.stored import configured_store, find_run, must_open
    from makespan.inbox import post_request
    from makespan.stores import open_journal

    name = configured_store(store)
    must_open(name).close()
    journal = open_journal(name)
    try:
        run, request = find_run(journal, said).run_id, request_id or uuid.uuid4().hex
        post_request(journal, run, "edit", body, request, time.time_ns())
        is_taken = _is_taken(journal, run)
        return run, request, _verdict(journal, run, request) if is_taken else None, is_taken
    finally:
        journal.close()


def _is_taken(journal: Journal, run: str) -> bool:
    """Whether a live process takes the request out of the inbox; with it goes the verdict into the journal."""
    from makespan.cli.stored import is_owned

    give_up_at = time.monotonic() + WAIT_S
    while time.monotonic() < give_up_at:
        row = journal.run(run)
        if not any(request.kind == "edit" for request in journal.requests([run])):
            return True
        if row is None or not is_owned(row):
            return False
        time.sleep(LOOK_EVERY_S)
    return False


def _verdict(journal: Journal, run: str, request: str) -> EditEntry | None:
    from makespan.cli.stored import facts_of
    from makespan.machine.facts import MessageReceived, MessageRefused
    from makespan.machine.state import State
    from makespan.traces.edits import EditEntry, EditLog

    state, log, ids = State(journal.blob), EditLog(), list[str]()
    for fact in facts_of(journal, run):
        state.apply(fact)
        log.take(fact, state)
        if isinstance(fact, MessageReceived):
            ids.append(fact.message_id)
        elif isinstance(fact, MessageRefused) and ids[fact.message] == request:
            return EditEntry(state.at / 1e9, "", "refused", "unreadable", fact.reason)
    return next((entry for entry in log.entries if entry.request == request), None)
