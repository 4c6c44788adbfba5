"""Messages, invocations and the bodies that SDKs post, in the exact forms of the documents."""

from __future__ import annotations

from typing import Any

import pytest

from agentkit.wire import (
    AgentTool,
    ChatMessage,
    Decide,
    FileRef,
    Interrupt,
    InterruptResolution,
    LLMDelta,
    RejectTool,
    ResolveInterrupt,
    RunAgentReply,
    RunAgentRequest,
    SubmitToolResult,
    ToolFunction,
    ToolInvocation,
    ToolInvocationStatus,
    Widget,
    is_message_ready,
)


@pytest.mark.parametrize("status", ["ready", "failed", "cancelled"])
def test_a_finished_message_is_ready(status: str) -> None:
    assert is_message_ready(status)
    assert is_message_ready(ChatMessage.parse({"status": status}).get("status"))


@pytest.mark.parametrize("status", ["pending", "queued", "", None, "streaming"])
def test_a_message_that_may_change_is_not_ready(status: str | None) -> None:
    assert not is_message_ready(status)


def test_the_readme_callback_prints_the_text_parts() -> None:
    printed: list[str] = []

    def on_message(msg: Any) -> None:
        content = msg.get("content", [])
        for c in content:
            if c.get("type") == "text" and c.get("text"):
                printed.append(c["text"])

    parts = [{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "Hi"}, {"type": "text", "text": None}]
    on_message(ChatMessage.parse({"content": parts}))
    on_message(ChatMessage.parse({"content": None}))
    on_message(ChatMessage.parse({}))
    assert printed == ["Hi"]


def test_the_readme_reads_a_file_ref_like_a_dict() -> None:
    ref = FileRef.parse({"uri": "u", "filename": "notes.txt", "content_type": "text/plain", "size": 5})
    assert (ref["uri"], ref["filename"], ref["content_type"], ref["size"]) == ("u", "notes.txt", "text/plain", 5)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ({"city": "Paris"}, {"city": "Paris"}),
        ('{"city": "Paris", "days": [1, 2]}', {"city": "Paris", "days": [1, 2]}),
        ('{"city": "Par', '{"city": "Par'),
        ("[1, 2]", "[1, 2]"),
        ("", ""),
        (None, {}),
    ],
)
def test_arguments_are_decoded_where_they_decode_and_kept_as_text_otherwise(sent: object, read: object) -> None:
    assert ToolFunction.parse({"name": "f", "arguments": sent}).arguments == read


def test_an_invocation_of_a_newer_server_is_kept() -> None:
    invocation = ToolInvocation.parse(
        {"id": "i1", "type": "teleport", "status": "waiting", "function": {"name": "f"}, "risk": "low"}
    )
    assert (invocation.type, invocation.status, invocation["risk"]) == ("teleport", ToolInvocationStatus.WAITING, "low")
    assert invocation.function.arguments == {}


PYTHON_BODY: dict[str, Any] = {
    "chat_id": None,
    "agent": "acme/helper@abc123",
    "context": None,
    "input": {"text": "Hi", "attachments": None, "role": "user", "context": [], "system_prompt": "", "context_size": 0},
}
JAVASCRIPT_BODY: dict[str, Any] = {
    "chat_id": None,
    "agent": "acme/helper@abc123",
    "input": {
        "text": "Hi",
        "images": ["https://x.png"],
        "files": ["https://x.pdf"],
        "role": "user",
        "context": [],
        "system_prompt": "",
        "context_size": 0,
    },
}
AD_HOC_BODY: dict[str, Any] = {
    "chat_id": "4j0q",
    "agent_config": {"core_app": {"ref": "acme/llm@1"}, "system_prompt": "Be kind", "tools": []},
    "agent_name": None,
    "context": {"tenant_id": "acme"},
    "input": {"text": "Hi", "attachments": [{"id": "f", "uri": "u", "rating": "unrated"}]},
}


@pytest.mark.parametrize("body", [PYTHON_BODY, JAVASCRIPT_BODY, AD_HOC_BODY])
def test_the_bodies_of_the_official_sdks_are_read_and_written_exactly(body: dict[str, Any]) -> None:
    assert RunAgentRequest.parse(body).to_wire() == body


def test_a_queued_message_may_come_without_an_assistant_message() -> None:
    reply = RunAgentReply.parse({"user_message": {"status": "queued"}, "assistant_message": None})
    assert reply.assistant_message is None
    assert reply.user_message is not None
    assert reply["user_message"]["status"] == "queued"


def test_a_tool_result_is_a_text_or_an_action_with_form_data() -> None:
    plain = SubmitToolResult.parse({"result": "ok"})
    widget = SubmitToolResult.parse({"action": {"type": "confirm", "payload": {}}, "form_data": {"name": "Jo"}})
    assert (plain.result, plain.action) == ("ok", None)
    assert widget.action is not None
    assert (widget.result, widget.action.type, widget.form_data) == (None, "confirm", {"name": "Jo"})


