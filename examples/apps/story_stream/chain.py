"""A Markov chain over words: each word is one that followed the same few words in what the chain has read."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias, TypeVar

State: TypeAlias = tuple[str, ...]
T = TypeVar("T")

ENDS: Final = frozenset(".!?…")
CLOSING: Final = frozenset(".,;:!?…)»”’")
_TOKEN: Final = re.compile(r"\w+(?:['’-]\w+)*|[.,;:!?…]")


class Chain:
    """A chain of some order: how many words decide about the next one.

    >>> chain = Chain(1)
    >>> chain.read("One dog barks. One dog sleeps.")
    8
    >>> " ".join(chain.walk(random.Random(2), words=3))
    'One dog barks .'
    """

    def __init__(self, order: int, *, beside: Chain | None = None) -> None:
        """An empty chain, or one that knows what another one has read and may read more."""
        self.order = order
        self._openings: list[State] = list(beside._openings) if beside else []
        self._next: dict[State, list[str]] = {}
        self._before = beside._next if beside else {}

    def read(self, text: str) -> int:
        """Reads a text; returns how many words and marks it found."""
        tokens: list[str] = _TOKEN.findall(text)
        begins = True
        for place in range(len(tokens) - self.order):
            state = tuple(tokens[place : place + self.order])
            if begins:
                self._openings.append(state)
            begins = tokens[place] in ENDS
            self._next.setdefault(state, []).append(tokens[place + self.order])
        return len(tokens)

    def walk(self, chance: random.Random, *, words: int, opening: str = "") -> Iterator[str]:
        """Words and marks, at least so many words if it can, up to the end of a sentence.

        It begins with the opening where that is given; where it knows no way on, with a sentence of its own.
        Raises ValueError where it has read too little to begin.
        """
        if not self._openings:
            raise ValueError(f"there is no sentence of more than {self.order} words to learn from; give a longer text")
        tokens = self._opened(chance, _TOKEN.findall(opening))
        yield from tokens
        while (count := _words(tokens)) < words or tokens[-1] not in ENDS:
            if count >= words * 2 + 50:  # no end in sight
                yield "…"
                return
            more = self._more(chance, tokens)
            yield from more
            tokens += more

    def _opened(self, chance: random.Random, given: list[str]) -> list[str]:
        """The opening with as many words as it takes to go on from there."""
        if not given:
            return list(_pick(chance, self._openings))
        state = tuple(given[-self.order :])
        longer = [each for each in (*self._before, *self._next) if each[: len(state)] == state]
        return [*given, *_pick(chance, longer)[len(state) :]] if longer else given

    def _more(self, chance: random.Random, tokens: list[str]) -> list[str]:
        """What comes next: a word that came next before, or a sentence of its own."""
        state = tuple(tokens[-self.order :])
        ways = [*self._before.get(state, ()), *self._next.get(state, ())]
        if ways:
            return [_pick(chance, ways)]
        end = [] if tokens[-1] in ENDS else ["."]
        return [*end, *_pick(chance, self._openings)]


def written(tokens: Iterator[str], *, sentences_per_paragraph: int) -> Iterator[str]:
    """The text so far, after each word or mark: marks stick to their word, paragraphs to a number of sentences."""
    text, ended = "", 0
    for token in tokens:
        is_new = ended == sentences_per_paragraph and token not in CLOSING
        ended = 0 if is_new else ended
        text += "" if token in CLOSING or not text else "\n\n" if is_new else " "
        text += token
        ended += token in ENDS
        yield text


def _words(tokens: list[str]) -> int:
    return sum(token[0].isalnum() for token in tokens)


def _pick(chance: random.Random, choices: Sequence[T]) -> T:
    """One of them; as `chance.choice`, and the same on every version of Python."""
    return choices[int(chance.random() * len(choices))]
