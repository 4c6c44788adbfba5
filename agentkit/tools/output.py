"""The type an agent is to answer with: its schema, and the way back (protocol.md 6.9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, cast

from pydantic import TypeAdapter

from agentkit.errors import UsageError
from agentkit.tools.arguments import ArgumentSchema
from agentkit.tools.jsonable import NotJson, jsonable
from agentkit.tools.params import Schema, as_schema
from agentkit.tools.schema import resolved
from agentkit.tools.typed import adapter_of, arguments_error, converted, schema_of, spelled

__all__ = ["Output", "output_of"]

T = TypeVar("T")

WRAPPER: Final = "result"
"""The one property of the object around an output that is no object: a tool's parameters always are one."""


@dataclass(frozen=True, eq=False, repr=False)
class Output(Generic[T]):
    """`schema` is the JSON Schema of an object; `parse` makes the type of what fits it."""

    name: str
    schema: Schema
    is_wrapped: bool
    adapter: TypeAdapter[T] | None
    """None where the output type is a JSON Schema: the value stays JSON."""

    def parse(self, value: Any) -> T:
        """The typed output of a decoded JSON object. Raises ToolArgumentsError with path and message of each miss."""
        what = f"the output misses {self.name}"
        if misses := ArgumentSchema(self.schema).check(value):
            raise arguments_error(what, misses)
        inner, path = (value[WRAPPER], WRAPPER) if self.is_wrapped else (value, "")
        if self.adapter is None:
            return cast("T", inner)
        return cast("T", converted(self.adapter, inner, path=path, what=what))

    def __repr__(self) -> str:
        return f"Output({self.name})"


def output_of(output_type: Any) -> Output[Any]:
    """Schema and parser of a model, dataclass, TypedDict, list, Literal, scalar, union or JSON Schema.

    What is no object is put into one: `{"result": ...}`. Raises UsageError for a type without a schema.

    >>> output_of(list[int]).parse({"result": [1, 2]})
    [1, 2]
    """
    if isinstance(output_type, str):
        raise UsageError(f"output_type={output_type!r} is text; pass the type itself")
    if isinstance(output_type, Mapping):
        return _of_schema(cast("Mapping[str, Any]", output_type))
    adapter = adapter_of(output_type, what="output_type", error=UsageError)
    schema, is_wrapped = _as_object(schema_of(adapter))
    return Output(spelled(output_type), schema, is_wrapped, adapter)


def _of_schema(raw: Mapping[str, Any]) -> Output[Any]:
    try:
        jsonable(raw)
    except NotJson as problem:
        raise UsageError(f"output_type: a JSON Schema is plain JSON, and {problem} is not") from None
    schema, is_wrapped = _as_object(as_schema(raw, what="output_type"))
    return Output(str(raw.get("title", "the schema")), schema, is_wrapped, None)


def _as_object(schema: Schema) -> tuple[Schema, bool]:
    """The schema of an object, and whether one had to be put around."""
    definitions: Schema = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    root = resolved(schema, schema)
    if root.get("type") == "object":
        return {**root, **definitions}, False  # providers take no `$ref` at the root
    inner = {key: part for key, part in schema.items() if key not in definitions}
    wrapped = {"type": "object", "properties": {WRAPPER: inner}, "required": [WRAPPER]}
    return {**wrapped, "additionalProperties": False, **definitions}, True
