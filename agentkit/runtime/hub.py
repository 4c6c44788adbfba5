"""What a watcher of a chat sees: the log from a cursor, or a snapshot and then the log, with live frames between.

Every stored event carries its `seq` as the frame's `id`, so a watcher that comes back with the last id it saw misses
nothing and sees nothing twice. Live frames (token deltas, growing messages) have no id.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agentkit.runtime import dto, lineage
from agentkit.runtime.ports import Bus, Live, Reading, Store, StoredEvent, Subscription
from agentkit.runtime.records import ChatRecord, InvocationRecord, MessageRecord
from agentkit.wire import ChatMessageRole, ChatMessageStatus, ChatStatus, ToolInvocationStatus

__all__ = ["Frame", "Hub"]

HEARTBEAT_SECONDS = 10.0  # protocol.md 1.8
GRACE_SECONDS = 0.5  # protocol.md 7.2 rule 2: an idle snapshot waits this long for a new run
BATCH = 500
_IDLE = (ChatStatus.IDLE, ChatStatus.COMPLETED)
ENDED = "ended"  # never sent: it ends a watch


@dataclass(frozen=True, slots=True)
class Frame:
    """One thing to send. `name` None: a heartbeat. `id`: the cursor to come back with."""

    name: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    id: int | None = None


HEARTBEAT = Frame()


@dataclass
class _Watch:
    """What one watcher has been sent."""

    chat_id: str
    cursor: int = 0
    closed: set[str] = field(default_factory=set[str])  # messages sent as terminal: later live frames are stale

    def stored(self, event: StoredEvent) -> Frame:
        """The frame of a log entry; remembers it."""
        self.cursor = event.seq
        return self.seen(Frame(event.name, event.data, event.seq))

    def seen(self, frame: Frame) -> Frame:
        """A frame that is sent; remembers whether it closes its message."""
        name, data = _inside(frame)
        if name == "chat_messages" and data.get("status") != ChatMessageStatus.PENDING:
            self.closed.add(data["id"])
        return frame

    def is_stale(self, frame: Live) -> bool:
        """Whether a live frame is about a message that is already whole."""
        _, data = _inside(frame)
        return (data.get("resource_id") or data.get("id")) in self.closed


class Hub:
    """Streams of chats."""

    def __init__(self, store: Store, bus: Bus, *, draft: Callable[[str], dict[str, Any] | None]) -> None:
        self._store = store
        self._bus = bus
        self._draft = draft
        self._read_idle: dict[str, str | None] = {}  # chat id -> the run whose idle status was read once

    async def watch(self, chat_id: str, *, after: int | None = None) -> AsyncGenerator[Frame]:
        """Everything that happens in the chat, without end; a heartbeat at once and whenever it is quiet.

        Close it with `aclosing`: trio does not like a generator that is dropped.
        """
        watch = _Watch(chat_id)
        async with self._bus.subscribe(chat_id) as news:
            frames, watch.cursor = await self._store.read(lambda tx: _beginning(tx, chat_id, after))
            yield HEARTBEAT
            for frame in await self._start(watch, news) if frames is None else self._drafted(watch, frames):
                yield frame
            lives: list[Live] | None = []
            while True:
                while frames := await self._log(watch):  # before live frames, which may belong to a later message
                    for frame in frames:
                        yield frame
                for live in lives or ():
                    if live.name == ENDED:
                        return
                    if not watch.is_stale(live):
                        yield Frame(live.name, live.data)
                lives = await news.next(HEARTBEAT_SECONDS)
                if lives is None:
                    if await self._store.read(lambda tx: tx.get(ChatRecord, chat_id)) is None:
                        return  # deleted where nobody here was told: in another process, or before we listened
                    yield HEARTBEAT

    async def status(self, chat_id: str) -> tuple[str, str] | None:
        """The chat's status for pollers, and when it changed (protocol.md 7.2 rules 7 and 13); None: no such chat."""
        found = await self._store.read(lambda tx: _polled(tx, chat_id))
        if found is None:
            return None
        status, updated_at, run_id = found
        if status != ChatStatus.IDLE or self._read_idle.get(chat_id, "") != run_id:
            if status == ChatStatus.IDLE:
                self._remember_idle(chat_id, run_id)
            return status, updated_at
        async with self._bus.subscribe(chat_id) as news:  # idle was told already: a new run may be about to start
            await _growth(news, GRACE_SECONDS)
        again = await self._store.read(lambda tx: _polled(tx, chat_id))
        return (again[0], again[1]) if again else None

    def draft(self, chat_id: str) -> dict[str, Any] | None:
        """The chat's message that the model is writing right now, as far as it is."""
        return self._draft(chat_id)

    def end(self, chat_id: str) -> None:
        """The chat is gone: its watchers come to their end."""
        self._bus.live(chat_id, Live(ENDED, {}))

    def _remember_idle(self, chat_id: str, run_id: str | None) -> None:
        self._read_idle[chat_id] = run_id
        if len(self._read_idle) > 10_000:
            self._read_idle.pop(next(iter(self._read_idle)))

    # -- parts -----------------------------------------------------------------------------------------------------

    async def _start(self, watch: _Watch, news: Subscription) -> list[Frame]:
        """What a watcher of an idle chat is told first: nothing where a run begins within the grace.

        The log then tells it from its first event, and its end too where it was quick: who listens before it sends
        must see the chat busy before it sees it idle.
        """
        deadline = time.monotonic() + GRACE_SECONDS
        while not await self._store.read(lambda tx: _has_begun(tx, watch)):
            if not await _growth(news, deadline - time.monotonic()):
                break
        frames, watch.cursor = await self._store.read(
            lambda tx: (list[Frame](), watch.cursor) if _has_begun(tx, watch) else _snapshot(tx, watch.chat_id)
        )
        return self._drafted(watch, frames)

    def _drafted(self, watch: _Watch, frames: list[Frame]) -> list[Frame]:
        """The frames with what the model is writing right now, as far as it is."""
        return [watch.seen(self._written(watch.chat_id, frame)) for frame in frames]

    def _written(self, chat_id: str, frame: Frame) -> Frame:
        """The frame of a message that a model is writing right now, as far as it is."""
        if frame.name != lineage.CHILD:
            return replace(frame, data=_drafted(frame.name, frame.data, self._draft(chat_id)))
        told = _drafted(frame.data["event"], frame.data["data"], self._draft(frame.data["chat_id"]))
        return replace(frame, data={**frame.data, "data": told})

    async def _log(self, watch: _Watch) -> list[Frame]:
        """The next entries of the log, a batch at most."""
        events = await self._store.read(lambda tx: tx.events(watch.chat_id, after=watch.cursor, limit=BATCH))
        return [watch.stored(event) for event in events]


