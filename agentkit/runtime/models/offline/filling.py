"""Filling a JSON Schema from a document: each property by its name, title, description, type and format.

Every value is checked against its part of the schema before it counts, so what comes out is valid or not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Any, Final

from agentkit.runtime.models._json import is_object
from agentkit.runtime.models.offline import numbers, texts, verdicts
from agentkit.runtime.models.offline.dates import find_dates
from agentkit.runtime.models.offline.document import Document
from agentkit.runtime.models.offline.items import Item, items
from agentkit.runtime.models.offline.known import Known
from agentkit.runtime.models.offline.labels import Kind
from agentkit.runtime.models.offline.shapes import Shape, blank, fits
from agentkit.runtime.models.offline.turn import Turn
from agentkit.runtime.models.offline.words import name_words, word_set

__all__ = ["Missing", "Reading", "fill"]


class Missing(Enum):
    """There is no value; None is one."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


@dataclass(frozen=True)
class Reading:
    """All that a value may come from: the document, the turn so far, and the system prompt for what it says to use."""

    document: Document
    turn: Turn
    system_prompt: str = ""

    @cached_property
    def known(self) -> Known:
        """What JSON in the text and the tools' results say by name."""
        return Known(self.document, self.turn)

    @cached_property
    def items(self) -> list[Item]:
        """The sold things the document lists."""
        return items(self.document)


def fill(schema: Mapping[str, Any], reading: Reading, *, with_blanks: bool) -> dict[str, Any] | None:
    """The object that the schema asks for; None where something required is not to be found.

    `with_blanks` puts null, or the emptiest valid value, in the place of what is required and not found.
    """
    shape = Shape.of("", schema, root=schema)
    value = _Filler(reading, with_blanks=with_blanks).object(shape)
    return value if is_object(value) and fits(value, schema, schema) else None


class _Filler:
    def __init__(self, reading: Reading, *, with_blanks: bool) -> None:
        self._reading = reading
        self._with_blanks = with_blanks

    def object(self, shape: Shape) -> Any:
        made: dict[str, Any] = {}
        members = shape.properties
        for inner in members:
            value = self.value(inner)
            if value is not MISSING:
                made[inner.name] = value
        numbers.in_order(made, members, self._reading.document)
        for inner in members:
            if inner.is_required and inner.name not in made:
                if not (self._with_blanks or inner.is_nullable):
                    return MISSING
                made[inner.name] = blank(inner)
        return {inner.name: made[inner.name] for inner in members if inner.name in made}

    def value(self, shape: Shape) -> Any:
        """The first candidate that is valid."""
        for candidate in self._candidates(shape):
            if candidate is not None and fits(candidate, shape.schema, shape.root):
                return candidate
        return shape.schema.get("default", MISSING) if not shape.is_required or self._with_blanks else MISSING

    def _candidates(self, shape: Shape) -> Iterator[Any]:
        if "const" in shape.schema:
            yield shape.schema["const"]
        for known in self._reading.known.named(shape.name):
            yield from _as_type(known, shape)
        concept = shape.concept(*_KINDS.get(shape.type, ()))
        for known in self._reading.known.meaning(concept) if concept else ():
            yield from _as_type(known, shape)
        yield from _BY_TYPE[shape.type](self, shape) if shape.type in _BY_TYPE else ()
        for known in self._reading.known.like([*shape.words, *shape.description.split()]):
            yield from _as_type(known, shape)

    def string(self, shape: Shape) -> Iterator[Any]:
        if "enum" in shape.schema:
            return verdicts.members(shape, self._reading)
        return texts.candidates(shape, self._reading)

    def number(self, shape: Shape) -> Iterator[Any]:
        if "enum" in shape.schema:
            return verdicts.members(shape, self._reading)
        return (_plain(value, shape) for value in numbers.candidates(shape, self._reading))

    def boolean(self, shape: Shape) -> Iterator[Any]:
        yield verdicts.is_so(shape, self._reading)

    def nested(self, shape: Shape) -> Iterator[Any]:
        """An object of its own, if anything of it is there."""
        made = _Filler(self._reading, with_blanks=False).object(shape)
        if is_object(made) and any(value not in (None, "", []) for value in made.values()):
            yield made

    def array(self, shape: Shape) -> Iterator[Any]:
        inner = shape.items
        if inner.type == "object":
            for known in self._reading.known.rows():
                yield [row for entry in known if (row := _known_row(entry, inner)) is not None] or None
            rows = [row for item in self._reading.items if (row := _row(item, inner)) is not None]
            yield rows if rows else None
            return
        if inner.type in ("number", "integer"):
            yield [_plain(value, inner) for value in numbers.all_in(self._reading.document)] or None
            return
        yield from texts.lists(shape, inner, self._reading)


