"""Streams and answers that are not as they should be: the turn ends all the same, and says what was wrong."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from agentkit import tool
from agentkit.errors import (
    AgentKitError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ConnectError,
    InvalidInputError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
    RemoteProtocolError,
    RequirementsNotMetError,
    RunFailedError,
    ServerError,
    SessionExpiredError,
    StreamError,
    TimeoutError,
)
from agentkit.protocol.events import Fault, LinkChanged, TextDelta
from agentkit.protocol.retry import RetryPolicy
from tests.client.hostile import HEARTBEAT, Bad, Hostile, Request, Wire, accepted, chat, event, hostile, message
from tests.client.ways import AGENT, client_of, play

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

RECORD = {"id": "a1", "name": "assistant", "namespace": "acme"}
Meet = Callable[..., tuple[Any, Hostile]]


@pytest.fixture(params=["sync", "asyncio", "trio"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def meet(kind: str) -> Iterator[Meet]:
    """`meet(play, **settings)`: a client and the server that plays."""
    with ExitStack() as stack:

        def open_(play_: Any, **settings: Any) -> tuple[Any, Hostile]:
            server = stack.enter_context(hostile(play_))
            return stack.enter_context(client_of(kind, server.url, **settings)), server

        yield open_


def always(*answers: Callable[[Wire], None]) -> Callable[[Request, Wire], None]:
    """Answers the requests one after the other; the last answer is for all that follow."""
    left = list(answers)

    def answer(request: Request, wire: Wire) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(wire)

    return answer


# -- dialects and errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        RECORD,
        {"success": True, "status": 200, "data": RECORD},
        {"data": RECORD, "messages": []},
        {"success": True, "status": 200, "data": RECORD, "messages": []},
    ],
    ids=["bare", "wrapped", "envelope", "superset"],
)
def test_an_answer_is_understood_in_every_dialect(meet: Meet, body: Any) -> None:
    client, server = meet(always(lambda wire: wire.json(body)))
    assert client.agents.get("acme/assistant").id == "a1"
    assert server.requests[0].headers["x-api-version"] == "2"


PROBLEM = {"type": "https://api.inference.sh/errors/{}", "title": "No", "status": 0, "detail": "not so"}


@pytest.mark.parametrize("shape", ["problem", "wrapped", "text"])
@pytest.mark.parametrize(
    ("status", "kind_of_error"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (402, PaymentRequiredError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (409, ConflictError),
        (422, InvalidInputError),
        (500, ServerError),
    ],
)
def test_an_error_in_any_shape_is_the_right_exception(shape: str, status: int, kind_of_error: Any) -> None:
    shapes: dict[str, tuple[Any, str]] = {
        "problem": ({**PROBLEM, "status": status}, "application/problem+json"),
        "wrapped": (
            {"success": False, "status": status, "error": {"code": "x", "message": "not so"}},
            "application/json",
        ),
        "text": ("not so", "text/plain"),
    }
    body, content_type = shapes[shape]
    once = RetryPolicy(max_attempts=1)
    with (
        hostile(always(lambda wire: wire.json(body, status, Content_Type=content_type))) as server,
        client_of("sync", server.url, retry=once) as client,
        pytest.raises(kind_of_error) as no,
    ):
        client.agents.get("acme/assistant")
    assert no.value.status_code == status
    assert "not so" in str(no.value)


def test_unmet_requirements_are_listed(meet: Meet) -> None:
    missing = {
        "type": "secret",
        "key": "OPENAI_API_KEY",
        "message": "OPENAI_API_KEY is not set",
        "action": {"type": "add_secret"},
    }
    client, _ = meet(always(lambda wire: wire.json({"satisfied": False, "errors": [missing]}, 412)))
    with pytest.raises(RequirementsNotMetError, match="OPENAI_API_KEY is not set") as unmet:
        client.agent(AGENT).run("go")
    (error,) = unmet.value.errors
    assert error.action is not None
    assert (error.key, error.action.type) == ("OPENAI_API_KEY", "add_secret")


def test_an_expired_session_is_its_own_exception(meet: Meet) -> None:
    body = {
        "type": "https://api.inference.sh/errors/SESSION_EXPIRED",
        "title": "Gone",
        "status": 410,
        "detail": "it expired",
    }
    client, _ = meet(always(lambda wire: wire.json(body, 410)))
    with pytest.raises(SessionExpiredError):
        client.agents.get("acme/assistant")


def test_a_page_in_place_of_an_answer_is_named_in_a_sentence(meet: Meet) -> None:
    page = b"<html><head><title>Welcome to the hotel</title></head><body>Accept our terms</body></html>"
    client, _ = meet(always(lambda wire: wire.answer(200, page, "text/html")))
    with pytest.raises(RemoteProtocolError, match="text/html"):
        client.agents.get("acme/assistant")


def test_a_redirect_is_not_followed(meet: Meet) -> None:
    client, server = meet(always(lambda wire: wire.answer(302, b"", Location="http://127.0.0.1:1/elsewhere")))
    with pytest.raises(AgentKitError, match="302"):
        client.agents.get("acme/assistant")
    assert len(server.requests) == 1


def test_headers_without_end_break_off_as_a_connection_that_broke(meet: Meet) -> None:
    client, _ = meet(
        always(lambda wire: wire.answer(200, b"{}", X_Long="x" * 1_000_000)), retry=RetryPolicy(max_attempts=1)
    )
    with pytest.raises(ConnectError):
        client.agents.get("acme/assistant")


# -- trying again --------------------------------------------------------------------------------------------------


def test_a_get_is_tried_again_where_another_answer_may_come(meet: Meet) -> None:
    def broken(wire: Wire) -> None:
        wire.cut()

    client, server = meet(always(lambda wire: wire.json({}, 503), broken, lambda wire: wire.json(RECORD)))
    assert client.agents.get("acme/assistant").id == "a1"
    assert len(server.requests) == 3


def test_retry_after_is_waited_for(meet: Meet) -> None:
    client, server = meet(
        always(lambda wire: wire.json({"detail": "slow down"}, 429, Retry_After="0.4"), lambda wire: wire.json(RECORD))
    )
    assert client.agents.get("acme/assistant").id == "a1"
    first, second = server.requests
    assert second.at - first.at >= 0.4


def test_a_pause_that_is_too_long_is_told_at_once(meet: Meet) -> None:
    client, server = meet(always(lambda wire: wire.json({"detail": "slow down"}, 429, Retry_After="7200")))
    with pytest.raises(RateLimitError) as limited:
        client.agents.get("acme/assistant")
    assert limited.value.retry_after_seconds == 7200
    assert len(server.requests) == 1


@pytest.mark.requirement("turn:no-blind-retry")
def test_without_a_key_a_message_is_never_sent_twice(meet: Meet) -> None:
    def broken(wire: Wire) -> None:
        wire.cut()

    client, server = meet(always(broken), honours_keys=False)
    told = play(client.agent(AGENT))
    assert told.end.outcome == "refused"
    assert told.end.maybe_sent
    assert isinstance(told.error, ConnectError) and told.error.maybe_sent
    assert [request.path for request in server.requests] == ["/agents/run"]
    assert "idempotency-key" not in server.requests[0].headers


def test_with_a_key_a_message_is_sent_again_under_the_same_key(meet: Meet) -> None:
    def post(request: Request, wire: Wire, n: int) -> None:
        wire.cut() if n == 1 else wire.json(accepted())

    def stream(wire: Wire, n: int) -> None:
        wire.begin()
        wire.line(event("chats", chat()), *bad.ending())
        wire.stay()

    bad = Bad(stream, post=post)
    client, server = meet(bad)
    assert play(client.agent(AGENT)).result.text == "Done."
    posts = [request for request in server.requests if request.path == "/agents/run"]
    assert len(posts) == 2
    assert posts[0].headers["idempotency-key"] == posts[1].headers["idempotency-key"]
    assert posts[0].body == posts[1].body


def test_a_wrong_key_is_refused_once(meet: Meet) -> None:
    client, server = meet(always(lambda wire: wire.json({"detail": "who are you"}, 401)), key="inf_wrong")
    with pytest.raises(AuthenticationError):
        client.agent(AGENT).send_message("go")
    assert len(server.requests) == 1
    assert server.requests[0].headers["authorization"] == "Bearer inf_wrong"


def test_nobody_there_is_a_connect_error_that_names_the_place(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with client_of(kind, f"http://127.0.0.1:{port}") as client:
        with pytest.raises(ConnectError, match=str(port)) as nobody:
            client.agent(AGENT).run("go")
        assert not nobody.value.maybe_sent
        with pytest.raises(ConnectError):
            client.agents.get("acme/assistant")


def test_a_name_that_does_not_exist_is_a_connect_error(kind: str) -> None:
    with client_of(kind, "http://nowhere.invalid") as client, pytest.raises(ConnectError, match=r"nowhere\.invalid"):
        client.agents.get("acme/assistant")


def test_a_server_that_never_answers_is_a_timeout(meet: Meet) -> None:
    client, _ = meet(always(lambda wire: wire.stay()), timeout_seconds=0.1, retry=RetryPolicy(max_attempts=1))
    with pytest.raises(TimeoutError, match=r"0\.1 s"):
        client.agents.get("acme/assistant")


def test_an_accepted_message_without_a_chat_is_a_broken_platform(meet: Meet) -> None:
    client, _ = meet(always(lambda wire: wire.json({"assistant_message": {"id": "m1"}})))
    with pytest.raises(RunFailedError, match="chat_id") as broken:
        client.agent(AGENT).run("go")
    assert broken.value.maybe_sent


# -- the stream ----------------------------------------------------------------------------------------------------


def faults(told: Any) -> list[str]:
    """The reasons of the stream's faults."""
    return [each.error.reason for each in told.of(Fault) if isinstance(each.error, StreamError)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"event": "chats", "data": {"id": "c1", \n', "bad_line"),
        (b"\xff\xfe not utf-8\n", "bad_line"),
        (b"[1, 2, 3]\n", "bad_line"),
        (b"<html>the proxy is tired</html>\n", "bad_line"),
        (b'{"event": "chat_messages", "data": {"id": "' + b"x" * 50_000 + b'"}}\n', "too_long"),
    ],
    ids=["half", "bytes", "array", "page", "long"],
)
def test_a_line_that_cannot_be_read_is_told_and_made_good_by_a_fetch(meet: Meet, line: bytes, reason: str) -> None:
    """The unreadable line was the last message; the stream then says idle, and never says the message again."""

    def stream(wire: Wire, n: int) -> None:
        wire.begin()
        wire.line(event("chats", chat()))
        assert bad.was_fetched.wait(5)
        wire.line(line)
        bad.is_over.set()
        wire.line(event("chats", chat("idle")))
        wire.stay()

    bad = Bad(stream, text="What the line said.")
    client, _ = meet(bad, max_line_bytes=20_000)
    told = play(client.agent(AGENT))
    assert faults(told) == [reason]
    assert told.end.outcome == "completed"
    assert told.result.text == "What the line said."


