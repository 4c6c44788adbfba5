"""The conditions of a list request: which fields a kind of record can be filtered, searched and sorted by.

Equality on an indexed field is left to the store; every other condition is a function of the record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, TypeAlias

from agentkit.protocol.lines import is_array, is_object
from agentkit.runtime.faults import Fault
from agentkit.runtime.records import (
    AgentRecord,
    AppRecord,
    ChatRecord,
    IntegrationRecord,
    KeyRecord,
    MessageRecord,
    Record,
    SecretRecord,
    StoredFile,
    TaskRecord,
)
from agentkit.wire import CursorListRequest, Filter, FilterOperator, SearchRequest, parse_status

__all__ = ["Listing", "beyond", "listing"]

Condition: TypeAlias = Callable[[Any], bool]

MOST_VALUES: Final = 1_000  # in one list; SQLite binds only so many
SMALLEST, LARGEST = -(1 << 63), (1 << 63) - 1  # what SQLite holds
ALWAYS: Final = ("id", "created_at", "updated_at")
TIMES: Final = ("created_at", "updated_at", "run_at", "finished_at")
FIELDS: Final[Mapping[type[Record], Sequence[str]]] = {  # beside ALWAYS
    ChatRecord: ("status", "name", "agent_id", "parent_id"),
    MessageRecord: ("order", "role", "status"),
    AgentRecord: ("namespace", "name", "visibility"),
    AppRecord: ("namespace", "name", "description", "category", "visibility"),
    StoredFile: ("filename", "content_type", "size", "path"),
    SecretRecord: ("key", "description"),
    IntegrationRecord: ("provider", "status", "auth"),
    KeyRecord: ("name", "expires_at"),
    TaskRecord: (
        *("status", "app_id", "app_version_id", "session_id", "function", "infra", "error", "worker_id", "chat_id"),
        *("visibility", "is_featured", "run_at", "finished_at"),
    ),
}
SEARCHED: Final[Mapping[type[Record], Sequence[str]]] = {  # where a search names no fields
    ChatRecord: ("id", "name"),
    AgentRecord: ("id", "namespace", "name"),
    AppRecord: ("id", "namespace", "name", "description"),
    StoredFile: ("id", "filename", "path"),
    SecretRecord: ("key", "description"),
    IntegrationRecord: ("provider", "account_name"),
    KeyRecord: ("id", "name"),
    TaskRecord: ("id", "function", "error"),
}


@dataclass(frozen=True, slots=True)
class Listing:
    """A list request, understood."""

    order_by: str
    is_descending: bool
    equals: Mapping[str, Any]  # for the store
    conditions: Sequence[Condition]  # for the records it finds

    def matches(self, record: Record) -> bool:
        """Whether the record meets every condition that the store does not know."""
        return all(condition(record) for condition in self.conditions)


def listing(kind: type[Record], request: CursorListRequest, *, order_by: str, equals: Mapping[str, Any]) -> Listing:
    """What the request asks for, within `equals`. Raises Fault for what this kind does not have."""
    found, conditions = dict(equals), list[Condition]()
    for each in request.filters or ():
        field, wanted = _known(kind, each.field, "filter"), _operand(kind, each)
        if each.operator in _INDEXED and field in kind.INDEX and field not in found:
            found[field] = tuple(wanted) if is_array(wanted) else wanted
        else:
            conditions.append(_condition(field, str(each.operator), wanted))
    if request.search is not None and request.search.term:
        conditions.append(_search(kind, request.search))
    column, is_descending = _sort(kind, request) or (order_by, True)
    return Listing(column, is_descending, found, conditions)


def beyond(field: str, value: Any, *, is_descending: bool) -> Condition:
    """The condition that a record lies behind this value in the order, or has it too. Null sorts before everything."""
    last = (value is not None, value)

    def is_beyond(record: Any) -> bool:
        have = _plain(getattr(record, field))
        place = (have is not None, have)
        try:
            return place <= last if is_descending else place >= last
        except TypeError:  # the value of another field: a cursor of another list
            return False

    return is_beyond


# -- fields --------------------------------------------------------------------------------------------------------


def _known(kind: type[Record], field: str, what: str, *, among: Sequence[str] | None = None) -> str:
    known = among if among is not None else (*ALWAYS, *FIELDS.get(kind, ()))
    if field not in known:
        raise Fault("invalid_request", f"{what}: there is no field {field!r} here; there are {', '.join(known)}")
    return field


def _sort(kind: type[Record], request: CursorListRequest) -> tuple[str, bool] | None:
    orders = request.sort or []
    if not orders:
        return None
    if len(orders) > 1:
        raise Fault("invalid_request", "sort: by one field, please; ties come in the order they were stored in")
    sortable = [*ALWAYS, *(each for each in FIELDS.get(kind, ()) if each in kind.INDEX)]
    if (way := orders[0].dir.lower() or "asc") not in ("asc", "desc"):
        raise Fault("invalid_request", f"sort: dir is asc or desc, not {orders[0].dir!r}")
    return _known(kind, orders[0].field, "sort", among=sortable), way == "desc"


def _search(kind: type[Record], search: SearchRequest) -> Condition:
    fields = [_known(kind, each, "search") for each in search.fields or SEARCHED.get(kind, ("id",))]
    term = search.term.casefold()

    def is_found(record: Any) -> bool:
        texts = [str(_plain(getattr(record, field)) or "").casefold() for field in fields]
        return any(text == term if search.exact else term in text for text in texts)

    return is_found


# -- values --------------------------------------------------------------------------------------------------------


def _operand(kind: type[Record], given: Filter) -> Any:
    """The filter's value as records hold it: a status by its number, a moment in the store's form."""
    if given.operator in (FilterOperator.OP_IN, FilterOperator.OP_NOT_IN):
        if not is_array(given.value) or len(given.value) > MOST_VALUES:
            told = f"filter {given.field}: {given.operator} takes a list of at most {MOST_VALUES} values"
            raise Fault("invalid_request", told)
        return [_value(kind, given.field, each) for each in given.value]
    return _value(kind, given.field, given.value)


def _value(kind: type[Record], field: str, value: Any) -> Any:
    if is_object(value) or is_array(value):
        raise Fault("invalid_request", f"filter {field}: one plain value, please, not a JSON object or array")
    if isinstance(value, int) and not SMALLEST <= value <= LARGEST:
        raise Fault("invalid_request", f"filter {field}: no field holds a number as large as that")
    if kind is TaskRecord and field == "status" and isinstance(value, str):
        if not (status := parse_status(int(value) if value.isdecimal() else value)):
            raise Fault("invalid_request", f"filter status: {value!r} is no status of a task")
        return int(status)
    if field in TIMES and isinstance(value, str):
        return _moment(field, value)
    return value


def _moment(field: str, text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError):
        raise Fault("invalid_request", f"filter {field}: {text!r} is no RFC 3339 time") from None


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


# -- operators -----------------------------------------------------------------------------------------------------

_Compare: TypeAlias = Callable[[Any, Any], bool]


def _ordered(compare: _Compare) -> _Compare:
    """The comparison, false where the two have no order: a null, a text and a number."""

    def is_so(have: Any, wanted: Any) -> bool:
        try:
            return compare(have, wanted)
        except TypeError:
            return False

    return is_so


def _like(have: Any, wanted: Any, *, flags: int = 0) -> bool:
    """SQL's LIKE: `%` is any text, `_` any character. The first place where a part fits is as good as any other."""
    text, raw = str(have or ""), str(wanted).split("%")
    first, *others = [re.compile(re.escape(part).replace("_", "."), flags | re.DOTALL) for part in raw]
    if not others:
        return first.fullmatch(text) is not None
    start, end = len(raw[0]), len(text) - len(raw[-1])
    if start > end or not first.match(text) or not others.pop().match(text, end):
        return False
    for part in others:
        found = part.search(text, start, end)
        if found is None:
            return False
        start = found.end()
    return True


