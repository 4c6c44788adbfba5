"""Answers to questions, from people who may give them: approve, edit, reject, respond."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from agentkit.runtime import dto, lineage
from agentkit.runtime.asking import accounts, interrupts, rules
from agentkit.runtime.asking.approvers import Approver
from agentkit.runtime.asking.interrupts import Answer, Decision
from agentkit.runtime.faults import Fault
from agentkit.runtime.idempotency import Once
from agentkit.runtime.owned import find_chat, owned_invocation
from agentkit.runtime.ports import Reading, Writing
from agentkit.runtime.records import HookCallRecord, InterruptRecord, InvocationRecord, RunRecord
from agentkit.runtime.service import Service
from agentkit.runtime.work import Work
from agentkit.wire import Always, AlwaysAllow, Decide, InterruptStatus, RejectTool, ResolveInterrupt

__all__ = ["Approvals"]


class Approvals(Service):
    """Everything that answers a question."""

    async def invoke(
        self, owner: str, invocation_id: str, body: Decide, *, by: Approver, once: Once | None = None
    ) -> dict[str, Any]:
        """POST /tools/{id}/invoke: approve, as is or with edited arguments."""
        decision = Decision(
            Answer.ALLOW,
            by=by.calling_themselves(body.by),
            note=body.note or "",
            arguments=body.arguments,
            arguments_hash=body.arguments_hash,
            always=body.always,
        )
        return await self._decide(owner, invocation_id, decision, once=once)

    async def reject(
        self, owner: str, invocation_id: str, body: RejectTool, *, by: Approver, once: Once | None = None
    ) -> dict[str, Any]:
        """POST /tools/{id}/reject: the model reads the reason."""
        decision = Decision(
            Answer.DENY,
            by=by.calling_themselves(body.by),
            note=body.reason or "",
            arguments_hash=body.arguments_hash,
        )
        return await self._decide(owner, invocation_id, decision, once=once)

    async def always_allow(
        self, owner: str, chat_id: str, invocation_id: str, body: AlwaysAllow, *, by: Approver
    ) -> dict[str, Any]:
        """POST /chats/{id}/tools/{id}/always-allow: approve, and later calls like this one in this chat too."""
        decision = Decision(Answer.ALLOW, by=by.calling_themselves(body.by), always=_chosen(body.option))
        return await self._decide(owner, invocation_id, decision, chat_id=chat_id, tool_name=body.tool_name)

    async def always_allow_options(self, owner: str, chat_id: str, invocation_id: str) -> list[dict[str, Any]]:
        """GET /chats/{id}/tools/{id}/always-allow/options: `{option, label}` of each rule that would allow this call.

        None for a call that waits for no approval, and for one that may have run already.
        """

        def look(tx: Reading) -> list[dict[str, Any]]:
            invocation = _call_of(tx, owner, chat_id, invocation_id)
            asked = interrupts.of_invocation(tx, invocation.id)
            return rules.options(invocation) if asked is not None and rules.may_be_added(asked) else []

        return await self._store.read(look)

    async def explain(self, owner: str, chat_id: str, invocation_id: str) -> dict[str, str]:
        """POST /chats/{id}/tools/{id}/explain: `{explanation}`, an account of the call from the rows, no model's."""

        def look(tx: Reading) -> dict[str, str]:
            return {"explanation": accounts.account(tx, _call_of(tx, owner, chat_id, invocation_id))}

        return await self._store.read(look)

    async def resolve(
        self, owner: str, interrupt_id: str, body: ResolveInterrupt, *, by: Approver, once: Once | None = None
    ) -> dict[str, Any]:
        """POST /interrupts/{id}/resolve."""
        if body.decision not in tuple(Answer):
            raise Fault("invalid_request", f"decision is allow, deny or respond, not {body.decision!r}")
        decision = Decision(
            Answer(body.decision),
            by=by.calling_themselves(body.by),
            note=body.note or "",
            arguments=body.arguments,
            arguments_hash=body.arguments_hash,
            always=body.always,
            data=body.data,
        )

        def change(tx: Writing) -> dict[str, Any]:
            interrupt = tx.get(InterruptRecord, interrupt_id)
            work = Work.of(tx, interrupt.chat_id) if interrupt else None
            if interrupt is None or work is None or work.chat.owner != owner:
                raise Fault("not_found", f"interrupt {interrupt_id!r} not found")
            return dto.interrupt(interrupts.resolve(work, interrupt, decision))

        return await self._write(change, once=once)

    async def run_interrupts(self, owner: str, run_id: str) -> list[dict[str, Any]]:
        """GET /agent-runs/{id}/interrupts."""

        def look(tx: Reading) -> list[dict[str, Any]]:
            run = tx.get(RunRecord, run_id)
            if run is None or find_chat(tx, run.chat_id, owner) is None:
                raise Fault("not_found", f"agent run {run_id!r} not found")
            return [dto.interrupt(each) for each in tx.find(InterruptRecord, run_id=run.id)]

        return await self._store.read(look)

    async def _decide(
        self,
        owner: str,
        invocation_id: str,
        decision: Decision,
        *,
        chat_id: str | None = None,
        tool_name: str | None = None,
        once: Once | None = None,
    ) -> dict[str, Any]:
        def change(tx: Writing) -> dict[str, Any]:
            work, resource_id = _asked_about(tx, invocation_id, owner)
            interrupt = interrupts.of_invocation(tx, resource_id)
            if chat_id is not None:
                _check_line(tx, chat_id, work.chat.id, invocation_id)
            if interrupt is None:
                raise Fault("invalid_transition", f"invocation {invocation_id!r} is not waiting for an approval")
            _refuse_other_tool(tx, invocation_id, tool_name)
            _refuse_repetition(interrupt, decision)
            return dto.interrupt(interrupts.resolve(work, interrupt, decision))

        return await self._write(change, once=once)