def test_forty_megabytes_in_one_line_neither_kill_nor_stall_the_turn(kind: str) -> None:
    def stream(wire: Wire, n: int) -> None:
        wire.begin()
        wire.line(event("chats", chat()))
        for _ in range(40):
            wire.chunk(b"x" * 1_048_576)
        bad.is_over.set()
        wire.line(b"\n")
        wire.stay()

    bad = Bad(stream)
    with hostile(bad) as server, client_of(kind, server.url) as client:
        told = play(client.agent(AGENT))
    assert faults(told) == ["too_long"]
    assert told.result.text == "Done."


@pytest.mark.requirement("turn:reconnect")
def test_a_stream_cut_inside_a_line_is_opened_again(meet: Meet) -> None:
    def stream(wire: Wire, n: int) -> None:
        wire.begin()
        if n == 1:
            wire.line(event("chats", chat()), b'{"event": "chat_messages", "da')
            wire.cut()
        wire.line(event("chats", chat()), *bad.ending())
        wire.stay()

    bad = Bad(stream)
    client, server = meet(bad)
    told = play(client.agent(AGENT))
    assert told.result.text == "Done."
    assert server.count("GET", "/chats/c1/stream") == 2
    assert [each.state for each in told.of(LinkChanged)][:4] == ["connecting", "live", "backoff", "connecting"]


