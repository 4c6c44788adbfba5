"""`run() == fold(stream())`: one loop, whatever the model says; random scripts, and both ways to hear."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit import MessageChanged, RunFinished, TextDelta, ToolCalled, ToolFinished, string, tool
from agentkit.testing import call, finish, think
from tests.client.ways import MEMORY, desk, play

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
_calls = st.builds(lambda city: call("get_weather", {"city": city}), _texts)
_parts = st.one_of(_texts, _texts.map(think), _calls)
_working = st.lists(_parts, min_size=1, max_size=4).filter(
    lambda parts: any(hasattr(each, "arguments") for each in parts)
)
_ends = st.one_of(st.integers(0, 99).map(lambda n: finish({"n": n})), _texts.map(lambda text: [text]))
scripts = st.tuples(st.lists(_working, max_size=3), _ends).map(lambda parts: [*parts[0], parts[1]])


# How a turn is polled for is the same code behind every face.
WAYS = [
    *(pytest.param(way, True, id=f"streamed-{way}") for way in MEMORY),
    pytest.param(MEMORY[0], False, id=f"polled-{MEMORY[0]}"),
    *(pytest.param(way, False, id=f"polled-{way}", marks=pytest.mark.thorough) for way in MEMORY[1:]),
]


def _weather() -> Any:
    def handle(args: dict[str, Any]) -> str:
        if len(args["city"]) % 3 == 0:
            raise LookupError(args["city"])
        return args["city"] * 2

    return tool("get_weather").describe("w").param("city", string("City")).handler(handle)


def _played(way: str, script: list[Any], *, stream: bool) -> tuple[Any, Any, list[tuple[str, str]]]:
    """What a run of the script comes to, by its events and by `run`, and what the model was asked last."""
    steps = [*script, *([] if _is_finish(script) else script[-1:])]  # a text end is reminded of its output once
    config = {"output_schema": SCHEMA, "internal_tools": {"finish": True}}
    with desk(way, *steps, client={"poll_seconds": 0.01}) as place:
        told = play(place.agent(_weather(), **config), stream=stream)
        asked = place.last_request()
    with desk(way, *steps, client={"poll_seconds": 0.01}) as place:
        output = place.agent(_weather(), **config).run("go", stream=stream)
    return told, output, asked


def _is_finish(script: list[Any]) -> bool:
    return getattr(script[-1], "name", "") == "finish"


@pytest.mark.requirement("turn:fold")
@pytest.mark.requirement("turn:settle-once")
@pytest.mark.parametrize(("way", "stream"), WAYS)
@pytest.mark.timeout(120)
@settings(max_examples=8)
@given(script=scripts)
def test_run_returns_what_folding_the_stream_returns(way: str, stream: bool, script: list[Any]) -> None:
    told, output, _ = _played(way, script, stream=stream)
    assert told.result.output == output
    assert output == (script[-1].arguments if _is_finish(script) else None)
    _check_story(told)


def _check_story(told: Any) -> None:
    """What every story keeps to, whatever is in it."""
    assert [event.seq for event in told.events] == list(range(1, len(told.events) + 1))
    assert isinstance(told.events[-1], RunFinished) and told.kinds().count("run_finished") == 1
    assert [event.kind for event in told.events].count("run_started") == 1
    messages = told.messages()
    for id_, text in told.texts().items():
        parts = messages[id_].content
        assert text == "".join(part.text or "" for part in parts if part.type == "text")
    called = [event.invocation.id for event in told.of(ToolCalled)]
    ended = [event.invocation.id for event in told.of(ToolFinished)]
    assert len(set(called)) == len(called)
    assert sorted(called) == sorted(ended)
    for id_ in called:
        first, last = _place(told, ToolCalled, id_), _place(told, ToolFinished, id_)
        assert first < last


def _place(told: Any, kind: Any, id_: str) -> int:
    return next(n for n, event in enumerate(told.events) if isinstance(event, kind) and event.invocation.id == id_)


def test_the_final_text_is_what_the_deltas_and_the_last_message_say() -> None:
    with desk("memory-sync", ["One. ", "Two."]) as place:
        told = play(place.agent())
    said = "".join(event.text for event in told.of(TextDelta))
    last = [event.message for event in told.of(MessageChanged) if event.message.role == "assistant"][-1]
    assert said == told.result.text == "".join(part.text for part in last.content)
    assert json.loads(json.dumps(said)) == "One. Two."
