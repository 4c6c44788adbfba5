"""Which documents fit a few words best: BM25 over weighted texts, the same order every time."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

__all__ = ["Document", "rank", "words"]

Document: TypeAlias = Mapping[str, float]
"""Texts, and how much each of their words counts."""

SATURATION: Final = 1.2  # the usual k1: the tenth mention of a word says little more than the second
LENGTH: Final = 0.6  # the usual b, somewhat lower: a long description is no fault of a tool's
PREFIX: Final = 0.5  # what a word counts that only begins like the one that was asked for
SHORTEST_PREFIX: Final = 3
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+")


def words(text: str) -> Iterator[str]:
    """The words of a text or a name, in lower case, plurals as singulars.

    >>> list(words("getUserFiles of HTTP_servers, v2"))
    ['get', 'user', 'file', 'of', 'http', 'server', 'v', '2']
    """
    for found in _WORD.findall(text):
        word = found.lower()
        if len(word) > 4 and word.endswith("ies"):
            yield f"{word[:-3]}y"
        else:
            yield word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def rank(query: str, documents: Sequence[Document]) -> list[int]:
    """The places of the documents that have any of the words, best first; equals in their order."""
    counts = [_counted(each) for each in documents]
    average = sum(map(_length, counts)) / (len(counts) or 1) or 1.0
    wanted = dict.fromkeys(words(query))
    scores = [0.0] * len(counts)
    for word in wanted:
        found = [_weight(count, word) for count in counts]
        rarity = math.log(1 + (len(counts) - _number(found) + 0.5) / (_number(found) + 0.5))
        for place, weight in enumerate(found):
            norm = SATURATION * (1 - LENGTH + LENGTH * _length(counts[place]) / average)
            scores[place] += rarity * weight * (SATURATION + 1) / (weight + norm)
    hits = [place for place, score in enumerate(scores) if score > 0]
    return sorted(hits, key=lambda place: (-scores[place], place))


# -- parts ---------------------------------------------------------------------------------------------------------


def _counted(document: Document) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text, weight in document.items():
        for word in words(text):
            counts[word] += weight  # type: ignore[assignment]  # a Counter adds up any number
    return counts


def _length(counts: Counter[str]) -> float:
    return float(sum(counts.values()))


def _weight(counts: Counter[str], word: str) -> float:
    exact = float(counts.get(word, 0))
    if exact or len(word) < SHORTEST_PREFIX:
        return exact
    return PREFIX * sum(count for each, count in counts.items() if each.startswith(word))


def _number(found: Sequence[float]) -> int:
    return sum(1 for each in found if each)
