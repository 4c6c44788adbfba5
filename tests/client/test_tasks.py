"""Running apps: results, updates, polling, errors, cancelling, and what is asked about a task."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit import (
    AsyncInference,
    RequirementsNotMetError,
    SessionEndedError,
    SessionError,
    SessionExpiredError,
    SessionNotFoundError,
    TaskStatus,
    UsageError,
    WorkerLostError,
    is_terminal_status,
    parse_status,
)
from agentkit.client.config import ClientConfig
from agentkit.errors import (
    AuthenticationError,
    ConnectError,
    InvalidInputError,
    NotFoundError,
    RemoteProtocolError,
    TaskCanceledError,
    TaskError,
    TaskFailedError,
    TaskLostError,
    TaskTimeoutError,
)
from agentkit.protocol.retry import RetryPolicy
from tests.client.hostile import Hostile, Request, Wire, hostile
from tests.client.tasking import DONE, HEARTBEAT, QUEUED, RUNNING, Platform, meeting, partial, problem, told_as

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

PARAMS: dict[str, Any] = {"app": "acme/echo", "input": {"text": "hi"}, "infra": "cloud", "variant": "default"}
FAST: dict[str, Any] = {"reconnect_delay_ms": 1}

Meet = Callable[..., tuple[Any, Hostile]]


@pytest.fixture(params=["sync", "asyncio", "trio"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def meet(kind: str) -> Iterator[Meet]:
    with ExitStack() as stack:
        yield lambda platform, **settings: stack.enter_context(meeting(kind, platform, **settings))


# -- the result ----------------------------------------------------------------------------------------------------


def test_run_waits_for_the_result_and_sends_what_it_was_given(meet: Meet) -> None:
    platform = Platform(QUEUED, RUNNING, DONE)
    client, server = meet(platform)
    task = client.tasks.run(PARAMS)
    assert (task["id"], task.get("output"), task.output) == ("t1", {"text": "done"}, {"text": "done"})
    assert task.status is TaskStatus.COMPLETED is TaskStatus(task["status"])
    assert platform.bodies == [PARAMS]
    assert [each.path for each in server.requests] == ["/apps/run", "/tasks/t1/stream"]


def test_the_older_names_do_the_same(meet: Meet) -> None:
    client, _ = meet(Platform())
    task = client.run(PARAMS, wait=False)
    assert client.get_task(task.id).id == "t1"
    assert client.wait_for_completion(task.id).output == {"text": "done"}
    with client.stream_task(task.id) as stream:
        assert [each.status for each in stream] == [10]
    assert [each.status for each in client.run(PARAMS, stream=True)][-1] == 10
    client.cancel(task.id)


def test_without_waiting_the_whole_task_comes_back_at_once(meet: Meet) -> None:
    platform = Platform()
    platform.first = {"status": 1, "status_text": "received", "session_timeout": 60, "error": None}
    client, server = meet(platform)
    task = client.tasks.run(PARAMS, wait=False)
    assert (task.id, task.status, task.status_text, task.session_timeout) == ("t1", 1, "received", 60)
    assert len(server.requests) == 1


def test_a_task_that_is_over_when_its_post_answers_is_not_waited_for(meet: Meet) -> None:
    platform = Platform()
    platform.first = {"status": 10, "output": 1}
    client, server = meet(platform)
    updates: list[Any] = []
    assert client.tasks.run(PARAMS, on_update=updates.append).output == 1
    assert len(server.requests) == 1
    assert [each.status for each in updates] == [10]


@pytest.mark.parametrize("poll", [False, True])
@pytest.mark.parametrize("status", [11, "failed", 13, "rejected", 99], ids=str)
def test_a_failed_task_is_raised_with_its_error_and_itself(meet: Meet, status: Any, poll: bool) -> None:
    client, _ = meet(Platform(RUNNING, {"status": status, "error": "out of memory"}))
    with pytest.raises(TaskFailedError, match=r"^out of memory$") as failed:
        client.tasks.run(PARAMS, poll=poll, poll_interval_ms=1)
    assert isinstance(failed.value, RuntimeError)
    assert failed.value.task_id == "t1"
    assert failed.value.task is not None
    assert is_terminal_status(failed.value.task.status)


def test_a_failed_task_without_a_word_is_raised_in_the_sdks_words(meet: Meet) -> None:
    client, _ = meet(Platform({"status": 11}))
    with pytest.raises(RuntimeError, match=r"^Task failed$"):
        client.tasks.run(PARAMS)


def test_a_cancelled_task_is_raised_in_the_sdks_words(meet: Meet) -> None:
    client, _ = meet(Platform(RUNNING, {"status": 12, "error": "by ann"}))
    with pytest.raises(TaskCanceledError, match=r"^Task cancelled$"):
        client.tasks.run(PARAMS)


@pytest.mark.parametrize("status", [*range(10), "running", "scheduled", "brand new"], ids=str)
@pytest.mark.parametrize("poll", [False, True])
def test_every_other_status_goes_on(meet: Meet, status: Any, poll: bool) -> None:
    client, _ = meet(Platform({"status": status}, DONE))
    assert client.tasks.run(PARAMS, poll=poll, poll_interval_ms=1).output == {"text": "done"}


# -- updates -------------------------------------------------------------------------------------------------------


def test_a_stream_of_updates_tells_the_whole_task_each_time_and_ends_by_itself(meet: Meet) -> None:
    client, _ = meet(Platform(QUEUED, {"status": "running"}, partial(logs=["a"]), DONE))
    updates = list(client.tasks.run(PARAMS, stream=True))
    assert [parse_status(each.get("status")) for each in updates] == [1, 2, 7, 7, 10]
    assert {each.input["text"] for each in updates} == {"hi"}
    assert updates[-2].logs == ["a"]
    assert updates[-1].get("output") == {"text": "done"}


def test_both_callbacks_fire_for_a_partial_update_and_one_for_a_whole(meet: Meet) -> None:
    client, _ = meet(Platform(RUNNING, partial(output={"text": "do"}, status=7), DONE))
    updates: list[Any] = []
    changed: list[Any] = []
    client.run(
        PARAMS,
        on_update=lambda task: updates.append(task.output),
        on_partial_update=lambda task, fields: changed.append((task.output, fields)),
    )
    assert updates == [None, None, {"text": "do"}, {"text": "done"}]
    assert changed == [({"text": "do"}, ["output", "status"])]


def test_every_kind_of_line_is_read(meet: Meet) -> None:
    platform = Platform(
        told_as("data", status=2), told_as("update", status=7), partial(logs=["x"], status="running"), DONE
    )
    platform.cut = lambda wire, stream, line: wire.line(HEARTBEAT, {"event": "delta", "data": {"seq": line}})
    client, server = meet(platform)
    updates = list(client.tasks.run(PARAMS, stream=True))
    assert [parse_status(each.status) for each in updates] == [1, 2, 7, 7, 10]
    assert server.count("GET", "/tasks/t1") == 0


def test_a_partial_update_that_holds_only_what_changed_is_merged(meet: Meet) -> None:
    client, _ = meet(by_hand({"data": {"status": 7, "output": {"n": 1}}, "fields": ["output"]}, {"id": "t1", **DONE}))
    updates = list(client.tasks.run(PARAMS, stream=True))
    assert (updates[1].id, updates[1].input, updates[1].output) == ("t1", {"text": "hi"}, {"n": 1})


def test_a_line_that_makes_no_sense_is_made_good_by_asking(meet: Meet) -> None:
    client, server = meet(by_hand(b"{nonsense\n", {"unheard": 1}, None, {"id": "t1", **DONE}))
    assert client.tasks.run(PARAMS).output == {"text": "done"}
    assert server.count("GET", "/tasks/t1") >= 1


def by_hand(*lines: Any) -> Platform:
    """A platform whose stream says a snapshot and then these lines; None waits until the task was fetched."""
    platform = Platform()
    was_fetched = threading.Event()

    def stream(request: Request, wire: Wire) -> None:
        wire.begin()
        wire.line(platform.tasks["t1"].task)
        for line in lines:
            if line is None:
                assert was_fetched.wait(10)
            else:
                wire.line(line)
        wire.end()

    def get(request: Request, wire: Wire) -> None:
        wire.json(platform.tasks["t1"].task)
        was_fetched.set()

    platform.answers = {"GET /tasks/t1/stream": stream, "GET /tasks/t1": get}
    return platform


def test_the_seeds_loop_stops_at_the_result_and_keeps_it(meet: Meet) -> None:
    client, _ = meet(Platform(RUNNING, DONE))
    task = client.tasks.run(PARAMS, wait=False)
    with client.tasks.stream(task.id) as stream:
        for update in stream:
            if parse_status(update.get("status")) == TaskStatus.COMPLETED:
                break
    assert stream.result.output == {"text": "done"}
    assert stream.error is None
    assert stream.wait().id == "t1"


def test_a_stream_of_a_failed_task_ends_and_says_why_when_asked(meet: Meet) -> None:
    client, _ = meet(Platform({"status": 11, "error": "boom"}))
    with client.tasks.run(PARAMS, stream=True) as stream:
        assert [each.status for each in stream] == [1, 11]
        assert isinstance(stream.error, TaskFailedError)
        assert stream.result.error == "boom"
        with pytest.raises(TaskFailedError):
            stream.wait()


def test_leaving_a_stream_leaves_the_task_alone(meet: Meet) -> None:
    platform = Platform(RUNNING, DONE)
    platform.pauses.clear()
    client, server = meet(platform)
    with client.tasks.run(PARAMS, stream=True) as stream:
        assert next(stream).status == 1
    assert stream.result is None
    with pytest.raises(TaskLostError, match="wait_for_completion"):
        stream.wait()
    assert server.count("POST", "/tasks/t1/cancel") == 0
    platform.pauses.set()
    assert client.tasks.wait_for_completion("t1").output == {"text": "done"}


def test_a_callbacks_exception_reaches_the_caller(meet: Meet) -> None:
    def fail(task: Any) -> None:
        raise LookupError("mine")

    client, _ = meet(Platform())
    with pytest.raises(LookupError, match="mine"):
        client.tasks.run(PARAMS, on_update=fail)


# -- polling -------------------------------------------------------------------------------------------------------


def test_polling_asks_for_the_status_and_for_the_task_when_it_changed(meet: Meet) -> None:
    client, server = meet(Platform(QUEUED, QUEUED, RUNNING, DONE), stream=False, poll_seconds=0.005)
    updates: list[Any] = []
    assert client.tasks.run(PARAMS, on_update=updates.append).output == {"text": "done"}
    assert [each.status for each in updates] == [2, 7, 10]
    assert server.count("GET", "/tasks/t1/stream") == 0
    assert server.count("GET", "/tasks/t1/status") >= 4
    assert server.count("GET", "/tasks/t1") == 3


def test_polling_outlives_as_many_errors_in_a_row_as_it_was_told(meet: Meet) -> None:
    failures = iter([500] * 3)
    platform = Platform(DONE)

    def poll(request: Request, wire: Wire) -> None:
        if (status := next(failures, None)) is not None:
            wire.json(problem("internal_error", 500), status)
        else:
            platform.poll(wire, "t1")

    platform.answers["GET /tasks/t1/status"] = poll
    client, _ = meet(platform, retry=_no_retry())
    assert client.tasks.run(PARAMS, poll=True, poll_interval_ms=1, max_reconnects=3).output == {"text": "done"}


def test_polling_ends_with_the_error_when_it_stays(meet: Meet) -> None:
    platform = Platform(DONE)
    platform.answers["GET /tasks/t1/status"] = lambda request, wire: wire.json(problem("internal_error", 500), 500)
    client, server = meet(platform, retry=_no_retry())
    with pytest.raises(TaskLostError, match=r"lost sight of task 't1'.*HTTP 500"):
        client.tasks.run(PARAMS, poll=True, poll_interval_ms=1, max_reconnects=2)
    assert server.count("GET", "/tasks/t1/status") == 3


def _no_retry() -> RetryPolicy:
    return RetryPolicy(max_attempts=1)


# -- refusals ------------------------------------------------------------------------------------------------------

UNMET = {"satisfied": False, "errors": [{"type": "secret", "key": "TOKEN", "message": "TOKEN is not set"}]}


@pytest.mark.parametrize(
    ("status", "body", "kind_of_error"),
    [
        (412, UNMET, RequirementsNotMetError),
        (
            412,
            {"success": False, "status": 412, **UNMET, "error": {"code": "x", "message": "m"}},
            RequirementsNotMetError,
        ),
        (401, problem("unauthorized", 401), AuthenticationError),
        (404, problem("not_found", 404), NotFoundError),
        (422, problem("validation_error", 422, errors=[{"path": "input.x", "message": "m"}]), InvalidInputError),
        (404, problem("SESSION_NOT_FOUND", 404), SessionNotFoundError),
        (410, problem("SESSION_EXPIRED", 410), SessionExpiredError),
        (410, problem("SESSION_ENDED", 410), SessionEndedError),
        (410, {"success": False, "error": {"code": "SESSION_ENDED", "message": "m"}}, SessionEndedError),
        (409, problem("WORKER_LEASED", 409), SessionError),
        (400, problem("APP_MISMATCH", 400), SessionError),
        (409, problem("VERSION_MISMATCH", 409), SessionError),
        (500, problem("WORKER_LOST", 500), WorkerLostError),
    ],
)
@pytest.mark.parametrize("options", [{}, {"stream": True}, {"wait": False}], ids=["wait", "stream", "at-once"])
def test_a_refusal_is_raised_by_run_as_what_it_is(
    meet: Meet, status: int, body: Any, kind_of_error: type[Exception], options: dict[str, Any]
) -> None:
    platform = Platform()
    platform.answers["POST /apps/run"] = lambda request, wire: wire.json(body, status)
    client, server = meet(platform)
    with pytest.raises(kind_of_error) as refused:
        client.tasks.run({**PARAMS, "session": "s7"}, **options)
    assert len(server.requests) == 1
    if isinstance(refused.value, SessionError):
        assert refused.value.session_id == "s7"
    if isinstance(refused.value, RequirementsNotMetError):
        assert [each.key for each in refused.value.errors] == ["TOKEN"]


@pytest.mark.parametrize("body", [None, [], {}, {"status": 1}, {"id": "t1", "status": [1]}, "fine"], ids=repr)
@pytest.mark.parametrize("wait", [True, False])
def test_an_answer_that_is_no_task_is_a_protocol_error(meet: Meet, body: Any, wait: bool) -> None:
    platform = Platform()
    platform.answers["POST /apps/run"] = lambda request, wire: wire.json(body)
    client, _ = meet(platform)
    with pytest.raises(RemoteProtocolError, match="POST /apps/run"):
        client.tasks.run(PARAMS, wait=wait)


@pytest.mark.parametrize("dress", ["bare", "wrapped", "envelope"])
def test_a_task_is_read_in_every_dialect(meet: Meet, dress: str) -> None:
    platform = Platform(DONE)
    dressed = {
        "bare": lambda data: data,
        "wrapped": lambda data: {"success": True, "status": 200, "data": data},
        "envelope": lambda data: {"data": data, "messages": []},
    }[dress]
    platform.answers["POST /apps/run"] = lambda request, wire: wire.json(dressed(platform.begin(request.json).task))
    platform.answers["GET /tasks/t1"] = lambda request, wire: wire.json(dressed(platform.tasks["t1"].task))
    platform.answers["GET /tasks/t1/status"] = lambda request, wire: (
        platform.tasks["t1"].finish(),
        wire.json(dressed({"id": "t1", "status": platform.tasks["t1"].task["status"]})),
    )[-1]
    client, _ = meet(platform)
    assert client.tasks.run(PARAMS, poll=True, poll_interval_ms=1).output == {"text": "done"}


@pytest.mark.parametrize(
    ("params", "options", "says"),
    [
        ({}, {}, "needs the app"),
        ("acme/echo", {}, "takes a dict"),
        ({"app": "a//b", "input": {}}, {}, "reference"),
        ({**PARAMS, "wait": True}, {}, "argument of run"),
        ({**PARAMS, "session_timeout": 5}, {}, "'new' only"),
        ({**PARAMS, "session": "new", "session_timeout": 0}, {}, "1 to 3600"),
        ({**PARAMS, "session": "new", "session_timeout": 3601}, {}, "1 to 3600"),
        ({**PARAMS, "session": "new", "session_timeout": "60"}, {}, "whole seconds"),
        ({**PARAMS, "input": {"x": object()}}, {}, "JSON cannot carry"),
        ({**PARAMS, "input": {"x": "\ud800"}}, {}, "JSON cannot carry"),
        (PARAMS, {"timeout": -1}, "timeout"),
        (PARAMS, {"max_reconnects": -1}, "max_reconnects"),
        (PARAMS, {"poll_interval_ms": float("nan")}, "poll_interval_ms"),
        (PARAMS, {"upload": "everything"}, "upload"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(
    meet: Meet, params: Any, options: dict[str, Any], says: str
) -> None:
    client, server = meet(Platform())
    with pytest.raises(UsageError, match=says):
        client.tasks.run(params, **options)
    assert server.requests == []


def test_an_option_that_there_is_not_is_a_type_error(meet: Meet) -> None:
    client, server = meet(Platform())
    with pytest.raises(TypeError, match="on_updates"):
        client.tasks.run(PARAMS, on_updates=print)
    assert server.requests == []


# -- keys ----------------------------------------------------------------------------------------------------------


def losing_the_first_answer(platform: Platform) -> None:
    lost: list[int] = []

    def run(request: Request, wire: Wire) -> None:
        if lost:
            platform.run(request, wire)
            return
        lost.append(1)
        platform.run(request, Nowhere())  # type: ignore[arg-type]  # a wire that nobody reads
        wire.cut()

    platform.answers["POST /apps/run"] = run


class Nowhere:
    def json(self, value: Any, status: int = 200) -> None: ...


def test_a_lost_answer_does_not_run_the_app_twice(meet: Meet) -> None:
    platform = Platform()
    losing_the_first_answer(platform)
    client, server = meet(platform)
    assert client.tasks.run(PARAMS).id == "t1"
    assert server.count("POST", "/apps/run") == 2
    assert len(platform.bodies) == 1


@pytest.mark.parametrize("key", [None, "mine"])
def test_where_keys_are_not_honoured_a_lost_answer_is_told_and_nothing_is_sent_again(
    meet: Meet, key: str | None
) -> None:
    platform = Platform()
    losing_the_first_answer(platform)
    client, server = meet(platform, honours_keys=False)
    with pytest.raises(ConnectError) as lost:
        client.tasks.run(PARAMS, idempotency_key=key)
    assert lost.value.maybe_sent
    assert server.count("POST", "/apps/run") == 1
    assert server.requests[0].headers.get("idempotency-key") == key


def test_a_key_of_ones_own_makes_two_runs_one(meet: Meet) -> None:
    platform = Platform()
    client, _ = meet(platform)
    first, second = (client.tasks.run(PARAMS, idempotency_key="order-7") for _ in range(2))
    assert first.id == second.id == "t1"
    assert len(platform.bodies) == 1


# -- time ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("poll", [False, True])
def test_a_timeout_is_kept_whatever_the_stream_says_and_leaves_the_task_alone(meet: Meet, poll: bool) -> None:
    platform = Platform(DONE)
    platform.pauses.clear()
    client, server = meet(platform)
    task = client.tasks.run(PARAMS, wait=False)
    begun = time.monotonic()
    with pytest.raises(TaskTimeoutError, match=r"'t1' was not over within 0\.2 s") as late:
        client.tasks.wait_for_completion(task.id, timeout=0.2, poll=poll, poll_interval_ms=10)
    assert time.monotonic() - begun < 5
    assert isinstance(late.value, TimeoutError)
    assert server.count("POST", "/tasks/t1/cancel") == 0
    platform.pauses.set()
    assert client.tasks.wait_for_completion(task.id, timeout=10).output == {"text": "done"}


def test_a_stream_can_be_late_too(meet: Meet) -> None:
    platform = Platform(DONE)
    platform.pauses.clear()
    client, _ = meet(platform)
    with pytest.raises(TaskTimeoutError):
        list(client.tasks.run(PARAMS, stream=True, timeout=0.2))
    platform.pauses.set()


def test_a_stream_without_a_word_is_given_up_and_opened_again(meet: Meet) -> None:
    platform = Platform(RUNNING, DONE)
    platform.cut = lambda wire, stream, line: wire.stay() if (stream, line) == (1, 1) else None
    client, server = meet(platform, quiet_seconds=0.2)
    assert client.tasks.run(PARAMS, **FAST).output == {"text": "done"}
    assert server.count("POST", "/apps/run") == 1


# -- cancelling ----------------------------------------------------------------------------------------------------


def test_cancelling_a_stream_cancels_the_task_and_ends_the_loop(meet: Meet) -> None:
    platform = Platform(RUNNING, DONE)
    platform.pauses.clear()
    client, server = meet(platform)
    with client.tasks.run(PARAMS, stream=True) as stream:
        statuses: list[Any] = []
        for update in stream:
            statuses.append(update.status)
            if len(statuses) == 1:
                stream.cancel()
    assert statuses == [1, 12]
    assert isinstance(stream.error, TaskCanceledError)
    assert server.count("POST", "/tasks/t1/cancel") == 1


def test_cancel_from_elsewhere_ends_who_waits(meet: Meet) -> None:
    platform = Platform(RUNNING, DONE)
    platform.pauses.clear()
    client, _ = meet(platform)

    def cancel() -> None:
        assert platform.was_begun.wait(10)
        client.tasks.cancel("t1")

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(TaskCanceledError):
        client.tasks.run(PARAMS)
    thread.join(10)


@pytest.mark.parametrize(
    "answer", [None, {"id": "t1", "status": 11, "cancelled": True}, {"success": True, "data": None}]
)
def test_any_answer_to_a_cancel_will_do(meet: Meet, answer: Any) -> None:
    platform = Platform()
    platform.answers["POST /tasks/t1/cancel"] = lambda request, wire: wire.json(answer)
    client, _ = meet(platform)
    client.tasks.cancel("t1")


def test_a_cancel_that_fails_lets_the_task_go_on(meet: Meet) -> None:
    platform = Platform(RUNNING, DONE)
    platform.pauses.clear()

    def refuse(request: Request, wire: Wire) -> None:
        wire.json(problem("forbidden", 403), 403)
        platform.pauses.set()

    platform.answers["POST /tasks/t1/cancel"] = refuse
    client, _ = meet(platform)
    with client.tasks.run(PARAMS, stream=True) as stream:
        next(stream)
        stream.cancel()
        assert stream.wait().output == {"text": "done"}


# -- outages -------------------------------------------------------------------------------------------------------


def test_without_reconnecting_a_cut_is_the_end_of_listening(meet: Meet) -> None:
    platform = Platform(RUNNING, DONE)
    platform.cut = lambda wire, stream, line: wire.cut() if line == 1 else None
    client, server = meet(platform)
    with pytest.raises(TaskLostError, match="wait_for_completion"):
        client.tasks.run(PARAMS, auto_reconnect=False)
    assert server.count("GET", "/tasks/t1/stream") == 1


def test_when_no_stream_holds_the_task_is_polled(meet: Meet) -> None:
    platform = Platform(RUNNING, DONE)
    platform.cut = lambda wire, stream, line: wire.cut()
    client, server = meet(platform)
    task = client.tasks.run(PARAMS, max_reconnects=2, poll_interval_ms=1, **FAST)
    assert task.output == {"text": "done"}
    assert server.count("GET", "/tasks/t1/stream") == 3


def test_where_there_are_no_streams_the_task_is_polled_at_once(meet: Meet) -> None:
    platform = Platform(RUNNING, DONE)
    platform.answers["GET /tasks/t1/stream"] = lambda request, wire: wire.answer(200, b"<html>", "text/html")
    client, server = meet(platform)
    assert client.tasks.run(PARAMS, poll_interval_ms=1).output == {"text": "done"}
    assert server.count("GET", "/tasks/t1/stream") == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_stream_that_is_forbidden_is_not_tried_again(meet: Meet, status: int) -> None:
    platform = Platform()
    platform.answers["GET /tasks/t1/stream"] = lambda request, wire: wire.json(problem("x", status), status)
    client, server = meet(platform)
    with pytest.raises(TaskError, match="lost sight") as lost:
        client.tasks.run(PARAMS)
    assert lost.value.outcome == "lost"
    assert server.count("GET", "/tasks/t1/stream") == 1


# -- questions -----------------------------------------------------------------------------------------------------


def test_get_and_status_ask_for_one_task(meet: Meet) -> None:
    client, _ = meet(Platform())
    client.tasks.run(PARAMS, wait=False)
    assert client.tasks.get("t1").input == {"text": "hi"}
    assert client.tasks.status("t1").status == 7
    with pytest.raises(NotFoundError, match="no task t9"):
        client.tasks.get("t9")
    with pytest.raises(UsageError, match="task_id"):
        client.tasks.stream("")


def test_iterate_follows_the_pages_and_never_in_a_circle(meet: Meet) -> None:
    platform = Platform()
    pages = {
        None: {"items": [{"id": "a"}, {"id": "b"}], "next_cursor": "2", "has_next": True},
        "2": {"items": [], "next_cursor": "3", "has_next": True},
        "3": {"items": [{"id": "c"}], "next_cursor": "3", "has_next": True},
    }
    platform.answers["POST /tasks/list"] = lambda request, wire: wire.json(pages[request.json.get("cursor")])
    client, server = meet(platform)
    filters = [{"field": "status", "operator": "eq", "value": 7}]
    assert [each.id for each in client.tasks.iterate(limit=2, filters=filters, search="cat")] == ["a", "b", "c"]
    assert server.requests[0].json == {"limit": 2, "filters": filters, "search": {"term": "cat"}}
    assert [each.id for each in client.tasks.list(cursor="3").items] == ["c"]
    assert next(client.tasks.iterate()).id == "a"


def test_logs_are_read_in_every_form(meet: Meet) -> None:
    platform = Platform()
    client, _ = meet(platform)
    coded = [{"log_type": 4, "content": base64.b64encode(text).decode()} for text in (b"one", "zwei ü\n".encode())]
    for logs, text in ((coded, "one\nzwei ü\n"), (["a\n", "b"], "a\nb"), ("plain", "plain"), ([], ""), (None, "")):
        platform.answers["GET /tasks/t1/logs"] = lambda request, wire, logs=logs: wire.json(
            {"task_id": "t1", "logs": logs}
        )
        assert client.tasks.log_text("t1") == text
    assert client.tasks.logs("t1").task_id == "t1"


def test_timings_files_visibility_and_deleting(meet: Meet) -> None:
    platform = Platform()
    platform.answers = {
        "GET /tasks/t1/timings": lambda request, wire: wire.json({"task_id": "t1", "total_duration_ms": 12}),
        "GET /tasks/t1/files": lambda request, wire: wire.json([{"id": "f1", "role": request.query.get("role", "-")}]),
        "DELETE /tasks/t1/files": lambda request, wire: wire.json({"deleted": ["f1"], "skipped": []}),
        "POST /tasks/t1/visibility": lambda request, wire: wire.json({"id": "t1", **request.json}),
        "DELETE /tasks/t1": lambda request, wire: wire.answer(204),
    }
    client, server = meet(platform)
    assert client.tasks.timings("t1").total_duration_ms == 12
    assert [each.role for each in client.tasks.files("t1", role="output")] == ["output"]
    assert [each.role for each in client.tasks.files("t1")] == ["-"]
    assert client.tasks.delete_files("t1").deleted == ["f1"]
    assert client.tasks.set_visibility("t1", "public").visibility == "public"
    client.tasks.delete("t1")
    client.tasks.delete("t1", files=True)
    assert [each.query for each in server.requests[-2:]] == [{}, {"files": "true"}]


# -- being interrupted ---------------------------------------------------------------------------------------------

PROGRAM = """
    import sys
    from agentkit import inference
    inference(base_url=sys.argv[1]).tasks.run({"app": "acme/echo", "input": {}})
