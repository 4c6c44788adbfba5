"""App sessions: a worker kept over several calls, until it idled too long or somebody ends it (protocol.md 3)."""

from __future__ import annotations

import logging
from typing import Any

from agentkit.runtime import dto, moves
from agentkit.runtime.faults import Fault
from agentkit.runtime.moments import later
from agentkit.runtime.ports import Fleet, Reading, Store, Writing
from agentkit.runtime.records import SessionRecord, TaskRecord
from agentkit.runtime.service import Service
from agentkit.runtime.states import SESSION, SessionEvent, TaskEvent, after
from agentkit.wire import AppSessionStatus

__all__ = ["Sessions", "active", "close", "lose"]

logger = logging.getLogger("agentkit.sessions")

LONGEST_LIST = 1_000


class Sessions(Service):
    """Everything about sessions but their calls, which are tasks."""

    def __init__(self, store: Store, *, fleet: Fleet) -> None:
        super().__init__(store)
        self._fleet = fleet

    async def active(self, owner: str) -> list[dict[str, Any]]:
        """GET /sessions: the active ones, newest first (protocol.md 10, #25)."""

        def look(tx: Reading) -> list[dict[str, Any]]:
            found = tx.find(
                SessionRecord, owner=owner, status=AppSessionStatus.ACTIVE, descending=True, limit=LONGEST_LIST
            )
            return [dto.session(each) for each in found]

        return await self._store.read(look)

    async def get(self, owner: str, session_id: str) -> dict[str, Any]:
        """GET /sessions/{id}, whatever its status."""
        return await self._store.read(lambda tx: dto.session(owned(tx, session_id, owner=owner)))

    async def keep(self, owner: str, session_id: str) -> dict[str, Any]:
        """POST /sessions/{id}/keepalive: its idle time begins anew."""

        def change(tx: Writing) -> dict[str, Any]:
            session = active(tx, session_id, owner=owner)
            expires_at = later(tx.now, session.idle_timeout)
            tx.wake(moves.session_wake(session.id), at=expires_at)
            return dto.session(tx.update(session.but(expires_at=expires_at)))

        return await self._write(change)

    async def end(self, owner: str, session_id: str) -> None:
        """DELETE /sessions/{id}: calls that wait are cancelled, the one that runs is finished. Over: nothing to do."""

        def change(tx: Writing) -> tuple[str, list[str]]:
            session = owned(tx, session_id, owner=owner)
            if session.status is not AppSessionStatus.ACTIVE:
                return session.id, []
            close(tx, session, SessionEvent.END, reason="somebody ended it")
            waiting = [each for each in moves.open_calls(tx, session.id) if each.status in moves.WAITING]
            for task in waiting:
                moves.end(tx, task, TaskEvent.CANCEL, kind="cancelled", error="the session was ended")
            return session.id, [each.id for each in waiting]

        ended, waiting = await self._write(change)
        for task_id in waiting:
            self._fleet.cancel(task_id)
        self._fleet.release(ended)

    async def advance(self, session_id: str) -> None:
        """Ends the session if it was idle for too long; otherwise looks again when it may have been."""
        if await self._store.write(lambda tx: _expire(tx, session_id)):
            logger.debug("session %s: expired", session_id)
            self._fleet.release(session_id)


def owned(tx: Reading, session_id: str | None, *, owner: str) -> SessionRecord:
    """The owner's session of this id."""
    session = tx.get(SessionRecord, session_id or "")
    if session is None or session.owner != owner:
        raise Fault("SESSION_NOT_FOUND", f"session {session_id!r} not found", session_id=session_id)
    return session


def active(tx: Reading, session_id: str | None, *, owner: str) -> SessionRecord:
    """The owner's session, if it can still be called. Raises Fault by the codes of protocol.md 3.4."""
    session = owned(tx, session_id, owner=owner)
    if session.status is AppSessionStatus.ACTIVE:
        return session
    raise gone(session)


def gone(session: SessionRecord) -> Fault:
    """What a call to a session that is over is told."""
    if session.is_lost:
        reason = session.end_reason or "its worker died"
        return Fault("WORKER_LOST", f"session {session.id!r} is lost: {reason}; begin a new one", session_id=session.id)
    if session.status is AppSessionStatus.EXPIRED:
        text = f"session {session.id!r} expired after {session.idle_timeout} s without a call; begin a new one"
        return Fault("SESSION_EXPIRED", text, session_id=session.id)
    return Fault("SESSION_ENDED", f"session {session.id!r} was ended; begin a new one", session_id=session.id)


def close(tx: Writing, session: SessionRecord, event: SessionEvent, *, reason: str) -> SessionRecord:
    """The session is over, for whatever reason; its calls are the caller's to end."""
    tx.clear_wake(moves.session_wake(session.id))
    status, is_lost = after(SESSION, session.status, event), event is SessionEvent.LOSE
    closed: SessionRecord = session.but(status=status, ended_at=tx.now, end_reason=reason, is_lost=is_lost)
    return tx.update(closed)


def lose(tx: Writing, session: SessionRecord, *, reason: str) -> list[TaskRecord]:
    """The session's worker is gone, and what it had in memory with it: calls that wait fail; returns them."""
    close(tx, session, SessionEvent.LOSE, reason=reason)
    waiting = [each for each in moves.open_calls(tx, session.id) if each.status in moves.WAITING]
    error = f"the session's worker is gone: {reason}"
    return [moves.end(tx, each, TaskEvent.FAIL, kind="lost", error=error) for each in waiting]


def _expire(tx: Writing, session_id: str) -> bool:
    tx.clear_wake(moves.session_wake(session_id))
    session = tx.get(SessionRecord, session_id)
    if session is None or session.status is not AppSessionStatus.ACTIVE or moves.open_calls(tx, session_id):
        return False  # the end of its last call sets the clock again
    if tx.now < session.expires_at:
        tx.wake(moves.session_wake(session_id), at=session.expires_at)
        return False
    close(tx, session, SessionEvent.EXPIRE, reason=f"idle for {session.idle_timeout} s")
    return True
