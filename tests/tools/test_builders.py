"""What every kind of tool travels as: the composed examples of protocol.md 6.7, byte for byte and in that order."""

import json
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from agentkit.errors import ToolDefinitionError
from agentkit.tools import (
    ToolBuilder,
    agent_tool,
    app_tool,
    call_tool,
    enum_of,
    http_tool,
    integer,
    internal_tools,
    mcp_tool,
    optional,
    string,
    tool,
    webhook_tool,
)
from agentkit.wire import AgentConfig, AgentTool

COMPOSED: list[tuple[ToolBuilder, str]] = [
    (
        tool("get_weather")
        .describe("Weather")
        .param("city", string("City"))
        .param("units", optional(enum_of(["c", "f"]))),
        """{"name":"get_weather","display_name":"get_weather","description":"Weather","type":"client",
        "require_approval":false,"client":{"input_schema":{"type":"object","properties":{
        "city":{"type":"string","description":"City"},"units":{"type":"string","enum":["c","f"]}},"required":["city"]}}}""",
    ),
    (
        app_tool("draw", "acme/draw@k3v9x2ab")
        .describe("Draw")
        .require_approval()
        .function("generate")
        .session_enabled()
        .setup({"model": "s"})
        .input({"steps": 4}),
        """{"name":"draw","display_name":"draw","description":"Draw","type":"app","require_approval":true,
        "app":{"ref":"acme/draw@k3v9x2ab","function":"generate","session_enabled":true,"setup":{"model":"s"},
        "input":{"steps":4}}}""",
    ),
    (
        agent_tool("research", "acme/researcher@latest").describe("Research"),
        """{"name":"research","display_name":"research","description":"Research","type":"agent",
        "require_approval":false,"agent":{"ref":"acme/researcher@latest"}}""",
    ),
    (
        webhook_tool("notify", "https://h.example/x").describe("Notify").secret("HOOK_SECRET").param("msg", string()),
        """{"name":"notify","display_name":"notify","description":"Notify","type":"hook","require_approval":false,
        "hook":{"url":"https://h.example/x","secret":"HOOK_SECRET","input_schema":{"type":"object",
        "properties":{"msg":{"type":"string"}},"required":["msg"]}}}""",
    ),
    (
        http_tool("get_user", "https://api.example/{{context.tenant}}/u/{{args.id}}")
        .describe("User")
        .method("GET")
        .auth(bearer="API_TOKEN")
        .header("X-Tenant", "{{context.tenant}}")
        .param("id", string()),
        """{"name":"get_user","display_name":"get_user","description":"User","type":"http","require_approval":false,
        "http":{"url":"https://api.example/{{context.tenant}}/u/{{args.id}}","method":"GET",
        "auth":{"type":"bearer","secret":"API_TOKEN"},"headers":{"X-Tenant":"{{context.tenant}}"},
        "input_schema":{"type":"object","properties":{"id":{"type":"string"}},"required":["id"]}}}""",
    ),
    (
        mcp_tool("web_search", "int-abc123", "search").describe("Search"),
        """{"name":"web_search","display_name":"web_search","description":"Search","type":"mcp",
        "require_approval":false,"mcp":{"integration_id":"int-abc123","tool_name":"search"}}""",
    ),
]

ONE_OF_EACH: list[ToolBuilder] = [
    tool("t"),
    app_tool("t", "a/b"),
    agent_tool("t", "a/b"),
    http_tool("t", "https://e.example"),
    webhook_tool("t", "https://e.example"),
    mcp_tool("t", "int", "x"),
]


def kind(builder: ToolBuilder) -> str:
    return builder.KIND


@pytest.mark.parametrize(("builder", "expected"), COMPOSED, ids=[builder.KIND for builder, _ in COMPOSED])
def test_the_composed_example_is_built_key_for_key(builder: ToolBuilder, expected: str) -> None:
    assert json.dumps(builder.build()) == json.dumps(json.loads(expected))


