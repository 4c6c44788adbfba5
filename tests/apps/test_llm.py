"""Apps that answer as language models: their models, messages and streams."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentkit.apps import File, LLMInput, LLMOutput, build_messages, stream_generate, timing_context
from agentkit.apps.llm import (
    ContextMessage,
    FileCapabilityMixin,
    ImageCapabilityMixin,
    ReasoningCapabilityMixin,
    ReasoningMixin,
    ToolCallsMixin,
    ToolsCapabilityMixin,
)
from agentkit.apps.llm_messages import build_tools, file_to_base64_data_uri
from agentkit.apps.llm_stream import ResponseTransformer, Timing
from agentkit.errors import FileError


class In(LLMInput, ImageCapabilityMixin, FileCapabilityMixin, ReasoningCapabilityMixin, ToolsCapabilityMixin):
    own: int = 0


class Out(ReasoningMixin, ToolCallsMixin, LLMOutput):
    pass


CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}


def test_the_input_is_what_agents_send() -> None:
    input = In.model_validate(
        {
            "system_prompt": "Be brief.",
            "context": [
                {"role": "user", "text": "1+1?"},
                {"role": "assistant", "text": "", "tool_calls": [CALL]},
                {"role": "tool", "text": "2", "tool_call_id": "c1"},
            ],
            "text": "And now?",
            "tools": [{"type": "function", "function": {"name": "add", "description": "", "parameters": None}}],
            "reasoning_effort": "low",
        }
    )
    assert (input.role, input.temperature, input.top_p, input.context_size, input.max_tokens) == (
        "user",
        0.7,
        0.95,
        4096,
        64000,
    )
    assert next(iter(In.model_json_schema()["properties"])) == "own"
    properties = list(Out.model_json_schema()["properties"])
    assert set(properties) == {"response", "reasoning", "tool_calls", "usage", "output_meta"}


def test_messages_are_openais_and_the_input_stays_as_it_was() -> None:
    input = In(
        system_prompt="Be brief.",
        context=[
            ContextMessage.model_validate(message)
            for message in (
                {"role": "user", "text": "one"},
                {"role": "user", "text": "two"},
                {"role": "assistant", "text": "", "tool_calls": [CALL], "reasoning": "hm"},
                {"role": "tool", "text": "2", "tool_call_id": "c1"},
                {"role": "tool", "text": "3", "tool_call_id": "c2"},
            )
        ],
        text="last",
    )
    before = input.model_dump_json()
    messages = build_messages(input, transform_user_message=str.upper, include_reasoning=True)
    assert messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "ONE\n\nTWO"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{**CALL, "function": {"name": "add", "arguments": '{"a": 1}'}}],
            "reasoning": "hm",
        },
        {"role": "tool", "content": "2", "tool_call_id": "c1"},
        {"role": "tool", "content": "3", "tool_call_id": "c2"},
        {"role": "user", "content": "LAST"},
    ]
    assert build_messages(input, str.upper, True) == messages
    assert input.model_dump_json() == before


def test_images_and_files_become_parts_with_their_bytes_or_addresses(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"png")
    (tmp_path / "b.pdf").write_bytes(b"pdf")
    image = File({"uri": "https://x.example/a.png", "path": str(tmp_path / "a.png")})
    input = In(system_prompt="", text="look", images=[image], files=[File(tmp_path / "b.pdf")])
    packed = {name: base64.b64encode(name.encode()).decode() for name in ("png", "pdf")}
    file = {"filename": "b.pdf", "file_data": f"data:application/pdf;base64,{packed['pdf']}"}
    [message] = build_messages(input)
    assert message["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{packed['png']}"}},
        {"type": "file", "file": file},
    ]
    [message] = build_messages(input, image_mode="url", file_mode="url")
    assert message["content"][1]["image_url"]["url"] == "https://x.example/a.png"
    assert message["content"][2]["file"] == file
    with pytest.raises(FileError, match="cannot read '/nowhere'"):
        file_to_base64_data_uri("/nowhere")


def test_tools_are_made_acceptable_without_changing_them() -> None:
    bare = {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": None}}}
    wrapped = {"type": "function", "function": {"name": "now", "parameters": None}}
    assert build_tools([bare, wrapped]) == [
        {
            "type": "function",
            "function": {
                "name": "add",
                "parameters": {"type": "object", "properties": {"a": {"type": "number"}}},
            },
        },
        {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}},
    ]
    assert bare["parameters"]["properties"]["b"] is None
    assert build_tools(None) is None and build_tools([]) is None


# -- streams -------------------------------------------------------------------------------------------------------


class Model:
    """Answers as llama.cpp does, with these chunks."""

    def __init__(self, *chunks: dict[str, Any]) -> None:
        self.chunks = chunks
        self.asked: dict[str, Any] = {}

    def create_chat_completion(self, **asked: Any) -> Iterator[dict[str, Any]]:
        self.asked = asked
        yield from self.chunks


def said(text: str | None = None, *, stop: str | None = None, usage: Any = None, calls: Any = None) -> dict[str, Any]:
    delta = {name: value for name, value in (("content", text), ("tool_calls", calls)) if value is not None}
    return {"choices": [{"delta": delta, "finish_reason": stop}], "usage": usage}


def test_a_stream_gives_the_whole_answer_so_far_each_time() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    model = Model(
        said("<think>let me"), said(" see</think>"), said("4"), said("2<|im_end|>", stop="stop"), {"usage": usage}
    )
    outputs = list(stream_generate(model, [{"role": "user", "content": "?"}], output_cls=Out, temperature=0.1))
    assert all(isinstance(output, Out) for output in outputs)
    assert [output.response for output in outputs] == ["", "", "4", "42", "42"]
    last = outputs[-1]
    assert isinstance(last, Out) and last.reasoning == "let me see"
    assert last.usage and last.usage.total_tokens == 7 and last.usage.stop_reason == "stop"
    assert model.asked["temperature"] == 0.1 and "tools" not in model.asked


def test_tool_calls_are_put_together_from_their_parts() -> None:
    def part(index: int, arguments: str, **more: Any) -> dict[str, Any]:
        return {"index": index, "function": {"arguments": arguments, **more.pop("function", {})}, **more}

    model = Model(
        said(calls=[part(0, '{"a"', id="c1", function={"name": "add"})]),
        said(calls=[part(0, ": 1}"), part(1, "{}", id="c2", function={"name": "now"})]),
        said(stop="tool_calls"),
    )
    outputs = list(stream_generate(model, [], output_cls=Out, tools=[{"type": "function"}]))
    first, last = outputs[0], outputs[-1]
    assert isinstance(first, Out) and isinstance(last, Out)
    assert first.tool_calls == [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a"'}}]
    assert [call["function"]["arguments"] for call in last.tool_calls or ()] == ['{"a": 1}', "{}"]
    assert "tools" in model.asked


def test_a_transformer_of_the_authors_own_is_asked_for_every_piece() -> None:
    class Polite(ResponseTransformer[Out]):
        def additional_cleaning(self, text: str) -> str:
            return text.replace("damn", "dear")

    outputs = list(stream_generate(Model(said("damn"), said(" you")), [], transformer=Polite()))
    assert [output.response for output in outputs] == ["dear", "dear you"]


def test_an_exception_of_the_model_comes_through() -> None:
    class Broken:
        def create_chat_completion(self, **asked: Any) -> Iterator[Any]:
            yield said("half")
            raise RuntimeError("out of memory")

    stream = stream_generate(Broken(), [])
    assert next(stream).response == "half"
    with pytest.raises(RuntimeError, match="out of memory"):
        next(stream)


def test_times_are_measured_from_the_start_to_the_first_token_and_through_reasoning() -> None:
    now = iter([10.0, 12.0, 13.0, 16.0, 20.0])
    timing = Timing(clock=lambda: next(now))
    timing.mark_first_token()
    timing.mark_first_token()
    timing.start_reasoning()
    timing.end_reasoning(token_count=5)
    assert timing.stats == {
        "time_to_first_token": 2.0,
        "generation_time": 8.0,
        "reasoning_time": 3.0,
        "reasoning_tokens": 5,
    }
    with timing_context() as fresh:
        assert fresh.stats["time_to_first_token"] == 0.0
