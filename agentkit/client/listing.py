"""Lists: one page, or all that there is, page by page (protocol.md 1.5)."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Generic, TypeAlias, TypeVar

from pydantic import ValidationError

from agentkit.errors import UsageError
from agentkit.wire import CursorListRequest, Page

__all__ = ["AsyncPages", "list_request", "pages"]

T = TypeVar("T")
Filters: TypeAlias = "list[dict[str, Any]]"


def list_request(cursor: str | None, limit: int | None, **more: Any) -> CursorListRequest:
    """The body of POST /<collection>/list: what is not None. A `search` that is text searches everywhere."""
    told = {"cursor": cursor, "limit": limit, **more}
    if isinstance(told.get("search"), str):
        told["search"] = {"term": told["search"]}
    try:
        return CursorListRequest.parse({name: value for name, value in told.items() if value is not None})
    except ValidationError as error:
        problem = error.errors()[0]
        raise UsageError(f"list(): {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None


def pages(load: Callable[[str | None], Page[T]]) -> Iterator[T]:
    """The items of all pages; each page is loaded when it is needed."""
    cursor: str | None = None
    while True:
        page = load(cursor)
        yield from page.items
        cursor = _next(page, cursor)
        if cursor is None:
            return


class AsyncPages(Generic[T]):
    """The async twin of `pages`. An iterator and no generator: it may be dropped anywhere."""

    def __init__(self, load: Callable[[str | None], Awaitable[Page[T]]]) -> None:
        self._load = load
        self._items: deque[T] = deque()
        self._cursor: str | None = None
        self._is_begun = False

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._is_begun and self._cursor is None:
                raise StopAsyncIteration
            page = await self._load(self._cursor)
            self._is_begun, self._cursor = True, _next(page, self._cursor)
            self._items.extend(page.items)
        return self._items.popleft()


def _next(page: Page[Any], cursor: str | None) -> str | None:
    """The next page's cursor; None after the last page, also where a platform sends us round in circles."""
    return page.next_cursor if page.has_next and page.next_cursor and page.next_cursor != cursor else None
