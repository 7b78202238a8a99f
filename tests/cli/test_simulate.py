"""`makespan profile` and `makespan simulate`: what past runs say about the next one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.calling import PRICED, makespan

FORECAST = """
import makespan as ms


@ms.task(retries=1)
async def look(q: str) -> list[str]:
    return [q, q + "!"]


@ms.task
async def read(text: str) -> str:
    return text.upper()


@ms.task(needs={"gpu": 1})
async def render(text: str) -> str:
    print("never said while simulated")
    return text


@ms.prompt(models=["fast"])
def say(text: str) -> str:
    ms.chat(text)


@ms.workflow
def spoken() -> str:
    return say("hello")


@ms.workflow
def plain(q: str) -> list[str]:
    return ms.map(read, look(q))


@ms.workflow
async def live(q: str, times: int = 2) -> int:
    print("a body speaks")
    return sum([len(await read(await say(q))) for _ in range(times)])


@ms.workflow
def on_gpu(q: str) -> list[str]:
    return ms.gather(render(q), render("other"))
"""

COSTS = """
[say.fast]
p50_s = 1.0
p95_s = 3.0
p50_usd = 0.01
p95_usd = 0.02

[read]
p50_s = 0.5
"""


@pytest.fixture(autouse=True)
def forecast(folder: Path) -> None:
    (folder / "forecast.py").write_text(FORECAST)
    (folder / "costs.toml").write_text(COSTS)


def figures(text: str, name: str) -> list[str]:
    """The words behind the first line that begins with a name."""
    return next(line.split()[1:] for line in text.splitlines() if line.split()[:1] == [name])


# ---------------------------------------------------------------- profile


@pytest.mark.slow
def test_a_profile_is_fitted_from_the_stored_runs_and_written() -> None:
    for number in range(3):
        makespan("run", "forecast.py:plain", "-i", f"q=a{number}", "-q")

    said = makespan("profile", "-o", "profile.json")
    table = [line.split() for line in said.out.splitlines()]

    assert said.code == 0
    assert table[0] == ["task", "mode", "attempts", "p50", "p95", "mean", "cost", "success"]
    assert [(row[0], row[2], row[-1]) for row in table[1:]] == [("look", "3", "100.0%"), ("read", "6", "100.0%")]
    assert "profile.json: 3 runs" in said.err
    assert json.loads(Path("profile.json").read_text())["tasks"]["look"][""]["seen"]


def test_a_profile_may_be_of_some_runs_only() -> None:
    makespan("run", "forecast.py:plain", "-i", "q=a", "--id", "one", "-q")
    makespan("run", "flows.py:twice", "-i", "n=1", "--id", "two", "-q")

    assert set(makespan("profile", "one", "--json").json["tasks"]) == {"look", "read"}
    assert set(makespan("profile", "--workflow", "twice", "--json").json["tasks"]) == {"double"}
    assert set(makespan("profile", "--last", "1", "--json").json["tasks"]) == {"double"}
    assert "no stored run of 'other'" in makespan("profile", "--workflow", "other").err


def test_without_a_store_there_is_nothing_to_fit() -> None:
    said = makespan("profile")

    assert said.code == 2
    assert "there is no store" in said.err


def test_a_profile_that_cannot_be_written_says_so() -> None:
    makespan("run", "forecast.py:plain", "-i", "q=a", "-q")

    assert "nowhere/p.json cannot be written" in makespan("profile", "-o", "nowhere/p.json").err


# ---------------------------------------------------------------- simulate


def test_a_workflow_is_simulated_without_running_anything() -> None:
    said = makespan("simulate", "forecast.py:plain", "--runs", "20")

    assert said.code == 0
    assert said.out.startswith("plain: 20 simulated runs (no profile, seed 0)")
    assert figures(said.out, "makespan") == ["2.0", "s"] * 5
    assert 'input q: "text" stands in' in said.out
    assert not Path(".makespan").exists()


def test_the_profile_is_fitted_from_the_store_unless_one_is_given() -> None:
    makespan("run", "forecast.py:plain", "-i", "q=a", "-q")

    fitted = makespan("simulate", "forecast.py:plain", "-i", "q=a", "--runs", "5")
    given = makespan("simulate", "forecast.py:plain", "q=a", "--runs", "5", "--profile", "costs.toml", "--json").json

    assert "profile fitted from 1 stored run," in fitted.out
    assert "assumed:" not in fitted.out
    assert given["profile"] == "profile costs.toml"
    assert given["policies"][0]["makespan_s"]["p50"] == 1.5


def test_odds_waste_and_ends_are_told_for_a_deadline_and_a_budget() -> None:
    arguments = ["forecast.py:live", "-i", "q=a", "--profile", "costs.toml", "--runs", "200"]
    said = makespan("simulate", *arguments, "--deadline", "3.5s", "--budget", "0.10", "--json").json
    text = makespan("simulate", *arguments, "--deadline", "3.5s", "--budget", "0.10").out

    (policy,) = said["policies"]
    assert 0.3 < policy["within_deadline"]["low"] < policy["within_deadline"]["share"] < 0.9
    assert policy["ends"].keys() == {"succeeded", "paused (deadline)"}
    assert sum(policy["ends"].values()) == 200
    assert "within 3.5 s" in text
    assert "within both" in text
    assert "a body speaks" not in text


def test_a_budget_that_is_too_small_pauses_every_run() -> None:
    said = makespan(
        "simulate", "forecast.py:live", "--profile", "costs.toml", "--runs", "10", "--budget", "0.001", "--json"
    ).json

    assert said["policies"][0]["ends"] == {"paused (budget)": 10}
    assert said["policies"][0]["within_budget"]["share"] == 0


def test_several_policies_are_compared_on_the_same_seeds() -> None:
    said = makespan("simulate", "forecast.py:plain", "--policy", "fifo,critical-path", "--runs", "20", "--running", "1")

    assert "policy fifo" in said.out
    assert "critical-path against fifo, on the same 20 seeds" in said.out
    assert "the same in every seed" in said.out


def test_the_answer_is_the_same_every_time() -> None:
    arguments = ["simulate", "forecast.py:live", "--profile", "costs.toml", "--runs", "20", "--json"]

    assert makespan(*arguments).out == makespan(*arguments).out
    assert makespan(*arguments, "--seed", "7").out != makespan(*arguments).out


def test_pools_come_from_the_configuration_or_the_command() -> None:
    missing = makespan("simulate", "forecast.py:on_gpu", "--runs", "2")
    one = makespan("simulate", "forecast.py:on_gpu", "--runs", "2", "--pool", "gpu=1", "--json").json
    Path("makespan.toml").write_text("[pools]\ngpu = 2\n")
    two = makespan("simulate", "forecast.py:on_gpu", "--runs", "2", "--json").json

    assert missing.code == 2
    assert "task render: no pool or rate is called 'gpu'; give its size with --pool gpu=N" in missing.err
    assert one["policies"][0]["makespan_s"]["p50"] == 2.0
    assert two["policies"][0]["makespan_s"]["p50"] == 1.0


def test_a_rate_may_be_given_too() -> None:
    said = makespan("simulate", "forecast.py:on_gpu", "--runs", "2", "--rate", "gpu=1/10s", "--json").json

    assert said["policies"][0]["makespan_s"]["p50"] == 11.0


def test_a_stored_run_is_simulated_as_it_went() -> None:
    makespan("run", "forecast.py:plain", "-i", "q=a", "--id", "one", "-q")

    said = makespan("simulate", "one", "--runs", "5", "--profile", "costs.toml")

    assert said.code == 0
    assert "the graph is that of run one as it went" in said.out
    assert figures(said.out, "makespan") == ["1.5", "s"] * 5


def test_a_kept_run_can_be_traced_and_nothing_else() -> None:
    said = makespan("simulate", "forecast.py:plain", "--runs", "5", "--profile", "costs.toml", "--save", "--json")
    run_id = said.json["saved"]
    listed = makespan("ps", "--json").json["runs"]
    spans = makespan("trace", run_id, "--json").json["spans"]
    resumed = makespan("retry", run_id)

    assert [(row["run_id"], row["workflow"], row["status"]) for row in listed] == [
        (run_id, "simulated:plain", "succeeded")
    ]
    assert sorted(span["key"] for span in spans if span["kind"] == "call") == ["look", *["read"] * 3]
    assert max(span["end_s"] for span in spans) == said.json["policies"][0]["makespan_s"]["p50"]
    assert f"makespan trace {run_id}" in said.err
    assert "was simulated" in resumed.err
    assert "no stored run" in makespan("profile").err


def test_the_grid_has_a_chance_for_each_budget_and_deadline() -> None:
    arguments = ["forecast.py:live", "--profile", "costs.toml", "--runs", "30", "--grid", "3x4"]
    grid = makespan("simulate", *arguments, "--json").json["grid"]

    assert (len(grid["budgets_usd"]), len(grid["deadlines_s"])) == (3, 4)
    assert all(row == sorted(row) for row in grid["probability"])
    assert "of runs within budget and deadline" in makespan("simulate", *arguments).out


@pytest.mark.slow
def test_charts_are_written_beside_each_other() -> None:
    pytest.importorskip("matplotlib")
    arguments = ["forecast.py:live", "--profile", "costs.toml", "--runs", "20", "--grid", "2x2", "-o", "out.svg"]

    said = makespan("simulate", *arguments)

    assert said.code == 0
    for name in ("out.svg", "out-gantt.svg", "out-grid.svg"):
        assert Path(name).read_text().startswith("<?xml")
        assert f"{name}: " in said.err


def test_a_model_with_a_price_is_reserved_for_as_its_profile_says() -> None:
    Path("makespan.toml").write_text(PRICED)
    makespan("run", "forecast.py:live", "-i", "q=a", "-q", "--budget", "5")
    profile = makespan("profile", "--json").json

    assert list(profile["tasks"]["say"]) == ["fast"]
    assert makespan("simulate", "forecast.py:live", "--runs", "5", "--budget", "5", "--json").json["policies"][0][
        "cost_usd"
    ]["mean"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["forecast.py:nothing"], "has no 'nothing'"),
        (["no-such-run"], "there is no store"),
        (["forecast.py:plain", "--policy", "fastest"], "no policy is called 'fastest'"),
        (["forecast.py:plain", "--policy", ","], "--policy names no policy"),
        (["forecast.py:plain", "--policy", "fifo,fifo"], "named twice"),
        (["forecast.py:plain", "--pool", "gpu"], "write NAME=SLOTS"),
        (["forecast.py:plain", "--pool", "gpu=0"], "write NAME=SLOTS"),
        (["forecast.py:plain", "--rate", "calls=10"], "write NAME=COUNT/TIME"),
        (["forecast.py:plain", "--rate", "calls=1/never"], "is no duration"),
        (["forecast.py:plain", "--grid", "6"], "BUDGETSxDEADLINES"),
        (["forecast.py:plain", "--grid", "2x2"], "costs money"),
        (["forecast.py:plain", "--profile", "nothing.toml"], "--profile nothing.toml cannot be read"),
        (["forecast.py:plain", "--profile", "makespan.bad"], "makespan.bad is no JSON"),
        (["forecast.py:plain", "-i", "x=1"], "has no parameter 'x'"),
        (["forecast.py:plain", "--runs", "0"], "--runs"),
        (["forecast.py:plain", "--save", "--store", "memory"], "--save: a store in memory keeps nothing"),
        (["forecast.py:plain", "-o", "out.gif"], "out.gif"),
    ],
)
def test_wrong_input_is_one_clear_message(arguments: list[str], said: str) -> None:
    Path("makespan.bad").write_text("{")
    answer = makespan("simulate", *arguments)

    assert answer.code == 2
    assert said in answer.err
    assert answer.out == ""


def test_policy_and_profile_of_the_configuration_hold_unless_others_are_given() -> None:
    Path("makespan.toml").write_text('policy = "critical-path"\nprofile = "costs.toml"\n')
    own = makespan("simulate", "forecast.py:plain", "--runs", "3", "--json").json
    other = makespan("simulate", "forecast.py:plain", "--runs", "3", "--policy", "shortest", "--json").json

    assert [each["policy"] for each in own["policies"]] == ["critical-path"]
    assert own["profile"].endswith("costs.toml")
    assert [each["policy"] for each in other["policies"]] == ["shortest"]


def test_the_portfolio_planner_is_named_like_a_policy_or_behind_one() -> None:
    pytest.importorskip("numpy")
    arguments = ["forecast.py:live", "--profile", "costs.toml", "--runs", "3", "--deadline", "4s"]
    said = makespan("simulate", *arguments, "--policy", "fifo,portfolio,shortest+portfolio", "--json").json

    assert [each["policy"] for each in said["policies"]] == ["fifo", "portfolio", "shortest+portfolio"]
    assert "no policy is called 'shortest+other'" in makespan("simulate", *arguments, "--policy", "shortest+other").err


def test_a_run_that_never_ends_is_said_to_be_stuck_and_not_kept() -> None:
    Path("waits.py").write_text(
        "import makespan as ms\n\n\n@ms.workflow\nasync def waits() -> int:\n    return await ms.receive('go', int)\n"
    )
    Path("never.json").write_text('{"receive go": {"p50_s": 1, "success": 0}}')

    stuck = makespan("simulate", "waits.py", "--profile", "never.json", "--runs", "3", "--json").json
    kept = makespan("simulate", "waits.py", "--profile", "never.json", "--runs", "3", "--save")

    assert stuck["policies"][0]["ends"] == {"stuck": 3}
    assert "never ends" in kept.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--mode", "say=fsat"), "say has no mode 'fsat'; it has fast; did you mean 'fast'?"),
        (("--mode", "raed=fast"), "no task 'raed'; did you mean 'read'?"),
        (("--policy", "portfolio+fifo"), "the rule comes first: fifo+portfolio"),
        (("--planner", "portfoli"), "no planner is called 'portfoli'"),
    ],
)
def test_modes_and_planners_that_do_not_exist_are_refused_as_by_run(arguments: tuple[str, ...], message: str) -> None:
    target = "forecast.py:spoken" if "say" in arguments[1] else "forecast.py:plain"
    said = makespan("simulate", target, "--runs", "2", "--profile", "costs.toml", *arguments)

    assert said.code == 2
    assert message in said.err


def test_the_task_that_was_drawn_to_fail_is_named(folder: Path) -> None:
    (folder / "bad.toml").write_text("[look]\nsuccess = 0.0\n")

    said = makespan("simulate", "forecast.py:plain", "--runs", "3", "--profile", "bad.toml")

    assert "3 × task look failed: makespan.sim.Failed" in said.out


def test_a_profile_with_a_misspelt_task_is_told_of(folder: Path) -> None:
    (folder / "bad.toml").write_text("[raed]\np50_s = 3\n")

    said = makespan("simulate", "forecast.py:plain", "--runs", "3", "--profile", "bad.toml")

    assert "the profile has no 'read'; did you mean 'raed'?" in said.out


def test_a_profile_is_written_as_json_only() -> None:
    said = makespan("profile", "-o", "profile.toml")

    assert said.code == 2
    assert "give FILE.json" in said.err
