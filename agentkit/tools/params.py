"""Schemas of parameters, as plain dicts: `string()`, `enum_of()`, `obj()`, `optional()` and their like.

    >>> from agentkit.tools import array, integer, obj, optional, string
    >>> obj({"name": string("Full name"), "age": optional(integer(minimum=0))})["required"]
    ['name']

Every helper nests in every other, beside raw JSON Schema, pydantic models and types. A property is required unless it
is wrapped in `optional()` or has a default; a default left out by the model is filled in before the handler is called.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, TypeAlias

from agentkit.errors import ToolDefinitionError
from agentkit.tools.jsonable import NotJson, is_object, jsonable
from agentkit.tools.schema import check_schema, embedded, subschemas
from agentkit.tools.typed import adapter_of, schema_of

__all__ = [
    "MARK",
    "Schema",
    "any_of",
    "array",
    "as_schema",
    "boolean",
    "enum_of",
    "integer",
    "may_be_absent",
    "number",
    "obj",
    "optional",
    "properties_of",
    "string",
]

Schema: TypeAlias = dict[str, Any]
"""A JSON Schema."""

MARK: Final = "optional"
"""The keyword by which `optional()` talks to the object around it, as in the SDK; every object takes it away."""


class _Unset(Enum):
    """No default, as opposed to the default None."""

    UNSET = "unset"


UNSET: Final = _Unset.UNSET


# -- scalars -------------------------------------------------------------------------------------------------------


def string(
    description: str | None = None,
    *,
    min_length: int | None = None,
    max_length: int | None = None,
    pattern: str | None = None,
    format: str | None = None,
    default: str | _Unset | None = UNSET,
    nullable: bool = False,
    examples: Sequence[str] | None = None,
) -> Schema:
    """Text; `format` as in JSON Schema (`date`, `date-time`, `email`, `uri`, `uuid`)."""
    limits = {"minLength": min_length, "maxLength": max_length, "pattern": pattern, "format": format}
    return _schema("string", description, limits, default=default, nullable=nullable, examples=examples)


def number(
    description: str | None = None,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    exclusive_minimum: float | None = None,
    exclusive_maximum: float | None = None,
    multiple_of: float | None = None,
    default: float | _Unset | None = UNSET,
    nullable: bool = False,
    examples: Sequence[float] | None = None,
) -> Schema:
    """A number, whole or not."""
    limits = {
        "minimum": minimum,
        "maximum": maximum,
        "exclusiveMinimum": exclusive_minimum,
        "exclusiveMaximum": exclusive_maximum,
        "multipleOf": multiple_of,
    }
    return _schema("number", description, limits, default=default, nullable=nullable, examples=examples)


def integer(
    description: str | None = None,
    *,
    minimum: int | None = None,
    maximum: int | None = None,
    exclusive_minimum: int | None = None,
    exclusive_maximum: int | None = None,
    multiple_of: int | None = None,
    default: int | _Unset | None = UNSET,
    nullable: bool = False,
    examples: Sequence[int] | None = None,
) -> Schema:
    """A whole number."""
    limits = {
        "minimum": minimum,
        "maximum": maximum,
        "exclusiveMinimum": exclusive_minimum,
        "exclusiveMaximum": exclusive_maximum,
        "multipleOf": multiple_of,
    }
    return _schema("integer", description, limits, default=default, nullable=nullable, examples=examples)


def boolean(description: str | None = None, *, default: bool | _Unset | None = UNSET, nullable: bool = False) -> Schema:
    """True or false."""
    return _schema("boolean", description, {}, default=default, nullable=nullable)


def enum_of(
    values: Iterable[Any], description: str | None = None, *, default: Any = UNSET, nullable: bool = False
) -> Schema:
    """One of the values: texts, numbers, or the members of a Python enum."""
    choices: list[Any] = [choice.value if isinstance(choice, Enum) else choice for choice in values]
    if not choices or any(choice in choices[:index] for index, choice in enumerate(choices)):
        raise ToolDefinitionError(f"enum_of({choices!r}): write at least one value, and each value once")
    kinds = {_JSON_TYPES.get(type(choice)) for choice in choices}  # pyright: ignore[reportUnknownArgumentType]: of anything
    kind = kinds.pop() if len(kinds) == 1 else None
    choices += [None] if nullable else []
    return _schema(
        kind, None, {"enum": choices, "description": description or None}, default=default, nullable=nullable
    )


_JSON_TYPES: Final[dict[type, str]] = {str: "string", bool: "boolean", int: "integer", float: "number"}


# -- compounds -----------------------------------------------------------------------------------------------------


def array(
    items: Any,
    description: str | None = None,
    *,
    min_items: int | None = None,
    max_items: int | None = None,
    unique_items: bool | None = None,
    default: Sequence[Any] | _Unset | None = UNSET,
    nullable: bool = False,
) -> Schema:
    """A list whose items fit the schema or type `items`."""
    definitions: dict[str, Any] = {}
    inner = _inside(as_schema(items, what="array()"), definitions, what="array()")
    limits: dict[str, Any] = {"items": inner, "description": description or None}
    limits |= {"minItems": min_items, "maxItems": max_items, "uniqueItems": unique_items}
    return _schema("array", None, limits, default=default, nullable=nullable) | _defs(definitions)


def obj(
    properties: Mapping[str, Any],
    description: str | None = None,
    *,
    additional_properties: bool | None = None,
    default: Mapping[str, Any] | _Unset | None = UNSET,
    nullable: bool = False,
) -> Schema:
    """An object with these properties; `additional_properties=False` refuses all others."""
    definitions: dict[str, Any] = {}
    inner, required = properties_of(properties, definitions, what="obj()")
    limits = {
        "properties": inner,
        "description": description or None,
        "required": required or None,  # protocol.md 6.7: only when there are some, below the root
        "additionalProperties": additional_properties,
    }
    return _schema("object", None, limits, default=default, nullable=nullable) | _defs(definitions)


def any_of(*schemas: Any, description: str | None = None, default: Any = UNSET) -> Schema:
    """A value that fits at least one of the schemas or types."""
    if not schemas:
        raise ToolDefinitionError("any_of(): write at least one schema, for example any_of(string(), integer())")
    definitions: dict[str, Any] = {}
    parts = [_inside(as_schema(schema, what="any_of()"), definitions, what="any_of()") for schema in schemas]
    return _schema(None, None, {"anyOf": parts, "description": description or None}, default=default) | _defs(
        definitions
    )


def optional(schema: Any) -> Schema:
    """The same schema for a property that may be left out of the object around it, at any depth.

    The mark is the keyword `"optional": True`, which the object around takes away again.
    """
    return as_schema(schema, what="optional()") | {MARK: True}


# -- what the builders ask -----------------------------------------------------------------------------------------


def as_schema(schema: Any, *, what: str) -> Schema:
    """The JSON Schema of a helper's result, a raw schema, a model or a type; `what` names it in errors.

    Raises SchemaError for a dict that is no JSON Schema, ToolDefinitionError for what is no schema at all.
    """
    if isinstance(schema, str):
        raise ToolDefinitionError(f"{what}: {schema!r} is text, not a schema; write string({schema!r})")
    if inspect.isroutine(schema):
        name = getattr(schema, "__name__", repr(schema))
        raise ToolDefinitionError(f"{what}: {name} is a function, not a schema; call it: {name}()")
    if not isinstance(schema, Mapping):
        return schema_of(adapter_of(schema, what=what, error=ToolDefinitionError))
    try:
        plain: Schema = jsonable(schema)
    except NotJson as problem:
        raise ToolDefinitionError(f"{what}: a schema is plain JSON, and {problem} is not") from None
    check_schema(plain, what=what)
    _settle(plain)
    return plain


def may_be_absent(schema: Mapping[str, Any]) -> bool:
    """Whether an object may lack the property of that schema: marked optional, or with a default to fill in."""
    return schema.get(MARK) is True or "default" in schema


def properties_of(
    properties: Mapping[str, Any], definitions: dict[str, Any], *, what: str, noun: str = "property"
) -> tuple[dict[str, Schema], list[str]]:
    """The schemas of an object's properties, and the names of the required ones; `$defs` move to `definitions`."""
    schemas = {name: as_schema(schema, what=f"{what}, {noun} {name!r}") for name, schema in properties.items()}
    required = [name for name, schema in schemas.items() if not may_be_absent(schema)]
    return {name: _inside(schema, definitions, what=what) for name, schema in schemas.items()}, required