def test_decisions_write_only_what_was_decided() -> None:
    assert Decide().to_wire() == {}
    assert RejectTool(reason="too dear").to_wire() == {"reason": "too dear"}
    assert ResolveInterrupt(decision=InterruptResolution.DENY).to_wire() == {"decision": "deny"}


def test_a_decision_that_is_absent_is_not_an_approval() -> None:
    assert ResolveInterrupt.parse({}).decision != "allow"


def test_a_delta_writes_only_what_it_brings() -> None:
    delta = {"tool_calls": [{"index": 0, "function": {"arguments": '{"ci'}}]}
    assert LLMDelta.parse(delta).to_wire() == delta


def test_a_widget_is_written_without_the_members_nobody_set_even_inside_an_invocation() -> None:
    widget = {
        "type": "ui",
        "json": '{"a": 1}',
        "children": [{"type": "form", "children": [{"type": "input", "name": "n", "defaultValue": None, "glow": 3}]}],
        "actions": [{"label": "Go", "action": {"type": "go"}}],
    }
    assert Widget.parse(widget).to_wire() == widget
    inside = ToolInvocation.parse({"widget": widget}).to_wire()["widget"]
    assert inside["children"] == widget["children"]
    assert inside["json"] == '{"a": 1}'


CLIENT = {
    "name": "get_weather",
    "display_name": "get_weather",
    "description": "Weather",
    "type": "client",
    "require_approval": False,
    "client": {"input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
}
APP = {
    "name": "draw",
    "type": "app",
    "require_approval": True,
    "app": {"ref": "acme/draw@k3v9x2ab", "function": "generate", "session_enabled": True, "input": {"steps": 4}},
}
AGENT = {"name": "research", "type": "agent", "agent": {"ref": "acme/researcher@latest"}}
HOOK = {"name": "notify", "type": "hook", "hook": {"url": "https://h.example/x", "secret": None, "input_schema": {}}}
HTTP = {
    "name": "get_user",
    "type": "http",
    "http": {
        "url": "https://api.example/{{context.tenant}}/u/{{args.id}}",
        "method": None,
        "auth": {"type": "bearer", "secret": "API_TOKEN"},
        "headers": None,
    },
}
MCP = {"name": "web_search", "type": "mcp", "mcp": {"integration_id": "int-abc123", "tool_name": "search"}}
MCP_BY_SERVER = {"name": "web_search", "type": "mcp", "mcp": {"server": "linear", "tool_name": "search"}}
INTERNAL = {"name": "plan_create", "type": "internal", "internal": {"category": "plan", "operation": "create"}}
TOOLS = [CLIENT, APP, AGENT, HOOK, HTTP, MCP, MCP_BY_SERVER, INTERNAL]


@pytest.mark.parametrize("sent", TOOLS, ids=lambda sent: f"{sent['name']}-{sent['type']}")
def test_a_tool_of_each_kind_is_written_back_exactly_and_knows_its_config(sent: dict[str, Any]) -> None:
    tool = AgentTool.parse(sent)
    assert tool.to_wire() == sent
    assert tool.config is not None
    assert tool.config.to_wire() == sent[sent["type"]]


@pytest.mark.parametrize(("type_", "member"), [("http", "call"), ("call", "http"), ("call", "call")])
def test_http_and_call_are_synonyms_and_stored_as_received(type_: str, member: str) -> None:
    sent = {"name": "x", "type": type_, member: {"url": "https://h.example"}}
    tool = AgentTool.parse(sent)
    assert tool.config is not None
    assert tool.config["url"] == "https://h.example"
    assert tool.to_wire() == sent


def test_a_tool_of_an_unknown_kind_is_kept_and_has_no_config() -> None:
    sent = {"name": "x", "type": "telepathy", "telepathy": {"range": 3}}
    assert AgentTool.parse(sent).to_wire() == sent
    assert AgentTool.parse(sent).config is None


def test_a_builder_result_that_was_sent_unwrapped_is_read_as_its_schema() -> None:
    tool = AgentTool.parse({"schema": {**CLIENT, "display_name": None}, "handler": None})
    assert (tool.name, tool.display_name, tool.type) == ("get_weather", "", "client")


def test_a_message_says_its_text_parts_and_an_interrupt_what_is_asked() -> None:
    parts = [{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "It is "}, {"type": "text", "text": "18."}]
    assert ChatMessage.parse({"content": parts}).text == "It is 18."
    asked = Interrupt.parse({"meta": '{"tool_name": "pay", "arguments": {"eur": 5}}'})
    assert (asked.tool_name, asked.arguments) == ("pay", {"eur": 5})
    nothing = Interrupt.parse({"meta": "?"})
    assert (nothing.tool_name, nothing.arguments) == ("", {})
