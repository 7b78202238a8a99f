"""Profiles written by people: seconds and dollars, in JSON or TOML; what is wrong is named with its place."""

from __future__ import annotations

import json

import pytest

from makespan.errors import UsageError
from makespan.profiles.distributions import Constant, Empirical, LogNormal
from makespan.profiles.form import read
from makespan.profiles.profile import ModeProfile, Profile, written

TOML = b"""
[grade.fast]
p50_s = 1.2
p95_s = 4
usd = 0.001
success = 0.9

[grade.main]
samples_s = [3.0, 1.0]
p50_usd = 0.01
p95_usd = 0.02
quality = 0.99

[search]
p50_s = 0.5
items = 12
results = [["a"], ["b"]]

[default]
p50_s = 2
"""


def test_modes_with_seconds_and_dollars_are_read_from_toml() -> None:
    profile = read(TOML, "costs.toml")
    fast, main = profile.of("grade", "fast"), profile.of("grade", "main")

    assert isinstance(fast.duration, LogNormal)
    assert fast.duration.median == 1_200_000_000
    assert fast.duration.quantile(0.95) == pytest.approx(4e9, rel=1e-6)
    assert (fast.cost, fast.success) == (Constant(1_000_000), 0.9)
    assert main.duration == Empirical((10**9, 3 * 10**9))
    assert main.cost.quantile(0.95) == pytest.approx(2e7, rel=1e-6)
    assert main.quality == 0.99
    assert profile.default == ModeProfile(Constant(2 * 10**9))


def test_a_task_without_modes_has_one_and_lists_know_how_long_they_are() -> None:
    profile = read(TOML, "costs.toml")

    assert profile.modes("search") == ("",)
    assert profile.widths == {"search": Constant(12)}
    drawn = {profile.of("search").draw(0.5, 0.5, luck / 10).value for luck in range(10)}
    assert drawn == {b"\x91\xa1a", b"\x91\xa1b"}


def test_results_are_equally_likely_among_the_attempts_that_succeed() -> None:
    mode = read(b'{"t": {"p50_s": 1, "success": 0.5, "results": [true, false]}}', "p.json").of("t")
    drawn = [mode.draw(0.5, 0.5, (place + 0.5) / 1000) for place in range(1000)]

    assert sum(each.ok for each in drawn) == 500
    assert sum(each.value == b"\xc3" for each in drawn) == 250
    assert all(each.value is None for each in drawn if not each.ok)


def test_the_same_in_json() -> None:
    said = {"grade": {"fast": {"p50_s": 1.2, "p95_s": 4, "usd": 0.001, "success": 0.9}}}

    assert read(json.dumps(said).encode(), "p.json").of("grade", "fast") == read(TOML, "c.toml").of("grade", "fast")


def test_what_profile_writes_is_read_back() -> None:
    profile = Profile({"a": {"": ModeProfile(Empirical((1, 2)))}}, widths={"a": Empirical((3,))})

    assert read(written(profile), "p.json") == profile


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "p.json is no JSON"),
        ("[1]", "p.json: a profile is a table of tasks, not list"),
        ('{"grade": 3}', "p.json: grade: 3 is no table of figures"),
        ('{"grade": {"p50": 1}}', "p.json: grade.p50: no figure is called 'p50'; did you mean 'p50_s'?"),
        ('{"grade": {"fast": {"p50_s": 1, "sucess": 1}}}', "grade.fast.sucess: no figure is called 'sucess'"),
        ('{"grade": {"fast": {"p50_s": "1"}}}', "grade.fast.p50_s: '1' is no number of seconds"),
        ('{"grade": {"fast": {"p50_s": -1}}}', "grade.fast.p50_s: -1 is no number of seconds"),
        ('{"grade": {"fast": {"usd": true}}}', "grade.fast.usd: True is no number of US dollars"),
        ('{"grade": {"fast": {"p50_s": 4, "p95_s": 1}}}', "grade.fast.p95_s: 1 with p50_s = 4"),
        ('{"grade": {"fast": {"p95_s": 1}}}', "grade.fast.p95_s: it needs p50_s beside it"),
        ('{"grade": {"fast": {"samples_s": []}}}', "grade.fast.samples_s: it is a list of numbers"),
        ('{"grade": {"fast": {"samples_s": [1], "p50_s": 2}}}', "grade.fast.samples_s: give either it or p50_s"),
        ('{"grade": {"fast": {"success": 1.5}}}', "grade.fast.success: 1.5 is no share from 0 to 1"),
        ('{"grade": {"p50_s": 1, "items": 1.5}}', "grade.items: 1.5 is no number of items"),
        ('{"grade": {"p50_s": 1, "results": 3}}', "grade.results: it is a list of results"),
        ('{"tasks": {"a": {"": {"duration": 3}}}}', "p.json: this is no profile"),
        ('{"tasks": {}, "schema": 9}', "p.json: this profile has the schema 9"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        read(text.encode(), "p.json")

    assert said in str(raised.value)