def _inside(schema: Schema, definitions: dict[str, Any], *, what: str) -> Schema:
    inner = embedded(schema, definitions, what=what)
    inner.pop(MARK, None)
    return inner


def _settle(schema: Schema) -> None:
    """Takes the marks of everything inside a raw schema away, each together with its name in `required`."""
    for part in subschemas(schema):  # an object comes before its properties, so their marks are still there
        marked = [name for name, inner in part.get("properties", {}).items() if _is_marked(inner)]
        if marked and "required" in part:
            part["required"] = [name for name in part["required"] if name not in marked]
        if part is not schema and _is_marked(part):
            del part[MARK]


def _is_marked(schema: Any) -> bool:
    return is_object(schema) and schema.get(MARK) is True


def _schema(
    kind: str | None,
    description: str | None,
    keywords: Mapping[str, Any],
    *,
    default: Any = UNSET,
    nullable: bool = False,
    examples: Sequence[Any] | None = None,
) -> Schema:
    """The schema with the keywords that are not None, in this order, and no description where it is empty."""
    types = [kind, "null"] if nullable else kind
    words = {"description": description} if description else {}
    schema = {"type": types if kind else None, **words, **keywords}
    schema["examples"] = list(examples) if examples is not None else None
    given = {keyword: value for keyword, value in schema.items() if value is not None}
    return given if default is UNSET else given | {"default": default}


def _defs(definitions: dict[str, Any]) -> Schema:
    return {"$defs": definitions} if definitions else {}
