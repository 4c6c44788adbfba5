"""From a class to its interface: every way authors write methods, and what is said of those that cannot be called."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, AsyncGenerator, Generator, Optional, Union  # noqa: UP035  as authors do

import pytest
from pydantic import BaseModel, ConfigDict

from agentkit.apps import AppInterface, BaseApp, BaseAppInput, BaseAppOutput, BaseAppSetup, Metadata, discover
from agentkit.apps.discovery import find_app
from agentkit.apps.loading import load_app
from agentkit.errors import AppDefinitionError, UsageError
from tests.apps.folders import write_app


class In(BaseAppInput):
    text: str


class More(BaseAppInput):
    number: int = 0


class Out(BaseAppOutput):
    text: str


class Delta(BaseAppOutput):
    delta: str


class Setup(BaseAppSetup):
    model: str = "small"


class Plain(BaseModel):
    text: str


def interface_of(**methods: Any) -> AppInterface:
    """The interface of an app with these methods."""
    return discover(type("App", (BaseApp,), {"__module__": __name__, **methods}))


def roles(interface: AppInterface, name: str = "run") -> dict[str, str | None]:
    return {each.name: each.role for each in interface.function(name).parameters}


# -- binding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["app_input", "input_data", "input", "data", "config", "metadata", "whatever"])
@pytest.mark.requirement("app:author")
def test_the_input_is_bound_by_its_type_whatever_it_is_called(name: str) -> None:
    scope: dict[str, Any] = {"In": In, "Out": Out}
    exec(f"async def run(self, {name}: In) -> Out: ...", scope)
    interface = interface_of(run=scope["run"])
    assert roles(interface) == {name: "input"}
    assert interface.function().input_model is In


def _typed(self: Any, metadata: Metadata, input_data: In) -> Out: ...
def _by_name(self: Any, input_data: In, metadata) -> Out: ...  # as authors do
def _optional(self: Any, it: Optional[In] = None, context: Metadata | None = None) -> Out: ...  # noqa: UP045  as authors do
def _annotated(self: Any, it: Annotated[In, "doc"], about: Annotated[Metadata, "doc"]) -> Annotated[Out, "doc"]: ...
def _loose(self: Any, it: In, metadata: dict[str, Any]) -> Out: ...
def _keywords(self: Any, *, it: In, metadata: Any = None) -> Out: ...
def _spare(self: Any, it: In, verbose: bool = False, *args: Any, **kwargs: Any) -> Out: ...


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (_typed, {"metadata": "metadata", "input_data": "input"}),
        (_by_name, {"input_data": "input", "metadata": "metadata"}),
        (_optional, {"it": "input", "context": "metadata"}),
        (_annotated, {"it": "input", "about": "metadata"}),
        (_loose, {"it": "input", "metadata": "metadata"}),
        (_keywords, {"it": "input", "metadata": "metadata"}),
        (_spare, {"it": "input", "verbose": None}),
    ],
)
def test_metadata_is_bound_by_type_or_name_and_the_rest_keeps_its_default(
    method: Callable[..., Any], expected: dict[str, str | None]
) -> None:
    interface = interface_of(run=method)
    assert roles(interface) == expected
    assert interface.function().takes_metadata == ("metadata" in expected.values())


def test_functions_get_the_setup_value_by_its_type() -> None:
    def setup(self: Any, config: Setup) -> None: ...
    def run(self: Any, it: In, config: Setup) -> Out: ...

    interface = interface_of(setup=setup, run=run)
    assert interface.setup_model is Setup
    assert roles(interface) == {"it": "input", "config": "setup"}


def test_a_setup_model_may_be_an_ordinary_input_model() -> None:
    def setup(self: Any, config: More) -> None: ...
    def run(self: Any, it: In, settings: More) -> Out: ...
    def again(self: Any, it: More) -> Out: ...

    interface = interface_of(setup=setup, run=run, again=again)
    assert interface.setup_model is More
    assert roles(interface) == {"it": "input", "settings": "setup"}
    assert roles(interface, "again") == {"it": "input"}


def test_a_setup_model_that_only_a_function_takes_is_known_too() -> None:
    def run(self: Any, it: In, config: Setup) -> Out: ...

    assert interface_of(run=run).setup_schema == Setup.model_json_schema()


def test_plain_pydantic_models_will_do() -> None:
    def run(self: Any, it: Plain) -> Plain: ...

    assert interface_of(run=run).function().output_schema == Plain.model_json_schema()


# -- what a function gives -----------------------------------------------------------------------------------------


async def _agen(self: Any, it: In) -> AsyncGenerator[Out, None]:
    yield Out(text="")


async def _aiter(self: Any, it: In) -> AsyncIterator[Out]:
    yield Out(text="")


def _gen(self: Any, it: In) -> Generator[Out, None, None]:
    yield Out(text="")


def _iter(self: Any, it: In) -> Iterator[Out]:
    yield Out(text="")


def _returns_iterator(self: Any, it: In) -> Iterator[Out]:
    return iter([Out(text="")])


async def _wrongly_typed(self: Any, it: In) -> Out:
    yield Out(text="")


async def _plain(self: Any, it: In) -> Out: ...
def _maybe(self: Any, it: In) -> Optional[Out]: ...  # noqa: UP045  as authors do


@pytest.mark.parametrize(
    ("method", "is_generator", "is_async"),
    [
        (_agen, True, True),
        (_aiter, True, True),
        (_gen, True, False),
        (_iter, True, False),
        (_returns_iterator, True, False),
        (_wrongly_typed, True, True),
        (_plain, False, True),
        (_maybe, False, False),
    ],
)
def test_generators_and_coroutines_are_told_apart(method: Any, is_generator: bool, is_async: bool) -> None:
    function = interface_of(run=method).function()
    assert (function.is_generator, function.is_async) == (is_generator, is_async)
    assert function.kind == ("stream" if is_generator else "run")
    assert function.output_type is Out


def test_a_stream_of_several_models_has_a_schema_of_all_of_them() -> None:
    async def run(self: Any, it: In) -> AsyncGenerator[Union[Out, Delta], None]:  # noqa: UP007  as authors do
        yield Out(text="")

    function = interface_of(run=run).function()
    assert [choice["$ref"] for choice in function.output_schema["anyOf"]] == ["#/$defs/Out", "#/$defs/Delta"]


def test_a_decorated_method_is_seen_through() -> None:
    def traced(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def outer(*args: Any, **kwargs: Any) -> Any:
            return method(*args, **kwargs)

        return outer

    assert interface_of(run=traced(_agen)).function().is_generator


# -- which methods -------------------------------------------------------------------------------------------------


class Several(BaseApp):
    model_config = ConfigDict(extra="allow")
    client: Any = None

    async def setup(self, config: Setup | None = None, metadata: Metadata | None = None) -> None: ...
    async def open(self, it: In) -> Out:
        """Opens a page.

        And waits for it.
        """
        ...

    def click(self, it: More) -> Out: ...
    def _private(self, it: In) -> Out: ...
    def helper(self, words: list[str]) -> str: ...
    def untyped(self, words, more): ...
    def prompt_of(self, it: In) -> str: ...
    def settings(self) -> More: ...
    @property
    def size(self) -> int:
        return 0

    @staticmethod
    def static(it: In) -> Out: ...
    @classmethod
    def on_class(cls, it: In) -> Out: ...
    async def on_cancel(self) -> bool: ...
    async def unload(self) -> None: ...
    async def close(self, it: In) -> Out: ...


def test_functions_are_the_public_methods_between_two_models_in_the_order_they_are_written() -> None:
    interface = discover(Several)
    assert list(interface.functions) == ["open", "click", "close"]
    assert list(interface.hooks) == ["setup", "unload", "on_cancel"]
    assert interface.functions["open"].description == "Opens a page.\n\nAnd waits for it."
    assert interface.almost == {}


def test_a_function_without_a_docstring_has_no_description() -> None:
    assert interface_of(run=_plain).function().description == ""


def test_functions_of_a_base_that_the_author_wrote_come_first() -> None:
    class Base(BaseApp):
        def first(self, it: In) -> Out: ...
        def run(self, it: In) -> Out: ...

    class App(Base):
        def run(self, it: More) -> Out: ...
        def last(self, it: In) -> Out: ...

    interface = discover(App)
    assert list(interface.functions) == ["first", "run", "last"]
    assert interface.function().input_model is More


@pytest.mark.parametrize(
    ("methods", "named", "expected"),
    [
        (("run", "other"), None, "run"),
        (("run", "other"), "other", "other"),
        (("only",), None, "only"),
        (("one", "two"), None, None),
    ],
)
def test_the_default_function_is_the_named_one_else_run_else_the_only_one(
    methods: tuple[str, ...], named: str | None, expected: str | None
) -> None:
    app = type("App", (BaseApp,), dict.fromkeys(methods, _plain))
    interface = discover(app, default_function=named)
    assert interface.default_function == expected


def test_calling_without_a_function_or_with_an_unknown_one_names_those_there_are() -> None:
    interface = interface_of(open=_plain, close=_plain)
    with pytest.raises(AppDefinitionError, match="no default function; name one of open, close"):
        interface.function()
    with pytest.raises(AppDefinitionError, match="no function 'shut'; it has open, close"):
        interface.function("shut")


def test_a_default_function_that_is_not_there_is_an_error() -> None:
    with pytest.raises(AppDefinitionError, match=r"no 'shut', the default_function of inf\.yml; it has run"):
        discover(type("App", (BaseApp,), {"run": _plain}), default_function="shut")


# -- half-way ------------------------------------------------------------------------------------------------------


def _no_return(self: Any, it: In): ...


def _no_input_type(self: Any, it) -> Out: ...


def _wrong_return(self: Any, it: In) -> dict[str, Any]: ...
def _two_inputs(self: Any, a: In, b: More) -> Out: ...
def _extra(self: Any, it: In, speed: int) -> Out: ...
def _no_input(self: Any) -> Out: ...
def _unknown(self: Any, it: In) -> Nowhere: ...  # noqa: F821  it is nowhere


HALF_WAY = [
    (_no_return, "the return type is missing"),
    (_no_input_type, "parameter 'it' needs a model as its type"),
    (_wrong_return, r"it returns dict\[str, typing\.Any\]; a function returns a model"),
    (_two_inputs, "'a' and 'b' are both inputs"),
    (_extra, "nothing is known to give to 'speed'"),
    (_no_input, "a parameter needs a model as its type"),
    (_unknown, "the return type, 'Nowhere', means nothing at run time"),
]


@pytest.mark.parametrize(("method", "says"), HALF_WAY)
def test_a_run_that_cannot_be_called_is_an_error_that_says_what_is_missing(method: Any, says: str) -> None:
    with pytest.raises(AppDefinitionError, match=rf"App\.run: {says}") as caught:
        interface_of(run=method, other=_plain)
    assert isinstance(caught.value, UsageError)


@pytest.mark.parametrize(("method", "says"), [HALF_WAY[0], HALF_WAY[1], HALF_WAY[3], HALF_WAY[4]])
def test_another_method_typed_half_way_is_named_and_calling_it_says_why(method: Any, says: str) -> None:
    interface = interface_of(run=_plain, other=method)
    assert list(interface.functions) == ["run"] and list(interface.almost) == ["other"]
    with pytest.raises(AppDefinitionError, match=rf"App\.other: {says}"):
        interface.function("other")
    with pytest.raises(AppDefinitionError, match=rf"App\.other: {says}"):
        discover(interface.app, default_function="other")


def test_an_app_without_functions_says_how_to_write_one() -> None:
    with pytest.raises(AppDefinitionError, match="App has no functions: write `async def run"):
        interface_of(helper=lambda self: 1)
    with pytest.raises(AppDefinitionError, match=r"App has no functions: App\.go: the return type is missing"):
        interface_of(go=_no_return)


@pytest.mark.parametrize("hook", ["unload", "on_cancel"])
def test_a_hook_that_wants_more_than_there_is_is_an_error(hook: str) -> None:
    def method(self: Any, reason: str) -> None: ...

    with pytest.raises(AppDefinitionError, match=rf"App\.{hook}: nothing is known to give to 'reason'"):
        interface_of(run=_plain, **{hook: method})


def test_a_setup_with_two_values_is_an_error() -> None:
    def setup(self: Any, one: Setup, two: More) -> None: ...

    with pytest.raises(AppDefinitionError, match=r"App\.setup: nothing is known to give to 'two'"):
        interface_of(run=_plain, setup=setup)


# -- types as text -------------------------------------------------------------------------------------------------


def test_types_written_as_text_are_found_in_the_module_and_in_the_class(tmp_path: Path) -> None:
    folder = write_app(
        tmp_path / "app",
        """
        class App(BaseApp):
            class Inner(BaseAppInput):
                text: str

            async def run(self, it: Inner, metadata: "Metadata | None" = None) -> "AsyncGenerator[Out, None]":
                yield Out(text=it.text)
        """,
        head="from __future__ import annotations\n"
        "from typing import AsyncGenerator\n"
        "from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput, Metadata\n"
        "class Out(BaseAppOutput):\n    text: str\n",
    )
    function = discover(load_app(folder).app).function()
    assert function.input_model.__name__ == "Inner"
    assert function.is_generator and function.takes_metadata


# -- finding the class ---------------------------------------------------------------------------------------------

RUN = "    async def run(self, it: In) -> Out: ...\n"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (f"class App(BaseApp):\n{RUN}\nclass Other(BaseApp):\n{RUN}", "App"),
        (f"class MyApp(BaseApp):\n{RUN}", "MyApp"),
        (f"class App:\n{RUN}", "App"),
        ("from .parts import Base\nclass Mine(Base):\n    pass", "Mine"),
    ],
)
def test_the_app_is_the_class_called_app_or_the_only_one(tmp_path: Path, code: str, expected: str) -> None:
    folder = write_app(tmp_path / "app", code, parts__py="from agentkit.apps import BaseApp\nclass Base(BaseApp): ...")
    assert load_app(folder).app.__name__ == expected


def test_two_candidates_or_none_is_an_error_that_names_them(tmp_path: Path) -> None:
    two = write_app(tmp_path / "two", f"class One(BaseApp):\n{RUN}\nclass Two(BaseApp):\n{RUN}")
    with pytest.raises(AppDefinitionError, match=r"inference\.py defines several apps, One, Two; call the one"):
        load_app(two)
    with pytest.raises(AppDefinitionError, match=r"inference\.py defines no app; write `class App\(BaseApp\):`"):
        load_app(write_app(tmp_path / "none", ""))


def test_a_module_made_by_hand_is_looked_through_too() -> None:
    import types

    module = types.ModuleType("by_hand")
    with pytest.raises(AppDefinitionError, match="by_hand defines no app"):
        find_app(module)
