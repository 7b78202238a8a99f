"""From a model's name in a configuration to the model.

Names: `embedded` (or `smollm2-135m`), `qwen2.5-coder-1.5b` once it was pulled, `openai:NAME` for any OpenAI-compatible
service, `scripted` (answers with the last message), and whatever the caller passes in `known`, which wins.
"""

from __future__ import annotations

from collections.abc import Mapping

from makespan.errors import ProviderError, suggestion
from makespan.models.embedded import EMBEDDED_NAME, Embedded
from makespan.models.openai import OPENAI_KEY, OPENAI_URL, OpenAICompatible
from makespan.models.pull import locate
from makespan.models.scripted import Scripted, echo
from makespan.models.weights import OPT_IN, locate_weights
from makespan.ports import Model

BUILT_IN = ("embedded", EMBEDDED_NAME, *OPT_IN, "scripted")


def build_model(
    name: str,
    *,
    known: Mapping[str, Model] | None = None,
    base_url: str = OPENAI_URL,
    key: str | None = OPENAI_KEY,
) -> Model:
    """The model called `name`.

    Args:
        known: the caller's own models by name.
        base_url, key: for `openai:NAME`; `key` is a reference like `env:OPENAI_API_KEY`, None for services
            without.
    Raises:
        ProviderError: `unknown_model` with a suggestion; `unavailable` when the embedded model is not
            installed.
    """
    if known is not None and name in known:
        return known[name]
    if name in ("embedded", EMBEDDED_NAME):
        return Embedded(locate())
    if name in OPT_IN:
        return Embedded(locate_weights(OPT_IN[name]), name=name)
    if name == "scripted":
        return Scripted(echo)
    service, _, remote = name.partition(":")
    if service == "openai" and remote:
        return OpenAICompatible(remote, base_url=base_url, key=key)
    raise _unknown(name, [*BUILT_IN, *(known or {})])


def _unknown(name: str, names: list[str]) -> ProviderError:
    close = suggestion(name, names)
    return ProviderError(
        f"unknown model {name!r}{close}; known: {', '.join(names)}, and openai:NAME for an OpenAI-compatible service",
        kind="unknown_model",
        retryable=False,
    )
