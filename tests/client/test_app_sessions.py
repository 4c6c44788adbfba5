"""App sessions: begun by a first call, called, kept alive, and ended whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import anyio
import pytest

from agentkit import AsyncInference, SessionEndedError, SessionNotFoundError, UsageError
from agentkit.client.config import ClientConfig
from agentkit.errors import (
    ReferenceSyntaxError,
    RemoteProtocolError,
    ServerError,
    TaskFailedError,
    TaskTimeoutError,
)
from tests.client.hostile import Hostile, Request, Wire, hostile
from tests.client.tasking import DONE, RUNNING, Platform, meeting, problem
from tests.client.ways import QUICK

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

Meet = Callable[..., tuple[Any, Hostile]]


@pytest.fixture(params=["sync", "asyncio", "trio"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def meet(kind: str) -> Iterator[Meet]:
    with ExitStack() as stack:
        yield lambda platform, **settings: stack.enter_context(meeting(kind, platform, **settings))


def status(platform: Platform, session_id: str = "s1") -> str:
    return str(platform.sessions[session_id]["status"])


def test_a_session_begins_with_a_call_keeps_its_worker_and_ends(meet: Meet) -> None:
    platform = Platform(RUNNING, DONE)
    client, server = meet(platform)
    options: dict[str, Any] = {"session_timeout": 300, "setup": {"model": "small"}, "infra": "private"}
    with client.session("acme/notes@v1", {"text": "hi"}, "start", **options) as session:
        assert session.session_id == "s1"
        assert session.result.output == {"text": "done"}
        assert session.call("process", {"step": 1}).output == {"text": "done"}
        assert session.call("process", {"step": 2}, wait=False).status == 1
        assert [each.get("status") for each in session.call("run", {"p": 1}, stream=True)] == [1, 7, 10]
        assert session.run({"step": 3}).id == "t5"
        assert session.info().call_count == 5
        assert session.keepalive().status == "active"
        assert [each.id for each in client.sessions.list()] == ["s1"]
    shared = {"app": "acme/notes@v1", "setup": {"model": "small"}, "infra": "private"}
    assert platform.bodies == [
        {**shared, "input": {"text": "hi"}, "function": "start", "session": "new", "session_timeout": 300},
        {**shared, "input": {"step": 1}, "function": "process", "session": "s1"},
        {**shared, "input": {"step": 2}, "function": "process", "session": "s1"},
        {**shared, "input": {"p": 1}, "function": "run", "session": "s1"},
        {**shared, "input": {"step": 3}, "session": "s1"},
    ]
    assert client.sessions.list() == []
    assert status(platform) == "ended"
    assert server.count("DELETE", "/sessions/s1") == 1


def test_without_input_or_function_the_apps_default_is_called_with_nothing(meet: Meet) -> None:
    platform = Platform(DONE)
    client, _ = meet(platform)
    client.session("acme/notes").end()
    assert platform.bodies == [{"app": "acme/notes", "input": {}, "session": "new"}]


def test_a_function_in_the_reference_is_that_of_the_first_call_alone(meet: Meet) -> None:
    platform = Platform(DONE)
    client, _ = meet(platform)
    with client.session("acme/notes@v1:open") as session:
        session.call("write", {})
    assert [(each["app"], each["function"]) for each in platform.bodies] == [
        ("acme/notes@v1", "open"),
        ("acme/notes@v1", "write"),
    ]


def test_files_in_the_input_of_a_call_are_uploaded(meet: Meet) -> None:
    platform = Platform(DONE)
    client, _ = meet(platform)
    with client.session("acme/notes", input={"file": b"one"}) as session:
        session.call("write", {"file": b"two"})
    assert [platform.file_of(each["input"]["file"])[1] for each in platform.bodies] == [b"one", b"two"]


def test_an_exception_in_the_block_ends_the_session_and_comes_out_as_it_is(meet: Meet) -> None:
    platform = Platform(DONE)
    client, _ = meet(platform)
    with pytest.raises(LookupError, match="mine"), client.session("acme/notes"):
        raise LookupError("mine")
    assert status(platform) == "ended"


def test_an_end_that_fails_masks_no_exception_and_is_noted_on_it(meet: Meet) -> None:
    platform = Platform(DONE)
    platform.answers["DELETE /sessions/s1"] = lambda request, wire: wire.json(problem("internal_error", 500, "no"), 500)
    client, _ = meet(platform)
    with pytest.raises(LookupError, match="mine") as raised, client.session("acme/notes"):
        raise LookupError("mine")
    assert "'s1' could not be ended" in raised.value.__notes__[0]
    with pytest.raises(ServerError), client.session("acme/notes") as session:
        assert session.session_id == "s2"
        platform.answers["DELETE /sessions/s2"] = platform.answers["DELETE /sessions/s1"]


@pytest.mark.parametrize("code", ["SESSION_ENDED", "SESSION_EXPIRED", "SESSION_NOT_FOUND"])
def test_a_session_that_is_gone_already_ends_without_a_word(meet: Meet, code: str) -> None:
    platform = Platform(DONE)
    platform.answers["DELETE /sessions/s1"] = lambda request, wire: wire.json(problem(code, 410), 410)
    client, _ = meet(platform)
    with client.session("acme/notes"):
        pass


def test_ending_twice_is_ending_once(meet: Meet) -> None:
    platform = Platform(DONE)
    client, server = meet(platform)
    with client.session("acme/notes") as session:
        session.end()
        with pytest.raises(SessionEndedError) as ended:
            session.keepalive()
        assert ended.value.session_id == "s1"
        session.end()
    assert server.count("DELETE", "/sessions/s1") == 1


def test_a_first_call_that_fails_is_raised_and_leaves_no_session(meet: Meet) -> None:
    platform = Platform({"status": 11, "error": "no such notes"})
    client, _ = meet(platform)
    with pytest.raises(TaskFailedError, match="no such notes"):
        client.session("acme/notes")
    assert status(platform) == "ended"


def test_a_first_call_that_is_late_leaves_no_session(meet: Meet) -> None:
    platform = Platform(DONE)
    platform.pauses.clear()
    client, _ = meet(platform)
    with pytest.raises(TaskTimeoutError):
        client.session("acme/notes", timeout=0.1)
    platform.pauses.set()
    assert status(platform) == "ended"


def test_a_platform_without_sessions_is_told_so(meet: Meet) -> None:
    platform = Platform(DONE)

    def run(request: Request, wire: Wire) -> None:
        live = platform.begin(request.json)
        del live.task["session_id"]
        wire.json(live.task)

    platform.answers["POST /apps/run"] = run
    client, _ = meet(platform)
    with pytest.raises(RemoteProtocolError, match="no session_id"):
        client.session("acme/notes")


def test_sessions_are_asked_for_kept_and_ended_by_id(meet: Meet) -> None:
    platform = Platform(DONE)
    client, _ = meet(platform)
    assert client.sessions.list() == []  # the platform says null
    task = client.tasks.run({"app": "acme/notes", "input": {}, "session": "new"})
    assert client.sessions.get(task.session_id).status == "active"
    assert client.sessions.keepalive("s1").id == "s1"
    client.sessions.end("s1")
    for ask in (client.sessions.keepalive, client.sessions.end):
        with pytest.raises(SessionEndedError) as ended:
            ask("s1")
        assert ended.value.session_id == "s1"
    with pytest.raises(SessionNotFoundError):
        client.sessions.get("s9")


def test_what_cannot_be_meant_is_refused_before_anything_is_sent(meet: Meet) -> None:
    client, server = meet(Platform())
    with pytest.raises(UsageError, match="two functions"):
        client.session("acme/notes:open", function="close")
    with pytest.raises(UsageError, match="1 to 3600"):
        client.session("acme/notes", session_timeout=7200)
    with pytest.raises(ReferenceSyntaxError):
        client.session("a//b")
    with pytest.raises(TypeError, match="no_such"):
        client.session("acme/notes", no_such=1)
    assert server.requests == []


async def test_the_async_session_may_be_entered_at_once_or_awaited_first() -> None:
    platform = Platform(DONE)
    with hostile(platform) as server:
        async with AsyncInference(config=ClientConfig(base_url=server.url, retry=QUICK)) as client:
            async with client.session("acme/notes") as session:
                assert session.session_id == "s1"
            async with await client.session("acme/notes") as session:
                assert session.session_id == "s2"
            waiting = client.session("acme/notes")
            with pytest.raises(UsageError, match="not begun"):
                await waiting.call("run")
    assert len(platform.bodies) == 2
    assert [each["status"] for each in platform.sessions.values()] == ["ended", "ended"]


async def test_a_cancelled_block_ends_its_session() -> None:
    platform = Platform(DONE)
    with hostile(platform) as server:
        async with AsyncInference(config=ClientConfig(base_url=server.url, retry=QUICK)) as client:
            with anyio.move_on_after(10) as scope:
                async with client.session("acme/notes"):
                    scope.cancel()
                    await anyio.sleep(10)
    assert status(platform) == "ended"
