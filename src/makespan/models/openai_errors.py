"""What an OpenAI-compatible service means when it says no: HTTP answers to ProviderErrors.

| answer | kind | again? |
| --- | --- | --- |
| 401, 403 | auth | no |
| 402, 429 with insufficient_quota | quota | no |
| 429 | rate_limit | yes, after Retry-After |
| 400, 413, 422, other 4xx, redirects | bad_request | no |
| 404 | unknown_model | no |
| 408, 409, 425, 5xx, no connection | unavailable | yes, after Retry-After |
| no answer in time | timeout | yes |
| an answer nobody can read | malformed | yes |

Invariant: the key is taken out of whatever the service said.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from makespan.errors import ProviderError

if TYPE_CHECKING:
    import httpx

_KINDS = {401: "auth", 402: "quota", 403: "auth", 404: "unknown_model", 429: "rate_limit"}
_UNAVAILABLE = frozenset({408, 409, 425})
_ADVICE = {
    "auth": "check the key and its rights",
    "quota": "the account has no credit left; top it up",
    "rate_limit": "lower the rate, or let the engine retry",
    "unavailable": "the service is down or busy; the engine can retry",
    "unknown_model": "check the model's name and base_url",
    "bad_request": "change the request",
    "context": "the prompt and max_tokens are larger than the model's context; shorten them",
}
_MAX_SAID = 300


def http_error(model: str, response: httpx.Response, key: str | None, wall_s: float) -> ProviderError:
    """The error an answer other than 200 stands for.

    Args:
        wall_s: now, seconds since 1970, for `Retry-After` given as a date.
    """
    said, codes = _said(response.content)
    kind = _kind(response.status_code, codes)
    is_context = any("context" in code for code in codes)
    advice = _ADVICE["context" if kind == "bad_request" and is_context else kind]
    return ProviderError(
        f"model {model!r}: HTTP {response.status_code}: {_shown(said, key)}; {advice}",
        kind=kind,
        retryable=kind in ("rate_limit", "unavailable"),
        retry_after_s=retry_after_s(response.headers, wall_s),
    )


def error_in_stream(model: str, error: Any, key: str | None) -> ProviderError:
    """What a service says after it began to answer with 200; but for the account such failures pass."""
    said, codes = _said(msgspec.json.encode({"error": error}))
    kind = "quota" if "insufficient_quota" in codes else "unavailable"
    return ProviderError(
        f"model {model!r}: in its answer: {_shown(said, key)}; {_ADVICE[kind]}",
        kind=kind,
        retryable=kind == "unavailable",
    )


def timeout_error(model: str, timeout_s: float) -> ProviderError:
    """No answer in time; the service may have worked, and billed, all the same."""
    return ProviderError(
        f"model {model!r}: no answer within {timeout_s:g} s; raise the timeout or lower max_tokens",
        kind="timeout",
        retryable=True,
    )


def connection_error(model: str, base_url: str, error: Exception) -> ProviderError:
    """No connection, or one that broke."""
    return ProviderError(
        f"model {model!r}: no connection to {host_of(base_url)} "
        f"({type(error).__name__}); check base_url and the network",
        kind="unavailable",
        retryable=True,
    )


def malformed(model: str, why: str) -> ProviderError:
    """An answer that is not a chat completion."""
    return ProviderError(
        f"model {model!r}: the answer is not a chat completion ({why}); check base_url",
        kind="malformed",
        retryable=True,
    )


def retry_after_s(headers: Mapping[str, str], wall_s: float) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `Retry-After` (seconds or an HTTP date); None when not
    said."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return max(milliseconds / 1000, 0.0)
    said = headers.get("retry-after")
    seconds = _number(said)
    if seconds is not None:
        return max(seconds, 0.0)
    try:
        return max(parsedate_to_datetime(said or "").timestamp() - wall_s, 0.0)
    except ValueError:
        return None


def host_of(url: str) -> str:
    """Host and port of an address, without the user and password it may carry."""
    return urlsplit(url).netloc.rpartition("@")[2] or "an address without a host"


def _shown(said: str, key: str | None) -> str:
    """What was said, the key taken out, then shortened: the other way round, half a key could stay."""
    return (said.replace(key, "[key]") if key else said)[:_MAX_SAID]


def _kind(status: int, codes: frozenset[str]) -> str:
    if status == 429 and "insufficient_quota" in codes:
        return "quota"
    if status >= 500 or status in _UNAVAILABLE:
        return "unavailable"
    return _KINDS.get(status, "bad_request")


def _said(content: bytes) -> tuple[str, frozenset[str]]:
    """What the service says, and its error codes."""
    try:
        body = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return content.decode(errors="replace") or "no text", frozenset()
    error: Any = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return str(error), frozenset()
    codes = frozenset(str(error[field]) for field in ("code", "type") if error.get(field))
    return str(error.get("message") or "no text"), codes


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if number == number and abs(number) != float("inf") else None
