"""What is durable of an approval at a moment, what a restart must make of it, and the moments at which one may die."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agentkit.runtime.ports import Commit, Reading
from agentkit.runtime.records import ChatRecord, InterruptRecord, InvocationRecord
from tests.trust import payments

__all__ = [
    "BEFORE",
    "DB",
    "UNKNOWN",
    "Fate",
    "State",
    "durable_in",
    "in_question",
    "ledger_of",
    "looked_up",
    "paid_in",
    "restarted",
]

UNKNOWN: Final = "unknown"  # the operation that answers what came of a call
BEFORE: Final = "before"  # the file that says how many payments there were before the operation
KINDS: Final = (InterruptRecord, InvocationRecord, ChatRecord)
LEDGER: Final = "ledger"
DB: Final = "agentkit.db"


@dataclass(frozen=True, slots=True)
class State:
    """What the rows say of the operation's question and of its call, and how often the payment was made since."""

    question: str  # pending, or how it was decided; "unasked": a client's call needs no question
    call: str  # the invocation's status
    is_claimed: bool = False  # some process carries it out, or did when it died
    is_unknown: bool = False  # a person is asked what came of it
    payments: int = 0
    is_over: bool = False  # the chat is idle

    def __str__(self) -> str:
        asked = ", outcome unknown" if self.is_unknown else ""
        times = "once" if self.payments == 1 else "not" if self.payments == 0 else f"{self.payments} times"
        return f"{self.question}, {self.call}{asked}, paid {times}"


def restarted(operation: str, durable: State) -> State:
    """What a restart must make of what was durable when the process died."""
    question, call, payments = durable.question, durable.call, durable.payments
    if operation == "expire" and question == "pending":
        return State("expired", "cancelled")
    if call != "in_progress":
        return State(question, call, is_unknown=durable.is_unknown, payments=payments)
    if durable.is_claimed:  # nobody can tell whether it was done: a person is asked
        return State(question, "awaiting_approval", is_unknown=True, payments=payments)
    return State(question, "completed", payments=payments + 1)


def looked_up(tx: Reading, name: str, *, payments: int) -> State:
    """What the rows say to the operation."""
    rows = [[each.model_dump(mode="json") for each in tx.find(kind)] for kind in KINDS]
    return _state(name, *rows, payments=payments)


def _state(
    name: str,
    questions: list[dict[str, Any]],
    calls: list[dict[str, Any]],
    chats: list[dict[str, Any]],
    *,
    payments: int,
) -> State:
    [call], [chat] = calls, chats
    first = in_question(name, questions)
    pending = [each for each in questions if each["status"] == "pending"]
    is_claimed = call["status"] == "in_progress" and call["engine_id"] is not None
    is_unknown = any(each["meta"].get("unknown_outcome") for each in pending)
    question = (first["decision"] or first["status"]) if first else "unasked"
    return State(question, call["status"], is_claimed, is_unknown, payments, is_over=chat["status"] == "idle")


def in_question(name: str, questions: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The question that the operation answers: the first one, or the first about what came of the call."""
    is_unknown = name == UNKNOWN
    return next((each for each in questions if bool(each["meta"].get("unknown_outcome")) is is_unknown), None)


def durable_in(folder: Path, name: str) -> State:
    """What another program would find in the file now."""
    with closing(sqlite3.connect(f"{(folder / DB).as_uri()}?mode=ro", uri=True)) as db:
        rows = [
            [json.loads(body) for (body,) in db.execute(f"SELECT body FROM {kind.KIND} ORDER BY created_at, id")]
            for kind in KINDS
        ]
    return _state(name, *rows, payments=paid_in(folder))


def paid_in(folder: Path) -> int:
    """How many payments were made since the operation began."""
    before = folder / BEFORE
    return len(ledger_of(folder).lines()) - (int(before.read_text()) if before.exists() else 0)


def ledger_of(folder: Path) -> payments.Ledger:
    """The ledger of a folder."""
    return payments.Ledger(folder / LEDGER)


# -- the points --------------------------------------------------------------------------------------------------------

_TABLE: Final = re.compile(r'\b(?:FROM|INTO|UPDATE|TABLE)\s+"?([a-z_]+)"?', re.IGNORECASE)


def named(statement: str) -> str:
    """A statement as verb and table."""
    verb = statement.split(None, 1)[0].upper()
    found = _TABLE.search(statement)
    return f"{verb} {found[1]}" if found and verb in ("SELECT", "INSERT", "UPDATE", "DELETE") else verb


class Fate:
    """Counts the points of one life from `begin` on, and ends the process at one of them."""

    def __init__(self, operation: str, *, at: str | None = None, look: Callable[[], State] | None = None) -> None:
        self.points: list[tuple[str, State]] = []
        self._operation = operation
        self._at = at
        self._look = look
        self._count = 0
        self._has_begun = False

    def begin(self) -> None:
        """The operation begins."""
        self._has_begun = True

    def statement(self, sql: str) -> None:
        """A statement is about to run."""
        self._point(named(sql))

    def committed(self, commit: Commit) -> None:
        """A commit is durable, and nobody knows."""
        self._point("committed")

    def _point(self, what: str) -> None:
        if not self._has_begun:
            return
        self._count += 1
        name = f"{self._operation}:{self._count:03}:{what}"
        if name == self._at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._look is not None:
            self.points.append((name, self._look()))
