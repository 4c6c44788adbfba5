"""What the tests of the client share: `home` opens a platform in the way under test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.client.ways import WAYS, Desk, desk

Home = Callable[..., Desk]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Which client and platform; a module that needs fewer overrides it."""
    return str(request.param)


@pytest.fixture
def home(way: str) -> Iterator[Home]:
    """`home(*steps, **options)`: a desk whose model gives these answers."""
    with ExitStack() as stack:

        def open_(*steps: Any, **options: Any) -> Desk:
            return stack.enter_context(desk(way, *steps, **options))

        yield open_
