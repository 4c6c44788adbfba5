"""How a kind of record lies in SQL: one table per kind, its INDEX fields as columns beside the whole body as JSON.

The statements are built from declared names only, once per kind; values always travel as parameters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeAlias, TypeVar

from agentkit.errors import UsageError
from agentkit.runtime.records import Record

__all__ = ["Plain", "Statement", "Table", "plain", "table_of"]

R = TypeVar("R", bound=Record)
Plain: TypeAlias = str | int | float | None
Statement: TypeAlias = tuple[str, list[Plain]]

_ALWAYS = ("id", "version", "created_at", "updated_at")
_SORTABLE = ("id", "created_at", "updated_at")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Table:
    """The table of one kind of record, and every statement that touches it."""

    name: str
    fields: tuple[str, ...]  # the INDEX fields
    create: str
    indexes: tuple[str, ...]
    insert: str
    update: str
    delete: str
    get: str
    get_short: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns a record's `row` fills, in its order."""
        return (*_ALWAYS, *self.fields, "body")

    def row(self, record: Record) -> list[Plain]:
        """The values of `columns`. What a nested object never set is not written, so that it stays unset."""
        named = [plain(self.name, field, getattr(record, field)) for field in (*_ALWAYS, *self.fields)]
        return [*named, record.model_dump_json(by_alias=True, exclude_unset=True)]

    def add_column(self, field: str) -> str:
        """The statement that gives an older table the column of a new INDEX field."""
        return f"ALTER TABLE {_quoted(self.name)} ADD COLUMN {_quoted(field)}"

    def find(
        self,
        equals: Mapping[str, Any],
        *,
        order_by: str,
        descending: bool,
        limit: int | None,
        behind: tuple[Plain, int] | None,
    ) -> Statement:
        """The query behind `Reading.find`; `behind` is a row's value in `order_by`, and its `row`.

        Raises UsageError for a field that is no column.
        """
        conditions = [self._condition(field, wanted) for field, wanted in equals.items()]
        if behind is not None:
            conditions.append(self._behind(order_by, *behind, descending=descending))
        where = " AND ".join(f"({condition})" for condition, _ in conditions) or "TRUE"
        # Descending is the ascending order read from its end, ties included: the newest of two rows of one
        # transaction comes first.
        way = "DESC" if descending else "ASC"
        order = f"{self._column(order_by)} {way}, row {way}"
        sql = f"SELECT body FROM {_quoted(self.name)} WHERE {where} ORDER BY {order} LIMIT ?"
        return sql, [*(value for _, values in conditions for value in values), -1 if limit is None else limit]

    def place(self, order_by: str) -> str:
        """The statement that looks up where a record lies in the order: `behind` of `find`."""
        return f"SELECT {self._column(order_by)}, row FROM {_quoted(self.name)} WHERE id = ?"

    def _behind(self, order_by: str, value: Plain, row: int, *, descending: bool) -> Statement:
        column, sign = self._column(order_by), "<" if descending else ">"
        tied = f"{column} IS ? AND row {sign} ?"
        match value, descending:  # SQLite sorts NULL before everything, but compares it with nothing
            case None, True:
                return tied, [None, row]
            case None, False:
                return f"{column} IS NOT NULL OR {tied}", [None, row]
            case _, True:
                return f"{column} < ? OR {column} IS NULL OR {tied}", [value, value, row]
            case _:
                return f"{column} > ? OR {tied}", [value, value, row]

    def _condition(self, field: str, wanted: Any) -> Statement:
        column = self._column(field)
        if not isinstance(wanted, tuple):
            return f"{column} IS ?", [plain(self.name, field, wanted)]  # IS finds NULL too
        bound = [plain(self.name, field, each) for each in wanted]  # pyright: ignore[reportUnknownVariableType] - a tuple of anything
        present = [value for value in bound if value is not None]
        among = f"{column} IN ({', '.join('?' * len(present))})"
        return (f"{among} OR {column} IS NULL" if None in bound else among), [*present]

    def _column(self, field: str) -> str:
        if field not in self.fields and field not in _SORTABLE:
            known = ", ".join((*_SORTABLE, *self.fields))
            raise UsageError(f"{self.name} records cannot be found or ordered by {field!r}; these can: {known}")
        return _quoted(field)


@cache
def table_of(kind: type[Record]) -> Table:
    """The table of this kind. Raises UsageError where its KIND or INDEX cannot be names of one."""
    _check(kind)
    name, fields = _quoted(kind.KIND), kind.INDEX
    columns = [_quoted(each) for each in (*_ALWAYS, *fields, "body")]
    same = "WHERE id = ? AND version = ?"
    return Table(
        name=kind.KIND,
        fields=fields,
        # No column has a type, so none changes a value; `row` is written out because VACUUM may renumber a hidden one.
        create=f"CREATE TABLE {name} (row INTEGER PRIMARY KEY, id NOT NULL UNIQUE, version NOT NULL, "
        f"created_at NOT NULL, updated_at NOT NULL, {''.join(f'{_quoted(field)}, ' for field in fields)}body NOT NULL)",
        indexes=tuple(
            f"CREATE INDEX IF NOT EXISTS {_quoted(f'{kind.KIND}.{field}')} ON {name} ({_quoted(field)}, created_at)"
            for field in fields
        ),
        insert=f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "
        "ON CONFLICT (id) DO NOTHING",
        update=f"UPDATE {name} SET {', '.join(f'{column} = ?' for column in columns)} {same}",
        delete=f"DELETE FROM {name} {same}",
        get=f"SELECT body FROM {name} WHERE id = ?",
        get_short=f"SELECT body FROM {name} WHERE id > ? AND id < ? LIMIT 2",
    )


def plain(kind: str, field: str, value: Any) -> Plain:
    """The value as a column holds it: an enum by its value, a truth as 0 or 1."""
    match value:
        case Enum():
            return plain(kind, field, value.value)
        case None | str() | int() | float():
            return value
        case _:
            raise UsageError(f"{kind}.{field}: a column holds text, a number, a truth or None, not {value!r}")


def _check(kind: type[Record]) -> None:
    for name in (kind.KIND, *kind.INDEX):
        if not _NAME.fullmatch(name):
            raise UsageError(f"{kind.__name__}: {name!r} cannot be the name of a table or column")
    for field in kind.INDEX:
        if field not in kind.model_fields or field in (*_ALWAYS, "row", "body"):
            raise UsageError(f"{kind.__name__}.INDEX names {field!r}, which is no field of its own")


def _quoted(name: str) -> str:
    return f'"{name}"'  # `order` and the like are words of SQL
