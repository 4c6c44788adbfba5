"""Cursor pages of records (protocol.md 1.5). A cursor is the last item's id, so a page does not shift under inserts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from agentkit.runtime.faults import Fault
from agentkit.runtime.ports import Reading
from agentkit.runtime.records import Record
from agentkit.wire import CursorListRequest

__all__ = ["page"]

R = TypeVar("R", bound=Record)

DEFAULT_LIMIT, MAX_LIMIT = 50, 100  # seeds/004, "List Apps"


def page(
    tx: Reading,
    kind: type[R],
    request: CursorListRequest,
    render: Callable[[R], dict[str, Any]],
    *,
    order_by: str = "created_at",
    **equals: Any,
) -> dict[str, Any]:
    """One page, newest first; `next_cursor` is "" on the last one."""
    limit = _limit(request.limit)
    found = tx.find(
        kind, order_by=order_by, descending=True, limit=limit + 1, after_id=request.cursor or None, **equals
    )
    items, more = found[:limit], len(found) > limit
    return {
        "items": [render(each) for each in items],
        "next_cursor": items[-1].id if more else "",
        "prev_cursor": "",
        "has_next": more,
        "has_previous": bool(request.cursor),
        "items_per_page": limit,
        "total_items": len(items),
    }


def _limit(wanted: int | None) -> int:
    if wanted is None:
        return DEFAULT_LIMIT
    if wanted < 1:
        raise Fault("invalid_request", f"limit must be at least 1, not {wanted}")
    return min(wanted, MAX_LIMIT)
