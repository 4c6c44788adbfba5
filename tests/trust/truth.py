"""What must be true of approvals, in plain Python: questions, calls and chats, and how their rows say it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from agentkit.runtime.ports import ModelRequest, Reading
from agentkit.runtime.records import ChatRecord, InterruptRecord, InvocationRecord, RunRecord
from agentkit.testing import Scripted, call
from tests.trust.payments import SCHEMA

__all__ = ["AGENT", "BOSS", "FINANCE", "KINDS", "Call", "Chat", "Question", "Rows", "script", "told"]

TIMEOUT, REMIND, ESCALATE = 100.0, 30.0, 60.0
FINANCE, BOSS = frozenset({"finance"}), frozenset({"boss"})
POLICY: Final = {
    "approvers": ["finance"],
    "timeout": TIMEOUT,
    "remind": REMIND,
    "escalate": ESCALATE,
    "escalate_to": ["boss"],
}
LAST_WORDS: Final = "done"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of tool."""

    type: str
    asks: bool
    policy: dict[str, Any] | None = None

    def tool(self, name: str) -> dict[str, Any]:
        """Its definition."""
        config = {"url": "http://127.0.0.1:9/", "input_schema": SCHEMA} if self.type == "http" else {}
        member: dict[str, Any] = config or {"input_schema": SCHEMA}
        found = {"name": name, "type": self.type, "require_approval": self.asks, self.type: member}
        found |= {"approval": self.policy} if self.policy else {}
        return {**found, "idempotent": True} if name == "wait_again" else found


KINDS: Final = {
    "pay": Kind("http", True, POLICY),  # done at once
    "wait": Kind("http", False),  # done when it is released
    "wait_again": Kind("http", False),  # the same, and may be begun again
    "wait_asked": Kind("http", True),
    "buy": Kind("client", True),
    "look": Kind("client", False),
}
AGENT: Final = {
    "core_app": {"ref": "scripted/model"},
    "tools": [kind.tool(name) for name, kind in KINDS.items()],
}


# -- what must be true -------------------------------------------------------------------------------------------------


@dataclass
class Question:
    """What a person is asked, and who answered how."""

    asked_at: datetime
    has_policy: bool
    is_unknown: bool = False
    status: str = "pending"
    decision: str | None = None
    reminders: int = 0
    is_escalated: bool = False
    remind_at: datetime | None = None
    id: str = ""

    def __post_init__(self) -> None:
        if self.has_policy:
            self.remind_at = self.asked_at + timedelta(seconds=REMIND)

    @property
    def is_pending(self) -> bool:
        return self.status == "pending"

    def close(self, decision: str | None, status: str = "resolved") -> None:
        """Answered once."""
        assert self.is_pending
        self.status, self.decision = status, decision

    def is_over(self, now: datetime) -> bool:
        return self.has_policy and now >= self.asked_at + timedelta(seconds=TIMEOUT)

    def meet(self, now: datetime) -> None:
        """What is due by now, short of the end."""
        if self.has_policy and now >= self.asked_at + timedelta(seconds=ESCALATE):
            self.is_escalated = True
        if self.remind_at is not None and now >= self.remind_at:
            self.reminders += 1
            self.remind_at = now + timedelta(seconds=REMIND)

    def may_answer(self, groups: frozenset[str]) -> bool:
        return not self.has_policy or bool(groups & FINANCE) or (self.is_escalated and bool(groups & BOSS))

    @property
    def seen(self) -> tuple[Any, ...]:
        return (self.status, self.decision, self.reminders, self.is_escalated, self.is_unknown)


