"""The input schema of a tool while it is being built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from agentkit.errors import ToolDefinitionError
from agentkit.tools.jsonable import jsonable
from agentkit.tools.params import MARK, Schema, as_schema, properties_of
from agentkit.tools.schema import resolved

__all__ = ["Inputs"]

_MAIN: Final = ("type", "properties", "required", MARK)


@dataclass(frozen=True)
class Inputs:
    """Properties in the order they were declared, and whatever else a whole schema said about the object."""

    properties: Mapping[str, Schema] = field(default_factory=dict[str, Schema])
    required: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __bool__(self) -> bool:
        """Whether anything was declared."""
        return bool(self.properties or self.more)

    def with_param(self, name: str, schema: Any, *, what: str) -> Self:
        """One property more. Raises ToolDefinitionError and SchemaError; `what` names the tool."""
        if not name:
            raise ToolDefinitionError(f"{what}: a parameter needs a name; write .param('city', string())")
        if name in self.properties:
            raise ToolDefinitionError(f"{what}: parameter {name!r} is declared twice; keep one .param({name!r}, ...)")
        definitions = dict(self.more.get("$defs", {}))
        inner, required = properties_of({name: schema}, definitions, what=what, noun="parameter")
        return replace(
            self,
            properties={**self.properties, **inner},
            required=(*self.required, *required),
            more={**self.more, "$defs": definitions} if definitions else self.more,
        )

    def with_schema(self, schema: Any, *, what: str) -> Self:
        """The whole object at once, from a model, a TypedDict or a JSON Schema."""
        if self:
            raise ToolDefinitionError(
                f"{what}: it already has parameters; put .params(...) first and .param() after it"
            )
        whole = as_schema(schema, what=f"{what}, input schema")
        root = {**resolved(whole, whole), **{key: whole[key] for key in ("$defs",) if key in whole}}
        if root.get("type", "object") != "object":
            raise ToolDefinitionError(
                f"{what}: the input of a tool is an object, not {root['type']!r}; "
                "name it with .param('items', ...) or write {'type': 'object', 'properties': {...}}"
            )
        more = {key: value for key, value in root.items() if key not in _MAIN}
        return replace(self, properties=root.get("properties", {}), required=tuple(root.get("required", ())), more=more)

    def to_schema(self) -> Schema:
        """A fresh copy as JSON Schema; `required` is there even when empty (protocol.md 6.7)."""
        main = {"type": "object", "properties": self.properties, "required": self.required}
        copied: Schema = jsonable({**main, **self.more})
        return copied
