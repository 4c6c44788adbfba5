from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.cli.console import Console


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return Console.at(tmp_path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The URL of an `agentkit serve` without a key, which the tests of a module share. Nothing is left of it."""
    beside = Console.at(tmp_path_factory.mktemp("server"))
    with beside.serving() as at:
        yield at.environ["AGENTKIT_BASE_URL"]
    beside.wait_until_nothing_is_left()
    assert beside.temporary_files == []


@pytest.fixture
def there(console: Console, server: str) -> Console:
    """A console whose commands go to that server."""
    return console.with_(AGENTKIT_BASE_URL=server)
