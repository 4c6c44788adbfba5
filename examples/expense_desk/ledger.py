"""Which document is how far: the chat that works on it, and in the end what came of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from examples.expense_desk.documents import Document
from examples.expense_desk.expense import Expense

SCHEMA = """
    CREATE TABLE IF NOT EXISTS entry (document TEXT PRIMARY KEY, chat_id TEXT, outcome TEXT) STRICT
"""
Word = Literal["booked", "rejected", "not booked", "no expense", "empty", "unreadable", "duplicate", "failed"]


class Outcome(BaseModel):
    """What came of a document. `expense` is what the agent read; `booking` and the rest are what the books say."""

    document: str
    outcome: Word
    detail: str = ""
    expense: Expense | None = None
    booking: int | None = None
    booked: str | None = None
    cost_centre: str | None = None
    chat_id: str | None = None


class Ledger:
    """A table beside the books. A document without an outcome is unfinished; one that failed is, too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as db:
            db.execute(SCHEMA)

    def chat_of(self, document: Document) -> str | None:
        """The chat that was begun for the document, if there is one."""
        row = self._row(document)
        return row[0] if row else None

    def outcome_of(self, document: Document) -> Outcome | None:
        """What came of it, if it is finished."""
        row = self._row(document)
        return Outcome.model_validate_json(row[1]) if row and row[1] else None

    def began(self, document: Document, chat_id: str) -> None:
        """Notes the chat. Called before any tool runs, so a chat that nobody noted has done nothing."""
        with self._open() as db:
            db.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, NULL)", (document.digest, chat_id))

    def finished(self, document: Document, outcome: Outcome) -> None:
        """Notes what came of it; what failed is forgotten, so that the next start tries again."""
        row = (document.digest, outcome.chat_id, outcome.model_dump_json())
        with self._open() as db:
            if outcome.outcome == "failed":
                db.execute("DELETE FROM entry WHERE document = ?", row[:1])
            else:
                db.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, ?)", row)

    def _row(self, document: Document) -> Any:
        with self._open() as db:
            return db.execute("SELECT chat_id, outcome FROM entry WHERE document = ?", (document.digest,)).fetchone()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=10)) as db, db:
            yield db
