"""An output type as JSON Schema, and back."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, RootModel
from typing_extensions import TypedDict

from agentkit.errors import SchemaError, ToolArgumentsError, UsageError
from agentkit.tools import check_schema, obj, optional, output_of, string


class Report(BaseModel):
    """A report."""

    summary: str
    temp_c: float = Field(ge=-90)


class Tree(BaseModel):
    name: str
    children: list["Tree"] = []


@dataclass
class Point:
    x: int
    y: int = 0


class Movie(TypedDict):
    title: str
    year: int


@pytest.mark.parametrize(
    ("output_type", "value", "parsed"),
    [
        (Report, {"summary": "s", "temp_c": 1}, Report(summary="s", temp_c=1)),
        (Tree, {"name": "a", "children": [{"name": "b"}]}, Tree(name="a", children=[Tree(name="b")])),
        (Point, {"x": 1}, Point(1)),
        (Movie, {"title": "t", "year": 1}, {"title": "t", "year": 1}),
        (dict[str, int], {"a": 1}, {"a": 1}),
        ({"type": "object", "properties": {"a": {}}}, {"a": b"".decode()}, {"a": ""}),
        (obj({"a": optional(string())}), {}, {}),
    ],
)
def test_an_object_travels_as_it_is(output_type: Any, value: Any, parsed: Any) -> None:
    output = output_of(output_type)
    check_schema(output.schema)
    assert output.schema["type"] == "object"
    assert "$ref" not in output.schema
    assert not output.is_wrapped
    assert output.parse(value) == parsed
    assert type(output.parse(value)) is type(parsed)


@pytest.mark.parametrize(
    ("output_type", "inner", "parsed"),
    [
        (str, "s", "s"),
        (int, 3, 3),
        (float, 3, 3.0),
        (bool, True, True),
        (date, "2024-05-01", date(2024, 5, 1)),
        (list[Point], [{"x": 1}], [Point(1)]),
        (set[int], [1, 2], {1, 2}),
        (Literal["a", "b"], "b", "b"),
        (Point | Report, {"summary": "s", "temp_c": 1}, Report(summary="s", temp_c=1)),
        (Point | None, None, None),
        (RootModel[list[int]], [1], RootModel[list[int]]([1])),
        (list[Tree], [{"name": "a"}], [Tree(name="a")]),
        ({"type": "array", "items": {"type": "integer"}}, [1], [1]),
    ],
)
def test_what_is_no_object_travels_inside_one(output_type: Any, inner: Any, parsed: Any) -> None:
    output = output_of(output_type)
    check_schema(output.schema)
    assert output.is_wrapped
    assert (output.schema["type"], output.schema["required"]) == ("object", ["result"])
    assert list(output.schema["properties"]) == ["result"]
    assert output.parse({"result": inner}) == parsed


def test_the_schema_of_a_model_is_small() -> None:
    assert output_of(Report).schema == {
        "description": "A report.",
        "properties": {"summary": {"type": "string"}, "temp_c": {"minimum": -90, "type": "number"}},
        "required": ["summary", "temp_c"],
        "type": "object",
    }


@pytest.mark.parametrize(
    ("output_type", "value", "paths"),
    [
        (Report, {"temp_c": -100}, ["", "temp_c"]),
        (Tree, {"name": "a", "children": [{}]}, ["children.0"]),
        (list[int], {"result": [1, "x"]}, ["result.1"]),
        (list[int], [1], [""]),
        (list[int], {"result": [1], "more": 1}, [""]),
        (Report, "text", [""]),
        (Report, None, [""]),
        ({"type": "object", "required": ["a"]}, {}, [""]),
    ],
)
def test_an_output_that_misses_its_type_says_where(output_type: Any, value: Any, paths: list[str]) -> None:
    with pytest.raises(ToolArgumentsError, match="the output misses") as told:
        output_of(output_type).parse(value)
    assert [miss["path"] for miss in told.value.errors] == paths


def test_a_rule_that_only_the_type_knows_counts_too() -> None:
    class Even(BaseModel):
        n: int

        def model_post_init(self, context: Any) -> None:
            if self.n % 2:
                raise ValueError("odd")

    assert output_of(Even).parse({"n": 2}) == Even(n=2)
    with pytest.raises(ToolArgumentsError, match="odd"):
        output_of(Even).parse({"n": 1})


def test_the_name_is_that_of_the_type() -> None:
    assert [output_of(kind).name for kind in (Report, list[int])] == ["Report", "list[int]"]
    assert repr(output_of(Report)) == "Output(Report)"


@pytest.mark.parametrize(
    ("output_type", "error", "words"),
    [
        (Callable[[], int], UsageError, "has no JSON Schema"),
        (object(), UsageError, "has no JSON Schema"),
        ("Report", UsageError, "'Report' is text"),
        ({"type": "objekt"}, SchemaError, "output_type: not a JSON Schema at type"),
        ({"default": b"x"}, UsageError, "plain JSON"),
    ],
)
def test_a_type_without_a_schema_is_refused(output_type: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as told:
        output_of(output_type)
    assert words in str(told.value)
