"""One chat inside one transaction: its rows are saved by compare-and-set, and every save can be told to the watchers.

    work = Work.of(tx, chat_id)
    work.save_chat(status=ChatStatus.BUSY)
    work.tell_chat()

What is saved and what is told happen together or not at all.
"""

from __future__ import annotations

from typing import Any, Self, TypeVar

from agentkit.runtime import dto, lineage
from agentkit.runtime.asking import notices
from agentkit.runtime.owned import owned_chat
from agentkit.runtime.ports import Writing
from agentkit.runtime.records import (
    ChatRecord,
    InterruptRecord,
    InvocationRecord,
    MessageRecord,
    Record,
    RunRecord,
)
from agentkit.runtime.states import INVOCATION, RUN, is_open
from agentkit.wire import AgentRunState, InterruptStatus

__all__ = ["Work"]

R = TypeVar("R", bound=Record)


class Work:
    """The rows of one chat, read once and kept current while they are saved."""

    def __init__(self, tx: Writing, chat: ChatRecord) -> None:
        self.tx = tx
        self.chat = chat
        self._asks_anew = False  # its questions changed since the chat was told

    @classmethod
    def of(cls, tx: Writing, chat_id: str) -> Self | None:
        """The work on this chat, or None where there is no such chat."""
        chat = tx.get(ChatRecord, chat_id)
        return cls(tx, chat) if chat else None

    @classmethod
    def owned(cls, tx: Writing, chat_id: str, *, owner: str) -> Self:
        """The work on a chat of this owner. Raises Fault `not_found`: another owner's chat does not exist."""
        return cls(tx, owned_chat(tx, chat_id, owner))

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def run(self) -> RunRecord | None:
        """The run that is, or was last, active."""
        return self.tx.get(RunRecord, self.chat.run_id) if self.chat.run_id else None

    @property
    def open_run(self) -> RunRecord | None:
        """The active run, while it is not over."""
        run = self.run
        return run if run and is_open(RUN, run.state) else None

    def queued(self) -> list[RunRecord]:
        """The runs that wait for their turn, oldest first."""
        waiting = self.tx.find(RunRecord, chat_id=self.chat.id, state=AgentRunState.SUBMITTED)
        return [run for run in waiting if run.id != self.chat.run_id]

    def invocations(self, message_id: str) -> list[InvocationRecord]:
        """The message's tool calls, in the model's order."""
        return sorted(self.tx.find(InvocationRecord, message_id=message_id), key=lambda each: each.position)

    def open_invocations(self, run: RunRecord) -> list[InvocationRecord]:
        """The run's tool calls that have no result yet."""
        return [each for each in self.tx.find(InvocationRecord, run_id=run.id) if is_open(INVOCATION, each.status)]

    def pending_interrupts(self) -> list[InterruptRecord]:
        """What waits for a person."""
        return self.tx.find(InterruptRecord, chat_id=self.chat.id, status=InterruptStatus.PENDING)

    def message(self, message_id: str) -> MessageRecord:
        """A message that a row of this chat names."""
        found = self.tx.get(MessageRecord, message_id)
        if found is None:
            raise LookupError(f"chat {self.chat.id}: message {message_id} is named by a row but not there")
        return found

    # -- saving ----------------------------------------------------------------------------------------------------

    def save_chat(self, **changes: Any) -> ChatRecord:
        """Saves the chat with these fields changed."""
        self.chat = self.tx.update(self.chat.but(**changes))
        return self.chat

    def save(self, record: R, **changes: Any) -> R:
        """Saves a row of the chat with these fields changed; returns it as it is now."""
        changed: R = record.but(**changes)
        saved = self.tx.update(changed)
        if isinstance(record, InterruptRecord) and isinstance(saved, InterruptRecord):
            self._asks_anew = True
            notices.changed(self.tx, record, saved)
        return saved

    def ask(self, question: InterruptRecord) -> InterruptRecord:
        """Adds a question to a person."""
        self._asks_anew = True
        asked = self.tx.insert(question)
        notices.asked(self.tx, self.chat, asked)
        return asked

    def take_order(self) -> int:
        """The next message's place in the chat."""
        order = self.chat.next_order
        self.save_chat(next_order=order + 1)
        return order

    # -- telling ---------------------------------------------------------------------------------------------------

    def tell_chat(self) -> None:
        """Appends the chat as it is now to its log; where its questions changed, the chat that asked it too.

        The row is saved first, even unchanged: by `updated_at` a reader tells which of two copies is the newer one,
        and the interrupts in it are rows of their own.
        """
        self.save_chat()
        self._tell("chats", dto.chat(self.tx, self.chat))
        if not self._asks_anew:
            return
        self._asks_anew = False
        call = lineage.asking(self.tx, self.chat)
        above = Work.of(self.tx, call.chat_id) if call else None
        if above is not None:
            above._asks_anew = True
            above.tell_chat()

    def tell_message(self, message_id: str) -> None:
        """Appends the message as it is now to the chat's log."""
        body = dto.message(self.tx, self.message(message_id), cut_results=True)
        self._tell("chat_messages", body)

    def tell_run(self, run: RunRecord) -> None:
        """Appends the run as it is now to the chat's log."""
        self._tell("agent_runs", dto.run(run))

    def _tell(self, name: str, data: dict[str, Any]) -> None:
        """Appends to the chat's log, and to that of every chat it works for."""
        self.tx.append(self.chat.id, name, data)
        for asker in lineage.above(self.tx, self.chat.id) if self.chat.parent_id else ():
            self.tx.append(asker.chat_id, lineage.CHILD, lineage.framed(asker, self.chat.id, name, data))
