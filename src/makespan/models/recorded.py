"""Cassettes: a model's replies written down once and played back for ever, offline and for free.

A cassette is a JSON-lines file, one `{"digest", "model", "request", "reply"}` a line; a later line wins.
The digest is over the model's name and the request, keys sorted. Invariant: a value named in `secrets` is
never written, and the digest does not depend on it.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from makespan.errors import EngineError, ProviderError, UsageError
from makespan.models.tokens import byte_bound
from makespan.models.tool_choice import with_tools
from makespan.ports import Model, ModelReply, ModelRequest, streamed
from makespan.redaction import KNOWN
from makespan.values import Usage

Mode = Literal["record", "replay", "auto"]


class Recording(msgspec.Struct, frozen=True):
    """One line of a cassette."""

    digest: str
    model: str
    request: ModelRequest
    reply: ModelReply
    pieces: tuple[str, ...] = ()
    """The reply's text as it came; empty when nobody streamed it."""


class Recorded:
    """A `Model` in front of a cassette.

    Args:
        mode: `record` always calls and writes; `replay` never calls; `auto` calls only for what is not
            recorded.
        model: the model to call; not needed for `replay`.
        name: as priced; the model's own unless given. Needed for `replay` without a model.
        secrets: values replaced by `[secret]` in what is written.

    A request with tools is recorded as it was asked for, also in front of a model that does not know tools.
    """

    native_tools = True

    def __init__(
        self,
        path: Path,
        mode: Mode,
        *,
        model: Model | None = None,
        name: str | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        name = name if name is not None or model is None else model.name
        if name is None or (model is None and mode != "replay"):
            raise UsageError(f"a cassette in mode {mode!r} needs a model" + (" or its name" * (mode == "replay")))
        self.name = name
        self._path, self._mode = path, mode
        self._model = None if model is None else with_tools(model)
        self._secrets = [secret for secret in secrets if secret]
        if mode != "replay":
            cut_torn_line(path)
        self._recordings = {recording.digest: recording for recording in read_cassette(path)}

    def worst_case(self, request: ModelRequest) -> Usage:
        if self._model is not None:
            return self._model.worst_case(request)
        return byte_bound(request, count_schema=True)

    async def complete(self, request: ModelRequest) -> ModelReply:
        """The recorded reply, or the model's, written down before it is returned.

        Raises:
            ProviderError: in replay, `bad_request` for a request nobody recorded; else what the model raises.
        """
        written, digest, found = self._look_up(request)
        if found is not None:
            return found.reply
        assert self._model is not None
        reply = await self._model.complete(request)
        self._write(Recording(digest, self.name, written, self._reply_without_secrets(reply)))
        return reply

    async def stream(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
        """As `complete`; a recorded reply comes in the pieces in which it came, or as one."""
        written, digest, found = self._look_up(request)
        if found is not None:
            for piece in found.pieces or (found.reply.text,):
                if piece:
                    on_text(piece)
            return found.reply
        assert self._model is not None
        pieces: list[str] = []

        def heard(piece: str) -> None:
            pieces.append(piece)
            on_text(piece)

        reply = await streamed(self._model, request, heard)
        recorded = self._reply_without_secrets(reply)
        # Pieces can spell a secret out, so they are kept only where there was none.
        kept = tuple(pieces) if recorded == reply else ()
        self._write(Recording(digest, self.name, written, recorded, kept))
        return reply

    def _look_up(self, request: ModelRequest) -> tuple[ModelRequest, str, Recording | None]:
        """The request as it is written, its digest, and its recording unless the model is to be called."""
        written: ModelRequest = self._without_secrets(request, ModelRequest)
        digest = request_digest(self.name, written)
        found = self._recordings.get(digest)
        if self._mode != "record" and found is not None:
            return written, digest, found
        if self._mode == "replay" or self._model is None:
            raise self._missing(written, digest)
        return written, digest, None

    async def close(self) -> None:
        """Close the model behind the cassette; the file is closed after every line."""
        if self._model is not None:
            await self._model.close()

    def _write(self, recording: Recording) -> None:
        self._recordings[recording.digest] = recording
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as cassette:
            cassette.write(msgspec.json.encode(recording) + b"\n")

    def _reply_without_secrets(self, reply: ModelReply) -> ModelReply:
        written: ModelReply = self._without_secrets(reply, ModelReply)
        # Tokens spell a secret out piece by piece, where no replacement finds it.
        return written if written == reply else msgspec.structs.replace(written, logprobs=())

    def _without_secrets(self, value: Any, kind: Any) -> Any:
        if not self._secrets and not KNOWN.has_any:
            return value
        return msgspec.convert(KNOWN.value(_redacted(msgspec.to_builtins(value), self._secrets)), kind)

    def _missing(self, request: ModelRequest, digest: str) -> ProviderError:
        prompt = _prompt(request)
        nearest = _nearest(prompt, list(self._recordings.values()))
        if nearest is None:
            hint = "it is empty"
        else:
            changed = _differences(nearest, self.name, request)
            hint = f"the nearest recorded prompt is {_prompt(nearest.request)[:200]!r}, "
            hint += f"which differs in {changed}"
        return ProviderError(
            f"cassette {self._path.name} has no reply for this request ({digest[:12]}); {hint}; "
            "record it with mode 'auto' or 'record'",
            kind="bad_request",
            retryable=False,
        )


def request_digest(model: str, request: ModelRequest) -> str:
    """32 hex digits that name (model, request)."""
    said = msgspec.to_builtins(request)
    if not request.tools:
        del said["tools"]  # cassettes are older than tools
    canonical = msgspec.json.encode({"model": model, "request": said}, order="sorted")
    return hashlib.blake2b(canonical, digest_size=16).hexdigest()


def read_cassette(path: Path) -> list[Recording]:
    """All recordings, oldest first; none when there is no file. A last line without its end is left out.

    Raises:
        EngineError: a line is not a recording; names it.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [_recording(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def cut_torn_line(path: Path) -> None:
    """Remove a last line that a crash left unfinished, so that the next one starts on its own."""
    if path.exists():
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)


def _recording(path: Path, number: int, line: bytes) -> Recording:
    try:
        return msgspec.json.decode(line, type=Recording)
    except msgspec.DecodeError as error:
        raise EngineError(f"{path.name}, line {number}: not a recording ({error}); remove the line") from error


def _redacted(value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "[secret]")
        return value
    if isinstance(value, dict):
        return {_redacted(key, secrets): _redacted(part, secrets) for key, part in value.items()}
    return [_redacted(part, secrets) for part in value] if isinstance(value, list | tuple) else value


def _prompt(request: ModelRequest) -> str:
    return "\n".join(message.text for message in request.messages)


def _nearest(prompt: str, recordings: Sequence[Recording]) -> Recording | None:
    """The recording with the most similar prompt, by its first 500 characters."""
    matcher = difflib.SequenceMatcher(b=prompt[:500], autojunk=False)

    def similarity(recording: Recording) -> float:
        matcher.set_seq1(_prompt(recording.request)[:500])
        return matcher.ratio()

    return max(recordings, key=similarity, default=None)


def _differences(nearest: Recording, model: str, request: ModelRequest) -> str:
    """Names of what differs, `model` included."""
    fields = request.__struct_fields__
    changed = [field for field in fields if getattr(request, field) != getattr(nearest.request, field)]
    return ", ".join(["model"] * (model != nearest.model) + changed)
