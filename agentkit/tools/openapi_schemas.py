"""The schemas of an OpenAPI document, 3.0 or 3.1, as JSON Schema of one tool: references become its `$defs`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import count
from typing import Any, Final

from agentkit.tools.jsonable import is_array, is_object

__all__ = ["Unsupported", "Vocabulary"]

_LEFT_OUT: Final = frozenset(
    {"example", "xml", "externalDocs", "discriminator", "nullable", "readOnly", "writeOnly", "$schema", "$id"}
)
_ONE: Final = frozenset(
    {"items", "contains", "additionalProperties", "propertyNames", "not", "if", "then", "else"}
    | {"unevaluatedItems", "unevaluatedProperties"}
)
_SEVERAL: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
_MERGED: Final = frozenset({"type", "properties", "required", "allOf", "title", "description", "examples", "default"})
DEEPEST: Final = 100  # references to references


class Unsupported(Exception):
    """A part of an operation that no tool can have; says which, and why."""


class Vocabulary:
    """Reads the document for one operation. `definitions` has the schemas that were referred to so far."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self.definitions: dict[str, Any] = {}
        self._names: dict[str, str] = {}  # reference -> its name in `definitions`

    def resolve(self, value: Any) -> Mapping[str, Any]:
        """What an object of the document, or a reference to one, stands for. Raises Unsupported."""
        reference: Any = None
        for _ in range(DEEPEST):
            if not is_object(value):
                raise Unsupported(f"{value!r} stands where the document needs an object"[:200])
            reference = value.get("$ref")
            if not isinstance(reference, str):
                return value
            value = self._target(reference)
        raise Unsupported(f"the reference {reference!r} leads to itself")

    def schema(self, source: Any) -> dict[str, Any]:
        """A schema as JSON Schema, draft 2020-12; what it refers to comes into `definitions`."""
        if isinstance(source, bool):
            return {} if source else {"not": {}}
        if not is_object(source):
            raise Unsupported(f"{source!r} stands where the document needs a schema"[:200])
        if isinstance(reference := source.get("$ref"), str):
            beside = {key: each for key, each in source.items() if key in ("description", "default")}
            return {"$ref": f"#/$defs/{self._defined(reference)}", **beside}
        converted = {key: self._keyword(key, each) for key, each in source.items() if not _is_left_out(key)}
        _drop_read_only(source, converted, self)
        _bring_up_to_date(source, converted)
        return converted

    def object_schema(self, source: Any) -> dict[str, Any]:
        """The schema of an object with its properties at the top: references followed, `allOf` merged."""
        whole = self.schema(self._flat(source))
        kind = whole.pop("type", "object")
        if kind != "object" and "object" not in kind:
            raise Unsupported(f"a body that is no JSON object but {kind!r}")
        if variants := [key for key in ("oneOf", "anyOf") if key in whole]:
            raise Unsupported(f"a body that is one of several shapes ({variants[0]})")
        for key in ("title", "description", "examples", "default"):
            whole.pop(key, None)
        return whole

    def kinds(self, schema: Mapping[str, Any], seen: frozenset[str] = frozenset()) -> set[str]:
        """The types that a converted schema allows, as far as it says; what it says by referring to itself is none."""
        while isinstance(reference := schema.get("$ref"), str):
            if reference in seen:
                return set()
            seen |= {reference}
            schema = self.definitions[reference.removeprefix("#/$defs/")]
        kind = schema.get("type")
        own = {str(kind)} if isinstance(kind, str) else set(map(str, kind)) if is_array(kind) else set[str]()
        own |= {"object"} if "properties" in schema else set()
        variants = [each for key in ("anyOf", "oneOf", "allOf") for each in schema.get(key, ())]
        return own.union(*(self.kinds(each, seen) for each in variants if is_object(each)))

    # -- parts -----------------------------------------------------------------------------------------------------

    def _target(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            raise Unsupported(f"the reference {reference!r} points outside the document; bundle it first")
        found: Any = self.root
        for step in reference[2:].split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(key)] if is_array(found) else found[key]
            except (KeyError, IndexError, ValueError, TypeError):
                raise Unsupported(f"the reference {reference!r} points to nothing in the document") from None
        return found

    def _defined(self, reference: str) -> str:
        """The name that the target has among the definitions; it is there before its own references are followed."""
        if reference in self._names:
            return self._names[reference]
        target = self._target(reference)
        stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", reference.rpartition("/")[2]) or "schema"
        numbered = (stem if number == 1 else f"{stem}_{number}" for number in count(1))
        name = next(each for each in numbered if each not in self.definitions)
        self._names[reference] = name
        self.definitions[name] = {}
        self.definitions[name] = self.schema(target)
        return name

    def _keyword(self, key: str, value: Any) -> Any:
        if key in _ONE:
            return value if isinstance(value, bool) else self.schema(value)
        if key in _SEVERAL and is_array(value):
            return [self.schema(each) for each in value]
        if key in _NAMED and is_object(value):
            return {name: self.schema(each) for name, each in value.items()}
        return value

    def _flat(self, source: Any, seen: tuple[int, ...] = ()) -> dict[str, Any]:
        """The object without references and `allOf` at its top."""
        resolved = self.resolve(source)
        if id(resolved) in seen:
            raise Unsupported("a body that is all of itself")
        flat: dict[str, Any] = dict(resolved)
        for each in flat.pop("allOf", ()):
            inner = self._flat(each, (*seen, id(resolved)))
            if odd := [key for key in inner if key not in _MERGED and key in flat and flat[key] != inner[key]]:
                raise Unsupported(f"a body whose parts disagree about {odd[0]!r}")
            properties = {**inner.get("properties", {}), **flat.get("properties", {})}
            required = list(dict.fromkeys([*inner.get("required", ()), *flat.get("required", ())]))
            flat = {**inner, **flat, "properties": properties, "required": required}
        return flat


def _is_left_out(key: str) -> bool:
    return key in _LEFT_OUT or key.startswith("x-")


def _drop_read_only(source: Mapping[str, Any], converted: dict[str, Any], vocabulary: Vocabulary) -> None:
    """What only the server writes is nothing to send."""
    properties = source.get("properties")
    if not is_object(properties):
        return
    dropped = {name for name, each in properties.items() if is_object(each) and each.get("readOnly") is True}
    if dropped:
        converted["properties"] = {name: each for name, each in converted["properties"].items() if name not in dropped}
        converted["required"] = [name for name in source.get("required", ()) if name not in dropped]


def _bring_up_to_date(source: Mapping[str, Any], converted: dict[str, Any]) -> None:
    """What OpenAPI 3.0 says in words of its own, in those of JSON Schema."""
    if "example" in source and "examples" not in converted:
        converted["examples"] = [source["example"]]
    for exclusive, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(source.get(exclusive), bool):
            del converted[exclusive]
            if source[exclusive] and limit in converted:
                converted[exclusive] = converted.pop(limit)
    if source.get("nullable") is True and isinstance(source.get("type"), str):
        converted["type"] = [source["type"], "null"]
        if is_array(converted.get("enum")) and None not in converted["enum"]:
            converted["enum"] = [*converted["enum"], None]
    if converted.get("type") == "file" or converted.get("format") == "binary":
        raise Unsupported("a file among its values; only JSON can be sent")
