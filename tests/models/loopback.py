"""A tiny HTTP/1.1 server on a loopback port that answers what it is told and keeps what it was asked."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Loopback:
    """`answers` are used in order, the last one again and again; an answer of None never comes."""

    answers: list[bytes | None]
    base_url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    connections: set[asyncio.Task[None]] = field(default_factory=set)

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection in a task that the server waits for at its end."""
        self.connections.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request, one answer."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            self.headers.append({**headers, "authorization": _header(head, "authorization")})
            self.bodies.append(json.loads(await reader.readexactly(int(headers["content-length"]))))
            self.asked.set()
            answer = self.answers[min(len(self.bodies), len(self.answers)) - 1]
            if answer is None:
                await reader.read()  # until the client gives up
            else:
                writer.write(answer)
                await writer.drain()
        finally:
            writer.close()
            with suppress(OSError):  # the client may have hung up first
                await writer.wait_closed()


@asynccontextmanager
async def loopback(*answers: bytes | None) -> AsyncIterator[Loopback]:
    """The server, listening."""
    told = Loopback(list(answers))
    server = await asyncio.start_server(told.connected, "127.0.0.1", 0)
    told.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield told
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.gather(*told.connections)


def http_answer(status: int, body: object, headers: Mapping[str, str] | None = None) -> bytes:
    """Bytes of an HTTP answer; `body` is sent as JSON unless it is bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Told", f"content-length: {len(content)}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


def completion(text: str | None = "fine", finish: str = "stop", **message: object) -> dict[str, Any]:
    """Body of a chat completion."""
    return {
        "choices": [{"index": 0, "message": {"content": text, **message}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}},
    }


def _header(head: list[str], name: str) -> str:
    """A header's value as it was written."""
    return next((line.split(": ", 1)[1] for line in head[1:] if line.lower().startswith(f"{name}:")), "")
