"""Deltas: the message does not depend on how it was cut, and what is missing is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import RemoteProtocolError
from agentkit.protocol.deltas import Accumulator, Applied, Duplicate, Gap, Malformed

texts = st.text(max_size=30)
calls = st.fixed_dictionaries(
    {
        "id": st.uuids().map(str),
        "type": st.just("function"),
        "name": st.sampled_from(["get_weather", "finish"]),
        "arguments": texts,
    }
)
messages = st.fixed_dictionaries({"response": texts, "reasoning": texts, "calls": st.lists(calls, max_size=3)})


@st.composite
def pieces_of(draw: st.DrawFn, text: str) -> list[str]:
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


@st.composite
def split_messages(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A message as one delta, and as many: cut, interleaved, some of them merged, some with nulls."""
    message: dict[str, Any] = draw(messages)
    whole: dict[str, Any] = {"response": message["response"], "reasoning": message["reasoning"], "usage": {"total": 9}}
    lanes: list[list[dict[str, Any]]] = [
        [{name: piece} for piece in draw(pieces_of(message[name]))] for name in ("response", "reasoning")
    ]
    lanes.append([{"usage": {"total": 1, "draft": True}}, {"usage": {"total": 9}}])
    if message["calls"]:
        whole["tool_calls"] = []
    for index, call in enumerate(message["calls"]):
        head = {
            "index": index,
            "id": call["id"],
            "type": call["type"],
            "function": {"name": call["name"], "arguments": ""},
        }
        whole["tool_calls"].append({**head, "function": {"name": call["name"], "arguments": call["arguments"]}})
        parts = [{"index": index, "function": {"arguments": piece}} for piece in draw(pieces_of(call["arguments"]))]
        lanes.append([{"tool_calls": [entry]} for entry in [head, *parts]])
    order = draw(st.permutations([lane for lane, parts in enumerate(lanes) for _ in parts]))
    feeds = [iter(lane) for lane in lanes]
    nulls = st.sampled_from([{}, {"response": None}, {"tool_calls": None, "usage": None}, {"error": None}])
    deltas: list[dict[str, Any]] = []
    for lane in order:
        delta = next(feeds[lane])
        if deltas and not deltas[-1].keys() & delta.keys() and draw(st.booleans()):
            deltas[-1].update(delta)
        else:
            deltas.append({**draw(nulls), **delta})
    return whole, deltas


def fold(deltas: list[dict[str, Any]]) -> Accumulator:
    message = Accumulator()
    for seq, delta in enumerate(deltas, start=1):
        assert isinstance(message.apply(delta, seq), Applied)
    return message


# -- laws ----------------------------------------------------------------------------------------------------------


@given(split_messages())
def test_any_cutting_of_a_message_gives_the_message(split: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    whole, deltas = split
    assert fold(deltas).snapshot() == fold([whole]).snapshot() == whole


@given(split_messages(), st.data())
def test_deltas_told_twice_change_nothing(
    split: tuple[dict[str, Any], list[dict[str, Any]]], data: st.DataObject
) -> None:
    whole, deltas = split
    message = Accumulator()
    for seq, delta in enumerate(deltas, start=1):
        assert isinstance(message.apply(delta, seq), Applied)
        again = data.draw(st.integers(1, seq))
        assert message.apply(deltas[again - 1], again) == Duplicate(again)
    assert message.snapshot() == whole


@given(split_messages(), st.data())
def test_a_snapshot_half_way_and_the_rest_give_the_message(
    split: tuple[dict[str, Any], list[dict[str, Any]]], data: st.DataObject
) -> None:
    whole, deltas = split
    joined = data.draw(st.integers(0, len(deltas)))
    message = Accumulator()
    message.restore(fold(deltas[:joined]).snapshot(), seq=joined)
    for seq, delta in enumerate(deltas, start=1):
        outcome = message.apply(delta, seq)
        assert isinstance(outcome, Duplicate if seq <= joined else Applied)
    assert message.snapshot() == whole


@given(split_messages())
def test_what_was_applied_adds_up_to_the_texts(split: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    message, told = Accumulator(), []
    for delta in split[1]:
        outcome = message.apply(delta, None)
        assert isinstance(outcome, Applied)
        told.append(outcome)
    assert "".join(part.response for part in told) == message.response
    assert "".join(part.reasoning for part in told) == message.reasoning
    assert {index for part in told for index in part.tool_calls} == {call["index"] for call in message.tool_calls}


# -- the four ways of merging --------------------------------------------------------------------------------------


def test_texts_grow_and_the_rest_is_replaced() -> None:
    message = fold(
        [{"response": "It ", "reasoning": "hm", "usage": {"total": 1}}, {"response": "is", "usage": {"total": 2}}]
    )
    assert (message.response, message.reasoning, message.usage) == ("It is", "hm", {"total": 2})


def test_tool_calls_are_kept_by_index_and_their_arguments_grow() -> None:
    message = fold(
        [
            {
                "tool_calls": [
                    {"index": 1, "id": "b", "type": "function", "function": {"name": "two", "arguments": "{"}}
                ]
            },
            {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "one", "arguments": '{"x"'}}]},
            {
                "tool_calls": [
                    {"index": 0, "function": {"arguments": ":1}"}},
                    {"index": 1, "id": "B", "function": {"arguments": "}"}},
                ]
            },
        ]
    )
    assert message.tool_calls == [
        {"index": 0, "id": "a", "function": {"name": "one", "arguments": '{"x":1}'}},
        {"index": 1, "id": "B", "type": "function", "function": {"name": "two", "arguments": "{}"}},
    ]


