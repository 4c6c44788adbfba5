"""Chats: taking messages, being watched, answering calls and questions; decided in `runs` and its kin."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from agentkit.errors import ConfigError, ModelNotFoundError
from agentkit.runtime import agents, children, dto, invocations, lineage, pages, runs
from agentkit.runtime.agents import Agents
from agentkit.runtime.asking import outcomes, questions
from agentkit.runtime.binding import Binder
from agentkit.runtime.faults import Fault
from agentkit.runtime.files import Files
from agentkit.runtime.hooks import inquiry
from agentkit.runtime.hub import Frame, Hub
from agentkit.runtime.idempotency import Once
from agentkit.runtime.loop import Models
from agentkit.runtime.owned import owned_chat, owned_invocation
from agentkit.runtime.ports import Reading, Store, Writing
from agentkit.runtime.records import (
    BudgetRecord,
    ChatRecord,
    InterruptRecord,
    InvocationRecord,
    MessageRecord,
    RunRecord,
)
from agentkit.runtime.service import Service
from agentkit.runtime.work import Work
from agentkit.wire import (
    AgentConfig,
    ChatTaskInput,
    CursorListRequest,
    RunAgentRequest,
    SubmitToolResult,
    UnknownOutcome,
)

__all__ = ["Chats"]

MOST_ATTACHMENTS = 20  # of a tool's result (protocol.md 6.5)


class Chats(Service):
    """Everything about chats, their tool invocations and their interrupts."""

    def __init__(self, store: Store, *, hub: Hub, models: Models, agents: Agents, files: Files, binder: Binder) -> None:
        super().__init__(store)
        self._binder = binder
        self._hub = hub
        self._models = models
        self._agents = agents
        self._files = files

    async def run(self, owner: str, request: RunAgentRequest, *, once: Once | None = None) -> dict[str, Any]:
        """POST /agents/run: takes the message and answers before the model has run."""
        if once:  # before the checks: what they look at may have changed since
            answered: dict[str, Any] | None = await self._store.read(once.recall)
            if answered is not None:
                return answered
        given = request.input or ChatTaskInput()
        attachments = await self._files.attachments(owner, given)
        if not (given.text or attachments):
            raise Fault("invalid_request", "a message needs `input.text` or an attachment")
        agent = await self._agents.of(owner, request)
        if agent is not None:
            agents.check(agent.config)
            self._check_model(agent.config)
        on_busy = str(request.get("on_busy") or "queue")
        if on_busy not in ("queue", "reject", "interrupt"):
            raise Fault("invalid_request", f"on_busy is queue, reject or interrupt, not {on_busy!r}")
        bound = await self._binder.bind(agent.config, owner=owner) if agent else None
        context = agents.check_context(agent.config, request.context or {}) if agent and not request.chat_id else {}
        start = runs.Start(
            owner=owner,
            text=given.text or "",
            chat_id=request.chat_id or None,
            agent=bound,
            given=agent.config if agent and bound is not agent.config else None,
            agent_ref=agent.ref if agent else None,
            agent_id=agent.agent_id if agent else None,
            agent_version_id=agent.version_id if agent else None,
            name=request.agent_name or (agent.name if agent else ""),
            context=context,
            attachments=attachments,
            on_busy=on_busy,
        )
        return await self._write(lambda tx: runs.start(tx, start), once=once)

    async def get(self, owner: str, chat_id: str) -> dict[str, Any]:
        """GET /chats/{id}, with its messages."""
        return await self._store.read(lambda tx: dto.chat(tx, owned_chat(tx, chat_id, owner), with_messages=True))

    async def status(self, owner: str, chat_id: str) -> dict[str, Any]:
        """GET /chats/{id}/status, as pollers need it."""
        full_id = (await self._store.read(lambda tx: owned_chat(tx, chat_id, owner))).id
        found = await self._hub.status(full_id)
        if found is None:
            raise Fault("not_found", f"chat {chat_id!r} not found")
        return {"id": full_id, "status": found[0], "updated_at": found[1]}

    async def watch(self, owner: str, chat_id: str, *, after: int | None = None) -> AsyncGenerator[Frame]:
        """GET /chats/{id}/stream. Raises Fault before the first frame where there is no such chat."""
        chat = await self._store.read(lambda tx: owned_chat(tx, chat_id, owner))
        return self._hub.watch(chat.id, after=after)

    async def cursor(self, owner: str, chat_id: str) -> int:
        """The `seq` of the chat's newest event: `watch(after=...)` it sees exactly what comes behind."""
        return await self._store.read(lambda tx: tx.event_range(owned_chat(tx, chat_id, owner).id)[1])

    async def page(self, owner: str, request: CursorListRequest) -> dict[str, Any]:
        """POST /chats/list."""
        return await self._store.read(
            lambda tx: pages.page(tx, ChatRecord, request, lambda each: dto.chat(tx, each), owner=owner)
        )

    async def messages(self, owner: str, chat_id: str, request: CursorListRequest) -> dict[str, Any]:
        """GET /chats/{id}/messages, newest first."""

        def look(tx: Reading) -> dict[str, Any]:
            chat = owned_chat(tx, chat_id, owner)
            return pages.page(
                tx, MessageRecord, request, lambda each: dto.message(tx, each), order_by="order", chat_id=chat.id
            )

        return await self._store.read(look)

    async def stop(self, owner: str, chat_id: str) -> None:
        """POST /chats/{id}/stop: what is open, here and below, is closed in one transaction; nothing when idle."""
        family = await self._store.read(lambda tx: _family(tx, owned_chat(tx, chat_id, owner).id))
        said = [draft for each in family if (draft := self._hub.draft(each)) is not None]

        def change(tx: Writing) -> None:
            runs.stop(Work.owned(tx, family[0], owner=owner), said=said)

        await self._write(change)

    async def delete(self, owner: str, chat_id: str) -> None:
        """DELETE /chats/{id}: stops it and forgets everything of it, its sub-agents' chats too."""
        deleted = await self._write(lambda tx: _forget(Work.owned(tx, chat_id, owner=owner)))
        for each in deleted:
            self._hub.end(each)

    # -- tool invocations ---------------------------------------------------------------------------

    async def submit_result(
        self, owner: str, invocation_id: str, body: SubmitToolResult, *, by: str | None = None, once: Once | None = None
    ) -> dict[str, Any]:
        """POST /tools/{id}: a client's answer to its tool, with files; `by` is whose key sent it, None: the owner's."""
        files = await self._attached(owner, body)

        def change(tx: Writing) -> dict[str, Any]:
            chat, invocation = owned_invocation(tx, invocation_id, owner)
            work = Work(tx, chat)
            return dto.invocation(invocations.submit(work, invocation, body, files=files, by=by))

        return await self._write(change, once=once)

    async def report_unknown(
        self, owner: str, invocation_id: str, body: UnknownOutcome, *, once: Once | None = None
    ) -> dict[str, Any]:
        """POST /tools/{id}/unknown: a client cannot tell what came of its call, so a person is asked."""

        def change(tx: Writing) -> dict[str, Any]:
            chat, invocation = owned_invocation(tx, invocation_id, owner)
            work = Work(tx, chat)
            return dto.invocation(outcomes.report(work, invocation, body))

        return await self._write(change, once=once)

    async def call_back(self, invocation_id: str, body: SubmitToolResult, *, token: str) -> dict[str, Any]:
        """POST /tools/{id}?token=: a webhook's answer; the token stands for a key, once."""
        if body.attachments:
            raise Fault("invalid_request", "a webhook has no files here; name them in `result`, with their URLs")

        def change(tx: Writing) -> dict[str, Any]:
            invocation = tx.get(InvocationRecord, invocation_id)
            work = Work.of(tx, invocation.chat_id) if invocation else None
            if invocation is None or work is None or not invocations.takes_callback(invocation, token):
                raise Fault("forbidden", "this callback URL is not valid, or was used already")
            answered = invocations.submit(work, invocation, body)
            return {"id": answered.id, "status": answered.status.value}

        return await self._write(change)

    async def _attached(self, owner: str, body: SubmitToolResult) -> list[dict[str, Any]]:
        """The files of a result, as they are kept with it. Raises Fault for one that is not there."""
        given = body.attachments or []
        if len(given) > MOST_ATTACHMENTS:
            raise Fault("invalid_request", f"{len(given)} attachments; a result takes {MOST_ATTACHMENTS} at most")
        found = await self._files.attachments(owner, ChatTaskInput(attachments=given))
        return [{name: value for name, value in each.items() if name != "text"} for each in found]

    def _check_model(self, config: AgentConfig) -> None:
        ref = (config.core_app.ref if config.core_app else None) or ""
        try:
            self._models.pick(ref)
        except ModelNotFoundError as error:
            raise Fault("not_found", str(error)) from None
        except ConfigError as error:
            raise Fault("requirements_not_met", str(error), errors=_requirement(error)) from None


