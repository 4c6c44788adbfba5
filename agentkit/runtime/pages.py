"""Cursor pages of records (protocol.md 1.5).

A cursor names the last item and where it stood: a page does not shift under inserts, and a list that is deleted page by
page is seen to its end.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeVar

from pydantic_core import from_json, to_json

from agentkit.runtime.faults import Fault
from agentkit.runtime.filters import Listing, beyond, listing
from agentkit.runtime.ports import Reading
from agentkit.runtime.records import Record
from agentkit.wire import CursorListRequest

__all__ = ["page"]

R = TypeVar("R", bound=Record)

DEFAULT_LIMIT, MAX_LIMIT = 50, 100  # seeds/004, "List Apps"
LONGEST_CURSOR: Final = 4_096
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
    after_id = None
    if request.cursor:
        place = _place(request.cursor)
        last = tx.get(kind, place.id)
        if last is not None and last.id == place.id:
            after_id = place.id
        else:  # deleted meanwhile
            condition = beyond(wanted.order_by, place.value, is_descending=wanted.is_descending)
            wanted = replace(wanted, conditions=[*wanted.conditions, condition])
    found: list[R] = []
    for record in _matching(tx, kind, wanted, after_id=after_id, at_once=limit + 1):
        if only is None or only(record):
            found.append(record)
        if len(found) > limit:
            break
    items, more = found[:limit], len(found) > limit
    return {
        "items": [render(each) for each in items],
        "next_cursor": _cursor(items[-1], wanted.order_by) if more else "",
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


class _Place(NamedTuple):
    """An item of a list, and its value in the field that the list is ordered by."""

    id: str
    value: Any


def _cursor(record: Record, order_by: str) -> str:
    place = to_json([record.id, getattr(record, order_by)])
    return base64.urlsafe_b64encode(place).decode().rstrip("=")


def _place(cursor: str) -> _Place:
    """What the cursor names. Raises Fault for what no page of ours ended with."""
    try:
        place = from_json(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        place = None
    match place:
        case [str() as id, str() | int() | float() | None as value] if len(cursor) <= LONGEST_CURSOR:
            return _Place(id, value)
        case _:
            raise Fault("invalid_request", "cursor: not the `next_cursor` of a page; leave it out for the first page")


def _limit(wanted: int | None) -> int:
    if wanted is None:
        return DEFAULT_LIMIT
    if wanted < 1:
        raise Fault("invalid_request", f"limit must be at least 1, not {wanted}")
    return min(wanted, MAX_LIMIT)
