"""Webhooks: the end of a task POSTed to who asked for it (protocol.md 2.7), and what people are asked to who is told.

At least once. What is to be delivered is a row and a wake-up, so it outlives the process; neither a task nor a chat
waits for it. What happened to one question is told in order: a later delivery waits until the one before it was taken,
or given up.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlsplit
from weakref import WeakValueDictionary

import anyio
import httpx
from pydantic_core import to_json

from agentkit import __version__
from agentkit.protocol.signing import SIGNATURE, signature
from agentkit.runtime import dto
from agentkit.runtime.asking import notices
from agentkit.runtime.moments import later
from agentkit.runtime.ports import Reading, Store, Writing
from agentkit.runtime.records import InterruptRecord, NoticeTargetRecord, TaskRecord, WebhookRecord
from agentkit.runtime.service import Service

__all__ = ["Secret", "Webhooks", "pause_after"]

logger = logging.getLogger("agentkit.webhooks")

TIMEOUT_SECONDS: Final = 10.0  # protocol.md 2.7
MAX_ATTEMPTS: Final = 15
MOST_AT_ONCE, MOST_OF_ONE_HOST = 100, 10  # attempts under way: who does not answer does not keep others from hearing
FIRST_PAUSE_SECONDS, PAUSE_FACTOR, LONGEST_PAUSE_SECONDS = 1.0, 3.0, 3_600.0
LONGEST_ERROR: Final = 500  # characters
USER_AGENT: Final = f"agentkit/{__version__} (webhook)"
Secret: TypeAlias = Callable[[str], Awaitable[str | None]]
"""The value of a secret by its name; None where it is not set."""
HEADERS: Final = {"User-Agent": USER_AGENT, "Content-Type": "application/json", "Accept": "*/*"}


def pause_after(attempts: int) -> float:
    """The seconds between so many failed attempts and the next.

    >>> [pause_after(attempts) for attempts in (1, 2, 3, 9)]
    [1.0, 3.0, 9.0, 3600.0]
    """
    return min(FIRST_PAUSE_SECONDS * PAUSE_FACTOR ** (attempts - 1), LONGEST_PAUSE_SECONDS)


class Webhooks(Service):
    """Delivers them. `transport` replaces the network's; `secret` knows what those about questions are signed with.

    `public_url` is where people find the console that a question is linked to.
    """

    def __init__(
        self,
        store: Store,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        secret: Secret | None = None,
        public_url: str | None = None,
    ) -> None:
        super().__init__(store)
        self._transport = transport
        self._secret = secret
        self._public_url = (public_url or "").rstrip("/")
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
            attempt = await self._store.write(lambda tx: _begin(tx, webhook_id, console=self._public_url))
            if attempt is None:
                return
            failure = await self._attempt(attempt)
        hook = attempt.hook
        await self._store.write(lambda tx: _finish(tx, hook, failure))
        if failure is None:
            logger.debug("webhook %s of %s: delivered", hook.id, _subject(hook))
        else:
            logger.info("webhook %s of %s: attempt %d: %s", hook.id, _subject(hook), hook.attempts, failure)

    def _turn(self, url: str) -> anyio.Semaphore:
        """The places of the URL's host; an attempt that waits for one is not counted yet."""
        host = urlsplit(url).netloc
        turn = self._turns.get(host) or anyio.Semaphore(MOST_OF_ONE_HOST)
        self._turns[host] = turn
        return turn

    async def _attempt(self, attempt: _Attempt) -> str | None:
        """None where somebody took it, else why not."""
        hook, headers = attempt.hook, dict(HEADERS)
        if hook.interrupt_id:
            headers |= {
                "Idempotency-Key": hook.id,
                "X-Webhook-Event": hook.event,
                "X-Webhook-Attempt": str(hook.attempts),
            }
        if attempt.secret:
            try:
                value = await self._secret(attempt.secret) if self._secret else None
            except Exception as error:  # it cannot be opened: the next attempt may find it put right
                return f"the secret {attempt.secret!r} cannot be used: {error}"[:LONGEST_ERROR]
            if value is None:
                return f"the secret {attempt.secret!r} is not set"
            headers[SIGNATURE] = signature(value, attempt.body)
        return await self._deliver(hook.url, attempt.body, headers)

    async def _deliver(self, url: str, body: bytes, headers: Mapping[str, str]) -> str | None:
        """None where somebody took it, else why not. Redirects are answers like any other: not followed."""
        try:
            with anyio.fail_after(TIMEOUT_SECONDS):
                async with self._connected().stream("POST", url, content=body, headers=headers) as answer:
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


