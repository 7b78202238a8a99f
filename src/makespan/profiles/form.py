"""Profiles as people write them: seconds and US dollars, in JSON or TOML.

[grade.fast]                       key and mode; the mode may be left out
p50_s = 1.2                        with p95_s: log-normal; alone: always the same; or samples_s = [1.1, 1.3, 4.0]
p95_s = 4
usd = 0.001                        or p50_usd and p95_usd, or samples_usd
success = 0.9
results = [{ok = true}, {ok = false}]
items = 12                         how many items its result has, where that is a list

[default]                          tasks that nothing is said of
p50_s = 2
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from math import isfinite, log
from statistics import NormalDist
from typing import Any

import msgspec

from makespan.errors import UsageError, suggestion
from makespan.profiles.distributions import Constant, Distribution, LogNormal, empirical
from makespan.profiles.profile import ANY, ModeProfile, Profile, read_profile
from makespan.values import nano_usd, nanos

DEFAULT = "default"
_P95 = NormalDist().inv_cdf(0.95)
_TIMES = ("p50_s", "p95_s", "samples_s")
_COSTS = ("usd", "p50_usd", "p95_usd", "samples_usd")
_FIELDS = (*_TIMES, *_COSTS, "success", "quality", "results", "items")


def read(body: bytes, name: str) -> Profile:
    """A profile from a file: what `makespan profile -o` wrote, or what a person did.

    Args:
        name: of the file: `.toml` is TOML, everything else JSON.
    Raises:
        UsageError: with file and place, e.g. `costs.toml: grade.fast.p95_s: ...`.
    """
    said = _table(body, name)
    if is_fitted(said):
        try:
            return read_profile(body)
        except ValueError as error:
            raise UsageError(f"{name}: {error}") from None
    return profile_of(said, name)


def is_fitted(said: Mapping[str, Any]) -> bool:
    """Whether it is the profile's own form, in nanoseconds and nano-USD, and not the one for people."""
    known = set(Profile.__struct_fields__)
    return bool(said) and set(said) <= known and not (set(said) == {DEFAULT} and _is_leaf(said[DEFAULT]))


def profile_of(said: Mapping[str, Any], name: str) -> Profile:
    """A profile from plain data in seconds and dollars. Raises UsageError with the place."""
    tasks: dict[str, dict[str, ModeProfile]] = {}
    widths: dict[str, Distribution] = {}
    default = Profile().default
    for key, given in said.items():
        if not isinstance(given, Mapping):
            raise _wrong(name, (key,), f"{given!r} is no table of figures; write p50_s, usd, success, ...")
        if key == DEFAULT:
            default = _mode(name, (key,), given)
        elif _is_leaf(given):
            tasks[key] = {ANY: _mode(name, (key,), given)}
            _width(name, (key,), given, widths)
        else:
            tasks[key] = {}
            for mode, figures in given.items():
                if not isinstance(figures, Mapping):
                    hint = suggestion(mode, _FIELDS) or f"; it is one of {', '.join(_FIELDS)}"
                    raise _wrong(name, (key, mode), f"no figure is called {mode!r}{hint}")
                tasks[key][mode] = _mode(name, (key, mode), figures)
                _width(name, (key, mode), figures, widths)
    return Profile(tasks, default, widths=widths)


def _table(body: bytes, name: str) -> dict[str, Any]:
    try:
        said = tomllib.loads(body.decode()) if name.endswith(".toml") else msgspec.json.decode(body)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.DecodeError) as error:
        kind = "TOML" if name.endswith(".toml") else "JSON"
        raise UsageError(f"{name} is no {kind}: {error}") from None
    if not isinstance(said, dict):
        raise UsageError(f"{name}: a profile is a table of tasks, not {type(said).__name__}")
    return said


def _is_leaf(given: Any) -> bool:
    """Whether a table holds figures, not modes."""
    return isinstance(given, Mapping) and any(name in _FIELDS for name in given)


def _wrong(name: str, place: Iterable[str], why: str) -> UsageError:
    return UsageError(f"{name}: {'.'.join(place)}: {why}")


def _mode(name: str, place: tuple[str, ...], given: Mapping[str, Any]) -> ModeProfile:
    for field in given:
        if field not in _FIELDS:
            hint = suggestion(field, _FIELDS) or f"; it is one of {', '.join(_FIELDS)}"
            raise _wrong(name, (*place, field), f"no figure is called {field!r}{hint}")
    numbers = _Numbers(name, place, given)
    has_time = any(field in given for field in _TIMES)
    results = given.get("results", [])
    if not isinstance(results, list):
        raise _wrong(name, (*place, "results"), "it is a list of results, all equally likely")
    return ModeProfile(
        numbers.distribution("s", "p50_s", nanos) if has_time else Profile().default.duration,
        numbers.distribution("usd", "usd" if "usd" in given else "p50_usd", nano_usd),
        numbers.share("success"),
        numbers.share("quality"),
        results=tuple(msgspec.msgpack.encode(each) for each in results),
    )


def _width(name: str, place: tuple[str, ...], given: Mapping[str, Any], widths: dict[str, Distribution]) -> None:
    width = given.get("items")
    if width is None:
        return
    if type(width) is not int or width < 0:
        raise _wrong(name, (*place, "items"), f"{width!r} is no number of items: a whole number, at least 0")
    widths[place[0]] = Constant(width)


class _Numbers:
    """Checked figures of one mode."""

    def __init__(self, name: str, place: tuple[str, ...], given: Mapping[str, Any]) -> None:
        self._name, self._place, self._given = name, place, given

    def distribution(self, unit: str, middle: str, scaled: Any) -> Distribution:
        """From samples, a median with a 95th percentile, or one number; nothing is 0."""
        samples, high = f"samples_{unit}", f"p95_{unit}"
        if samples in self._given:
            other = next((field for field in (middle, high) if field in self._given), None)
            if other is not None:
                raise self._wrong(samples, f"give either it or {other}")
            return self._samples(samples, scaled)
        p50 = self._amount(middle)
        if high not in self._given:
            return Constant(scaled(p50))
        if middle not in self._given:
            raise self._wrong(high, f"it needs p50_{unit} beside it")
        p95 = self._amount(high)
        if p95 < p50 or p50 == 0:
            raise self._wrong(
                high, f"{p95:g} with {middle} = {p50:g}: the median is above 0 and at most the 95th percentile"
            )
        return LogNormal(scaled(p50), log(p95 / p50) / _P95)

    def share(self, field: str) -> float:
        """A number from 0 to 1; 1 where nothing is said."""
        value = self._given.get(field, 1.0)
        if type(value) not in (int, float) or not 0 <= value <= 1:
            raise self._wrong(field, f"{value!r} is no share from 0 to 1")
        return float(value)

    def _samples(self, field: str, scaled: Any) -> Distribution:
        given = self._given[field]
        if not isinstance(given, list) or not given:
            raise self._wrong(field, "it is a list of numbers, at least one")
        return empirical(scaled(self._checked(field, value)) for value in given)

    def _amount(self, field: str) -> float:
        return self._checked(field, self._given.get(field, 0))

    def _checked(self, field: str, value: Any) -> float:
        if type(value) not in (int, float) or not isfinite(value) or value < 0:
            raise self._wrong(field, f"{value!r} is no number of {'seconds' if field.endswith('_s') else 'US dollars'}")
        return float(value)

    def _wrong(self, field: str, why: str) -> UsageError:
        return _wrong(self._name, (*self._place, field), why)
