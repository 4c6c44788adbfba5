"""Who is signed in to the console: an API key, exchanged for a random token of which only the SHA-256 is kept.

A session ends twelve hours after it was last used, a week after it began, at the sign-out, or with its key.
"""

from __future__ import annotations

from typing import Final

from agentkit.runtime.credentials.apikeys import counts, find_key
from agentkit.runtime.faults import Fault
from agentkit.runtime.ids import hashed, new_secret
from agentkit.runtime.moments import later
from agentkit.runtime.ports import Reading, Writing
from agentkit.runtime.records import ConsoleSessionRecord, KeyRecord
from agentkit.runtime.service import Service

__all__ = ["LONGEST_SECONDS", "ConsoleSessions"]

IDLE_SECONDS: Final = 12 * 3600
LONGEST_SECONDS: Final = 7 * 24 * 3600
RENEW_SECONDS: Final = 300  # not every request is worth a write
SWEPT: Final = 100  # sessions that are over, at most, removed by a sign-in


class ConsoleSessions(Service):
    """The sessions of browsers."""

    async def begin(self, key: str, *, replaces: str | None = None) -> tuple[str, KeyRecord]:
        """A new token for who has this key; the session of the token it `replaces` is over.

        Raises Fault `unauthorized`.
        """
        token = new_secret()

        def change(tx: Writing) -> KeyRecord:
            found = find_key(tx, key)
            if found is None:
                raise Fault("unauthorized", "this API key is unknown here, expired, or revoked")
            _end(tx, replaces)
            _sweep(tx)
            tx.insert(
                ConsoleSessionRecord(
                    id=hashed(token), key_id=found.id,
                    expires_at=later(tx.now, IDLE_SECONDS), ends_at=later(tx.now, LONGEST_SECONDS),
                )
            )  # fmt: skip
            return found

        return token, await self._write(change)

    async def key_of(self, token: str, *, is_use: bool = True) -> KeyRecord | None:
        """The key behind a token; None where the session is over, or the key counts no more. A use prolongs it."""
        id = hashed(token)

        def look(tx: Reading) -> tuple[KeyRecord | None, bool]:
            session = tx.get(ConsoleSessionRecord, id)
            if session is None or tx.now >= session.expires_at:
                return None, False
            key = tx.get(KeyRecord, session.key_id)
            return (key, _is_stale(session, tx.now)) if key and counts(key, tx.now) else (None, False)

        key, is_stale = await self._store.read(look)
        if is_stale and is_use:
            await self._write(lambda tx: _renew(tx, id))
        return key

    async def end(self, token: str) -> None:
        """Signs out; a session that is over already is no error."""
        await self._write(lambda tx: _end(tx, token))


# -- parts ---------------------------------------------------------------------------------------------------------


def _is_stale(session: ConsoleSessionRecord, now: str) -> bool:
    return _until(session, now) > later(session.expires_at, RENEW_SECONDS)


def _until(session: ConsoleSessionRecord, now: str) -> str:
    return min(later(now, IDLE_SECONDS), session.ends_at)


def _renew(tx: Writing, id: str) -> None:
    session = tx.get(ConsoleSessionRecord, id)
    if session is not None:
        tx.update(session.but(expires_at=_until(session, tx.now)))


def _end(tx: Writing, token: str | None) -> None:
    session = tx.get(ConsoleSessionRecord, hashed(token)) if token else None
    if session is not None:
        tx.delete(session)


def _sweep(tx: Writing) -> None:
    for session in tx.find(ConsoleSessionRecord, order_by="expires_at", limit=SWEPT):
        if session.expires_at <= tx.now:
            tx.delete(session)
