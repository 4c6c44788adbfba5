"""`openapi.json` is the table of `protocol.api`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from pydantic_core import to_jsonable_python

from agentkit.protocol import api
from agentkit.protocol.openapi import openapi
from agentkit.wire import RunAgentRequest

DOCUMENT = openapi()


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, entry in value.items():
            if name == "$ref":
                yield str(entry)
            yield from _references(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _references(entry)


def _operations() -> dict[tuple[str, str], Any]:
    return {(m.upper(), path): op for path, methods in DOCUMENT["paths"].items() for m, op in methods.items()}


def test_every_endpoint_is_there_once_with_its_parameters() -> None:
    operations = _operations()
    assert set(operations) == {(each.method, each.path) for each in api.ENDPOINTS.values()}
    for name, endpoint in api.ENDPOINTS.items():
        operation = operations[endpoint.method, endpoint.path]
        assert operation["operationId"] == name.lower()
        names = [each["name"] for each in operation["parameters"] if each["in"] in ("path", "query")]
        assert names == [*endpoint.parameters, *endpoint.query]


def test_every_reference_leads_to_a_schema() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    found = set(_references(DOCUMENT))
    assert found
    assert {each.removeprefix("#/components/schemas/") for each in found} <= set(schemas)
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_a_request_that_the_model_takes_fits_the_schema_and_one_that_it_refuses_does_not() -> None:
    operation = _operations()["POST", "/agents/run"]
    schema = {**operation["requestBody"]["content"]["application/json"]["schema"], "components": DOCUMENT["components"]}
    fine = RunAgentRequest.parse({"chat_id": None, "agent": "a/b", "input": {"text": "hi"}}).to_wire()
    validator = Draft202012Validator(schema)
    assert not list(validator.iter_errors(to_jsonable_python(fine)))
    assert list(validator.iter_errors({"input": {"text": 7}}))


def test_keys_streams_and_public_paths_are_said() -> None:
    operations = _operations()
    run = operations["POST", "/agents/run"]
    assert "Idempotency-Key" in [each["name"] for each in run["parameters"]]
    assert run["x-scope"] == "agents:execute"
    stream = operations["GET", "/chats/{chat_id}/stream"]["responses"]["200"]["content"]
    assert set(stream) == {"application/x-ndjson", "text/event-stream"}
    assert operations["GET", "/health"]["security"] == [] and "security" not in run


def test_making_it_twice_gives_the_same_document() -> None:
    assert json.dumps(openapi()) == json.dumps(openapi())