def test_an_http_tool_writes_null_for_what_was_not_set() -> None:
    assert http_tool("ping", "https://api.example").build()["http"] == {
        "url": "https://api.example",
        "method": None,
        "auth": None,
        "headers": None,
        "input_schema": {"type": "object", "properties": {}, "required": []},
    }


def test_where_an_http_tool_asks_what_came_of_a_call_travels_where_it_was_said() -> None:
    asks = "https://api.example/charges/{{call.idempotency_key}}"
    built = http_tool("pay", "https://api.example").reconcile(asks, method="head").build()
    assert built["http"]["reconcile"] == {"url": asks, "method": "HEAD"}
    assert "reconcile" not in http_tool("pay", "https://api.example").build()["http"]


def test_a_webhook_without_a_secret_writes_null() -> None:
    assert webhook_tool("ping", "https://h.example").build()["hook"]["secret"] is None


def test_post_is_null_on_the_wire_in_whatever_case_it_was_written() -> None:
    assert http_tool("ping", "https://api.example").method("post").build()["http"]["method"] is None
    assert http_tool("ping", "https://api.example").method("get").build()["http"]["method"] == "GET"


def test_call_tool_is_the_same_as_http_tool() -> None:
    assert call_tool("ping", "https://api.example").build() == http_tool("ping", "https://api.example").build()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"integration": "google"}, {"type": "integration", "provider": "google"}),
        (
            {"integration": "google", "integration_id": "i1", "api_key": "K", "bearer": "B"},
            {"type": "integration", "provider": "google", "integration_id": "i1"},
        ),
        ({"api_key": "K", "bearer": "B"}, {"type": "api_key", "secret": "K", "header": "X-API-Key"}),
        ({"api_key": "K", "header": "X-Key"}, {"type": "api_key", "secret": "K", "header": "X-Key"}),
        ({"bearer": "B"}, {"type": "bearer", "secret": "B"}),
    ],
)
def test_of_several_credentials_integration_wins_then_api_key_then_bearer(
    given: dict[str, str], expected: dict[str, str]
) -> None:
    assert http_tool("t", "https://api.example").auth(**given).build()["http"]["auth"] == expected


@pytest.mark.parametrize(
    "builder",
    [
        mcp_tool("s", "int-1", "search"),
        mcp_tool("s", integration_id="int-1", tool_name="search"),
        mcp_tool("s", "int-1", tool_name="search"),
    ],
)
def test_an_integration_is_named_by_position_or_by_keyword(builder: ToolBuilder) -> None:
    assert builder.build()["mcp"] == {"integration_id": "int-1", "tool_name": "search"}


def test_an_mcp_server_is_named_by_keyword_and_its_tool_defaults_to_the_name() -> None:
    assert mcp_tool("s", server="brave", tool_name="x").build()["mcp"] == {"server": "brave", "tool_name": "x"}
    assert mcp_tool("s", server="brave").build()["mcp"] == {"server": "brave", "tool_name": "s"}


@pytest.mark.parametrize("builder", ONE_OF_EACH, ids=kind)
def test_every_kind_has_the_common_steps(builder: ToolBuilder) -> None:
    spec = builder.describe("D").display("old").display_name("Shown").require_approval(timeout_seconds=60).build()
    assert list(spec)[:6] == ["name", "display_name", "description", "type", "require_approval", "approval_timeout"]
    assert (spec["display_name"], spec["description"], spec["require_approval"]) == ("Shown", "D", True)
    assert spec["approval_timeout"] == 60
    assert builder.display("old").build()["display_name"] == "old"
    assert builder.require_approval().require_approval(False).build()["require_approval"] is False


@pytest.mark.parametrize("builder", ONE_OF_EACH, ids=kind)
def test_how_a_call_is_carried_out_travels_only_where_it_was_said(builder: ToolBuilder) -> None:
    rules = ["timeout", "idempotent", "retries"]
    assert not set(rules) & set(builder.build())
    spec = builder.timeout(2.5).idempotent().retry(3).build()
    assert [spec[name] for name in rules] == [2.5, True, 3]
    assert list(spec)[-1] == builder.KIND
    assert AgentTool.parse(spec).retries == 3
    assert builder.idempotent(False).retry(0).build()["idempotent"] is False
    assert builder.retry(0).build()["retries"] == 0


