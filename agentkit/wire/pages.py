"""Lists: the request and the page that answers it (protocol.md 1.5)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Generic, TypeVar

from pydantic import Field

from agentkit.wire._base import Open, Wire, WireBase

__all__ = ["CursorListRequest", "Filter", "FilterOperator", "Page", "SearchRequest", "SortOrder"]

T = TypeVar("T")


class FilterOperator(StrEnum):
    """How a filter compares."""

    OP_EQUAL = "eq"
    OP_NOT_EQUAL = "neq"
    OP_IN = "in"
    OP_NOT_IN = "not_in"
    OP_GREATER = "gt"
    OP_GREATER_EQUAL = "gte"
    OP_LESS = "lt"
    OP_LESS_EQUAL = "lte"
    OP_LIKE = "like"
    OP_I_LIKE = "ilike"
    OP_CONTAINS = "contains"
    OP_NOT_CONTAINS = "not_contains"
    OP_IS_NULL = "is_null"
    OP_IS_NOT_NULL = "is_not_null"
    OP_IS_EMPTY = "is_empty"
    OP_IS_NOT_EMPTY = "is_not_empty"


class Filter(Wire):
    """A condition on one field."""

    field: str = ""
    operator: Open[FilterOperator] = FilterOperator.OP_EQUAL
    value: Any = None


class SortOrder(Wire):
    """A field to sort by; `dir` is asc or desc."""

    field: str = ""
    dir: str = ""


class SearchRequest(Wire):
    """A text to look for."""

    fields: list[str] | None = None
    term: str = ""
    exact: bool | None = None


class CursorListRequest(Wire):
    """The body of every `POST /<collection>/list`; all of it optional."""

    cursor: str | None = None
    limit: int | None = None
    page: int | None = None
    direction: str | None = None
    search: SearchRequest | None = None
    filters: list[Filter] | None = None
    preloads: list[str] | None = None
    sort: list[SortOrder] | None = None
    fields: list[str] | None = None
    permissions: list[str] | None = None
    include_others: bool | None = None


class Page(WireBase, Generic[T]):
    """A page of a list. An empty cursor means that there is nothing further in that direction."""

    items: list[T] = Field(default_factory=lambda: list[T]())
    next_cursor: str = ""
    prev_cursor: str = ""
    has_next: bool = False
    has_previous: bool = False
    items_per_page: int | None = None
    total_items: int | None = None

    def to_wire(self) -> dict[str, Any]:
        """The JSON object with every member, also of the objects in it."""
        return self.model_dump(mode="json", by_alias=True)
