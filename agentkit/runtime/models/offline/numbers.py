"""Candidates for properties that are numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from agentkit.runtime.models.offline.amounts import labelled_amount, spent, tax_rate
from agentkit.runtime.models.offline.document import Document
from agentkit.runtime.models.offline.labels import named
from agentkit.runtime.models.offline.money import find_amounts, parse_number
from agentkit.runtime.models.offline.shapes import Shape
from agentkit.runtime.models.offline.words import fold, stem, tokens, word_set

if TYPE_CHECKING:
    from agentkit.runtime.models.offline.filling import Reading

__all__ = ["all_in", "alone", "candidates", "in_order", "labels_of", "read"]

_MONEY_WORDS: Final = word_set(
    """
    amount total price cost fee charge sum fare gross net tip balance value deposit rate salary budget spent paid
    """
)
_COUNT_WORDS: Final = word_set("count number num no of n total")
_ITEM_WORDS: Final = word_set("item items line lines position positions product products article articles entries")
_MINOR = re.compile(r"\bcents?\b|\bminor\b|\bpence\b")
_PERCENT = re.compile(r"(-?\d+(?:[.,]\d+)?)\s?%")
_NUMBER = re.compile(r"(?<![\w.,])-?\d+(?:[.,'’]\d+)*(?![\w])")
_SPELLED_BY_VALUE: Final = (
    "zero null",
    "one a an ein eine eins un une uno una",
    "two zwei deux dos due twee",
    "three drei trois tres tre drie",
    "four vier quatre cuatro quattro",
    "five funf cinq cinco cinque vijf",
    "six sechs seis sei zes",
    "seven sieben sept siete sette zeven",
    "eight acht huit ocho otto",
    "nine neun neuf nueve nove negen",
    "ten zehn dix diez dieci tien",
    "eleven elf onze once undici",
    "twelve zwolf douze doce dodici twaalf",
)
_SPELLED: Final = {word: value for value, words in enumerate(_SPELLED_BY_VALUE) for word in words.split()}


def read(text: str) -> Iterator[Decimal]:
    """The numbers in a text, in order."""
    for match in _NUMBER.finditer(text):
        sign = -1 if match[0].startswith("-") else 1
        yield sign * parse_number(match[0].lstrip("-"))


def alone(text: str) -> Iterator[Decimal]:
    """The number that a text is, with or without a currency; nothing for a text that only holds one."""
    for amount in find_amounts(text)[:1]:
        if not (text[: amount.start] + text[amount.end :]).strip():
            yield amount.value


def all_in(document: Document) -> list[Decimal]:
    """The numbers of a short text; those of a document are too many to mean anything."""
    return list(read(document.text)) if document.is_short else []


def candidates(shape: Shape, reading: Reading) -> Iterator[Decimal]:
    """The numbers that a property may mean, the likeliest first."""
    document = reading.document
    concept = shape.concept("money", "number", "percent")
    if (concept is not None and concept.kind == "percent") or shape.says("percent", "percentage", "pct"):
        yield from _percentages(shape, document)
        return
    if _is_count(shape):
        yield from _counts(shape, reading)
        return
    if concept is not None and concept.kind == "money":
        yield from _money(shape, reading)
        return
    yield from _labelled(shape, document, concept.name if concept else None)
    yield from _beside_noun(shape, document)


def _percentages(shape: Shape, document: Document) -> Iterator[Decimal]:
    rate = tax_rate(document) if shape.concept("percent") or shape.says("vat", "tax") else None
    if rate is None:
        match = _PERCENT.search(document.text)
        rate = Decimal(match[1].replace(",", ".")) if match else None
    if rate is not None:
        if shape.schema.get("maximum") == 1 or "fraction" in shape.description:
            yield rate / 100
        yield rate


def _money(shape: Shape, reading: Reading) -> Iterator[Decimal]:
    document = reading.document
    concept = shape.concept("money")
    if concept is None:
        return
    specific = [word for word in shape.words if word not in _MONEY_WORDS and word not in ("eur", "usd", "in")]
    if concept.name == "total":
        found = spent(document)
        own = (
            labelled_amount(document, None, labels=labels_of(shape))
            if specific and "total" not in shape.words
            else None
        )
        found = own or found
    else:
        found = labelled_amount(document, concept)
    if found is not None:
        is_minor = bool(_MINOR.search(" ".join([*shape.words, shape.description])))
        yield found.value * 100 if is_minor else found.value


def _is_count(shape: Shape) -> bool:
    return (
        shape.says("count", "num")
        or shape.words[:2] == ["number", "of"]
        or (shape.type == "integer" and shape.says(*_ITEM_WORDS))
    )


def _counts(shape: Shape, reading: Reading) -> Iterator[Decimal]:
    nouns = [word for word in shape.words if word not in _COUNT_WORDS]
    if not nouns or set(nouns) & _ITEM_WORDS:
        yield Decimal(len(reading.items))
        return
    concept = shape.concept("number")
    yield from _labelled(shape, reading.document, concept.name if concept else None)
    yield from _beside_noun(shape, reading.document)


def _labelled(shape: Shape, document: Document, concept: str | None) -> Iterator[Decimal]:
    found = document.at(named(concept)) if concept else []
    for labelled in [*found, *document.at_labels(labels_of(shape))]:
        match = _NUMBER.match(labelled.rest.lstrip("€$£ ~"))
        if match:
            yield next(read(match[0]))


def _beside_noun(shape: Shape, document: Document) -> Iterator[Decimal]:
    """The number right before one of the name's words: "3 nights", "two guests"."""
    stems = {stem(word) for word in shape.words if word not in _COUNT_WORDS}
    words = tokens(document.text)
    for number, noun in pairwise(words):
        if stem(noun) in stems:
            if number.isdigit():
                yield Decimal(number)
            elif number in _SPELLED:
                yield Decimal(_SPELLED[number])


def labels_of(shape: Shape) -> list[tuple[str, int]]:
    """The labels that a property without a concept may have in print: its title, its name, and its telling words."""
    whole = {fold(str(shape.schema.get("title", ""))), " ".join(shape.words)} - {""}
    single = [
        word
        for word in shape.words
        if len(word) > 2 and word not in _MONEY_WORDS | _COUNT_WORDS | {"name", "date", "time", "the", "id"}
    ]
    return [(label, 3) for label in sorted(whole, key=len, reverse=True)] + [
        (word, 1) for word in single if len(shape.words) > 1
    ]


def in_order(made: dict[str, Any], members: list[Shape], document: Document) -> None:
    """Gives the numbers of a short text to the numeric properties that nothing else could fill: "add 2 and 3"."""
    open_members = [
        each for each in members if each.type in ("number", "integer") and each.is_required and each.name not in made
    ]
    if not open_members or not document.is_short or any(each.is_nullable for each in open_members):
        return
    spare = [value for value in read(document.text) if not any(value == taken for taken in made.values())]
    if len(spare) < len(open_members) or find_amounts(document.text) == []:
        return
    for member, value in zip(open_members, spare, strict=False):
        whole = value == value.to_integral_value()
        if member.type == "number" or whole:
            made[member.name] = int(value) if whole else float(value)
