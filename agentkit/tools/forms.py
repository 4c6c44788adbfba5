"""A form made of a JSON Schema: which fields a person fills in, and the value that what they typed stands for.

An object has a field for each of its properties; anything else is one field, `ANSWER`. What no field is made for (an
object inside, a list of numbers) is typed as JSON, so that every schema has a form.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from agentkit.errors import SchemaError
from agentkit.tools.jsonable import is_array, is_object
from agentkit.tools.schema import resolved

__all__ = ["ANSWER", "FieldKind", "FormError", "FormField", "fields", "filled_in", "is_single"]

ANSWER: Final = "answer"  # the name of the field of what is no object
LONG_TEXT_CHARS: Final = 200  # a text that may be longer gets several lines
_TRUE: Final = frozenset({"true", "yes", "y", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "n", "off", "0", ""})


class FieldKind(StrEnum):
    """What a field is drawn as."""

    TEXT = "text"
    LONG_TEXT = "long_text"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    DATE = "date"
    CHOICE = "choice"
    CHOICES = "choices"
    LINES = "lines"  # a list of texts, one on each line
    JSON = "json"


class FormError(SchemaError):
    """What was filled in does not make a value: `errors` lists `{"path", "message"}`."""

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__("; ".join(f"{each['path']}: {each['message']}" for each in errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class FormField:
    """One field. `options` are what it can be, as labels with their values."""

    name: str
    kind: FieldKind
    label: str
    description: str = ""
    is_required: bool = False
    has_default: bool = False
    default: Any = None
    options: tuple[tuple[str, Any], ...] = ()
    hint: str = ""  # how to write it

    def part(self, place: int) -> str:
        """The name of one of its options, where each is a field of a page: a box to tick."""
        return f"{self.name}[{place}]"

    def read(self, given: Any) -> Any:
        """The value of what was typed or chosen. Raises ValueError with what would be right."""
        if given is None or (isinstance(given, str) and not given.strip()):
            return False if self.kind is FieldKind.BOOLEAN else None
        return _READERS[self.kind](self, given)


def fields(schema: Mapping[str, Any]) -> tuple[FormField, ...]:
    """The fields, in the order of the properties.

    >>> [(each.name, each.kind.value) for each in fields({"properties": {"age": {"type": "integer"}}})]
    [('age', 'integer')]
    """
    if is_single(schema):
        return (_field(ANSWER, schema, schema, is_required=True),)
    root = resolved(schema, schema)
    properties: Mapping[str, Any] = root["properties"]
    required: Any = root.get("required") if is_array(root.get("required")) else []
    return tuple(_field(name, part, schema, is_required=name in required) for name, part in properties.items())


def filled_in(schema: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
    """The value that a filled in form stands for; what was left empty is left out. It may still miss the schema.

    Raises FormError.

    >>> filled_in({"properties": {"age": {"type": "integer"}, "name": {"type": "string"}}}, {"age": "42", "name": ""})
    {'age': 42}
    """
    form = fields(schema)
    values: dict[str, Any] = {}
    errors: list[dict[str, str]] = []
    for field in form:
        try:
            value = field.read(_given(field, given))
        except ValueError as error:
            errors.append({"path": field.name, "message": str(error)})
            continue
        if value is not None:
            values[field.name] = value
        elif field.is_required:
            errors.append({"path": field.name, "message": "it is required"})
    errors += [{"path": name, "message": "there is no such field"} for name in _foreign(form, given)]
    if errors:
        raise FormError(errors)
    return values[ANSWER] if is_single(schema) else values


def is_single(schema: Mapping[str, Any]) -> bool:
    """Whether the form is one field, whose value is the answer."""
    root = resolved(schema, schema)
    return not is_object(root.get("properties")) or root.get("type", "object") != "object"


# -- parts ---------------------------------------------------------------------------------------------------------


def _given(field: FormField, given: Mapping[str, Any]) -> Any:
    if field.name in given or field.kind is not FieldKind.CHOICES:
        return given.get(field.name)
    ticked = [value for place, (_, value) in enumerate(field.options) if _is_ticked(given.get(field.part(place)))]
    return ticked or None


def _is_ticked(given: Any) -> bool:
    return given.strip().lower() in _TRUE if isinstance(given, str) else bool(given)


def _foreign(form: tuple[FormField, ...], given: Mapping[str, Any]) -> list[str]:
    known = {field.name for field in form}
    known |= {field.part(place) for field in form for place in range(len(field.options))}
    return [name for name in given if name not in known]


def _field(name: str, given: Any, root: Mapping[str, Any], *, is_required: bool) -> FormField:
    schema = _plain(given, root)
    kind, options = _kind(schema, root)
    return FormField(
        name=name,
        kind=kind,
        label=str(schema.get("title") or name),
        description=str(schema.get("description") or ""),
        is_required=is_required,
        has_default="default" in schema,
        default=schema.get("default"),
        options=options,
        hint=_hint(kind, schema),
    )


def _plain(given: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema without what only says that it may be null."""
    schema: Mapping[str, Any] = resolved(given, root) if is_object(given) else {}
    shapes: Any = schema.get("anyOf")
    real = [each for each in shapes if is_object(each) and each.get("type") != "null"] if is_array(shapes) else []
    if len(real) == 1:
        schema = {**resolved(real[0], root), **{name: value for name, value in schema.items() if name != "anyOf"}}
    kinds: Any = schema.get("type")
    if is_array(kinds) and len(left := [each for each in kinds if each != "null"]) == 1:
        schema = {**schema, "type": left[0]}
    return schema


