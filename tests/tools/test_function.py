"""`@tool` on a typed function: schema from the signature, words from the docstring."""

import functools
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from agentkit.errors import ToolArgumentsError, ToolDefinitionError
from agentkit.tools import ClientTool, ClientToolBuilder, ToolContext, string, tool

CTX = ToolContext(chat_id="c1", invocation_id="i1", tool_name="t", idempotency_key="k1")


class Line(BaseModel):
    """A line of an order."""

    sku: str
    count: int = 1


class Speed(Enum):
    SLOW = "slow"
    FAST = "fast"


@dataclass
class Address:
    street: str


def input_schema(client: ClientTool[..., Any]) -> dict[str, Any]:
    schema: dict[str, Any] = client.spec["client"]["input_schema"]
    return schema


@tool
def order(
    lines: list[Line],
    to: Address,
    by: date,
    ctx: ToolContext,
    speed: Speed = Speed.SLOW,
    wrap: Literal["paper", "box"] | None = None,
    *,
    copies: Annotated[int, Field(ge=1, description="Copies of the invoice")] = 1,
) -> dict[str, Any]:
    """Places an order
    with the shop.

    Takes a while.

    Args:
        lines: What to order.
        to (Address): Where it goes,
            house number included.
        copies: Not this text.
        ctx: Not for the model.
    """
    return {"lines": lines, "to": to, "by": by, "speed": speed, "wrap": wrap, "copies": copies, "ctx": ctx}


def test_the_schema_is_that_of_the_signature_and_the_words_are_those_of_the_docstring() -> None:
    assert (order.name, order.spec["description"]) == ("order", "Places an order with the shop.")
    schema = input_schema(order)
    assert schema["required"] == ["lines", "to", "by"]
    assert schema["properties"] == {
        "lines": {"items": {"$ref": "#/$defs/Line"}, "type": "array", "description": "What to order."},
        "to": {
            "properties": {"street": {"type": "string"}},
            "required": ["street"],
            "type": "object",
            "description": "Where it goes, house number included.",
        },
        "by": {"format": "date", "type": "string"},
        "speed": {"enum": ["slow", "fast"], "type": "string", "default": "slow"},
        "wrap": {"anyOf": [{"enum": ["paper", "box"], "type": "string"}, {"type": "null"}]},
        "copies": {"description": "Copies of the invoice", "minimum": 1, "type": "integer", "default": 1},
    }
    assert schema["$defs"]["Line"]["required"] == ["sku"]


def test_the_model_calls_it_with_json_and_the_function_gets_its_types() -> None:
    args = {"lines": [{"sku": "a"}], "to": {"street": "S 1"}, "by": "2024-05-01", "copies": 2}
    assert order.call(args, CTX) == {
        "lines": [Line(sku="a", count=1)],
        "to": Address("S 1"),
        "by": date(2024, 5, 1),
        "speed": Speed.SLOW,
        "wrap": None,
        "copies": 2,
        "ctx": CTX,
    }


def test_the_function_stays_callable_with_its_own_signature() -> None:
    assert order([], Address("S"), date(2024, 5, 1), CTX, copies=3)["copies"] == 3


async def test_an_async_function_stays_async() -> None:
    @tool
    async def double(n: int) -> int:
        """Doubles."""
        return 2 * n

    assert double.is_async
    assert await double(2) == 4
    assert await double.call({"n": 3}, CTX) == 6


def test_the_decorator_takes_options_and_they_win_over_the_docstring() -> None:
    @tool(name="pay_now", require_approval=True, description="Pays", display_name="Pay")
    def pay(amount: float) -> None:
        """Not this."""

    @tool(require_approval=True)
    def refund(amount: float) -> None:
        """Refunds."""

    @tool("named_by_position")
    def third(amount: float) -> None: ...

    @tool("chained").describe("Chained").require_approval()
    def fourth(amount: float) -> None: ...

    assert [pay.name, refund.name, third.name, fourth.name] == ["pay_now", "refund", "named_by_position", "chained"]
    assert [pay.spec["description"], refund.spec["description"]] == ["Pays", "Refunds."]
    assert pay.spec["display_name"] == "Pay"
    assert [t.spec["require_approval"] for t in (pay, refund, third, fourth)] == [True, True, False, True]
    assert all(list(input_schema(t)["properties"]) == ["amount"] for t in (pay, refund, third, fourth))


