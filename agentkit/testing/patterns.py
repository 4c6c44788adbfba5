"""Texts that match a regular expression."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

__all__ = ["match_for"]

sre: Any = import_module("re._constants")  # the parsed form of a pattern has no public home
sre_parser: Any = import_module("re._parser")

_FREE_REPEATS: Final = 3  # how many more than its least an unbounded repeat may give
_ANY: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_CLASSES: Final[Mapping[Any, str]] = {
    sre.CATEGORY_DIGIT: "0123456789",
    sre.CATEGORY_WORD: _ANY,
    sre.CATEGORY_SPACE: " ",
    sre.CATEGORY_NOT_DIGIT: "abcdefghijklmnopqrstuvwxyz",
    sre.CATEGORY_NOT_WORD: "-",
    sre.CATEGORY_NOT_SPACE: _ANY,
}


def match_for(pattern: str, rng: random.Random) -> str:
    """A text in which the pattern is found. Raises ValueError for what this cannot make (look-arounds and the like)."""
    try:
        parsed = sre_parser.parse(pattern)
    except re.error as error:
        raise ValueError(f"the pattern {pattern!r} is no regular expression: {error}") from error
    text = _Writer(rng).write(parsed)
    if not re.search(pattern, text):
        raise ValueError(f"no text for the pattern {pattern!r} found; {text!r} does not match")
    return text


class _Writer:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._groups: dict[int, str] = {}

    def write(self, nodes: Sequence[tuple[Any, Any]]) -> str:
        return "".join(self._node(kind, detail) for kind, detail in nodes)

    def _node(self, kind: Any, detail: Any) -> str:
        if kind not in _NODES:
            raise ValueError(f"a pattern with {str(kind).lower()} is more than can be made up here")
        return _NODES[kind](self, detail)

    def literal(self, code: int) -> str:
        return chr(code)

    def other_than(self, code: int) -> str:
        return self._rng.choice([each for each in _ANY if each != chr(code)])

    def any(self, _: None) -> str:
        return self._rng.choice(_ANY)

    def nothing(self, _: Any) -> str:
        return ""

    def one_of(self, members: Sequence[tuple[Any, Any]]) -> str:
        negated = members[0][0] is sre.NEGATE
        letters = [each for kind, detail in members for each in _letters(kind, detail)]
        if negated:
            letters = [each for each in f"{_ANY}ABC -" if each not in letters]
        if not letters:
            raise ValueError("a character class without a usable member")
        return self._rng.choice(letters)

    def branch(self, detail: tuple[Any, list[Any]]) -> str:
        return self.write(self._rng.choice(detail[1]))

    def group(self, detail: tuple[int | None, int, int, Any]) -> str:
        text = self.write(detail[3])
        if detail[0] is not None:
            self._groups[detail[0]] = text
        return text

    def again(self, number: int) -> str:
        return self._groups.get(number, "")

    def repeat(self, detail: tuple[int, Any, Any]) -> str:
        least, most, inner = detail
        upper = least + _FREE_REPEATS if most is sre.MAXREPEAT else min(int(most), least + _FREE_REPEATS)
        return "".join(self.write(inner) for _ in range(self._rng.randint(least, upper)))


def _letters(kind: Any, detail: Any) -> str:
    if kind is sre.LITERAL:
        return chr(detail)
    if kind is sre.RANGE:
        return "".join(map(chr, range(detail[0], min(detail[1], detail[0] + 127) + 1)))
    return _CLASSES.get(detail, "") if kind is sre.CATEGORY else ""


_NODES: Final[Mapping[Any, Callable[[_Writer, Any], str]]] = {
    sre.LITERAL: _Writer.literal,
    sre.NOT_LITERAL: _Writer.other_than,
    sre.ANY: _Writer.any,
    sre.AT: _Writer.nothing,
    sre.IN: _Writer.one_of,
    sre.BRANCH: _Writer.branch,
    sre.SUBPATTERN: _Writer.group,
    sre.GROUPREF: _Writer.again,
    sre.MAX_REPEAT: _Writer.repeat,
    sre.MIN_REPEAT: _Writer.repeat,
}
