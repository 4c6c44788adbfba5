"""Values checked against schemas of others in the server: a `pattern` cannot stop it.

Python's `re` may take hours for one short text, and every thread of the process waits for it. The engine used here
takes a time in proportion to the text, and so has no look-around and no back-references: what it does not understand is
left to whoever takes the value, and checks it again.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any, Final, cast

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError
from pydantic_core import SchemaError, SchemaValidator, from_json, to_json
from pydantic_core.core_schema import str_schema
from referencing import Registry

from agentkit.tools.arguments import ArgumentSchema
from agentkit.tools.schema import subschemas

__all__ = ["PatientSchema", "could_fit", "is_understood", "misses"]

_OF_NAMES: Final = ("patternProperties", "additionalProperties", "unevaluatedProperties")
_NOTHING_FETCHED: Final[Registry[Any]] = Registry()


def misses(schema: Mapping[str, Any], value: Any) -> list[dict[str, str]]:
    """What keeps the value from fitting, as `agentkit.tools.arguments.check_arguments` says it.

    >>> misses({"type": "string", "pattern": "^(a+)+$"}, "aaab")
    [{'path': '', 'message': "'aaab' does not match '^(a+)+$'"}]
    """
    return _ready(to_json(schema)).check(value)


def could_fit(schema: Mapping[str, Any], value: Any) -> bool:
    """Whether the value fits, or it cannot be told: a schema that refers to itself without end, a value too deep."""
    try:
        return not any(True for _ in _ready(to_json(schema)).errors(value))
    except Exception:  # whatever a validator trips over, it did not say no
        return True


def is_understood(pattern: str) -> bool:
    """Whether the pattern is checked here, and not left to others.

    >>> is_understood("^a+$"), is_understood("^(?!a)")
    (True, False)
    """
    return _regex(pattern) is not None


class PatientSchema(ArgumentSchema):
    """A schema made ready for many checks, each of which ends soon."""

    @cached_property
    def _validator(self) -> Draft202012Validator:
        validator: Draft202012Validator = _Patient(
            _prepared(self.schema), registry=_NOTHING_FETCHED, format_checker=Draft202012Validator.FORMAT_CHECKER
        )
        return validator

    def errors(self, value: Any) -> Iterator[ValidationError]:
        """What keeps the value from fitting, as the validator says it, with whatever it raises."""
        found: Iterator[ValidationError] = cast("Any", self._validator).iter_errors(value)  # partly typed
        return found


def _prepared(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema without what would take it to `re` after all: patterns of names, and words that choose a validator."""
    prepared = copy.deepcopy(dict(schema))
    parts = list(subschemas(prepared))
    has_names = any("patternProperties" in part for part in parts)
    for part in parts:
        for keyword in ("$schema", *(_OF_NAMES if has_names else ())):
            part.pop(keyword, None)
    return prepared


@lru_cache(maxsize=512)
def _ready(schema: bytes) -> PatientSchema:
    return PatientSchema(from_json(schema))


@lru_cache(maxsize=1024)
def _regex(pattern: str) -> SchemaValidator | None:
    try:
        return SchemaValidator(str_schema(pattern=pattern))
    except SchemaError:
        return None


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    regex = _regex(pattern) if isinstance(instance, str) else None
    if regex is not None and not regex.isinstance_python(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


_extend = cast("Any", validators).extend  # partly typed
_Patient: Final[Any] = _extend(Draft202012Validator, {"pattern": _pattern})