# -- parts ---------------------------------------------------------------------------------------------------------


def _refuse_other_tool(tx: Reading, invocation_id: str, tool_name: str | None) -> None:
    """Whoever names a tool means the one that they saw: calls of another one are not allowed for good."""
    invocation = tx.get(InvocationRecord, invocation_id)
    if tool_name and invocation is not None and tool_name != invocation.name:
        raise Fault("conflict", f"invocation {invocation_id!r} calls {invocation.name!r}, not {tool_name!r}")


def _refuse_repetition(interrupt: InterruptRecord, decision: Decision) -> None:
    """A yes that names the call alone may be an earlier one, sent again: it does not run a call a second time."""
    is_asked_anew = interrupts.is_unknown_outcome(interrupt) and interrupt.status is InterruptStatus.PENDING
    if is_asked_anew and decision.answer is Answer.ALLOW and decision.arguments_hash is None:
        raise Fault(
            "conflict",
            "this call may have run already, and whether it runs again is another question: answer it by its own id, "
            f"{interrupt.id!r}, or with its `arguments_hash`",
        )


def _chosen(option: Any) -> Always:
    """The rule that an option stands for; without one, every call of the tool."""
    try:
        return Always.parse({"scope": option} if isinstance(option, str) else option or {})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "(whole)"
        raise Fault("invalid_request", f"option: {where}: {first['msg']}; take one of .../options") from None


def _check_line(tx: Reading, chat_id: str, called_in: str, invocation_id: str) -> None:
    """Raises Fault `not_found` unless the call is one of this chat, or of one that works for it."""
    line = [called_in, *(each.chat_id for each in lineage.above(tx, called_in))]
    if not any(each.startswith(chat_id) for each in line):
        raise Fault("not_found", f"chat {chat_id!r} has no invocation {invocation_id!r}")


def _call_of(tx: Reading, owner: str, chat_id: str, invocation_id: str) -> InvocationRecord:
    invocation = tx.get(InvocationRecord, invocation_id)
    if invocation is None or find_chat(tx, invocation.chat_id, owner) is None:
        raise Fault("not_found", f"chat {chat_id!r} has no invocation {invocation_id!r}")
    _check_line(tx, chat_id, invocation.chat_id, invocation_id)
    return invocation


def _asked_about(tx: Writing, id: str, owner: str) -> tuple[Work, str]:
    """The call, or the moment of a hook, that a person was asked about."""
    row = tx.get(HookCallRecord, id)
    work = Work.of(tx, row.chat_id) if row else None
    if row is not None and work is not None and work.chat.owner == owner:
        return work, row.id
    chat, invocation = owned_invocation(tx, id, owner)
    return Work(tx, chat), invocation.id
