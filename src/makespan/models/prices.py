"""What tokens cost: a table as data (`prices.json`, nano-USD per token) and one multiplication.

Invariant: money is integer nano-USD; an unknown price is an error, never a silent zero. One dollar per
million tokens is 1,000 nano-USD per token. Prices are a service's public list, `as_of` a month; override
them with your contract's.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

import msgspec

from makespan.errors import ProviderError, suggestion
from makespan.values import NanoUsd, Usage


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nano-USD per token; `cached` is for prompt tokens the service had already read."""

    prompt: int
    cached: int
    completion: int
    source: str = ""
    as_of: str = ""

    def __post_init__(self) -> None:
        if min(self.prompt, self.cached, self.completion) < 0:
            raise ValueError("a price is zero or more nano-USD per token")


FREE = Price(0, 0, 0, source="allowed unknown price")


class PriceList:
    """Prices by model name: the packaged table with the caller's prices over it."""

    def __init__(self, overrides: Mapping[str, Price] | None = None, *, allow_unknown: bool = False) -> None:
        self._prices = {**packaged_prices(), **(overrides or {})}
        self._allow_unknown = allow_unknown

    def price(self, model: str) -> Price:
        """The model's price. Names are exact: a dated snapshot can cost something else.

        Raises:
            ProviderError: kind `unknown_price`, unless unknown prices were allowed (then they are free).
        """
        found = self._prices.get(model)
        if found is not None:
            return found
        if self._allow_unknown:
            return FREE
        raise ProviderError(
            f"no price for model {model!r}{suggestion(model, self._prices)}; "
            "give its price (nano-USD per token), or allow unknown prices and count it as free",
            kind="unknown_price",
            retryable=False,
        )

    def cost(self, model: str, usage: Usage) -> NanoUsd:
        """Nano-USD for `usage`. Raises ProviderError as `price` does."""
        price = self.price(model)
        cached = min(usage.cached_tokens, usage.prompt_tokens)
        fresh = usage.prompt_tokens - cached
        return NanoUsd(fresh * price.prompt + cached * price.cached + usage.completion_tokens * price.completion)


def packaged_prices() -> dict[str, Price]:
    """The table that ships with makespan. Reads a 3 KB file."""
    data = resources.files("makespan.models").joinpath("prices.json").read_bytes()
    return msgspec.json.decode(data, type=dict[str, Price])
