"""From a model's chunks to the growing outputs of an LLM app, with times and counts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Generic, TypeVar, cast

from agentkit.apps.llm import BaseLLMOutput, LLMOutput, LLMUsage

__all__ = [
    "ResponseState",
    "ResponseTransformer",
    "StreamResponse",
    "Timing",
    "stream_generate",
    "timing_context",
]

CONTROL_TOKENS: Final = ("<|im_end|>", "<|im_start|>", "<start_of_turn>", "<end_of_turn>", "<eos>")
LETTERS_PER_TOKEN: Final = 4  # a rough guess, where the model does not count its reasoning

Output = TypeVar("Output", bound=BaseLLMOutput)


class Timing:
    """When an answer began, when its first token came, and how long it reasoned; in seconds of `clock`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.start_time = clock()
        self.first_token_time: float | None = None
        self.reasoning_start_time: float | None = None
        self.total_reasoning_time = 0.0
        self.reasoning_tokens = 0

    @property
    def in_reasoning(self) -> bool:
        """Whether reasoning was started and not ended."""
        return self.reasoning_start_time is not None

    def mark_first_token(self) -> None:
        """The first token is here; later calls change nothing."""
        if self.first_token_time is None:
            self.first_token_time = self._clock()

    def start_reasoning(self) -> None:
        """Reasoning begins."""
        if self.reasoning_start_time is None:
            self.reasoning_start_time = self._clock()

    def end_reasoning(self, token_count: int = 0) -> None:
        """Reasoning ends."""
        if self.reasoning_start_time is not None:
            self.total_reasoning_time += self._clock() - self.reasoning_start_time
            self.reasoning_tokens += token_count
            self.reasoning_start_time = None

    @property
    def stats(self) -> dict[str, Any]:
        """`time_to_first_token`, `generation_time`, `reasoning_time` in seconds, and `reasoning_tokens`."""
        first = self.first_token_time
        return {
            "time_to_first_token": 0.0 if first is None else first - self.start_time,
            "generation_time": 0.0 if first is None else self._clock() - first,
            "reasoning_time": self.total_reasoning_time,
            "reasoning_tokens": self.reasoning_tokens,
        }


@contextmanager
def timing_context() -> Generator[Timing]:
    """A `Timing` that begins now."""
    yield Timing()


class ResponseState:
    """What a transformer knows so far: all text as `buffer`, and what it made of it."""

    def __init__(self) -> None:
        self.buffer = ""
        self.response = ""
        self.reasoning: str | None = None
        self.function_calls: Any = None
        self.tool_calls: list[dict[str, Any]] | None = None
        self.current_tool_call: dict[str, Any] | None = None
        self.usage: LLMUsage | None = None
        self.state_changes = {
            f"{what}_{change}": False
            for what in ("reasoning", "function_call", "tool_call")
            for change in ("started", "ended")
        }


