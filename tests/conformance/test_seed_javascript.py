"""The agent part of the JavaScript SDK's document, said in Python, with the outcomes it promises (seeds/001)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from agentkit import (
    APIError,
    Runtime,
    app_tool,
    http_tool,
    internal_tools,
    mcp_tool,
    string,
    tool,
)  # fmt: skip
from agentkit.testing import Scripted, call, finish, hang
from agentkit.types import IntegrationProvider

CORE_APP = {"ref": "infsh/claude-sonnet-4@abc123"}
SENTIMENT = {
    "type": "object",
    "properties": {
        "summary": {"type": "string"},
        "sentiment": {"type": "string", "enum": ["positive", "negative", "neutral"]},
        "confidence": {"type": "number"},
    },
    "required": ["summary", "sentiment", "confidence"],
}
REVIEW = {"summary": "Great.", "sentiment": "positive", "confidence": 0.9}

pytestmark = pytest.mark.requirement("seed:javascript")


def open_runtime(*steps: Any) -> Runtime:
    """A runtime where every reference is answered by these steps."""
    model = Scripted(steps)
    agents = {"my-org/assistant@abc123": {"core_app": CORE_APP}}
    return Runtime(models={"scripted": model}, aliases={"*": "scripted/any"}, agents=agents)


def text_of(message: Any) -> str:
    """A message's text, read as the document's examples read it."""
    return "".join(part["text"] for part in message["content"] if part["type"] == "text" and part["text"])


def test_a_template_agent_streams_its_message() -> None:
    written: list[str] = []
    with open_runtime("Hello there.") as runtime, runtime.client() as client:
        agent = client.agents.create("my-org/assistant@abc123")
        agent.send_message("Hello!", on_message=lambda message: written.append(text_of(message)))
    assert written[-1] == "Hello there."
    assert all("Hello there.".startswith(text) for text in written)


@pytest.mark.parametrize("stream", [True, False], ids=["streaming", "polling"])
def test_an_ad_hoc_agents_tool_calls_are_answered_by_id(stream: bool) -> None:
    weather = tool("get_weather").describe("Get current weather").param("city", string("City name")).build()
    calls: list[tuple[str, dict[str, Any]]] = []
    with open_runtime(call("get_weather", {"city": "Paris"}), "18.") as runtime, runtime.client() as client:
        agent = client.agents.create(
            {"core_app": CORE_APP, "system_prompt": "You are a helpful assistant.", "tools": [weather]}
        )

        def on_tool_call(asked: Any) -> None:
            calls.append((asked.name, dict(asked.args)))
            agent.submit_tool_result(asked.id, '{"temp": 18}')

        answer = agent.send_message("What is the weather in Paris?", on_tool_call=on_tool_call, stream=stream)
        (invocation,) = agent.get_chat()["chat_messages"][1]["tool_invocations"]
    assert calls == [("get_weather", {"city": "Paris"})]
    assert invocation["result"] == '{"temp": 18}'
    assert text_of(answer) == "18."


async def test_an_asynchronous_callback_may_await_the_submission() -> None:
    weather = tool("get_weather").param("city", string("City name")).build()
    async with (
        open_runtime(call("get_weather", {"city": "Paris"}), "18.") as runtime,
        runtime.async_client() as client,
    ):
        agent = client.agents.create({"core_app": CORE_APP, "tools": [weather]})

        async def on_tool_call(asked: Any) -> None:
            await agent.submit_tool_result(asked.id, "18")

        assert text_of(await agent.send_message("Weather?", on_tool_call=on_tool_call)) == "18."


def test_the_tool_builder_makes_every_kind_of_tool() -> None:
    built = [
        tool("get_weather").describe("Get current weather").param("city", string("City name")).build(),
        http_tool("gmail_send", "https://gmail.googleapis.com/gmail/v1/users/me/messages/send")
        .describe("Send an email via Gmail")
        .method("POST")
        .auth(integration=IntegrationProvider.GOOGLE, integration_id="your-integration-id")
        .build(),
        http_tool("fetch", "https://api.example.com/data")
        .method("GET")
        .auth(api_key="YOUR_KEY", header="X-API-Key")
        .header("Accept", "application/json")
        .build(),
        http_tool("bearer_fetch", "https://api.example.com").auth(bearer="YOUR_TOKEN").build(),
        app_tool("generate_image", "infsh/flux-schnell@abc123")
        .param("prompt", string("Image description"))
        .require_approval()
        .build(),
        mcp_tool("notion_search", "your-mcp-integration-id", "search").param("query", string("Search query")).build(),
    ]
    assert [each["type"] for each in built] == ["client", "http", "http", "http", "app", "mcp"]
    assert [each["http"]["auth"]["type"] for each in built[1:4]] == ["integration", "api_key", "bearer"]
    assert built[1]["http"]["auth"]["provider"] == "google"
    assert built[2]["http"]["headers"] == {"Accept": "application/json"}
    assert internal_tools().memory().build() == {"memory": True}


def test_an_agent_with_memory_remembers_in_its_chat() -> None:
    steps = [call("memory_set", {"key": "name", "value": "Jo"}), "Noted."]
    with open_runtime(*steps) as runtime, runtime.client() as client:
        agent = client.agents.create(
            {"core_app": {"ref": "infsh/claude-sonnet-4@latest"}, "internal_tools": internal_tools().memory().build()}
        )
        assert text_of(agent.send_message("I am Jo.")) == "Noted."
        assert agent.get_chat()["agent_data"]["memory"] == {"name": "Jo"}


def test_two_tools_of_one_name_are_refused_by_that_name() -> None:
    twice = [tool("look").build(), tool("look").build()]
    with open_runtime() as runtime, runtime.client() as client, pytest.raises((APIError, ValueError), match="look"):
        client.agents.create({"core_app": CORE_APP, "tools": twice}).send_message("hi")


def test_files_are_attached_as_bytes_and_as_earlier_uploads() -> None:
    image = b"\x89PNG\r\n\x1a\n"
    with open_runtime("A photo.") as runtime, runtime.client() as client:
        uploaded = client.files.upload(image)
        agent = client.agents.create("my-org/assistant@abc123")
        agent.send_message("Describe this image", files=[image, uploaded])
        parts = agent.get_chat()["chat_messages"][0]["content"]
    uris = [part["image"] for part in parts if part["type"] == "image"]
    assert len(set(uris)) == 2 and uploaded["uri"] in uris


@pytest.mark.parametrize("stream", [True, False], ids=["streaming", "polling"])
def test_run_returns_the_structured_output(stream: bool) -> None:
    with open_runtime(finish(REVIEW)) as runtime, runtime.client(stream=stream) as client:
        agent = client.agents.create(
            {"core_app": CORE_APP, "output_schema": SENTIMENT, "internal_tools": {"finish": True}}
        )
        assert agent.run("Analyze: Great product!") == REVIEW
        assert agent.get_chat()["output"] == REVIEW


def test_stop_chat_cancels_the_generation_and_is_nothing_without_a_chat() -> None:
    with open_runtime(["One, ", hang()]) as runtime, runtime.client() as client:
        agent = client.agents.create("my-org/assistant@abc123")
        agent.stop_chat()
        stopped = agent.send_message("Count.", on_message=_once_said(agent.stop_chat))
        assert stopped is not None
        assert (stopped["status"], text_of(stopped)) == ("cancelled", "One, ")
        assert agent.get_chat()["status"] == "idle"


def test_reset_leaves_the_chat_for_a_new_one() -> None:
    with open_runtime("One.", "Two.") as runtime, runtime.client() as client:
        agent = client.agents.create("my-org/assistant@abc123")
        agent.send_message("one")
        first = agent.chat_id
        agent.reset()
        assert agent.chat_id is None
        agent.send_message("two")
        assert agent.chat_id not in (None, first)
        assert len(agent.get_chat(first)["chat_messages"]) == 2


def _once_said(act: Callable[[], None]) -> Callable[[Any], None]:
    """A callback that acts, once, when the agent has begun to speak; on a thread, as a button would."""
    pressed: list[threading.Thread] = []

    def on_message(message: Any) -> None:
        if text_of(message) and not pressed:
            pressed.append(threading.Thread(target=act))
            pressed[0].start()

    return on_message
