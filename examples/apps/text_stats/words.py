"""Words and sentences of a text in any script: what a reader would count, as far as that goes without a dictionary."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

INNER: Final = frozenset("'’-‐‑·.,")  # inside a word: don't, mother-in-law, col·lecció, 3.14, 1,000
NUMERIC: Final = frozenset(".,")  # these only between digits, and a point between single letters
WIDTH: Final = 40  # characters looked at on either side of a full stop
ABBREVIATIONS: Final = frozenset(
    ("approx", "bzw", "ca", "cf", "d.h", "dr", "e.g", "fig", "i.e", "mr", "mrs", "ms", "nr", "prof", "st", "vol", "vs")
)

_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s|$)|[。！？｡]+[」』”）]*|[।؟۔]+|\n\s*\n")


def words_of(text: str) -> Iterator[str]:
    """The words of the text, as written, in Unicode's composed form.

    Letters, digits and the marks that belong to them; `don't`, `e-mail` and `3.14` are one word each. Chinese and
    Japanese are written without spaces: there each character counts as a word. Thai and its kin, written without
    spaces too, would need a dictionary: a run of them counts as one.

    >>> list(words_of("Don’t pay 1,000.50 for नमस्ते — 東京!"))
    ['Don’t', 'pay', '1,000.50', 'for', 'नमस्ते', '東', '京']
    """
    text = unicodedata.normalize("NFC", text)
    word = ""
    for place, letter in enumerate(text):
        if _is_ideograph(letter):
            if word:
                yield word
            word = ""
            yield letter
        elif _is_letter(letter) or (word and letter in INNER and _joins(text, place)):
            word += letter
        elif word:
            yield word
            word = ""
    if word:
        yield word


def sentences_of(text: str) -> Iterator[str]:
    """The sentences: up to an end mark, or to an empty line; abbreviations and initials do not end one.

    >>> list(sentences_of("Dr. J. Smith paid 3.50. Why? No idea"))
    ['Dr. J. Smith paid 3.50.', 'Why?', 'No idea']
    """
    start = 0
    for mark in _END.finditer(text):
        if mark[0][0] in ".!?…" and not _ends(text, start, mark):
            continue
        yield from _worded(text[start : mark.end()])
        start = mark.end()
    yield from _worded(text[start:])


def _worded(text: str) -> Iterator[str]:
    text = text.strip()
    if next(words_of(text), None) is not None:
        yield text


def _ends(text: str, start: int, mark: re.Match[str]) -> bool:
    """Whether the mark ends the sentence that began at `start`: not before a small letter, not after "Dr."."""
    following = text[mark.end() : mark.end() + WIDTH].lstrip()[:1]
    if mark[0] != "." or not following:
        return not following.islower()
    last = text[max(start, mark.start() - WIDTH) : mark.start()].split()[-1:]
    word = last[0].lstrip("(\"'“„«[") if last else ""
    is_initial = len(word.rpartition(".")[2]) == 1 and word.isupper() and word != "I"
    return not following.islower() and not is_initial and word.lower() not in ABBREVIATIONS


def _is_letter(letter: str) -> bool:
    return unicodedata.category(letter)[0] in "LMN"


def _is_ideograph(letter: str) -> bool:
    """Han, Hiragana and Katakana."""
    code = ord(letter)
    return (
        0x3041 <= code <= 0x30FF or 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x3FFFF
    ) and _is_letter(letter)


def _joins(text: str, place: int) -> bool:
    """Whether the mark at this place is inside a word: `1,000`, `e.g.`, `don't`."""
    before, after = text[place - 1], text[place + 1 : place + 2]
    if text[place] in NUMERIC:
        is_short = text[place] == "." and _is_alone(text, place - 1) and _is_alone(text, place + 1)
        return is_short or (before.isdigit() and after.isdigit())
    return bool(after) and _is_letter(after) and not _is_ideograph(after)


def _is_alone(text: str, place: int) -> bool:
    """Whether there is a single letter, as between the points of an abbreviation."""
    around = (text[max(0, place - 1) : place], text[place + 1 : place + 2])
    return text[place : place + 1].isalpha() and not any(each and _is_letter(each) for each in around)
