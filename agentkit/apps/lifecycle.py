"""An app as a worker holds it: loaded, set up, called, cancelled and unloaded, on any event loop.

    hosted = Hosted.load(folder)
    await hosted.setup(hosted.check_setup(setup), metadata)
    input = hosted.check_input("run", {"text": "hello"})
    async for output in hosted.stream("run", input, metadata):
        ...
    await hosted.unload()

Coroutines and asynchronous generators run on the loop. Plain methods and generators block, so they go through
`in_thread`, each step of a generator on its own; without it they run where they are.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from agentkit.apps.discovery import AppInterface, FunctionInfo, discover
from agentkit.apps.loading import load_app
from agentkit.apps.manifest import Manifest
from agentkit.apps.metadata import Metadata
from agentkit.errors import AppError, AppInputError, AppOutputError

__all__ = ["Hosted", "InThread"]

InThread: TypeAlias = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a blocking call elsewhere and returns what it returned, as in `anyio.to_thread.run_sync`."""

T = TypeVar("T")
_END: Final = object()


async def _here(call: Callable[[], Any]) -> Any:
    return call()


class Hosted:
    """An app's instance with its interface. One call at a time: apps keep state on themselves."""

    def __init__(
        self, app: Any, interface: AppInterface, *, manifest: Manifest | None = None, in_thread: InThread = _here
    ) -> None:
        self.app = app
        self.interface = interface
        self.manifest = manifest
        self._in_thread = in_thread
        self._setup: Any = None

    @classmethod
    def load(cls, folder: str | Path, *, compat: bool = False, in_thread: InThread = _here) -> Hosted:
        """Imports the app of a folder and makes its instance. `compat`: `import inferencesh` means agentkit.

        Raises AppDefinitionError; an exception of the app's own `__init__` is raised as an AppError with its cause.
        """
        loaded = load_app(folder, compat=compat)
        default = loaded.manifest.default_function if loaded.manifest else None
        interface = discover(loaded.app, default_function=default)
        try:
            app = loaded.app()
        except Exception as error:
            raise AppError(f"{loaded.app.__name__}() failed: {type(error).__name__}: {error}") from error
        return cls(app, interface, manifest=loaded.manifest, in_thread=in_thread)

    # -- what goes in ----------------------------------------------------------------------------------------------

    def check_setup(self, value: Any) -> Any:
        """The setup value as the app's model, or as it is where the app has none. Raises AppInputError.

        Without a value it is the model's defaults; None where there are fields without one and `setup` can do without.
        """
        model = self.interface.setup_model
        if model is None:
            return value
        if value is None and self._is_setup_optional and not _takes_nothing(model):
            return None
        return _read(TypeAdapter(model), {} if value is None else value, what="setup", error=AppInputError)

    def check_input(self, function: str | None, value: Any) -> BaseModel:
        """The input as the function's model. Raises AppInputError, whose `errors` say path and message of each miss."""
        info = self.interface.function(function)
        value = {} if value is None else value
        read = _read(TypeAdapter(info.input_model), value, what=f"input of {info.name!r}", error=AppInputError)
        return cast("BaseModel", read)

    # -- life ------------------------------------------------------------------------------------------------------

    async def setup(self, value: Any = None, metadata: Metadata | None = None) -> None:
        """Calls the app's `setup`; `value` is what `check_setup` returned, and functions that take it get it too."""
        self._setup = value
        await self._call_hook("setup", metadata)

    async def stream(
        self, function: str | None, input: BaseModel, metadata: Metadata | None = None
    ) -> AsyncGenerator[BaseModel]:
        """Calls a function; gives each output as it comes, one of a plain function. The last is the result.

        Exceptions of the app come through as they are; AppOutputError for what is no output. Leaving the loop early
        closes the generator.
        """
        info = self.interface.function(function)
        args, kwargs = info.bind(input=input, setup=self._setup, metadata=metadata or Metadata())
        method = getattr(self.app, info.name)
        given = method(*args, **kwargs) if info.is_async else await self._in_thread(lambda: method(*args, **kwargs))
        count = 0
        async with aclosing(self._each(given)) as outputs:
            async for output in outputs:
                count += 1
                yield _checked(info, output)
        if not count:
            raise AppOutputError(f"{info.name!r} ended without an output; yield at least one")

    async def cancel(self) -> bool:
        """Asks the app to stop: True where it has an `on_cancel` that says it will."""
        return bool(await self._call_hook("on_cancel", None, in_thread=_here))

    async def unload(self) -> None:
        """Calls the app's `unload`."""
        await self._call_hook("unload", None)

    # -- calling ---------------------------------------------------------------------------------------------------

    @property
    def _is_setup_optional(self) -> bool:
        hook = self.interface.hooks.get("setup")
        return hook is not None and any(each.role == "setup" and each.has_default for each in hook.parameters)

    async def _call_hook(self, name: str, metadata: Metadata | None, *, in_thread: InThread | None = None) -> Any:
        """What the hook returns; None where the app has none."""
        hook = self.interface.hooks.get(name)
        if hook is None:
            return None
        run = in_thread or self._in_thread
        args, kwargs = hook.bind(setup=self._setup, metadata=metadata or Metadata())
        method = getattr(self.app, name)
        result = method(*args, **kwargs) if hook.is_async else await run(lambda: method(*args, **kwargs))
        return await result if inspect.isawaitable(result) else result

    async def _each(self, given: Any) -> AsyncGenerator[Any]:
        """What a call gives, whatever it returned: a decorator may hide what kind of function it is."""
        if inspect.isawaitable(given):
            given = await given
        if isinstance(given, AsyncIterator):
            async with aclosing(cast("Any", given)) as outputs:
                async for output in outputs:
                    yield output
        elif isinstance(given, Iterator):
            async with aclosing(self._steps(cast("Any", given))) as outputs:
                async for output in outputs:
                    yield output
        else:
            yield given

    async def _steps(self, given: Iterator[Any]) -> AsyncGenerator[Any]:
        try:
            while (output := await self._in_thread(lambda: next(given, _END))) is not _END:
                yield output
        finally:
            with suppress(AttributeError, ValueError):  # no generator; or one that still runs in its thread
                cast("Any", given).close()


