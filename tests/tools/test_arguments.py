"""Arguments against a schema."""

from typing import Any

import pytest

from agentkit.errors import SchemaError
from agentkit.tools import ArgumentSchema, array, check_arguments, check_schema, integer, obj, optional, string


@pytest.mark.parametrize(
    ("schema", "args", "misses"),
    [
        (obj({"a": string()}), {"a": "x"}, []),
        (obj({"a": string()}), {}, [("", "'a' is a required property")]),
        (obj({"a": optional(string())}), {}, []),
        (obj({"a": string()}), {"a": 1}, [("a", "1 is not of type 'string'")]),
        (obj({"a": array(obj({"b": integer()}))}), {"a": [{"b": "x"}]}, [("a.0.b", "'x' is not of type 'integer'")]),
        (obj({"a": integer()}), {"a": 3.0}, []),
        (obj({"a": integer()}), {"a": True}, [("a", "True is not of type 'integer'")]),
        (
            obj({}, additional_properties=False),
            {"x": 1},
            [("", "Additional properties are not allowed ('x' was unexpected)")],
        ),
        (obj({"a": string(format="date")}), {"a": "yesterday"}, [("a", "'yesterday' is not a 'date'")]),
        (obj({}), [], [("", "[] is not of type 'object'")]),
    ],
)
def test_each_miss_has_a_path_and_a_sentence(schema: dict[str, Any], args: Any, misses: list[tuple[str, str]]) -> None:
    assert check_arguments(schema, args) == [{"path": path, "message": message} for path, message in misses]


def test_misses_come_in_the_order_of_their_paths() -> None:
    schema = obj({"b": string(), "a": string(), "c": string()})
    assert [miss["path"] for miss in check_arguments(schema, {"a": 1, "b": 1})] == ["", "a", "b"]


def test_a_long_value_is_not_repeated_in_full() -> None:
    (miss,) = check_arguments(obj({"a": integer()}), {"a": "x" * 10_000})
    assert len(miss["message"]) < 400
    assert miss["message"].endswith("is not of type 'integer'")


def test_a_schema_made_ready_once_serves_many_checks() -> None:
    ready = ArgumentSchema(obj({"a": string()}))
    assert [len(ready.check(args)) for args in ({"a": "x"}, {}, {"a": 1}, {"a": "x"})] == [0, 1, 1, 0]


def test_defaults_behind_a_reference_are_filled_in() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}},
        "$defs": {"A": {"properties": {"n": {"default": 1}, "a": {"$ref": "#/$defs/A"}}}},
    }
    assert ArgumentSchema(schema).filled({"a": {"a": {}}}) == {"a": {"n": 1, "a": {"n": 1}}}


def test_references_that_go_round_do_not_hang() -> None:
    schema = {
        "properties": {"a": {"$ref": "#/$defs/A"}},
        "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}},
    }
    assert ArgumentSchema(schema).filled({"a": {"x": 1}}) == {"a": {"x": 1}}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "properties": {"a": True}},
        {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {}}},
        {"$ref": "#here", "$defs": {"a": {"$anchor": "here"}}},
        {"anyOf": [{"$ref": "#/anyOf/1"}, {"type": "string"}]},
        {"enum": [{"$ref": "#/nowhere"}], "const": {"$ref": "nowhere"}, "default": {"type": "no"}},
        {"properties": {"$ref": {"type": "string"}}},
    ],
)
def test_a_schema_is_a_schema(schema: dict[str, Any]) -> None:
    check_schema(schema)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ([], "what: a JSON Schema is an object, not list"),
        ({"properties": {"a": {"type": 5}}}, "what: not a JSON Schema at properties.a.type"),
        ({"minLength": -1}, "at minLength"),
        ({"allOf": []}, "at allOf"),
        ({"items": {"$ref": "#/$defs/X"}}, "'#/$defs/X' points to nothing"),
        ({"$ref": "#nowhere"}, "'#nowhere' points to nothing"),
        ({"$ref": "#/anyOf/5", "anyOf": [{}]}, "points to nothing"),
        ({"not": {"$ref": "other.json"}}, "'other.json' points outside"),
    ],
)
def test_what_is_no_schema_is_refused_with_its_place(schema: Any, words: str) -> None:
    with pytest.raises(SchemaError) as told:
        check_schema(schema, what="what")
    assert words in str(told.value)


def test_of_two_shapes_the_miss_of_the_one_that_was_meant_is_told() -> None:
    width = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}
    schema = {"type": "object", "properties": {"width": width}}
    assert check_arguments(schema, {"width": 0}) == [{"path": "width", "message": "0 is less than the minimum of 1"}]
