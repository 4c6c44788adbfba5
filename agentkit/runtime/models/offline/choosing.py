"""Which tool is called next, and with what."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentkit.runtime.models.offline.filling import Reading, fill
from agentkit.runtime.models.offline.words import content_stems, fold, name_words
from agentkit.runtime.ports import ModelRequest, ModelTool

__all__ = ["Choice", "choose"]

# What the platform offers every agent, and what ends a run: used when told to, which this model does not understand.
_NOT_FOR_US: Final = re.compile(
    r"^(?:finish|widget|plan_\w+|memory_\w+|skill_\w+|search_tools|list_tools|execute_tool)$"
)
_FORBIDDEN: Final = re.compile(
    r"(?:\bnever|\bdo not|\bdon['’]t|\bmust not|\bwithout|\bavoid|\bnicht|\bkeinesfalls)\b[^.;\n]{0,40}$"
)
_VERBS: Final = content_stems(
    "get set create make do run find look lookup search fetch list show check compute "
    "calculate add send book call read write"
)
_ENOUGH: Final = 0.3


@dataclass(frozen=True, slots=True)
class Choice:
    """A tool to call, with the arguments found for it."""

    tool: ModelTool
    arguments: Mapping[str, Any]


def choose(request: ModelRequest, reading: Reading) -> Choice | None:
    """The first relevant tool that was not called in this turn and whose schema the found arguments satisfy."""
    for tool in relevant(request, reading):
        if reading.turn.named(tool.name) is None:
            arguments = fill(tool.parameters, reading, with_blanks=False)
            if arguments is not None and not _converts_to_itself(arguments):
                return Choice(tool, arguments)
    return None


def relevant(request: ModelRequest, reading: Reading) -> Iterator[ModelTool]:
    """The tools that the instructions name, in that order; then those whose words are the user's."""
    offered = [tool for tool in request.tools if not _NOT_FOR_US.match(tool.name)]
    instructions = f"{request.system_prompt}\n{reading.turn.text}"
    named = {tool.name: at for tool in offered if (at := _mention(tool.name, instructions)) is not None}
    yield from sorted((tool for tool in offered if tool.name in named), key=lambda tool: named[tool.name])
    stems = content_stems(reading.turn.text)
    others = [
        (tool, _overlap(tool, stems))
        for tool in offered
        if tool.name not in named and not _is_forbidden(tool.name, instructions)
    ]
    yield from (tool for tool, score in sorted(others, key=lambda pair: -pair[1]) if score >= _ENOUGH)


def _mentions(name: str, text: str) -> Iterator[re.Match[str]]:
    return re.finditer(rf"(?<![\w-]){re.escape(fold(name))}(?![\w-])", fold(text))


def _mention(name: str, text: str) -> int | None:
    """Where the tool is named and not forbidden ("never call X")."""
    allowed = (match.start() for match in _mentions(name, text) if not _FORBIDDEN.search(match.string[: match.start()]))
    return next(allowed, None)


def _is_forbidden(name: str, text: str) -> bool:
    return _mention(name, text) is None and any(True for _ in _mentions(name, text))


def _overlap(tool: ModelTool, stems: set[str]) -> float:
    """How much of the tool's meaning is in the text: all of its name's nouns, or a share of all its words."""
    nouns = content_stems(name_words(tool.name)) - _VERBS
    about = nouns | (content_stems(tool.description) - _VERBS)
    if not about:
        return 0.0
    share = len(about & stems) / len(about)
    if nouns and nouns <= stems:
        return 1.0 + share
    return share if len(about & stems) >= 2 or nouns & stems else 0.0


def _converts_to_itself(arguments: Mapping[str, Any]) -> bool:
    """A conversion of a currency to itself is no work to do."""
    currencies = [
        value for name, value in arguments.items() if "currency" in name_words(name) or name in ("from", "to")
    ]
    return len(currencies) == 2 and currencies[0] == currencies[1]
