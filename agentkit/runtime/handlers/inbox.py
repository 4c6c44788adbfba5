"""The inbox: what people are asked, in every chat."""

from __future__ import annotations

from typing import Any, Final

from agentkit.protocol import api
from agentkit.runtime.asking.inbox import Wanted
from agentkit.runtime.faults import Fault
from agentkit.runtime.handlers._routes import routes
from agentkit.runtime.handlers._streams import cursor, framed, items
from agentkit.runtime.routes import Asked
from agentkit.runtime.streams import Stream
from agentkit.wire import CursorListRequest, InterruptStatus

_TRUTHS: Final = {"": False, "false": False, "0": False, "true": True, "1": True}


@routes.on(api.LIST_INTERRUPTS)
async def list_interrupts(asked: Asked) -> Any:
    """What waits longest first, or what was asked last."""
    given = asked.request.query_params
    wanted = Wanted(
        status=given.get("status") or InterruptStatus.PENDING,
        reason=given.get("reason", ""),
        chat_id=given.get("chat_id", ""),
        tool=given.get("tool", ""),
        is_mine=_is_mine(asked),
        order=given.get("order") or "oldest",
    )
    page = CursorListRequest(limit=asked.number("limit"), cursor=given.get("cursor"))
    return await asked.platform.inbox.page(asked.owner, page, wanted, by=asked.approver)


@routes.on(api.STREAM_INTERRUPTS)
async def stream_interrupts(asked: Asked) -> Stream:
    """Without end, from the cursor on."""
    frames = asked.platform.inbox.watch(asked.owner, after=cursor(asked), is_mine=_is_mine(asked), by=asked.approver)
    return items(asked, framed(frames))


@routes.on(api.GET_INTERRUPT)
async def get_interrupt(asked: Asked) -> Any:
    """With what a person needs to know."""
    return await asked.platform.inbox.get(asked.owner, asked["interrupt_id"])


def _is_mine(asked: Asked) -> bool:
    """The query parameter `mine`. Raises Fault."""
    text = asked.request.query_params.get("mine", "").lower()
    if text not in _TRUTHS:
        raise Fault("invalid_request", f"mine is true or false, not {text!r}")
    return _TRUTHS[text]
