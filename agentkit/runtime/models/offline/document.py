"""A text, read as a document: its lines, the cells in them, the labels and what stands beside or below them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from agentkit.runtime.models.offline.dates import DatedText, Order, find_dates, slash_order
from agentkit.runtime.models.offline.labels import Concept
from agentkit.runtime.models.offline.money import currency_mentions
from agentkit.runtime.models.offline.vocabulary import MARKETING, SPENDING, topic_of
from agentkit.runtime.models.offline.words import fold, has_phrase, phrase_pattern, tokens

__all__ = ["Document", "Labelled", "Line"]

MAX_LEAD_WORDS: Final = 2
MAX_LABEL_PLACE: Final = 500  # characters of a cell; further in it is prose, and no label
_CELL_END = re.compile(
    r"\s{2,}|\t+|\s*\|\s*|\s*(?:\.\s?){4,}\s*|\s*…+\s*|\s+[•·]\s+|;(?=\S)|[,;]\s+(?=[^\W\d_][\w .]{1,20}:\s)"
)
_MARKUP = re.compile(r"^[\s>*_#=~\-+•·|]+|[\s*_#=~|]+$")
_NUMBER_WORDS: Final = "number|num|no|nr|nummer|numero|n|id|code|ref|idnr"
_AFTER_LABEL = re.compile(rf"^[\s.)]*(?:(?:{_NUMBER_WORDS})(?![^\W_])[.°º]*|[°º#])?[\s:=#.°º–]*(?:-\s)?\s*")
_BENIGN = re.compile(
    rf"^[\s./#°º()\-]*(?:(?:{_NUMBER_WORDS}|the|your|our|tax|simplified|invoice|receipt)[\s./#°º()\-]*)*$"
)
_TAGS: Final = (
    (re.compile(r"(?is)<(script|style|head)\b.*?</\1>"), " "),
    (re.compile(r"(?i)<br\s*/?>|</(?:p|div|tr|li|h\d|table)>"), "\n"),
    (re.compile(r"(?i)</t[dh]>"), "\t"),
    (re.compile(r"(?s)<[^<>]+>"), ""),
)
_DMY_LANGUAGES: Final = ("de", "fr", "es", "it", "nl")


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its text without ornaments, and the cells it falls into."""

    index: int
    text: str
    folded: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Labelled:
    """What stands at a label. `rest` is everything behind it on the line, `value` what is left of its own cell."""

    value: str
    rest: str
    rank: int
    score: int
    line: int
    extra: str  # the rest of the label, between the words that were looked for and the colon


