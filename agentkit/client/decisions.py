"""What a person decides, as calls: by the question's id, or by that of the call it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from pydantic import ValidationError

from agentkit.errors import UsageError
from agentkit.protocol import api, flows
from agentkit.protocol.endpoint import Call
from agentkit.wire import Always, Decide, Interrupt, RejectTool, ResolveInterrupt

__all__ = ["AlwaysLike", "answer", "approve", "reject", "resolve"]

AlwaysLike: TypeAlias = Always | Mapping[str, Any] | bool | None
"""True allows the tool for the rest of the chat; an `Always`, or its dict, less than that."""


def approve(
    invocation_id: str,
    args: Mapping[str, Any] | None,
    note: str,
    *,
    by: str | None,
    always: AlwaysLike,
    arguments_hash: str | None,
) -> Call[None]:
    """POST /tools/{id}/invoke."""
    body = _said(arguments=_plain(args), note=note or None, by=by, always=_rule(always), arguments_hash=arguments_hash)
    return api.INVOKE_TOOL.call(Decide.parse(body), invocation_id=invocation_id)


def reject(invocation_id: str, reason: str, *, by: str | None, arguments_hash: str | None) -> Call[None]:
    """POST /tools/{id}/reject."""
    body = _said(reason=reason, by=by, arguments_hash=arguments_hash)
    return api.REJECT_TOOL.call(RejectTool.parse(body), invocation_id=invocation_id)


def resolve(
    interrupt_id: str,
    decision: str,
    *,
    data: Any = None,
    args: Mapping[str, Any] | None = None,
    note: str = "",
    by: str | None = None,
    always: AlwaysLike = None,
    arguments_hash: str | None = None,
) -> Call[Interrupt]:
    """POST /interrupts/{id}/resolve."""
    body = _said(
        data=data,
        arguments=_plain(args),
        note=note or None,
        by=by,
        always=_rule(always),
        arguments_hash=arguments_hash,
    )
    return api.RESOLVE_INTERRUPT.call(ResolveInterrupt.parse({"decision": decision, **body}), interrupt_id=interrupt_id)


def answer(
    chat_id: str, invocation_id: str, data: Any, note: str, *, by: str | None, arguments_hash: str | None
) -> flows.Flow[Interrupt]:
    """The question that the chat asks about this call, answered with its result."""
    pending = yield from flows.pending_interrupts(chat_id)
    asked = next((each for each in pending if each.resource_id == invocation_id), None)
    if asked is None:
        raise UsageError(
            f"nothing is asked about call {invocation_id!r}, or it was answered; agent.pending() lists what waits"
        )
    said = resolve(asked.id, "respond", data=data, note=note, by=by, arguments_hash=arguments_hash)
    return (yield from flows.once(said))


# -- parts ---------------------------------------------------------------------------------------------------------


def _said(**told: Any) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value is not None}


def _plain(args: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if args is None else dict(args)


def _rule(always: AlwaysLike) -> dict[str, Any] | None:
    """The rule as it travels. Raises UsageError for what is none."""
    if always is None or always is False:
        return None
    try:
        rule = Always() if always is True else always if isinstance(always, Always) else Always.parse(always)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise UsageError(
            f"always={always!r}: {where}: {problem['msg']}; write True, or an Always(scope='exact')"
        ) from None
    return {"scope": str(rule.scope), **rule.to_wire()}
