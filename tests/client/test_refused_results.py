"""A result that the platform does not take: the model is told so, the program hears of it, and the turn goes on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agentkit import FileRef, Journal, ToolOutput, tool
from agentkit.protocol.events import Fault
from agentkit.runtime.config import ServerConfig
from agentkit.testing import Scripted, call
from tests.client.conftest import Home
from tests.client.hostile import Bad, Hostile, Request, Wire, chat, event, hostile, message
from tests.client.ways import AGENT, client_of, follow, play
from tests.runtime.serving import served

EXPORT = call("export", {})
SHORT, LONG = "rain " * 20, "rain " * (3 << 20)


@pytest.fixture(params=["sync", "asyncio", "trio"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.db"


def export(result: Any, ran: list[Any] | None = None) -> Any:
    def handle(args: dict[str, Any]) -> Any:
        if ran is not None:
            ran.append(args)
        return result

    return tool("export").describe("Exports").handler(handle)


def calls_of(agent: Any) -> list[Any]:
    return [each for said in agent.get_chat().chat_messages for each in said.tool_invocations or ()]


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in caplog.records if each.name == "agentkit.tools"]


# -- the real platform ---------------------------------------------------------------------------------------------


def test_a_result_whose_files_are_not_taken_is_a_failure_without_files(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    place = home(EXPORT, "No files then.")
    agent = place.agent(export(ToolOutput("made", files=[b"a,b\n", FileRef(filename="nowhere.csv")])))
    told = play(agent)
    assert (told.result.text, told.of(Fault)) == ("No files then.", [])
    [made] = calls_of(agent)
    assert (made.status, made.attachments or []) == ("failed", [])
    [read] = [text for role, text in place.last_request() if role == "tool"]
    assert json.loads(read)["error"].startswith("the result of this call was not taken: HTTP 400: an attachment needs")
    assert warned(caplog) == [f"call {made.id}: its result was not taken (HTTP 400); the model is told so"]


@contextmanager
def serving(kind: str, db: Path, model: Scripted, **config: Any) -> Iterator[Any]:
    """A client of a server on this database."""
    with (
        served(db=db, providers={"scripted": model}, config=ServerConfig(**config)) as server,
        client_of(kind, server.url) as client,
    ):
        yield client


def refused_twice(kind: str, db: Path, model: Scripted, journal: Path, made: Any) -> tuple[str, str]:
    """A chat and its call, whose result a server took neither as it is nor as an error; the handler has run."""
    with serving(kind, db, model) as client:
        first = client.agent({**AGENT, "tools": [export("").build()]})
        assert play(first, when_parked="return").end.outcome == "parked"
    with serving(kind, db, model, max_body_bytes=64) as client:
        agent = client.agents.resume(first.chat_id, tools=[made], journal=str(journal))
        with agent.resume(when_parked="return") as turn:
            told = follow(turn)
        [waiting] = calls_of(agent)
        assert [each.error.status_code for each in told.of(Fault)] == [413]
        assert (told.end.outcome, waiting.status) == ("parked", "awaiting_input")
    return str(first.chat_id), str(waiting.id)


@pytest.mark.parametrize(
    ("result", "read"),
    [(SHORT, SHORT), (LONG, '{"error":"the result of this call was not taken: HTTP 413: the body is larger than')],
    ids=["taken", "refused"],
)
def test_after_a_restart_the_result_is_posted_again_and_the_handler_does_not_run(
    kind: str, tmp_path: Path, path: Path, result: str, read: str
) -> None:
    ran: list[Any] = []
    model = Scripted([EXPORT, "Done."])
    chat_id, _ = refused_twice(kind, tmp_path / "work.db", model, path, export(result, ran))
    with serving(kind, tmp_path / "work.db", model) as client:
        agent = client.agents.resume(chat_id, tools=[export("again", ran)], journal=str(path))
        assert agent.resume().result().text == "Done."
    assert len(ran) == 1
    [told] = [each.text for each in model.requests[-1].messages if each.role == "tool"]
    assert told.startswith(read)


def test_a_call_that_nothing_was_taken_of_waits_for_whoever_submits_a_result(
    kind: str, tmp_path: Path, path: Path
) -> None:
    model = Scripted([EXPORT, "Done."])
    chat_id, invocation_id = refused_twice(kind, tmp_path / "work.db", model, path, export(SHORT))
    with serving(kind, tmp_path / "work.db", model) as client:
        agent = client.agents.resume(chat_id)
        agent.submit_tool_result(invocation_id, "by hand")
        assert agent.resume().result().text == "Done."
        [made] = calls_of(agent)
    assert (made.status, made.result) == ("completed", "by hand")


# -- any platform --------------------------------------------------------------------------------------------------


class Picky:
    """A platform that answers the first result of its one call with this status, and has no `/unknown`."""

    def __init__(self, status: int) -> None:
        self._status = status
        self.may_end = threading.Event()  # the run
        self._bad = Bad(self._stream)

    def __call__(self, request: Request, wire: Wire) -> None:
        results = request.is_a("POST", "/tools/i1")
        if request.is_a("POST", "/tools/i1/unknown"):
            wire.json({"detail": "no such endpoint"}, 404)
        elif results and self._status:
            status, self._status = self._status, 0
            wire.json({"detail": "not that"}, status)
        else:
            self._bad(request, wire)
            if results:
                self.may_end.set()

    def _stream(self, wire: Wire, n: int) -> None:
        function = {"name": "export", "arguments": {}}
        waiting = {"id": "i1", "type": "client", "status": "awaiting_input", "attempt": 1, "function": function}
        wire.begin()
        wire.line(event("chats", chat()))
        wire.line(event("chat_messages", message("a-r1", "ready", tool_invocations=[waiting])))
        assert self.may_end.wait(10)
        wire.line(*self._bad.ending())
        wire.stay()

    def hears(self, told: Any) -> None:
        """The run is over once the program has heard a complaint."""
        if isinstance(told, Fault):
            self.may_end.set()


def results(server: Hostile) -> list[Any]:
    return [each.json for each in server.requests if each.is_a("POST", "/tools/i1")]


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_wrong_with_a_result_is_posted_in_its_place(kind: str, status: int) -> None:
    picky = Picky(status)
    with hostile(picky) as server, client_of(kind, server.url) as client:
        told = play(client.agent({**AGENT, "tools": [export("rain")]}), then=picky.hears)
    assert (told.end.outcome, told.of(Fault)) == ("completed", [])
    first, second = results(server)
    assert (first["result"], second["failed"]) == ("rain", True)
    assert json.loads(second["result"]) == {"error": f"the result of this call was not taken: HTTP {status}: not that"}


@pytest.mark.parametrize("status", [401, 403, 404, 405, 415])
def test_what_is_wrong_with_something_else_is_told_to_the_program_alone(
    kind: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    picky = Picky(status)
    with hostile(picky) as server, client_of(kind, server.url) as client:
        told = play(client.agent({**AGENT, "tools": [export("rain")]}), then=picky.hears)
    assert [each.error.status_code for each in told.of(Fault)] == [status]
    assert ([each["result"] for each in results(server)], warned(caplog)) == (["rain"], [])


def test_that_nobody_knows_what_came_of_a_call_is_never_said_in_other_words(kind: str, path: Path) -> None:
    journal = Journal(path)
    journal.claim("i1", 1, tool="export", key="of a program that died")
    journal.release("i1", 1)
    journal.close()
    picky, ran = Picky(413), list[Any]()
    with hostile(picky) as server, client_of(kind, server.url) as client:
        agent = client.agent({**AGENT, "tools": [export("rain", ran)]}, journal=str(path))
        told = play(agent, then=picky.hears)
    assert [each.error.status_code for each in told.of(Fault)] == [413]
    [said] = results(server)
    assert said["failed"] and json.loads(said["result"])["error"].startswith("unknown outcome: ")
    assert ran == []
