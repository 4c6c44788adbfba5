"""The parameter helpers, and what becomes of `optional()` at any depth."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from agentkit.errors import SchemaError, ToolDefinitionError
from agentkit.tools import any_of, array, boolean, check_schema, enum_of, integer, number, obj, optional, string, tool


class Item(BaseModel):
    name: str
    price: float = Field(default=0, ge=0)


class Node(BaseModel):
    value: int
    children: list["Node"] = []


@dataclass
class Point:
    x: int
    y: int


class Color(Enum):
    RED = "red"
    BLUE = "blue"


def built(schema: Any) -> dict[str, Any]:
    """The input schema of a tool with that one parameter, `p`."""
    whole: dict[str, Any] = tool("t").param("p", schema).build()["client"]["input_schema"]
    check_schema(whole)
    return whole


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (string(), {"type": "string"}),
        (string("Text"), {"type": "string", "description": "Text"}),
        (string(""), {"type": "string"}),
        (number("N"), {"type": "number", "description": "N"}),
        (integer("N"), {"type": "integer", "description": "N"}),
        (boolean("B"), {"type": "boolean", "description": "B"}),
        (enum_of(["a", "b"], "E"), {"type": "string", "enum": ["a", "b"], "description": "E"}),
        (array(string(), "A"), {"type": "array", "items": {"type": "string"}, "description": "A"}),
        (
            obj({"a": string(), "b": optional(integer())}, "O"),
            {
                "type": "object",
                "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
                "description": "O",
                "required": ["a"],
            },
        ),
        (obj({"a": optional(string())}), {"type": "object", "properties": {"a": {"type": "string"}}}),
        (
            string(min_length=1, max_length=5, pattern="^a", format="uri", examples=["a"]),
            {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^a", "format": "uri", "examples": ["a"]},
        ),
        (
            number(minimum=0, maximum=1, exclusive_minimum=0, exclusive_maximum=2, multiple_of=0.5),
            {
                "type": "number",
                "minimum": 0,
                "maximum": 1,
                "exclusiveMinimum": 0,
                "exclusiveMaximum": 2,
                "multipleOf": 0.5,
            },
        ),
        (integer(minimum=0, nullable=True), {"type": ["integer", "null"], "minimum": 0}),
        (boolean(default=False), {"type": "boolean", "default": False}),
        (string(default=None, nullable=True), {"type": ["string", "null"], "default": None}),
        (enum_of(["a"], nullable=True), {"type": ["string", "null"], "enum": ["a", None]}),
        (enum_of([1, 2]), {"type": "integer", "enum": [1, 2]}),
        (enum_of([1, "a"]), {"enum": [1, "a"]}),
        (enum_of(Color), {"type": "string", "enum": ["red", "blue"]}),
        (
            array(int, min_items=1, max_items=3, unique_items=True),
            {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3, "uniqueItems": True},
        ),
        (
            obj({}, additional_properties=False),
            {"type": "object", "properties": {}, "additionalProperties": False},
        ),
        (
            any_of(string(), integer(), description="Either"),
            {"anyOf": [{"type": "string"}, {"type": "integer"}], "description": "Either"},
        ),
    ],
)
def test_a_helper_writes_exactly_what_was_asked(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    assert json.dumps(schema) == json.dumps(expected)
    check_schema(schema)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (int, {"type": "integer"}),
        (Literal["a", "b"], {"enum": ["a", "b"], "type": "string"}),
        (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),  # noqa: UP045  # this spelling is the point
        (list[str], {"items": {"type": "string"}, "type": "array"}),
        (Annotated[int, Field(ge=1, description="Count")], {"description": "Count", "minimum": 1, "type": "integer"}),
        (Color, {"enum": ["red", "blue"], "type": "string"}),
        (
            Point,
            {
                "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
                "required": ["x", "y"],
                "type": "object",
            },
        ),
        (
            Item,
            {
                "properties": {"name": {"type": "string"}, "price": {"default": 0, "minimum": 0, "type": "number"}},
                "required": ["name"],
                "type": "object",
            },
        ),
    ],
)
def test_a_type_is_as_good_as_a_schema(kind: Any, expected: dict[str, Any]) -> None:
    assert built(kind)["properties"]["p"] == expected
    assert built(array(kind))["properties"]["p"]["items"] == expected


def test_a_parameter_with_a_default_is_not_required() -> None:
    assert built(string(default="a"))["required"] == []
    assert obj({"a": string(default="x"), "b": string()})["required"] == ["b"]


def test_a_constraint_can_be_added_to_an_optional_schema_by_hand() -> None:
    whole = built({**optional(string("x")), "maxLength": 3})
    assert whole == {
        "type": "object",
        "properties": {"p": {"type": "string", "description": "x", "maxLength": 3}},
        "required": [],
    }


def test_an_optional_property_in_a_raw_schema_leaves_its_required_list() -> None:
    raw = {"type": "object", "properties": {"a": optional(string()), "b": string()}, "required": ["a", "b"]}
    assert built({"type": "array", "items": raw})["properties"]["p"]["items"] == {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "required": ["b"],
    }


def test_a_property_that_is_called_optional_is_a_property() -> None:
    assert built(obj({"optional": boolean(), "default": string(), "properties": optional(integer())})) == {
        "type": "object",
        "properties": {
            "p": {
                "type": "object",
                "properties": {
                    "optional": {"type": "boolean"},
                    "default": {"type": "string"},
                    "properties": {"type": "integer"},
                },
                "required": ["optional", "default"],
            }
        },
        "required": ["p"],
    }


# -- optional() at any depth ---------------------------------------------------------------------------------------

Plan = tuple[dict[str, Any], dict[str, Any]]
"""A schema made with the helpers, and what it has to be in the end."""

NAMES = st.sampled_from(["a", "b", "optional", "required", "properties", "items", "default", "$ref"])


@st.composite
def objects(draw: st.DrawFn, children: st.SearchStrategy[Plan]) -> Plan:
    members = draw(st.dictionaries(NAMES, st.tuples(children, st.booleans()), max_size=4))
    written = {name: optional(plan[0]) if absent else plan[0] for name, (plan, absent) in members.items()}
    expected = {"type": "object", "properties": {name: plan[1] for name, (plan, _) in members.items()}}
    required = [name for name, (_, absent) in members.items() if not absent]
    if draw(st.booleans()):
        return obj(written), expected | ({"required": required} if required else {})
    raw = {"type": "object", "properties": written, "required": list(members)}
    return raw, expected | {"required": required}


LEAVES: st.SearchStrategy[Plan] = st.sampled_from(
    [(string(), {"type": "string"}), (integer("N"), {"type": "integer", "description": "N"})]
)

PLANS: st.SearchStrategy[Plan] = st.recursive(
    LEAVES,
    lambda children: st.one_of(
        objects(children),
        children.map(lambda plan: (array(plan[0]), {"type": "array", "items": plan[1]})),
        children.map(lambda plan: (array(optional(plan[0])), {"type": "array", "items": plan[1]})),
        children.map(lambda plan: (any_of(plan[0], optional(string())), {"anyOf": [plan[1], {"type": "string"}]})),
    ),
    max_leaves=12,
)


@given(PLANS, st.booleans())
def test_optional_removes_the_name_from_required_at_every_depth_and_leaves_nothing_behind(
    plan: Plan, absent: bool
) -> None:
    written, expected = plan
    assert built(optional(written) if absent else written) == {
        "type": "object",
        "properties": {"p": expected},
        "required": [] if absent else ["p"],
    }


# -- definitions ---------------------------------------------------------------------------------------------------


def test_a_recursive_model_works_as_a_parameter_and_deep_inside() -> None:
    for schema in (Node, array(Node), obj({"n": optional(Node)}), any_of(Node, None | int), Node.model_json_schema()):
        whole = built(schema)
        assert "Node" in whole["$defs"]
        assert "$defs" not in json.dumps(whole["properties"]).replace("#/$defs/", "")


def test_definitions_of_the_same_name_do_not_get_mixed_up() -> None:
    first = {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"type": "string"}}}
    other = {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"type": "integer"}}}
    whole = tool("t").param("x", first).param("y", other).param("z", first).handler(lambda args: "")
    assert whole.check({"x": "s", "y": 1, "z": "s"}) == []
    assert [miss["path"] for miss in whole.check({"x": 1, "y": "s", "z": 1})] == ["x", "y", "z"]


def test_definitions_of_older_drafts_move_too() -> None:
    raw = {"$ref": "#/definitions/A", "definitions": {"A": {"type": "string"}}}
    assert built(raw)["properties"]["p"] == {"$ref": "#/$defs/A"}


@pytest.mark.parametrize("reference", ["#", "#/properties/x", "#anchor"])
def test_a_reference_that_would_change_its_meaning_is_refused(reference: str) -> None:
    raw = {"$anchor": "anchor", "properties": {"x": {}, "y": {"$ref": reference}}}
    with pytest.raises(SchemaError, match=r"tool 't'.*means something else inside a tool's schema.*\$defs"):
        tool("t").param("p", raw)


# -- mistakes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"type": "strin"}, "tool 't', parameter 'p': not a JSON Schema at type: 'strin'"),
        ({"items": {"minimum": "x"}}, "at items.minimum: 'x'"),
        ({"pattern": "("}, "at pattern"),
        ({"type": "object", "required": "a"}, "at required"),
        ({"$ref": "#/$defs/X"}, "'#/$defs/X' points to nothing"),
        ({"$ref": "https://example.com/s.json"}, "points outside the schema"),
    ],
)
def test_a_schema_that_is_none_is_refused_with_the_place(raw: dict[str, Any], words: str) -> None:
    with pytest.raises(SchemaError) as told:
        tool("t").param("p", raw)
    assert words in str(told.value)


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda: enum_of([]), "at least one value"),
        (lambda: enum_of(["a", "a"]), "each value once"),
        (any_of, "at least one schema"),
        (lambda: array("text"), "string('text')"),
        (lambda: obj({"a": "text"}), "property 'a'"),
        (lambda: optional(string), "string()"),
    ],
)
def test_a_helper_refuses_what_it_cannot_mean(mistake: Callable[[], Any], words: str) -> None:
    with pytest.raises(ToolDefinitionError) as told:
        mistake()
    assert words in str(told.value)


# -- whole schemas -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("set_whole", ["params", "input_schema"])
def test_a_model_or_schema_sets_all_parameters_at_once(set_whole: str) -> None:
    expected = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "price": {"default": 0, "minimum": 0, "type": "number"}},
        "required": ["name"],
    }
    for whole in (Item, expected, optional(expected)):
        assert getattr(tool("t"), set_whole)(whole).build()["client"]["input_schema"] == expected


def test_required_is_there_even_when_a_whole_schema_lacks_it_and_other_keywords_stay() -> None:
    schema = tool("t").params({"additionalProperties": False}).build()["client"]["input_schema"]
    assert schema == {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


def test_a_recursive_model_as_the_whole_schema_has_an_object_at_its_root() -> None:
    client = tool("t").params(Node).handler(lambda args: "")
    assert client.spec["client"]["input_schema"]["type"] == "object"
    assert client.check({"value": 1, "children": [{"value": 2}]}) == []
    assert [miss["path"] for miss in client.check({"value": 1, "children": [{"value": "x"}]})] == ["children.0.value"]


def test_a_parameter_can_be_added_to_a_whole_schema() -> None:
    schema = tool("t").params(Item).param("node", Node).build()["client"]["input_schema"]
    assert list(schema["properties"]) == ["name", "price", "node"]
    assert schema["required"] == ["name", "node"]
    assert list(schema["$defs"]) == ["Node"]
