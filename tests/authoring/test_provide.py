"""Declaring dependencies: what is injected, what is refused, and that injected parameters are no arguments."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

import makespan as ms
from makespan.authoring.provide import Provider
from makespan.authoring.trace import trace_call
from makespan.cli.inputs import read_inputs
from makespan.cli.main import cli
from makespan.errors import GraphError, ProviderError, UsageError
from makespan.redaction import KNOWN
from makespan.references import Secret

if TYPE_CHECKING:
    OnlyForCheckers = Any


class Pool:
    """No codec knows it."""

    size = 7


@ms.provide
async def db(dsn: str = ms.use(ms.secret("env:PROVIDE_DSN"))) -> AsyncIterator[Pool]:
    yield Pool()


@ms.task
async def retrieve(q: str, k: int = 3, pool: Pool = ms.use(db)) -> list[str]:
    return [q] * k


@ms.task
async def bare(q: str, k: int = 3) -> list[str]:
    return [q] * k


@ms.workflow
def ask(q: str) -> list[str]:
    return retrieve(q)


def node_ids(call: ms.Ref[Any]) -> list[bytes]:
    return [node.id for node in trace_call(call).template.nodes]


def test_injected_parameters_are_in_no_id_and_no_argument() -> None:
    assert [p.name for p in retrieve.signature.parameters] == ["q", "k"]
    assert retrieve.signature.encode(("x", 4), {}) == bare.signature.encode(("x", 4), {})
    with_pool, without = ms.task(key="same")(retrieve.fn), ms.task(key="same")(bare.fn)
    assert node_ids(with_pool("x")) == node_ids(without("x"))


def test_the_command_line_does_not_know_injected_parameters() -> None:
    assert read_inputs(retrieve, ["q=x"]) == {"q": "x"}
    with pytest.raises(UsageError, match="no parameter 'pool'"):
        read_inputs(retrieve, ["q=x", "pool=y"])


def test_a_call_that_passes_an_injected_parameter_is_told_about_fakes() -> None:
    with pytest.raises(GraphError, match=r"'pool' of retrieve is injected \(db\).*fakes"):
        retrieve.signature.encode(("x",), {"pool": Pool()})
    with pytest.raises(GraphError, match=r"takes 2 positional arguments, 3 were given .*pool: injected"):
        retrieve.signature.encode(("x", 3, Pool()), {})


def test_the_plain_function_takes_the_dependency_as_any_other_argument() -> None:
    @ms.task
    def count(texts: list[str], pool: Pool = ms.use(db)) -> int:
        return len(texts) + pool.size

    assert count.fn(["a"], pool=Pool()) == 8


def test_using_a_marker_as_the_value_says_what_it_is() -> None:
    marker: Any = ms.use(db)

    with pytest.raises(AttributeError, match=r"ms\.use\(<provider db>\), which only the engine fills in"):
        marker.fetch("x")


def test_the_type_of_an_injected_parameter_may_stand_under_type_checking() -> None:
    @ms.task
    def price(q: str, rate: OnlyForCheckers = ms.use(db)) -> str:
        return q

    assert [p.name for p in price.signature.parameters] == ["q"]


def test_context_managers_providers_without_default_and_unknown_scopes_are_refused() -> None:
    @asynccontextmanager
    async def managed() -> AsyncIterator[int]:
        yield 1

    def wants(x: int) -> int:
        return x

    with pytest.raises(GraphError, match="context manager already; drop"):
        ms.provide(managed)
    with pytest.raises(GraphError, match="parameter 'x' a default, like"):
        ms.provide(wants)
    with pytest.raises(GraphError, match="scope='process'; it is one of engine, run, attempt"):
        ms.provide(scope="process")(lambda: 1)  # type: ignore[call-overload]
    with pytest.raises(GraphError, match="takes a function, not int"):
        ms.provide(3)  # type: ignore[call-overload]


def test_forgetting_use_or_using_something_else_says_what_to_write() -> None:
    def forgot(q: str, pool: Any = db) -> str:
        return q

    with pytest.raises(GraphError, match=r"write ms\.use\(\.\.\.\) around the default of 'pool'"):
        _ = ms.task(forgot).signature
    with pytest.raises(GraphError, match=r"decorate forgot with @ms\.provide"):
        ms.use(forgot)  # type: ignore[call-overload]
    with pytest.raises(GraphError, match=r"write ms\.use\(ms\.secret\('env:NAME'\)\)"):
        ms.use("env:KEY")  # type: ignore[call-overload]
    with pytest.raises(GraphError, match=r"write ms\.use\(db\) as a parameter's default"):
        db()


def test_injected_parameters_come_last() -> None:
    def between(q: str, pool: Pool = ms.use(db), k: int = 3) -> str:
        return q

    with pytest.raises(GraphError, match="'k' stands after the injected 'pool'"):
        _ = ms.task(between).signature


def test_workflows_and_prompts_cannot_be_injected() -> None:
    async def flow(q: str, pool: Pool = ms.use(db)) -> str:
        return q

    with pytest.raises(GraphError, match=r"the workflow .*flow cannot have the injected parameter 'pool'"):
        ms.workflow(flow)
    with pytest.raises(GraphError, match=r"the prompt flow cannot have the injected parameter 'pool'"):
        ms.prompt()(flow)


def test_providers_in_a_circle_are_refused_with_the_circle() -> None:
    @ms.provide
    def one(other: int = ms.use(ms.provide(lambda: 1))) -> int:
        return other

    @ms.provide
    def two(other: int = ms.use(one)) -> int:
        return other

    one.fn.__defaults__ = (ms.use(two),)

    @ms.task
    def work(n: int, value: int = ms.use(one)) -> int:
        return n

    with pytest.raises(GraphError, match=r"work: these providers need each other: .*one -> .*two -> .*one"):
        _ = work.signature


def test_a_provider_cannot_need_what_lives_shorter() -> None:
    @ms.provide(scope="attempt")
    def short() -> Iterator[int]:
        yield 1

    @ms.provide
    def long(value: int = ms.use(short)) -> int:
        return value

    @ms.task
    def work(n: int, value: int = ms.use(long)) -> int:
        return n

    with pytest.raises(GraphError, match=r"long \(scope engine\) needs .*short \(scope attempt\), which lives shorter"):
        _ = work.signature


def test_a_provider_knows_how_it_gives_its_value() -> None:
    async def coroutine() -> int:
        return 1

    def generator() -> Iterator[int]:
        yield 1

    made = [ms.provide(coroutine), ms.provide(generator), ms.provide(Pool), db]

    assert [each.how for each in made] == ["coroutine", "generator", "value", "async_generator"]
    assert all(isinstance(each, Provider) for each in made)


@pytest.mark.parametrize("given", ["sk-live-123456", "", "env:", "keyring:onlyservice", "vault:x", "evn:KEY"])
def test_what_is_no_reference_is_refused_without_repeating_it(given: str) -> None:
    with pytest.raises(GraphError) as caught:
        ms.secret(given)

    assert "sk-live" not in str(caught.value)
    assert "env:NAME" in str(caught.value) or "keyring:service/name" in str(caught.value)


def test_a_secret_shows_its_reference_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDE_SHOWN", "value-of-a-shown-secret")

    shown = ms.secret("env:PROVIDE_SHOWN")
    shown.make()

    assert repr(shown) == "<secret env:PROVIDE_SHOWN>"
    assert "value-of" not in repr(vars(shown) | {"_environ": ""})
    assert shown == Secret("env:PROVIDE_SHOWN")


def test_missing_secrets_say_how_to_set_them(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROVIDE_NONE", raising=False)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")

    said = [
        ms.secret(f"{where}").problem
        for where in ("env:PROVIDE_NONE", f"file:{tmp_path}/none", f"file:{tmp_path}/binary")
    ]

    assert "`export PROVIDE_NONE=...`" in said[0]
    assert "No such file" in said[1]
    assert "not UTF-8" in said[2]


def test_a_rotated_file_is_read_anew_and_both_values_stay_masked(tmp_path: Any) -> None:
    file = tmp_path / "key"
    reference = ms.secret(f"file:{file}")
    seen = []
    for value in ("first-rotated-value", "second-rotated-value"):
        file.write_text(value + "\n")
        seen.append(reference.make())

    assert seen == ["first-rotated-value", "second-rotated-value"]
    assert KNOWN.text("first-rotated-value second-rotated-value") == "*** ***"


def test_a_keyring_is_asked_for_service_and_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []
    keyring = ModuleType("keyring")

    def get_password(service: str, name: str) -> str | None:
        asked.append((service, name))
        return "kept-in-the-keyring" if name == "there" else None

    keyring.get_password = get_password  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", keyring)

    assert ms.secret("keyring:my/app/there").make() == "kept-in-the-keyring"
    assert asked == [("my/app", "there")]
    with pytest.raises(ProviderError, match="`keyring set my/app gone`"):
        ms.secret("keyring:my/app/gone").make()


def test_without_the_keyring_package_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)

    with pytest.raises(ProviderError, match="`pip install keyring`"):
        ms.secret("keyring:app/key").make()


def test_a_default_that_is_a_secret_is_refused_also_where_it_became_known_later() -> None:
    @ms.workflow
    def flow(key: str = "a-default-learnt-too-late") -> list[str]:
        return bare(key)

    assert flow.signature.parameters[0].default
    KNOWN.learn("a-default-learnt-too-late", "env:LATE")

    with pytest.raises(GraphError, match=r"an argument of .*flow: it holds the secret env:LATE"):
        trace_call(flow())


def test_check_names_the_secrets_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROVIDE_UNSET", raising=False)
    (tmp_path / "checked.py").write_text(
        "import makespan as ms\n"
        "@ms.provide\ndef db(dsn: str = ms.use(ms.secret('env:PROVIDE_UNSET'))) -> str:\n    return dsn\n"
        "@ms.task\ndef looks(q: str, db: str = ms.use(db)) -> str:\n    return q\n"
        "@ms.workflow\nasync def flow(q: str) -> str:\n    return await looks(q)\n"
    )

    said = CliRunner().invoke(cli, ["check", f"{tmp_path}/checked.py:flow"])

    assert said.exit_code == 5
    assert "task looks: the secret env:PROVIDE_UNSET is missing" in said.stderr
    assert "`export PROVIDE_UNSET=...`" in said.stderr
