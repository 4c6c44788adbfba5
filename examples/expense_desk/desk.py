"""The agent, and one document on its way through it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agentkit import (
    Agent,
    AlreadyResolvedError,
    ApprovalRequested,
    Inference,
    Interrupt,
    RunError,
    Turn,
    TurnEvent,
    internal_tools,
)
from examples.expense_desk.approvals import Approver
from examples.expense_desk.books import Books
from examples.expense_desk.documents import Document
from examples.expense_desk.expense import Expense
from examples.expense_desk.ledger import Ledger, Outcome, Word
from examples.expense_desk.tools import desk_tools

SYSTEM_PROMPT = """\
You keep the expenses of a company in Hamburg. Every message is one document, as it came in.

1. If no money was spent or is owed, book nothing and hand in the result with is_expense false.
2. Look the vendor up with lookup_vendor.
3. Book the total once, with the booking tool whose limits it fits: book_expense, book_large_expense or
   book_foreign_expense. If a booking is refused, leave it at that.
4. Hand in what the document says. Do not guess: what is not there is null.
"""


@dataclass(frozen=True)
class Desk:
    """Takes documents, one after the other, and remembers how far each is."""

    client: Inference
    books: Books
    ledger: Ledger
    approver: Approver
    limit: float
    tell: Callable[[TurnEvent], None]

    def handle(self, document: Document) -> Outcome:
        """What comes of the document; at once if it was handled before."""
        if document.problem:
            return Outcome(document=document.name, outcome="unreadable", detail=document.problem)
        if not document.text.strip():
            return Outcome(document=document.name, outcome="empty", detail="there is no text in it")
        known = self.ledger.outcome_of(document)
        if known and known.document != document.name:
            return Outcome(document=document.name, outcome="duplicate", detail=f"the same as {known.document}")
        return known or self._work_on(document)

    def _work_on(self, document: Document) -> Outcome:
        agent, turn = self._begin(document)
        try:
            expense = self._follow(document, agent, turn)
        except RunError as error:
            outcome = Outcome(document=document.name, outcome="failed", detail=str(error), chat_id=agent.chat_id)
        else:
            outcome = self._outcome(document, agent, expense)
        self.ledger.finished(document, outcome)
        return outcome

    def _begin(self, document: Document) -> tuple[Agent[Expense], Turn[Expense]]:
        """A new chat; or the one that an earlier, killed desk began: nothing that it did is done again."""
        tools = desk_tools(self.books, document, limit=self.limit)
        chat_id = self.ledger.chat_of(document)
        if chat_id is None:
            config = {
                "name": "expense-desk",
                "system_prompt": SYSTEM_PROMPT,
                "tools": tools,
                "internal_tools": internal_tools().none().build(),  # no plan and no memory for so short a job
            }
            agent = self.client.agent(config, output_type=Expense)
            return agent, agent.stream(document.text)
        agent = self.client.agents.resume(chat_id, tools=tools, output_type=Expense)
        return agent, agent.resume()

    def _follow(self, document: Document, agent: Agent[Expense], turn: Turn[Expense]) -> Expense | None:
        noted = self.ledger.chat_of(document)
        with turn:
            for event in turn:
                if turn.chat_id and noted != turn.chat_id:
                    noted = turn.chat_id
                    self.ledger.began(document, noted)
                self.tell(event)
                if isinstance(event, ApprovalRequested):
                    self._decide(agent, event.interrupt)
            return turn.output()

    def _decide(self, agent: Agent[Expense], interrupt: Interrupt) -> None:
        answer = self.approver(interrupt)
        try:
            if answer.approved:
                agent.approve(interrupt.resource_id)
            else:
                agent.reject(interrupt.resource_id, answer.reason)
        except AlreadyResolvedError:
            pass  # answered from elsewhere meanwhile; the next events tell how

    def _outcome(self, document: Document, agent: Agent[Expense], expense: Expense | None) -> Outcome:
        """Of what was read, the model's word; of what was booked, the books'."""
        outcome = Outcome(document=document.name, outcome="no expense", expense=expense, chat_id=agent.chat_id)
        booking = self.books.booking_of(document.digest)
        if booking is not None:
            outcome.outcome, outcome.booking = "booked", booking.number
            outcome.booked = f"{booking.amount} {booking.currency}"
            vendor = self.books.vendor(booking.vendor_id)
            outcome.cost_centre = vendor.cost_centre if vendor else None
        elif expense is not None and expense.is_expense:
            outcome.outcome, outcome.detail = _why_not(agent)
        return outcome


def _why_not(agent: Agent[Expense]) -> tuple[Word, str]:
    """What became of the booking that is not in the books."""
    calls = [call for message in agent.get_chat().chat_messages for call in message.tool_invocations]
    bookings = [call for call in calls if call.function.name.startswith("book_")]
    if not bookings:
        return "not booked", "the agent called no booking tool"
    last = bookings[-1]
    return ("rejected" if last.status == "cancelled" else "not booked"), last.result or ""
