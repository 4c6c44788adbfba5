"""`Idempotency-Key`: a POST that is sent again gets the first answer and has no second effect.

The answer is recorded in the transaction of the effect, so a crash leaves both or neither, and of two that come at
once the later one finds the record of the earlier. A request that failed is not recorded: it may be tried again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from agentkit.runtime.faults import Fault
from agentkit.runtime.ports import Reading, Writing
from agentkit.runtime.records import IdempotencyRecord

__all__ = ["KEPT", "Once"]

KEPT: Final = timedelta(hours=24)
LONGEST_KEY: Final = 255
PRUNED_AT_ONCE: Final = 20


@dataclass(slots=True)
class Once:
    """One request under its key. `is_replay` is known after `apply` or `recall`: the answer is an earlier one's."""

    id: str
    request_hash: str
    is_replay: bool = False

    @classmethod
    def of(cls, key: str, *, owner: str, path: str, body: Any) -> Once:
        """The request with this key to this path. Raises Fault for what is no key."""
        if not 0 < len(key) <= LONGEST_KEY or not key.isprintable():
            raise Fault("invalid_request", f"Idempotency-Key: 1 to {LONGEST_KEY} printable characters, not {len(key)}")
        return cls(_hash([owner, path, key]), _hash(body))

    def recall(self, tx: Reading) -> Any:
        """The recorded answer, or None. Raises Fault where the key was used for another request."""
        record = tx.get(IdempotencyRecord, self.id)
        if record is None or _is_expired(record, tx.now):
            return None
        if record.request_hash != self.request_hash:
            raise Fault("idempotency_conflict", "this Idempotency-Key was used for another body; take a new key")
        self.is_replay = True
        return record.body

    def apply(self, tx: Writing, change: Callable[[Writing], Any]) -> Any:
        """The recorded answer; without one, the answer of `change`, recorded beside its effect."""
        self.is_replay = False  # a transaction that lost a race runs this again
        answer = self.recall(tx)
        if self.is_replay:
            return answer
        answer = change(tx)
        _prune(tx, self.id)
        tx.insert(IdempotencyRecord(id=self.id, request_hash=self.request_hash, status=200, body=answer))
        return answer


def _prune(tx: Writing, id: str) -> None:
    """Drops what is too old: some of the oldest records, and in any case the one of this id."""
    oldest = {record.id: record for record in tx.find(IdempotencyRecord, limit=PRUNED_AT_ONCE)}
    if (same := tx.get(IdempotencyRecord, id)) is not None:
        oldest[id] = same
    for record in oldest.values():
        if _is_expired(record, tx.now):
            tx.delete(record)


def _is_expired(record: IdempotencyRecord, now: str) -> bool:
    return datetime.fromisoformat(record.created_at) + KEPT <= datetime.fromisoformat(now)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
