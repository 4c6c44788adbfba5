"""Words: folded for comparison, stemmed a little, and told from the ones that carry no meaning."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

__all__ = [
    "content_stems",
    "fold",
    "has_phrase",
    "listed",
    "name_words",
    "phrase_pattern",
    "sentences",
    "stem",
    "tokens",
    "word_set",
]


def listed(text: str) -> tuple[str, ...]:
    """The entries of a list written as text, between commas: how the tables of these modules stay readable."""
    return tuple(part for part in (" ".join(each.split()) for each in text.split(",")) if part)


def word_set(text: str) -> frozenset[str]:
    """The words of a list written as text, between blanks."""
    return frozenset(text.split())


_STOP: Final = word_set(
    """
    a about above after all also an and any are as at be been but by can could do does each for from get give had has
    have he her here his how i if in into is it its just let like make may me my name no not of on one only or our out
    please she should so some such tell than that the their them then there these they this to up us use used uses using
    value was we were what when where which who whose why will with would you your der die das den dem des ein eine
    einen einem und oder von zu zum zur im ist mit fur auf aus bei wie was wer le la les un une des du de et ou au aux
    en dans pour par sur est qui que el los las del y o con por para es il lo gli i di da e per con het een van en of
    voor met op is
    """
)
_LETTERS: Final = {"ß": "s", "°": "o", "№": "n"}
_SUFFIXES: Final = (
    "ations",
    "ation",
    "ments",
    "ment",
    "ings",
    "ing",
    "ies",
    "ied",
    "ers",
    "er",
    "ed",
    "es",
    "en",
    "s",
    "e",
    "y",
)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^\W\d_a-z]|[\"'(])|\n\s*\n")
_GAP: Final = r"[\s.\-_]{1,3}"
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[\W_]+")


@lru_cache(maxsize=4096)
def _fold_char(char: str) -> str:
    if char in _LETTERS:
        return _LETTERS[char]
    plain = unicodedata.normalize("NFKD", char.lower())[:1]
    return plain if plain and not unicodedata.combining(plain) else char


def fold(text: str) -> str:
    """Lower case without accents. As long as the text itself, so that positions stay valid."""
    return "".join(map(_fold_char, text))


def tokens(text: str) -> list[str]:
    """The folded words and numbers of a text."""
    return [fold(match[0]) for match in _WORD.finditer(text)]


def stem(word: str) -> str:
    """A word without its common endings: booking, booked and books are all "book"."""
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word.removesuffix(suffix)
            break
    doubled = len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiouls"
    return word[:-1] if doubled else word


def content_stems(text: str | Iterable[str]) -> set[str]:
    """The stems of the words that carry meaning."""
    found = tokens(text) if isinstance(text, str) else [fold(word) for word in text]
    return {stem(word) for word in found if word not in _STOP and len(word) > 1}


def name_words(name: str) -> list[str]:
    """The words of an identifier: `invoiceNumber`, `invoice_number` -> invoice, number."""
    return [fold(word) for word in _CAMEL.split(name) if word]


@lru_cache(maxsize=4096)
def phrase_pattern(phrase: str) -> re.Pattern[str]:
    """A pattern for the phrase in folded text, as whole words and with any run of blanks or dots between them."""
    parts = [re.escape(part) for part in fold(phrase).split()]
    if parts[0] == "rechnung":  # German writes the kind of bill and the bill as one word: Hotelrechnung Nr. 7
        parts[0] = r"[^\W\d_]*rechnung"
    return re.compile(rf"(?<![^\W_]){_GAP.join(parts)}(?![^\W_])")


def has_phrase(folded: str, phrases: Iterable[str]) -> bool:
    """Whether any of the phrases is in the folded text."""
    return any(phrase_pattern(phrase).search(folded) for phrase in phrases)


def sentences(text: str) -> list[str]:
    """The sentences and paragraphs of a text, each on one line."""
    return [" ".join(part.split()) for part in _SENTENCE_END.split(text) if part and part.strip()]