_INDEXED: Final = (FilterOperator.OP_EQUAL, FilterOperator.OP_IN)
_OPERATORS: Final[Mapping[str, _Compare]] = {
    FilterOperator.OP_EQUAL: lambda have, wanted: bool(have == wanted),
    FilterOperator.OP_NOT_EQUAL: lambda have, wanted: bool(have != wanted),
    FilterOperator.OP_IN: lambda have, wanted: have in wanted,
    FilterOperator.OP_NOT_IN: lambda have, wanted: have not in wanted,
    FilterOperator.OP_GREATER: _ordered(lambda have, wanted: bool(have > wanted)),
    FilterOperator.OP_GREATER_EQUAL: _ordered(lambda have, wanted: bool(have >= wanted)),
    FilterOperator.OP_LESS: _ordered(lambda have, wanted: bool(have < wanted)),
    FilterOperator.OP_LESS_EQUAL: _ordered(lambda have, wanted: bool(have <= wanted)),
    FilterOperator.OP_LIKE: _like,
    FilterOperator.OP_I_LIKE: lambda have, wanted: _like(have, wanted, flags=re.IGNORECASE),
    FilterOperator.OP_CONTAINS: lambda have, wanted: str(wanted) in str(have or ""),
    FilterOperator.OP_NOT_CONTAINS: lambda have, wanted: str(wanted) not in str(have or ""),
    FilterOperator.OP_IS_NULL: lambda have, wanted: have is None,
    FilterOperator.OP_IS_NOT_NULL: lambda have, wanted: have is not None,
    FilterOperator.OP_IS_EMPTY: lambda have, wanted: have in (None, ""),
    FilterOperator.OP_IS_NOT_EMPTY: lambda have, wanted: have not in (None, ""),
}


def _condition(field: str, operator: str, wanted: Any) -> Condition:
    compare = _OPERATORS.get(operator)
    if compare is None:
        there = ", ".join(FilterOperator)
        raise Fault("invalid_request", f"filter {field}: there is no operator {operator!r}; there are {there}")
    return lambda record: compare(_plain(getattr(record, field)), wanted)
