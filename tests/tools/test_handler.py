"""How a handler gets its arguments, and which handlers are refused when the tool is defined."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timezone
from enum import Enum
from typing import TYPE_CHECKING, Any, Optional
from unittest.mock import Mock

import pytest
from pydantic import BaseModel, ConfigDict

from agentkit.errors import ToolArgumentsError, ToolDefinitionError
from agentkit.tools import (
    ClientTool,
    ToolContext,
    array,
    enum_of,
    integer,
    number,
    obj,
    optional,
    string,
    tool,
)

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForTypeCheckers

CTX = ToolContext(chat_id="c1", invocation_id="i1", tool_name="t", idempotency_key="k1")

travel = tool("travel").param("city", string()).param("days", integer(default=1)).param("note", optional(string()))


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


@dataclass
class Point:
    x: int
    y: int = 0


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    day: date


# -- the conventions -----------------------------------------------------------------------------------------------


def by_dict(args: dict[str, Any]) -> Any:
    return args


def by_untyped_dict(whatever, retries=3):  # type: ignore[no-untyped-def]  # as people write them
    return whatever


def by_names(city: str, days: int, note: str | None = None) -> Any:
    return {"city": city, "days": days} | ({} if note is None else {"note": note})


def by_names_in_another_order(days: int, city: str, *, note: str = "") -> Any:
    return {"city": city, "days": days} | ({"note": note} if note else {})


def by_position_only(city: str, days: int, note: str = "", /) -> Any:
    return {"city": city, "days": days} | ({"note": note} if note else {})


def by_any_name(**given: Any) -> Any:
    return given


def by_some_names(city: str, **rest: Any) -> Any:
    return {"city": city, **rest}


def by_stars(*args: Any) -> Any:
    return args[0]


class Callable1:
    def __call__(self, args: dict[str, Any]) -> Any:
        return args

    def method(self, city: str, days: int, note: str | None = None) -> Any:
        return by_names(city, days, note)


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


HANDLERS: list[Callable[..., Any]] = [
    by_dict,
    by_untyped_dict,
    by_names,
    by_names_in_another_order,
    by_position_only,
    by_any_name,
    by_some_names,
    by_stars,
    lambda args: args,
    lambda args=None: args,
    lambda a, /: a,
    lambda *, city, **rest: {"city": city, **rest},
    Callable1(),
    Callable1().method,
    functools.partial(by_names),
    wrapped(by_names),
    wrapped(by_dict),
    Mock(side_effect=by_dict),
    dict,
]


@pytest.mark.parametrize("handler", HANDLERS, ids=range(len(HANDLERS)))
def test_a_handler_gets_its_arguments_the_way_it_is_written(handler: Callable[..., Any]) -> None:
    client = travel.handler(handler)
    assert client.call({"city": "Rome", "days": 3, "note": "n"}, CTX) == {"city": "Rome", "days": 3, "note": "n"}
    assert client.call({"city": "Rome"}, CTX) == {"city": "Rome", "days": 1}


def with_ctx_last(args: dict[str, Any], ctx: ToolContext) -> Any:
    return args["city"], ctx


def with_ctx_first(ctx: ToolContext, args: dict[str, Any]) -> Any:
    return args["city"], ctx


def with_ctx_after_a_default(args: dict[str, Any], retries: int = 3, ctx: ToolContext | None = None) -> Any:
    assert retries == 3
    return args["city"], ctx


def with_ctx_by_annotation(city: str, call: Optional[ToolContext] = None, **rest: Any) -> Any:  # noqa: UP045  # old code
    return city, call


def with_ctx_and_stars(ctx: Any, *args: Any) -> Any:
    return args[0]["city"], ctx


def with_quoted_annotation(about: "ToolContext", city: "str", days: "int", note: "str" = "") -> Any:
    return city, about


@pytest.mark.parametrize(
    "handler",
    [
        with_ctx_last,
        with_ctx_first,
        with_ctx_after_a_default,
        with_ctx_by_annotation,
        with_ctx_and_stars,
        with_quoted_annotation,
        lambda args, ctx: (args["city"], ctx),
        lambda ctx, city, days, note="": (city, ctx),
        lambda args, *, ctx: (args["city"], ctx),
        lambda ctx, args, /: (args["city"], ctx),
    ],
)
def test_a_handler_gets_the_context_where_it_asks_for_it(handler: Callable[..., Any]) -> None:
    assert travel.handler(handler).call({"city": "Rome"}, CTX) == ("Rome", CTX)


def test_a_handler_without_parameters_serves_a_tool_without_parameters() -> None:
    assert tool("now").handler(lambda: "noon").call({}, CTX) == "noon"
    assert tool("now").handler(lambda ctx: ctx.chat_id).call({}, CTX) == "c1"
    assert tool("now").handler(lambda args: args).call({}, CTX) == {}


async def test_an_async_handler_is_awaited_by_the_caller() -> None:
    async def look(city: str, days: int, note: str = "", *, ctx: ToolContext) -> str:
        return f"{city} {days} {ctx.invocation_id}"

    class Look:
        async def __call__(self, args: dict[str, Any]) -> str:
            return f"{args['city']} {args['days']} i1"

    for handler in (look, Look(), functools.partial(look)):
        client = travel.handler(handler)
        assert client.is_async
        assert await client.call({"city": "Rome"}, CTX) == "Rome 1 i1"
    assert not travel.handler(lambda args: "").is_async


def test_what_a_handler_raises_goes_through() -> None:
    def fails(args: dict[str, Any]) -> None:
        raise KeyError(args["city"])

    with pytest.raises(KeyError, match="Rome"):
        travel.handler(fails).call({"city": "Rome"}, CTX)


# -- arguments -----------------------------------------------------------------------------------------------------


def test_arguments_that_miss_the_schema_are_refused_before_the_handler_runs() -> None:
    handler = Mock()
    client = tool("pay").param("to", string()).param("sums", array(number(minimum=0))).handler(handler)
    with pytest.raises(ToolArgumentsError, match="tool 'pay'") as told:
        client.call({"sums": [1, -2, "x"]}, CTX)
    assert told.value.errors == [
        {"path": "", "message": "'to' is a required property"},
        {"path": "sums.1", "message": "-2 is less than the minimum of 0"},
        {"path": "sums.2", "message": "'x' is not of type 'number'"},
    ]
    assert "sums.1: -2 is less than" in str(told.value)
    handler.assert_not_called()


@pytest.mark.parametrize("args", [[], "x", None, 1])
def test_arguments_that_are_no_object_are_refused(args: Any) -> None:
    with pytest.raises(ToolArgumentsError, match="is not of type 'object'"):
        travel.handler(lambda args: "").call(args, CTX)


def test_an_argument_nobody_takes_is_refused_rather_than_dropped() -> None:
    with pytest.raises(ToolArgumentsError) as told:
        travel.handler(by_names).call({"city": "Rome", "nights": 2}, CTX)
    assert told.value.errors == [{"path": "nights", "message": "no such parameter; there are: city, days, note"}]
    assert travel.handler(by_dict).call({"city": "Rome", "nights": 2}, CTX)["nights"] == 2


@pytest.mark.parametrize("handler", [lambda city, days, ctx, note="": city, lambda ctx, **given: given["city"]])
def test_the_model_cannot_fill_in_the_context(handler: Callable[..., Any]) -> None:
    client = travel.handler(handler)
    assert client.call({"city": "Rome"}, CTX) == "Rome"
    with pytest.raises(ToolArgumentsError) as told:
        client.call({"city": "Rome", "ctx": {"chat_id": "other"}}, CTX)
    assert [miss["path"] for miss in told.value.errors] == ["ctx"]


def test_defaults_are_filled_in_at_every_depth_and_what_was_given_stays() -> None:
    row = obj({"n": integer(default=1), "inner": optional(obj({"m": string(default="x")}))})
    client = tool("t").param("rows", array(row)).param("tags", array(str, default=[])).handler(lambda args: args)
    given = {"rows": [{}, {"n": 5, "inner": {}}]}
    got = client.call(given, CTX)
    assert got == {"rows": [{"n": 1}, {"n": 5, "inner": {"m": "x"}}], "tags": []}
    assert given == {"rows": [{}, {"n": 5, "inner": {}}]}
    got["tags"].append("changed")
    assert client.call({"rows": []}, CTX)["tags"] == []


def test_an_annotated_parameter_gets_the_type_it_asks_for() -> None:
    def handler(when: datetime, size: Size, at: Point, strict: Strict) -> tuple[Any, ...]:
        return when, size, at, strict

    client = (
        tool("t")
        .param("when", string(format="date-time"))
        .param("size", enum_of(Size))
        .param("at", obj({"x": integer()}))
        .param("strict", Strict)
        .handler(handler)
    )
    assert client.call(
        {"when": "2024-05-01T10:00:00Z", "size": "l", "at": {"x": 1}, "strict": {"day": "2024-05-01"}}, CTX
    ) == (datetime(2024, 5, 1, 10, tzinfo=timezone.utc), Size.LARGE, Point(1), Strict(day=date(2024, 5, 1)))  # noqa: UP017


def test_the_one_dict_may_be_a_model_too() -> None:
    class Trip(BaseModel):
        city: str
        days: int

    def handler(trip: Trip) -> Trip:
        return trip

    assert travel.handler(handler).call({"city": "Rome"}, CTX) == Trip(city="Rome", days=1)


def test_a_value_that_fits_the_schema_but_not_the_type_is_an_argument_error_with_its_path() -> None:
    def handler(at: Point) -> Point:
        return at

    client = tool("t").param("at", obj({"x": string()})).handler(handler)
    with pytest.raises(ToolArgumentsError) as told:
        client.call({"at": {"x": "far"}}, CTX)
    assert [miss["path"] for miss in told.value.errors] == ["at.x"]


# -- refused when defined ------------------------------------------------------------------------------------------


def generator(args: dict[str, Any]) -> Any:
    yield args


async def async_generator(args: dict[str, Any]) -> Any:
    yield args


def unresolved(city: "OnlyForTypeCheckers", days: int, note: str = "") -> None: ...


def unreadable(city: "not a type", days: int, note: str = "") -> None: ...  # type: ignore[syntax]  # noqa: F722


def no_schema(city: Callable[[], int], days: int, note: str = "") -> None: ...


MISTAKES: list[tuple[Any, list[str]]] = [
    (None, ["tool 'travel'", "None is not callable", ".handler(lambda args: ...)"]),
    ("sunny", ["'sunny' is not callable"]),
    (lambda: "x", ["tool 'travel'", "no parameter 'city'", "lambda args: args['city']"]),
    (lambda ctx: "x", ["no parameter 'city'"]),
    (lambda city: "x", ["no parameter 'days'"]),
    (lambda city, days: "x", ["no parameter 'note'"]),
    (lambda city, days, note: "x", ["'note' is optional in the schema", "note=None"]),
    (lambda city, days, note=1, nights=2, *, hotel: "x", ["'hotel' is not in the schema", ".param('hotel', string())"]),
    (lambda args, context: "x", ["no parameter 'city'"]),
    (lambda town, days=1: "x", ["no parameter 'city'"]),
    (lambda *, args: "x", ["no parameter 'city'"]),
    (generator, ["is a generator", "ctx.progress"]),
    (async_generator, ["is a generator"]),
    (unresolved, ["'OnlyForTypeCheckers'", "'city'", "TYPE_CHECKING"]),
    (unreadable, ["'not a type'", "'city'"]),
    (no_schema, ["parameter 'city'", "has no JSON Schema"]),
]


@pytest.mark.parametrize(("handler", "words"), MISTAKES, ids=[" ".join(words)[:50] for _, words in MISTAKES])
def test_a_handler_that_does_not_fit_is_refused_when_the_tool_is_defined(handler: Any, words: list[str]) -> None:
    with pytest.raises(ToolDefinitionError) as told:
        travel.handler(handler)
    for word in words:
        assert word in str(told.value)


def test_a_typed_parameter_that_the_schema_lacks_is_not_taken_for_the_dict() -> None:
    def handler(town: str) -> str:
        return town

    with pytest.raises(ToolDefinitionError, match=r"'town' takes 'string' and is not in the schema.*@tool"):
        tool("t").param("city", string()).handler(handler)


def test_a_parameter_that_could_be_the_dict_or_a_property_is_refused() -> None:
    with pytest.raises(ToolDefinitionError, match="'args' may mean all arguments"):
        tool("t").param("args", array(str)).handler(lambda args: "")
    client = tool("t").param("args", array(str)).param("cmd", string()).handler(lambda cmd, args: [cmd, *args])
    assert client.call({"args": ["-l"], "cmd": "ls"}, CTX) == ["ls", "-l"]


def test_a_property_called_like_the_context_is_refused() -> None:
    with pytest.raises(ToolDefinitionError, match=r"'ctx' is both.*rename"):
        tool("t").param("ctx", string()).handler(lambda ctx: "")


def test_two_contexts_are_refused() -> None:
    def handler(a: ToolContext, ctx: ToolContext) -> None: ...

    with pytest.raises(ToolDefinitionError, match="2 parameters for the context"):
        tool("t").handler(handler)


def test_a_context_imported_for_type_checkers_only_is_still_the_context() -> None:
    def handler(about: Any) -> Any:
        return about

    handler.__annotations__["about"] = "unknown_module.ToolContext"
    assert tool("t").handler(handler).call({}, CTX) is CTX


# -- the tool with its handler -------------------------------------------------------------------------------------


def test_a_client_tool_answers_like_the_sdks_pair_of_schema_and_handler() -> None:
    client = travel.handler(by_names)
    assert isinstance(client, ClientTool)
    assert client.name == "travel"
    assert client["handler"] is by_names
    assert dict(client) == {"schema": travel.build(), "handler": by_names}
    assert client.build() == client.spec == client["schema"]
    with pytest.raises(KeyError, match=r"'name'.*'schema' and 'handler'.*\.spec"):
        client["name"]


def test_a_client_tool_is_called_like_its_function_and_looks_like_it() -> None:
    client = travel.handler(by_names)
    assert client("Rome", 2) == {"city": "Rome", "days": 2}
    assert (client.__name__, client.__doc__) == ("by_names", by_names.__doc__)
    assert inspect.signature(client) == inspect.signature(by_names)
    assert repr(client) == "ClientTool('travel', handler=by_names)"


def test_the_steps_of_the_builder_go_on_after_the_handler_and_copy() -> None:
    client = travel.handler(by_any_name)
    more = client.describe("D").display("O").display_name("Travel").require_approval().param("x", optional(int))
    assert isinstance(more, ClientTool)
    assert (more.spec["description"], more.spec["display_name"], more.spec["require_approval"]) == ("D", "Travel", True)
    assert more.call({"city": "Rome", "x": 1}, CTX) == {"city": "Rome", "days": 1, "x": 1}
    assert client.spec == travel.build()
    assert client.handler(lambda args: "new").call({"city": "Rome"}, CTX) == "new"
    assert tool("t").handler(by_dict).params({"properties": {"a": {}}}).spec["client"]["input_schema"]["properties"]


def test_a_parameter_added_after_the_handler_has_to_be_taken_too() -> None:
    with pytest.raises(ToolDefinitionError, match="no parameter 'hotel'"):
        travel.handler(by_names).param("hotel", string())
