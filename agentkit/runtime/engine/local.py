"""Wake-ups inside one process: what is recorded in the store is re-read at boot, so nothing here need be durable."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any

import anyio
from anyio.abc import TaskGroup

from agentkit.errors import UsageError
from agentkit.runtime.ports import Wake

__all__ = ["LocalEngine"]

logger = logging.getLogger("agentkit.engine")

FIRST_RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 60.0
LONGEST_NAP_SECONDS = 30.0  # a clock that is set forward is noticed after this long

Advance = Callable[[str], Awaitable[None]]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class LocalEngine:
    """Delivers wake-ups on this event loop (port Engine): at least once, one advance of a chat at a time.

    A wake-up during an advance leads to exactly one more, however many there were. An advance that raises is logged
    and tried again after 0.5 s, 1 s, 2 s ... 60 s; a wake-up from outside tries it at once. All methods belong to the
    event loop; wake-ups that come before `run` is entered, or whose advance was cut off by leaving it, wait for the
    next `run`.

    `max_concurrent` bounds how many chats advance at a time; the others wait in the order they were woken in.
    `clock` tells when a delayed wake-up is due and `sleep` waits for it: a test passes both.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime] = _utc_now,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        max_concurrent: int | None = None,
    ) -> None:
        if max_concurrent is not None and max_concurrent < 1:
            raise UsageError(f"max_concurrent={max_concurrent!r}: it is at least 1, or None for no bound")
        self._clock = clock
        self._sleep = sleep
        self._max_concurrent = max_concurrent
        self._ready: dict[str, None] = {}  # chats to advance, in the order they were woken in
        self._later: dict[str, datetime] = {}  # chats to wake at a time
        self._running: dict[str, anyio.CancelScope] = {}
        self._again: set[str] = set()  # woken while they were running
        self._failures: dict[str, int] = {}  # advances that raised, in a row
        self._news: anyio.Event | None = None  # set when the pump should look again
        self._is_entered = False

    def run(self, advance: Advance) -> AbstractAsyncContextManager[None]:
        """While entered, calls `advance(chat_id)` for every wake-up; leaving cancels what runs and waits for its end.

        An exception of the body is raised as it is.
        """
        return _Run(partial(self._pump, advance), enter=self._enter, leave=self._leave)

    def wake(self, wake: Wake) -> None:
        """Hints that the chat should be advanced, now or at its time; the earlier of two times stays."""
        due = _due(wake)
        if due is None or due <= self._clock():
            self._wake_now(wake.chat_id)
        else:
            self._wake_later(wake.chat_id, due)
        self._look_again()

    def cancel(self, chat_id: str) -> None:
        """Cancels the advance that is under way for the chat, if any.

        It is not repeated, unless the chat was woken since it began or is woken again.
        """
        if chat_id in self._running:
            self._running[chat_id].cancel()

    # -- who is next -----------------------------------------------------------------------------------------------

    def _wake_now(self, chat_id: str) -> None:
        if chat_id in self._running:
            self._again.add(chat_id)
        else:
            self._ready[chat_id] = None

    def _wake_later(self, chat_id: str, due: datetime) -> None:
        self._later[chat_id] = min(due, self._later.get(chat_id, due))

    def _look_again(self) -> None:
        if self._news is not None:
            self._news.set()

    def _take_due(self) -> None:
        now = self._clock()
        for chat_id in [chat_id for chat_id, due in self._later.items() if due <= now]:
            del self._later[chat_id]
            self._wake_now(chat_id)

    def _take_ready(self) -> str | None:
        is_full = self._max_concurrent is not None and len(self._running) >= self._max_concurrent
        if is_full or not self._ready:
            return None
        chat_id = next(iter(self._ready))
        del self._ready[chat_id]
        return chat_id

    # -- the tasks -------------------------------------------------------------------------------------------------

    async def _pump(self, advance: Advance, group: TaskGroup) -> None:
        """Starts every advance that is due; the only task that does."""
        while True:
            self._news = anyio.Event()
            self._take_due()
            while (chat_id := self._take_ready()) is not None:
                # Registered before it starts: it can be cancelled, and is not started twice.
                self._running[chat_id] = anyio.CancelScope()
                group.start_soon(self._advance, advance, chat_id, name=f"advance {chat_id}")
            await self._rest(self._news)

    async def _rest(self, news: anyio.Event) -> None:
        """Waits for news, or until the next delayed wake-up may be due."""
        if not self._later:
            await news.wait()
            return
        seconds = (min(self._later.values()) - self._clock()).total_seconds()
        async with anyio.create_task_group() as group:
            group.start_soon(self._nap, seconds, news)
            await news.wait()
            group.cancel_scope.cancel()

    async def _nap(self, seconds: float, news: anyio.Event) -> None:
        await self._sleep(min(max(seconds, 0.0), LONGEST_NAP_SECONDS))
        news.set()

    async def _advance(self, advance: Advance, chat_id: str) -> None:
        scope = self._running[chat_id]
        is_over = False  # stays False where leaving `run` cuts the advance off
        try:
            with scope:
                await advance(chat_id)
            is_over = True
            self._failures.pop(chat_id, None)
        except Exception:
            is_over = True
            self._failed(chat_id, is_cancelled=scope.cancel_called)
        finally:
            del self._running[chat_id]
            if chat_id in self._again or not is_over:
                self._again.discard(chat_id)
                self._ready[chat_id] = None
            self._look_again()

    def _failed(self, chat_id: str, *, is_cancelled: bool) -> None:
        if is_cancelled:
            logger.exception("chat %s: the advance failed while it was being cancelled", chat_id)
            return
        failures = self._failures[chat_id] = self._failures.get(chat_id, 0) + 1
        seconds = min(FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 32), LONGEST_RETRY_SECONDS)
        logger.exception("chat %s: the advance failed (%d in a row); next try in %g s", chat_id, failures, seconds)
        self._wake_later(chat_id, self._clock() + timedelta(seconds=seconds))
        # The retry answers the wake-ups so far too: an advance that commits, wakes itself and fails must not spin.
        self._again.discard(chat_id)

    # -- entering and leaving --------------------------------------------------------------------------------------

    def _enter(self) -> None:
        if self._is_entered:
            raise UsageError("this engine runs already; a second advance needs an engine of its own")
        self._is_entered = True

    def _leave(self) -> None:
        self._is_entered = False
        self._news = None


class _Run:
    """A task group whose leaving cancels it, and which raises the body's exception bare instead of in a group."""

    def __init__(
        self,
        pump: Callable[[TaskGroup], Coroutine[Any, Any, None]],
        *,
        enter: Callable[[], None],
        leave: Callable[[], None],
    ) -> None:
        self._pump = pump
        self._enter = enter
        self._leave = leave
        self._group = anyio.create_task_group()

    async def __aenter__(self) -> None:
        self._enter()
        try:
            await self._group.__aenter__()
        except BaseException:
            self._leave()
            raise
        self._group.start_soon(self._pump, self._group, name="engine")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._group.cancel_scope.cancel()
        try:
            await self._group.__aexit__(None, None, None)
        finally:
            self._leave()


def _due(wake: Wake) -> datetime | None:
    """When the wake-up is due; None is now, and so is what is no time: an advance too many does no harm."""
    if wake.at is None:
        return None
    try:
        due = datetime.fromisoformat(wake.at)
    except ValueError:
        logger.warning("chat %s: %r is no RFC 3339 time, so it is woken now", wake.chat_id, wake.at)
        return None
    return due if due.tzinfo else due.replace(tzinfo=UTC)