# -- parts ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What is sent now. `secret` is the name of what it is signed with, "" not at all."""

    hook: WebhookRecord
    body: bytes
    secret: str = ""


def _begin(tx: Writing, webhook_id: str, *, console: str) -> _Attempt | None:
    """Counts the attempt before it is made; should the process die in it, another follows."""
    hook = tx.get(WebhookRecord, webhook_id)
    if hook is None:
        return None
    tx.clear_wake(hook.wake_key)
    if hook.interrupt_id and (first := notices.next_of(tx, hook)) is not None and first.id != hook.id:
        return None  # its end wakes this one
    found = _notice(tx, hook, console=console) if hook.interrupt_id else _task(tx, hook)
    if found is None:  # what it is about was deleted meanwhile
        tx.delete(hook)
        return None
    body, secret = found
    tx.wake(hook.wake_key, at=later(tx.now, TIMEOUT_SECONDS + pause_after(hook.attempts + 1)))
    attempted: WebhookRecord = tx.update(hook.but(attempts=hook.attempts + 1))
    return _Attempt(attempted, to_json(body, inf_nan_mode="null"), secret)


def _task(tx: Reading, hook: WebhookRecord) -> tuple[dict[str, Any], str] | None:
    task = tx.get(TaskRecord, hook.task_id)
    return (dto.webhook(task), "") if task else None


def _notice(tx: Reading, hook: WebhookRecord, *, console: str) -> tuple[dict[str, Any], str] | None:
    """What is told of a question, and the secret's name; None where nobody wants to be told any more."""
    target = tx.get(NoticeTargetRecord, hook.target_id)
    if target is None:
        return None
    interrupt = notices.shown(hook.entry, tx.get(InterruptRecord, hook.interrupt_id))
    body = {"id": hook.id, "event": hook.event, "created_at": hook.created_at, "interrupt": interrupt}
    if console:
        body["url"] = f"{console}/console/inbox?interrupt={quote(hook.interrupt_id, safe='')}"
    return body, target.secret


def _finish(tx: Writing, hook: WebhookRecord, failure: str | None) -> None:
    current = tx.get(WebhookRecord, hook.id)
    if current is None or current.version != hook.version:
        return  # delivered by another process, or its task was deleted
    tx.clear_wake(hook.wake_key)
    if failure is None:
        _drop(tx, current)
    elif current.attempts >= MAX_ATTEMPTS:
        logger.warning("webhook of %s: given up after %d attempts: %s", _subject(hook), hook.attempts, failure)
        _drop(tx, current)
    else:
        changes: dict[str, Any] = {"last_error": failure[:LONGEST_ERROR]}
        tx.update(current.but(**changes))
        tx.wake(hook.wake_key, at=later(tx.now, pause_after(current.attempts)))


def _drop(tx: Writing, hook: WebhookRecord) -> None:
    """Nothing is left to do for it; whoever waits behind it is next."""
    tx.delete(hook)
    if hook.interrupt_id and (following := notices.next_of(tx, hook)) is not None:
        tx.wake(following.wake_key)


def _subject(hook: WebhookRecord) -> str:
    return f"interrupt {hook.interrupt_id}" if hook.interrupt_id else f"task {hook.task_id}"
