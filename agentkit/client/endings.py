"""What comes of a call of a handler: its result, or why there is none yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Ending", "Finished", "Taken", "Unknown"]


@dataclass(frozen=True, slots=True)
class Finished:
    """The call has its result text."""

    result: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """It was begun before, and nobody can say what came of it."""

    why: str


@dataclass(frozen=True, slots=True)
class Taken:
    """Another process that shares the journal runs it."""


Ending: TypeAlias = Finished | Unknown | Taken
