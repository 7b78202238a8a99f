"""Names to models."""

import asyncio

import pytest

from makespan.errors import ProviderError
from makespan.models.openai import OpenAICompatible
from makespan.models.registry import build_model
from makespan.models.scripted import Scripted
from makespan.ports import Message, ModelRequest


def test_the_callers_own_models_come_first() -> None:
    mine = Scripted("mine")

    assert build_model("scripted", known={"scripted": mine}) is mine


def test_an_openai_name_keeps_everything_after_the_first_colon() -> None:
    model = build_model("openai:qwen2.5:7b", base_url="http://127.0.0.1:1/v1", key=None)

    assert isinstance(model, OpenAICompatible)
    assert (model.name, model.base_url) == ("qwen2.5:7b", "http://127.0.0.1:1/v1")


def test_the_configured_scripted_model_answers_with_the_last_message() -> None:
    reply = asyncio.run(build_model("scripted").complete(ModelRequest((Message.user("hello"),))))

    assert reply.text == "hello"


@pytest.mark.parametrize(("name", "meant"), [("embeded", "embedded"), ("smollm2", "smollm2-135m"), ("mine2", "mine")])
def test_an_unknown_name_is_an_error_with_a_suggestion(name: str, meant: str) -> None:
    with pytest.raises(ProviderError, match=f"did you mean '{meant}'") as caught:
        build_model(name, known={"mine": Scripted("")})

    assert caught.value.kind == "unknown_model"


@pytest.mark.parametrize("name", ["", "openai", "openai:", "azure:gpt-4o"])
def test_a_name_without_a_model_behind_it_lists_what_there_is(name: str) -> None:
    with pytest.raises(ProviderError, match="openai:NAME"):
        build_model(name)
