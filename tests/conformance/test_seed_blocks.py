"""The agent part of the SDK's document, run against the runtime with nothing but the import changed (seeds/003)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest

import agentkit.types
from agentkit import (
    AsyncAgent,
    AsyncInference,
    Inference,
    TaskStatus,
    is_message_ready,
    is_terminal_status,
    parse_status,
)
from agentkit.testing import call, finish
from tests.conformance.documents import BLOCKS, SEED, blocks_of, play, play_async, program
from tests.conformance.home import Home, home

KEY = "your-api-key"  # as the document writes it
ASSISTANT = {"core_app": {"ref": "scripted/assistant"}, "system_prompt": "Help.", "internal_tools": {"finish": True}}
SCHEMA = {"type": "object", "properties": {"entities": {"type": "array", "items": {"type": "string"}}}}

World: TypeAlias = Callable[..., AbstractContextManager[Home]]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A server that the blocks' `inference(api_key="your-api-key")` reaches, with the agent that they name."""

    @contextmanager
    def start(*steps: Any, **more: Any) -> Generator[Home]:
        agents = {"my-org/assistant@abc123": {**ASSISTANT, **more}}
        with home(*steps, key=KEY, aliases={"*": "scripted/any"}, agents=agents) as server:
            monkeypatch.setenv("AGENTKIT_BASE_URL", server.url)
            monkeypatch.delenv("INFERENCE_API_KEY", raising=False)
            yield server

    return start


@contextmanager
def notebook() -> Generator[dict[str, Any]]:
    """The names that blocks share; the client they made is closed at the end."""
    names: dict[str, Any] = {"__name__": "__main__"}
    try:
        yield names
    finally:
        if isinstance(client := names.get("client"), Inference):
            client.close()


# -- the data ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not SEED.exists(), reason="the document itself is not part of a clone")
def test_the_blocks_are_those_of_the_document_word_for_word() -> None:
    kept = {path.stem: path.read_text(encoding="utf-8") for path in BLOCKS.glob("*.txt")}
    assert kept == dict(blocks_of(SEED.read_text(encoding="utf-8")))


def test_a_block_differs_from_the_document_in_its_import_alone() -> None:
    for path in BLOCKS.glob("*.txt"):
        before, after = path.read_text(encoding="utf-8").splitlines(), program(path.stem).splitlines()
        changed = [line for line, now in zip(before, after, strict=True) if line != now]
        assert all(line.lstrip().startswith("from inferencesh") for line in changed)


