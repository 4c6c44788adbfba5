"""Moments as the store writes them: RFC 3339 text in UTC, microseconds and all, so that text order is time order."""

from __future__ import annotations

from datetime import datetime, timedelta

__all__ = ["later"]


def later(at: str, seconds: float) -> str:
    """The moment so many seconds after this one.

    >>> later("2026-01-01T00:00:00.000000Z", 1.5)
    '2026-01-01T00:00:01.500000Z'
    """
    moment = datetime.fromisoformat(at) + timedelta(seconds=seconds)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
