"""`client.interrupts`: the inbox of what people are asked, in every chat, and the answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from agentkit.client import decisions
from agentkit.client.decisions import AlwaysLike
from agentkit.client.interrupt_streams import AsyncInterruptStream, InterruptStream
from agentkit.client.listing import AsyncPages, pages
from agentkit.client.transport import AsyncTransport, Transport
from agentkit.protocol import api
from agentkit.protocol.endpoint import Call
from agentkit.wire import Interrupt, Page

__all__ = ["AsyncInterrupts", "Interrupts"]


class Interrupts:
    """`client.interrupts`: the inbox of what people are asked (agentkit's own server), and the answers.

    Whoever answers need not know the chat, nor have its tools: the process that works on it goes on by itself. An
    answer counts once: later ones raise AlreadyResolvedError with the `winner`.

    >>> from agentkit import Runtime, tool
    >>> from agentkit.testing import Scripted, call
    >>> pay = tool("pay").describe("Pays").require_approval().handler(lambda args: "paid")
    >>> with Runtime(models={"scripted": Scripted([call("pay", {}), "Done."])}) as runtime:
    ...     client = runtime.client()
    ...     agent = client.agent({"core_app": {"ref": "scripted/demo"}, "tools": [pay]})
    ...     parked = agent.stream("Pay Ann.", when_parked="return").result()
    ...     waiting = client.interrupts.list(tool="pay").items
    ...     answered = client.interrupts.approve(waiting[0].id, note="fine")
    ...     text = agent.resume().text()
    >>> answered.decision.value, text
    ('approved', 'Done.')
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        status: str = "pending",
        reason: str | None = None,
        chat_id: str | None = None,
        tool: str | None = None,
        mine: bool = False,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[Interrupt]:
        """A page of questions, what waits longest first (GET /interrupts).

        `status`: pending, resolved, expired, cancelled, or all. `mine`: only those that this client's key may answer.
        """
        return self._transport.send(_list(status, reason, chat_id, tool, mine, limit, cursor))

    def iterate(
        self,
        *,
        status: str = "pending",
        reason: str | None = None,
        chat_id: str | None = None,
        tool: str | None = None,
        mine: bool = False,
        limit: int | None = None,
    ) -> Iterator[Interrupt]:
        """The questions of all pages; `limit` is the size of a page."""
        return pages(lambda cursor: self._transport.send(_list(status, reason, chat_id, tool, mine, limit, cursor)))

    def get(self, interrupt_id: str) -> Interrupt:
        """One question; its `context` is what a person needs to know to answer it."""
        return self._transport.send(api.GET_INTERRUPT.call(interrupt_id=interrupt_id))

    def stream(self, *, after: int | None = None, mine: bool = False) -> InterruptStream:
        """What waits, then every change of every question, without end; see `InterruptStream`.

        `after`: the `cursor` of an earlier stream, to go on from there.
        """
        return InterruptStream(self._transport, after=after, mine=mine)

    def approve(
        self,
        interrupt_id: str,
        args: Mapping[str, Any] | None = None,
        note: str = "",
        *,
        by: str | None = None,
        always: AlwaysLike = None,
        arguments_hash: str | None = None,
    ) -> Interrupt:
        """Approves a call, with other arguments where `args` is given; returns the question as it was answered.

        `by`: who decides, where the key does not prove it. `always`: True, or an `Always`: later calls need no approval
        either. `arguments_hash`: of what was shown; ConflictError if the call is another one by now.
        """
        return self._transport.send(
            decisions.resolve(
                interrupt_id, "allow", args=args, note=note, by=by, always=always, arguments_hash=arguments_hash
            )
        )

    def reject(
        self, interrupt_id: str, reason: str = "", *, by: str | None = None, arguments_hash: str | None = None
    ) -> Interrupt:
        """Rejects a call; the model reads the reason."""
        return self._transport.send(
            decisions.resolve(interrupt_id, "deny", note=reason, by=by, arguments_hash=arguments_hash)
        )

    def respond(
        self,
        interrupt_id: str,
        data: Any,
        note: str = "",
        *,
        by: str | None = None,
        arguments_hash: str | None = None,
    ) -> Interrupt:
        """Answers in the tool's place: the call is not run, and `data` (text, or any JSON) is its result."""
        return self._transport.send(
            decisions.resolve(interrupt_id, "respond", data=data, note=note, by=by, arguments_hash=arguments_hash)
        )

    def resolve(
        self,
        interrupt_id: str,
        decision: str,
        *,
        data: Any = None,
        args: Mapping[str, Any] | None = None,
        note: str = "",
        by: str | None = None,
        always: AlwaysLike = None,
        arguments_hash: str | None = None,
    ) -> Interrupt:
        """Any answer to any question: `decision` is allow, deny or respond, `data` what was asked for.

        The other methods are this one with a name.
        """
        return self._transport.send(
            decisions.resolve(
                interrupt_id,
                decision,
                data=data,
                args=args,
                note=note,
                by=by,
                always=always,
                arguments_hash=arguments_hash,
            )
        )


class AsyncInterrupts:
    """The async twin of `Interrupts`; `iterate` and `stream` wait for nothing and are not awaited."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(
        self,
        *,
        status: str = "pending",
        reason: str | None = None,
        chat_id: str | None = None,
        tool: str | None = None,
        mine: bool = False,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[Interrupt]:
        """See `Interrupts.list`."""
        return await self._transport.send(_list(status, reason, chat_id, tool, mine, limit, cursor))

    def iterate(
        self,
        *,
        status: str = "pending",
        reason: str | None = None,
        chat_id: str | None = None,
        tool: str | None = None,
        mine: bool = False,
        limit: int | None = None,
    ) -> AsyncIterator[Interrupt]:
        """See `Interrupts.iterate`. Not awaited."""
        return AsyncPages(
            lambda cursor: self._transport.send(_list(status, reason, chat_id, tool, mine, limit, cursor))
        )

    async def get(self, interrupt_id: str) -> Interrupt:
        """See `Interrupts.get`."""
        return await self._transport.send(api.GET_INTERRUPT.call(interrupt_id=interrupt_id))

    def stream(self, *, after: int | None = None, mine: bool = False) -> AsyncInterruptStream:
        """See `Interrupts.stream`. Not awaited."""
        return AsyncInterruptStream(self._transport, after=after, mine=mine)

    async def approve(
        self,
        interrupt_id: str,
        args: Mapping[str, Any] | None = None,
        note: str = "",
        *,
        by: str | None = None,
        always: AlwaysLike = None,
        arguments_hash: str | None = None,
    ) -> Interrupt:
        """See `Interrupts.approve`."""
        return await self._transport.send(
            decisions.resolve(
                interrupt_id, "allow", args=args, note=note, by=by, always=always, arguments_hash=arguments_hash
            )
        )

    async def reject(
        self, interrupt_id: str, reason: str = "", *, by: str | None = None, arguments_hash: str | None = None
    ) -> Interrupt:
        """See `Interrupts.reject`."""
        return await self._transport.send(
            decisions.resolve(interrupt_id, "deny", note=reason, by=by, arguments_hash=arguments_hash)
        )

    async def respond(
        self,
        interrupt_id: str,
        data: Any,
        note: str = "",
        *,
        by: str | None = None,
        arguments_hash: str | None = None,
    ) -> Interrupt:
        """See `Interrupts.respond`."""
        return await self._transport.send(
            decisions.resolve(interrupt_id, "respond", data=data, note=note, by=by, arguments_hash=arguments_hash)
        )

    async def resolve(
        self,
        interrupt_id: str,
        decision: str,
        *,
        data: Any = None,
        args: Mapping[str, Any] | None = None,
        note: str = "",
        by: str | None = None,
        always: AlwaysLike = None,
        arguments_hash: str | None = None,
    ) -> Interrupt:
        """See `Interrupts.resolve`."""
        return await self._transport.send(
            decisions.resolve(
                interrupt_id,
                decision,
                data=data,
                args=args,
                note=note,
                by=by,
                always=always,
                arguments_hash=arguments_hash,
            )
        )


# -- parts ---------------------------------------------------------------------------------------------------------


def _list(
    status: str,
    reason: str | None,
    chat_id: str | None,
    tool: str | None,
    mine: bool,
    limit: int | None,
    cursor: str | None,
) -> Call[Page[Interrupt]]:
    asked = {"status": status, "reason": reason, "chat_id": chat_id, "tool": tool, "limit": limit, "cursor": cursor}
    return api.LIST_INTERRUPTS.call(query={**asked, "mine": "true" if mine else None})
