"""`makespan.toml`, environment, flags: which wins, where each value comes from, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import makespan as ms
from makespan.capacity import RateConfig
from makespan.config import engine_from, load_config
from makespan.errors import UsageError
from makespan.models.openai import OpenAICompatible
from tests.cli.calling import makespan

WHOLE = """
store = "runs"
allow_unknown_prices = true

[models.fast]
model = "openai:tiny"
base_url = "http://127.0.0.1:1/v1"

[models.main]
model = "embedded"

[prices.tiny]
prompt = 1
cached = 0
completion = 2

[pools]
gpu = 2

[rates.search]
count = 10
per_s = 0.5

[limits]
tasks = 500
"""


def test_everything_in_the_file_reaches_the_engine(folder: Path) -> None:
    (folder / "makespan.toml").write_text(WHOLE)

    options = engine_from(load_config(environ={}))

    assert options["store"] == str(folder / "runs")
    assert isinstance(options["models"]["fast"], OpenAICompatible)
    assert options["models"]["main"] == "embedded"
    assert options["prices"]["tiny"].completion == 2
    assert (options["pools"], options["rates"]) == ({"gpu": 2}, {"search": RateConfig(10, 0.5)})
    assert options["limits"].tasks == 500
    assert options["allow_unknown_prices"]


def test_a_service_of_ones_own_gets_no_key_unless_one_is_named(folder: Path) -> None:
    (folder / "makespan.toml").write_text(WHOLE)

    engine_from(load_config(environ={}))["models"]["fast"].check()


def test_a_model_may_be_named_without_a_table(folder: Path) -> None:
    (folder / "makespan.toml").write_text('[models]\ndefault = "scripted"\n')

    assert engine_from(load_config())["models"]["default"] == "scripted"


def test_the_file_is_found_in_a_folder_above(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "makespan.toml").write_text("store = 'runs'\n")
    (folder / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(folder / "deep" / "er")

    assert load_config(environ={}).store == str(folder / "runs")


def test_flags_win_over_the_environment_and_that_over_the_file(folder: Path) -> None:
    (folder / "makespan.toml").write_text("store = 'file'\n")

    by_file = load_config(environ={})
    by_environment = load_config(environ={"MAKESPAN_STORE": "environment"})
    by_flag = load_config(store="flag", environ={"MAKESPAN_STORE": "environment"})

    assert [by_file.store, by_environment.store, by_flag.store] == [str(folder / "file"), "environment", "flag"]
    assert by_file.origins["store"].endswith("makespan.toml:1")
    assert by_environment.origins["store"] == "MAKESPAN_STORE"
    assert by_flag.origins["store"] == "--store"


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("stroe = 'x'", 1, "no key is called 'stroe' here; did you mean 'store'?"),
        ("\n[models.fast]\nmodle = 'scripted'", 3, "no key is called 'modle' here; did you mean 'model'?"),
        ("[models.a]\nmodel = 'embedded'\n[models.b]\nmodel = 3", 3, "models.b: Expected `str`"),
        ("[pools]\ngpu = 'two'", 2, "pools.gpu: Expected `int"),
        ("[limits]\ntask = 1", 2, "no limit is called 'task'; did you mean 'tasks'?"),
        ("[rates.r]\ncount = 1\nper_min = 2", 3, "no key is called 'per_min' here"),
        ("[prices.p]\nprompt = -1\ncached = 0\ncompletion = 0", 1, "zero or more"),
    ],
)
def test_what_means_nothing_is_refused_with_its_line(folder: Path, text: str, line: int, problem: str) -> None:
    (folder / "makespan.toml").write_text(text)

    with pytest.raises(UsageError) as caught:
        load_config(environ={})

    assert f"makespan.toml:{line}: " in str(caught.value)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("store = ", "is no TOML file"),
        ("[models.fast]\nmodel = 'openai:x'\nkey = 'sk-secret-123'", "a key is given by reference"),
    ],
)
def test_a_bad_file_stops_every_command_with_one_message(folder: Path, text: str, problem: str) -> None:
    (folder / "makespan.toml").write_text(text)

    said = makespan("run", "flows.py:twice", "-i", "n=1")

    assert said.code == 2
    assert problem in said.err
    assert "sk-secret" not in said.err


def test_config_shows_where_values_come_from(folder: Path) -> None:
    (folder / "makespan.toml").write_text(WHOLE)

    text = makespan("config", "show", "--origin").out
    values = {each["name"]: each for each in makespan("config", "show", "--json").json["values"]}

    assert "pools.gpu" in text
    assert values["limits.tasks"]["origin"].endswith("makespan.toml:25")
    assert values["limits.depth"]["origin"] == "default"


def test_single_pools_limits_and_models_can_come_from_the_environment(folder: Path) -> None:
    (folder / "makespan.toml").write_text(WHOLE)
    said = {"MAKESPAN_POOLS_GPU": "4", "MAKESPAN_LIMITS_TASKS": "9", "MAKESPAN_MODELS_MAIN": "scripted", "HOME": "/"}

    config = load_config(environ=said)

    assert (config.pools, config.limits, config.models["main"].model) == ({"gpu": 4}, {"tasks": 9}, "scripted")
    assert config.models["fast"].model == "openai:tiny"
    assert config.origins["pools.gpu"] == "MAKESPAN_POOLS_GPU"


@pytest.mark.parametrize(
    ("variable", "problem"),
    [
        ("MAKESPAN_STOER", "did you mean 'MAKESPAN_STORE'?"),
        ("MAKESPAN_POOL_GPU", "did you mean 'MAKESPAN_POOLS_GPU'?"),
        ("MAKESPAN_LIMITS_TASK", "no limit is called 'task'; did you mean 'tasks'?"),
        ("MAKESPAN_POOLS_GPU", "write a whole number"),
    ],
)
def test_a_misspelt_variable_is_refused_by_name(variable: str, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_config(environ={variable: "x"})

    assert variable in str(caught.value)
    assert problem in str(caught.value)


def test_variables_of_somebody_else_are_left_alone() -> None:
    assert load_config(environ={"MAKESPAN_DEPLOYED_BY": "me", "MAKESPAN_DEBUG": "1"}).origins == {}


def test_passwords_in_addresses_and_keys_are_not_shown(folder: Path) -> None:
    (folder / "makespan.toml").write_text(
        "[models.fast]\nmodel = 'openai:x'\nbase_url = 'https://me:hidden-pw@host/v1'\nkey = 'file:/run/key'\n"
    )

    for said in (makespan("config", "show", "--origin"), makespan("config", "--json")):
        assert said.code == 0 or said.code == 2
        assert "hidden-pw" not in said.out + said.err
    assert "https://***@host/v1 key=file:/run/key" in makespan("config", "show").out


def test_a_program_uses_the_same_configuration_as_the_command_line(folder: Path) -> None:
    (folder / "makespan.toml").write_text("store = 'here'\n[pools]\ngpu = 1\n")

    @ms.task(needs={"gpu": 1})
    def trains(n: int) -> int:
        return n

    assert ms.run(trains(3)).output == 3
    assert (folder / "here" / "makespan.db").exists()
    assert ms.run(trains(3), store="there").output == 3
    assert (folder / "there" / "makespan.db").exists()
