"""Cancelling by id, watching what is not there, and the fleet: what is sent, and what is made of the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from agentkit import UsageError
from agentkit.errors import AuthenticationError, NotFoundError, PermissionDeniedError, TaskLostError
from agentkit.wire import Task, TaskStatus
from tests.client.hostile import Hostile
from tests.client.tasking import Platform, meeting, problem

pytestmark = pytest.mark.timeout(60)

PARAMS = {"app": "acme/echo", "input": {"text": "hi"}}
Meet = Callable[..., tuple[Any, Hostile]]


@pytest.fixture(params=["sync", "asyncio", "trio"])
def meet(request: pytest.FixtureRequest) -> Iterator[Meet]:
    with ExitStack() as stack:
        yield lambda platform: stack.enter_context(meeting(str(request.param), platform))


def _cancel_body(server: Hostile) -> bytes:
    """What the last cancel was sent with."""
    return next(each.body for each in reversed(server.requests) if each.path.endswith("/cancel"))


def test_without_options_a_cancel_has_no_body_and_tells_the_task_as_it_is_now(meet: Meet) -> None:
    client, server = meet(Platform())
    client.tasks.run(PARAMS, wait=False)
    task = client.tasks.cancel("t1")
    assert isinstance(task, Task) and (task.id, task.status) == ("t1", TaskStatus.CANCELLING)
    assert _cancel_body(server) == b""


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ({"force": True}, b'{"force":true}'),
        ({"timeout": 3.0}, b'{"timeout":3}'),
        ({"timeout": 0.5, "force": True}, b'{"force":true,"timeout":0.5}'),
        ({"timeout": 0}, b'{"timeout":0}'),
    ],
)
def test_only_what_is_set_is_sent_and_whole_seconds_are_an_int(
    meet: Meet, options: dict[str, Any], body: bytes
) -> None:
    client, server = meet(Platform())
    client.tasks.run(PARAMS, wait=False)
    assert client.cancel("t1", **options).id == "t1"
    assert _cancel_body(server).replace(b" ", b"") == body


@pytest.mark.parametrize("answer", [None, {}, {"status": 11, "cancelled": True}, "cancelled"])
def test_an_answer_that_says_little_still_names_the_task(meet: Meet, answer: Any) -> None:
    platform = Platform()
    platform.answers["POST /tasks/t1/cancel"] = lambda request, wire: wire.json(answer)
    client, _ = meet(platform)
    assert client.tasks.cancel("t1").id == "t1"


@pytest.mark.parametrize("seconds", [-1, float("inf"), float("nan"), True])
def test_a_timeout_that_is_none_is_refused_before_anything_is_sent(meet: Meet, seconds: Any) -> None:
    client, server = meet(Platform())
    with pytest.raises(UsageError, match="timeout"):
        client.tasks.cancel("t1", timeout=seconds)
    assert server.requests == []


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFoundError), (401, AuthenticationError), (403, PermissionDeniedError)]
)
@pytest.mark.parametrize("poll", [False, True], ids=["stream", "poll"])
def test_a_task_that_cannot_be_watched_is_the_platforms_own_error(
    meet: Meet, status: int, kind: type[Exception], poll: bool
) -> None:
    platform = Platform()
    for path in ("/tasks/t9", "/tasks/t9/stream", "/tasks/t9/status"):
        platform.answers[f"GET {path}"] = lambda request, wire: wire.json(problem("x", status, "no task t9"), status)
    client, server = meet(platform)
    with pytest.raises(kind, match="no task t9"):
        client.tasks.wait_for_completion("t9", poll=poll)
    assert len(server.requests) == 1


def test_a_task_that_was_seen_and_is_gone_is_lost_and_not_unknown(meet: Meet) -> None:
    platform = Platform()
    platform.answers["GET /tasks/t1/stream"] = lambda request, wire: wire.json(problem("not_found", 404), 404)
    client, _ = meet(platform)
    with pytest.raises(TaskLostError, match="lost sight of task 't1'"):
        client.tasks.run(PARAMS)


def test_the_fleet_is_told_as_the_server_says_it(meet: Meet) -> None:
    platform, told = Platform(), {"size": 2, "queued": 0, "workers": [], "counters": {"tasks": 3}}
    platform.answers["GET /fleet"] = lambda request, wire: wire.json(told)
    client, _ = meet(platform)
    assert client.fleet() == told
