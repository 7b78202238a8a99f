"""Tasks for worker processes to run: task code is anything with `key`, `target`, `executor` and `invoke`."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import msgspec

from makespan.errors import Fatal, Retry
from makespan.ports import AttemptInfo, Produced
from makespan.values import NanoUsd, Usage

GRANDCHILD = """
import os, signal
signal.signal(signal.SIGTERM, signal.{handler})
print(os.getpid(), flush=True)
signal.pause()
"""
Function = Callable[[bytes, AttemptInfo], bytes]


class Task:
    """The least that is task code."""

    executor = "process"

    def __init__(self, function: Function) -> None:
        self.function, self.key, self.target = function, function.__name__, f"{__file__}:{function.__name__}"

    def invoke(self, args: bytes, info: AttemptInfo) -> Produced:
        return Produced(self.function(args, info), cost=NanoUsd(7), usage=Usage(1, 0, 2))


@Task
def echo(args: bytes, info: AttemptInfo) -> bytes:
    print("printed to", info.key)
    return args + str(info.attempt).encode()


@Task
def read_stdin(args: bytes, info: AttemptInfo) -> bytes:
    return sys.stdin.read().encode()


class OutOfTea(ValueError):
    pass


@Task
def fail(args: bytes, info: AttemptInfo) -> bytes:
    raise {b"tea": OutOfTea("none left"), b"retry": Retry("later", after_s=2.5), b"fatal": Fatal("no")}[args]


@Task
def leave(args: bytes, info: AttemptInfo) -> bytes:
    if args == b"exit":
        sys.exit("usage")
    os._exit(9)


@Task
def large(args: bytes, info: AttemptInfo) -> bytes:
    return bytes(int(args))


@Task
def pid(args: bytes, info: AttemptInfo) -> bytes:
    return str(os.getpid()).encode()


@Task
def kill_itself(args: bytes, info: AttemptInfo) -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@Task
def hang(args: bytes, info: AttemptInfo) -> bytes:
    """Tells its process number over the pipe `args` names and waits; cleans up when it is asked to end."""
    path, ignores = msgspec.json.decode(args)
    if ignores:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = GRANDCHILD.format(handler="SIG_IGN" if ignores else "SIG_DFL")
    grandchild = subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE)
    assert grandchild.stdout is not None
    ready = grandchild.stdout.readline()
    try:
        say(path, f"{os.getpid()} {int(ready)}")
        grandchild.wait()  # SIGTERM ends it too, so that no signal is missed on the way into a system call
        raise AssertionError
    finally:
        say(path, "cleaned up")


def say(path: str, line: str) -> None:
    """One line into a named pipe, which somebody reads."""
    with open(path, "w") as pipe:
        pipe.write(line + "\n")