class ResponseTransformer(Generic[Output]):
    """Turns pieces of a model's text into outputs; models with habits of their own override a `handle_` method.

    As it is, text between <think> and </think> is the reasoning.
    """

    def __init__(self, output_cls: type[Output] | type[LLMOutput] = LLMOutput) -> None:
        self.state = ResponseState()
        self.output_cls: type[BaseLLMOutput] = output_cls
        self.timing: Timing | None = None

    def clean_text(self, text: str | None) -> str:
        """The text without control tokens."""
        for token in CONTROL_TOKENS:
            text = (text or "").replace(token, "")
        return self.additional_cleaning(text or "")

    def additional_cleaning(self, text: str) -> str:
        """More cleaning, for one model."""
        return text

    def handle_reasoning(self, text: str) -> None:
        """Splits the buffer into reasoning and response."""
        before, opened, thought = self.state.buffer.partition("<think>")
        if not opened:
            self.state.response = before
            return
        self._begin_reasoning()
        reasoning, closed, response = thought.partition("</think>")
        self.state.reasoning, self.state.response = reasoning.strip(), response.strip()
        if closed:
            self._end_reasoning(len(reasoning) // LETTERS_PER_TOKEN)

    def handle_function_calls(self, text: str) -> None:
        """Finds function calls in the buffer, for models that write them as text."""

    def handle_tool_calls(self, text: str) -> None:
        """Finds tool calls in the buffer, for models that write them as text."""

    def transform_chunk(self, chunk: str) -> None:
        """Takes in one piece of text."""
        cleaned = self.clean_text(chunk)
        self.state.buffer += cleaned
        self.handle_reasoning(cleaned)
        self.handle_function_calls(cleaned)
        self.handle_tool_calls(cleaned)

    def build_output(self) -> tuple[str, BaseLLMOutput, dict[str, bool]]:
        """The buffer, the output so far, and which parts have begun and ended."""
        state = self.state
        found: dict[str, Any] = {
            "response": state.response.strip(),
            "usage": state.usage,
            "reasoning": (state.reasoning or "").strip() or None,
            "function_calls": state.function_calls or None,
            "tool_calls": state.tool_calls or None,
        }
        values = {name: value for name, value in found.items() if value is not None}
        return state.buffer, self.output_cls(**values), state.state_changes

    def __call__(
        self, piece: str, buffer: str, usage: LLMUsage | None = None
    ) -> tuple[str, BaseLLMOutput, dict[str, bool]]:
        """Takes in one piece of text and returns what `build_output` does."""
        self.state.buffer = buffer
        self.state.usage = usage or self.state.usage
        self.transform_chunk(piece)
        return self.build_output()

    def _begin_reasoning(self) -> None:
        if not self.state.state_changes["reasoning_started"]:
            self.state.state_changes["reasoning_started"] = True
            if self.timing:
                self.timing.start_reasoning()

    def _end_reasoning(self, tokens: int) -> None:
        if not self.state.state_changes["reasoning_ended"]:
            self.state.state_changes["reasoning_ended"] = True
            if self.timing:
                self.timing.end_reasoning(tokens)


class StreamResponse:
    """The newest chunk of an OpenAI-style stream, and the tool calls and counts of all of them."""

    def __init__(self) -> None:
        self.content = ""
        self.tool_calls: list[dict[str, Any]] | None = None
        self.finish_reason: str | None = None
        self.usage_stats: dict[str, int] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        self.timing_stats: dict[str, Any] = {}
        self._by_index: dict[int, dict[str, Any]] = {}

    def update_from_chunk(self, chunk: Mapping[str, Any], timing: Timing) -> None:
        """Takes in a chunk: `{"choices": [{"delta" or "message": ..., "finish_reason"}], "usage"}`."""
        usage = _object(chunk.get("usage"))
        self.usage_stats.update({name: usage[name] for name in self.usage_stats if usage.get(name) is not None})
        choice = _object(next(iter(chunk.get("choices") or ()), None))
        said = _object(choice.get("delta") or choice.get("message"))
        self.content = said.get("content") or ""
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        for position, call in enumerate(said.get("tool_calls") or ()):
            self._add_call(call, position)
        self.timing_stats = timing.stats

    def has_updates(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.content or self.tool_calls or self.finish_reason or any(self.usage_stats.values()))

    def usage(self) -> LLMUsage | None:
        """Tokens and seconds so far; None while nothing was counted."""
        if not any(self.usage_stats.values()) and not self.finish_reason:
            return None
        times = dict(self.timing_stats)
        seconds = times.pop("generation_time", 0.0)
        speed = self.usage_stats["completion_tokens"] / seconds if seconds > 0 else 0.0
        return LLMUsage(stop_reason=self.finish_reason or "", tokens_per_second=speed, **self.usage_stats, **times)

    def to_output(self, buffer: str, transformer: ResponseTransformer[Any]) -> tuple[BaseLLMOutput, str]:
        """The output so far, and the buffer to hand in next time."""
        buffer, output, _ = transformer(self.content, buffer, self.usage())
        if self.tool_calls and "tool_calls" in type(output).model_fields:
            output = output.model_copy(update={"tool_calls": [_copy(call) for call in self.tool_calls]})
        return output, buffer

    def _add_call(self, delta: Mapping[str, Any], position: int) -> None:
        """A part of a call: the first has its id and name, the rest only its index and more of its arguments."""
        index = int(delta.get("index", position))
        call = self._by_index.get(index)
        if call is None or (delta.get("id") and delta["id"] != call["id"]):
            call = self._by_index[index] = _new_call(delta.get("id") or "")
            self.tool_calls = [*(self.tool_calls or ()), call]
        function = _object(delta.get("function"))
        call["function"]["name"] = function.get("name") or call["function"]["name"]
        call["function"]["arguments"] += function.get("arguments") or ""


def stream_generate(
    model: Any,
    messages: Sequence[Mapping[str, Any]],
    transformer: ResponseTransformer[Any] | None = None,
    tools: Sequence[Mapping[str, Any]] | None = None,
    tool_choice: Any = None,
    temperature: float = 0.7,
    top_p: float = 0.95,
    stop: Sequence[str] | None = None,
    verbose: bool = False,
    output_cls: type[BaseLLMOutput] = LLMOutput,
    kwargs: Mapping[str, Any] | None = None,
) -> Iterator[BaseLLMOutput]:
    """Runs a llama.cpp model (whatever has `create_chat_completion(stream=True)`) and yields the output as it grows.

    The model's exceptions come through as they are. `verbose` prints each chunk to the task's log.
    """
    transformer = transformer or ResponseTransformer()
    transformer.output_cls = output_cls
    optional = {name: value for name, value in (("tools", tools), ("tool_choice", tool_choice)) if value is not None}
    asked = {"temperature": temperature, "top_p": top_p, "stop": stop, **(kwargs or {}), **optional}
    with timing_context() as timing:
        transformer.timing = timing
        response, buffer = StreamResponse(), ""
        for chunk in model.create_chat_completion(messages=messages, stream=True, **asked):
            timing.mark_first_token()
            if verbose:
                sys.stdout.write(f"{chunk}\n")
            response.update_from_chunk(chunk, timing)
            if response.has_updates():
                output, buffer = response.to_output(buffer, transformer)
                yield output


def _object(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value or {})


def _new_call(id: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "", "arguments": ""}}


def _copy(call: Mapping[str, Any]) -> dict[str, Any]:
    return {**call, "function": {**call["function"]}}
