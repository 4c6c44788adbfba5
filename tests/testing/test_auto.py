"""`Auto` calls every tool once with arguments that fit, then finishes; `sample` makes the arguments."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from agentkit.errors import ModelError
from agentkit.runtime.ports import ModelCall, ModelMessage, ModelRequest, ModelTool
from agentkit.testing import Auto
from agentkit.testing.patterns import match_for
from agentkit.testing.samples import sample
from tests.testing.test_scripted import answer

NODE = {
    "type": "object",
    "properties": {
        "value": {"anyOf": [{"type": "integer", "minimum": 3}, {"type": "null"}]},
        "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
    },
    "required": ["value"],
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "tree": {"$defs": {"node": NODE}, "$ref": "#/$defs/node"},
    "bounds": {"type": "number", "exclusiveMinimum": 250, "maximum": 251},
    "between halves": {"type": "number", "exclusiveMinimum": 0.1, "exclusiveMaximum": 0.2},
    "only a maximum": {"type": "integer", "maximum": -5},
    "multiple": {"type": "integer", "minimum": 10, "maximum": 20, "multipleOf": 7},
    "pattern": {"type": "string", "pattern": r"^[A-Z]{2}-\d{3,}(?:/[^aeiou])?$"},
    "lengths": {"type": "string", "minLength": 30, "maxLength": 31},
    "short": {"type": "string", "maxLength": 2},
    "formats": {
        "type": "object",
        "properties": {
            name: {"type": "string", "format": name} for name in ("date", "date-time", "email", "uri", "ipv4", "uuid")
        },
        "required": ["date", "email", "ipv4", "uuid"],
    },
    "unique": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 3, "uniqueItems": True},
    "tuple": {"type": "array", "prefixItems": [{"const": 1}, {"type": "boolean"}], "minItems": 2, "maxItems": 2},
    "all of": {
        "allOf": [{"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}, {"required": ["b"]}]
    },
    "free keys": {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
    "types": {"type": ["integer", "null"]},
    "anything": {},
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_sample_is_what_its_schema_asks_for(name: str):
    validator = Draft202012Validator(SCHEMAS[name], format_checker=FormatChecker())
    for seed in range(40):
        assert validator.is_valid(sample(SCHEMAS[name], random.Random(seed))), f"seed {seed}"


@given(st.integers())
def test_the_same_seed_makes_the_same_sample(seed: int):
    made = [sample(SCHEMAS["tree"], random.Random(seed)) for _ in range(2)]
    assert made[0] == made[1]


@given(st.integers(), st.sampled_from([r"^a+b?$", r"(\w)\1", r"x{2,4}|[^x]", r"\d{4}-\d\d", r"a.c", r"^$"]))
def test_a_text_made_for_a_pattern_matches_it(seed: int, pattern: str):
    assert re.search(pattern, match_for(pattern, random.Random(seed)))


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "string", "pattern": "(?=a)b"}, "more than can be made up here"),
        ({"type": "string", "pattern": "("}, "that is no JSON Schema: '\\(' is not a 'regex'"),
        ({"type": 7}, "no JSON Schema"),
        ({"not": {}}, "no value that fits"),
    ],
)
def test_a_schema_that_nothing_can_be_made_for_says_why(schema: dict[str, Any], why: str):
    with pytest.raises(ValueError, match=why):
        sample(schema, random.Random(0))


BOOK = ModelTool("book", "Books it.", {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
LIST = ModelTool("list", "Lists all.", {"type": "object", "properties": {}})
FINISH = ModelTool("finish", "Ends.", {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]})
ASK = ModelMessage("user", "go")


async def called(model: Auto, messages: list[ModelMessage], tools: list[ModelTool]) -> list[tuple[str, Any]]:
    said = await answer(model.stream(ModelRequest("any", "", messages, tools)))
    return [
        (each["function"]["name"], json.loads(each["function"]["arguments"])) for each in said.get("tool_calls", ())
    ]


async def test_every_tool_is_called_once_and_then_the_run_is_finished():
    calls = await called(Auto(1), [ASK], [BOOK, LIST, FINISH])
    assert [name for name, _ in calls] == ["book", "list"]
    assert Draft202012Validator(BOOK.parameters).is_valid(calls[0][1])
    done = [
        ASK,
        ModelMessage("assistant", calls=[ModelCall("1", "book", {"n": 1}), ModelCall("2", "list", {})]),
        ModelMessage("tool", "ok", call_id="1"),
        ModelMessage("tool", "ok", call_id="2"),
    ]
    assert [name for name, _ in await called(Auto(1), done, [BOOK, LIST, FINISH])] == ["finish"]
    said = await answer(Auto(1).stream(ModelRequest("any", "", done, [BOOK, LIST])))
    assert said["response"] == "done"


async def test_a_tool_that_is_to_be_skipped_is_not_called():
    assert [name for name, _ in await called(Auto(skip={"book"}), [ASK], [BOOK, LIST])] == ["list"]


async def test_the_arguments_depend_on_the_seed_alone():
    first, again = [await called(Auto(5), [ASK], [BOOK]) for _ in range(2)]
    assert first == again
    others = [await called(Auto(seed), [ASK], [BOOK]) for seed in range(20)]
    assert any(other != first for other in others)


async def test_an_output_schema_without_finish_is_answered_as_json():
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}, "required": ["n"]}
    said = await answer(Auto().stream(ModelRequest("any", "", [ASK], output_schema=schema)))
    assert Draft202012Validator(schema).is_valid(json.loads(said["response"]))


async def test_a_tool_whose_arguments_cannot_be_made_up_is_named():
    impossible = ModelTool("odd", "", {"type": "object", "properties": {"x": {"not": {}}}, "required": ["x"]})
    with pytest.raises(ModelError, match=r"Auto cannot make arguments for 'odd': .*skip the tool, or use Scripted"):
        await called(Auto(), [ASK], [impossible])
