"""What a `.reconcile(fn)` may say of a call that was begun before: its result, or that it was not done."""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["NOT_DONE", "NotDone"]


class NotDone(Enum):
    """The type of `NOT_DONE`."""

    NOT_DONE = "not done"


NOT_DONE: Final = NotDone.NOT_DONE
"""The call had no effect: its handler may be run."""