def test_a_stream_that_ends_in_the_middle_is_opened_again(meet: Meet) -> None:
    def stream(wire: Wire, n: int) -> None:
        wire.begin()
        wire.line(event("chats", chat()))
        if n == 1:
            wire.end()
            return
        wire.line(*bad.ending())
        wire.stay()

    bad = Bad(stream)
    client, _ = meet(bad)
    assert play(client.agent(AGENT)).result.text == "Done."


def test_a_run_that_ended_while_the_stream_was_down_is_found_by_a_fetch(meet: Meet) -> None:
    def stream(wire: Wire, n: int) -> None:
        wire.begin()
        if n == 1:
            wire.line(event("chats", chat()))
            bad.is_over.set()
            wire.cut()
        wire.line(HEARTBEAT)
        wire.stay()

    bad = Bad(stream)
    client, _ = meet(bad)
    assert play(client.agent(AGENT)).result.text == "Done."


def test_a_silent_stream_is_doubted_and_a_fetch_ends_the_turn(meet: Meet) -> None:
    def stream(wire: Wire, n: int) -> None:
        wire.begin()
        wire.line(event("chats", chat()))
        assert bad.was_fetched.wait(5)
        bad.is_over.set()
        wire.stay()

    bad = Bad(stream)
    client, server = meet(bad, quiet_seconds=0.15)
    told = play(client.agent(AGENT))
    assert told.result.text == "Done."
    assert "silent" in [each.state for each in told.of(LinkChanged)]
    assert server.count("GET", "/chats/c1/stream") == 1


