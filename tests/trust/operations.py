"""What answers a question, as the crash tests do it: each operation, and what somebody does who did not hear of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentkit.wire import Decide, RejectTool, ResolveInterrupt, SubmitToolResult
from tests.trust import payments
from tests.trust.durable import UNKNOWN
from tests.trust.world import ANN, OWNER, World

__all__ = ["MONTH", "OPERATIONS", "Act", "Asked", "Operation", "allow", "approve", "deny"]

MONTH: Final = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What an operation is done to."""

    chat_id: str
    call_id: str
    question_id: str
    arguments_hash: str


Act = Callable[[World, Asked], Awaitable[Any]]


async def approve(world: World, asked: Asked) -> None:
    body = Decide(arguments_hash=asked.arguments_hash, note="fine")
    await world.platform.approvals.invoke(OWNER, asked.call_id, body, by=ANN)


async def _edit(world: World, asked: Asked) -> None:
    body = Decide(arguments={"q": "five"}, arguments_hash=asked.arguments_hash)
    await world.platform.approvals.invoke(OWNER, asked.call_id, body, by=ANN)


async def _reject(world: World, asked: Asked) -> None:
    await world.platform.approvals.reject(OWNER, asked.call_id, RejectTool(reason="too dear"), by=ANN)


async def _respond(world: World, asked: Asked) -> None:
    body = ResolveInterrupt(decision="respond", data={"paid": "by hand"}, arguments_hash=asked.arguments_hash)
    await world.platform.approvals.resolve(OWNER, asked.question_id, body, by=ANN)


async def allow(world: World, asked: Asked) -> None:
    await world.platform.approvals.resolve(OWNER, asked.question_id, ResolveInterrupt(decision="allow"), by=ANN)


async def deny(world: World, asked: Asked) -> None:
    await world.platform.approvals.resolve(OWNER, asked.question_id, ResolveInterrupt(decision="deny"), by=ANN)


async def _expire(world: World, asked: Asked) -> None:
    world.clock.forward(MONTH)


async def _submit(world: World, asked: Asked) -> None:
    await world.platform.chats.submit_result(OWNER, asked.call_id, SubmitToolResult(result="paid ten"))


@dataclass(frozen=True, slots=True)
class Operation:
    """What is done, and to what: an approval, a client's call, or a call whose outcome nobody knows."""

    act: Act
    again: Act  # as somebody does who has not heard the answer
    tool: Mapping[str, Any]


_APPROVAL: Final[Mapping[str, Any]] = {"approval_timeout": MONTH / 2}
_CLIENTS: Final[Mapping[str, Any]] = {
    "type": "client",
    "client": {"input_schema": payments.SCHEMA},
    "http": None,
    "require_approval": False,
}

OPERATIONS: Final[Mapping[str, Operation]] = {
    "approve": Operation(approve, allow, {}),
    "edit": Operation(_edit, allow, {}),
    "reject": Operation(_reject, deny, {}),
    "respond": Operation(_respond, _respond, {}),
    "expire": Operation(_expire, allow, _APPROVAL),
    "result": Operation(_submit, _submit, _CLIENTS),
    UNKNOWN: Operation(allow, allow, {}),
}
