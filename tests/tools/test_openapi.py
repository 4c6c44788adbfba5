"""OpenAPI documents as HTTP tools: where every parameter goes, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import ToolDefinitionError
from agentkit.tools import HttpToolBuilder, check_arguments, check_schema, openapi_tools

OURS = Path(__file__).parents[2] / "schemas" / "openapi.json"

PETS = """
openapi: 3.0.3
info: {title: Pets, version: "1"}
servers:
  - url: https://{region}.pets.example/{base}/
    variables: {region: {default: eu}, base: {default: v2, enum: [v1, v2]}}
security: [{key: []}]
paths:
  /pets/{petId}:
    parameters:
      - {$ref: "#/components/parameters/PetId"}
    get:
      operationId: getPet
      summary: One pet
      description: With its owner.
      parameters:
        - {name: "fields[]", in: query, description: What to tell, schema: {type: array, items: {type: string}}}
        - {name: X-Trace, in: header, schema: {type: string}}
        - {name: Accept, in: header, schema: {type: string}}
        - {name: session, in: cookie, schema: {type: string}}
    put:
      operationId: "update pet!"
      parameters:
        - {name: dry, in: query, schema: {type: boolean, default: false}}
      requestBody:
        required: true
        content:
          application/json: {schema: {$ref: "#/components/schemas/PetChange"}}
    delete:
      security: []
      parameters:
        - {name: petId, in: path, required: true, description: Narrower, schema: {type: string, maxLength: 3}}
  /files:
    post:
      operationId: upload
      requestBody: {content: {multipart/form-data: {schema: {type: object}}}}
