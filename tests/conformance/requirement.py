"""What one promise is made of."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Requirement"]


@dataclass(frozen=True)
class Requirement:
    """A promise: `id` is `group:name`, `sentence` says it, `source` says who asks for it and where."""

    id: str
    sentence: str
    source: str
