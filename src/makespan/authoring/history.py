"""How much of an agent's conversation a turn is shown, and what goes first when it is too much.

    opening (never touched) │ exchange │ exchange │ … │ latest exchange (never dropped)

An exchange is what the model said and all that answered it: calls and their results stay together. Results are
shortened from the oldest on, then whole exchanges are dropped from the oldest on, then the latest results share what
room is left. The journal keeps everything: this is only about what is said again.
"""

from __future__ import annotations

import msgspec

from makespan.ports import Message

HISTORY_CHARACTERS = 100_000
"""Characters of a conversation a turn is shown without `history=`: about 25,000 tokens."""
SHORT_CHARACTERS = 400
"""What is left of an old result that is shortened."""
DROPPED = "(Earlier parts of this conversation are left out.)"


def bounded(opening: tuple[Message, ...], then: tuple[Message, ...], limit: int) -> tuple[Message, ...]:
    """Opening and conversation in about `limit` characters; only the opening and the latest exchange may exceed it.

    Cost: O(characters).
    """
    room = limit - _size(opening)
    if _size(then) <= room:
        return (*opening, *then)
    exchanges = _exchanges(then)
    latest = exchanges.pop()
    excess = sum(map(_size, exchanges)) + _size(latest) - room
    for number, exchange in enumerate(exchanges):
        if excess <= 0:
            break
        shorter = tuple(_shortened(message, SHORT_CHARACTERS) for message in exchange)
        excess -= _size(exchange) - _size(shorter)
        exchanges[number] = shorter
    is_cut = False
    while exchanges and excess > 0:
        excess -= _size(exchanges.pop(0))
        is_cut = True
    if excess > 0:
        latest = _fitted(latest, room)
    note = (Message.user(DROPPED),) if is_cut else ()
    return (*opening, *note, *(message for exchange in exchanges for message in exchange), *latest)


def _exchanges(messages: tuple[Message, ...]) -> list[tuple[Message, ...]]:
    """Cut before every message of the model."""
    starts = [place for place, message in enumerate(messages) if message.role == "assistant" or place == 0]
    return [messages[start:end] for start, end in zip(starts, [*starts[1:], len(messages)], strict=True)]


def _fitted(exchange: tuple[Message, ...], room: int) -> tuple[Message, ...]:
    """An exchange whose results share the room: small ones stay whole, large ones get equal parts of the rest."""
    results = sorted(len(message.text) for message in exchange if message.role == "tool")
    left = max(room - (_size(exchange) - sum(results)), 0)
    share = SHORT_CHARACTERS
    for count, length in zip(range(len(results), 0, -1), results, strict=True):
        share = max(left // count, SHORT_CHARACTERS)
        if length > share:
            break
        left -= length
    return tuple(_shortened(message, share) for message in exchange)


def _shortened(message: Message, most: int) -> Message:
    cut = len(message.text) - most
    if message.role != "tool" or cut <= 0:
        return message
    return msgspec.structs.replace(message, text=f"{message.text[:most]}… ({cut} more characters were left out)")


def _size(messages: tuple[Message, ...]) -> int:
    return sum(
        len(message.text) + sum(len(call.name) + len(call.arguments) for call in message.tool_calls)
        for message in messages
    )
