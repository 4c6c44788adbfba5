"""How a handler wants its arguments, decided once, when the tool is defined."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from pydantic import TypeAdapter

from agentkit.errors import ToolDefinitionError
from agentkit.tools.context import ToolContext
from agentkit.tools.inputs import Inputs
from agentkit.tools.schema import resolved
from agentkit.tools.signature import EMPTY, VARIADIC, Parameter, check_callable, parameters, signature_of
from agentkit.tools.typed import adapter_of, arguments_error, converted, schema_of

__all__ = ["Convention", "Handler"]

ARGS_NAME: Final = "args"


class Convention(Enum):
    """What the function is called with, beside the context."""

    MAPPING = "one parameter, which gets all arguments as a dict"
    KEYWORDS = "parameters named like the schema's properties"


@dataclass(frozen=True, eq=False, kw_only=True)
class Handler:
    """A function with the way to call it; `of` raises ToolDefinitionError where schema and function disagree."""

    function: Callable[..., Any]
    signature: inspect.Signature
    convention: Convention
    mapping: Parameter | None
    """The parameter that gets the dict (Convention.MAPPING)."""
    names: tuple[str, ...]
    """The parameters that arguments may fill by name (Convention.KEYWORDS)."""
    hidden: frozenset[str]
    """The parameters they may not: the context, and what a partial has filled in."""
    context: str | None
    """The name of the parameter that gets the ToolContext."""
    rest: str | None
    """The name of `**kwargs`, which gets the arguments no other parameter has (Convention.KEYWORDS)."""
    adapters: Mapping[str, TypeAdapter[Any]]
    """What turns JSON into the annotated types, by parameter."""
    what: str

    @classmethod
    def of(cls, function: Callable[..., Any], inputs: Inputs, *, what: str) -> Handler:
        """The handler of a tool with those inputs; `what` names the tool."""
        check_callable(function, what=what)
        declared = parameters(function, what=what)
        contexts = [parameter for parameter in declared if parameter.is_context]
        others = tuple(parameter for parameter in declared if not parameter.is_context)
        _check_contexts(contexts, inputs, what=what)
        mapping = _mapping_parameter(others, inputs, what=what)
        if mapping is None:
            _check_keywords(others, inputs, what=what)
        names = tuple(parameter.name for parameter in others if not parameter.is_variadic)
        return cls(
            function=function,
            signature=signature_of(function),
            convention=Convention.KEYWORDS if mapping is None else Convention.MAPPING,
            mapping=mapping,
            names=names,
            hidden=_hidden(function, names),
            context=contexts[0].name if contexts else None,
            rest=next((parameter.name for parameter in others if parameter.takes_any_name), None),
            adapters=_adapters(others if mapping is None else (mapping,), mapping, what=what),
            what=what,
        )

    def __call__(self, args: Mapping[str, Any], ctx: ToolContext) -> Any:
        """Calls the function with arguments that fit the schema. Raises ToolArgumentsError if one does not convert."""
        given = self._by_mapping(args) if self.mapping else self._by_name(args)
        if self.context is not None:
            given[self.context] = ctx
        bound = inspect.BoundArguments(self.signature, OrderedDict(given))
        bound.apply_defaults()
        return self.function(*bound.args, **bound.kwargs)

    def _by_mapping(self, args: Mapping[str, Any]) -> dict[str, Any]:
        assert self.mapping is not None
        value = self._converted(self.mapping.name, dict(args), path="")
        return {self.mapping.name: (value,) if self.mapping.is_variadic else value}

    def _by_name(self, args: Mapping[str, Any]) -> dict[str, Any]:
        rest = {name: value for name, value in args.items() if name not in self.names}
        if unknown := [name for name in rest if self.rest is None or name in self.hidden]:
            known = ", ".join(self.names) or "none"
            errors = [{"path": name, "message": f"no such parameter; there are: {known}"} for name in unknown]
            raise arguments_error(self.what, errors)
        given = {name: self._converted(name, value, path=name) for name, value in args.items() if name in self.names}
        return given if self.rest is None else {**given, self.rest: rest}

    def _converted(self, parameter: str, value: Any, *, path: str) -> Any:
        adapter = self.adapters.get(parameter)
        return value if adapter is None else converted(adapter, value, path=path, what=self.what)


def _hidden(function: Callable[..., Any], names: tuple[str, ...]) -> frozenset[str]:
    declared = signature_of(function).parameters.values()
    return frozenset(found.name for found in declared if found.name not in names and found.kind not in VARIADIC)


def _check_contexts(contexts: list[Parameter], inputs: Inputs, *, what: str) -> None:
    if len(contexts) > 1:
        raise ToolDefinitionError(f"{what}: the handler has {len(contexts)} parameters for the context; keep one")
    if contexts and contexts[0].name in inputs.properties:
        name = contexts[0].name
        raise ToolDefinitionError(
            f"{what}: {name!r} is both a parameter of the schema and the handler's context; "
            f"rename .param({name!r}, ...)"
        )


def _mapping_parameter(others: tuple[Parameter, ...], inputs: Inputs, *, what: str) -> Parameter | None:
    """The parameter that gets the whole dict: `lambda args: ...`, `def f(*args)`; None where names decide."""
    named = tuple(parameter for parameter in others if not parameter.is_variadic)
    if not named:
        return next((parameter for parameter in others if parameter.kind is inspect.Parameter.VAR_POSITIONAL), None)
    required = [parameter for parameter in named if parameter.is_required]
    only = required[0] if len(required) == 1 else named[0] if named[0].name == ARGS_NAME and not required else None
    if only is None or only.kind is inspect.Parameter.KEYWORD_ONLY:
        return None
    if only.name == ARGS_NAME and len(named) == 1 and ARGS_NAME in inputs.properties:
        raise ToolDefinitionError(
            f"{what}: the handler's parameter 'args' may mean all arguments or the parameter 'args' of the schema; "
            "rename one of them"
        )
    names_decide = any(parameter.name in inputs.properties for parameter in named)
    return None if names_decide else only


def _check_keywords(others: tuple[Parameter, ...], inputs: Inputs, *, what: str) -> None:
    taken = {parameter.name for parameter in others if not parameter.is_variadic}
    takes_any = any(parameter.takes_any_name for parameter in others)
    for name in inputs.properties:
        if name not in taken and not takes_any:
            raise ToolDefinitionError(
                f"{what}: the handler has no parameter {name!r}, which the schema declares; "
                f"add {name} to the function, or take one dict: lambda args: args[{name!r}]"
            )
    for parameter in others:
        if parameter.is_required:
            _check_supplied(parameter, inputs, what=what)


def _check_supplied(parameter: Parameter, inputs: Inputs, *, what: str) -> None:
    """A parameter without a default needs a property that is always there."""
    name = parameter.name
    if name not in inputs.properties:
        raise ToolDefinitionError(
            f"{what}: the handler's parameter {name!r} is not in the schema; "
            f"add .param({name!r}, string()) or give it a default"
        )
    if name not in inputs.required and "default" not in inputs.properties[name]:
        raise ToolDefinitionError(
            f"{what}: parameter {name!r} is optional in the schema, but the handler needs it; write {name}=None in the "
            "function"
        )


def _adapters(targets: tuple[Parameter, ...], mapping: Parameter | None, *, what: str) -> dict[str, TypeAdapter[Any]]:
    """One for each annotated parameter that is not `*args` or `**kwargs`."""
    adapters: dict[str, TypeAdapter[Any]] = {}
    for parameter in targets:
        if parameter.annotation in (EMPTY, Any) or parameter.is_variadic:
            continue
        where = f"{what}, parameter {parameter.name!r}"
        adapters[parameter.name] = adapter_of(parameter.annotation, what=where, error=ToolDefinitionError)
        if parameter is mapping:
            _check_takes_mapping(parameter, adapters[parameter.name], what=what)
    return adapters


def _check_takes_mapping(parameter: Parameter, adapter: TypeAdapter[Any], *, what: str) -> None:
    schema = schema_of(adapter)
    kind = resolved(schema, schema).get("type", "object")
    if kind != "object":
        raise ToolDefinitionError(
            f"{what}: the handler's parameter {parameter.name!r} takes {kind!r} and is not in the schema; "
            f"add .param({parameter.name!r}, ...), or decorate the function with @tool, which reads its signature"
        )
