"""A typed function as the definition of a tool: schema from the signature, words from the docstring."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic.fields import FieldInfo

from agentkit.errors import ToolDefinitionError
from agentkit.tools.docstring import Docstring, parse_docstring
from agentkit.tools.params import Schema, optional
from agentkit.tools.signature import EMPTY, Parameter, check_callable, parameters, unbound
from agentkit.tools.typed import adapter_of, default_of, schema_of

__all__ = ["described_parameters", "documentation", "function_name"]


def function_name(function: Callable[..., Any]) -> str:
    """The name a tool gets from its function. Raises ToolDefinitionError for a lambda."""
    name = getattr(unbound(function), "__name__", type(function).__name__)
    if name == "<lambda>":
        raise ToolDefinitionError("tool(<lambda>): a lambda has no name and no types; write tool('name').handler(...)")
    return name


def documentation(function: Callable[..., Any]) -> Docstring:
    """What the function's docstring says."""
    return parse_docstring(unbound(function).__doc__)


def described_parameters(function: Callable[..., Any], *, what: str) -> Iterator[tuple[str, Schema]]:
    """Name and schema of each parameter the model fills. Raises ToolDefinitionError for what has no schema."""
    check_callable(function, what=what)
    told = documentation(function).params
    for parameter in parameters(function, what=what):
        if not parameter.is_context:
            _check_describable(parameter, what=what)
            yield parameter.name, _schema(parameter, told.get(parameter.name, ""), what=what)


def _schema(parameter: Parameter, told: str, *, what: str) -> Schema:
    adapter = adapter_of(parameter.annotation, what=f"{what}, parameter {parameter.name!r}", error=ToolDefinitionError)
    schema = schema_of(adapter)
    if told and not FieldInfo.from_annotation(parameter.annotation).description:
        schema["description"] = told  # nearer than what the type says of itself
    if parameter.is_required:
        return schema
    return optional(schema | default_of(adapter, parameter.default))


def _check_describable(parameter: Parameter, *, what: str) -> None:
    name = parameter.name
    if parameter.is_variadic:
        raise ToolDefinitionError(f"{what}: *{name} tells the model nothing; name each parameter in the signature")
    if name in ("self", "cls") and parameter.annotation is EMPTY:
        raise ToolDefinitionError(
            f"{what}: {name!r} would be an argument; pass the bound method: tool(instance.method)"
        )
    if parameter.annotation is EMPTY:
        raise ToolDefinitionError(f"{what}: parameter {name!r} has no annotation; write {name}: str (or its type)")
    if isinstance(parameter.default, FieldInfo):
        raise ToolDefinitionError(
            f"{what}: the default of {name!r} is a Field; write {name}: Annotated[<type>, Field(...)] = <default>"
        )
