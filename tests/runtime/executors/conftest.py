"""These are many, and start servers and processes all the time: on trio in the thorough run only."""

from __future__ import annotations

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    """Marks what is collected below this folder."""
    item.add_marker(pytest.mark.heavy)