class Document:
    """A text and what can be told of it as a whole. Nothing here looks further than the text."""

    def __init__(self, text: str) -> None:
        self.text = _plain(text)
        self.folded = fold(self.text)
        self.lines = [_line(index, raw) for index, raw in enumerate(filter(str.strip, self.text.splitlines()))]

    # -- the whole text --------------------------------------------------------------------------------------------

    @cached_property
    def is_short(self) -> bool:
        """A question or an order rather than a document."""
        return len(self.text) < 300 and len(self.lines) <= 3

    @cached_property
    def language(self) -> str | None:
        """The language of most of its small words."""
        counts = Counter(tokens(self.text))
        votes = {code: sum(counts[word] for word in topic_of(code)[0][1]) for code in ("en", *_DMY_LANGUAGES)}
        best = max(votes, key=lambda code: votes[code])
        return best if votes[best] else None

    @cached_property
    def currency(self) -> str | None:
        """The currency mentioned most often; of equals the first."""
        mentions = currency_mentions(self.text)
        return max(mentions, key=lambda code: (mentions.count(code), -mentions.index(code))) if mentions else None

    @cached_property
    def order(self) -> Order:
        """How dates with slashes are meant here."""
        american = self.currency in ("USD", None) and self.language in ("en", None)
        return slash_order(self.text, default="mdy" if american else "dmy")

    @cached_property
    def dates(self) -> list[DatedText]:
        """Every date of the text."""
        return find_dates(self.text, order=self.order)

    def dates_in(self, text: str) -> list[DatedText]:
        """The dates in a part of the text, read as in the whole."""
        return find_dates(text, order=self.order)

    @cached_property
    def spending(self) -> int:
        """How much it speaks of money spent: the distinct words for it, less those of advertising."""
        spent = sum(has_phrase(self.folded, (word,)) for word in SPENDING)
        return spent - 2 * sum(phrase_pattern(word).search(self.folded) is not None for word in MARKETING)

    @cached_property
    def is_marketing(self) -> bool:
        """A newsletter or an advertisement, by its words."""
        return sum(has_phrase(self.folded, (word,)) or word in self.folded for word in MARKETING) >= 2

    @cached_property
    def data(self) -> list[Any]:
        """The JSON values in the text, if any."""
        return list(_json_values(self.text))

    # -- labels ----------------------------------------------------------------------------------------------------

    def at(self, concept: Concept, *, least_rank: int = 1) -> list[Labelled]:
        """What stands at the labels of a concept, the surest first."""
        ranked = [pair for pair in concept.ranked if pair[1] >= least_rank]
        found = self.at_labels(ranked, never=concept.never, strict=concept.kind == "code")
        return found

    def at_labels(
        self, ranked: Iterable[tuple[str, int]], *, never: Sequence[str] = (), strict: bool = False
    ) -> list[Labelled]:
        """What stands at any of these folded labels. `strict`: they may only go on with "number"."""
        ranked = list(ranked)
        found = [
            labelled
            for line in self.lines
            for position in range(len(line.cells))
            if (labelled := self._best(line, position, ranked, never=never, strict=strict))
        ]
        return sorted(found, key=lambda each: (-each.score, each.line))

    def _best(
        self, line: Line, position: int, ranked: list[tuple[str, int]], *, never: Sequence[str], strict: bool
    ) -> Labelled | None:
        folded = fold(line.cells[position][:MAX_LABEL_PLACE])
        candidates = [
            labelled
            for phrase, rank in ranked
            if phrase.split()[0] in folded
            for match in phrase_pattern(phrase).finditer(folded)
            if (labelled := self._labelled(line, position, match, rank=rank, never=never, strict=strict))
        ]
        return max(candidates, key=lambda each: each.score, default=None)

    def _labelled(
        self, line: Line, position: int, match: re.Match[str], *, rank: int, never: Sequence[str], strict: bool
    ) -> Labelled | None:
        cell = line.cells[position]
        lead = re.split(r"[.!?]\s|\d+(?:[.,]\d+)?\s?%", match.string[: match.start()])[-1].strip(" (/.-*")
        if len(lead.split()) > MAX_LEAD_WORDS or re.search(r"[:\d]", lead):
            return None
        tail = cell[match.end() : match.end() + MAX_LABEL_PLACE]
        extra, has_colon = _extra(tail)
        qualifier = fold(extra if has_colon else re.split(r"[\d€$£]", tail, maxsplit=1)[0])
        if strict and not (_BENIGN.match(lead) and _BENIGN.match(fold(extra))):
            return None
        if has_phrase(f"{lead} {_without_inclusions(qualifier if not strict else extra)}", never):
            return None
        value = tail[len(extra) + 1 :].strip() if has_colon else tail[_after(tail) :].strip()
        rest = "  ".join([value, *line.cells[position + 1 :]]).strip()
        is_alone = not value
        if is_alone:
            value, rest = self._beside_or_below(line, position)
        score = 10 * rank + 5 * (not lead) + 3 * (has_colon or is_alone) + 2 * (not extra.strip()) + len(match[0]) // 4
        return Labelled(value, rest, rank, score - 3 * len(lead.split()), line.index, fold(extra))

    def _beside_or_below(self, line: Line, position: int) -> tuple[str, str]:
        """What a label without a value of its own speaks of: the next cell, or in a heading the one below."""
        below = self.lines[line.index + 1] if line.index + 1 < len(self.lines) else None
        if below is not None and self._is_heading(line, below):
            return below.cells[position], below.cells[position]
        if position + 1 < len(line.cells):
            return line.cells[position + 1], "  ".join(line.cells[position + 1 :])
        if below is None:
            return "", ""
        aligned = below.cells[position] if len(below.cells) == len(line.cells) else below.cells[0]
        return (aligned, below.text) if aligned and not aligned.endswith(":") else ("", "")

    def _is_heading(self, line: Line, below: Line) -> bool:
        """A row of labels with one row of values below; with more rows it heads a table of items."""
        if not 2 <= len(line.cells) == len(below.cells):
            return False
        further = self.lines[below.index + 1] if below.index + 1 < len(self.lines) else None
        is_table = (
            further is not None and len(further.cells) == len(line.cells) and bool(re.search(r"\d", further.text))
        )
        labels_only = not re.search(r"\d|:\s*\S", line.text)
        return labels_only and not is_table and bool(re.search(r"\d", below.text))


def _plain(text: str) -> str:
    if re.search(r"(?i)</(?:p|div|td|tr|body|html)>", text):
        for tag, instead in _TAGS:
            text = tag.sub(instead, text)
        text = text.replace("&nbsp;", " ").replace("&amp;", "&").replace("&euro;", "€")
    return text.replace("\r\n", "\n").replace("\u00a0", " ").replace("\u202f", " ")


def _line(index: int, raw: str) -> Line:
    text = _MARKUP.sub("", raw)
    cells = tuple(cell.strip() for cell in _CELL_END.split(text) if cell and cell.strip()) or ("",)
    return Line(index, text, fold(text), cells)


def _extra(tail: str) -> tuple[str, bool]:
    """The part of a label before its colon or equals sign, and whether there is one before the value begins."""
    match = re.match(
        r"([^:=\d€$£]{0,40}(?:\(?[^:=()]{0,12}\d{1,2}[.,]?\d?\s?%[^:=()]{0,12}\)?)?[^:=\d€$£]{0,20})[:=](?!\d\d)", tail
    )
    return (match[1], True) if match else ("", False)


def _after(tail: str) -> int:
    match = _AFTER_LABEL.match(fold(tail))
    return match.end() if match else 0


_INCLUSIONS = re.compile(
    r"\(?\b(?:incl|including|inclusive|inkl|inklusive|einschl|inc|inclusief|including|y "
    r"compris|comprise?|inclu[a-z]*|with|plus|dont)\b\.?"
    r"[^)\d]*(?:\d+[.,]?\d*\s?%)?[^)\d]*\)?|\bttc\b"
)


def _without_inclusions(folded: str) -> str:
    """A label without "incl. VAT", which does not make a total a tax."""
    return _INCLUSIONS.sub(" ", folded)


def _json_values(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    at = 0
    while (start := _first_bracket(text, at)) >= 0:
        try:
            value, at = decoder.raw_decode(text, start)
        except ValueError:
            at = start + 1
            continue
        if isinstance(value, dict | list) and value:
            yield value


def _first_bracket(text: str, at: int) -> int:
    match = re.compile(r"\{\s*\"|\[\s*[\[{\"\d]").search(text, at)
    return match.start() if match else -1