def test_fixed_input_of_an_app_stands_beside_its_defaults() -> None:
    built = app_tool("t", "a/b").input({"steps": 4}).fixed_input({"seed": 7}).build()
    assert built["app"] == {"ref": "a/b", "input": {"steps": 4}, "fixed_input": {"seed": 7}}


def test_an_agent_given_in_code_travels_built() -> None:
    look = tool("look").param("q", string()).handler(lambda args: args["q"])
    config = {"core_app": "openai/gpt-5-mini", "tools": [look, app_tool("draw", "a/b")], "name": "poet"}
    built = agent_tool("poet", config).build()["agent"]
    assert built == {
        "config": {
            "core_app": {"ref": "openai/gpt-5-mini"},
            "tools": [look.build(), app_tool("draw", "a/b").build()],
            "name": "poet",
        }
    }
    assert config["tools"][0] is look  # what was given stays as it was
    model = AgentConfig.parse({"system_prompt": "Rhyme."})
    assert agent_tool("poet", model).build()["agent"]["config"] == {"system_prompt": "Rhyme.", "tools": []}


def test_changing_what_an_agent_tool_built_does_not_change_the_next() -> None:
    builder = agent_tool("poet", {"context": [{"name": "tenant"}]})
    builder.build()["agent"]["config"]["context"][0]["name"] = "other"
    assert builder.build()["agent"]["config"]["context"] == [{"name": "tenant"}]


def test_an_agent_may_take_the_chat_over() -> None:
    assert agent_tool("billing", "acme/billing").handoff().build()["agent"] == {"ref": "acme/billing", "handoff": True}
    assert agent_tool("billing", "acme/billing").handoff().handoff(False).build()["agent"] == {"ref": "acme/billing"}


@pytest.mark.parametrize("builder", ONE_OF_EACH, ids=kind)
def test_no_kind_drops_a_parameter(builder: ToolBuilder) -> None:
    config = builder.param("q", string("Query")).build()[builder.KIND]
    assert config["input_schema"] == {
        "type": "object",
        "properties": {"q": {"type": "string", "description": "Query"}},
        "required": ["q"],
    }


@pytest.mark.parametrize("builder", ONE_OF_EACH, ids=kind)
def test_a_step_leaves_the_builder_it_was_called_on_as_it_was(builder: ToolBuilder) -> None:
    before = builder.build()
    builder.describe("x").param("a", string()).require_approval().display_name("X")
    assert builder.build() == before


@pytest.mark.parametrize("builder", ONE_OF_EACH, ids=kind)
def test_changing_what_was_built_does_not_change_the_builder(builder: ToolBuilder) -> None:
    builder = builder.param("a", {"type": "array", "items": {"type": "string"}})
    built = builder.build()
    built[builder.KIND]["input_schema"]["properties"]["a"]["items"]["type"] = "integer"
    assert builder.build()[builder.KIND]["input_schema"]["properties"]["a"]["items"] == {"type": "string"}


def test_changing_what_was_passed_in_does_not_change_the_builder() -> None:
    schema, setup = {"type": "string", "enum": ["a"]}, {"deep": {"x": 1}}
    app = app_tool("t", "a/b").param("p", schema).setup(setup)
    schema["type"] = "integer"
    setup["deep"]["x"] = 2
    built = app.build()["app"]
    assert built["input_schema"]["properties"]["p"]["type"] == "string"
    assert built["setup"] == {"deep": {"x": 1}}


@pytest.mark.parametrize("builder", ONE_OF_EACH, ids=kind)
def test_a_builder_is_frozen_and_prints_short(builder: ToolBuilder) -> None:
    with pytest.raises(FrozenInstanceError):
        builder.name = "other"  # type: ignore[misc]  # the point
    assert repr(builder.param("a", string())) == f"{type(builder).__name__}('t', params=[a])"