def test_a_stream_that_stays_silent_is_given_up_and_opened_again(meet: Meet) -> None:
    def stream(wire: Wire, n: int) -> None:
        wire.begin()
        if n == 1:
            wire.line(event("chats", chat()))
            wire.stay()
        wire.line(event("chats", chat()), *bad.ending())
        wire.stay()

    bad = Bad(stream)
    client, _ = meet(bad, quiet_seconds=0.1)
    assert play(client.agent(AGENT)).result.text == "Done."
    assert bad.streams == 2


def test_a_stream_whose_head_never_comes_is_given_up_and_opened_again(meet: Meet) -> None:
    def stream(wire: Wire, n: int) -> None:
        if n == 1:
            wire.stay()
        wire.begin()
        wire.line(event("chats", chat()), *bad.ending())
        wire.stay()

    bad = Bad(stream)
    client, _ = meet(bad, quiet_seconds=0.1)
    assert play(client.agent(AGENT)).result.text == "Done."
    assert bad.streams == 2


@pytest.mark.requirement("turn:poll-fallback")
@pytest.mark.parametrize("refusal", ["html", "405"])
def test_where_no_stream_can_be_had_the_turn_goes_on_by_polling(meet: Meet, refusal: str) -> None:
    def stream(wire: Wire, n: int) -> None:
        bad.is_over.set()
        if refusal == "html":
            wire.answer(200, b"<html>No streams here</html>", "text/html")
        else:
            wire.json({"detail": "no streams here"}, 405)

    bad = Bad(stream)
    client, _ = meet(bad, poll_seconds=0.02)
    told = play(client.agent(AGENT))
    assert told.result.text == "Done."
    assert "polling" in [each.state for each in told.of(LinkChanged)]
    assert bad.streams == 1


def test_events_heard_twice_are_told_once(meet: Meet) -> None:
    growing = [
        event("chat_messages", message("a-r1", "pending", text), id=n) for n, text in enumerate(["On", "One"], 2)
    ]

    def stream(wire: Wire, n: int) -> None:
        wire.begin()
        assert bad.was_fetched.wait(5)
        wire.line(event("chats", chat(), id=1), *growing, *growing, event("chats", chat(), id=1))
        first, last = bad.ending()
        wire.line({**first, "id": 4}, {**first, "id": 4}, {**last, "id": 5}, {**last, "id": 5})
        wire.stay()

    bad = Bad(stream, text="One two.")
    client, _ = meet(bad)
    told = play(client.agent(AGENT))
    assert told.texts() == {"a-r1": "One two."}
    assert [each.text for each in told.of(TextDelta)] == ["On", "e", " two."]


@pytest.mark.requirement("turn:stale-idle")
def test_the_idle_snapshot_of_the_previous_turn_does_not_end_this_one(meet: Meet) -> None:
    old = [event("chat_messages", message("a-r1", "ready", "Old.")), event("chats", chat("idle"))]

    def stream(wire: Wire, n: int) -> None:
        wire.begin()
        wire.line(*old)
        if n == 1:
            return wire.stay()
        posted.wait(5)
        wire.line(event("chats", chat(run="r2")))
        wire.line(event("chat_messages", message("a-r2", "ready", "New.", order=3, run="r2")))
        wire.line(event("chats", chat("idle", run="r2")))
        return wire.stay()

    def post(request: Request, wire: Wire, n: int) -> None:
        wire.json(accepted() if n == 1 else accepted("r2", order=2))
        if n == 2:
            posted.set()

    posted = threading.Event()
    bad = Bad(stream, post=post, text="Old.")
    bad.is_over.set()
    client, _ = meet(bad)
    agent = client.agent(AGENT)
    assert play(agent).result.text == "Old."
    told = play(agent)
    assert told.result.text == "New."
    assert told.texts() == {"a-r2": "New."}
    assert set(told.messages()) == {"a-r2"}


