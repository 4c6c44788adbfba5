"""From an app's class to its interface: which methods are functions, what they take and give (protocol.md 5.3).

A method is bound by the types of its parameters, not by their names: the parameter typed with a model gets the input,
the one typed `Metadata` (or called `metadata`) the metadata, the one typed with the model of `setup` (or a
`BaseAppSetup`, or called `config` or `setup_data`) the setup value. Everything else keeps its default.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel, PydanticUserError, TypeAdapter

from agentkit.apps.models import BaseApp
from agentkit.apps.signature import Parameter, Role, Signature, is_async, read_hook, read_signature
from agentkit.errors import AppDefinitionError

__all__ = ["AppInterface", "FunctionInfo", "Hook", "Kind", "discover", "find_app"]

HOOKS: Final = ("setup", "unload", "on_cancel")
Kind: TypeAlias = Literal["run", "stream"]


@dataclass(frozen=True)
class Hook:
    """A method as it is to be called. `is_async`: calling it returns at once; else it works in the calling thread."""

    name: str
    parameters: tuple[Parameter, ...]
    is_async: bool

    @property
    def takes_metadata(self) -> bool:
        """Whether a parameter gets the `Metadata`."""
        return any(each.role == "metadata" for each in self.parameters)

    def bind(
        self, *, input: Any = None, setup: Any = None, metadata: Any = None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The positional and keyword arguments, of what it takes. A setup of None leaves a default in place."""
        values: dict[Role, Any] = {"input": input, "setup": setup, "metadata": metadata}
        taken = [(each, values[each.role]) for each in self.parameters if each.role is not None]
        given = [(each, value) for each, value in taken if not (each.has_default and value is None)]
        positional = tuple(value for each, value in given if each.is_positional)
        return positional, {each.name: value for each, value in given if not each.is_positional}


@dataclass(frozen=True)
class FunctionInfo(Hook):
    """A function that tasks call. `output_type` is a model or a union of models; a generator gives several."""

    description: str
    input_model: type[BaseModel]
    output_type: Any
    is_generator: bool

    @property
    def kind(self) -> Kind:
        """`stream` for generators, else `run`."""
        return "stream" if self.is_generator else "run"

    @cached_property
    def input_schema(self) -> dict[str, Any]:
        """The JSON Schema of what it takes. Raises AppDefinitionError where JSON has no such type."""
        return _schema(f"the input of {self.name!r}", self.input_model.model_json_schema)

    @cached_property
    def output_adapter(self) -> TypeAdapter[Any]:
        """What reads and describes its outputs."""
        return TypeAdapter(self.output_type)

    @cached_property
    def output_schema(self) -> dict[str, Any]:
        """The JSON Schema of what it gives. Raises AppDefinitionError where JSON has no such type."""
        return _schema(f"the output of {self.name!r}", lambda: self.output_adapter.json_schema())


@dataclass(frozen=True)
class AppInterface:
    """What an app offers: functions in the order they are written, and hooks by name.

    `almost` holds public methods that look like functions and are none, each with the sentence that says why.
    """

    app: type
    functions: Mapping[str, FunctionInfo]
    default_function: str | None
    hooks: Mapping[str, Hook]
    setup_model: type[BaseModel] | None = None
    almost: Mapping[str, str] = field(default_factory=dict[str, str])

    def function(self, name: str | None = None) -> FunctionInfo:
        """The function of that name, or the default one. Raises AppDefinitionError saying which there are."""
        wanted = name or self.default_function
        listed = ", ".join(self.functions)
        if not wanted:
            raise AppDefinitionError(f"the app has no default function; name one of {listed}")
        if wanted in self.functions:
            return self.functions[wanted]
        raise AppDefinitionError(self.almost.get(wanted) or f"the app has no function {wanted!r}; it has {listed}")

    @property
    def setup_schema(self) -> dict[str, Any] | None:
        """The JSON Schema of the setup value; None where the app takes none. Raises AppDefinitionError as above."""
        return _schema("the setup", self.setup_model.model_json_schema) if self.setup_model else None


