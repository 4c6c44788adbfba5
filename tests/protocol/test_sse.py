"""Server-sent events: WHATWG's rules, no silent loss, and the same items as NDJSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import StreamError, UsageError
from agentkit.protocol.lines import BadLine, Item, LineReader, encode_json, encode_line
from agentkit.protocol.sse import (
    Comment,
    EventItemReader,
    EventReader,
    ServerEvent,
    encode_comment,
    encode_event,
    encode_item,
    read_event,
    reader_for,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), min_size=1, max_size=10)
ids = st.none() | st.integers(0, 10**17)
items = st.one_of(
    st.just({"type": "heartbeat"}),
    st.builds(
        lambda event, data, fields, id: {
            "event": event,
            "data": data,
            **({} if fields is None else {"fields": fields}),
            **({} if id is None else {"id": id}),
        },
        names,
        st.dictionaries(texts, values, max_size=4).filter(lambda data: data.keys() != {"data", "fields"}),
        st.none() | st.lists(names, max_size=3),
        ids,
    ),
)
stream_lines = [
    *(b"data: x", b"data:{}", b"data", b"data: \xff", b"data: " + b"y" * 70, b"\xef\xbb\xbfdata: bom", b"event: chats"),
    *(
        b"id: 7",
        b"id",
        b"id: \0",
        b"id: " + b"9" * 300,
        b"retry: 30",
        b": hi",
        b":",
        b": " + b"z" * 300,
        b"junk",
        b"x" * 300,
    ),
    *([b""] * 4),
]
streams = st.lists(st.sampled_from(stream_lines), max_size=20)
line_ends = st.sampled_from([b"\n", b"\r", b"\r\n"])


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    places = sorted({min(place, len(data)) for place in at})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def read(pieces: Iterable[bytes], *, max_bytes: int = 1000) -> list[ServerEvent | Comment | BadLine]:
    reader = EventReader(max_bytes=max_bytes)
    return [*(item for piece in pieces for item in reader.feed(piece)), *reader.end()]


def events(data: bytes) -> list[tuple[str, str]]:
    return [(item.event, item.data) for item in read([data]) if isinstance(item, ServerEvent)]


# -- laws ----------------------------------------------------------------------------------------------------------


@given(names, texts.map(lambda text: text.replace("\r", "")), ids)
def test_a_written_event_reads_as_the_same_event(event: str, data: str, id: int | None) -> None:
    assert read([encode_event(event, data, id)]) == [ServerEvent(event, data, None if id is None else str(id))]


@given(st.lists(items, max_size=6), st.lists(st.integers(0, 900), max_size=10))
def test_both_formats_give_the_same_items(sent: list[dict[str, Any]], at: list[int]) -> None:
    def through(reader: LineReader | EventItemReader, data: bytes) -> list[Item]:
        return [*(item for piece in cut(data, at) for item in reader.feed(piece)), *reader.end()]

    lines = through(LineReader(), b"".join(map(encode_line, sent)))
    frames = through(EventItemReader(), b"".join(map(encode_item, sent)))
    assert lines == frames == sent


@given(streams, line_ends, st.booleans(), st.lists(st.integers(0, 900), max_size=12))
def test_cuts_do_not_matter(lines: list[bytes], line_end: bytes, ended: bool, at: list[int]) -> None:
    data = line_end.join(lines) + (line_end if ended else b"")
    whole = read([data], max_bytes=60)
    assert read(cut(data, at), max_bytes=60) == whole
    assert read((data[i : i + 1] for i in range(len(data))), max_bytes=60) == whole


@given(streams)
def test_the_kind_of_line_end_does_not_matter(lines: list[bytes]) -> None:
    forms = [[b"".join(line + end for line in [*lines, b""])] for end in (b"\n", b"\r", b"\r\n")]
    assert read(forms[0]) == read(forms[1]) == read(forms[2])


@given(st.lists(st.binary(max_size=60), max_size=10))
def test_no_bytes_make_the_reader_raise(pieces: list[bytes]) -> None:
    reader = EventItemReader(max_bytes=64)
    for item in [*(item for piece in pieces for item in reader.feed(piece)), *reader.end()]:
        assert isinstance(item, dict | BadLine)


# -- WHATWG --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10")]),
        (
            b": test stream\n\ndata: first\nid: 1\n\ndata:second\nid\n\ndata:  third\n\n",
            [("message", "first"), ("message", "second"), ("message", " third")],
        ),
        (b"data\n\ndata\ndata\n\ndata:", [("message", ""), ("message", "\n")]),
        (b"data:test\n\ndata: test\n\n", [("message", "test"), ("message", "test")]),
        (b"event: chats\ndata: {}\n\ndata: 1\n\n", [("chats", "{}"), ("message", "1")]),
        (b"event: lost\n\ndata: 1\n\n", [("message", "1")]),
        (b"event:\ndata: 1\n\n", [("message", "1")]),
        (b"event: a\nevent: b\ndata: 1\n\n", [("b", "1")]),
        (b"Data: 1\ndata : 2\nnonsense\n\n", []),
        (b"\xef\xbb\xbfdata: 1\n\n", [("message", "1")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: 1\n\n", []),
        (b"data: a\rdata: b\r\ndata: c\n\r\n", [("message", "a\nb\nc")]),
        (b"data: a: b\n\n", [("message", "a: b")]),
        ("data: a\u2028b\u0085c\n\n".encode(), [("message", "a\u2028b\u0085c")]),
    ],
)
def test_a_stream_reads_as_whatwg_says(stream: bytes, expected: list[tuple[str, str]]) -> None:
    assert events(stream) == expected


def test_cr_and_lf_in_two_pieces_are_one_line_end() -> None:
    reader = EventReader()
    assert reader.feed(b"data: a\r") == []
    assert reader.feed(b"\ndata: b\r") == []
    assert reader.feed(b"") == []
    assert reader.feed(b"\n\r") == [ServerEvent("message", "a\nb")]
    assert reader.feed(b"\n: x\n") == [Comment()]


def test_a_byte_order_mark_in_pieces_is_still_one() -> None:
    assert read([b"\xef", b"", b"\xbb", b"\xbfdata: 1\n\n"]) == [ServerEvent("message", "1")]
    assert read([b"\xef", b"\xbb", b"\ndata: 1\n\n"]) == [ServerEvent("message", "1")]


def test_the_last_event_id_lasts_and_an_events_own_id_does_not() -> None:
    reader = EventReader()
    first, second = reader.feed(b"id: 7\ndata: a\n\ndata: b\n\n")
    assert isinstance(first, ServerEvent)
    assert isinstance(second, ServerEvent)
    assert (first.id, second.id, reader.last_event_id) == ("7", None, "7")
    reader.feed(b"id: 8\n")
    assert reader.last_event_id == "7"
    reader.feed(b"\n")
    assert reader.last_event_id == "8"
    reader.feed(b"id: 9\0\n\n")
    assert reader.last_event_id == "8"
    reader.end()
    assert reader.last_event_id == "8"
    reader.feed(b"id\n\n")
    assert reader.last_event_id == ""


def test_retry_counts_only_in_digits() -> None:
    reader = EventReader()
    [event] = reader.feed(b"retry: 3000\ndata: a\n\n")
    assert isinstance(event, ServerEvent)
    assert (event.retry_ms, reader.retry_ms) == (3000, 3000)
    reader.feed("retry: soon\nretry: -1\nretry: 1.5\nretry:\nretry: ٣\n\n".encode())
    assert reader.retry_ms == 3000


def test_a_comment_shows_that_somebody_is_there() -> None:
    assert read([encode_comment(), encode_comment("two\nlines")]) == [Comment(), Comment(), Comment()]


# -- what cannot be read -------------------------------------------------------------------------------------------


def test_an_event_that_is_not_utf_8_is_told_and_the_next_is_read() -> None:
    bad, good = read([b"id: 3\ndata: \xff\n\ndata: 1\n\n"])
    assert isinstance(bad, BadLine)
    assert (bad.reason, bad.size) == ("encoding", 12)
    assert good == ServerEvent("message", "1")


@pytest.mark.parametrize("body", [b"data: " + b"x" * 5000, b"data: xxxxxxxx\n" * 400, b"x" * 5000])
def test_an_event_above_the_cap_is_told_in_its_place(body: bytes) -> None:
    reader = EventReader(max_bytes=1000)
    before, bad, after = reader.feed(b"data: 1\n\nid: 7\n" + body + b"\nid: 8\n\ndata: 2\n\n")
    assert (before, after) == (ServerEvent("message", "1"), ServerEvent("message", "2"))
    assert isinstance(bad, BadLine)
    assert bad.reason == "too_long"
    assert bad.size >= 4800
    assert 0 < len(bad.head) <= 200
    assert reader.last_event_id == "8"


@pytest.mark.parametrize("size", [1, 64, 10_000])
def test_an_id_too_long_for_its_event_is_left_out_however_it_is_cut(size: int) -> None:
    reader, data = EventReader(max_bytes=1000), b"id: 7\ndata: " + b"x" * 2000 + b"\nid: " + b"9" * 500 + b"\n\n"
    found = [item for start in range(0, len(data), size) for item in reader.feed(data[start : start + size])]
    assert [item.reason for item in found if isinstance(item, BadLine)] == ["too_long"]
    assert reader.last_event_id == "7"


@pytest.mark.parametrize("piece", [b"x" * 10_000, b": " + b"x" * 10_000, (b"data: " + b"x" * 90 + b"\n") * 100])
def test_an_endless_event_does_not_fill_the_memory(piece: bytes) -> None:
    import tracemalloc

    reader = EventReader(max_bytes=100_000)
    tracemalloc.start()
    try:
        for _ in range(1_000):  # 10 MB
            assert reader.feed(piece) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 500_000


@pytest.mark.parametrize("rest", [b"data: 1", b"data: 1\n", b"event: chats\n", b"event: ch", b"\xef\xbb"])
def test_the_end_inside_an_event_is_told(rest: bytes) -> None:
    [bad] = read([rest])
    assert isinstance(bad, BadLine)
    assert bad.reason == "cut"


@pytest.mark.parametrize("rest", [b"", b": half a comm", b"\n\r\n", b":\n"])
def test_the_end_between_events_is_nothing(rest: bytes) -> None:
    for stream in (rest, b"data: 1\n\n" + rest, b"\xef\xbb\xbf" + rest):
        assert not any(isinstance(item, BadLine) for item in read([stream]))


# -- items ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "item"),
    [
        (ServerEvent("chats", '{"id":"c1"}', "7"), {"event": "chats", "data": {"id": "c1"}, "id": 7}),
        (
            ServerEvent("chats", '{"data":{"id":"c1"},"fields":["status"]}'),
            {"event": "chats", "data": {"id": "c1"}, "fields": ["status"]},
        ),
        (ServerEvent("done", "{}"), {"event": "done", "data": {}}),
        (ServerEvent("x", "[1]", "c1:7"), {"event": "x", "data": [1], "id": "c1:7"}),
        (ServerEvent("x", "1", "007"), {"event": "x", "data": 1, "id": "007"}),
        (Comment(), {"type": "heartbeat"}),
    ],
)
def test_an_event_reads_as_its_ndjson_form(event: ServerEvent | Comment, item: dict[str, Any]) -> None:
    assert read_event(event) == item


def test_an_event_without_json_is_a_bad_line_that_names_it() -> None:
    bad = read_event(ServerEvent("chats", "{oops"))
    assert isinstance(bad, BadLine)
    assert bad.reason == "json"
    assert "'chats'" in bad.message
    assert read_event(bad) is bad


def test_a_bare_task_travels_as_an_update() -> None:
    reader = EventItemReader()
    assert reader.feed(encode_item({"id": "t1", "status": 10})) == [
        {"event": "update", "data": {"id": "t1", "status": 10}}
    ]
    partial = {"data": {"id": "t1", "status": 7}, "fields": ["status"]}
    assert reader.feed(encode_item(partial)) == [{"event": "update", **partial}]


@pytest.mark.parametrize(
    "content_type", ["application/x-ndjson", "application/jsonl", "Application/X-NDJSON; charset=utf-8"]
)
def test_ndjson_types_get_a_line_reader(content_type: str) -> None:
    assert reader_for(content_type).feed(b'{"a":1}\n') == [{"a": 1}]


def test_an_event_stream_gets_an_event_reader() -> None:
    assert reader_for("text/event-stream").feed(b'event: chats\ndata: {"a":1}\n\n') == [
        {"event": "chats", "data": {"a": 1}}
    ]


def test_the_readers_cap_is_the_callers() -> None:
    for content_type in ("application/x-ndjson", "text/event-stream"):
        [bad] = reader_for(content_type, max_bytes=10).feed(b'data: "0123456789"\n\n')
        assert isinstance(bad, BadLine)
        assert bad.reason == "too_long"


@pytest.mark.parametrize("content_type", ["text/html", "", "application/json"])
def test_what_is_no_stream_is_refused_by_name(content_type: str) -> None:
    with pytest.raises(StreamError, match="text/event-stream") as caught:
        reader_for(content_type)
    assert caught.value.reason == "content_type"
    assert repr(content_type) in str(caught.value)


# -- writing -------------------------------------------------------------------------------------------------------


def test_an_event_is_written_in_the_documented_form() -> None:
    assert encode_event("chats", encode_json({"id": "c1"}).decode(), 7) == b'id: 7\nevent: chats\ndata: {"id":"c1"}\n\n'
    assert encode_event("x", "a\nb\r\nc\rd") == b"event: x\ndata: a\ndata: b\ndata: c\ndata: d\n\n"
    assert encode_comment() == b":\n\n"
    assert encode_comment("ping") == b": ping\n\n"


@pytest.mark.parametrize(("event", "id"), [("a\nb", None), ("a\r", None), ("a", "1\n2"), ("a", "1\0")])
def test_a_name_or_id_that_would_break_the_frame_is_refused(event: str, id: str | None) -> None:
    with pytest.raises(UsageError, match="one line"):
        encode_event(event, "{}", id)
