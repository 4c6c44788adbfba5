"""What a method takes and gives, read from its types."""

from __future__ import annotations

import collections.abc as abc
import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeGuard, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from agentkit.apps.metadata import Metadata
from agentkit.apps.models import BaseAppSetup

__all__ = ["Parameter", "Role", "Signature", "is_async", "read_hook", "read_signature"]

Role: TypeAlias = Literal["input", "setup", "metadata"]

EMPTY: Final = inspect.Parameter.empty
SETUP_NAMES: Final = ("config", "setup", "setup_data")
STREAMS: Final = (abc.AsyncGenerator, abc.AsyncIterator, abc.AsyncIterable, abc.Generator, abc.Iterator, abc.Iterable)
PROMISES: Final = (abc.Coroutine, abc.Awaitable)
VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class Parameter:
    """One parameter: what it gets (`role`, None: nothing, it keeps its default) and the model it is typed with."""

    name: str
    role: Role | None
    model: type[BaseModel] | None
    has_default: bool
    is_positional: bool  # cannot be given by name
    is_typed: bool


@dataclass(frozen=True)
class Signature:
    """A method as its types tell. `misses` says why it is no function; `is_close` that it was probably meant as one."""

    parameters: tuple[Parameter, ...]
    output_type: Any  # a model or a union of models; None: neither
    is_generator: bool
    misses: str | None = None
    is_close: bool = False

    @property
    def input_model(self) -> type[BaseModel] | None:
        """The model of what it takes."""
        return next((each.model for each in self.parameters if each.role == "input"), None)


def read_signature(method: Callable[..., Any], *, owner: type, setup_model: type[BaseModel] | None = None) -> Signature:
    """The signature of a method that may be a function of the app."""
    declared = _declared(method)
    hints = _hints(method, owner)
    parameters = _with_input([_parameter(each, hints, setup_model) for each in declared])
    returned = hints.get("return", EMPTY)
    output_type, streams = _output(returned)
    is_generator = streams or _is_generator(method)
    misses = _missing(parameters, returned, output_type, hints)
    takes_model = any(each.role == "input" for each in parameters)
    is_close = (takes_model and (output_type is not None or returned is EMPTY)) or (
        output_type is not None and any(not each.is_typed and not each.has_default for each in parameters)
    )
    return Signature(tuple(parameters), output_type, is_generator, misses, is_close)


def read_hook(method: Callable[..., Any], *, owner: type) -> tuple[Parameter, ...]:
    """The parameters of setup, unload or on_cancel: models and untyped ones get the setup value."""
    hints = _hints(method, owner)
    read = [_parameter(each, hints, None) for each in _declared(method)]
    return tuple(replace(each, role="setup") if _wants_setup(each) else each for each in read)


def is_async(method: Callable[..., Any]) -> bool:
    """Whether a call returns at once, with something to await or to iterate over asynchronously."""
    method = inspect.unwrap(method)
    return inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)


def _is_generator(method: Callable[..., Any]) -> bool:
    method = inspect.unwrap(method)
    return inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method)


