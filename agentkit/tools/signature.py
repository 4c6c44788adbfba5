"""The parameters of a function, with annotations resolved."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final, get_args, get_type_hints

from agentkit.errors import ToolDefinitionError
from agentkit.tools.context import ToolContext

__all__ = ["Parameter", "check_callable", "is_async", "parameters", "signature_of", "unbound"]

EMPTY: Final = inspect.Parameter.empty
CONTEXT_NAME: Final = "ctx"
VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

_ONE_MAPPING: Final = inspect.Signature([inspect.Parameter("args", inspect.Parameter.POSITIONAL_ONLY)])


@dataclass(frozen=True)
class Parameter:
    """One parameter; `annotation` and `default` are `inspect.Parameter.empty` where there is none."""

    name: str
    kind: Any
    annotation: Any
    default: Any
    is_context: bool

    @property
    def is_required(self) -> bool:
        """Whether a call without it fails."""
        return self.default is EMPTY and not self.is_variadic

    @property
    def is_variadic(self) -> bool:
        """Whether it is `*args` or `**kwargs`."""
        return self.kind in VARIADIC

    @property
    def takes_any_name(self) -> bool:
        """Whether it is `**kwargs`."""
        return self.kind is inspect.Parameter.VAR_KEYWORD


def check_callable(function: Any, *, what: str) -> None:
    """Raises ToolDefinitionError for what cannot be called, or does not return one value."""
    if not callable(function):
        raise ToolDefinitionError(
            f"{what}: the handler {function!r} is not callable; write .handler(lambda args: ...) or pass a function"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ToolDefinitionError(
            f"{what}: the handler is a generator; return one value, and report steps with ctx.progress(...)"
        )


def is_async(function: Callable[..., Any]) -> bool:
    """Whether a call returns a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(_call_method(function))


def unbound(function: Any) -> Any:
    """The function inside `functools.partial`."""
    while isinstance(function, functools.partial):
        function = function.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]: of any callable
    return function  # pyright: ignore[reportUnknownVariableType]: as above


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """The signature; of a builtin that tells none, one parameter for the arguments."""
    try:
        return inspect.signature(function)
    except ValueError:
        return _ONE_MAPPING


def parameters(function: Callable[..., Any], *, what: str) -> tuple[Parameter, ...]:
    """The parameters in order, without those a partial has filled in by name.

    Raises ToolDefinitionError for annotations that cannot be resolved.
    """
    names = _globals(function)
    given: Mapping[str, Any] = getattr(function, "keywords", {}) if unbound(function) is not function else {}
    declared = [found for name, found in signature_of(function).parameters.items() if name not in given]
    return tuple(_parameter(parameter, names, what=what) for parameter in declared)


def _parameter(declared: inspect.Parameter, names: dict[str, Any], *, what: str) -> Parameter:
    annotation, is_context = declared.annotation, declared.name == CONTEXT_NAME
    if not is_context and annotation is not EMPTY:
        try:
            annotation = get_type_hints(
                SimpleNamespace(__annotations__={"it": annotation}), names, include_extras=True
            )["it"]
        except (NameError, SyntaxError, AttributeError, TypeError) as reason:
            is_context = "ToolContext" in str(annotation)  # imported for the type checker only
            if not is_context:
                raise _unresolved(declared, reason, what=what) from None
    is_context = is_context or annotation is ToolContext or ToolContext in get_args(annotation)
    return Parameter(declared.name, declared.kind, annotation, declared.default, is_context)


def _unresolved(declared: inspect.Parameter, reason: Exception, *, what: str) -> ToolDefinitionError:
    return ToolDefinitionError(
        f"{what}: the annotation {declared.annotation!r} of parameter {declared.name!r} means nothing at run time "
        f"({reason}); define or import the type at module level, outside `if TYPE_CHECKING`"
    )


def _globals(function: Any) -> dict[str, Any]:
    """The names that the annotations of a function, method, partial or callable object were written among."""
    function = unbound(function)
    if not inspect.isroutine(function):
        function = function.__init__ if inspect.isclass(function) else _call_method(function)
    names: dict[str, Any] = getattr(inspect.unwrap(function), "__globals__", {})
    return names


def _call_method(function: Any) -> Any:
    """What runs when an object is called."""
    return type(function).__call__