def test_fields_we_do_not_know_are_kept_and_replaced() -> None:
    message = fold(
        [
            {"citations": ["a"], "tool_calls": [{"index": 0, "mood": "x"}]},
            {"citations": ["b"], "tool_calls": [{"index": 0, "mood": "y"}]},
        ]
    )
    assert message.snapshot() == {"citations": ["b"], "tool_calls": [{"index": 0, "mood": "y"}]}


def test_null_says_nothing() -> None:
    message = fold(
        [{"response": "a", "usage": {"t": 1}}, {"response": None, "usage": None, "tool_calls": None, "new": None}]
    )
    assert message.snapshot() == {"response": "a", "usage": {"t": 1}}


def test_an_accumulator_without_deltas_is_empty() -> None:
    message = Accumulator()
    assert (message.response, message.reasoning, message.tool_calls, message.usage) == ("", "", [], None)
    assert (message.snapshot(), message.seq) == ({}, None)


def test_nobody_can_change_the_message_from_outside() -> None:
    usage = {"total": 1}
    message = fold([{"usage": usage, "tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}])
    usage["total"] = 2
    message.usage["total"] = 3
    message.snapshot()["usage"]["total"] = 4
    message.tool_calls[0]["function"]["arguments"] = "no"
    assert message.snapshot() == {"usage": {"total": 1}, "tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}


def test_a_long_answer_costs_no_square() -> None:
    message = fold([{"response": "x" * 10}] * 50_000)
    assert len(message.response) == 500_000


# -- order ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 1])
def test_numbers_start_at_nought_or_one(first: int) -> None:
    message = Accumulator()
    assert isinstance(message.apply({"response": "a"}, first), Applied)
    assert isinstance(message.apply({"response": "b"}, first + 1), Applied)
    assert (message.response, message.seq) == ("ab", first + 1)


def test_a_gap_is_told_once_as_new_and_changes_nothing() -> None:
    message = fold([{"response": "a"}])
    assert message.apply({"response": "c"}, 3) == Gap(expected=2, seen=3, is_first=True)
    assert message.apply({"response": "d"}, 4) == Gap(expected=2, seen=4, is_first=False)
    assert (message.response, message.seq) == ("a", 1)


def test_the_missing_delta_closes_the_gap() -> None:
    message = fold([{"response": "a"}])
    message.apply({"response": "c"}, 3)
    assert message.apply({"response": "b"}, 2) == Applied(response="b")
    assert message.apply({"response": "c"}, 3) == Applied(response="c")
    assert message.apply({"response": "e"}, 5) == Gap(expected=4, seen=5, is_first=True)


def test_joining_half_way_is_a_gap() -> None:
    assert Accumulator().apply({"response": "tail"}, 17) == Gap(expected=1, seen=17, is_first=True)


def test_after_a_restore_deltas_go_on_behind_it() -> None:
    message = fold([{"response": "a"}])
    message.apply({"response": "c"}, 3)
    message.restore({"response": "abc", "tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}, seq=3)
    assert message.apply({"response": "c"}, 3) == Duplicate(3)
    assert message.apply({"response": "d", "tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}, 4) == Applied(
        "d", "", (0,)
    )
    assert message.response == "abcd"
    assert message.tool_calls[0]["function"]["arguments"] == "{}"


def test_unnumbered_deltas_are_taken_as_they_come() -> None:
    message = Accumulator()
    for piece in "abc":
        message.apply({"response": piece}, None)
    assert (message.response, message.seq) == ("abc", None)


# -- what is no delta ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delta", "says"),
    [
        (None, "delta is a NoneType"),
        ("text", "delta is a str"),
        ({"response": 5}, "delta.response is a int"),
        ({"response": "kept?", "reasoning": ["no"]}, "delta.reasoning is a list"),
        ({"tool_calls": {"index": 0}}, "delta.tool_calls is a dict"),
        ({"tool_calls": ["x"]}, "delta.tool_calls[0] is a str"),
        ({"tool_calls": [{"index": 0}, {"id": "a"}]}, "delta.tool_calls[1] has no integer 'index'"),
        ({"tool_calls": [{"index": True}]}, "no integer"),
        ({"tool_calls": [{"index": 0, "function": "f"}]}, "delta.tool_calls[0].function is a str"),
        (
            {"tool_calls": [{"index": 0, "function": {"arguments": {}}}]},
            "delta.tool_calls[0].function.arguments is a dict",
        ),
    ],
)
def test_a_malformed_delta_is_told_whole_and_leaves_a_gap(delta: Any, says: str) -> None:
    message = fold([{"response": "a"}])
    outcome = message.apply(delta, 2)
    assert isinstance(outcome, Malformed)
    assert says in outcome.message
    assert message.snapshot() == {"response": "a"}
    assert isinstance(message.apply({"response": "c"}, 3), Gap)


def test_a_snapshot_that_is_none_is_refused() -> None:
    message = fold([{"response": "a"}])
    with pytest.raises(RemoteProtocolError, match=r"snapshot\.response is a int"):
        message.restore({"response": 1}, seq=4)
    assert (message.response, message.seq) == ("a", 1)