async def _growth(news: Subscription, seconds: float) -> bool:
    """Whether the log grew within the time; live frames do not count."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        frames = await news.next(left)
        if frames is None:
            return False
        if not frames:
            return True
        if any(frame.name == ENDED for frame in frames):
            return False
    return False


def _inside(frame: Frame | Live) -> tuple[str | None, Mapping[str, Any]]:
    """What is told, in this chat or in one below it."""
    return (frame.data["event"], frame.data["data"]) if frame.name == lineage.CHILD else (frame.name, frame.data)


def _drafted(name: str | None, data: Mapping[str, Any], draft: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The message as the model is writing it right now, where that is the one."""
    if draft is None or name != "chat_messages" or data.get("id") != draft["id"]:
        return data
    return draft if data["status"] == ChatMessageStatus.PENDING else data


def _beginning(tx: Reading, chat_id: str, after: int | None) -> tuple[list[Frame] | None, int]:
    """What a watcher is told first, and the cursor behind it; None: the chat is idle, and a run may be about to begin.

    Read at once: between two reads a quick run could begin and end unseen.
    """
    lowest, highest = tx.event_range(chat_id)
    if after is not None and lowest - 1 <= after <= highest:
        return [], after
    chat = tx.get(ChatRecord, chat_id)
    if chat is not None and chat.status in _IDLE:
        return None, highest
    return _snapshot(tx, chat_id)


def _has_begun(tx: Reading, watch: _Watch) -> bool:
    """Whether the chat changed behind the watcher's cursor: a run begins with that."""
    return any(event.name == "chats" for event in tx.events(watch.chat_id, after=watch.cursor, limit=BATCH))


def _snapshot(tx: Reading, chat_id: str) -> tuple[list[Frame], int]:
    """The last run's assistant messages and the chat, in the order the protocol wants; the last one carries the cursor.

    Never a user's message: a reader that ends at the first ready message would end at the user's own text
    (protocol.md 7.2 rule 2).
    """
    chat = tx.get(ChatRecord, chat_id)
    if chat is None:
        return [], 0
    frames = _as_it_is(tx, chat)
    for each in lineage.below(tx, chat_id):
        for frame in _as_it_is(tx, each.chat):
            told = lineage.framed(each, each.chat.id, str(frame.name), frame.data)
            frames.append(Frame(lineage.CHILD, told))
    cursor = tx.event_range(chat_id)[1]
    return [*frames[:-1], replace(frames[-1], id=cursor)], cursor


def _as_it_is(tx: Reading, chat: ChatRecord) -> list[Frame]:
    """The chat, then its last run's assistant messages; the messages first where it is idle."""
    answers = tx.find(MessageRecord, run_id=chat.run_id, order_by="order") if chat.run_id else []
    frames = [
        Frame("chat_messages", dto.message(tx, each, cut_results=True))
        for each in answers
        if each.role is ChatMessageRole.ASSISTANT
    ]
    at = len(frames) if chat.status in _IDLE else 0
    frames.insert(at, Frame("chats", dto.chat(tx, chat)))
    return frames


def _polled(tx: Reading, chat_id: str) -> tuple[str, str, str | None] | None:
    """A chat that only waits for a client's tool says awaiting_input here and busy elsewhere (rule 7).

    A sub-agent's client tools count: the chat's own client runs them.
    """
    chat = tx.get(ChatRecord, chat_id)
    if chat is None:
        return None
    family = [chat.id, *(each.chat.id for each in lineage.below(tx, chat.id))] if chat.status is ChatStatus.BUSY else []
    waits = any(_waits_for_client(tx, each) for each in family)
    return (ChatStatus.AWAITING_INPUT if waits else chat.status), chat.updated_at, chat.run_id


def _waits_for_client(tx: Reading, chat_id: str) -> bool:
    return bool(tx.find(InvocationRecord, chat_id=chat_id, status=ToolInvocationStatus.AWAITING_INPUT, limit=1))
