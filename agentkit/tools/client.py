"""Tools whose handler runs in the program itself (`type: client`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Final, Generic, ParamSpec, Self, TypeVar, overload

from agentkit.errors import ToolDefinitionError, UsageError
from agentkit.tools._builder import ToolBuilder, ToolSpec
from agentkit.tools.approval import Condition
from agentkit.tools.arguments import ArgumentSchema
from agentkit.tools.context import ToolContext
from agentkit.tools.function import described_parameters, documentation, function_name
from agentkit.tools.handler import Handler
from agentkit.tools.signature import is_async
from agentkit.tools.typed import arguments_error

__all__ = ["ClientTool", "ClientToolBuilder", "tool"]

P = ParamSpec("P")
R = TypeVar("R")

_LOOKS: Final = ("__name__", "__qualname__", "__module__", "__doc__")


@dataclass(frozen=True, kw_only=True, repr=False)
class ClientToolBuilder(ToolBuilder):
    """The schema of a client tool; `.handler(fn)` adds the function, and so does decorating one with the builder."""

    KIND: ClassVar[str] = "client"

    reconciler: Callable[..., Any] | None = None

    def reconcile(self, function: Callable[..., Any]) -> Self:
        """How to find out what came of a call that was begun by a program which then died.

        The function is called as a handler is, with the arguments and `ctx`, whose `idempotency_key` is the one that
        the call had. It returns the call's result, or `NOT_DONE`: then the handler runs. Where it raises, a person is
        asked. Pure lookup: it must not do what the handler does.
        """
        return replace(self, reconciler=function)

    def config(self) -> dict[str, Any]:
        """The input schema."""
        if self.retries and not self.is_idempotent:
            raise ToolDefinitionError(
                f"{self._what}: .retry({self.retries}) without .idempotent(): a handler that raised may have done its "
                "work; add .idempotent() where doing it twice does no harm"
            )
        return {"input_schema": self.inputs.to_schema()}

    def handler(self, function: Callable[P, R]) -> ClientTool[P, R]:
        """The tool with what runs when the model calls it.

        The function takes all arguments as one dict, or parameters named like the schema's, and the context where it
        has a parameter `ctx`; it may be async. Raises ToolDefinitionError where function and schema disagree.
        """
        return ClientTool(self, function)

    def __call__(self, function: Callable[P, R]) -> ClientTool[P, R]:
        """As a decorator: the handler, and where nothing was declared also the schema and the description."""
        return ClientTool(self if self.inputs else _described(self, function), function)


@dataclass(frozen=True, eq=False, repr=False)
class ClientTool(Generic[P, R]):
    """A client tool: what travels (`.spec`, `["schema"]`, `.build()`) and what stays (`.function`, `["handler"]`).

    Calling it calls the function. The steps of the builder go on working and return a copy.
    """

    builder: ClientToolBuilder
    function: Callable[P, R]
    _handler: Handler = field(init=False)
    _reconcile: Handler | None = field(init=False)

    def __post_init__(self) -> None:
        what, inputs, reconciler = f"tool {self.name!r}", self.builder.inputs, self.builder.reconciler
        handler = Handler.of(self.function, inputs, what=what)
        reconcile = None if reconciler is None else Handler.of(reconciler, inputs, what=f"{what}: reconcile")
        looks = {key: getattr(self.function, key) for key in _LOOKS if hasattr(self.function, key)}
        # past the frozen __setattr__: these are set once, here
        self.__dict__.update(looks, _handler=handler, _reconcile=reconcile, __wrapped__=self.function)

    @property
    def name(self) -> str:
        """The tool's name."""
        return self.builder.name

    @cached_property
    def arguments(self) -> ArgumentSchema:
        """The input schema, ready to check arguments."""
        return ArgumentSchema(self.builder.inputs.to_schema())

    @property
    def spec(self) -> ToolSpec:
        """The tool as it travels."""
        return self.builder.build()

    @property
    def is_async(self) -> bool:
        """Whether `call` returns an awaitable."""
        return is_async(self.function)

    def build(self) -> ToolSpec:
        """The tool as it travels; the function stays here."""
        return self.spec

    def check(self, args: Any) -> list[dict[str, str]]:
        """What keeps the arguments from fitting the schema: `path` and `message` of each miss."""
        return self.arguments.check(args)

    def call(self, args: Mapping[str, Any], ctx: ToolContext) -> Any:
        """Calls the function as it wants to be called: defaults filled in, values converted to the annotated types.

        Returns what the function returns, an awaitable if it is async. Raises ToolArgumentsError for arguments that
        miss the schema, before anything runs; what the function raises goes through.
        """
        if misses := self.check(args):
            raise arguments_error(f"tool {self.name!r}", misses)
        return self._handler(self.arguments.filled(args), ctx)

    @property
    def reconciles(self) -> bool:
        """Whether it can be found out what came of a call: see `ClientToolBuilder.reconcile`."""
        return self._reconcile is not None

    def reconcile_call(self, args: Mapping[str, Any], ctx: ToolContext) -> Any:
        """What the tool's `reconcile` returns, an awaitable if it is async. Raises UsageError where there is none."""
        if self._reconcile is None:
            raise UsageError(f"tool {self.name!r} has no .reconcile(fn)")
        return self._reconcile(self.arguments.filled(args), ctx)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """What the function returns; arguments are not checked, as in any other call."""
        return self.function(*args, **kwargs)

    # -- as the SDK's {"schema": ..., "handler": ...} --------------------------------------------------------------

    def keys(self) -> tuple[str, str]:
        """What `[]` answers to."""
        return ("schema", "handler")

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __getitem__(self, key: str) -> Any:
        match key:
            case "schema":
                return self.spec
            case "handler":
                return self.function
            case _:
                raise KeyError(f"{key!r}: tool {self.name!r} answers to 'schema' and 'handler'; for more see .spec")

    # -- the builder's steps ---------------------------------------------------------------------------------------

    def describe(self, description: str) -> Self:
        """See `ToolBuilder.describe`."""
        return replace(self, builder=self.builder.describe(description))

    def display_name(self, name: str) -> Self:
        """See `ToolBuilder.display_name`."""
        return replace(self, builder=self.builder.display_name(name))

    def display(self, name: str) -> Self:
        """See `ToolBuilder.display`."""
        return self.display_name(name)

    def param(self, name: str, schema: Any) -> Self:
        """See `ToolBuilder.param`; the function has to take it."""
        return replace(self, builder=self.builder.param(name, schema))

    def params(self, schema: Any) -> Self:
        """See `ToolBuilder.params`; the function has to take them."""
        return replace(self, builder=self.builder.params(schema))

    def input_schema(self, schema: Any) -> Self:
        """The same as `params`."""
        return self.params(schema)

    def require_approval(
        self,
        required: bool = True,
        *,
        timeout_seconds: float | None = None,
        when: Condition | None = None,
        approvers: Sequence[str] | None = None,
        remind_seconds: float | None = None,
        escalate_seconds: float | None = None,
        escalate_to: Sequence[str] | None = None,
    ) -> Self:
        """See `ToolBuilder.require_approval`."""
        builder = self.builder.require_approval(
            required,
            timeout_seconds=timeout_seconds,
            when=when,
            approvers=approvers,
            remind_seconds=remind_seconds,
            escalate_seconds=escalate_seconds,
            escalate_to=escalate_to,
        )
        return replace(self, builder=builder)

    def timeout(self, seconds: float) -> Self:
        """See `ToolBuilder.timeout`; it counts for the whole call, and `ctx.cancelled` tells the function."""
        return replace(self, builder=self.builder.timeout(seconds))

    def idempotent(self, enabled: bool = True) -> Self:
        """See `ToolBuilder.idempotent`."""
        return replace(self, builder=self.builder.idempotent(enabled))

    def retry(self, times: int) -> Self:
        """See `ToolBuilder.retry`: after what the function raised, and only where it is idempotent."""
        return replace(self, builder=self.builder.retry(times))

    def reconcile(self, function: Callable[..., Any]) -> Self:
        """See `ClientToolBuilder.reconcile`."""
        return replace(self, builder=self.builder.reconcile(function))

    def handler(self, function: Callable[..., Any]) -> ClientTool[..., Any]:
        """The same tool with another function."""
        return ClientTool(self.builder, function)

    def __repr__(self) -> str:
        return f"ClientTool({self.name!r}, handler={getattr(self.function, '__qualname__', self.function)})"


