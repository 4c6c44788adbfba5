"""What a docstring says about a function and its parameters, in the three styles in use: Google, NumPy and Sphinx."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final

__all__ = ["Docstring", "parse_docstring"]

_GOOGLE: Final = re.compile(
    r"(?:args|arguments|parameters|params|keyword args|keyword arguments|other parameters):", re.I
)
_NUMPY: Final = re.compile(r"(?:other )?parameters", re.I)
_RULE: Final = re.compile(r"-{3,}")
_SPHINX: Final = re.compile(r":(?:param|parameter|arg|argument|key|keyword)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:(.*)")
_FIELD: Final = re.compile(r":\w[^:]*:")
_GOOGLE_ENTRY: Final = re.compile(r"\*{0,2}(\w+)\s*(?:\(.*?\))?\s*:(?!:)(.*)")
_NUMPY_ENTRY: Final = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?")


@dataclass(frozen=True)
class Docstring:
    """The first paragraph, and the text of each described parameter, on one line each."""

    summary: str = ""
    params: Mapping[str, str] = field(default_factory=dict[str, str])


def parse_docstring(text: str | None) -> Docstring:
    """What the docstring says; nothing where there is none.

    >>> parse_docstring('''Looks up the weather.
    ...
    ...     Args:
    ...         city: The city,
    ...             in English.
    ...     ''').params
    {'city': 'The city, in English.'}
    """
    lines = inspect.cleandoc(text or "").splitlines()
    found = {**_sphinx(lines), **_numpy(lines), **_google(lines)}
    return Docstring(_summary(lines), {name: told for name, told in found.items() if told})


def _summary(lines: list[str]) -> str:
    def goes_on(numbered: tuple[int, str]) -> bool:
        number, line = numbered
        return bool(line.strip()) and not _begins_section(lines, number)

    return _joined(line for _, line in takewhile(goes_on, enumerate(lines)))


def _begins_section(lines: list[str], number: int) -> bool:
    line = lines[number].strip()
    return bool(_GOOGLE.fullmatch(line) or _FIELD.match(line)) or _is_numpy_title(lines, number)


def _is_numpy_title(lines: list[str], number: int) -> bool:
    return number + 1 < len(lines) and bool(lines[number].strip()) and bool(_RULE.fullmatch(lines[number + 1].strip()))


def _google(lines: list[str]) -> dict[str, str]:
    """Entries indented below `Args:`; deeper lines go on with the entry above them."""
    found: dict[str, str] = {}
    for number, line in enumerate(lines):
        if _GOOGLE.fullmatch(line.rstrip()):
            block = list(takewhile(lambda line: not line or line[0].isspace(), lines[number + 1 :]))
            for head, body in _entries(block, level=_level(block)):
                if match := _GOOGLE_ENTRY.fullmatch(head):
                    found[match[1]] = _joined([match[2], *body])
    return found


def _numpy(lines: list[str]) -> dict[str, str]:
    """Names at the margin below `Parameters` and a rule, their text indented; several names may share a text."""
    found: dict[str, str] = {}
    for number, line in enumerate(lines):
        if _NUMPY.fullmatch(line.strip()) and _is_numpy_title(lines, number):
            begin = number + 2
            ends = (later for later in range(begin, len(lines)) if _is_numpy_title(lines, later))
            for head, body in _entries(lines[begin : next(ends, len(lines))], level=0):
                if match := _NUMPY_ENTRY.fullmatch(head):
                    found |= {name.strip(" *"): _joined(body) for name in match[1].split(",")}
    return found


def _sphinx(lines: list[str]) -> dict[str, str]:
    """`:param city: text`, gone on with until the next field or an empty line."""
    found: dict[str, str] = {}
    for number, line in enumerate(lines):
        if match := _SPHINX.fullmatch(line.strip()):
            body = takewhile(lambda line: line.strip() and not _FIELD.match(line.strip()), lines[number + 1 :])
            found[match[1]] = _joined([match[2], *body])
    return found


def _level(block: list[str]) -> int:
    return min((_indent(line) for line in block if line.strip()), default=0)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _entries(block: list[str], *, level: int) -> Iterator[tuple[str, list[str]]]:
    """Each line at that indentation, with the deeper lines below it."""
    head, body = "", list[str]()
    for line in filter(str.strip, block):
        if _indent(line) > level:
            body.append(line)
            continue
        if head:
            yield head, body
        head, body = line.strip(), []
    if head:
        yield head, body


def _joined(lines: Iterator[str] | list[str]) -> str:
    return " ".join(filter(None, (line.strip() for line in lines)))
