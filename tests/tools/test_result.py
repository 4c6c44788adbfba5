"""A handler's return value as text."""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, RootModel

from agentkit.errors import ToolResultError
from agentkit.tools import ToolOutput, result_text


class Size(Enum):
    SMALL = "s"


class Level(IntEnum):
    LOW = 1


class Pair(NamedTuple):
    a: int
    b: int


@dataclass
class Point:
    x: int
    size: Size


class Report(BaseModel):
    when: date
    total: Decimal = Field(alias="sum")


class Raw(BaseModel):
    data: bytes


class Number(BaseModel):
    value: float


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ('{"temp": 72}', '{"temp": 72}'),
        (None, "null"),
        (True, "true"),
        (18, "18"),
        (1.5, "1.5"),
        ({"temp_c": 18}, '{"temp_c":18}'),
        ({1: "a", Size.SMALL: "b"}, '{"1":"a","s":"b"}'),
        ([1, (2, 3)], "[1,[2,3]]"),
        ({1}, "[1]"),
        ("Zoë", "Zoë"),
        (["Zoë"], '["Zoë"]'),
        (Size.SMALL, '"s"'),
        (Level.LOW, "1"),
        (Pair(1, 2), "[1,2]"),
        (Point(1, Size.SMALL), '{"x":1,"size":"s"}'),
        ([Report(when=date(2024, 5, 1), sum=Decimal("1.10"))], '[{"when":"2024-05-01","sum":"1.10"}]'),
        (RootModel[list[int]]([1]), "[1]"),
        (datetime(2024, 5, 1, 10, tzinfo=timezone.utc), '"2024-05-01T10:00:00Z"'),  # noqa: UP017
        (time(10, 30), '"10:30:00"'),
        (timedelta(hours=1), '"PT1H"'),
        (Decimal("1.10"), '"1.10"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (PurePosixPath("/a"), '"/a"'),
    ],
)
def test_text_stays_and_everything_else_becomes_json(value: Any, text: str) -> None:
    assert result_text(value) == text


def loop() -> dict[str, Any]:
    itself: dict[str, Any] = {}
    itself["again"] = [itself]
    return itself


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: b"x", "a bytes,"),
        (lambda: {"files": [{"data": b"x"}]}, "a bytes at files.0.data"),
        (lambda: Point, "a type"),
        (lambda: [object()], "a object at 0"),
        (lambda: (n for n in range(3)), "a generator"),
        (lambda: {"f": len}, "at f"),
        (lambda: {(1, 2): "x"}, "an object key of type tuple"),
        (lambda: {"n": float("nan")}, "the number nan at n"),
        (lambda: [float("inf")], "the number inf at 0"),
        (lambda: Number(value=float("nan")), "the number nan at value"),
        (lambda: Raw(data=b"\xff"), "a Raw"),
        (lambda: "\ud800", "half a surrogate pair"),
        (lambda: {"\ud800": 1}, "half a surrogate pair"),
        (loop, "a dict that contains itself at again.0"),
    ],
)
def test_what_json_cannot_carry_is_refused_with_type_and_place(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ToolResultError) as told:
        result_text(make())
    assert words in str(told.value)
    assert "return text, numbers" in str(told.value)


def test_a_value_that_is_there_twice_does_not_contain_itself() -> None:
    shared = [1]
    assert result_text({"a": shared, "b": shared}) == '{"a":[1],"b":[1]}'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=15,
).filter(lambda value: not isinstance(value, str))


@given(JSON)
def test_json_values_come_back_the_same(value: Any) -> None:
    assert json.loads(result_text(value)) == value


def test_a_result_with_files_is_text_beside_them() -> None:
    output = ToolOutput({"pages": 2}, files=[b"a"])
    assert (result_text(output.text), output.files) == ('{"pages":2}', [b"a"])
    assert ToolOutput("all of it").files == ()


@pytest.mark.parametrize(("files", "words"), [([b"x"] * 21, "20 at most"), (b"x", "takes a list")], ids=["21", "bytes"])
def test_files_that_a_result_cannot_have_are_refused(files: Any, words: str) -> None:
    with pytest.raises(ToolResultError, match=words):
        ToolOutput("", files=files)
