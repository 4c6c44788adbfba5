"""Values that are known by name: from JSON in the text, and from the results of the turn's tools."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agentkit.runtime.models._json import is_list, is_object
from agentkit.runtime.models.offline.document import Document
from agentkit.runtime.models.offline.labels import Concept
from agentkit.runtime.models.offline.turn import Turn
from agentkit.runtime.models.offline.words import content_stems, name_words

__all__ = ["Known"]


class Known:
    """What the text's JSON and the tools have said, by property name. What was said later comes first."""

    def __init__(self, document: Document, turn: Turn) -> None:
        self._turn = turn
        values = [*document.data, *(called.data for called in turn.calls if called.succeeded)]
        self._pairs = [pair for value in reversed(values) for pair in _pairs(value)]

    def named(self, name: str) -> Iterator[Any]:
        """The values under exactly this name, however it is spelled; an `expense_id` is also the id that a tool
        about expenses gave out."""
        wanted = "".join(name_words(name))
        yield from (value for key, value in self._pairs if "".join(name_words(key)) == wanted)
        *stems, last = name_words(name) or [""]
        if last in ("id", "number", "reference") and stems:
            for called in reversed(self._turn.calls):
                about = content_stems(name_words(called.name))
                if called.succeeded and is_object(called.data) and about & content_stems(stems):
                    yield from (value for key, value in _pairs(called.data) if key.lower() == last)

    def meaning(self, concept: Concept) -> Iterator[Any]:
        """The values whose name is another word for the concept: a `merchant` is a vendor."""
        for key, value in self._pairs:
            if " ".join(name_words(key)) in concept.asks:
                yield value

    def rows(self) -> Iterator[list[Mapping[str, Any]]]:
        """The lists of objects."""
        for _, value in self._pairs:
            if is_list(value) and value and all(is_object(row) for row in value):
                yield value

    def like(self, words: Iterable[str]) -> Iterator[Any]:
        """The values whose name is of several words, all of them among these (`amount_eur`: the amount in EUR)."""
        stems = content_stems(words)
        for key, value in self._pairs:
            about = content_stems(name_words(key))
            if len(about) > 1 and about <= stems:
                yield value


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Every name and value at any depth, outer ones first."""
    if is_object(value):
        yield from value.items()
        for inner in value.values():
            yield from _pairs(inner)
    elif is_list(value) and value:
        yield from _pairs(value[0])
