"""The chat-completions adapter against a real server on a loopback port, on asyncio and trio."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import ConfigError, ModelError, ModelNotFoundError, ModelRefusedError
from agentkit.protocol.retry import RetryPolicy
from agentkit.runtime.models._completions import Quirks, request_body
from agentkit.runtime.models.openai import QUIRKS, OpenAI, provide
from agentkit.runtime.ports import ModelCall, ModelMessage, ModelRequest
from tests.runtime.models.asking import Said, ask, said, tool
from tests.runtime.models.completions_server import DONE, Answer, Hangup, Server, Stream, Whole, chunk, event, serving

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

KEY = "sk-test-0123456789abcdef"
HELLO = ask("hello", model="gpt-x", prompt="Be brief.")
NO_PAUSE = RetryPolicy(max_attempts=3, first_seconds=0.0, max_wait_seconds=2.0)
HI = Stream([chunk(content="Hel"), chunk(content="lo"), chunk("stop"), DONE])


@asynccontextmanager
async def talking(*answers: Answer, **options: Any) -> AsyncIterator[tuple[OpenAI, Server]]:
    """A model and the server it talks to."""
    with serving(*answers) as server:
        model = OpenAI(base_url=server.url, api_key=KEY, **{"retry": NO_PAUSE, **options})
        try:
            with anyio.fail_after(15):
                yield model, server
        finally:
            await model.aclose()


async def told(*answers: Answer, **options: Any) -> Said:
    async with talking(*answers, **options) as (model, _):
        return await said(model, HELLO)


# -- a good answer -------------------------------------------------------------------------------------------------


async def test_text_comes_piece_by_piece_and_usage_last():
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "total_tokens": 11,
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    tail = event({"choices": [], "usage": usage})
    answer = await told(
        Stream(
            [chunk(role="assistant", content=""), chunk(content="Hel"), chunk(content="lo"), chunk("stop"), tail, DONE]
        )
    )
    assert (answer.text, answer.deltas) == ("Hello", 3)
    assert answer.usage == {
        "stop_reason": "stop",
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "total_tokens": 11,
        "reasoning_tokens": 1,
    }


async def test_a_server_without_usage_is_tolerated():
    assert (await told(HI)).usage == {"stop_reason": "stop"}


async def test_the_arguments_of_two_calls_are_put_together_by_index():
    def call(index: int, **more: Any) -> str:
        return chunk(tool_calls=[{"index": index, **more}])

    answer = await told(
        Stream(
            [
                call(0, id="a", type="function", function={"name": "weather", "arguments": ""}),
                call(0, function={"arguments": '{"ci'}),
                call(1, id="b", type="function", function={"name": "finish", "arguments": '{"x":'}),
                call(0, function={"arguments": 'ty":"Paris"}'}),
                call(1, function={"arguments": "1}"}),
                chunk("tool_calls"),
                DONE,
            ]
        )
    )
    assert answer.calls == [("weather", {"city": "Paris"}), ("finish", {"x": 1})]
    assert answer.ids == ["a", "b"]
    assert answer.usage["stop_reason"] == "tool_calls"


async def test_calls_without_an_index_are_told_apart_by_their_ids():
    calls = [
        chunk(tool_calls=[{"id": "a", "function": {"name": "one", "arguments": '{"x":1}'}}]),
        chunk(tool_calls=[{"id": "b", "function": {"name": "two", "arguments": {"y": 2}}}]),
    ]
    answer = await told(Stream([*calls, chunk("tool_calls"), DONE]))
    assert answer.calls == [("one", {"x": 1}), ("two", {"y": 2})]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_is_kept_apart_from_the_text(field: str):
    answer = await told(
        Stream([chunk(**{field: "hm, "}), chunk(**{field: "yes"}), chunk(content="Yes"), chunk("stop"), DONE])
    )
    assert (answer.reasoning, answer.text) == ("hm, yes", "Yes")


async def test_an_answer_that_was_too_long_says_so():
    assert (await told(Stream([chunk(content="Once"), chunk("length"), DONE]))).usage["stop_reason"] == "length"


async def test_a_server_that_does_not_stream_is_understood():
    message = {
        "content": "Hello",
        "reasoning_content": "hm",
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "w", "arguments": '{"x":1}'}}],
    }
    answer = await told(
        Whole({"choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": {"total_tokens": 3}})
    )
    assert (answer.text, answer.reasoning, answer.calls) == ("Hello", "hm", [("w", {"x": 1})])
    assert answer.usage == {"stop_reason": "tool_calls", "total_tokens": 3}


ODD = "".join(
    ["\ufeff", ": ping\r\n\r\n", "event: message\r\n", chunk(content="Grüße 👋"), ": ping\n\n", chunk("stop"), DONE]
).encode()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_cuts_anywhere_and_keepalives_change_nothing(size: int):
    pieces = [ODD[start : start + size] for start in range(0, len(ODD), size)]
    assert (await told(Stream(pieces))).text == "Grüße 👋"


async def test_a_stream_may_end_without_the_done_mark():
    assert (await told(Stream([chunk(content="Hello"), chunk("stop")]))).text == "Hello"


async def test_connections_are_used_again():
    async with talking(HI, HI, HI) as (model, server):
        for _ in range(3):
            await said(model, HELLO)
        assert len(server.ports) == 1


async def test_deltas_are_handed_on_as_they_come():
    hold = threading.Event()
    async with talking(Stream([chunk(content="first"), chunk("stop") + DONE], hold=hold)) as (model, _):
        stream = model.stream(HELLO)
        assert (await anext(stream)).response == "first"  # the server has not sent the rest
        hold.set()
        assert [delta.usage async for delta in stream] == [{"stop_reason": "stop"}]


# -- the request ---------------------------------------------------------------------------------------------------


async def test_the_request_is_a_streamed_chat_completion_with_the_key():
    async with talking(HI) as (model, server):
        await said(model, HELLO)
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert server.bodies[0] == {
        "model": "gpt-x",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_without_a_key_none_is_sent():
    with serving(HI) as server:
        model = OpenAI(base_url=server.url)
        await said(model, HELLO)
        await model.aclose()
    assert "authorization" not in server.headers[0]


def test_a_conversation_with_calls_results_images_and_files_is_written_down():
    weather = tool("weather", "The weather", city={"type": "string"})
    request = ModelRequest(
        "gpt-x",
        "",
        [
            ModelMessage(
                "user", "Look", images=["https://x/a.png"], files=["data:application/pdf;base64,AA==", "https://x/b"]
            ),
            ModelMessage("assistant", "", calls=[ModelCall("c1", "weather", {"city": "Zürich"})]),
            ModelMessage("tool", "18", call_id="c1"),
            ModelMessage("assistant", "It is 18."),
        ],
        [weather],
        output_schema={"type": "object"},
    )
    body = request_body(request, QUIRKS["openai"])
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {"url": "https://x/a.png"}},
                {"type": "file", "file": {"filename": "file.pdf", "file_data": "data:application/pdf;base64,AA=="}},
                {"type": "text", "text": "[file: https://x/b]"},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Zürich"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "18"},
        {"role": "assistant", "content": "It is 18."},
    ]
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "weather", "description": "The weather", "parameters": weather.parameters},
        }
    ]
    assert "response_format" not in body


def test_a_file_is_named_where_the_server_takes_none():
    [message] = request_body(ModelRequest("m", "", [ModelMessage("user", "", files=["data:x/y;base64,A"])]), Quirks())[
        "messages"
    ]
    assert message["content"] == [{"type": "text", "text": "[a file that cannot be shown]"}]


def test_an_output_schema_without_tools_is_a_response_format():
    body = request_body(ask("hi", output_schema={"type": "object"}), Quirks())
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "output", "schema": {"type": "object"}},
    }


@pytest.mark.parametrize(
    ("quirks", "model", "sent"),
    [
        ("openai", "gpt-4.1", {"temperature": 0, "top_p": 0.5, "max_completion_tokens": 9, "seed": 1, "extra": True}),
        ("openai", "gpt-5-mini", {"max_completion_tokens": 9, "seed": 1, "extra": True}),
        ("compatible", "gpt-5-mini", {"temperature": 0, "top_p": 0.5, "max_tokens": 9, "seed": 1, "extra": True}),
    ],
)
def test_settings_go_by_the_names_and_limits_of_the_server(quirks: str, model: str, sent: dict[str, Any]):
    settings = {
        "temperature": 0,
        "top_p": 0.5,
        "max_tokens": 9,
        "seed": 1,
        "context_size": 4096,
        "extra_body": {"extra": True},
    }
    body = request_body(ask("hi", model=model, settings=settings), QUIRKS[quirks])
    assert {
        name: value for name, value in body.items() if name not in ("model", "messages", "stream", "stream_options")
    } == sent


@given(st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text(max_size=8)))
def test_no_setting_overwrites_the_conversation(settings: dict[str, Any]):
    body = request_body(ask("hi", settings=settings), Quirks())
    assert (body["model"], body["stream"], body["messages"][-1]["content"]) == ("extract", True, "hi")


# -- sending again -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        Whole({"error": {"message": "slow down"}}, 429),
        Whole({"error": {"message": "slow down"}}, 429, headers={"Retry-After": "0"}),
        Whole({"error": {"message": "slow down"}}, 429, headers={"retry-after-ms": "5"}),
        Whole("<h1>Bad gateway</h1>", 502, "text/html"),
        Whole({}, 408),
        Hangup(),
        Stream([": ping\n\n"], cut=True),
        Stream([chunk(role="assistant")]),
    ],
    ids=["429", "429 after 0", "429 after ms", "502", "408", "hangup", "cut", "empty"],
)
async def test_what_fails_before_the_first_token_is_sent_again(failure: Answer):
    async with talking(failure, HI) as (model, server):
        assert (await said(model, HELLO)).text == "Hello"
        assert server.bodies[0] == server.bodies[1]


async def test_a_retry_after_is_waited_for():
    busy = Whole({}, 429, headers={"Retry-After": "0.2"})
    async with talking(busy, HI) as (model, _):
        begun = time.monotonic()
        await said(model, HELLO)
        assert time.monotonic() - begun >= 0.2


@pytest.mark.parametrize("after", ["3600", formatdate(time.time() + 3600, usegmt=True)], ids=["seconds", "date"])
async def test_a_retry_after_beyond_the_cap_is_the_callers_to_wait_for(after: str):
    async with talking(Whole({"error": {"message": "later"}}, 429, headers={"Retry-After": after})) as (model, server):
        with pytest.raises(ModelError, match="HTTP 429: later") as caught:
            await said(model, HELLO)
        assert (caught.value.retryable, caught.value.status_code, len(server.bodies)) == (True, 429, 1)


async def test_the_attempts_are_counted():
    async with talking(*[Whole({"error": "no"}, 503)] * 4) as (model, server):
        with pytest.raises(ModelError, match="HTTP 503: no") as caught:
            await said(model, HELLO)
        assert (caught.value.retryable, len(server.bodies)) == (True, 3)


async def test_nobody_there_is_an_error_that_may_be_tried_again():
    with serving() as server:
        pass
    model = OpenAI(base_url=server.url, retry=NO_PAUSE)
    with pytest.raises(ModelError, match=r"no answer from http://127.0.0.1:\d+/v1 \(ConnectError") as caught:
        await said(model, HELLO)
    await model.aclose()
    assert caught.value.retryable


async def test_a_silent_server_is_asked_once():
    hold = threading.Event()
    async with talking(Stream(["", DONE], hold=hold), HI, timeout=httpx.Timeout(0.3)) as (model, server):
        with pytest.raises(ModelError, match="ReadTimeout") as caught:
            await said(model, HELLO)
        hold.set()
        assert (caught.value.retryable, len(server.bodies)) == (True, 1)


# -- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (Whole({"error": {"message": "bad schema"}}, 400), ModelError, "openai: HTTP 400: bad schema"),
        (Whole({"error": {"message": "no key"}}, 401), ModelError, "HTTP 401: no key; check OPENAI_API_KEY"),
        (
            Whole({"error": {"message": "no such model"}}, 404),
            ModelNotFoundError,
            "no such model .model 'gpt-x' at http",
        ),
        (Whole({"detail": "nope"}, 422), ModelError, "HTTP 422: nope"),
        (Whole("<html><b>Go</b> away</html>", 403, "text/html"), ModelError, "HTTP 403: Go away; the key may not"),
        (Whole("", 501, "text/plain"), ModelError, "HTTP 501: Not Implemented"),
        (Whole("", 302, headers={"Location": "http://127.0.0.1:1/"}), ModelError, "HTTP 302: Found"),
        (Whole({"error": {"message": "filtered", "code": "content_filter"}}, 400), ModelRefusedError, "filtered"),
        (Whole({"error": {"message": "pay", "code": "insufficient_quota"}}, 429), ModelError, "HTTP 429: pay"),
        (Whole("hello", content_type="text/plain"), ModelError, "expected an event stream .* got text/plain: 'hello'"),
        (Whole({"ok": True}), ModelError, "expected an event stream or JSON with choices, got application/json"),
        (Stream([event({"error": {"message": "out of memory"}}), DONE]), ModelError, "broke off: out of memory"),
        (Stream(["data: {oops\n\n", DONE]), ModelError, "a chunk that cannot be read"),
        (Stream(["data: [1]\n\n", DONE]), ModelError, "sent a list where a chunk belongs"),
        (
            Stream([chunk(refusal="I can"), chunk("stop", refusal="not"), DONE]),
            ModelRefusedError,
            "declined to answer: I cannot",
        ),
        (Stream([chunk("content_filter"), DONE]), ModelRefusedError, "content filter"),
    ],
)
async def test_what_will_not_get_better_is_not_sent_again(answer: Answer, kind: type[ModelError], message: str):
    async with talking(answer, HI) as (model, server):
        with pytest.raises(kind, match=message) as caught:
            await said(model, HELLO)
        assert type(caught.value) is kind
        assert (caught.value.retryable, len(server.bodies)) == (False, 1)


@pytest.mark.parametrize(
    "answer",
    [
        Stream([chunk(content="Hel")], cut=True),
        Stream([chunk(content="Hel")]),
        Stream([chunk(content="Hel"), 'data: {"cho']),
        Stream([chunk(content="Hel"), event({"error": {"message": "crashed"}})]),
    ],
    ids=["line dropped", "no end", "half a chunk", "error"],
)
async def test_an_answer_that_breaks_off_is_an_error_and_is_not_sent_again(answer: Answer):
    async with talking(answer, HI) as (model, server):
        got: list[str | None] = []
        with pytest.raises(ModelError, match="broke off") as caught:
            async for delta in model.stream(HELLO):
                got.append(delta.response)
        assert got == ["Hel"]
        assert (caught.value.retryable, len(server.bodies)) == (False, 1)


@pytest.mark.parametrize(
    "answer",
    [
        Whole({"error": {"message": f"Incorrect API key provided: {KEY}"}}, 401),
        Whole({"error": {"message": "Incorrect API key provided: sk-test***cdef"}}, 401),
        Stream([event({"error": {"message": f"who is {KEY}?"}})]),
    ],
)
async def test_the_key_is_in_no_error(answer: Answer):
    with pytest.raises(ModelError) as caught:
        await told(answer)
    assert "***" in str(caught.value)
    assert "sk-" not in str(caught.value)


def test_the_key_is_in_no_repr():
    assert repr(OpenAI(api_key=KEY)) == "OpenAI('openai', base_url='https://api.openai.com/v1', key=set)"


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://x/v1", "http://"])
def test_a_base_url_that_is_none_is_refused_at_once(url: str):
    with pytest.raises(ConfigError, match=r"openai: the base URL .* write it as http://host:port/v1"):
        provide({"OPENAI_BASE_URL": url})


# -- leaving -------------------------------------------------------------------------------------------------------


async def test_leaving_in_the_middle_closes_the_connection():
    hold = threading.Event()
    async with talking(Stream([chunk(content="Hel"), chunk("stop") * 20_000], hold=hold)) as (model, server):
        stream = model.stream(HELLO)
        assert (await anext(stream)).response == "Hel"
        await stream.aclose()
        hold.set()
        assert await anyio.to_thread.run_sync(server.gone.wait, 5)


async def test_a_cancelled_answer_leaves_at_once():
    hold = threading.Event()
    async with talking(Stream(["", chunk("stop") * 20_000], hold=hold)) as (model, server):
        with anyio.move_on_after(0.3) as scope:
            await said(model, HELLO)
        assert scope.cancelled_caught
        hold.set()
        assert await anyio.to_thread.run_sync(server.gone.wait, 5)


async def test_a_client_that_was_handed_in_stays_open():
    with serving(HI) as server:
        async with httpx.AsyncClient() as client:
            model = OpenAI(base_url=server.url, client=client)
            await said(model, HELLO)
            await model.aclose()
            assert not client.is_closed


@pytest.mark.parametrize("key", ["k\u00e9y-secret", "two keys-secret", "key\r\nX-Injected: secret"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(key: str):
    with pytest.raises(ConfigError, match="API key") as refused:
        OpenAI(api_key=key)
    assert "secret" not in str(refused.value)