"""


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_leaves_a_task_that_is_waited_for_and_ends_the_program(tmp_path: Path) -> None:
    platform = Platform(DONE)
    platform.pauses.clear()
    with meeting("sync", platform) as (_, server):
        script = tmp_path / "program.py"
        script.write_text(textwrap.dedent(PROGRAM))
        environ = {**os.environ, "PYTHONPATH": os.getcwd()}
        program = subprocess.Popen([sys.executable, str(script), server.url], stderr=subprocess.PIPE, env=environ)
        assert platform.was_begun.wait(15)
        time.sleep(0.1)  # for the program to wait for the next line
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=10)
        platform.pauses.set()
    assert b"KeyboardInterrupt" in said
    assert server.count("POST", "/tasks/t1/cancel") == 0


async def test_a_cancelled_run_leaves_its_task_and_closes_its_stream() -> None:
    platform = Platform(DONE)
    platform.pauses.clear()
    with hostile(platform) as server:
        async with AsyncInference(config=ClientConfig(base_url=server.url)) as client:
            with anyio.move_on_after(10) as scope:
                await client.tasks.run(PARAMS, on_update=lambda task: scope.cancel())
        assert scope.cancelled_caught
        platform.pauses.set()
    assert server.count("POST", "/tasks/t1/cancel") == 0


async def test_many_tasks_share_one_async_client() -> None:
    platform = Platform(RUNNING, DONE)
    with hostile(platform) as server:
        async with AsyncInference(config=ClientConfig(base_url=server.url)) as client:
            results: list[Any] = []

            async def run() -> None:
                results.append(await client.tasks.run(PARAMS))

            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(run)
    assert sorted(each.id for each in results) == sorted(f"t{n}" for n in range(1, 21))


async def test_a_loop_that_stops_at_the_result_has_nothing_left_to_close() -> None:
    with hostile(Platform(RUNNING, DONE)) as server:
        async with AsyncInference(config=ClientConfig(base_url=server.url)) as client:
            async for update in await client.tasks.run(PARAMS, stream=True):
                if parse_status(update.get("status")) == TaskStatus.COMPLETED:
                    break
