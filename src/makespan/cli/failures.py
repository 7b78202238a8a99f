"""From exceptions to one message and an exit code. No traceback for a user's mistake.

0 done · 1 run failed · 2 usage or invalid definition · 3 cancelled · 4 paused · 5 environment · 130 interrupted
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import click

DONE, FAILED, USAGE, CANCELLED, PAUSED, ENVIRONMENT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

BY_STATUS = {
    "succeeded": DONE,
    "failed": FAILED,
    "cancelled": CANCELLED,
    "paused": PAUSED,
    "interrupted": INTERRUPTED,
}
_DEFINITION = frozenset({"unknown_model", "unknown_price", "bad_request"})
"""Kinds of ProviderError that a change of code or configuration fixes."""


def guarded(command: Callable[[], Any]) -> int:
    """Run a command; give its exit code. Whatever goes wrong is said on stderr."""
    try:
        return int(command() or DONE)
    except click.exceptions.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        return _usage(error)
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last place that can turn it into a message
        return explained(error)


def say(message: str) -> None:
    """One message for people, on stderr."""
    click.echo(message, err=True)


def explained(error: Exception) -> int:
    """Say what went wrong and give the exit code."""
    from makespan.cli.text import clean
    from makespan.errors import EngineBug, EngineError, record_of

    record, is_users_code = record_of(error), _is_users_code(error)
    if isinstance(error, EngineError) and not isinstance(error, EngineBug):
        where = f" ({record.where})" if is_users_code and record.where not in str(error) else ""
        say(f"error: {clean(str(error))}{where}")
        _trace_if_asked()
        return code_of(error)
    if is_users_code:
        say(f"error: {record.type}: {clean(record.message)} ({record.where})")
        _trace_if_asked()
        return USAGE
    say(f"this is a bug in makespan: {record.type}: {clean(record.message)}{_innermost(error)}")
    if not _trace_if_asked():
        say("set MAKESPAN_DEBUG=1 to see the traceback, and please report it")
    return FAILED


def code_of(error: Exception) -> int:
    """The exit code of an error that was raised before there was a result."""
    from makespan.errors import DecisionNeeded, JournalError, LimitError, ProviderError

    match error:
        case LimitError() | DecisionNeeded():
            return PAUSED
        case JournalError():
            return ENVIRONMENT
        case ProviderError():
            return USAGE if error.kind in _DEFINITION else ENVIRONMENT
        case _:
            return USAGE


def _usage(error: click.ClickException) -> int:
    say(f"error: {error.format_message()}")
    context = getattr(error, "ctx", None)
    if context is not None:
        say(f"try `{context.command_path} --help`")
    return USAGE


def _is_users_code(error: Exception) -> bool:
    from makespan.errors import distance_from_user_code

    tracebacks = error.__traceback__
    while tracebacks is not None:
        if distance_from_user_code(tracebacks.tb_frame.f_code.co_filename) == 0:
            return True
        tracebacks = tracebacks.tb_next
    return False


def _innermost(error: BaseException) -> str:
    """Where it (or what caused it) was raised: for a bug, the engine's own line is the one that tells."""
    frames = traceback.extract_tb((error.__cause__ or error).__traceback__)
    return f" ({frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name})" if frames else ""


def _trace_if_asked() -> bool:
    is_asked = os.environ.get("MAKESPAN_DEBUG", "") not in ("", "0")
    if is_asked:
        traceback.print_exc(file=sys.stderr)
    return is_asked
