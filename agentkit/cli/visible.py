"""Text of others such that a person sees all of it: what a terminal obeys, hides or turns around is written as escapes.

A model that writes the arguments of a call may try to show a person something else than what would be run.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["folded", "is_plain", "visible", "visible_json", "width_of", "wrapped"]

_NAMED: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})  # controls, directions, no characters at all
_BLANKS: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")  # letters that show nothing
_WIDE: Final = ("W", "F")


def visible(text: str, *, keep: str = "") -> str:
    """The text with escapes for what would not be seen as it is; those of `keep`, such as newlines, stay.

    >>> visible("red\\x1b[0m pay\\u202e100\\n")
    'red\\\\x1b[0m pay\\\\u202e100\\\\n'
    """
    return "".join(each if each in keep or _is_seen(each) else _escape(each) for each in text)


def is_plain(text: str) -> bool:
    """Whether all of it is seen as it is, newlines and tabs counted in."""
    return all(each in "\n\t" or _is_seen(each) for each in text)


def visible_json(value: Any, *, indent: int | None = None) -> str:
    """The value as JSON that means the same and hides nothing: for an editor."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    return "".join(each if each == "\n" or _is_seen(each) else json.dumps(each)[1:-1] for each in text)


def folded(value: Any, *, width: int | None = None) -> str:
    """A value on one line, cut to the width: text as it is, the rest as JSON."""
    text = visible(value) if isinstance(value, str) else visible_json(value)
    return text if width is None or width_of(text) <= width else _cut(text, max(1, width - 1)) + "…"


def width_of(text: str) -> int:
    """How many columns of a terminal it takes."""
    return sum(_columns(each) for each in text)


def wrapped(text: str, width: int) -> Iterator[str]:
    """Its lines, none of them wider; spaces are kept, so that nothing is pushed out of sight. At least one."""
    for line in visible(text, keep="\n").split("\n"):
        yield from _broken(line, max(width, 8))


# -- parts ---------------------------------------------------------------------------------------------------------


def _is_seen(character: str) -> bool:
    if " " <= character <= "~":
        return True
    is_selector = "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
    return not is_selector and character not in _BLANKS and unicodedata.category(character) not in _UNSEEN


def _escape(character: str) -> str:
    code = ord(character)
    if character in _NAMED:
        return _NAMED[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _columns(character: str) -> int:
    if character <= "~":
        return 1
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in _WIDE else 1


def _cut(text: str, width: int) -> str:
    used = 0
    for place, each in enumerate(text):
        used += _columns(each)
        if used > width:
            return text[:place]
    return text


def _broken(line: str, width: int) -> Iterator[str]:
    while width_of(line) > width:
        part = _cut(line, width)
        at = part.rfind(" ") + 1
        if not part[:at].strip():
            at = len(part)
        yield part[:at]
        line = line[at:]
    yield line