def discover(app: type, *, default_function: str | None = None) -> AppInterface:
    """The interface of an app's class. Raises AppDefinitionError where it cannot be called as it is written."""
    methods = dict(_methods(app))
    hooks: dict[str, Hook] = {name: _hook(app, name, methods[name]) for name in HOOKS if name in methods}
    setup_model = next((each.model for hook in hooks.values() for each in hook.parameters if each.model), None)
    signatures = {
        name: read_signature(method, owner=app, setup_model=setup_model)
        for name, method in methods.items()
        if name not in HOOKS and not name.startswith("_")
    }
    functions = {
        name: _function(name, methods[name], found)
        for name, found in signatures.items()
        if found.misses is None and found.input_model
    }
    required = {"run", default_function}
    almost = {
        name: f"{app.__name__}.{name}: {found.misses}"
        for name, found in signatures.items()
        if found.misses and (found.is_close or name in required)
    }
    _check(app, functions, almost, default_function)
    setup_model = setup_model or next((each for info in functions.values() for each in _setup_models(info)), None)
    return AppInterface(app, functions, _default(functions, default_function), hooks, setup_model, almost)


def find_app(module: ModuleType) -> type:
    """The class of the app: `App`, else the only BaseApp that the module defines. Raises AppDefinitionError."""
    named = getattr(module, "App", None)
    if isinstance(named, type):
        return named
    where = getattr(module, "__file__", None) or module.__name__
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseApp) and value.__module__ == module.__name__
    ]
    match found:
        case [app]:
            return app
        case []:
            raise AppDefinitionError(f"{where} defines no app; write `class App(BaseApp):` there")
        case several:
            names = ", ".join(each.__name__ for each in several)
            raise AppDefinitionError(f"{where} defines several apps, {names}; call the one to be run App")


def _schema(what: str, describe: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return describe()
    except PydanticUserError as error:
        raise AppDefinitionError(f"{what} cannot be described as JSON: {error.message}") from error


def _methods(app: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The plain methods of the class and of the bases that authors wrote, in the order they are written."""
    ours = set(BaseApp.__mro__)
    names = dict.fromkeys(name for each in reversed(app.__mro__) if each not in ours for name in vars(each))
    for name in names:
        method = inspect.getattr_static(app, name)
        if inspect.isfunction(method):
            yield name, method


def _hook(app: type, name: str, method: Callable[..., Any]) -> Hook:
    parameters = read_hook(method, owner=app)
    settings = [each.name for each in parameters if each.role == "setup" and not each.has_default]
    if len(settings) > (1 if name == "setup" else 0):
        takes = "one setup value, and the metadata" if name == "setup" else "the metadata at most"
        raise AppDefinitionError(
            f"{app.__name__}.{name}: nothing is known to give to {settings[-1]!r}; it takes {takes}"
        )
    return Hook(name, parameters, is_async(method))


def _function(name: str, method: Callable[..., Any], found: Signature) -> FunctionInfo:
    assert found.input_model is not None  # or it would miss something
    return FunctionInfo(
        name=name,
        parameters=found.parameters,
        is_async=is_async(method),
        description=inspect.cleandoc(method.__doc__ or ""),  # not getdoc: it would find that of BaseApp
        input_model=found.input_model,
        output_type=found.output_type,
        is_generator=found.is_generator,
    )


def _setup_models(function: FunctionInfo) -> Iterator[type[BaseModel]]:
    return (each.model for each in function.parameters if each.role == "setup" and each.model)


def _check(
    app: type, functions: Mapping[str, FunctionInfo], almost: Mapping[str, str], default_function: str | None
) -> None:
    wrong = almost.get(default_function or "") or almost.get("run")
    if wrong:
        raise AppDefinitionError(wrong)
    if default_function and default_function not in functions:
        has = f"it has {', '.join(functions)}" if functions else "it has no functions"
        raise AppDefinitionError(f"{app.__name__} has no {default_function!r}, the default_function of inf.yml; {has}")
    if not functions:
        why = "; ".join(almost.values()) or "write `async def run(self, input_data: AppInput) -> AppOutput:`"
        raise AppDefinitionError(f"{app.__name__} has no functions: {why}")


def _default(functions: Mapping[str, FunctionInfo], named: str | None) -> str | None:
    if named or "run" in functions:
        return named or "run"
    return next(iter(functions)) if len(functions) == 1 else None