@pytest.mark.requirement("turn:listen-first")
def test_for_a_known_chat_the_stream_is_open_before_the_message_is_sent(meet: Meet) -> None:
    def stream(wire: Wire, n: int) -> None:
        wire.begin()
        if n == 1:
            wire.line(*bad.ending())
        else:
            wire.line(HEARTBEAT)
            posted.wait(5)
            wire.line(event("chats", chat(run="r2")))
            wire.line(event("chat_messages", message("a-r2", "ready", "Two.", order=3, run="r2")))
            wire.line(event("chats", chat("idle", run="r2")))
        wire.stay()

    def post(request: Request, wire: Wire, n: int) -> None:
        wire.json(accepted() if n == 1 else accepted("r2", order=2))
        if n == 2:
            posted.set()

    posted = threading.Event()
    bad = Bad(stream, post=post)
    client, server = meet(bad)
    agent = client.agent(AGENT)
    play(agent)
    seen = len(server.requests)
    assert play(agent).result.text == "Two."
    second = [(request.method, request.path) for request in server.requests[seen:]]
    assert second.index(("GET", "/chats/c1/stream")) < second.index(("POST", "/agents/run"))


@pytest.mark.requirement("turn:late-ack")
def test_a_run_that_ends_before_its_post_answers_still_ends_the_turn(meet: Meet) -> None:
    told_all = threading.Event()

    def stream(wire: Wire, n: int) -> None:
        wire.begin()
        if n == 1:
            wire.line(*bad.ending())
            wire.stay()
        wire.line(event("chats", chat("idle")))
        asked.wait(5)
        wire.line(event("chats", chat(run="r2")))
        wire.line(event("chat_messages", message("a-r2", "ready", "Two.", order=3, run="r2")))
        wire.line(event("chats", chat("idle", run="r2")))
        told_all.set()
        wire.stay()

    def post(request: Request, wire: Wire, n: int) -> None:
        if n == 2:
            asked.set()
            assert told_all.wait(5)
        wire.json(accepted() if n == 1 else accepted("r2", order=2))

    asked = threading.Event()
    bad = Bad(stream, post=post, text="One.")
    client, _ = meet(bad)
    agent = client.agent(AGENT)
    assert play(agent).result.text == "One."
    told = play(agent)
    assert (told.end.outcome, told.result.text) == ("completed", "Two.")


@pytest.mark.requirement("turn:handler-once")
def test_a_handler_runs_once_however_often_its_call_is_replayed(meet: Meet) -> None:
    """The call is told twice, told again after a reconnect, fetched, and told again in the next turn."""
    function = {"name": "add", "arguments": {}}
    call = {"id": "i1", "type": "client", "status": "awaiting_input", "function": function}
    waiting = event("chat_messages", message("a-r1", "ready", tool_invocations=[call]))
    ran: list[Any] = []

    def stream(wire: Wire, n: int) -> None:
        wire.begin()
        if n == 3:  # the second turn; the platform still tells of the first one's call
            wire.line(waiting, event("chats", chat("idle")))
            assert posted.wait(5)
            wire.line(waiting, event("chats", chat(run="r2")))
            wire.line(event("chat_messages", message("a-r2", "ready", "Two.", order=3, run="r2")))
            wire.line(event("chats", chat("idle", run="r2")))
            wire.stay()
        wire.line(event("chats", chat()), waiting, waiting)
        assert bad.was_answered.wait(5)
        if n == 1:
            wire.cut()
        wire.line(*bad.ending())
        wire.stay()

    def post(request: Request, wire: Wire, n: int) -> None:
        wire.json(accepted() if n == 1 else accepted("r2", order=2))
        if n == 2:
            posted.set()

    posted = threading.Event()
    bad = Bad(stream, post=post)
    client, server = meet(bad)
    agent = client.agent({**AGENT, "tools": [tool("add").describe("Adds").handler(ran.append)]})
    assert play(agent).result.text == "Done."
    assert play(agent).result.text == "Two."
    assert ran == [{}]
    assert server.count("POST", "/tools/i1") == 1


def test_a_chat_that_is_forbidden_while_we_listen_ends_the_turn_as_lost(meet: Meet) -> None:
    def stream(wire: Wire, n: int) -> None:
        wire.json({"detail": "not yours"}, 403)

    client, _ = meet(Bad(stream))
    told = play(client.agent(AGENT))
    assert told.end.outcome == "lost"
    assert "not yours" in str(told.error)
