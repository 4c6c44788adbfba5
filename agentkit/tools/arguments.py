"""Arguments against the schema: what misses it, and what is filled in."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import (
    ValidationError,
    best_match,  # pyright: ignore[reportUnknownVariableType]: jsonschema is partly typed
)
from referencing import Registry
from referencing.exceptions import Unresolvable

from agentkit.tools.jsonable import is_array, is_object
from agentkit.tools.schema import resolved

__all__ = ["ArgumentSchema", "check_arguments"]

MAX_MESSAGE: Final = 300  # jsonschema quotes the whole value, which the model has just sent itself
_NOTHING_FETCHED: Final[Registry[Any]] = Registry()  # without one, jsonschema opens the URLs that a schema refers to


def check_arguments(schema: Mapping[str, Any], args: Any) -> list[dict[str, str]]:
    """What keeps the arguments from fitting: `path` as `items.0.price` ("" for the whole), and a sentence.

    >>> check_arguments({"type": "object", "properties": {"n": {"type": "integer"}}}, {"n": "x"})
    [{'path': 'n', 'message': "'x' is not of type 'integer'"}]
    """
    return ArgumentSchema(schema).check(args)


@dataclass(frozen=True, eq=False)
class ArgumentSchema:
    """A schema made ready for many checks."""

    schema: Mapping[str, Any]

    @cached_property
    def _validator(self) -> Draft202012Validator:
        return Draft202012Validator(
            dict(self.schema), registry=_NOTHING_FETCHED, format_checker=Draft202012Validator.FORMAT_CHECKER
        )

    def check(self, args: Any) -> list[dict[str, str]]:
        """What keeps the arguments from fitting; see `check_arguments`. Nothing fits a schema that cannot be used."""
        try:
            misses: list[ValidationError] = sorted(self._validator.iter_errors(args), key=_path)  # pyright: ignore[reportUnknownMemberType]: jsonschema is partly typed
        except Unresolvable as error:
            return [_unusable(f"it refers to {error.ref!r}, which is not in it")]
        except RecursionError:
            return [_unusable("it refers to itself without end, or is nested too deeply")]
        return [{"path": _path(miss), "message": _sentence(miss)} for miss in map(_meant, misses)]

    def filled(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of the arguments with the defaults of what was left out, at every depth of objects and arrays."""
        filled: dict[str, Any] = self._filled(self.schema, args)
        return filled

    def _filled(self, schema: Any, value: Any) -> Any:
        node: Mapping[str, Any] = resolved(schema, self.schema) if is_object(schema) else {}
        if is_object(value):
            return self._filled_object(node.get("properties", {}), value)
        if is_array(value) and "prefixItems" not in node:
            return [self._filled(node.get("items"), item) for item in value]
        return copy.deepcopy(value)

    def _filled_object(self, properties: Mapping[str, Any], value: dict[str, Any]) -> dict[str, Any]:
        filled = {name: self._filled(properties.get(name), item) for name, item in value.items()}
        for name, schema in properties.items():
            if name not in value and is_object(schema) and "default" in schema:
                filled[name] = copy.deepcopy(schema["default"])
        return filled


def _unusable(why: str) -> dict[str, str]:
    return {"path": "", "message": f"the schema cannot be used: {why}"}


def _meant(miss: ValidationError) -> ValidationError:
    """Of several shapes that were allowed, what keeps the value from the one that it looks like."""
    if miss.validator not in ("anyOf", "oneOf") or not miss.context:
        return miss
    found: ValidationError | None = cast("Any", best_match)([miss])
    return found or miss


def _path(miss: ValidationError) -> str:
    return ".".join(map(str, miss.absolute_path))


def _sentence(miss: ValidationError) -> str:
    text = miss.message
    return text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE // 2]} ... {text[-MAX_MESSAGE // 2 :]}"