components:
  parameters:
    PetId:
      {name: petId, in: path, required: true, description: The pet,
       schema: {type: integer, minimum: 0, exclusiveMinimum: true}}
  schemas:
    Named:
      type: object
      required: [name]
      properties: {name: {type: string, example: Rex}}
    PetChange:
      allOf:
        - {$ref: "#/components/schemas/Named"}
        - type: object
          required: [petId, id]
          properties:
            id: {type: string, readOnly: true}
            petId: {type: string, description: Another one}
            tag: {type: string, nullable: true}
            parent: {$ref: "#/components/schemas/Pet"}
    Pet:
      type: object
      properties:
        name: {type: string}
        children: {type: array, items: {$ref: "#/components/schemas/Pet"}}
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Pets}
"""
KEY = {"key": "PETS_KEY"}


def document(operation: dict[str, Any], *, path: str = "/x", method: str = "post", **more: Any) -> dict[str, Any]:
    """A document of one operation."""
    own = {"operationId": "op", **operation}
    return {"openapi": "3.1.0", "servers": [{"url": "https://h.example"}], "paths": {path: {method: own}}, **more}


def one(operation: dict[str, Any], **more: Any) -> HttpToolBuilder:
    auth = more.pop("auth", None)
    [tool] = openapi_tools(document(operation, **more), auth=auth)
    return tool


def pets(*only: str, **more: Any) -> list[HttpToolBuilder]:
    return openapi_tools(PETS, only=only or ["getPet", "update pet!", "delete_pets_petId"], auth=KEY, **more)


# -- a document made by hand ---------------------------------------------------------------------------------------


def test_parameters_go_where_they_belong() -> None:
    [get] = pets("getPet")
    config = get.build()["http"]
    assert config["url"] == "https://eu.pets.example/v2/pets/{{args.petId}}?fields%5B%5D={{args.fields}}"
    assert (config["method"], config["headers"]) == ("GET", {"X-Trace": "{{args.X-Trace}}"})
    assert config["auth"] == {"type": "api_key", "secret": "PETS_KEY", "header": "X-Pets"}
    schema = config["input_schema"]
    assert list(schema["properties"]) == ["petId", "fields", "X-Trace"]
    assert schema["required"] == ["petId"]
    assert schema["properties"]["petId"] == {"type": "integer", "exclusiveMinimum": 0, "description": "The pet"}
    assert get.description == "One pet\n\nWith its owner."


def test_a_body_and_parameters_of_one_name_are_told_apart() -> None:
    [update] = pets("update pet!")
    config = update.build()["http"]
    assert update.name == "update_pet"
    assert config["url"] == "https://eu.pets.example/v2/pets/{{args.path_petId}}?dry={{args.dry}}"
    schema = config["input_schema"]
    assert set(schema["properties"]) == {"name", "petId", "tag", "parent", "path_petId", "dry"}
    assert set(schema["required"]) == {"name", "petId", "path_petId"}
    assert schema["properties"]["name"] == {"type": "string", "examples": ["Rex"]}
    assert schema["properties"]["tag"] == {"type": ["string", "null"]}


def test_a_schema_that_contains_itself_is_kept_by_reference() -> None:
    [update] = pets("update pet!")
    schema = update.build()["http"]["input_schema"]
    assert schema["properties"]["parent"] == {"$ref": "#/$defs/Pet"}
    assert list(schema["$defs"]) == ["Pet"]
    check_schema(schema)
    fine = {"name": "a", "petId": "b", "path_petId": 1, "parent": {"children": [{"children": []}]}}
    assert check_arguments(schema, fine) == []
    assert check_arguments(schema, {**fine, "parent": {"children": [{"children": 5}]}})


def test_an_operation_redefines_what_its_path_has() -> None:
    [delete] = pets("delete_pets_petId")
    config = delete.build()["http"]
    assert delete.name == "delete_pets_petId"
    assert config["input_schema"]["properties"]["petId"] == {
        "type": "string",
        "maxLength": 3,
        "description": "Narrower",
    }
    assert config["auth"] is None
    assert delete.description == "DELETE /pets/{petId}"


def test_json_yaml_and_a_dict_are_the_same() -> None:
    import yaml

    loaded = yaml.safe_load(PETS)
    built = [each.build() for each in pets()]
    only = ["getPet", "update pet!", "delete_pets_petId"]
    assert [each.build() for each in openapi_tools(loaded, only=only, auth=KEY)] == built
    assert [each.build() for each in openapi_tools(json.dumps(loaded), only=only, auth=KEY)] == built


def test_the_document_is_not_changed() -> None:
    given = json.loads(OURS.read_text())
    before = json.dumps(given)
    openapi_tools(given, server="https://h.example", only=["run_agent"], auth={"key": "K"})
    assert json.dumps(given) == before


def test_another_server_and_a_prefix() -> None:
    [get] = pets("getPet", server="https://{{context.tenant}}.pets.example/", prefix="pets_")
    assert get.name == "pets_getPet"
    assert get.url.startswith("https://{{context.tenant}}.pets.example/pets/{{args.petId}}")


def test_names_are_made_good_and_different() -> None:
    paths = {
        "/a/{id}": {"get": {"parameters": [{"name": "id", "in": "path", "required": True, "schema": {}}]}},
        "/a/id": {"get": {}},
        "/1": {"get": {"operationId": "1st"}},
        "/long": {"get": {"operationId": "x" * 100}},
        "/longer": {"get": {"operationId": "x" * 101}},
    }
    tools = openapi_tools({"openapi": "3.1.0", "servers": [{"url": "https://h.example"}], "paths": paths})
    assert [each.name for each in tools] == ["get_a_id", "get_a_id_2", "_1st", "x" * 64, "x" * 62 + "_2"]


# -- our own document ----------------------------------------------------------------------------------------------


def test_our_own_document_is_tools() -> None:
    given = json.loads(OURS.read_text())
    ids = [own["operationId"] for item in given["paths"].values() for own in item.values() if is_json(own)]
    tools = openapi_tools(given, server="https://h.example", only=ids, auth={"key": "API_KEY"})
    assert [each.name for each in tools] == ids
    assert len(tools) > 50
    for each in tools:
        config = each.build()["http"]
        check_schema(config["input_schema"], what=each.name)
        assert "#/components/" not in json.dumps(config)
    [run] = [each for each in tools if each.name == "run_agent"]
    assert run.build()["http"]["auth"] == {"type": "bearer", "secret": "API_KEY"}
    assert {"agent_config", "input", "X-API-Version"} <= set(run.inputs.properties)


def is_json(operation: dict[str, Any]) -> bool:
    content = operation.get("requestBody", {}).get("content", {})
    return not content or "application/json" in content


# -- security ------------------------------------------------------------------------------------------------------

SCHEMES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": "http", "scheme": "bearer"}, {"auth": {"type": "bearer", "secret": "S"}}),
    ({"type": "http", "scheme": "Basic"}, {"headers": {"Authorization": "Basic ${{secrets.S}}"}}),
    ({"type": "apiKey", "in": "header", "name": "X-K"}, {"auth": {"type": "api_key", "secret": "S", "header": "X-K"}}),
    ({"type": "apiKey", "in": "query", "name": "k"}, {"url": "https://h.example/x?k=${{secrets.S}}"}),
    ({"type": "apiKey", "in": "cookie", "name": "sid"}, {"headers": {"Cookie": "sid=${{secrets.S}}"}}),
    ({"type": "oauth2", "flows": {}}, {"auth": {"type": "bearer", "secret": "S"}}),
    ({"type": "openIdConnect", "openIdConnectUrl": "x"}, {"auth": {"type": "bearer", "secret": "S"}}),
]


@pytest.mark.parametrize(("scheme", "expected"), SCHEMES, ids=[str(number) for number in range(len(SCHEMES))])
def test_security_schemes(scheme: dict[str, Any], expected: dict[str, Any]) -> None:
    components = {"securitySchemes": {"s": scheme}}
    config = one({"security": [{"s": []}]}, components=components, auth={"s": "S"}).build()["http"]
    assert {name: config[name] for name in expected} == expected


def test_the_first_alternative_that_can_be_met_is_taken() -> None:
    schemes = {
        "a": {"type": "oauth2"},
        "b": {"type": "http", "scheme": "bearer"},
        "c": {"type": "apiKey", "in": "header", "name": "X-C"},
    }
    security = [{"a": []}, {"b": [], "c": []}]
    config = one({"security": security}, components={"securitySchemes": schemes}, auth={"b": "B", "c": "C"}).build()[
        "http"
    ]
    assert config["auth"] == {"type": "bearer", "secret": "B"}
    assert config["headers"] == {"X-C": "${{secrets.C}}"}


def test_an_integration_stands_for_a_scheme() -> None:
    config = one(
        {"security": [{"google": []}]},
        components={"securitySchemes": {"google": {"type": "oauth2"}}},
        auth={"google": {"integration": "google"}},
    ).build()["http"]
    assert config["auth"] == {"type": "integration", "provider": "google"}


def test_security_that_may_be_left_out_is_left_out() -> None:
    assert one({"security": [{"s": []}, {}]}).build()["http"]["auth"] is None


# -- what cannot be a tool -----------------------------------------------------------------------------------------


def body(schema: Any, kind: str = "application/json", **more: Any) -> dict[str, Any]:
    return {"requestBody": {"content": {kind: {"schema": schema}}, **more}}


def parameter(where: str, schema: Any, **more: Any) -> dict[str, Any]:
    return {"parameters": [{"name": "p", "in": where, "required": True, "schema": schema, **more}]}


UNSUPPORTED: dict[str, tuple[dict[str, Any], str]] = {
    "array_body": (body({"type": "array", "items": {}}), "no JSON object"),
    "text_body": (body({"type": "string"}, "text/plain"), "a body of text/plain"),
    "form": (body({"type": "object"}, "application/x-www-form-urlencoded"), "only JSON can be sent"),
    "one_of": (body({"oneOf": [{"type": "object"}, {"type": "object"}]}), "one of several shapes"),
    "binary": (body({"type": "object", "properties": {"f": {"type": "string", "format": "binary"}}}), "a file"),
    "elsewhere": (body({"$ref": "other.yaml#/Pet"}), "outside the document"),
    "nothing": (body({"$ref": "#/components/schemas/Nope"}), "points to nothing"),
    "itself": (body({"$ref": "#/paths/~1x/post/requestBody/content/application~1json/schema"}), "leads to itself"),
    "no_schema": (body("text"), "needs an object"),
    "no_object": (body({"type": "object", "properties": {"a": 5}}), "needs a schema"),
    "no_json_schema": (body({"type": "object", "properties": {"a": {"type": "magic"}}}), "magic"),
    "object_in_query": (parameter("query", {"type": "object"}), "'p' is an object"),
    "array_in_path": (parameter("path", {"type": "array"}), "'p' is an array"),
    "pipes": (parameter("query", {"type": "array"}, style="pipeDelimited"), "'p' is an array"),
    "commas": (parameter("query", {"type": "array"}, explode=False), "'p' is an array"),
    "cookie": (parameter("cookie", {"type": "string"}), "the cookie 'p' is required"),
    "nowhere": (parameter("body", {"type": "string"}), "without a name or a place"),
    "security": ({"security": [{"s": []}]}, "it needs s; give auth={'s': 'SECRET_NAME'}"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_cannot_be_a_tool_is_refused_by_name(name: str) -> None:
    operation, message = UNSUPPORTED[name]
    with pytest.raises(ToolDefinitionError) as refused:
        one(operation)
    assert "op (POST /x): " in str(refused.value)
    assert message in str(refused.value)


def test_all_that_cannot_be_tools_are_told_at_once() -> None:
    paths = {f"/{number}": {"trace": {"operationId": f"t{number}"}} for number in range(3)}
    with pytest.raises(ToolDefinitionError) as refused:
        openapi_tools({"openapi": "3.1.0", "servers": [{"url": "https://h.example"}], "paths": paths})
    assert [f"t{number}" in str(refused.value) for number in range(3)] == [True] * 3
    assert "only=[...]" in str(refused.value)


@pytest.mark.parametrize(
    ("servers", "message"),
    [
        ([], "names no server"),
        ([{"url": "/v1"}], "'/v1' is no full URL"),
        ([{"url": "https://{x}.example"}], "'x' has no default"),
    ],
)
def test_a_server_is_needed(servers: list[Any], message: str) -> None:
    with pytest.raises(ToolDefinitionError, match=message):
        openapi_tools({**document({}), "servers": servers})


def test_a_path_without_its_parameter_is_refused() -> None:
    with pytest.raises(ToolDefinitionError, match=r"\{id\} in the path is no parameter"):
        one({}, path="/x/{id}")


def test_unknown_operations_are_told_with_the_known_ones() -> None:
    with pytest.raises(ToolDefinitionError, match=r"only=\['nope'\].*it has op"):
        openapi_tools(document({}), only=["op", "nope"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "no OpenAPI 3 document"),
        ({"swagger": "2.0"}, "Swagger 2.0"),
        ("[]", "no OpenAPI 3 document"),
        ("a: [b", "neither JSON nor YAML"),
        ("", "no OpenAPI 3 document"),
    ],
)
def test_what_is_no_document_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ToolDefinitionError, match=message):
        openapi_tools(given)


def test_anchors_that_contain_themselves_are_refused() -> None:
    text = """
openapi: 3.1.0
servers: [{url: "https://h.example"}]
paths:
  /x:
    post:
      operationId: op
      requestBody: {content: {application/json: {schema: {type: object, properties: {a: &a {properties: {b: *a}}}}}}}
"""
    with pytest.raises(ToolDefinitionError, match="it contains itself"):
        openapi_tools(text)
