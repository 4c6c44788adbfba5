"""Rate limits: how many requests of a kind a key may make in any window of time (protocol.md 1.4). No clock in here.

>>> limiter = Limiter(RateLimits.parse("run=2/m"))
>>> [limiter.take("run", "key", now=second).is_allowed for second in (0, 10, 20, 61)]
[True, True, False, True]
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from agentkit.errors import ConfigError

__all__ = ["KINDS", "Allowance", "Limiter", "Rate", "RateLimits"]

KINDS: Final = ("run", "get", "upload")  # run a task, read a task, upload a file
FORM: Final = "default, off, or a list such as run=100/m,get=1000/m,upload=50/m (s, m or h)"
_RULE: Final = re.compile(r"(?P<kind>\w+)\s*=\s*(?P<count>[0-9]{1,9})\s*/\s*(?P<unit>[smh])")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` requests in any `seconds`."""

    count: int
    seconds: float


DEFAULT: Final = {"run": Rate(100, 60.0), "get": Rate(1000, 60.0), "upload": Rate(50, 60.0)}  # seeds/000, "Rate Limits"


@dataclass(frozen=True, slots=True)
class RateLimits:
    """A rate for each kind of request; a kind without one is not limited."""

    rates: Mapping[str, Rate] = field(default_factory=dict[str, Rate])

    @classmethod
    def default(cls) -> Self:
        """The platform's: 100 runs, 1000 reads, 50 uploads in a minute."""
        return cls(DEFAULT)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The limits that `default`, `off` or `run=100/m,...` spells. Raises ConfigError.

        >>> RateLimits.parse("default,run=5/s").rates["run"], RateLimits.parse("off")
        (Rate(count=5, seconds=1.0), RateLimits(rates={}))
        """
        rates: dict[str, Rate] = {}
        for entry in (part.strip() for part in text.split(",")):
            match entry.lower():
                case "default":
                    rates |= DEFAULT
                case "off":
                    rates = {}
                case _:
                    kind, rate = _parsed(entry)
                    rates[kind] = rate
        return cls(rates)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a request is told. `reset_seconds`: until the next place is free, when none is; else until all are."""

    is_allowed: bool
    limit: int
    remaining: int
    reset_seconds: float

    def headers(self, *, wall_clock: float) -> dict[str, str]:
        """`X-RateLimit-*`, the reset in unix seconds; `Retry-After` where it was too much."""
        told = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(math.ceil(wall_clock + self.reset_seconds)),
        }
        return told if self.is_allowed else {**told, "Retry-After": str(max(1, math.ceil(self.reset_seconds)))}


class Limiter:
    """Counts the requests of each key over a sliding window: what was refused does not count."""

    def __init__(self, limits: RateLimits) -> None:
        self._rates = limits.rates
        self._made: dict[tuple[str, str], deque[float]] = {}

    def take(self, kind: str, key: str, *, now: float) -> Allowance | None:
        """Counts a request at `now`, a monotonic time in seconds. None where the kind has no limit."""
        rate = self._rates.get(kind)
        if rate is None:
            return None
        made = self._made.setdefault((kind, key), deque())
        while made and made[0] <= now - rate.seconds:
            made.popleft()
        is_allowed = len(made) < rate.count
        if is_allowed:
            made.append(now)
        remaining = rate.count - len(made)
        awaited = made[-1] if remaining and made else made[0] if made else now
        return Allowance(is_allowed, rate.count, remaining, awaited + rate.seconds - now)


def _parsed(entry: str) -> tuple[str, Rate]:
    match = _RULE.fullmatch(entry.lower())
    if match is None:
        raise ConfigError(f"rate limit {entry!r} is none: give {FORM}")
    if match["kind"] not in KINDS:
        raise ConfigError(f"rate limit {entry!r}: {match['kind']!r} is none of {', '.join(KINDS)}")
    return match["kind"], Rate(int(match["count"]), _SECONDS[match["unit"]])