def test_internal_tools_hold_only_the_switches_that_were_touched() -> None:
    assert internal_tools().build() == {}
    assert internal_tools().memory().build() == {"memory": True}
    assert internal_tools().ask_user().none().build()["ask_user"] is True  # not one of the classic ones
    assert internal_tools().plan().widget(False).skills().build() == {"plan": True, "widget": False, "skills": True}
    assert internal_tools().all().build() == {"plan": True, "memory": True, "widget": True, "finish": True}
    assert internal_tools().all().none().finish().build() == {
        "plan": False,
        "memory": False,
        "widget": False,
        "finish": True,
    }


def test_internal_tools_are_immutable_too() -> None:
    base = internal_tools().plan()
    base.memory()
    assert base.build() == {"plan": True}
    assert repr(base) == "InternalToolsBuilder(plan=True)"


http = http_tool("t", "https://api.example")

MISTAKES: list[tuple[Callable[[], Any], list[str]]] = [
    (lambda: tool("get weather"), ["'get weather'", "'get_weather'", ".display_name("]),
    (lambda: tool("9lives"), ["'9lives'", "'_9lives'"]),
    (lambda: tool(""), ["tool ''", "'my_tool'"]),
    (lambda: tool("x" * 65), ["1 to 64"]),
    (lambda: tool("naïve"), ["letters, digits, _ or -"]),
    (lambda: tool("t").param("a", string()).param("a", integer()), ["tool 't'", "'a'", "twice"]),
    (lambda: tool("t").param("", string()), ["tool 't'", "needs a name"]),
    (lambda: tool("t").param("a", "City name"), ["tool 't', parameter 'a'", "string('City name')"]),
    (lambda: tool("t").param("a", string), ["tool 't', parameter 'a'", "string()"]),
    (lambda: tool("t").param("a", object()), ["tool 't', parameter 'a'", "no JSON Schema"]),
    (lambda: tool("t").param("a", {"default": {1, object()}}), ["tool 't', parameter 'a'", "plain JSON", "default"]),
    (lambda: tool("t").params(list[int]), ["tool 't'", "an object", "'array'"]),
    (lambda: tool("t").param("a", int).params(dict[str, int]), ["tool 't'", "already has parameters"]),
    (lambda: tool("t").require_approval(timeout_seconds=-1), ["tool 't'", "timeout_seconds=-1"]),
    (lambda: app_tool("t", ""), ["tool 't'", "app reference ''", "'namespace/name@version'"]),
    (lambda: app_tool("t", "acme/ draw"), ["app reference 'acme/ draw'"]),
    (lambda: app_tool("t", "a/b").function(""), ["the function ''", ".function('generate')"]),
    (lambda: app_tool("t", "a/b").setup({"f": {"g": b"x"}}), ["tool 't'", ".setup()", "bytes", "f.g"]),
    (lambda: app_tool("t", "a/b").input({"n": float("nan")}), [".input()", "nan", "at n"]),
    (lambda: agent_tool("t", ""), ["tool 't'", "agent reference ''"]),
    (lambda: agent_tool("t", None), ["tool 't'", "a config, not NoneType"]),
    (lambda: agent_tool("t", {"tools": ["x"]}), ["'x' is no tool"]),
    (lambda: app_tool("t", "a/b").fixed_input({"f": b"x"}), [".fixed_input()", "bytes", "f"]),
    (lambda: app_tool("t", "a/b").timeout(0), ["tool 't'", ".timeout(0)", "more than 0"]),
    (lambda: tool("t").timeout(float("inf")), ["tool 't'", ".timeout(inf)"]),
    (lambda: tool("t").timeout(float("nan")), ["tool 't'", ".timeout(nan)"]),
    (lambda: tool("t").retry(-1), ["tool 't'", ".retry(-1)", "0 for never"]),
    (lambda: tool("t").retry(2).build(), ["tool 't'", ".retry(2)", ".idempotent()"]),
    (lambda: mcp_tool("t"), ["tool 't'", "no server", "server='brave'"]),
    (lambda: mcp_tool("t", "int", "x", server="brave"), ["tool 't'", "both given"]),
    (lambda: webhook_tool("t", "h.example"), ["tool 't'", "'h.example'", "https://"]),
    (lambda: webhook_tool("t", "https://h.example").secret(""), ["tool 't'", ".secret('HOOK_SECRET')"]),
    (lambda: http_tool("t", "api.example/x"), ["tool 't'", "'api.example/x'", "full URL"]),
    (lambda: http_tool("t", "ftp://api.example"), ["full URL"]),
    (lambda: http_tool("t", "https://"), ["full URL"]),
    (lambda: http_tool("t", "https://api.example/a b"), ["full URL"]),
    (lambda: http.method("FETCH"), ["tool 't'", "'FETCH'", "GET, POST"]),
    (lambda: http.auth(), ["tool 't'", ".auth()", "bearer="]),
    (lambda: http.auth(bearer=""), [".auth()"]),
    (lambda: http.auth(integration_id="i"), [".auth()", "integration="]),
    (lambda: http.auth(bearer="K", integration_id="i"), ["integration_id", "integration="]),
    (lambda: http.auth(bearer="K", header="X"), ["header", "api_key="]),
    (lambda: http.header("X Tenant", "a"), ["tool 't'", "'X Tenant'"]),
    (lambda: http.header("X-Tenant", "a\r\nEvil: 1"), ["tool 't'", "'X-Tenant'", "line break"]),
    (
        lambda: http_tool("t", "https://e.example/{{args.id}}").build(),
        ["{{args.id}} in the URL", ".param('id', string())"],
    ),
    (lambda: http.header("X", "{{args.id}}").build(), ["{{args.id}} in header 'X'", ".param('id', string())"]),
    (lambda: http.header("X", "{{secrets.K}}").build(), ["{{secrets.K}}", "${{secrets.K}}"]),
    (lambda: http.header("X", "${{context.K}}").build(), ["is written {{context.K}}"]),
    (lambda: http.header("X", "{{tenant}}").build(), ["{{tenant}}", "{{context.NAME}}"]),
    (lambda: http.header("X", "{{context.a").build(), ["without its other half"]),
    (lambda: http.header("X", "a}}").build(), ["without its other half"]),
    (lambda: http.header("X", "{{call.id}}").build(), ["{{call.id}}", "{{call.idempotency_key}}"]),
    (lambda: http.reconcile("api.example/x"), ["tool 't': .reconcile()", "full URL"]),
    (lambda: http.reconcile("https://e.example", method="POST"), [".reconcile(method='POST')", "GET, HEAD"]),
    (lambda: http.reconcile("https://e.example").method("GET").build(), [".reconcile()", "GET has no effect"]),
    (lambda: http.reconcile("https://e.example/{{args.x}}").build(), ["the URL of .reconcile()", ".param('x'"]),
]


