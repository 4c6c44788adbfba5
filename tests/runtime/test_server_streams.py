"""Streams through a real socket (protocol.md 1.7, 2.6, 6.4)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import httpx
import pytest

from agentkit.runtime import streams
from agentkit.runtime.streams import OpenStreams, Stream, format_for
from agentkit.testing import gate
from agentkit.wire import ChatMessageRole
from tests.runtime.serving import BARE, KEY, LINES, RawStream, Served, events, in_process, message, served

ODD = "naïve \N{LINE SEPARATOR}\N{NEXT LINE}\v 🦆"


def _run(server: Served, text: str = "hi", **more: Any) -> dict[str, Any]:
    """The assistant message that POST /agents/run answers with."""
    return dict(
        httpx.post(f"{server.url}/agents/run", json=message(text, **more), headers=BARE).json()["assistant_message"]
    )


def _lines(server: Served, chat_id: str, query: str = "", **headers: str) -> RawStream:
    return RawStream.open(
        server.port, f"/chats/{chat_id}/stream{query}", **{"Accept": "application/x-ndjson", **headers}
    )


# -- how it travels ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("stream:chunk-per-line")
@pytest.mark.requirement("stream:no-charset")
@pytest.mark.requirement("stream:ascii")
def test_every_line_is_one_chunk_of_ascii_with_its_line_end() -> None:
    with served(ODD) as server:
        chat_id = _run(server, ODD)["chat_id"]
        with _lines(server, chat_id) as stream:
            chunks = stream.chunks_until(lambda chunk: b'"idle"' in chunk)
            headers = stream.headers
    assert (headers["content-type"], headers["transfer-encoding"]) == ("application/x-ndjson", "chunked")
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-cache", "no")
    assert "content-encoding" not in headers
    for chunk in chunks:
        assert chunk.isascii() and chunk.endswith(b"\n") and chunk.count(b"\n") == 1
        assert isinstance(json.loads(chunk), dict)
    whole = [json.loads(chunk)["data"] for chunk in chunks if b'"ready"' in chunk]
    assert whole[-1]["content"][0]["text"] == ODD


@pytest.mark.requirement("stream:first-bytes")
def test_a_stream_answers_at_once_though_the_idle_snapshot_waits() -> None:
    with served("one") as server:
        chat_id = _run(server)["chat_id"]
        with _lines(server, chat_id) as stream:
            stream.items_until("chats", status="idle")
        with _lines(server, chat_id) as stream:
            stream.connection.settimeout(0.4)  # the snapshot comes after 0.5 s
            assert stream.chunk() == b'{"type":"heartbeat"}\n'


@pytest.mark.parametrize("path", ["/interrupts/stream", "/chats/{chat_id}/stream"], ids=["inbox", "chat"])
def test_a_stream_ends_in_good_order_with_the_key_that_opened_it(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "RECHECK_SECONDS", 0.05)
    with served("one", keys=[KEY]) as server:
        mine = {**BARE, "Authorization": f"Bearer {KEY}"}
        made = httpx.post(f"{server.url}/apikeys", json={"name": "ann"}, headers=mine).json()
        begun = httpx.post(f"{server.url}/agents/run", json=message(), headers=mine).json()
        path = path.format(chat_id=begun["assistant_message"]["chat_id"])
        accepts = {"Accept": "application/x-ndjson"}
        with (
            RawStream.open(server.port, path, **accepts, Authorization=f"Bearer {made['key']}") as theirs,
            RawStream.open(server.port, path, **accepts, Authorization=f"Bearer {KEY}") as ours,
        ):
            assert (theirs.status, ours.status) == (200, 200)
            server.wait(server.until_streams(2))
            assert httpx.delete(f"{server.url}/apikeys/{made['id']}", headers=mine).is_success
            theirs.chunks_until(lambda chunk: False)  # to its regular end
            server.wait(server.until_streams(1))
            chat = httpx.post(f"{server.url}/agents/run", json=message(), headers=mine).json()
            assert chat["assistant_message"]["id"]
            assert ours.chunk()


@pytest.mark.requirement("stream:error-one-line")
@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/event-stream"])
def test_an_error_instead_of_a_stream_is_json_on_one_line(accept: str) -> None:
    with served() as server:
        bare = httpx.get(f"{server.url}/chats/nope/stream", headers={**BARE, "Accept": accept})
        enveloped = httpx.get(f"{server.url}/chats/nope/stream", headers={"Accept": accept})
    assert (bare.status_code, bare.headers["content-type"]) == (404, "application/problem+json")
    assert (enveloped.status_code, enveloped.headers["content-type"]) == (404, "application/json")
    assert b"\n" not in bare.content + enveloped.content


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/x-ndjson", "application/x-ndjson"),
        ("application/jsonl", "application/jsonl"),
        ("application/x-ndjson; q=0.9, */*", "application/x-ndjson"),
        ("text/event-stream, application/x-ndjson", "text/event-stream"),
        ("text/event-stream", "text/event-stream"),
        ("*/*", "text/event-stream"),
        ("", "text/event-stream"),
    ],
)
def test_the_accept_header_chooses_the_format(accept: str, media_type: str) -> None:
    assert format_for(accept).media_type == media_type


def test_server_sent_events_have_id_event_data_and_comments_for_heartbeats() -> None:
    with served("one") as server:
        chat_id = _run(server)["chat_id"]
        with RawStream.open(server.port, f"/chats/{chat_id}/stream?after=0", Accept="text/event-stream") as stream:
            chunks = stream.chunks_until(lambda chunk: b'"idle"' in chunk)
    assert stream.headers["content-type"] == "text/event-stream"
    assert chunks[0] == b":\n\n"
    first = chunks[1].decode().split("\n")
    assert first[:2] == ["id: 1", "event: chats"]
    assert json.loads(first[2].removeprefix("data: "))["status"] == "busy"
    assert all(chunk.endswith(b"\n\n") for chunk in chunks)


# -- cursors -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("stream:cursor")
@pytest.mark.parametrize("form", ["query", "header"])
def test_a_stream_taken_up_at_any_cursor_neither_loses_nor_repeats(form: str) -> None:
    with served("one") as server:
        chat_id = _run(server)["chat_id"]
        with _lines(server, chat_id, "?after=0") as stream:
            everything = [each for each in stream.items_until("chats", status="idle") if "id" in each]
        assert [each["id"] for each in everything] == list(range(1, len(everything) + 1))
        for cursor in range(len(everything)):
            query, headers = ("", {"Last_Event_ID": str(cursor)}) if form == "header" else (f"?after={cursor}", {})
            with _lines(server, chat_id, query, **headers) as stream:
                rest = [each for each in stream.items_until("chats", status="idle") if "id" in each]
            assert rest == everything[cursor:]


@pytest.mark.requirement("stream:old-cursor")
@pytest.mark.parametrize("cursor", ["999999", "12345678901234567"])
def test_a_cursor_the_log_does_not_hold_is_answered_with_a_snapshot(cursor: str) -> None:
    with served("one") as server:
        chat_id = _run(server)["chat_id"]
        with _lines(server, chat_id, f"?after={cursor}") as stream:
            items = stream.items_until("chats", status="idle")
    assert ("chat_messages", "ready") in events(items)
    assert isinstance(items[-1]["id"], int)


@pytest.mark.parametrize("cursor", ["-1", "x", "1.5", "٣"])
def test_a_cursor_that_is_no_number_is_refused(cursor: str) -> None:
    with served("one") as server:
        chat_id = _run(server)["chat_id"]
        response = httpx.get(f"{server.url}/chats/{chat_id}/stream", params={"after": cursor}, headers=LINES)
    assert response.status_code == 400
    assert "after is a whole number" in response.json()["detail"]


def test_a_last_event_id_that_is_not_ours_gets_a_snapshot() -> None:
    with served("one") as server:
        chat_id = _run(server)["chat_id"]
        with _lines(server, chat_id, Last_Event_ID="abc") as stream:
            assert events(stream.items_until("chats", status="idle"))[-1] == ("chats", "idle")


# -- ends ----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio_only  # the server under test runs on asyncio
async def test_a_client_that_hangs_up_leaves_no_stream_behind() -> None:
    hold = gate()
    with served(["a", hold]) as server:
        chat_id = (await asyncio.to_thread(_run, server))["chat_id"]
        streams = [await asyncio.to_thread(_lines, server, chat_id) for _ in range(3)]
        with anyio.fail_after(10):
            await server.until_streams(3)
            for stream in streams:
                stream.close()
            await server.until_streams(0)
        hold.open()


def test_a_shutdown_ends_streams_in_good_order() -> None:
    with served(["a", gate()]) as server:
        stream = _lines(server, _run(server)["chat_id"])
        stream.items_until("chats", status="busy")
    with stream:
        stream.chunks_until(lambda chunk: False)  # raises EOFError where the end is not the regular one


async def _numbers(closed: anyio.Event, taken: list[int]) -> AsyncGenerator[bytes, None]:
    try:
        for number in range(1000):
            taken.append(number)
            yield b"%d\n" % number
    finally:
        closed.set()


async def test_a_reader_that_takes_nothing_is_dropped_and_costs_one_chunk() -> None:
    closed, taken, sent, streams = anyio.Event(), list[int](), list[Any](), OpenStreams()

    async def send(event: Any) -> None:
        sent.append(event)
        if len(sent) > 3:
            await anyio.sleep_forever()

    async def receive() -> Any:
        await anyio.sleep_forever()

    stream = Stream(_numbers(closed, taken), headers={}, streams=streams, stall_seconds=0.05)
    with anyio.fail_after(5):
        await stream({"type": "http", "method": "GET"}, receive, send)
    assert closed.is_set() and len(streams) == 0
    assert taken == [0, 1, 2]
    assert all(event.get("more_body", True) for event in sent)  # not completed: the reader must see that it is cut


async def test_a_closed_server_starts_no_stream_that_lasts() -> None:
    closed, taken, sent, streams = anyio.Event(), list[int](), list[Any](), OpenStreams()
    streams.close()

    async def send(event: Any) -> None:
        await anyio.lowlevel.checkpoint()
        sent.append(event)

    async def receive() -> Any:
        await anyio.sleep_forever()

    with anyio.fail_after(5):
        await Stream(_numbers(closed, taken), headers={}, streams=streams)(
            {"type": "http", "method": "GET"}, receive, send
        )
    assert closed.is_set()
    assert [event["type"] for event in sent] == ["http.response.start", "http.response.body"]


# -- POST /agents/run with stream ----------------------------------------------------------------------------------


def _streamed(server: Served, text: str = "hi", **more: Any) -> RawStream:
    return RawStream.open(
        server.port, "/agents/run", body=message(text, stream=True, **more), Accept="application/x-ndjson"
    )


@pytest.mark.requirement("stream:linger")
def test_a_streamed_run_shows_bare_messages_and_ends_after_the_run() -> None:
    with served("Hello there, this is it") as server, _streamed(server) as stream:
        items = [json.loads(chunk) for chunk in stream.chunks_until(lambda chunk: False)]
    assert (stream.status, stream.headers["content-type"]) == (200, "application/x-ndjson")
    answers = [each for each in items if each.get("role") == ChatMessageRole.ASSISTANT]
    assert [answers[0]["status"], answers[-1]["status"]] == ["pending", "ready"]
    assert answers[-1]["content"][0]["text"] == "Hello there, this is it"
    assert {"type": "heartbeat"} in items
    named = [each for each in items if "event" in each]
    assert not [each for each in named if each["data"].get("role") == ChatMessageRole.ASSISTANT]
    assert events(items)[-1] == ("chats", "idle")


def test_a_streamed_run_of_a_known_chat_shows_nothing_of_the_turn_before() -> None:
    with served("first", "second") as server:
        with _streamed(server) as stream:
            items = [json.loads(chunk) for chunk in stream.chunks_until(lambda chunk: False)]
        chat_id = next(each["chat_id"] for each in items if each.get("role") == "assistant")
        with _streamed(server, "more", chat_id=chat_id) as stream:
            again = stream.chunks_until(lambda chunk: False)
    assert not any(b"first" in chunk for chunk in again)
    assert b'"second"' in b"".join(again)


def test_a_queued_message_is_answered_in_plain_json() -> None:
    hold = gate()
    with served([hold, "one"], "two") as server:
        chat_id = _run(server)["chat_id"]
        response = httpx.post(
            f"{server.url}/agents/run", json=message("b", chat_id=chat_id, stream=True), headers=LINES
        )
        hold.open()
    assert response.headers["content-type"] == "application/json"
    assert response.json()["user_message"]["status"] == "queued"


def test_a_refused_message_is_an_error_and_no_stream() -> None:
    with served() as server:
        response = httpx.post(f"{server.url}/agents/run", json=message(chat_id="nope", stream=True), headers=LINES)
    assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")


async def test_a_streamed_run_ends_when_its_chat_is_stopped() -> None:
    hold = gate()
    async with in_process(["a", hold]) as desk:

        async def stop() -> None:
            await hold.reached.wait()
            [chat] = (await desk.post("/chats/list"))["items"]
            await desk.post(f"/chats/{chat['id']}/stop")

        async with anyio.create_task_group() as group:
            group.start_soon(stop)
            response = await desk.client.post("/agents/run", json=message(stream=True), headers=LINES)
    answers = [json.loads(line) for line in response.text.splitlines() if '"event"' not in line]
    assert answers[-1]["status"] == "cancelled"