def _kind(schema: Mapping[str, Any], root: Mapping[str, Any]) -> tuple[FieldKind, tuple[tuple[str, Any], ...]]:
    if options := tuple(_options(schema)):
        return FieldKind.CHOICE, options
    if schema.get("type") == "array":
        items = _plain(schema.get("items"), root)
        if options := tuple(_options(items)):
            return FieldKind.CHOICES, options
        return (FieldKind.LINES if items.get("type") == "string" else FieldKind.JSON), ()
    return _of_type(schema), ()


def _of_type(schema: Mapping[str, Any]) -> FieldKind:
    match schema.get("type"):
        case "string" if schema.get("format") == "date":
            return FieldKind.DATE
        case "string":
            return FieldKind.LONG_TEXT if _is_long(schema) else FieldKind.TEXT
        case "number":
            return FieldKind.NUMBER
        case "integer":
            return FieldKind.INTEGER
        case "boolean":
            return FieldKind.BOOLEAN
        case _:
            return FieldKind.JSON


def _is_long(schema: Mapping[str, Any]) -> bool:
    longest = schema.get("maxLength")
    return schema.get("format") == "multi-line" or (isinstance(longest, int) and longest > LONG_TEXT_CHARS)


def _options(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What a value can be: of `enum` (with `enumNames`), or of `oneOf` with a constant each."""
    choices: Any = schema.get("enum")
    if is_array(choices):
        names: Any = schema.get("enumNames")
        labels = names if is_array(names) and len(names) == len(choices) else choices
        yield from ((_label(label), value) for label, value in zip(labels, choices, strict=True) if value is not None)
        return
    shapes: Any = schema.get("oneOf")
    if is_array(shapes) and shapes and all(is_object(each) and "const" in each for each in shapes):
        yield from ((_label(each.get("title") or each["const"]), each["const"]) for each in shapes)


def _label(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


_HINTS: Final = {
    FieldKind.DATE: "2026-01-31",
    FieldKind.JSON: "JSON",
    FieldKind.LINES: "one on each line",
    "date-time": "2026-01-31T08:00:00Z",
    "time": "08:00:00Z",
    "email": "name@example.com",
    "uri": "https://example.com/",
}


def _hint(kind: FieldKind, schema: Mapping[str, Any]) -> str:
    bounds = [f"{word} {schema[name]}" for word, name in (("from", "minimum"), ("to", "maximum")) if name in schema]
    if kind in (FieldKind.NUMBER, FieldKind.INTEGER):
        return " ".join(bounds)
    return _HINTS.get(kind) or _HINTS.get(str(schema.get("format")), "")


# -- what was typed ------------------------------------------------------------------------------------------------


def _text(field: FormField, given: Any) -> Any:
    if not isinstance(given, str):
        raise ValueError("it is a text")
    return given


def _number(field: FormField, given: Any) -> Any:
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise ValueError("it is a number")
    if not isinstance(given, str):
        return given
    try:
        return int(given)
    except ValueError:
        pass
    try:
        value = float(given)
    except ValueError:
        raise ValueError(f"{given[:40]!r} is no number") from None
    if value in (float("inf"), float("-inf")) or value != value:
        raise ValueError(f"{given[:40]!r} is no number")
    return value


def _integer(field: FormField, given: Any) -> Any:
    value = _number(field, given)
    if value != int(value):
        raise ValueError(f"{given!r} is no whole number")
    return int(value)


def _boolean(field: FormField, given: Any) -> Any:
    if isinstance(given, bool):
        return given
    word = str(given).strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(f"{str(given)[:40]!r} is neither yes nor no")
    return word in _TRUE


def _choice(field: FormField, given: Any) -> Any:
    for label, value in field.options:
        if _is_same(given, value) or given in (label, _label(value)):
            return value
    known = ", ".join(label for label, _ in field.options)
    raise ValueError(f"{_label(given)[:80]!r} is none of {known}")


def _is_same(given: Any, value: Any) -> bool:
    return type(given) is type(value) and given == value


def _choices(field: FormField, given: Any) -> Any:
    chosen: list[Any] = given if is_array(given) else [given]
    return [_choice(field, each) for each in chosen]


def _lines(field: FormField, given: Any) -> Any:
    if is_array(given):
        return [_text(field, each) for each in given]
    return [line.strip() for line in _text(field, given).splitlines() if line.strip()]


def _json(field: FormField, given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given, parse_constant=_no_constant)
    except ValueError as error:
        raise ValueError(f"it is no JSON: {error}") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is none")


_READERS: Final = {
    FieldKind.TEXT: _text,
    FieldKind.LONG_TEXT: _text,
    FieldKind.DATE: _text,
    FieldKind.NUMBER: _number,
    FieldKind.INTEGER: _integer,
    FieldKind.BOOLEAN: _boolean,
    FieldKind.CHOICE: _choice,
    FieldKind.CHOICES: _choices,
    FieldKind.LINES: _lines,
    FieldKind.JSON: _json,
}
