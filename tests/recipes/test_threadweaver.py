"""ThreadWeaver as a recipe: what threads write at the same time is what one model would have written serially."""

from __future__ import annotations

import random
import re

import pytest

import makespan as ms
from makespan.models.scripted import Scripted, prompt_text
from makespan.ports import ModelRequest
from makespan.recipes.threadweaver import HOW, MAX_FORKS, Woven, threadweaver
from makespan.testing import running

SECONDS_A_CHAR = 0.01


class Part:
    """One text of a program: plain pieces, and forks into parts. `outline` tells it from all others."""

    def __init__(self, rng: random.Random, name: str, depth: int) -> None:
        self.outline = f"{name}: the matter of part {name}" if name else ""
        self.pieces: list[str | list[Part]] = []
        for place in range(rng.randint(1, 3)):
            self.pieces.append(self._text(rng, name, place))
            if depth and rng.random() < (0.9 if not name else 0.5):
                width = rng.randint(1, 4)
                self.pieces.append([Part(rng, f"{name}{'.' * bool(name)}{place}.{n}", depth - 1) for n in range(width)])
                self.pieces.append(f"\nso much for {name}#{place}. ")

    def _text(self, rng: random.Random, name: str, place: int) -> str:
        return f"[{name}#{place}] " + " ".join(rng.choices(["thus", "x < y", "<b>", "42", "\n"], k=rng.randint(1, 12)))

    def serial(self) -> str:
        """As one model writes it."""
        return "".join(piece if isinstance(piece, str) else _fork(piece) for piece in self.pieces)

    def all(self) -> list[Part]:
        forks = [part for piece in self.pieces if isinstance(piece, list) for part in piece]
        return [self, *(inner for part in forks for inner in part.all())]

    def seconds(self) -> float:
        """Along its critical path."""
        total, chars = 0.0, 0
        for piece in self.pieces:
            if isinstance(piece, str):
                chars += len(piece)
            else:
                chars += len(_head(piece)) - len("</Outlines>")
                total += max(part.seconds() for part in piece)
        return total + chars * SECONDS_A_CHAR


def _head(parts: list[Part]) -> str:
    outlines = "\n".join(f"<Outline>{part.outline}</Outline>" for part in parts)
    return f"<Parallel>\n<Outlines>\n{outlines}\n</Outlines>"


def _fork(parts: list[Part]) -> str:
    return _head(parts) + "".join(f"\n<Thread>{part.serial()}</Thread>" for part in parts) + "\n</Parallel>"


class Writer:
    """A model that writes a program from wherever it is asked to go on, and never stops by itself before its end."""

    def __init__(self, text: str, threads: dict[str, str]) -> None:
        self.text, self.threads = text, threads
        self.model = Scripted(self.answer, latency_s=lambda request: len(self.cut(request)) * SECONDS_A_CHAR)
        self.asked: list[tuple[str, str]] = []
        """(outline, whole prompt) of the threads."""

    def answer(self, request: ModelRequest) -> str:
        written = request.messages[-1].text if request.messages[-1].role == "assistant" else ""
        outline = self.outline(written)
        if outline is None:
            assert self.text.startswith(written), "what was written is what it goes on with"
            return self.text[len(written) :]
        self.asked.append((outline, prompt_text(request)))
        text, own = self.threads[outline], written.rpartition(f"{outline}</Outline></Outlines>\n<Thread>")[2]
        assert text.startswith(own)
        return text[len(own) :] + "</Thread>\n<Thread>of a sibling"

    def outline(self, written: str) -> str | None:
        """Which thread the text is in: the last fork of one outline whose thread is open."""
        opened = list(re.finditer(r"<Parallel><Outlines><Outline>(.*?)</Outline></Outlines>\n<Thread>", written))
        return opened[-1][1] if opened else None

    def cut(self, request: ModelRequest) -> str:
        text = self.answer(request)
        self.asked = self.asked[: -1 if self.outline(request.messages[-1].text) is not None else None]
        for stop in request.stop:
            text = text.split(stop, 1)[0]
        return text


@ms.workflow
async def woven(question: str) -> Woven:
    return await threadweaver(question)


def weave(writer: Writer, **options: object) -> ms.Result[Woven]:
    return running.run(woven("why?"), models=writer.model, options={"budget_usd": 0.0}, **options)  # type: ignore[arg-type]


def writer_of(program: Part) -> Writer:
    return Writer(program.serial(), {part.outline: part.serial() for part in program.all()[1:]})


def programs(count: int) -> list[Part]:
    return [Part(random.Random(seed), "", depth=seed % 4) for seed in range(count)]


