"""Tools that run apps, from a client: in this process and over a socket, with real workers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from agentkit import RequirementsNotMetError, app_tool
from agentkit.errors import NotFoundError
from agentkit.protocol.events import ApprovalRequested, MessageChanged
from agentkit.testing import call
from agentkit.wire import TaskStatus
from tests.apps.folders import write_app
from tests.client.conftest import Home
from tests.client.ways import play

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(90)]  # real processes

APP = """
import asyncio

class Words(BaseAppInput):
    text: str = Field(description="What to say")
    times: int = 1
    seconds: float = 0

class App(BaseApp):
    async def setup(self) -> None:
        self.calls = 0

    async def run(self, given: Words) -> Out:
        "Says it again."
        print("saying", given.text)
        self.calls += 1
        await asyncio.sleep(given.seconds)
        return Out(text=" ".join([given.text] * given.times + [str(self.calls)]))
"""


@pytest.fixture(
    params=[pytest.param("memory-sync", marks=pytest.mark.thorough), "memory-trio", "socket-sync", "socket-asyncio"]
)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """acme/echo, and acme/secretive, which wants a secret."""
    folder = tmp_path_factory.mktemp("apps")
    manifest = "namespace: acme\nname: {}\nkernel: python-3.11\n"
    secrets = "secrets:\n  - {key: ECHO_TOKEN, description: token}\n"
    return {
        "acme/echo": write_app(folder / "echo", APP, manifest=manifest.format("echo")),
        "acme/secretive": write_app(folder / "secretive", APP, manifest=manifest.format("secretive") + secrets),
    }


def test_the_model_calls_an_app_and_reads_what_it_gave(home: Home, apps: dict[str, Path]) -> None:
    place = home(call("echo", {"text": "hi"}), "It said hi.", apps=apps)
    echo = app_tool("echo", "acme/echo").input({"times": 2}).fixed_input({"seconds": 0})
    told = play(place.agent(echo.build()))
    assert told.result.text == "It said hi."
    (offered,) = [each for each in place.model.requests[0].tools if each.name == "echo"]
    assert offered.description == "Says it again."
    assert offered.parameters["properties"]["times"]["default"] == 2
    assert "seconds" not in offered.parameters["properties"]
    assert place.last_request()[-1] == ("tool", '{"text":"hi hi 1"}')
    (message, *_) = [each for each in told.messages().values() if each.tool_invocations]
    (invocation,) = message.tool_invocations
    task = place.client.tasks.get(invocation.execution_id)
    assert (task.status, task.output, task.input["times"]) == (TaskStatus.COMPLETED, {"text": "hi hi 1"}, 2)


def test_a_session_goes_on_where_the_last_call_ended(home: Home, apps: dict[str, Path]) -> None:
    def again(request: Any) -> Any:
        session = request.messages[-1].text.split('[session "')[1].split('"')[0]
        return call("echo", {"text": "b", "session": session})

    place = home(call("echo", {"text": "a", "session": "new"}), again, "done", apps=apps)
    play(place.agent(app_tool("echo", "acme/echo").session_enabled().build()))
    assert place.last_request()[-1][1].startswith('{"text":"b 2"}')
    (session,) = place.client.sessions.list()
    place.client.sessions.end(session.id)


def test_an_app_waits_for_the_approval_of_its_call(home: Home, apps: dict[str, Path]) -> None:
    place = home(call("echo", {"text": "hi"}), "done", apps=apps)
    agent = place.agent(app_tool("echo", "acme/echo").require_approval().build())

    def answer(event: Any) -> None:
        if isinstance(event, ApprovalRequested):
            assert place.client.tasks.list().items == []
            agent.approve(event.interrupt.resource_id, {"text": "ho"})

    assert play(agent, then=answer).result.text == "done"
    assert place.last_request()[-1] == ("tool", '{"text":"ho 1"}')


def test_stopping_the_chat_cancels_the_task(home: Home, apps: dict[str, Path]) -> None:
    place = home(call("echo", {"text": "hi", "seconds": 600}), apps=apps)
    agent = place.agent(app_tool("echo", "acme/echo").build())
    tasks: list[str] = []

    def stop(event: Any) -> None:
        if isinstance(event, MessageChanged) and not tasks:
            begun = [each.execution_id for each in event.message.tool_invocations or () if each.execution_id]
            if begun:
                tasks.extend(begun)
                agent.stop_chat()

    play(agent, then=stop)
    until = time.monotonic() + 30
    while place.client.tasks.get(tasks[0]).status != TaskStatus.CANCELLED:
        assert time.monotonic() < until, "the task went on after its chat was stopped"
        time.sleep(0.05)


def test_an_agent_with_an_app_that_cannot_be_run_is_refused(home: Home, apps: dict[str, Path]) -> None:
    place = home("never", apps=apps)
    with pytest.raises(NotFoundError, match=r"tool 'gone': app 'acme/gone' not found"):
        place.agent(app_tool("gone", "acme/gone").build()).run("go")
    with pytest.raises(RequirementsNotMetError, match="ECHO_TOKEN is not set"):
        place.agent(app_tool("echo", "acme/secretive").build()).run("go")
    assert place.model.requests == []


def test_what_the_app_needs_may_come_with_the_runtime(home: Home, apps: dict[str, Path]) -> None:
    place = home(call("echo", {"text": "hi"}), "done", apps=apps, secrets={"ECHO_TOKEN": "et-1"})
    assert play(place.agent(app_tool("echo", "acme/secretive").build())).result.text == "done"
    assert "et-1" not in str(place.last_request())
