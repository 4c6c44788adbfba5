"""NDJSON: whatever the cuts, the same items come out, and nothing vanishes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentkit.errors import StreamError
from agentkit.protocol.lines import BadLine, Item, LineReader, encode_json, encode_line

BOM = b"\xef\xbb\xbf"
SEPARATORS_INSIDE_STRINGS = "a\u2028b\u2029c\u0085d\x0be\x0cf"

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))
objects = st.dictionaries(texts, values, max_size=5)
raw_lines = st.one_of(
    objects.map(encode_line).map(lambda line: line[:-1]),
    st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")),
    st.sampled_from([b"", b"\r", b"  ", b"[1]", b'{"a":', b"\xef\xbb\xbf{}", b'{"a":"' + b"x" * 90 + b'"}', b"x" * 61]),
)


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    places = sorted({min(place, len(data)) for place in at})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def read(pieces: Iterable[bytes], *, max_bytes: int = 1000) -> list[Item]:
    reader = LineReader(max_bytes=max_bytes)
    return [*(item for piece in pieces for item in reader.feed(piece)), *reader.end()]


def only_bad(data: bytes, *, max_bytes: int = 1000) -> BadLine:
    [item] = read([data], max_bytes=max_bytes)
    assert isinstance(item, BadLine)
    return item


# -- laws ----------------------------------------------------------------------------------------------------------


@given(objects)
def test_a_written_line_reads_as_the_same_object(obj: dict[str, Any]) -> None:
    assert read([encode_line(obj)], max_bytes=10**6) == [obj]


@given(objects)
def test_a_written_line_is_ascii_with_one_line_end(obj: dict[str, Any]) -> None:
    line = encode_line(obj)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert b"\r" not in line


@given(objects)
def test_the_writer_agrees_with_the_standard_library(obj: dict[str, Any]) -> None:
    assert json.loads(encode_line(obj)) == obj


@given(st.lists(raw_lines, max_size=8), st.booleans(), st.lists(st.integers(0, 600), max_size=12))
def test_cuts_do_not_matter(lines: list[bytes], ended: bool, at: list[int]) -> None:
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    whole = read([data], max_bytes=60)
    assert read(cut(data, at), max_bytes=60) == whole
    assert read((data[i : i + 1] for i in range(len(data))), max_bytes=60) == whole


@given(st.lists(raw_lines, max_size=8))
def test_every_line_that_is_not_blank_is_an_item(lines: list[bytes]) -> None:
    starts = [BOM if place == 0 else b"" for place in range(len(lines))]
    said = [line for line, start in zip(lines, starts, strict=True) if line.removeprefix(start).strip(b" \t\r")]
    assert len(read([b"".join(line + b"\n" for line in lines)], max_bytes=60)) == len(said)


@given(st.lists(st.binary(max_size=60), max_size=10))
@example([b'{"a":"\\ud800"}\n'])
@example([b"[" * 59 + b"\n"])
@example([b'{"\\ud800":' * 5 + b"\n"])
def test_no_bytes_make_the_reader_raise(pieces: list[bytes]) -> None:
    for item in read(pieces, max_bytes=64):
        assert isinstance(item, dict | BadLine)


@given(objects, st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), objects)
def test_a_bad_line_does_not_hurt_its_neighbours(first: dict[str, Any], junk: bytes, last: dict[str, Any]) -> None:
    items = read([encode_line(first), junk, b"\n", encode_line(last)], max_bytes=10**6)
    assert items[0] == first
    assert items[-1] == last


# -- what counts as a line -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [SEPARATORS_INSIDE_STRINGS, "é", "😀", "\r".join("ab"), "日本語"])
def test_no_other_separator_splits_a_line(text: str) -> None:
    raw = json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n"
    assert read([raw]) == [{"text": text}]
    assert read(raw[i : i + 1] for i in range(len(raw))) == [{"text": text}]


@pytest.mark.parametrize(
    "data", [b'{"a":1}\r\n{"a":2}\r\n', b'\n\n{"a":1}\n \t\r\n{"a":2}\n\n', b'\xef\xbb\xbf{"a":1}\n{"a":2}']
)
def test_crlf_blank_lines_and_a_byte_order_mark_are_accepted(data: bytes) -> None:
    assert read([data]) == [{"a": 1}, {"a": 2}]


def test_a_byte_order_mark_further_down_is_no_json() -> None:
    assert [type(item) for item in read([b'{"a":1}\n\xef\xbb\xbf{"a":2}\n'])] == [dict, BadLine]


def test_nothing_comes_out_before_the_line_end() -> None:
    reader = LineReader()
    assert reader.feed(b'{"a":1}') == []
    assert reader.feed(b"\n") == [{"a": 1}]
    assert reader.end() == []


# -- bad lines -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reason", "says"),
    [
        (b'{"a":"\xff"}', "encoding", "byte 6"),
        (b'{"a":"\xed\xa0\x80"}', "encoding", "byte 6"),
        (b"{oops}", "json", "not JSON"),
        (b'{"a":1} {"b":2}', "json", "trailing"),
        (b'{"a":NaN}', "json", "not JSON"),
        (b'{"a":-Infinity}', "json", "not JSON"),
        (b"<html>502 Bad Gateway</html>", "json", "not JSON"),
        (b"[" * 600 + b"]" * 600, "json", "recursion"),
        (b"[1,2]", "not_object", "list"),
        (b"null", "not_object", "NoneType"),
        (b'"text"', "not_object", "str"),
    ],
)
def test_a_bad_line_says_why(line: bytes, reason: str, says: str) -> None:
    bad = only_bad(line + b"\n", max_bytes=5000)
    assert (bad.reason, bad.size) == (reason, len(line))
    assert says in bad.message
    assert bad.head == line[:200].decode(errors="replace")


def test_a_line_above_the_cap_is_reported_in_its_place_and_reading_goes_on() -> None:
    long = b'{"a":"' + b"x" * 5000 + b'"}'
    before, bad, after = read([b'{"n":1}\n' + long + b'\n{"n":2}\n'], max_bytes=1000)
    assert (before, after) == ({"n": 1}, {"n": 2})
    assert isinstance(bad, BadLine)
    assert (bad.reason, bad.size, len(bad.head)) == ("too_long", len(long), 200)


def test_a_line_of_exactly_the_cap_is_read() -> None:
    line = b'{"a":"' + b"x" * 992 + b'"}'
    assert len(line) == 1000
    assert read([line, b"\n"], max_bytes=1000) == read([line + b"\n"], max_bytes=1000) == [{"a": "x" * 992}]
    assert only_bad(line[:-2] + b'x"}\n', max_bytes=1000).reason == "too_long"


def test_an_endless_line_does_not_fill_the_memory() -> None:
    import tracemalloc

    reader, piece = LineReader(max_bytes=100_000), b"x" * 10_000
    tracemalloc.start()
    try:
        for _ in range(2_000):  # 20 MB
            assert reader.feed(piece) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 500_000
    [bad] = reader.feed(b"\n")
    assert isinstance(bad, BadLine)
    assert (bad.reason, bad.size) == ("too_long", 20_000_000)


def test_a_long_line_in_small_pieces_costs_no_square() -> None:
    reader = LineReader(max_bytes=10**8)
    raw = encode_line({"text": "x" * 4_000_000})
    items = [item for start in range(0, len(raw), 64) for item in reader.feed(raw[start : start + 64])]
    assert [item["text"][:3] for item in items if isinstance(item, dict)] == ["xxx"]


def test_half_an_emoji_costs_that_character_and_not_the_object() -> None:
    assert read([b'{"a":"x\\ud83d","b":["\\uDE00"],"c":"\\ud83d\\ude00"}\n']) == [
        {"a": "x\ufffd", "b": ["\ufffd"], "c": "😀"}
    ]
    assert only_bad(b'{"a":"\\ud83d",}\n').reason == "json"
    assert only_bad(b'{"a":"\\ud83d","b":NaN}\n').reason == "json"


# -- the end -------------------------------------------------------------------------------------------------------


def test_the_end_inside_a_line_is_told() -> None:
    assert only_bad(b'{"event":"chats","da') == BadLine(
        "cut", "the stream ended inside a line", 20, '{"event":"chats","da'
    )


def test_the_end_inside_a_character_is_a_cut_too() -> None:
    assert only_bad('{"a":"é'.encode()[:-1]).reason == "cut"


def test_a_whole_object_that_only_lacks_its_line_end_counts() -> None:
    assert read([b'{"a":1}\n{"a":2}']) == [{"a": 1}, {"a": 2}]


def test_the_end_inside_a_line_above_the_cap_is_still_too_long() -> None:
    assert only_bad(b"x" * 2000).reason == "too_long"


def test_after_the_end_a_reader_starts_afresh() -> None:
    reader = LineReader()
    reader.feed(b'{"a":')
    assert len(reader.end()) == 1
    assert reader.feed(b'\xef\xbb\xbf{"b":1}\n') == [{"b": 1}]


@pytest.mark.parametrize(
    ("data", "reason"), [(b"{oops}\n", "bad_line"), (b"\xff\n", "bad_line"), (b"{", "cut"), (b"x" * 2000, "too_long")]
)
def test_a_bad_line_becomes_a_stream_error_with_a_reason_of_its_own(data: bytes, reason: str) -> None:
    error = only_bad(data).to_error()
    assert isinstance(error, StreamError)
    assert error.reason == reason
    assert "bytes" in str(error)


# -- writing -------------------------------------------------------------------------------------------------------


def test_separators_and_other_scripts_are_written_as_escapes() -> None:
    line = encode_line({"text": SEPARATORS_INSIDE_STRINGS + "é😀"})
    assert b"\\u2028b\\u2029c\\u0085d" in line
    assert line.endswith(b'\\u00e9\\ud83d\\ude00"}\n')


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("text", ["a", "é", "\ud800"])
def test_numbers_that_json_lacks_are_written_as_null(number: float, text: str) -> None:
    assert json.loads(encode_line({"x": number, "text": text})) == {"x": None, "text": text}


def test_dates_and_sets_are_written_and_what_json_cannot_carry_is_refused() -> None:
    assert encode_json([datetime(2026, 1, 2, tzinfo=UTC), {1}]) == b'["2026-01-02T00:00:00Z",[1]]'
    with pytest.raises(ValueError, match="object"):
        encode_line({"x": object()})
