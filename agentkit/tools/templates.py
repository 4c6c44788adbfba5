"""`{{context.X}}`, `{{args.X}}` and `${{secrets.X}}` in URLs and headers of HTTP tools (protocol.md 6.11).

`{{call.idempotency_key}}` is ours: the same for every attempt at a call, another one for every other call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["OF_CALL", "PLACEHOLDER", "Placeholder", "placeholders"]

SOURCES: Final = {"context": "{{", "args": "{{", "secrets": "${{", "call": "{{"}
"""Where values come from, and how a placeholder of each begins."""

OF_CALL: Final = ("idempotency_key",)
"""The names that the source `call` has."""

PLACEHOLDER: Final = re.compile(r"\$?\{\{.*?\}\}", re.DOTALL)

_BRACES: Final = re.compile(r"(\$?\{\{)(.*?)\}\}|\$?\{\{|\}\}", re.DOTALL)
_INSIDE: Final = re.compile(r"\s*(\w+)\.([\w.-]+)\s*")


@dataclass(frozen=True)
class Placeholder:
    """`{{source.name}}` as it stands in the text; `problem` says what is wrong with it, "" if nothing."""

    text: str
    source: str = ""
    name: str = ""
    problem: str = ""


def placeholders(text: str) -> Iterator[Placeholder]:
    """Every placeholder of the text, the misspelt ones included."""
    for braces in _BRACES.finditer(text):
        if braces[2] is None:
            yield Placeholder(braces[0], problem="is a brace without its other half")
        else:
            yield _read(braces[0], braces[1], braces[2])


def _read(text: str, begin: str, inside: str) -> Placeholder:
    match = _INSIDE.fullmatch(inside)
    if match is None or match[1] not in SOURCES:
        return Placeholder(text, problem="is none of {{context.NAME}}, {{args.NAME}} and ${{secrets.NAME}}")
    source, name = match.groups()
    problem = "" if begin == SOURCES[source] else f"is written {SOURCES[source]}{source}.{name}}}}}"
    if source == "call" and name not in OF_CALL:
        problem = f"names nothing of the call; it has {{{{call.{OF_CALL[0]}}}}}"
    return Placeholder(text, source, name, problem)
