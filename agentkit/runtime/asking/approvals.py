"""Answers to questions, from people who may give them: approve, edit, reject, respond."""

from __future__ import annotations

from typing import Any

from agentkit.runtime import dto, lineage
from agentkit.runtime.asking import interrupts
from agentkit.runtime.asking.approvers import Approver
from agentkit.runtime.asking.interrupts import Decision
from agentkit.runtime.faults import Fault
from agentkit.runtime.idempotency import Once
from agentkit.runtime.ports import Reading, Writing
from agentkit.runtime.records import ChatRecord, HookCallRecord, InterruptRecord, InvocationRecord, RunRecord
from agentkit.runtime.service import Service
from agentkit.runtime.work import Work
from agentkit.wire import AlwaysAllow, Decide, RejectTool, ResolveInterrupt

__all__ = ["Approvals"]


class Approvals(Service):
    """Everything that answers a question."""

    async def invoke(
        self, owner: str, invocation_id: str, body: Decide, *, by: Approver, once: Once | None = None
    ) -> dict[str, Any]:
        """POST /tools/{id}/invoke: approve, as is or with edited arguments."""
        decision = Decision(
            allow=True, by=by, note=body.note or "", arguments=body.arguments, arguments_hash=body.arguments_hash
        )
        return await self._decide(owner, invocation_id, decision, once=once)

    async def reject(
        self, owner: str, invocation_id: str, body: RejectTool, *, by: Approver, once: Once | None = None
    ) -> dict[str, Any]:
        """POST /tools/{id}/reject: the model reads the reason."""
        return await self._decide(owner, invocation_id, Decision(allow=False, by=by, note=body.reason or ""), once=once)

    async def always_allow(
        self, owner: str, chat_id: str, invocation_id: str, body: AlwaysAllow, *, by: Approver
    ) -> dict[str, Any]:
        """POST /chats/{id}/tools/{id}/always-allow: approve, and do not ask again for this tool in this chat."""
        return await self._decide(owner, invocation_id, Decision(allow=True, by=by, always=True), chat_id=chat_id)

    async def resolve(
        self, owner: str, interrupt_id: str, body: ResolveInterrupt, *, by: Approver, once: Once | None = None
    ) -> dict[str, Any]:
        """POST /interrupts/{id}/resolve."""
        if body.decision not in ("allow", "deny"):
            raise Fault("invalid_request", f"decision is allow or deny, not {body.decision!r}")
        decision = Decision(
            allow=body.decision == "allow",
            by=by,
            note=body.note or "",
            arguments=body.arguments,
            arguments_hash=body.arguments_hash,
            data=body.data,
        )

        def change(tx: Writing) -> dict[str, Any]:
            interrupt = tx.get(InterruptRecord, interrupt_id)
            if interrupt is None:
                raise Fault("not_found", f"interrupt {interrupt_id!r} not found")
            work = Work.owned(tx, interrupt.chat_id, owner=owner)
            return dto.interrupt(interrupts.resolve(work, interrupt, decision))

        return await self._write(change, once=once)

    async def run_interrupts(self, owner: str, run_id: str) -> list[dict[str, Any]]:
        """GET /agent-runs/{id}/interrupts."""

        def look(tx: Reading) -> list[dict[str, Any]]:
            run = tx.get(RunRecord, run_id)
            if run is None:
                raise Fault("not_found", f"agent run {run_id!r} not found")
            _owned(tx, run.chat_id, owner)
            return [dto.interrupt(each) for each in tx.find(InterruptRecord, run_id=run.id)]

        return await self._store.read(look)

    async def _decide(
        self,
        owner: str,
        invocation_id: str,
        decision: Decision,
        *,
        chat_id: str | None = None,
        once: Once | None = None,
    ) -> dict[str, Any]:
        def change(tx: Writing) -> dict[str, Any]:
            work, resource_id = _asked_about(tx, invocation_id, owner)
            interrupt = interrupts.of_invocation(tx, resource_id)
            if chat_id is not None and not any(id.startswith(chat_id) for id in _line(tx, work.chat.id)):
                raise Fault("not_found", f"chat {chat_id!r} has no invocation {invocation_id!r}")
            if interrupt is None:
                raise Fault("invalid_transition", f"invocation {invocation_id!r} is not waiting for an approval")
            return dto.interrupt(interrupts.resolve(work, interrupt, decision))

        return await self._write(change, once=once)


# -- parts ---------------------------------------------------------------------------------------------------------


def _line(tx: Reading, chat_id: str) -> list[str]:
    """The chat, and those that it works for."""
    return [chat_id, *(each.chat_id for each in lineage.above(tx, chat_id))]


def _asked_about(tx: Writing, id: str, owner: str) -> tuple[Work, str]:
    """The call, or the moment of a hook, that a person was asked about."""
    row = tx.get(HookCallRecord, id)
    if row is not None:
        return Work.owned(tx, row.chat_id, owner=owner), row.id
    work, invocation = _invocation(tx, id, owner)
    return work, invocation.id


def _invocation(tx: Writing, invocation_id: str, owner: str) -> tuple[Work, InvocationRecord]:
    invocation = tx.get(InvocationRecord, invocation_id)
    chat = tx.get(ChatRecord, invocation.chat_id) if invocation else None
    if invocation is None or chat is None or chat.owner != owner:
        raise Fault("not_found", f"tool invocation {invocation_id!r} not found")
    return Work(tx, chat), invocation


def _owned(tx: Reading, chat_id: str, owner: str) -> ChatRecord:
    chat = tx.get(ChatRecord, chat_id)
    if chat is None or chat.owner != owner:
        raise Fault("not_found", f"chat {chat_id!r} not found")
    return chat