def _family(tx: Reading, chat_id: str) -> list[str]:
    """The chat, and those that work for it."""
    return [chat_id, *(each.chat.id for each in lineage.below(tx, chat_id))]


def _forget(work: Work) -> list[str]:
    """Deletes the chat and those of its sub-agents; their ids."""
    tx, chat_id = work.tx, work.chat.id
    runs.stop(work)
    for asked in work.pending_interrupts():  # the inbox hears of its end
        questions.withdraw_one(work, asked)
    children.abandon(work)
    deleted = [chat_id]
    for child in tx.find(ChatRecord, parent_id=chat_id):
        deleted += _forget(Work(tx, child))
    inquiry.forget(work)
    for run in tx.find(RunRecord, chat_id=chat_id):
        if (budget := tx.get(BudgetRecord, run.id)) is not None:
            tx.delete(budget)
    for kind in (InterruptRecord, InvocationRecord, MessageRecord, RunRecord):
        for record in tx.find(kind, chat_id=chat_id):
            tx.delete(record)
    tx.prune_events(chat_id, keep_from=tx.event_range(chat_id)[1] + 1)
    tx.clear_wake(chat_id)
    tx.cut(chat_id)
    tx.delete(work.chat)
    return deleted


def _requirement(error: ConfigError) -> list[dict[str, Any]]:
    key = next((word.strip(",.;:") for word in str(error).split() if word.strip(",.;:").endswith("_KEY")), "")
    return [{"type": "secret", "key": key, "message": str(error), "action": {"type": "add_secret"}}]
