"""Data that fit a JSON Schema: small, readable, and the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from agentkit.runtime.models._json import is_list, is_object
from agentkit.testing.patterns import match_for

__all__ = ["sample"]

MAX_DEPTH: Final = 12
MAX_TRIES: Final = 20
_WORDS: Final = (
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "harbor",
    "island",
    "juniper",
    "kite",
    "maple",
)
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)


def sample(schema: Mapping[str, Any], rng: random.Random) -> Any:
    """A value that the schema accepts. Raises ValueError where none was found."""
    try:
        validator: Any = Draft202012Validator(schema)
        validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"that is no JSON Schema: {error.message}") from error
    maker = _Maker(schema, rng)
    complaint = ""
    for _ in range(MAX_TRIES):
        value = maker.make(schema, 0)
        found = next(iter(validator.iter_errors(value)), None)
        if found is None:
            return value
        complaint = f"{found.message} at {found.json_path}"
    raise ValueError(f"no value that fits the schema in {MAX_TRIES} tries ({complaint})")


class _Maker:
    def __init__(self, root: Mapping[str, Any], rng: random.Random) -> None:
        self._root = root
        self._rng = rng

    def make(self, schema: Mapping[str, Any] | bool, depth: int) -> Any:
        if isinstance(schema, bool):
            return self._word()
        schema = self._merged(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._rng.choice(schema["enum"])
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
            return self.make({"allOf": [rest, self._option(options, depth)]}, depth)
        return self._typed(schema, depth)

    def _option(self, options: list[Any], depth: int) -> Any:
        """Any of the options; deep down the first that ends the nesting, else a tree would never end."""
        if depth < MAX_DEPTH:
            return self._rng.choice(options)
        return next((each for each in options if _type_of(self._merged(each)) not in ("object", "array")), options[0])

    def _merged(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """The schema with its references and `allOf` folded in."""
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
        parts = [self._lookup(schema["$ref"])] if "$ref" in schema else []
        for part in [*parts, *schema.get("allOf", ())]:
            for key, value in self._merged(part).items():
                merged[key] = _FOLD[key](merged[key], value) if key in merged and key in _FOLD else value
        return merged

    def _lookup(self, pointer: str) -> Mapping[str, Any]:
        found: Any = self._root
        for step in pointer.removeprefix("#").strip("/").split("/"):
            found = found[step.replace("~1", "/").replace("~0", "~")] if step else found
        if not is_object(found):
            raise ValueError(f"the reference {pointer!r} leads nowhere")
        return found

    def _typed(self, schema: Mapping[str, Any], depth: int) -> Any:
        match _type_of(schema, self._rng):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "integer":
                return self._number(schema, whole=True)
            case "number":
                return self._number(schema, whole=False)
            case "boolean":
                return self._rng.random() < 0.5
            case "null":
                return None
            case _:
                return self._string(schema)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties: Mapping[str, Any] = schema.get("properties", {})
        required = list(schema.get("required", ()))
        chosen = [name for name in properties if name in required or (depth < MAX_DEPTH and self._rng.random() < 0.5)]
        chosen += [name for name in required if name not in properties]
        made = {
            name: self.make(properties.get(name, schema.get("additionalProperties", True)), depth + 1)
            for name in chosen
        }
        while len(made) < schema.get("minProperties", 0):
            made[f"{self._word()}_{len(made)}"] = self.make(schema.get("additionalProperties", True), depth + 1)
        return made

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        fixed: list[Any] = schema.get("prefixItems", [])
        least = schema.get("minItems", 0)
        most = min(schema.get("maxItems", least + 2), least + 2)
        length = least if depth >= MAX_DEPTH else self._rng.randint(max(least, min(1, most)), most)
        made: list[Any] = []
        for _ in range(length * MAX_TRIES):
            if len(made) >= length:
                break
            inner = fixed[len(made)] if len(made) < len(fixed) else schema.get("items", True)
            entry = self.make(inner, depth + 1)
            if not (schema.get("uniqueItems") and entry in made):
                made.append(entry)
        return made

    def _number(self, schema: Mapping[str, Any], *, whole: bool) -> Any:
        step = schema.get("multipleOf", 1 if whole else 0.5)
        low = max(schema.get("minimum", float("-inf")), schema.get("exclusiveMinimum", float("-inf")))
        high = min(schema.get("maximum", float("inf")), schema.get("exclusiveMaximum", float("inf")))
        if low == float("-inf"):
            low = min(0, high - 100 * step) if high != float("inf") else 0
        high = min(high, low + 100 * step)
        first, last = -(-low // step), high // step
        if first > last:  # nothing on the grid; between two halves lies a number all the same
            return low + (high - low) / 2
        steps = range(int(first), int(last) + 1)
        allowed = [n for n in steps if self._inside(n * step, schema)] or list(steps)
        value = self._rng.choice(allowed) * step
        return int(value) if whole or float(value).is_integer() else value

    @staticmethod
    def _inside(value: float, schema: Mapping[str, Any]) -> bool:
        return value != schema.get("exclusiveMinimum") and value != schema.get("exclusiveMaximum")

    def _string(self, schema: Mapping[str, Any]) -> str:
        if "pattern" in schema:
            return match_for(schema["pattern"], self._rng)
        make = _FORMATS.get(schema.get("format", ""))
        text = make(self._rng) if make else f"{self._word()} {self._word()}"
        least, most = schema.get("minLength", 0), schema.get("maxLength", max(len(text), schema.get("minLength", 0)))
        while len(text) < least:
            text += f" {self._word()}"
        return text[:most]

    def _word(self) -> str:
        return self._rng.choice(_WORDS)


def _type_of(schema: Mapping[str, Any], rng: random.Random | None = None) -> str:
    named = schema.get("type")
    if is_list(named):
        return rng.choice(named) if rng and named else str(named[0])
    if named is not None:
        return str(named)
    return next((kind for key, kind in _TELLTALE.items() if key in schema), "string")


_TELLTALE: Final[Mapping[str, str]] = {
    "properties": "object",
    "required": "object",
    "additionalProperties": "object",
    "items": "array",
    "prefixItems": "array",
    "minimum": "number",
    "maximum": "number",
    "multipleOf": "number",
}

_FOLD: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "properties": lambda ours, theirs: {**ours, **theirs},
    "required": lambda ours, theirs: [*ours, *(name for name in theirs if name not in ours)],
    "minimum": max,
    "exclusiveMinimum": max,
    "minLength": max,
    "minItems": max,
    "maximum": min,
    "exclusiveMaximum": min,
    "maxLength": min,
    "maxItems": min,
    "enum": lambda ours, theirs: [each for each in ours if each in theirs],
}


def _moment(rng: random.Random) -> datetime:
    return _START + timedelta(minutes=rng.randrange(365 * 24 * 60))


_FORMATS: Final[Mapping[str, Callable[[random.Random], str]]] = {
    "date": lambda rng: _moment(rng).date().isoformat(),
    "date-time": lambda rng: _moment(rng).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "time": lambda rng: _moment(rng).strftime("%H:%M:%SZ"),
    "email": lambda rng: f"{rng.choice(_WORDS)}@example.com",
    "uri": lambda rng: f"https://example.com/{rng.choice(_WORDS)}",
    "url": lambda rng: f"https://example.com/{rng.choice(_WORDS)}",
    "hostname": lambda rng: f"{rng.choice(_WORDS)}.example.com",
    "ipv4": lambda rng: f"192.0.2.{rng.randrange(1, 255)}",
    "ipv6": lambda rng: f"2001:db8::{rng.randrange(1, 0xFFFF):x}",
    "uuid": lambda rng: f"{rng.getrandbits(32):08x}-0000-4000-8000-{rng.getrandbits(48):012x}",
}