def _described(builder: ClientToolBuilder, function: Callable[..., Any]) -> ClientToolBuilder:
    """The builder with what signature and docstring say, where nobody said otherwise."""
    builder = builder.describe(builder.description or documentation(function).summary)
    for name, schema in described_parameters(function, what=f"tool {builder.name!r}"):
        builder = builder.param(name, schema)
    return builder


@overload
def tool(
    name: str,
    /,
    *,
    description: str = "",
    require_approval: bool | Condition = False,
    display_name: str | None = None,
    reconcile: Callable[..., Any] | None = None,
) -> ClientToolBuilder: ...
@overload
def tool(
    *,
    name: str,
    description: str = "",
    require_approval: bool | Condition = False,
    display_name: str | None = None,
    reconcile: Callable[..., Any] | None = None,
) -> ClientToolBuilder: ...
@overload
def tool(function: Callable[P, R], /) -> ClientTool[P, R]: ...
@overload
def tool(
    *,
    description: str = "",
    require_approval: bool | Condition = False,
    display_name: str | None = None,
    reconcile: Callable[..., Any] | None = None,
) -> Callable[[Callable[P, R]], ClientTool[P, R]]: ...
def tool(
    subject: Any = None,
    /,
    *,
    name: str | None = None,
    description: str = "",
    require_approval: bool | Condition = False,
    display_name: str | None = None,
    reconcile: Callable[..., Any] | None = None,
) -> Any:
    """A tool that runs in your program: from a name, to build it step by step, or from a typed function.

    `require_approval` is True, or what `ToolBuilder.require_approval` takes as `when`; `reconcile` as in the builder's
    step of that name.

    >>> from agentkit.tools import string
    >>> weather = tool("get_weather").describe("Current weather").param("city", string("City name"))
    >>> weather.handler(lambda args: f"sunny in {args['city']}").build()["client"]["input_schema"]["required"]
    ['city']
    >>> @tool
    ... def add(a: int, b: int = 0) -> int:
    ...     '''Adds two numbers.'''
    ...     return a + b
    >>> add(1, 2), add.spec["description"], add.spec["client"]["input_schema"]["properties"]["b"]
    (3, 'Adds two numbers.', {'type': 'integer', 'default': 0})
    """
    match subject:
        case None:
            named = name
        case str() if name is None:
            named = subject
        case ClientTool() | ToolBuilder():
            raise ToolDefinitionError(f"tool({subject!r}): it is a tool already")
        case _ if callable(subject) and name is None:
            return _decorator(description, require_approval, display_name, reconcile)(subject)
        case _:
            raise ToolDefinitionError(f"tool({subject!r}): write tool('name'), or decorate a function with @tool")
    if named is None:
        return _decorator(description, require_approval, display_name, reconcile)
    return _started(named, description, require_approval, display_name, reconcile)


def _decorator(
    description: str,
    approval: bool | Condition,
    shown_name: str | None,
    reconcile: Callable[..., Any] | None,
) -> Callable[[Any], ClientTool[..., Any]]:
    def decorate(function: Any) -> ClientTool[..., Any]:
        return _started(function_name(function), description, approval, shown_name, reconcile)(function)

    return decorate


def _started(
    name: str,
    description: str,
    approval: bool | Condition,
    shown_name: str | None,
    reconcile: Callable[..., Any] | None,
) -> ClientToolBuilder:
    builder = ClientToolBuilder(name=name, description=description, shown_name=shown_name, reconciler=reconcile)
    if isinstance(approval, bool):
        return builder.require_approval(approval)
    return builder.require_approval(when=approval)
