"""The log of a task in the store: a few large pieces, the newest of them, and a line that says what was dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from agentkit.runtime.ids import new_id
from agentkit.runtime.ports import Reading, Writing
from agentkit.runtime.records import TaskLogRecord
from agentkit.wire import TaskLogType

__all__ = ["KEPT_BYTES", "Kept", "Piece", "append", "drop", "size_of", "tail"]

KEPT_BYTES: Final = 1 << 20  # of one task
PIECE_BYTES: Final = 64 << 10  # a piece grows to this before another one begins

Piece: TypeAlias = tuple[TaskLogType, str]


@dataclass(slots=True)
class Kept:
    """How much of a log is in the store, and how much was dropped, in bytes."""

    size: int = 0
    dropped: int = 0


def size_of(text: str) -> int:
    """The bytes of a text as it is kept."""
    return len(text.encode("utf-8", "replace"))


def append(tx: Writing, task_id: str, pieces: Sequence[Piece], *, kept: Kept | None, dropped: int = 0) -> Kept:
    """Adds to the task's log; returns what is kept of it now.

    `kept` is what the last call returned, None to count anew; `dropped` is what was lost before it came here.
    """
    now = _count(tx, task_id) if kept is None else Kept(kept.size, kept.dropped)
    now.dropped += dropped
    found = tx.find(TaskLogRecord, task_id=task_id, descending=True, limit=1)
    last = found[0] if found else None
    for kind, text in _joined(pieces):
        if last is not None and last.log_type is kind and size_of(last.text) + size_of(text) <= PIECE_BYTES:
            last = tx.update(last.but(text=last.text + text))
        else:
            last = tx.insert(TaskLogRecord(id=new_id(), task_id=task_id, log_type=kind, text=text))
        now.size += size_of(text)
    return _pruned(tx, task_id, now) if now.size > KEPT_BYTES or dropped else now


def tail(tx: Reading, task_id: str, *, lines: int, chars: int) -> str:
    """The last lines of the log that have something in them, no more than so many characters."""
    newest = tx.find(TaskLogRecord, task_id=task_id, descending=True, limit=2)
    printed = [line.rstrip() for each in reversed(newest) for line in each.text.splitlines() if line.strip()]
    return "\n".join(printed[-lines:])[-chars:]


def drop(tx: Writing, task_id: str) -> None:
    """Removes the whole log."""
    for record in tx.find(TaskLogRecord, task_id=task_id):
        tx.delete(record)


def _count(tx: Reading, task_id: str) -> Kept:
    return Kept(sum(size_of(each.text) for each in tx.find(TaskLogRecord, task_id=task_id)))


def _joined(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """The pieces, neighbours of one phase made one as long as they are small."""
    held: list[str] = []
    size, kind = 0, TaskLogType.TASK
    for each, text in pieces:
        if held and (each is not kind or size + size_of(text) > PIECE_BYTES):
            yield kind, "".join(held)
            held, size = [], 0
        kind = each
        held.append(text)
        size += size_of(text)
    if held:
        yield kind, "".join(held)


def _pruned(tx: Writing, task_id: str, now: Kept) -> Kept:
    """Drops the oldest pieces; the oldest record stays, to say how much is gone."""
    first, *others = tx.find(TaskLogRecord, task_id=task_id)
    sizes = [size_of(each.text) for each in others]
    if first.id and not _is_notice(first):
        now.dropped += size_of(first.text)
    kept = sum(sizes)
    while others and kept > KEPT_BYTES:
        tx.delete(others.pop(0))
        gone = sizes.pop(0)
        now.dropped += gone
        kept -= gone
    notice = f"{_NOTICE}{now.dropped:,} bytes of earlier log were dropped]\n"
    tx.update(first.but(text=notice))
    return Kept(kept + size_of(notice), now.dropped)


_NOTICE: Final = "[agentkit: "


def _is_notice(record: TaskLogRecord) -> bool:
    return record.text.startswith(_NOTICE) and record.text.endswith(" bytes of earlier log were dropped]\n")