def _declared(method: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters after `self`, without `*args` and `**kwargs`."""
    found = list(inspect.signature(method).parameters.values())[1:]
    return [each for each in found if each.kind not in VARIADIC]


@dataclass(frozen=True)
class _Unresolved:
    """An annotation that means nothing at run time."""

    text: str
    reason: str


def _hints(method: Callable[..., Any], owner: type) -> dict[str, Any]:
    """Annotations by name, `return` included; strings resolved among the names of the module and of the class."""
    signature = inspect.signature(method)
    written = {name: each.annotation for name, each in signature.parameters.items()}
    written["return"] = signature.return_annotation
    names: dict[str, Any] = getattr(inspect.unwrap(method), "__globals__", {})
    return {name: _resolved(hint, names, dict(vars(owner))) for name, hint in written.items() if hint is not EMPTY}


def _resolved(hint: Any, names: dict[str, Any], inner: dict[str, Any]) -> Any:
    try:
        return get_type_hints(SimpleNamespace(__annotations__={"it": hint}), names, inner, include_extras=True)["it"]
    except Exception as error:  # an annotation is code of the author's
        return _Unresolved(str(hint), f"{type(error).__name__}: {error}")


def _parameter(declared: inspect.Parameter, hints: Mapping[str, Any], setup_model: type[BaseModel] | None) -> Parameter:
    hint = _bare(hints.get(declared.name, EMPTY))
    model = hint if _is_model(hint) and not issubclass(hint, Metadata) else None
    return Parameter(
        name=declared.name,
        role=_role(declared.name, hint, setup_model),
        model=model,
        has_default=declared.default is not EMPTY,
        is_positional=declared.kind is inspect.Parameter.POSITIONAL_ONLY,
        is_typed=declared.name in hints,
    )


def _role(name: str, hint: Any, setup_model: type[BaseModel] | None) -> Role | None:
    if _is_model(hint):
        if issubclass(hint, Metadata):
            return "metadata"
        return "setup" if issubclass(hint, BaseAppSetup) or hint is setup_model else "input"
    if name == "metadata":
        return "metadata"
    return "setup" if name in SETUP_NAMES else None


def _wants_setup(parameter: Parameter) -> bool:
    return parameter.role == "input" or (parameter.role is None and not parameter.has_default)


def _with_input(parameters: Sequence[Parameter]) -> list[Parameter]:
    """An app may be set up with the very model that its functions take: then that is the input."""
    if any(each.role == "input" for each in parameters):
        return list(parameters)
    typed = [each for each in parameters if each.role == "setup" and each.model]
    first = next((each for each in typed if each.model and not issubclass(each.model, BaseAppSetup)), None)
    return [replace(each, role="input") if each is first else each for each in parameters]


def _output(hint: Any) -> tuple[Any, bool]:
    """The model, or union of models, of a return type, and whether it is given piece by piece."""
    if hint is EMPTY:
        return None, False
    models, streams = list[Any](), False
    for choice in _choices(hint):
        origin, arguments = get_origin(choice), get_args(choice)
        if origin in STREAMS and arguments:
            inner, _ = _output(arguments[0])
            models, streams = [*models, inner], True
        elif origin in PROMISES and arguments:
            inner, inside = _output(arguments[-1])
            models, streams = [*models, inner], streams or inside
        else:
            models.append(choice if _is_model(choice) else None)
    if not models or None in models:
        return None, streams
    return Union[tuple(dict.fromkeys(models))], streams  # noqa: UP007  made from a tuple


def _choices(hint: Any) -> Iterator[Any]:
    """The members of a union, None left out; the type itself where it is none."""
    origin = get_origin(hint)
    if origin is Annotated:
        yield from _choices(get_args(hint)[0])
    elif origin is Union or origin is types.UnionType:
        for choice in get_args(hint):
            yield from _choices(choice)
    elif hint is not type(None):
        yield hint


def _bare(hint: Any) -> Any:
    """`Model` of `Model | None` and of `Annotated[Model, ...]`."""
    choices = list(_choices(hint))
    return choices[0] if len(choices) == 1 else hint


def _is_model(hint: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(hint, type) and issubclass(hint, BaseModel)


def _missing(parameters: Sequence[Parameter], returned: Any, output_type: Any, hints: Mapping[str, Any]) -> str | None:
    """What keeps a method from being a function, as a sentence; None where it is one."""
    unresolved = {name: hint for name, hint in hints.items() if isinstance(hint, _Unresolved)}
    for name, hint in unresolved.items():
        what = "the return type" if name == "return" else f"the type of {name!r}"
        return f"{what}, {hint.text!r}, means nothing at run time ({hint.reason}); define or import it at module level"
    inputs = [each for each in parameters if each.role == "input"]
    left = [each for each in parameters if each.role is None and not each.has_default]
    if not inputs:
        which = f"parameter {left[0].name!r}" if left else "a parameter"
        return f"{which} needs a model as its type, as in `input_data: AppInput` with `class AppInput(BaseAppInput)`"
    if len(inputs) > 1:
        listed = " and ".join(repr(each.name) for each in inputs)
        return f"{listed} are both inputs; a function takes one model, put the fields of both into it"
    if left:
        return f"nothing is known to give to {left[0].name!r}; give it a default, or make it a field of the input"
    if returned is EMPTY:
        return "the return type is missing; write `-> AppOutput` with `class AppOutput(BaseAppOutput)`"
    return None if output_type is not None else f"it returns {returned!r}; a function returns a model"
