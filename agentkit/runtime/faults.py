"""What a request did wrong, in the platform's words; the server dresses it as a problem (protocol.md 1.3)."""

from __future__ import annotations

from typing import Any

__all__ = ["Fault"]


class Fault(Exception):
    """A request that cannot be met. `code` is the platform's error code; `members` go into the problem body."""

    def __init__(self, code: str, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.members = members