# -- agent chat ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("seed:blocks")
def test_a_template_agent_streams_its_answer_and_can_be_read_again(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    with world("Hello back!"), notebook() as names:
        play("using_a_template_agent", names)
        assert names["agent"].chat_id == names["response"].get("chat_id") == names["message"]["chat_id"]
        assert names["message"].get("status") == "ready"
    printed = capsys.readouterr().out
    before, told, again = printed.partition(f"\nChat ID: {names['agent'].chat_id}\n")
    assert told and before.endswith("Hello back!") and again == "Hello back!"


@pytest.mark.requirement("seed:blocks")
def test_an_ad_hoc_agent_runs_the_handler_of_its_tool(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with world("Hi.", call("get_weather", {"city": "Paris"}), "It is sunny.") as server, notebook() as names:
        play("using_a_template_agent", names)
        names["client"].close()
        play("creating_an_ad_hoc_agent", names)
        chat = names["agent"].get_chat()
    question, asked, answered, answer = chat["chat_messages"]
    assert question["content"][0]["text"] == "What's the weather in Paris?"
    assert asked["tool_invocations"][0]["result"] == '{"temp": 72, "conditions": "sunny"}'
    assert answered["content"][0]["text"] == '{"temp": 72, "conditions": "sunny"}'
    assert names["response"] == answer
    printed = capsys.readouterr().out
    assert printed.count("[Tool: get_weather]") == 1
    assert printed.endswith("It is sunny.")
    request = server.model.requests[-1]
    assert [tool.name for tool in request.tools][:1] == ["get_weather"]


@pytest.mark.requirement("seed:blocks")
def test_files_are_uploaded_before_the_message_that_carries_them(world: World) -> None:
    with world("Hi.", "A text.", "An image.") as server, notebook() as names:
        play("using_a_template_agent", names)
        play("file_attachments", names)
        play("file_attachments_2", names)
        messages = names["agent"].get_chat()["chat_messages"]
        parts = [part for each in messages if each["role"] == "user" for part in each["content"]]
        bytes_uri = next(part["file"] for part in parts if part["file"])
        image_uri = next(part["image"] for part in parts if part["image"])
        ref = names["ref"]
        assert [server.content(uri) for uri in (bytes_uri, image_uri, ref["uri"])] == [
            b"file contents",
            base64.b64decode("iVBORw0KGgo="),
            b"notes",
        ]
    assert (ref["filename"], ref["content_type"], ref["size"]) == ("notes.txt", "text/plain", 5)


@pytest.mark.requirement("seed:blocks")
def test_run_returns_the_finish_tools_output_and_prints_it(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    entities = {"entities": ["Paris", "Rome"]}
    with world(finish({"entities": []}), finish(entities), output_schema=SCHEMA), notebook() as names:
        play("using_a_template_agent", names)
        capsys.readouterr()
        play("structured_output_with_run", names)
        assert names["result"] == entities
        assert capsys.readouterr().out == "{'entities': ['Paris', 'Rome']}\n"


@pytest.mark.requirement("seed:blocks")
def test_run_returns_none_where_the_agent_finished_without_its_finish_tool(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    with world("Hi.", "There is no text above."), notebook() as names:
        play("using_a_template_agent", names)
        capsys.readouterr()
        play("structured_output_with_run", names)
        assert names["result"] is None
        assert capsys.readouterr().out == ""


@pytest.mark.requirement("seed:blocks")
def test_context_variables_stay_with_the_chat(world: World) -> None:
    with world("Hi.", "Welcome, acme."), notebook() as names:
        play("using_a_template_agent", names)
        play("per_chat_context_variables", names)
        agent = names["agent"]
        agent.send_message("Hello from acme")
        assert agent.get_chat()["context"] == {"tenant_id": "acme", "user_id": "42"}
    assert names["lookup"]["http"]["url"] == "https://api.example.com/users/{{context.user_id}}"
    assert names["lookup"]["http"]["auth"] == {"type": "bearer", "secret": "API_TOKEN"}


@pytest.mark.requirement("seed:blocks")
def test_the_tool_builder_makes_tools_that_a_server_takes(world: World) -> None:
    with notebook() as names:
        play("tool_builder", names)
    tools = [names[name] for name in ("search", "generate", "notify", "web_search")]
    assert [tool["type"] for tool in tools] == ["client", "app", "http", "mcp"]
    assert [tool["require_approval"] for tool in tools] == [False, True, False, False]
    assert names["generate"]["app"]["session_enabled"] is True
    assert names["generate"]["app"]["function"] == "generate"
    assert names["notify"]["http"]["headers"] == {"X-Tenant": "{{context.tenant_id}}"}
    assert names["web_search"]["mcp"] == {"integration_id": "int-abc123", "tool_name": "search"}


@pytest.mark.requirement("seed:blocks")
async def test_the_async_agent_answers_with_the_same_calls(world: World) -> None:
    output = {"entities": []}
    with world(["Hello!", finish({"entities": ["x"]})], finish(output), output_schema=SCHEMA):
        names: dict[str, Any] = {}
        await play_async("async_agent", names)
        client, agent = names["client"], names["agent"]
        assert isinstance(client, AsyncInference) and isinstance(agent, AsyncAgent)
        try:
            assert names["response"]["content"][0]["text"] == "Hello!"
            assert names["output"] == output
            ref = await agent.upload_file(b"notes", filename="notes.txt")
            assert (ref["filename"], ref["size"]) == ("notes.txt", 5)
        finally:
            await client.close()


# -- files, enums and status helpers -------------------------------------------------------------------------------


@pytest.mark.requirement("seed:blocks")
def test_files_are_uploaded_from_a_path_from_bytes_and_with_options(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n")
    with world("Hi.") as server, notebook() as names:
        play("using_a_template_agent", names)
        capsys.readouterr()
        play("file_upload", names, places={"/path/to/image.png": str(image)})
        last = names["file_obj"]
        assert capsys.readouterr().out.startswith("URI: inf://")
        assert (last["filename"], last["content_type"]) == ("custom_name.png", "image/png")
        assert server.content(last["uri"], public=True) == image.read_bytes()  # public: no key needed


@pytest.mark.requirement("seed:blocks")
@pytest.mark.parametrize("name", ["generated_tool_types", "integration_and_instance_enums"])
def test_the_enums_of_the_types_module_hold_what_the_document_says(name: str) -> None:
    play(name, {})
    types: Any = agentkit.types
    assert [member.value for member in types.ToolParamType] == [
        "object", "string", "integer", "number", "boolean", "array", "null",
    ]  # fmt: skip
    assert types.IntegrationProvider.SLACK.value == "slack"
    assert types.IntegrationAuthType.O_AUTH.value == "oauth"
    assert types.IntegrationStatus.CONNECTED.value == "connected"
    statuses = types.InstanceStatus
    shown = (statuses.CREATING, statuses.PENDING_PROVIDER, statuses.ACTIVE, statuses.ERROR)
    assert [each.value for each in shown] == ["creating", "pending_provider", "active", "error"]
    assert {"google", "slack", "notion", "github", "discord", "gcp", "mcp"} <= {
        each.value for each in types.IntegrationProvider
    }


@pytest.mark.requirement("seed:blocks", "task:status-numbers")
def test_task_statuses_carry_the_documents_numbers() -> None:
    play("task_status_values", {})
    told = [line.split() for line in program("task_status_values").splitlines() if line.startswith("TaskStatus.")]
    assert len(told) == 12
    for name, _, number, *_ in told:
        assert TaskStatus[name.removeprefix("TaskStatus.")] == int(number)
    assert [number for number in range(13) if is_terminal_status(number)] == [10, 11, 12]


@pytest.mark.requirement("seed:blocks")
@pytest.mark.parametrize("status", [10, "completed", 7, "running", 3, "no such status", None])
def test_the_status_helpers_read_numbers_and_words(status: Any) -> None:
    play("status_helpers", {"update": {"status": status}, "message": {"status": "ready"}})
    expected = {10: TaskStatus.COMPLETED, "completed": TaskStatus.COMPLETED, 7: TaskStatus.RUNNING,
                "running": TaskStatus.RUNNING, 3: TaskStatus.DISPATCHED}  # fmt: skip
    assert parse_status(status) == expected.get(status, None if status is None else TaskStatus.UNKNOWN)
    assert is_terminal_status(status) is (status in (10, "completed"))


@pytest.mark.requirement("seed:blocks")
def test_the_status_helpers_tell_terminal_from_ready() -> None:
    assert [is_terminal_status(each) for each in (10, 11, 12, "failed", "cancelled", 9)] == [True] * 5 + [False]
    assert [is_message_ready(each) for each in ("ready", "failed", "cancelled")] == [True] * 3
    assert [is_message_ready(each) for each in ("pending", "queued", None)] == [False] * 3
