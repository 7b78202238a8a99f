"""Real processes that chat in one session, spoken to through pipes; run as a script, this is the child."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import makespan as ms
from makespan.models.scripted import Scripted, echo

SESSION = "kitchen"
MOST_S = 120


@dataclass(frozen=True)
class Chat:
    messages: list[ms.Message] = field(default_factory=list)


@ms.prompt(models=["main"])
def reply(history: list[ms.Message], text: str) -> str:
    return ms.chat(history, ms.Message.user(text), system="Be kind.")


@ms.workflow
async def turn(text: str) -> str:
    memory = ms.state("chat", Chat)
    chat = await memory
    out = await reply(chat.messages[-20:], text)
    await memory.set(Chat([*chat.messages, ms.Message.user(text), ms.Message.assistant(out)]))
    return out


async def talk(store: str, name: str, turns: int) -> None:
    """Start turn after turn, each when the one before has ended; print the text of each that has succeeded."""
    async with ms.Engine(store, models={"main": Scripted(echo)}) as engine:
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        for number in range(turns):
            text = f"{name}-{number}"
            result = await engine.start(turn(text), id=text, session=SESSION)
            print(result.output, flush=True)


class Talker:
    """A child that chats once it is told to go."""

    def __init__(self, store: Path, name: str, turns: int) -> None:
        source, root = Path(ms.__file__).parents[1], Path(__file__).parents[2]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.chatting", str(store), name, str(turns)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(source), str(root)])},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        assert self._stdout.readline() == "ready\n"

    def go(self) -> None:
        self._stdin.write("go\n")
        self._stdin.flush()

    def finish(self) -> list[str]:
        """What it said; it must end well."""
        said = self._stdout.read()
        self._close()
        assert self._process.returncode == 0
        return said.split()

    def kill_after(self, turns: int) -> list[str]:
        """SIGKILL after so many turns; those that it had heard the end of."""
        said = "".join(self._stdout.readline() for _ in range(turns))
        self._process.send_signal(signal.SIGKILL)
        said += self._stdout.read()
        self._close()
        return said[: said.rfind("\n") + 1].split()

    def clear_away(self) -> None:
        """For tests that failed before its end."""
        if self._process.returncode is None:
            self._process.kill()
            self._close()

    def _close(self) -> None:
        self._stdin.close()
        self._stdout.close()
        self._process.wait(MOST_S)


if __name__ == "__main__":
    asyncio.run(talk(sys.argv[1], sys.argv[2], int(sys.argv[3])))
