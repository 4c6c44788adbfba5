"""Webhooks: the end of a task, POSTed to who asked for it, at least once (protocol.md 2.7).

What is to be delivered is a row and a wake-up, so it outlives the process; a task never waits for it.
"""

from __future__ import annotations

import logging
from typing import Any, Final
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import anyio
import httpx
from pydantic_core import to_json

from agentkit import __version__
from agentkit.runtime import dto, moves
from agentkit.runtime.moments import later
from agentkit.runtime.ports import Store, Writing
from agentkit.runtime.records import TaskRecord, WebhookRecord
from agentkit.runtime.service import Service

__all__ = ["Webhooks", "pause_after"]

logger = logging.getLogger("agentkit.webhooks")

TIMEOUT_SECONDS: Final = 10.0  # protocol.md 2.7
MAX_ATTEMPTS: Final = 15
MOST_AT_ONCE, MOST_OF_ONE_HOST = 100, 10  # attempts under way: who does not answer does not keep others from hearing
FIRST_PAUSE_SECONDS, PAUSE_FACTOR, LONGEST_PAUSE_SECONDS = 1.0, 3.0, 3_600.0
LONGEST_ERROR: Final = 500  # characters
USER_AGENT: Final = f"agentkit/{__version__} (webhook)"
HEADERS: Final = {"User-Agent": USER_AGENT, "Content-Type": "application/json", "Accept": "*/*"}


def pause_after(attempts: int) -> float:
    """The seconds between so many failed attempts and the next.

    >>> [pause_after(attempts) for attempts in (1, 2, 3, 9)]
    [1.0, 3.0, 9.0, 3600.0]
    """
    return min(FIRST_PAUSE_SECONDS * PAUSE_FACTOR ** (attempts - 1), LONGEST_PAUSE_SECONDS)


class Webhooks(Service):
    """Delivers them. `transport` replaces the network's."""

    def __init__(self, store: Store, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        super().__init__(store)
        self._transport = transport
        self._client: httpx.AsyncClient | None = None
        self._turns: WeakValueDictionary[str, anyio.Semaphore] = WeakValueDictionary()  # by host, while anybody waits

    async def aclose(self) -> None:
        """Ends what is under way; it is tried again when the platform opens the next time."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def advance(self, webhook_id: str) -> None:
        """One attempt; where it fails, the next one is recorded, until there were enough of them."""
        url = await self._store.read(lambda tx: hook.url if (hook := tx.get(WebhookRecord, webhook_id)) else "")
        async with self._turn(url):
            found = await self._store.write(lambda tx: _begin(tx, webhook_id))
            if found is None:
                return
            hook, body = found
            failure = await self._deliver(hook.url, body)
        await self._store.write(lambda tx: _finish(tx, hook, failure))
        if failure is None:
            logger.debug("webhook %s of task %s: delivered", hook.id, hook.task_id)
        else:
            logger.info("webhook %s of task %s: attempt %d: %s", hook.id, hook.task_id, hook.attempts, failure)

    def _turn(self, url: str) -> anyio.Semaphore:
        """The places of the URL's host; an attempt that waits for one is not counted yet."""
        host = urlsplit(url).netloc
        turn = self._turns.get(host) or anyio.Semaphore(MOST_OF_ONE_HOST)
        self._turns[host] = turn
        return turn

    async def _deliver(self, url: str, body: bytes) -> str | None:
        """None where somebody took it, else why not. Redirects are answers like any other: not followed."""
        try:
            with anyio.fail_after(TIMEOUT_SECONDS):
                async with self._connected().stream("POST", url, content=body, headers=HEADERS) as answer:
                    return None if answer.is_success else f"HTTP {answer.status_code}"
        except TimeoutError:
            return f"no answer within {TIMEOUT_SECONDS:g} s"
        except Exception as error:  # whatever it is, of names that are none too: this attempt counts, and has failed
            return (str(error) or type(error).__name__)[:LONGEST_ERROR]

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:  # not before it is needed: certificates take a while to load
            self._client = httpx.AsyncClient(
                timeout=TIMEOUT_SECONDS,
                follow_redirects=False,
                transport=self._transport,
                limits=httpx.Limits(max_connections=MOST_AT_ONCE, max_keepalive_connections=0),
            )
        return self._client


def _begin(tx: Writing, webhook_id: str) -> tuple[WebhookRecord, bytes] | None:
    """Counts the attempt before it is made; should the process die in it, another follows."""
    tx.clear_wake(moves.webhook_wake(webhook_id))
    hook = tx.get(WebhookRecord, webhook_id)
    task = tx.get(TaskRecord, hook.task_id) if hook else None
    if hook is None:
        return None
    if task is None:  # deleted meanwhile
        tx.delete(hook)
        return None
    tx.wake(moves.webhook_wake(hook.id), at=later(tx.now, TIMEOUT_SECONDS + pause_after(hook.attempts + 1)))
    attempted: WebhookRecord = tx.update(hook.but(attempts=hook.attempts + 1))
    return attempted, to_json(dto.webhook(task), inf_nan_mode="null")


def _finish(tx: Writing, hook: WebhookRecord, failure: str | None) -> None:
    current = tx.get(WebhookRecord, hook.id)
    if current is None or current.version != hook.version:
        return  # delivered by another process, or its task was deleted
    tx.clear_wake(moves.webhook_wake(hook.id))
    if failure is None:
        tx.delete(current)
    elif current.attempts >= MAX_ATTEMPTS:
        logger.warning("webhook of task %s: given up after %d attempts: %s", hook.task_id, hook.attempts, failure)
        tx.delete(current)
    else:
        changes: dict[str, Any] = {"last_error": failure[:LONGEST_ERROR]}
        tx.update(current.but(**changes))
        tx.wake(moves.webhook_wake(hook.id), at=later(tx.now, pause_after(current.attempts)))
