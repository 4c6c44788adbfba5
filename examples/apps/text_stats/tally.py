"""What was counted so far. One text is counted on its own and then added: it counts whole, or not at all."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from .words import sentences_of, words_of

LONG: Final = 6  # letters; words with more are long ones to LIX
BANDS: Final = ((30, "very easy"), (40, "easy"), (50, "medium"), (60, "difficult"))


@dataclass
class Tally:
    """Counts of one text or of several. `types` are words without regard to case, with how often each occurs."""

    characters: int = 0
    words: int = 0
    letters: int = 0  # of the words
    long_words: int = 0
    sentences: int = 0
    paragraphs: int = 0
    types: Counter[str] = field(default_factory=Counter[str])

    def add(self, other: Tally) -> None:
        """Adds what another one counted."""
        self.characters += other.characters
        self.words += other.words
        self.letters += other.letters
        self.long_words += other.long_words
        self.sentences += other.sentences
        self.paragraphs += other.paragraphs
        self.types.update(other.types)

    @property
    def type_token_ratio(self) -> float | None:
        """Different words over words: 1 where none occurs twice. The longer a text, the lower it is."""
        return round(len(self.types) / self.words, 4) if self.words else None

    @property
    def lix(self) -> float | None:
        """Readability after Björnsson: words per sentence, and long words in a hundred. Any alphabet will do."""
        if not self.words or not self.sentences:
            return None
        return round(self.words / self.sentences + 100 * self.long_words / self.words, 1)

    @property
    def reading(self) -> str | None:
        """How hard that is, in words."""
        if self.lix is None:
            return None
        return next((name for limit, name in BANDS if self.lix < limit), "very difficult")

    def longest(self, count: int) -> list[str]:
        """The longest different words, longest first, then by the alphabet."""
        return sorted(self.types, key=lambda word: (-len(word), word))[:count]

    def most_frequent(self, count: int) -> dict[str, int]:
        """The most frequent words, with how often they occur."""
        return dict(sorted(self.types.items(), key=lambda each: (-each[1], each[0]))[:count])


def count_text(text: str, check: Callable[[], None]) -> Tally:
    """The tally of a text. `check` is called all the time, and may raise to stop it."""
    tally = Tally(characters=len(text))
    for paragraph in _paragraphs(text):
        tally.paragraphs += 1
        for word in words_of(paragraph):
            check()
            tally.words += 1
            tally.letters += len(word)
            tally.long_words += len(word) > LONG
            tally.types[word.casefold()] += 1
        for _ in sentences_of(paragraph):
            check()
            tally.sentences += 1
    return tally


def _paragraphs(text: str) -> Iterator[str]:
    """What is between empty lines."""
    return (part for part in re.split(r"\n[^\S\n]*\n", text.replace("\r\n", "\n")) if part.strip())