_KINDS: Final[Mapping[str, tuple[Kind, ...]]] = {
    "string": ("code", "name", "text", "date"),
    "number": ("money", "number", "percent"),
    "integer": ("number", "money"),
}
_BY_TYPE: Final[Mapping[str, Callable[[_Filler, Shape], Iterator[Any]]]] = {
    "string": _Filler.string,
    "number": _Filler.number,
    "integer": _Filler.number,
    "boolean": _Filler.boolean,
    "object": _Filler.nested,
    "array": _Filler.array,
}


def _as_type(value: Any, shape: Shape) -> Iterator[Any]:
    """A known value, and the same in the type that is asked for."""
    yield value
    match shape.type, value:
        case "string", str() if shape.schema.get("format") == "date":
            yield from (dated.value.isoformat() for dated in find_dates(value, order="mdy"))
        case "string", int() | float() if not isinstance(value, bool):
            yield str(value)
        case "number" | "integer", str():
            yield from (_plain(number, shape) for number in numbers.alone(value))
        case _:
            return


def _plain(value: Decimal, shape: Shape) -> Any:
    """The number as JSON writes it: whole numbers without a fraction."""
    if shape.type == "integer":
        return int(value) if value == value.to_integral_value() else None
    return int(value) if value == value.to_integral_value() else float(value)


# -- the rows of a table -------------------------------------------------------------------------------------------

_ROW_WORDS: Final[tuple[tuple[str, frozenset[str]], ...]] = (
    ("quantity", word_set("quantity qty count pieces units hours nights number menge")),
    ("unit_price", word_set("unit each single")),
    ("description", word_set("description name item product title label text article service what")),
    ("amount", word_set("amount total price cost sum value subtotal line")),
)


def _known_row(entry: Mapping[str, Any], shape: Shape) -> dict[str, Any] | None:
    """A row in the words of the schema: a key means a property by its own words, or by those of the same column."""
    made: dict[str, Any] = {}
    for inner in shape.properties:
        words = _column_words(inner.words) | set(inner.words)
        value = next((each for key, each in entry.items() if words & set(name_words(key))), None)
        if value is not None and fits(value, inner.schema, inner.root):
            made[inner.name] = value
    return made if fits(made, shape.schema, shape.root) else None


def _column_words(words: list[str]) -> frozenset[str]:
    nothing: frozenset[str] = frozenset()
    return next((column for _, column in _ROW_WORDS if column & set(words)), nothing)


def _row(item: Item, shape: Shape) -> dict[str, Any] | None:
    made: dict[str, Any] = {}
    for inner in shape.properties:
        value = _of_item(item, inner)
        if value is not None and fits(value, inner.schema, inner.root):
            made[inner.name] = value
        elif inner.is_required:
            made[inner.name] = blank(inner)
    return made if fits(made, shape.schema, shape.root) else None


def _of_item(item: Item, shape: Shape) -> Any:
    kind = next((kind for kind, words in _ROW_WORDS if words & set(shape.words)), None)
    value = {
        "quantity": item.quantity if item.quantity is not None else Decimal(1),
        "unit_price": item.unit_price if item.unit_price is not None else item.amount / (item.quantity or 1),
        "description": item.description,
        "amount": item.amount,
    }.get(kind or "")
    if isinstance(value, Decimal):
        return f"{value:.2f}" if shape.type == "string" else _plain(value, shape)
    return value if shape.type == "string" else None
