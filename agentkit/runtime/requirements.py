"""What a `requirements.txt` asks for, as far as one can tell without pip: enough to see that nothing is missing.

>>> met("idna >= 3 # a comment", {"idna": "3.10"}), met("idna<3", {"idna": "3.10"}), met("idna", {})
(True, False, False)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Final

__all__ = ["installed", "is_provided", "lacking", "lines", "met", "normalized"]

PROVIDED: Final = ("agentkit",)  # the worker brings it
COMPAT: Final = ("inferencesh",)  # and this, where agentkit stands in for it
_PLAIN: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*((?:(?:[<>=!~]=|[<>])\s*[0-9][0-9.]*\s*,?\s*)*)")
_BOUND: Final = re.compile(r"([<>=!~]=|[<>])\s*([0-9][0-9.]*)")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def lines(text: str) -> Iterator[str]:
    """The requirements and options, without comments, continued lines joined."""
    joined = text.removeprefix("\ufeff").replace("\\\n", " ").replace("\\\r\n", " ")
    for line in joined.splitlines():
        if bare := re.sub(r"(^|\s)#.*", "", line).strip():
            yield bare


def is_provided(line: str, *, is_compat: bool) -> bool:
    """Whether the requirement is one that every worker has anyway."""
    match = _NAME.match(line)
    name = normalized(match[0]) if match else ""
    return name in PROVIDED or (is_compat and name in COMPAT)


def lacking(wanted: list[str], here: Mapping[str, str]) -> list[str]:
    """The lines that are not known to be met by what is installed here."""
    return [line for line in wanted if not met(line, here)]


def met(line: str, here: Mapping[str, str]) -> bool:
    """Whether a plain requirement (a name, bounds of plain numbers) is met. False for everything that is not plain."""
    bare = re.sub(r"(^|\s)#.*", "", line).strip()
    match = _PLAIN.fullmatch(bare)
    if match is None:
        return False
    version = here.get(normalized(match[1]))
    if version is None:
        return False
    bounds = _BOUND.findall(match[2])
    number = _numbers(version)
    return not bounds or (number is not None and all(_fits(number, sign, bound) for sign, bound in bounds))


def installed() -> dict[str, str]:
    """The distributions of this interpreter: normalized name to version."""
    found: dict[str, str] = {}
    for each in metadata.distributions():
        name = each.metadata["Name"]
        if name:
            found.setdefault(normalized(name), each.version)
    return found


def normalized(name: str) -> str:
    """The name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _numbers(version: str) -> tuple[int, ...] | None:
    """The release as numbers; None for what is more than a release (pre, post, local)."""
    parts = version.split(".")
    return _trimmed(tuple(int(part) for part in parts)) if all(part.isdecimal() for part in parts) else None


def _trimmed(numbers: tuple[int, ...]) -> tuple[int, ...]:
    while numbers and numbers[-1] == 0:
        numbers = numbers[:-1]
    return numbers


def _fits(number: tuple[int, ...], sign: str, bound: str) -> bool:
    parts = tuple(int(part) for part in bound.strip(".").split("."))
    other = _trimmed(parts)
    match sign:
        case "==":
            return number == other
        case "!=":
            return number != other
        case ">=":
            return number >= other
        case "<=":
            return number <= other
        case ">":
            return number > other
        case "<":
            return number < other
        case _:  # ~=: the last part may rise
            padded = number + (0,) * (len(parts) - len(number))
            return number >= other and len(parts) > 1 and padded[: len(parts) - 1] == parts[:-1]
