"""What the engine lends to running tasks: models by name, prices, and the worst case of a prompt before it starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from makespan.authoring.model_task import ModelCode
from makespan.errors import EngineError, GraphError, ProviderError, suggestion
from makespan.graph.node import Declaration
from makespan.models.prices import Price, PriceList
from makespan.models.registry import build_model
from makespan.models.tool_choice import with_tools
from makespan.ports import Breaker, Model, SlotStore, TaskCode
from makespan.values import NanoUsd, Usage

DEFAULT_MODEL = "embedded"


class EngineServices:
    """Models and prices of one engine. Models are built at their first use and closed with the engine.

    Args:
        models: what a name stands for: a Model, or a built-in name (`embedded`, `openai:NAME`, …).
    """

    def __init__(
        self, models: Mapping[str, Model | str], prices: Mapping[str, Price], *, allow_unknown_prices: bool
    ) -> None:
        self._configured = models  # as it is: a mapping may know every name (`testing.run(models=Scripted(...))`)
        self._prices = PriceList(prices, allow_unknown=allow_unknown_prices)
        self._built: dict[str, Model] = {}
        self.breaker: Breaker | None = None
        """Set when the engine opens."""
        self.slots: SlotStore
        """The store's slots for `ms.state`; set when the engine opens."""

    def model(self, name: str) -> Model:
        """The model a name stands for."""
        found = self._built.get(name)
        if found is None:
            found = self._built[name] = with_tools(self._build(name))
        return found

    def _build(self, name: str) -> Model:
        if name not in self._configured:
            return self.model(DEFAULT_MODEL) if name == "default" else self._built_in(name)
        configured = self._configured[name]
        if not isinstance(configured, str):
            return configured
        if configured in self._configured and configured != name:
            return self.model(configured)
        return build_model(configured)

    def _built_in(self, name: str) -> Model:
        try:
            return build_model(name)
        except ProviderError as error:
            if error.kind != "unknown_model":
                raise
        known = [*self._configured, "embedded", "scripted", "default"]
        raise ProviderError(
            f"no model is configured under the name {name!r}{suggestion(name, known)}; "
            f"configured: {', '.join(self._configured) or 'none'}. Add it to [models] in makespan.toml, "
            f"or to Engine(models={{{name!r}: ...}})",
            kind="unknown_model",
            retryable=False,
        )

    def cost(self, model: str, usage: Usage) -> NanoUsd:
        return self._prices.cost(model, usage)

    async def close(self) -> None:
        """Close every model that was built here."""
        built, self._built = self._built, {}
        for model in {id(m): m for m in built.values()}.values():
            await model.close()


class RunPricing:
    """The machine's look into the price list."""

    def __init__(self, codes: Callable[[str], TaskCode | None], services: EngineServices) -> None:
        self._codes, self._services = codes, services

    def worst_case(self, declaration: Declaration, args: bytes, mode: str = "") -> int:
        code = self._codes(declaration.key)
        if not isinstance(code, ModelCode):
            return declaration.options.budget or 0
        try:
            return code.worst_case(args, self._services, (mode,) if mode else declaration.options.models)
        except EngineError:
            raise
        except Exception as error:  # a prompt's body is the user's: it fails its task, not the engine
            what = f"{type(error).__name__}: {error}"
            raise GraphError(f"the prompt {declaration.key} cannot be asked, its function raised {what}") from error

    def worst_tokens(self, declaration: Declaration, args: bytes, mode: str = "") -> int:
        """Tokens of the prompt and the answer that an attempt uses at most."""
        code = self._codes(declaration.key)
        if not isinstance(code, ModelCode):
            return 0
        return code.worst_tokens(args, self._services, (mode,) if mode else declaration.options.models)

    def call_tokens(self, declaration: Declaration, args: bytes, model: str) -> int:
        """Tokens that the first call of a model can use at most: what its rates count."""
        code = self._codes(declaration.key)
        return code.worst_tokens(args, self._services, (model,), reasks=0) if isinstance(code, ModelCode) else 0
