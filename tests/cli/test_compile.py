"""`makespan compile` and the configurations that `makespan run` chooses from."""

from __future__ import annotations

from pathlib import Path

import pytest

from makespan.passes.compiled import read_compiled
from tests.cli.calling import makespan

FLOWS = '''
import makespan as ms


@ms.task(models=["small", "large"])
def draft(x: str) -> str:
    """Longer by the mode's name."""
    return x + ms.context().mode


@ms.task
def check(x: str) -> bool:
    return len(x) > 4


@ms.workflow
def article(x: str) -> str:
    text = draft(x)
    return ms.when(check(text), lambda: draft(text), lambda: draft(draft(text)))


@ms.workflow
async def live(x: str) -> str:
    return await draft(x)
'''
PROFILE = """
[draft.small]
p50_s = 1
usd = 0.001
success = 0.9
[draft.large]
p50_s = 4
usd = 0.01
success = 0.99
[check]
p50_s = 0.5
"""


@pytest.fixture(autouse=True)
def files(folder: Path) -> None:
    (folder / "articles.py").write_text(FLOWS)
    (folder / "costs.toml").write_text(PROFILE)


def compile_article(*more: str) -> None:
    done = makespan("compile", "articles.py:article", "--profile", "costs.toml", "-o", "best.json", *more)
    assert done.code == 0, done.err


def test_the_front_is_shown_and_kept(folder: Path) -> None:
    done = makespan(
        "compile", "articles.py:article", "--profile", "costs.toml", "--chance", "check=1", "-o", "best.json"
    )

    kept = read_compiled((folder / "best.json").read_bytes())
    assert done.code == 0
    assert [point.modes for point in kept.points] == [{"draft": "small"}, {"draft": "large"}]
    assert [point.latency_ns for point in kept.points] == [2_500_000_000, 8_500_000_000]
    assert done.out.splitlines()[1].split()[:2] == ["2.5", "s"]
    assert "2 configurations in best.json" in done.err


def test_an_unsaid_chance_is_told() -> None:
    done = makespan("compile", "articles.py:article", "--profile", "costs.toml", "--json")

    assert "note: check is taken to hold half of the time" in done.err
    assert len(done.json["points"]) == 2


def test_a_run_takes_the_configuration_that_is_preferred(folder: Path) -> None:
    compile_article()

    cheap = makespan("run", "articles.py:article", "x=hello", "--config", "best.json", "--prefer", "cheap", "--id", "c")
    good = makespan("run", "articles.py:article", "x=hello", "--config", "best.json", "--prefer", "good", "--id", "g")

    assert (cheap.code, good.code) == (0, 0)
    assert cheap.err.startswith("draft=small: takes 3 s, costs $0.0025 and succeeds")
    assert good.err.startswith("draft=large: ")
    assert cheap.out.startswith("hellosmallsmall")
    assert good.out.startswith("hellolargelarge")


def test_a_deadline_chooses_too_and_is_refused_where_nothing_fits() -> None:
    compile_article("--chance", "check=0.5")

    fits = makespan(
        "run", "articles.py:article", "x=a", "--config", "best.json", "--prefer", "good", "--deadline", "5s"
    )
    none = makespan("run", "articles.py:article", "x=a", "--config", "best.json", "--deadline", "1s")

    assert fits.err.startswith("draft=small")
    assert none.code == 2
    assert "no configuration of article fits a deadline of 1 s; the nearest takes 3 s" in none.err


def test_a_stale_set_is_refused(folder: Path) -> None:
    compile_article()
    (folder / "changed.py").write_text(FLOWS.replace("lambda: draft(text),", "lambda: draft(draft(draft(text))),"))

    done = makespan("run", "changed.py:article", "x=a", "--config", "best.json")

    assert done.code == 2
    assert "its graph is another one now; compile them again" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("articles.py:article",), "give --profile FILE"),
        (("articles.py:live", "--profile", "costs.toml"), "live is not a plain workflow"),
        (("articles.py:article", "--profile", "costs.toml", "--chance", "check"), "--chance check: write TASK=NUMBER"),
        (("articles.py:article", "--profile", "costs.toml", "--chance", "chek=1"), "about 'chek', but the tasks are"),
        (("articles.py:article", "--profile", "none.toml"), "--profile none.toml cannot be read"),
        (("articles.py:live", "--profile", "costs.toml", "--shape", "costs.toml"), "--shape costs.toml: "),
    ],
)
def test_wrong_use_is_told_what_to_write(arguments: tuple[str, ...], message: str) -> None:
    done = makespan("compile", *arguments)

    assert done.code == 2
    assert message in done.err


def test_an_async_workflow_is_compiled_from_its_shape(folder: Path) -> None:
    (folder / "shape.json").write_text('{"type": "loop", "body": {"type": "leaf", "key": "draft"}, "times": 2}')

    done = makespan("compile", "articles.py:live", "--profile", "costs.toml", "--shape", "shape.json", "--json")

    assert done.code == 0, done.err
    assert [point["latency_ns"] for point in done.json["points"]] == [2_000_000_000, 8_000_000_000]


def test_choosing_needs_configurations() -> None:
    done = makespan("run", "articles.py:article", "x=a", "--prefer", "cheap")

    assert done.code == 2
    assert "choose among the configurations of --config FILE" in done.err


def test_the_front_is_drawn(folder: Path) -> None:
    compile_article("--chart", "front.svg")
    assert "<svg" in (folder / "front.svg").read_text()
    assert "cheap" in (folder / "front.svg").read_text()


def test_what_was_predicted_is_not_said_to_the_quiet_nor_of_other_modes(folder: Path) -> None:
    makespan("compile", "articles.py:article", "--profile", "costs.toml", "-o", "best.json")
    run = ("run", "articles.py:article", "x=a", "--config", "best.json")

    assert "as predicted" in makespan(*run).err
    assert "as predicted" not in makespan(*run, "-q").err
    assert "as predicted" not in makespan(*run, "--mode", "draft=large").err


def test_without_a_profile_it_is_fitted_from_the_store() -> None:
    makespan("run", "articles.py:article", "x=a", "--mode", "draft=large", "-q")

    assert "draft=large" in makespan("compile", "articles.py:article").out
