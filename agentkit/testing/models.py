"""Models for tests: `Scripted` says what the script says, `Auto` calls every tool once.

    script = Scripted([
        ["Let me look.", call("get_weather", {"city": "Paris"})],    # one answer: text, then a call
        lambda request: f"It is {request.messages[-1].text}",         # decided when asked
    ])

An answer ("step") is one part or a list of parts, spoken in this order:

| part | what the model does |
|---|---|
| `"text"` | says it |
| `think("...")` | says it as reasoning |
| `call(name, arguments)`, `finish(output)` | calls the tool |
| `error(ModelError(...))`, or the ModelError itself | raises it |
| `gate()` | stops until the test opens the gate |
| `hang()` | stops until it is cancelled |
| a function of the request | does what it returns: a part or a list of them |
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic_core import to_json

from agentkit.errors import ModelError
from agentkit.runtime.models import _deltas
from agentkit.runtime.models._json import is_object
from agentkit.runtime.ports import ModelRequest, ModelTool
from agentkit.testing.gates import Gate
from agentkit.testing.samples import sample
from agentkit.wire import LLMDelta

__all__ = ["Auto", "Call", "Part", "Scripted", "Step", "Thought", "call", "error", "finish", "gate", "hang", "think"]

CHUNK_SIZE = 12


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call. `raw` is what travels in place of the arguments' JSON, to test what is no JSON."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    id: str | None = None
    raw: str | None = None

    @property
    def text(self) -> str:
        """The arguments as they travel."""
        return to_json(self.arguments).decode() if self.raw is None else self.raw


@dataclass(frozen=True, slots=True)
class Thought:
    """A piece of reasoning."""

    text: str


Part: TypeAlias = str | Call | Thought | Gate | ModelError
Answer: TypeAlias = Part | Sequence[Part]
Step: TypeAlias = Answer | Callable[[ModelRequest], Answer]


def call(
    name: str, arguments: Mapping[str, Any] | None = None, *, id: str | None = None, raw: str | None = None
) -> Call:
    """A call of the tool `name`. Without `id` calls are numbered: `call_1_0` is the first of the first answer."""
    return Call(name, arguments or {}, id, raw)


def finish(output: Any, *, id: str | None = None) -> Call:
    """The call that hands in the output: an object as it is, anything else as `{"result": ...}`."""
    return Call("finish", output if is_object(output) else {"result": output}, id)


def think(text: str) -> Thought:
    """A piece of reasoning."""
    return Thought(text)


def error(failure: ModelError | str, *, retryable: bool = False, status_code: int | None = None) -> ModelError:
    """A failure of the model: the exception itself, or a ModelError with this message."""
    if isinstance(failure, ModelError):
        return failure
    return ModelError(failure, retryable=retryable, status_code=status_code)


def gate() -> Gate:
    """A place to stop until the test opens it; keep it, to open it and to wait for the model to get there."""
    return Gate()


def hang() -> Gate:
    """A place to stop until the model is cancelled: a gate that nobody opens."""
    return Gate()


class Scripted:
    """A model that gives the script's answers in their order, one per request, and keeps the requests.

    A mapping holds one script per model name (`scripted/parent`, `scripted/child`). A request beyond the script fails
    with a ModelError, and `assert_complete` tells of it too. `chunk_size` is how many characters a delta carries, of a
    text and of a call's arguments alike; None sends each part as one delta.
    """

    def __init__(
        self,
        steps: Sequence[Step] | Mapping[str, Sequence[Step]],
        *,
        name: str = "scripted",
        chunk_size: int | None = CHUNK_SIZE,
    ) -> None:
        self.name = name
        self.requests: list[ModelRequest] = []
        self._chunk_size = chunk_size
        self._by_model = isinstance(steps, Mapping)
        scripts = steps if isinstance(steps, Mapping) else {"": steps}
        self._left = {model: list(script) for model, script in scripts.items()}
        self._surplus: list[str] = []

    def __repr__(self) -> str:
        return f"Scripted({self.name!r}, {len(self.requests)} asked, {sum(map(len, self._left.values()))} left)"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[LLMDelta]:
        """The next answer of the script."""
        step = self._next(request)
        number = len(self.requests)
        parts = _parts(step(request) if callable(step) else step)
        calls = 0
        for part in parts:
            match part:
                case Gate():
                    await part.passed()
                case ModelError():
                    raise part
                case str():
                    for piece in _deltas.pieces(part, self._chunk_size):
                        yield _deltas.said(piece)
                case Thought(text):
                    for piece in _deltas.pieces(text, self._chunk_size):
                        yield _deltas.thought(piece)
                case Call():
                    fragments = _deltas.pieces(part.text, self._chunk_size)
                    id = part.id or f"call_{number}_{calls}"
                    for delta in _deltas.called(calls, id=id, name=part.name, arguments=fragments):
                        yield delta
                    calls += 1
        yield _deltas.ended(_usage(request, parts))

    def assert_complete(self) -> None:
        """Raises AssertionError unless every answer was asked for, and no more than that."""
        left = [f"{model or self.name}: {step!r}" for model, script in self._left.items() for step in script]
        if left:
            raise AssertionError(f"{len(left)} answers of the script were not asked for, next {left[0]}")
        if self._surplus:
            raise AssertionError(
                f"{len(self._surplus)} requests more than the script has answers, first {self._surplus[0]}"
            )

    def _next(self, request: ModelRequest) -> Step:
        self.requests.append(request)
        script = self._left.get(request.model if self._by_model else "")
        if script:
            return script.pop(0)
        last = request.messages[-1] if request.messages else None
        asked = f"{last.role}: {last.text[:80]!r}" if last else "no message"
        self._surplus.append(f"request {len(self.requests)} ({asked})")
        what = "is over" if script is not None else f"has no part for model {request.model!r}"
        raise ModelError(
            f"the script of {self.name!r} {what}, but request {len(self.requests)} came ({asked}); add a step"
        )


class Auto:
    """A model that calls every tool once with arguments that fit its schema, then finishes, or says "done".

    The arguments depend on the seed, the tool and how many user messages there were, and on nothing else. Tools named
    in `skip` are not called, nor is `widget`, which may wait for a person.
    """

    def __init__(self, seed: int = 0, *, name: str = "auto", skip: Collection[str] = ()) -> None:
        self.name = name
        self.seed = seed
        self.requests: list[ModelRequest] = []
        self._skip = frozenset({*skip, "widget"})

    async def stream(self, request: ModelRequest) -> AsyncGenerator[LLMDelta]:
        """Calls of all tools that were not called since the last user message; after that the end."""
        self.requests.append(request)
        parts = self._answer(request)
        asked = len(self.requests)
        for index, part in enumerate(parts):
            match part:
                case Call():
                    fragments = _deltas.pieces(part.text, CHUNK_SIZE)
                    id = f"auto_{asked}_{index}"
                    for delta in _deltas.called(index, id=id, name=part.name, arguments=fragments):
                        yield delta
                case str():
                    yield _deltas.said(part)
        yield _deltas.ended(_usage(request, parts))

    def _answer(self, request: ModelRequest) -> list[Call | str]:
        called = _called_this_turn(request)
        turn = sum(message.role == "user" for message in request.messages)
        open_tools = [tool for tool in request.tools if tool.name != "finish" and tool.name not in self._skip | called]
        if open_tools:
            return [self._call(tool, turn) for tool in open_tools]
        finishing = next((tool for tool in request.tools if tool.name == "finish"), None)
        if finishing is not None:
            return [self._call(finishing, turn)]
        if request.output_schema is not None:
            return [to_json(self._sample(request.output_schema, "output", turn)).decode()]
        return ["done"]

    def _call(self, tool: ModelTool, turn: int) -> Call:
        return Call(tool.name, self._sample(tool.parameters, tool.name, turn))

    def _sample(self, schema: Mapping[str, Any], name: str, turn: int) -> Any:
        try:
            return sample(schema, random.Random(f"{self.seed}/{name}/{turn}"))
        except ValueError as why:
            raise ModelError(f"Auto cannot make arguments for {name!r}: {why}; skip the tool, or use Scripted") from why


def _called_this_turn(request: ModelRequest) -> set[str]:
    names: set[str] = set()
    for message in reversed(request.messages):
        if message.role == "user":
            break
        names.update(each.name for each in message.calls)
    return names


def _parts(answer: Answer) -> Sequence[Part]:
    match answer:
        case str() | Call() | Thought() | Gate() | ModelError():
            return [answer]
        case _:
            return answer


def _usage(request: ModelRequest, parts: Sequence[Part]) -> dict[str, Any]:
    spoken = [part if isinstance(part, str) else part.text for part in parts if isinstance(part, str | Call | Thought)]
    return _deltas.usage(
        stop_reason="tool_calls" if any(isinstance(part, Call) for part in parts) else "stop",
        prompt_tokens=_deltas.words(request),
        completion_tokens=sum(len(text.split()) for text in spoken),
    )