def test_a_hundred_programs_are_what_one_model_writes_serially_in_the_time_of_the_critical_path() -> None:
    serial_s = woven_s = 0.0
    for program in programs(100):
        writer = writer_of(program)
        result = weave(writer)

        assert result.output.text == program.serial()
        assert not result.output.problems
        assert result.makespan_s == pytest.approx(program.seconds(), rel=0.03)
        serial_s, woven_s = serial_s + len(program.serial()) * SECONDS_A_CHAR, woven_s + result.makespan_s
    print(f"\n100 programs: serial {serial_s:.1f} s, woven {woven_s:.1f} s, {serial_s / woven_s:.2f} times as fast")


def test_no_thread_is_shown_a_word_of_its_siblings() -> None:
    asked = 0
    for program in programs(100):
        writer = writer_of(program)
        weave(writer)
        for outline, prompt in writer.asked:
            name = outline.partition(":")[0]
            for other in program.all()[1:]:
                theirs = other.outline.partition(":")[0]
                before_it = _is_before(theirs, name)
                if not (name + ".").startswith(theirs + ".") and not theirs.startswith(name + ".") and not before_it:
                    assert f"part {theirs}" not in prompt.replace(f"part {theirs}.", "")
                    assert f"[{theirs}#" not in prompt
            asked += 1
    assert asked > 300


def _is_before(theirs: str, name: str) -> bool:
    """Whether a part belongs to an earlier fork of a text that both are in: then it is what came before."""
    one, other = ([int(each) for each in path.split(".")] for path in (theirs, name))
    for level, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return level % 2 == 0 and a < b  # places of forks and numbers of threads take turns
    return False


@pytest.mark.parametrize("seed", [3, 7, 11])
def test_a_kill_before_and_after_every_commit_changes_nothing(seed: int) -> None:
    program = Part(random.Random(seed), "", depth=2)

    assert weave(writer_of(program), crash_at="each").output.text == program.serial()


HEAD = "<Parallel>\n<Outlines>\n<Outline>1: a</Outline>\n<Outline>2: b</Outline>\n</Outlines>"
GOOD = HEAD + "\n<Thread>one</Thread>\n<Thread>two</Thread>\n</Parallel>"


@pytest.mark.parametrize(
    ("text", "threads"),
    [
        ("a <Parallel><Thread>x</Thread></Parallel> b", {}),
        ("a <Parallel><Outlines></Outlines><Thread>x</Thread></Parallel> b", {}),
        ("a <Parallel><Outlines><Outline>1: a</Outlines> b <Thread>x</Thread> c", {}),
        ("a <Outlines><Outline>1: a</Outline></Outlines> b", {}),
        ("a </Parallel> b <Parallel> c", {}),
        ("a <Parallel><Parallel></Outlines> b </Parallel>", {}),
        (f"a {GOOD} b {HEAD[:-20]} c </Outlines> d", {"1: a": "one", "2: b": "two"}),
        (f"a {HEAD}\n<Thread>x </Parallel> y</Thread>\n</Parallel> z", {"1: a": "x </Parallel> y", "2: b": "two"}),
        (f"a {HEAD}\n<Thread><Parallel><Thread>p</Thread> q</Thread> z", {"1: a": "<Parallel><Thread>p", "2: b": "t"}),
    ],
)
def test_malformed_nesting_is_written_serially_and_no_text_is_lost(text: str, threads: dict[str, str]) -> None:
    result = weave(Writer(text, threads)).output

    assert result.text == text
    assert result.problems


def test_beyond_the_limits_the_answer_goes_on_serially() -> None:
    program = Part(random.Random(3), "", depth=3)
    forks = (MAX_FORKS + 1) * ("and " + GOOD)
    many = weave(Writer(forks, {"1: a": "one", "2: b": "two"})).output

    @ms.workflow(key="shallow")
    async def shallow(question: str) -> Woven:
        return await threadweaver(question, max_depth=1)

    writer = writer_of(program)
    flat = running.run(shallow("why?"), models=writer.model, options={"budget_usd": 0.0}).output

    assert (many.text, many.forks) == (forks, MAX_FORKS)
    assert many.problems == ("max_forks=32 reached; the rest is written serially",)
    assert flat.text == program.serial()
    assert flat.problems == ("max_depth=1 reached; the rest is written serially",)


def test_a_model_that_never_forks_is_asked_once() -> None:
    writer = Writer("It is so.", {})
    result = weave(writer).output

    assert (result.text, result.content, result.forks, len(writer.model.calls)) == ("It is so.", "It is so.", 0, 1)
    assert HOW in writer.model.calls[0].messages[0].text


@ms.task(key="stray end", effect="pure", executor="inline")
def stray_end(question: str, written: str, serial: bool) -> str:
    return " and c" if serial else "a </Thread> b"


@ms.workflow(key="woven with a stray end")
async def with_a_stray_end(question: str) -> Woven:
    return await threadweaver(question, main=stray_end)


def test_the_end_of_a_thread_where_there_is_none_loses_no_text() -> None:
    woven = running.run(with_a_stray_end("why?")).output

    assert woven.text == "a </Thread> b and c"
    assert "</Thread>" in woven.problems[0]
