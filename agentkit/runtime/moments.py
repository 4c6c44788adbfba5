"""Moments as the store writes them: RFC 3339 text in UTC, microseconds and all, so that text order is time order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["later", "to_come"]


def later(at: str, seconds: float) -> str:
    """The moment so many seconds after this one.

    >>> later("2026-01-01T00:00:00.000000Z", 1.5)
    '2026-01-01T00:00:01.500000Z'
    """
    return _written(datetime.fromisoformat(at) + timedelta(seconds=seconds))


def to_come(text: str, *, now: str) -> str | None:
    """A moment that somebody sent, as the store writes it; None for what is none, has no zone, or is over.

    >>> to_come("2036-01-31T09:00:00+01:00", now="2026-01-01T00:00:00.000000Z")
    '2036-01-31T08:00:00.000000Z'
    """
    try:
        moment = datetime.fromisoformat(text)
        told = _written(moment.astimezone(UTC)) if moment.tzinfo else ""
    except (ValueError, OverflowError):
        return None
    return told if told > now else None


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
