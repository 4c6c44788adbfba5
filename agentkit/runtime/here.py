"""This process, as the rows name it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Here"]


@dataclass(slots=True)
class Here:
    """Its name, from when the platform opens, and whether that is closing."""

    engine_id: str = ""
    is_closing: bool = False
