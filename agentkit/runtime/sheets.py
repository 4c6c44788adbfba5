"""What a running task printed and made, until it is saved: output and logs come faster than a database should write."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import anyio

from agentkit.runtime.tasklogs import KEPT_BYTES, Kept, Piece, size_of
from agentkit.wire import TaskLogType

__all__ = ["Draft", "Sheet", "Unsaved"]

LONGEST_PIECE: Final = 32 << 10  # bytes; a longer text is split, so that pieces stay pieces


@dataclass(frozen=True, slots=True)
class Draft:
    """The newest output of a running task: the how manieth of which attempt."""

    attempt: int
    number: int
    output: Any


@dataclass(frozen=True, slots=True)
class Unsaved:
    """What was taken from a sheet to be saved."""

    draft: Draft | None
    pieces: tuple[Piece, ...]
    dropped: int  # bytes of log

    def __bool__(self) -> bool:
        return self.draft is not None or bool(self.pieces)


class Sheet:
    """One running task's. Its `lock` is held from `take` to the end of the save, so that pieces keep their order.

    `is_for_call`: a tool call waits for the task's end.
    """

    def __init__(self, task_id: str, *, attempt: int = 0, is_for_call: bool = False) -> None:
        self.task_id = task_id
        self.attempt = attempt
        self.is_for_call = is_for_call
        self.lock = anyio.Lock()
        self.kept: Kept | None = None  # what the store has, once something was saved
        self.draft: Draft | None = None
        self._saved = 0  # the number of the newest draft that is saved
        self._pieces: deque[Piece] = deque()
        self._size = 0
        self._dropped = 0

    def produce(self, output: Any) -> Draft:
        """Remembers the output so far; it replaces the one before."""
        number = self.draft.number + 1 if self.draft else 1
        self.draft = Draft(self.attempt, number, output)
        return self.draft

    def log(self, kind: TaskLogType, text: str) -> None:
        """Remembers a text; of more than the log may hold the oldest goes."""
        text = text.encode("utf-8", "replace").decode()  # half a surrogate pair cannot be stored
        for start in range(0, len(text), LONGEST_PIECE // 4):
            self._add((kind, text[start : start + LONGEST_PIECE // 4]))

    def take(self) -> Unsaved:
        """What is not saved yet; it counts as saved from now on."""
        draft = self.draft if self.draft and self.draft.number > self._saved else None
        taken = Unsaved(draft, tuple(self._pieces), self._dropped)
        if draft:
            self._saved = draft.number
        self._pieces.clear()
        self._size = self._dropped = 0
        return taken

    def put_back(self, taken: Unsaved) -> None:
        """It could not be saved after all."""
        if taken.draft:
            self._saved = min(self._saved, taken.draft.number - 1)
        self._dropped += taken.dropped
        newer = list(self._pieces)
        self._pieces.clear()
        self._size = 0
        for piece in [*taken.pieces, *newer]:
            self._add(piece)

    def _add(self, piece: Piece) -> None:
        self._pieces.append(piece)
        self._size += size_of(piece[1])
        while self._size > KEPT_BYTES and len(self._pieces) > 1:
            gone = size_of(self._pieces.popleft()[1])
            self._size -= gone
            self._dropped += gone
