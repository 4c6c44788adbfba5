"""JSON Schema, draft 2020-12: is this one, where are its parts, and can it be put inside another."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError as NotASchema

from agentkit.errors import SchemaError
from agentkit.tools.jsonable import is_array, is_mapping, is_object

__all__ = ["check_schema", "embedded", "resolved", "subschemas"]

# Which keywords hold schemas; all others hold data (enum, const, default, examples) or plain constraints.
_ONE: Final = (
    *("items", "contains", "additionalProperties", "propertyNames", "unevaluatedItems", "unevaluatedProperties"),
    *("not", "if", "then", "else"),
)
_SEVERAL: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED: Final = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")

_DEFINITION = re.compile(r"#/(?:\$defs|definitions)/([^/]+)(/.*)?")


def check_schema(schema: Any, *, what: str = "schema") -> None:
    """Raises SchemaError where `schema` is not a JSON Schema or refers to what is not in it; `what` names it."""
    if not is_mapping(schema):
        raise SchemaError(f"{what}: a JSON Schema is an object, not {type(schema).__name__}")
    root = dict[str, Any](schema)
    try:
        Draft202012Validator.check_schema(root)
    except NotASchema as error:
        path = ".".join(map(str, error.absolute_path)) or "(root)"
        raise SchemaError(f"{what}: not a JSON Schema at {path}: {error.message}") from None
    for part in subschemas(root):
        if isinstance(part.get("$ref"), str):
            _check_reference(root, part["$ref"], what=what)


def subschemas(schema: Any) -> Iterator[dict[str, Any]]:
    """The schema and every schema inside it, in document order. Data inside enum, const and the like is no schema."""
    if not is_object(schema):
        return  # `true` and `false` are schemas too, with nothing inside
    yield schema
    parts = [schema.get(keyword) for keyword in _ONE]
    parts += [part for keyword in _SEVERAL for part in schema.get(keyword, [])]
    parts += [part for keyword in _NAMED for part in schema.get(keyword, {}).values()]
    for part in parts:
        yield from subschemas(part)


def resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a schema that is only a `$ref` stands for; the schema itself otherwise."""
    seen: set[str] = set()
    while isinstance(reference := schema.get("$ref"), str) and reference not in seen:
        seen.add(reference)
        schema = _target(root, reference)
    return schema


def embedded(schema: Mapping[str, Any], definitions: dict[str, Any], *, what: str) -> dict[str, Any]:
    """The schema as it reads inside another document: its `$defs` move to `definitions` and references follow them.

    Where a name is taken by a different definition, they get numbers. Raises SchemaError for references that change
    their meaning inside another document.
    """
    inner: dict[str, Any] = copy.deepcopy(dict(schema))
    own: dict[str, Any] = {**inner.pop("definitions", {}), **inner.pop("$defs", {})}
    names = _new_names(own, definitions)
    definitions.update({names[name]: part for name, part in own.items()})
    for part in (part for tree in (inner, *own.values()) for part in subschemas(tree)):
        if isinstance(part.get("$ref"), str):
            part["$ref"] = _moved(part["$ref"], names, what=what)
    return inner


def _new_names(own: Mapping[str, Any], taken: Mapping[str, Any]) -> dict[str, str]:
    """The same names, unless one of them stands for something else: they refer to each other, so then all change."""
    if all(taken.get(name, part) == part for name, part in own.items()):
        return {name: name for name in own}
    return {name: next(free for free in _numbered(name) if free not in taken and free not in own) for name in own}


def _numbered(name: str) -> Iterator[str]:
    return (f"{name}_{number}" for number in count(2))


def _moved(reference: str, names: Mapping[str, str], *, what: str) -> str:
    match = _DEFINITION.fullmatch(reference)
    if match is None:
        raise SchemaError(
            f"{what}: the reference {reference!r} means something else inside a tool's schema; "
            "move its target to $defs and refer to it as '#/$defs/NAME'"
        )
    name = match[1]
    return f"#/$defs/{names.get(name, name)}{match[2] or ''}"


def _check_reference(root: Mapping[str, Any], reference: str, *, what: str) -> None:
    if not reference.startswith("#"):
        raise SchemaError(f"{what}: the reference {reference!r} points outside the schema; copy its target to $defs")
    try:
        _target(root, reference)
    except (KeyError, IndexError, ValueError, TypeError):
        raise SchemaError(f"{what}: the reference {reference!r} points to nothing in the schema") from None


def _target(root: Mapping[str, Any], reference: str) -> Any:
    """What a JSON pointer (RFC 6901, as a fragment) or an `$anchor` stands for; KeyError where nothing."""
    fragment = reference.removeprefix("#")
    if fragment and not fragment.startswith("/"):
        return {part["$anchor"]: part for part in subschemas(dict(root)) if "$anchor" in part}[fragment]
    found: Any = root
    for step in fragment.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        found = found[int(key)] if is_array(found) else found[key]
    return found
