"""`store` is each kind of store in turn, `journal` the first journal opened on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from makespan.store_port import Journal
from tests.journal.stores import KINDS, Store


@pytest.fixture(params=sorted(KINDS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with KINDS[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture
def journal(store: Store) -> Journal:
    return store()
