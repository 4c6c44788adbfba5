"""Forms made of JSON Schemas: a field for every property, and the value of what was filled in."""

from __future__ import annotations

from typing import Any

import pytest

from agentkit.tools.forms import ANSWER, FieldKind, FormError, fields, filled_in, is_single


def one(schema: dict[str, Any], given: Any) -> Any:
    """The value of a form with one property."""
    return filled_in({"type": "object", "properties": {"a": schema}}, {"a": given}).get("a")


@pytest.mark.parametrize(
    ("schema", "kind", "given", "value"),
    [
        ({"type": "string"}, FieldKind.TEXT, "hi", "hi"),
        ({"type": "string", "format": "multi-line"}, FieldKind.LONG_TEXT, "a\nb", "a\nb"),
        ({"type": "string", "maxLength": 5000}, FieldKind.LONG_TEXT, "a", "a"),
        ({"type": "string", "format": "date"}, FieldKind.DATE, "2026-01-31", "2026-01-31"),
        ({"type": "number"}, FieldKind.NUMBER, "12.5", 12.5),
        ({"type": "number"}, FieldKind.NUMBER, 3, 3),
        ({"type": "integer"}, FieldKind.INTEGER, "-7", -7),
        ({"type": "integer"}, FieldKind.INTEGER, "7.0", 7),
        ({"type": "boolean"}, FieldKind.BOOLEAN, "on", True),
        ({"type": "boolean"}, FieldKind.BOOLEAN, "", False),
        ({"type": "boolean"}, FieldKind.BOOLEAN, False, False),
        ({"enum": ["a", "b"]}, FieldKind.CHOICE, "b", "b"),
        ({"enum": [1, 2]}, FieldKind.CHOICE, "2", 2),
        ({"enum": [True, 1]}, FieldKind.CHOICE, 1, 1),
        ({"enum": ["a", "b"], "enumNames": ["First", "Second"]}, FieldKind.CHOICE, "Second", "b"),
        ({"oneOf": [{"const": 1, "title": "One"}, {"const": 2}]}, FieldKind.CHOICE, "One", 1),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, FieldKind.CHOICES, ["b", "a"], ["b", "a"]),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, FieldKind.CHOICES, "a", ["a"]),
        ({"type": "array", "items": {"type": "string"}}, FieldKind.LINES, "a\n\n b \n", ["a", "b"]),
        ({"type": "array", "items": {"type": "number"}}, FieldKind.JSON, "[1, 2]", [1, 2]),
        ({"type": "object"}, FieldKind.JSON, '{"x": 1}', {"x": 1}),
        ({}, FieldKind.JSON, {"x": 1}, {"x": 1}),
        ({"type": ["integer", "null"]}, FieldKind.INTEGER, "1", 1),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, FieldKind.INTEGER, "1", 1),
        ({"type": "string"}, FieldKind.TEXT, " ", None),
        ({"type": "integer"}, FieldKind.INTEGER, "", None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_field_is_drawn_by_its_type_and_read_as_it(
    schema: dict[str, Any], kind: FieldKind, given: Any, value: Any
) -> None:
    (field,) = fields({"type": "object", "properties": {"a": schema}})
    read = one(schema, given)
    assert (field.kind, read, type(read)) == (kind, value, type(value))


@pytest.mark.parametrize(
    ("schema", "given", "said"),
    [
        ({"type": "number"}, "few", "'few' is no number"),
        ({"type": "number"}, "nan", "no number"),
        ({"type": "number"}, True, "it is a number"),
        ({"type": "integer"}, "1.5", "no whole number"),
        ({"type": "boolean"}, "maybe", "neither yes nor no"),
        ({"enum": ["a", "b"]}, "c", "'c' is none of a, b"),
        ({"enum": [1, 2]}, True, "none of 1, 2"),
        ({"type": "array", "items": {"enum": ["a"]}}, ["a", "z"], "none of a"),
        ({"type": "string"}, 3, "it is a text"),
        ({"type": "object"}, "{", "it is no JSON"),
        ({"type": "object"}, "NaN", "it is no JSON"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_value_is_told_with_the_name_of_its_field(schema: dict[str, Any], given: Any, said: str) -> None:
    with pytest.raises(FormError) as wrong:
        one(schema, given)
    (error,) = wrong.value.errors
    assert error["path"] == "a" and said in error["message"]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "string"}},
        "required": ["a", "c"],
    }
    with pytest.raises(FormError) as wrong:
        filled_in(schema, {"a": "", "b": "x", "z": 1})
    assert [each["path"] for each in wrong.value.errors] == ["a", "b", "c", "z"]


def test_boxes_that_are_ticked_are_the_choices() -> None:
    schema = {"properties": {"a": {"type": "array", "items": {"enum": ["x", "y", "z"]}}}}
    assert filled_in(schema, {"a[0]": "on", "a[1]": False, "a[2]": True}) == {"a": ["x", "z"]}
    assert filled_in(schema, {"a[0]": ""}) == {}


def test_what_is_no_object_is_one_field() -> None:
    assert [each.name for each in fields({"type": "integer"})] == [ANSWER]
    assert filled_in({"type": "integer"}, {ANSWER: "4"}) == 4
    assert is_single({"type": "object"}) and not is_single({"properties": {}})
    with pytest.raises(FormError, match="required"):
        filled_in({"type": "string"}, {})


def test_definitions_titles_and_defaults_are_used() -> None:
    schema = {
        "$defs": {"size": {"enum": ["s", "m"], "title": "Size", "default": "m"}},
        "type": "object",
        "properties": {"size": {"$ref": "#/$defs/size"}, "n": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["n"],
    }
    size, n = fields(schema)
    assert (size.label, size.default, size.has_default, [label for label, _ in size.options]) == (
        "Size", "m", True, ["s", "m"],
    )  # fmt: skip
    assert (n.is_required, n.hint, n.has_default) == (True, "from 1 to 9", False)


def test_schemas_of_strangers_make_some_form() -> None:
    strange: list[dict[str, Any]] = [
        {"type": "object", "properties": {"a": True, "b": None, "c": {"enum": "no"}}, "required": 3},
        {"type": "object", "properties": {"a": {"anyOf": [1, {"type": "null"}]}, "b": {"type": ["string", "integer"]}}},
        {"type": "object", "properties": {"a": {"type": "array"}, "b": {"oneOf": [{"type": "string"}]}}},
        {"$ref": "#"},
    ]
    for schema in strange:
        assert fields(schema)
