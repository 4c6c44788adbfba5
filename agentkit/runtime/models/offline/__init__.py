"""`offline/extract`: the model that is there when no other is.

It is no language model. It is a set of tables and patterns, some thousand words in six languages, that

- fills a JSON Schema from a text: by labels, formats, currencies, dates, vocabulary and position;
- calls the tools that the instructions name or whose words are in the text, once each, when it can fill their arguments
  so that they are valid, and passes over the others;
- hands in the output, null or empty where the text says nothing;
- repeats, in a sentence or two, what the text or the tools say.

It understands nothing, knows nothing, and sees no images. It never touches the network, the clock or chance: the same
request gets the same answer. It is meant for real documents of the common kinds (receipts, invoices, tickets, mails),
so that examples, tests and a first try of a program need no key; and for nothing that a person does not look at.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any, Final

from anyio import to_thread
from pydantic_core import to_json

from agentkit.errors import ModelNotFoundError
from agentkit.runtime.models import _deltas
from agentkit.runtime.models.offline.choosing import choose
from agentkit.runtime.models.offline.document import Document
from agentkit.runtime.models.offline.filling import Reading, fill
from agentkit.runtime.models.offline.summary import answer
from agentkit.runtime.models.offline.turn import Turn
from agentkit.runtime.ports import ModelProvider, ModelRequest
from agentkit.wire import LLMDelta

__all__ = ["Offline", "provide"]

FINISH: Final = "finish"
FRAGMENT_SIZE: Final = 40
WORDS_PER_DELTA: Final = 3
_CHUNKS = re.compile(rf"(?:\S+\s*){{1,{WORDS_PER_DELTA}}}|\s+")


def provide(environ: Mapping[str, str]) -> ModelProvider:
    """The provider; it needs nothing of the environment."""
    return Offline()


class Offline:
    """The provider of `offline/extract`."""

    name = "offline"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[LLMDelta]:
        """The answer. Raises ModelNotFoundError for any model but `extract`."""
        if request.model != "extract":
            raise ModelNotFoundError(
                f"no model 'offline/{request.model}'; the offline provider has 'offline/extract' alone"
            )
        for delta in await to_thread.run_sync(_whole_answer, request):  # a book of a text takes seconds
            yield delta


def _whole_answer(request: ModelRequest) -> list[LLMDelta]:
    return list(_answered(request))


def _answered(request: ModelRequest) -> Iterator[LLMDelta]:
    turn = Turn.of(request)
    reading = Reading(Document(turn.text), turn, request.system_prompt)
    call = _next_call(request, reading)
    if call is not None:
        return _calling(request, len(turn.calls), *call)
    return _saying(request, _in_words(request, reading))


def _next_call(request: ModelRequest, reading: Reading) -> tuple[str, Mapping[str, Any]] | None:
    choice = choose(request, reading)
    if choice is not None:
        return choice.tool.name, choice.arguments
    finishing = next((tool for tool in request.tools if tool.name == FINISH), None)
    if finishing is None or reading.turn.named(FINISH) is not None:
        return None
    output = _output(finishing.parameters, reading)
    return (FINISH, output) if output is not None else None


def _output(schema: Mapping[str, Any], reading: Reading) -> Mapping[str, Any] | None:
    """The output; where it is one text, what would be said in words."""
    properties = schema.get("properties", {})
    if (
        list(properties) == ["result"]
        and properties["result"].get("type") == "string"
        and "enum" not in properties["result"]
    ):
        return {"result": answer(reading.document, reading.turn)}
    return fill(schema, reading, with_blanks=True)


def _in_words(request: ModelRequest, reading: Reading) -> str:
    """A text; as JSON where an output schema is given and no `finish` to call."""
    offers_finish = any(tool.name == FINISH for tool in request.tools)
    if request.output_schema is None:
        return answer(reading.document, reading.turn)
    output = _output(request.output_schema, reading)
    if output is not None and not offers_finish:
        return to_json(output).decode()
    return f"I cannot fill the output's schema from what I was given. {answer(reading.document, reading.turn)}"


def _calling(request: ModelRequest, position: int, name: str, arguments: Mapping[str, Any]) -> Iterator[LLMDelta]:
    text = to_json(arguments).decode()
    digest = hashlib.sha256(f"{position}\n{name}\n{text}".encode()).hexdigest()
    fragments = _deltas.pieces(text, FRAGMENT_SIZE)
    yield from _deltas.called(0, id=f"call_{digest[:24]}", name=name, arguments=fragments)
    yield _ended(request, "tool_calls", text)


def _saying(request: ModelRequest, text: str) -> Iterator[LLMDelta]:
    for piece in _CHUNKS.findall(text):
        yield _deltas.said(piece)
    yield _ended(request, "stop", text)


def _ended(request: ModelRequest, stop_reason: str, text: str) -> LLMDelta:
    """Words stand for tokens: this model has none."""
    words = len(text.split())
    return _deltas.ended(
        _deltas.usage(stop_reason=stop_reason, prompt_tokens=_deltas.words(request), completion_tokens=words)
    )
