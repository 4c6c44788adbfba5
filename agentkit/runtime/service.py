"""What the platform's services share: the store, and writes whose lost races are tried again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from agentkit.runtime.faults import Fault
from agentkit.runtime.idempotency import Once
from agentkit.runtime.ports import Stale, Store, Writing
from agentkit.runtime.states import Refused

__all__ = ["LOCAL", "Service"]

LOCAL = "local"  # the owner of everything while no key is configured
TRIES = 10

T = TypeVar("T")


class Service:
    """Methods for one family of requests. Each takes the `owner` it acts for; what is another's does not exist."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def _write(self, change: Callable[[Writing], T], *, once: Once | None = None) -> T:
        """A write that reads anew and tries again when it lost a race, so the caller sees one that won.

        With `once` an earlier answer to the same request stands in for the write, and a new one is kept for later.
        """

        def whole(tx: Writing) -> T:
            return change(tx) if once is None else once.apply(tx, change)

        for _ in range(TRIES):
            try:
                return await self._store.write(whole)
            except Stale:
                continue
            except Refused as error:
                raise Fault("invalid_transition", str(error)) from None
        raise Fault("conflict", "too many changes at once; try again")
