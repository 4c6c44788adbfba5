from __future__ import annotations

from tests.forked import programs

__all__ = ["programs"]