def _checked(info: FunctionInfo, output: Any) -> BaseModel:
    if isinstance(output, BaseModel):
        return output
    if output is None:
        raise AppOutputError(f"{info.name!r} gave None; return the output model")
    read = _read(info.output_adapter, output, what=f"output of {info.name!r}", error=AppOutputError)
    return cast("BaseModel", read)


def _takes_nothing(model: type[BaseModel]) -> bool:
    return not any(each.is_required() for each in model.model_fields.values())


def _read(adapter: TypeAdapter[Any], value: Any, *, what: str, error: type[AppInputError | AppOutputError]) -> Any:
    """The value as the adapter's type. It is read as JSON: strict models take text for a date only there."""
    try:
        return adapter.validate_python(value) if isinstance(value, BaseModel) else adapter.validate_json(to_json(value))
    except PydanticSerializationError as cause:
        raise _miss(what, [{"path": "", "message": f"JSON cannot carry it: {cause}"}], error) from None
    except ValidationError as misses:
        raise _miss(what, [_plain(miss) for miss in misses.errors(include_url=False)], error) from None


def _plain(miss: Mapping[str, Any]) -> dict[str, str]:
    cause = cast("Mapping[str, Any]", miss.get("ctx") or {}).get("error")
    message = str(cause) if isinstance(cause, ValueError) else str(miss["msg"])
    return {"path": ".".join(str(part) for part in miss["loc"]), "message": message}


def _miss(
    what: str, errors: list[dict[str, str]], error: type[AppInputError | AppOutputError]
) -> AppInputError | AppOutputError:
    listed = "; ".join(f"{each['path']}: {each['message']}" if each["path"] else each["message"] for each in errors)
    missed = error(f"{what}: {listed}")
    missed.errors = errors
    return missed
