"""Cursor pages of records (protocol.md 1.5). A cursor is the last item's id, so a page does not shift under inserts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from agentkit.runtime.faults import Fault
from agentkit.runtime.filters import Listing, listing
from agentkit.runtime.ports import Reading
from agentkit.runtime.records import Record
from agentkit.wire import CursorListRequest

__all__ = ["page"]

R = TypeVar("R", bound=Record)

DEFAULT_LIMIT, MAX_LIMIT = 50, 100  # seeds/004, "List Apps"
BATCH = 200  # records looked through at a time where conditions are left that no index answers


def page(
    tx: Reading,
    kind: type[R],
    request: CursorListRequest,
    render: Callable[[R], dict[str, Any]],
    *,
    order_by: str = "created_at",
    only: Callable[[R], bool] | None = None,
    **equals: Any,
) -> dict[str, Any]:
    """One page, newest first unless `sort` says otherwise; `next_cursor` is "" on the last one.

    `filters`, `search` and `sort` narrow it down; `only` and `equals` are the caller's own conditions, which nothing in
    the request can loosen. Raises Fault for a field, an operator or a limit that there is not.
    """
    limit = _limit(request.limit)
    wanted = listing(kind, request, order_by=order_by, equals=equals)
    found: list[R] = []
    for record in _matching(tx, kind, wanted, after_id=request.cursor or None, at_once=limit + 1):
        if only is None or only(record):
            found.append(record)
        if len(found) > limit:
            break
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


def _matching(tx: Reading, kind: type[R], wanted: Listing, *, after_id: str | None, at_once: int) -> Iterator[R]:
    """The records behind the cursor that meet every condition, in order."""
    size = max(at_once, BATCH) if wanted.conditions else at_once
    while True:
        batch = tx.find(
            kind,
            order_by=wanted.order_by,
            descending=wanted.is_descending,
            limit=size,
            after_id=after_id,
            **wanted.equals,
        )
        yield from (each for each in batch if wanted.matches(each))
        if len(batch) < size:
            return
        after_id = batch[-1].id


def _limit(wanted: int | None) -> int:
    if wanted is None:
        return DEFAULT_LIMIT
    if wanted < 1:
        raise Fault("invalid_request", f"limit must be at least 1, not {wanted}")
    return min(wanted, MAX_LIMIT)