@dataclass
class Call:
    """One call: what it waits for, and how often it was carried out."""

    name: str
    amount: str
    status: str = "asked"  # asked, running, out (with its client); completed, cancelled
    questions: list[Question] = field(default_factory=list[Question])
    attempt: int = 0
    made: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    result: str | None = None
    id: str = ""

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]

    @property
    def is_open(self) -> bool:
        return self.status in ("asked", "running", "out")

    @property
    def question(self) -> Question:
        return self.questions[-1]

    def ask(self, now: datetime, *, is_unknown: bool = False) -> None:
        """A person is asked."""
        self.status = "asked"
        self.questions.append(Question(now, self.kind.policy is not None, is_unknown))

    def go_on(self) -> None:
        """Nothing stands in its way: its client has it, or it is carried out."""
        self.attempt += 1
        if self.kind.type == "client":
            self.status = "out"
            return
        self.made.append((self.attempt, self.amount))
        if self.name.startswith("wait"):
            self.status = "running"
        else:
            self.end("completed", f"did {self.amount}")

    def end(self, status: str, result: str | None) -> None:
        """Its one end."""
        assert self.is_open
        self.status, self.result = status, result

    def lose(self, now: datetime) -> None:
        """Its process is gone."""
        if self.status == "running" and self.name == "wait_again" and self.attempt < 5:
            self.go_on()
        elif self.status == "running":
            self.ask(now, is_unknown=True)

    @property
    def stored(self) -> str:
        """The status of its row."""
        return {"asked": "awaiting_approval", "running": "in_progress", "out": "awaiting_input"}.get(
            self.status, self.status
        )


@dataclass
class Chat:
    """A chat and the calls of its last run."""

    id: str = ""
    calls: list[Call] = field(default_factory=list[Call])
    always: set[str] = field(default_factory=set[str])
    is_stopped: bool = False

    @property
    def status(self) -> str:
        open_ = [each.status for each in self.calls if each.is_open]
        return "idle" if not open_ else "awaiting_input" if set(open_) == {"asked"} else "busy"

    @property
    def run(self) -> str:
        if self.is_stopped:
            return "canceled"
        return {"idle": "completed", "awaiting_input": "input_required", "busy": "working"}[self.status]


# -- what is there -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a chat's last run."""

    chat: ChatRecord
    run: RunRecord
    calls: list[InvocationRecord]
    asked: list[InterruptRecord]

    @classmethod
    def of(cls, tx: Reading, chat: Chat) -> Rows:
        [record] = tx.find(ChatRecord, id=chat.id)
        [run] = tx.find(RunRecord, id=record.run_id)
        calls = sorted(tx.find(InvocationRecord, run_id=run.id), key=lambda each: each.position)
        return cls(record, run, calls, tx.find(InterruptRecord, run_id=run.id))

    def about(self, call_id: str) -> list[InterruptRecord]:
        """What was asked about a call, in order."""
        return [each for each in self.asked if each.resource_id == call_id]

    @property
    def said(self) -> Any:
        """What they say, in the words of `told`. Why a call was cancelled is told by tests of its own."""
        return (
            self.chat.status.value,
            self.run.state.value,
            [
                (
                    each.status.value,
                    each.attempt,
                    None if each.status == "cancelled" else each.result,
                    [_seen(question) for question in self.about(each.id)],
                )
                for each in self.calls
            ],
        )


def _seen(question: InterruptRecord) -> tuple[Any, ...]:
    decision = question.decision.value if question.decision else None
    is_unknown = bool(question.meta.get("unknown_outcome"))
    return (question.status.value, decision, question.reminders, question.is_escalated, is_unknown)


def told(chat: Chat) -> Any:
    """What the rows must say of the chat."""
    calls = [(each.stored, each.attempt, each.result, [one.seen for one in each.questions]) for each in chat.calls]
    return (chat.status, chat.run, calls)


def script() -> Scripted:
    """A model that makes the calls its message names, and has nothing to say about the results."""

    def step(request: ModelRequest) -> Any:
        last = request.messages[-1]
        if last.role == "tool":
            return LAST_WORDS
        wanted = (word.partition(":") for word in last.text.split())
        return [call(name, {"q": amount}) for name, _, amount in wanted]

    return Scripted([step] * 2000, chunk_size=None)
