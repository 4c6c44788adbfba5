"""A result that was paid for, held until the store takes it (design.md 8)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio

from agentkit.errors import StoreError
from agentkit.runtime.ports import Store, Writing

__all__ = ["SAVE_PAUSES", "save"]

logger = logging.getLogger("agentkit.loop")

SAVE_PAUSES = (0.1, 0.5, 2.0, 5.0)  # seconds


async def save(store: Store, commit: Callable[[Writing], Any], *, what: str) -> None:
    """Writes, and tries again through an outage of the database. Raises StoreError where it lasts longer."""
    for pause in SAVE_PAUSES:
        try:
            await store.write(commit)
            return
        except StoreError as error:
            logger.warning("%s is held for %g s: %s", what, pause, error)
            await anyio.sleep(pause)
    await store.write(commit)
