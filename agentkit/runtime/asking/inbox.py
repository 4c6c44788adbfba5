"""The inbox: every question of an owner's chats, listed, looked at and watched."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import anyio

from agentkit.runtime import dto, pages
from agentkit.runtime.asking import briefing, notices
from agentkit.runtime.asking.approvers import Approver, answering
from agentkit.runtime.faults import Fault
from agentkit.runtime.hub import HEARTBEAT, HEARTBEAT_SECONDS, Frame
from agentkit.runtime.owned import owned_chat
from agentkit.runtime.ports import Bus, Reading, Store, Subscription
from agentkit.runtime.records import ChatRecord, InterruptRecord
from agentkit.runtime.service import Service
from agentkit.wire import CursorListRequest, InterruptReason, InterruptStatus, SortOrder

__all__ = ["Inbox", "Wanted"]

ALL: Final = "all"  # of the statuses
ORDERS: Final = {"oldest": "asc", "newest": "desc"}
LOOK_SECONDS: Final = 2.0  # nobody tells here what another process adds to the log
BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which questions are asked for, in which order: "" is any, `is_mine` those alone that the caller may answer."""

    status: str = InterruptStatus.PENDING
    reason: str = ""
    chat_id: str = ""
    tool: str = ""
    is_mine: bool = False
    order: str = "oldest"

    def __post_init__(self) -> None:
        _check("status", self.status, (*InterruptStatus, ALL))
        _check("reason", self.reason, ("", *InterruptReason))
        _check("order", self.order, tuple(ORDERS))

    def conditions(self, tx: Reading, owner: str) -> dict[str, Any]:
        """What the rows must equal. A chat stands for those of its sub-agents too. Raises Fault `not_found`."""
        given = {"status": "" if self.status == ALL else self.status, "reason": self.reason, "tool_name": self.tool}
        found: dict[str, Any] = {name: value for name, value in given.items() if value}
        if self.chat_id:
            found["chat_id"] = tuple(_family(tx, owned_chat(tx, self.chat_id, owner).id))
        return found


class Inbox(Service):
    """Reading what people are asked; `Approvals` answers."""

    def __init__(self, store: Store, bus: Bus) -> None:
        super().__init__(store)
        self._bus = bus

    async def page(self, owner: str, request: CursorListRequest, wanted: Wanted, *, by: Approver) -> dict[str, Any]:
        """GET /interrupts: what waits longest comes first, unless the newest is asked for."""
        ordered = request.model_copy(update={"sort": [SortOrder(field="created_at", dir=ORDERS[wanted.order])]})
        return await self._store.read(
            lambda tx: pages.page(
                tx,
                InterruptRecord,
                ordered,
                dto.interrupt,
                only=_answerable(tx, by if wanted.is_mine else None),
                owner=owner,
                **wanted.conditions(tx, owner),
            )
        )

    async def get(self, owner: str, interrupt_id: str) -> dict[str, Any]:
        """GET /interrupts/{id}, with its `context`."""

        def look(tx: Reading) -> dict[str, Any]:
            found = tx.get(InterruptRecord, interrupt_id)
            if found is None or found.owner != owner:
                raise Fault("not_found", f"interrupt {interrupt_id!r} not found")
            return {**dto.interrupt(found), "context": briefing.context(tx, found).to_wire()}

        return await self._store.read(look)

    async def watch(
        self, owner: str, *, after: int | None = None, is_mine: bool = False, by: Approver
    ) -> AsyncGenerator[Frame]:
        """GET /interrupts/stream: the pending ones and a heartbeat, then every change, without end.

        From the cursor `after` on there are only the changes; one that is too old gets what is pending. Close it with
        `aclosing`.
        """
        whose = by if is_mine else None
        log = notices.log_of(owner)
        async with self._bus.subscribe(log) as news:
            frames, cursor = await self._store.read(lambda tx: _beginning(tx, owner, after, whose))
            for frame in frames:
                yield frame
            yield HEARTBEAT
            while True:
                frames, reached = await self._store.read(partial(_changes, log=log, after=cursor, whose=whose))
                for frame in frames:
                    yield frame
                is_quiet = not frames if reached > cursor else not await self._grew(log, cursor, news)
                if is_quiet:
                    yield HEARTBEAT
                cursor = reached

    async def _grew(self, log: str, cursor: int, news: Subscription) -> bool:
        """Whether the log grew before it is time for a heartbeat, here or in another process."""
        with anyio.move_on_after(HEARTBEAT_SECONDS):
            while await news.next(LOOK_SECONDS) is None:
                if await self._store.read(lambda tx: tx.event_range(log)[1]) > cursor:
                    break
            return True
        return False


# -- parts ---------------------------------------------------------------------------------------------------------


def _check(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise Fault("invalid_request", f"{name} is {', '.join(filter(None, choices))}, not {value!r}")


def _family(tx: Reading, chat_id: str) -> list[str]:
    """The chat and those of its sub-agents, whether they work or not."""
    below = [each for child in tx.find(ChatRecord, parent_id=chat_id) for each in _family(tx, child.id)]
    return [chat_id, *below]


def _answerable(tx: Reading, by: Approver | None) -> Callable[[InterruptRecord], bool]:
    """Whether a question is this approver's to answer; None: every one counts."""
    return lambda interrupt: by is None or by.may_answer(answering(interrupt, now=tx.now))


def _beginning(tx: Reading, owner: str, after: int | None, whose: Approver | None) -> tuple[list[Frame], int]:
    """What a watcher is told first, the last frame with the cursor, and the cursor."""
    lowest, highest = tx.event_range(notices.log_of(owner))
    if after is not None and lowest - 1 <= after <= highest:
        return [], after
    waiting = tx.find(InterruptRecord, owner=owner, status=InterruptStatus.PENDING)
    frames = [_frame(dto.interrupt(each)) for each in waiting if _answerable(tx, whose)(each)]
    return ([*frames[:-1], replace(frames[-1], id=highest)] if frames else []), highest


def _changes(tx: Reading, *, log: str, after: int, whose: Approver | None) -> tuple[list[Frame], int]:
    """What came behind the cursor, a batch at most, and the cursor behind it."""
    is_shown = _answerable(tx, whose)
    events = tx.events(log, after=after, limit=BATCH)
    frames: list[Frame] = []
    for event in events:
        record = tx.get(InterruptRecord, str(event.data["interrupt"]["id"]))
        if record is None or is_shown(record):
            frames.append(_frame(notices.shown(event.data, record), id=event.seq))
    return frames, events[-1].seq if events else after


def _frame(data: Mapping[str, Any], *, id: int | None = None) -> Frame:
    return Frame("interrupts", data, id)
