"""`openapi.json`, printed from the table in `protocol.api`: OpenAPI 3.1 of every row and of the models it names.

`python -m agentkit.schemas` writes it to `schemas/`. Bodies and answers are the bare ones, as a
caller with `X-API-Version: 2` sees them; errors are RFC 9457 problems.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any, Final

from pydantic import TypeAdapter

from agentkit.protocol import api
from agentkit.protocol.endpoint import Endpoint
from agentkit.wire import Problem, StreamEvent

__all__ = ["FILE", "openapi"]

FILE: Final = "openapi.json"
API_VERSION: Final = "2"
_REF: Final = "#/components/schemas/{model}"
_JSON, _PROBLEM, _LINES, _EVENTS = (
    "application/json",
    "application/problem+json",
    "application/x-ndjson",
    "text/event-stream",
)
_VERSION_HEADER: Final[dict[str, Any]] = {
    "name": "X-API-Version",
    "in": "header",
    "description": f"`{API_VERSION}` for the bare bodies described here; without it answers come in an envelope.",
    "schema": {"type": "string", "enum": [API_VERSION]},
}
_KEY_HEADER: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A request sent again with its key gets the first answer and has no second effect, for 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_BYTES: Final[dict[str, Any]] = {"*/*": {"schema": {"type": "string", "format": "binary"}}}

AnyEndpoint = Endpoint[Any, Any]


def openapi(endpoints: Mapping[str, AnyEndpoint] = api.ENDPOINTS) -> dict[str, Any]:
    """The OpenAPI document of these endpoints, by name."""
    schemas, components = _schemas(endpoints)
    paths: dict[str, dict[str, Any]] = {}
    for name, endpoint in endpoints.items():
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(name, endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "agentkit", "version": API_VERSION, "summary": "Agents, chats, approvals and files."},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{"key": []}],
    }


# -- parts ---------------------------------------------------------------------------------------------------------


def _types(endpoints: Mapping[str, AnyEndpoint]) -> Iterator[tuple[Any, Any]]:
    """Every type that a schema is needed of, by what it is looked up with."""
    for name, endpoint in endpoints.items():
        if endpoint.body is not NoneType:
            yield (name, "body"), endpoint.body
        if endpoint.reply is not NoneType:
            yield (name, "reply"), endpoint.reply
    yield Problem, Problem
    yield StreamEvent, StreamEvent


def _schemas(endpoints: Mapping[str, AnyEndpoint]) -> tuple[dict[Any, Any], dict[str, Any]]:
    inputs = [(key, "validation", TypeAdapter(kind)) for key, kind in _types(endpoints)]
    found, definitions = TypeAdapter.json_schemas(inputs, ref_template=_REF)  # type: ignore[arg-type]  # "validation" is one
    return {key: schema for (key, _), schema in found.items()}, definitions.get("$defs", {})


def _operation(name: str, endpoint: AnyEndpoint, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": name.lower(),
        "summary": endpoint.summary,
        "tags": [endpoint.path.split("/")[1]],
        "parameters": list(_parameters(endpoint)),
        "responses": {"200": _answer(name, endpoint, schemas), "default": _error(schemas)},
    }
    if endpoint.scope:
        operation["x-scope"] = endpoint.scope
    if endpoint.is_public:
        operation["security"] = []
    if endpoint.body is not NoneType:
        operation["requestBody"] = {"content": {_JSON: {"schema": schemas[name, "body"]}}}
    elif endpoint.method == "PUT" and endpoint.reply is NoneType:  # the bytes of a file
        operation["requestBody"] = {"required": True, "content": _BYTES}
    return operation


def _parameters(endpoint: AnyEndpoint) -> Iterator[dict[str, Any]]:
    for name in endpoint.parameters:
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    for name in endpoint.query:
        yield {"name": name, "in": "query", "schema": {"type": "string"}}
    yield _VERSION_HEADER
    if endpoint.takes_key:
        yield _KEY_HEADER


def _answer(name: str, endpoint: AnyEndpoint, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    if endpoint is api.FILE_CONTENT:
        return {"description": endpoint.summary, "content": _BYTES}
    if endpoint.is_stream:
        event = {"schema": schemas[StreamEvent]}
        return {"description": "One event per line, or per frame", "content": {_LINES: event, _EVENTS: event}}
    schema: dict[str, Any] = schemas[name, "reply"] if endpoint.reply is not NoneType else {}
    return {"description": endpoint.summary, "content": {_JSON: {"schema": schema}}}


def _error(schemas: Mapping[Any, Any]) -> dict[str, Any]:
    return {"description": "What went wrong", "content": {_PROBLEM: {"schema": schemas[Problem]}}}