def test_a_builder_with_parameters_keeps_them_when_it_decorates() -> None:
    @tool("t").param("city", string("In English"))
    def weather(city: str) -> str:
        return city

    assert input_schema(weather)["properties"] == {"city": {"type": "string", "description": "In English"}}


def test_a_name_makes_a_builder_and_a_function_makes_a_tool() -> None:
    assert isinstance(tool("t"), ClientToolBuilder)
    assert isinstance(tool(name="t"), ClientToolBuilder)
    assert isinstance(tool(abs_of), ClientTool)
    assert tool(abs_of).describe("Other").spec["description"] == "Other"


def abs_of(n: int) -> int:
    """Absolute value."""
    return abs(n)


def test_bound_methods_and_partials_are_functions_too() -> None:
    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        def find(self, sku: str) -> str:
            """Finds."""
            return f"{self.name}: {sku}"

    found = tool(Shop("A").find)
    assert list(input_schema(found)["properties"]) == ["sku"]
    assert found.call({"sku": "x"}, CTX) == "A: x"
    partial = tool(functools.partial(Shop.find, Shop("B")))
    assert (partial.name, partial.spec["description"]) == ("find", "Finds.")
    assert partial.call({"sku": "x"}, CTX) == "B: x"


def test_what_a_partial_has_filled_in_is_not_the_models_to_choose() -> None:
    def send(to: str, text: str, retries: int = 1) -> str:
        """Sends."""
        return f"{to} {text} {retries}"

    sent = tool(functools.partial(send, to="me"))
    assert list(input_schema(sent)["properties"]) == ["text", "retries"]
    assert sent.call({"text": "hi"}, CTX) == "me hi 1"
    with pytest.raises(ToolArgumentsError) as told:
        sent.call({"text": "hi", "to": "you"}, CTX)
    assert told.value.errors == [{"path": "to", "message": "no such parameter; there are: text, retries"}]


def test_a_default_that_json_cannot_carry_is_left_to_the_function() -> None:
    unset = object()

    @tool
    def find(a: Any = unset, b: tuple[int, ...] = (1, 2), c: float = float("inf"), d: int = None) -> Any:  # type: ignore[assignment]  # noqa: RUF013  # as people write it
        return a, b, c, d

    schema = input_schema(find)
    assert schema["required"] == []
    assert {name for name, part in schema["properties"].items() if "default" in part} == {"b"}
    assert find.call({}, CTX) == (unset, (1, 2), float("inf"), None)


class Sort:
    def by(self, key: str) -> None: ...


MISTAKES: list[tuple[Any, list[str]]] = [
    (lambda: tool(lambda city: city), ["lambda has no name", "tool('name').handler(...)"]),
    (lambda: tool("t")(untyped), ["tool 't'", "'city' has no annotation", "city: str"]),
    (lambda: tool(untyped), ["tool 'untyped'", "'city' has no annotation"]),
    (lambda: tool(Sort.by), ["'self' would be an argument", "tool(instance.method)"]),
    (lambda: tool(starred), ["tool 'starred'", "*args tells the model nothing"]),
    (lambda: tool(double_starred), ["*more tells the model nothing"]),
    (lambda: tool(field_default), ["default of 'n' is a Field", "Annotated["]),
    (lambda: tool(handle), ["parameter 'thing'", "Sort has no JSON Schema"]),
    (lambda: tool(forward), ["'Nowhere'", "'x'", "module level"]),
    (lambda: tool(tool("t")), ["is a tool already"]),
    (lambda: tool(order), ["is a tool already"]),
    (lambda: tool(5), ["tool(5)", "tool('name')"]),  # type: ignore[call-overload]  # the point
    (lambda: tool("t", name="u"), ["tool('t')"]),  # type: ignore[call-overload]  # the point
    (lambda: tool(steps), ["is a generator"]),
]


def untyped(city):  # type: ignore[no-untyped-def]  # the point
    return city


def starred(*args: int) -> None: ...


def double_starred(n: int, **more: int) -> None: ...


def field_default(n: int = Field(default=1)) -> None: ...


def handle(thing: Sort) -> None: ...


def forward(x: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821


def steps(n: int) -> Any:
    yield n


@pytest.mark.parametrize(("mistake", "words"), MISTAKES, ids=[" ".join(words)[:50] for _, words in MISTAKES])
def test_a_function_that_tells_too_little_is_refused_with_the_way_out(mistake: Any, words: list[str]) -> None:
    with pytest.raises(ToolDefinitionError) as told:
        mistake()
    for word in words:
        assert word in str(told.value)