@pytest.mark.parametrize(("mistake", "words"), MISTAKES, ids=[" ".join(words)[:50] for _, words in MISTAKES])
def test_a_mistake_in_a_definition_is_told_with_the_way_out(mistake: Callable[[], Any], words: list[str]) -> None:
    with pytest.raises(ToolDefinitionError) as told:
        mistake()
    for word in words:
        assert word in str(told.value)


@pytest.mark.parametrize("secret", ["sk live 1234", "sk-live-1234"])
def test_a_secret_written_in_place_of_its_name_is_not_repeated_in_errors(secret: str) -> None:
    with pytest.raises(ToolDefinitionError) as told:
        http.auth(bearer=secret, header="X-Key")
    assert secret not in str(told.value)


def test_a_placeholder_may_stand_where_the_host_is_and_have_blanks_inside() -> None:
    url = "{{ context.base }}/u/{{ args.id }}"
    assert http_tool("t", url).param("id", string()).build()["http"]["url"] == url


def test_a_parameter_may_be_declared_after_the_url_that_names_it() -> None:
    builder = http_tool("t", "https://e.example/{{args.id}}").header("X-K", "${{secrets.K}}")
    assert builder.params({"properties": {"id": {"type": "string"}}}).build()["http"]["headers"] == {
        "X-K": "${{secrets.K}}"
    }
