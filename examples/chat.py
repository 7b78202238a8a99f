"""Chat with memory: one run a turn, one versioned slot a session, however many processes answer.

makespan run examples/chat.py -i text="My name is Ada." --session ada
makespan run examples/chat.py -i text="What is my name?" --session ada
"""

from dataclasses import dataclass, field

import makespan as ms

RECENT = 20


@dataclass(frozen=True)
class Chat:
    messages: list[ms.Message] = field(default_factory=list)


@ms.prompt(stream=True, max_tokens=100)
def reply(recent: list[ms.Message], text: str) -> str:
    ms.chat(recent, text, system="You are kind and brief.")


@ms.workflow
async def turn(text: str) -> str:
    memory = ms.state("chat", Chat)
    chat = await memory
    said = await reply(chat.messages[-RECENT:], text)
    await memory.set(Chat([*chat.messages, ms.Message.user(text), ms.Message.assistant(said)]))
    return said
