"""JSON Schema as the filler needs it: references followed, null put aside, one property at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker

from agentkit.runtime.models._json import is_list, is_object
from agentkit.runtime.models.offline.labels import Concept, Kind, concept_of
from agentkit.runtime.models.offline.vocabulary import NEUTRAL_MEMBERS
from agentkit.runtime.models.offline.words import fold, name_words, word_set

__all__ = ["Shape", "blank", "fits"]

_GENERIC: Final = word_set("amount value number date name id text code sum result data info field when")
_MAX_DEPTH: Final = 16


@dataclass(frozen=True)
class Shape:
    """One property: its name, its schema without null, and the whole schema that its references lead into."""

    name: str
    schema: Mapping[str, Any]
    root: Mapping[str, Any]
    is_nullable: bool = False
    is_required: bool = True

    @classmethod
    def of(cls, name: str, schema: Any, *, root: Mapping[str, Any], is_required: bool = True) -> Shape:
        """The shape of a property's schema (`true` is a schema too)."""
        merged = _resolved(schema if is_object(schema) else {}, root, 0)
        kinds = merged.get("type")
        nullable = (is_list(kinds) and "null" in kinds) or merged.pop("x-null", False)
        if is_list(kinds):
            merged["type"] = next((kind for kind in kinds if kind != "null"), "null")
        if None in merged.get("enum", ()):
            merged["enum"], nullable = [each for each in merged["enum"] if each is not None], True
        return cls(name, merged, root, bool(nullable), is_required)

    @cached_property
    def type(self) -> str:
        """The type, guessed where the schema does not say."""
        named = self.schema.get("type")
        if isinstance(named, str):
            return named
        return "object" if "properties" in self.schema else "array" if "items" in self.schema else "string"

    @cached_property
    def words(self) -> list[str]:
        """The words of its name."""
        return name_words(self.name)

    @cached_property
    def title(self) -> str:
        """Its name and title as words."""
        title = fold(str(self.schema.get("title", "")))
        plain = " ".join(self.words)
        return plain if title in ("", plain) else f"{plain} {title}"

    @cached_property
    def description(self) -> str:
        """Its description, folded."""
        return fold(str(self.schema.get("description", "")))

    def concept(self, *kinds: Kind) -> Concept | None:
        """What it asks for: by its name; by its description where the name could be anything."""
        by_name = concept_of(self.title, kinds=kinds)
        if self.title in _GENERIC or by_name is None:
            return concept_of(self.description, kinds=kinds) or by_name
        return by_name

    def says(self, *words: str) -> bool:
        """Whether one of the words is in its name."""
        return any(word in self.words for word in words)

    @cached_property
    def properties(self) -> list[Shape]:
        """The shapes of an object's properties, in their order."""
        required = self.schema.get("required", ())
        members: Mapping[str, Any] = self.schema.get("properties", {})
        return [Shape.of(name, inner, root=self.root, is_required=name in required) for name, inner in members.items()]

    @cached_property
    def items(self) -> Shape:
        """The shape of an array's entries; it goes by the array's name."""
        return Shape.of(self.name, self.schema.get("items", {}), root=self.root)


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    merged = {key: value for key, value in schema.items() if key not in ("$ref", "allOf", "anyOf", "oneOf")}
    if depth > _MAX_DEPTH:
        return merged
    parts: list[Any] = list(schema.get("allOf", ()))
    if "$ref" in schema:
        parts.append(_lookup(str(schema["$ref"]), root))
    options: list[Any] = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    real = [each for each in options if not (is_object(each) and each.get("type") == "null")]
    if real:
        parts.append(_widest(real))
    if len(real) < len(options):
        merged["x-null"] = True
    for part in parts:
        if is_object(part):
            merged = {**_resolved(part, root, depth + 1), **merged}
    return merged


def _widest(options: list[Any]) -> Any:
    """Of several ways to write a value the one that says most: pydantic's Decimal is a number or a string."""
    typed = [each for each in options if is_object(each)]
    return next((each for each in typed if each.get("type") in ("number", "integer")), typed[0] if typed else {})


def _lookup(pointer: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for step in pointer.removeprefix("#").strip("/").split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        found = found.get(key, {}) if is_object(found) and key else found
    return found


def fits(value: Any, schema: Any, root: Mapping[str, Any]) -> bool:
    """Whether the value is valid for the part of the whole schema."""
    validator: Any = Draft202012Validator(root, format_checker=FormatChecker())
    return bool(validator.evolve(schema=schema).is_valid(value))


def blank(shape: Shape) -> Any:
    """What stands for "not found" where something must stand: null, or the emptiest value of the type.

    A date that nobody knows is 1970-01-01; an enum takes its "other" or "unknown", else its first member.
    """
    if shape.is_nullable:
        return None
    schema = shape.schema
    if "const" in schema:
        return schema["const"]
    if "default" in schema:
        return schema["default"]
    if schema.get("enum"):
        members: list[Any] = schema["enum"]
        return next((each for each in members if fold(str(each)) in NEUTRAL_MEMBERS), members[0])
    match shape.type:
        case "object":
            return {inner.name: blank(inner) for inner in shape.properties if inner.is_required}
        case "array":
            return [blank(shape.items) for _ in range(schema.get("minItems", 0))]
        case "boolean":
            return False
        case "null":
            return None
        case "integer" | "number":
            return _least(schema)
        case _:
            text = _BLANK_TEXTS.get(schema.get("format", ""), "")
            return text or ("unknown" + "." * (schema["minLength"] - 7) if schema.get("minLength") else "")


def _least(schema: Mapping[str, Any]) -> Any:
    low = schema.get("minimum", schema.get("exclusiveMinimum", float("-inf")))
    value = max(0, low)
    if value == schema.get("exclusiveMinimum"):
        value += 1
    high = schema.get("maximum", schema.get("exclusiveMaximum", value))
    return min(value, high)


_BLANK_TEXTS: Final[Mapping[str, str]] = {
    "date": "1970-01-01",
    "date-time": "1970-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "unknown@example.invalid",
    "uri": "about:blank",
}
