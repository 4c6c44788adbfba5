"""Which failure is tried again, and when.

    >>> from random import Random
    >>> failure = Failure("status", method="GET", status=429, retry_after="3")
    >>> decide(failure, attempt=1, policy=RetryPolicy(), rng=Random(1))
    Retry(after_seconds=3.0)
    >>> decide(Failure("broken", method="POST"), attempt=1, policy=RetryPolicy(), rng=Random(1)).reason
    'unsafe'

What may have happened is not done twice: a POST without an idempotency key is sent again only where nothing was sent
(protocol.md 1.8: "never blindly retry").
"""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import inf
from random import Random
from typing import Final, Literal, TypeAlias

from agentkit.errors import ConfigError

__all__ = [
    "Failure",
    "FailureKind",
    "GiveUp",
    "Retry",
    "RetryPolicy",
    "backoff_seconds",
    "decide",
    "is_retryable_status",
    "parse_retry_after",
]

FailureKind: TypeAlias = Literal["not_sent", "broken", "timeout", "status"]
GiveUpReason: TypeAlias = Literal["unsafe", "final", "attempts", "wait"]

# RFC 9110 9.2.2, without DELETE: its second answer is a 404 for what the first one did
REPEATABLE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT"})
RETRYABLE_4XX: Final = frozenset({408, 425, 429})
LASTING_5XX: Final = frozenset({501, 505})  # the server will never learn it

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long to try.

    `max_attempts` counts the first one. The pause before attempt n+1 is random between zero and
    `first_seconds * factor ** (n - 1)`, at most `max_backoff_seconds`. Where the platform asks for a longer pause than
    `max_wait_seconds` its error is raised at once, with `retry_after_seconds`.
    """

    max_attempts: int = 4
    first_seconds: float = 0.5
    factor: float = 2.0
    max_backoff_seconds: float = 10.0
    max_wait_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ConfigError(f"RetryPolicy: max_attempts is {self.max_attempts!r}; 1 means no retry, more means more")
        if not 1 <= self.factor < inf:
            raise ConfigError(f"RetryPolicy: factor is {self.factor!r}; pauses must not shrink, give 1 or more")
        for name in ("first_seconds", "max_backoff_seconds", "max_wait_seconds"):
            if not 0 <= getattr(self, name) < inf:
                raise ConfigError(f"RetryPolicy: {name} is {getattr(self, name)!r}; give seconds, 0 or more")


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with which request.

    `kind`: not_sent (refused, no route, no such name), broken (after sending began), timeout, status. `retry_after` is
    the header as it came; its date form counts only where `now`, in seconds since 1970, is given.
    """

    kind: FailureKind
    method: str
    _: KW_ONLY
    status: int | None = None
    retry_after: str | None = None
    now: float | None = None
    has_idempotency_key: bool = False

    @property
    def maybe_sent(self) -> bool:
        """Whether the request may have taken effect."""
        return self.kind != "not_sent"

    @property
    def is_repeatable(self) -> bool:
        """Whether sending it again cannot do a thing twice."""
        return not self.maybe_sent or self.has_idempotency_key or self.method.upper() in REPEATABLE_METHODS


@dataclass(frozen=True, slots=True)
class Retry:
    """Send it again after so many seconds."""

    after_seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Raise what came.

    `reason`: unsafe (might do it twice), final (no other answer to expect), attempts (used up), wait (longer than the
    policy allows).
    """

    reason: GiveUpReason
    retry_after_seconds: float | None = None


def decide(failure: Failure, *, attempt: int, policy: RetryPolicy, rng: Random) -> Retry | GiveUp:
    """Whether to send a request again after its `attempt`-th try (from 1) failed so."""
    asked = None if failure.retry_after is None else parse_retry_after(failure.retry_after, now=failure.now)
    if failure.kind == "status" and not is_retryable_status(failure.status or 0):
        return GiveUp("final", asked)
    if not failure.is_repeatable:
        return GiveUp("unsafe", asked)
    if attempt >= policy.max_attempts:
        return GiveUp("attempts", asked)
    if asked is not None and asked > policy.max_wait_seconds:
        return GiveUp("wait", asked)
    return Retry(asked or backoff_seconds(attempt, policy=policy, rng=rng))  # "0" does not mean "hammer me"


def is_retryable_status(status: int) -> bool:
    """Whether the same request may get another answer: 408, 425, 429 and 5xx but 501 and 505."""
    return status in RETRYABLE_4XX or (500 <= status <= 599 and status not in LASTING_5XX)


def backoff_seconds(attempt: int, *, policy: RetryPolicy, rng: Random) -> float:
    """The pause after the `attempt`-th failure in a row (from 1): capped, exponential, with full jitter.

    For streams too, whose attempts have no end: count from 1 again once an event came.
    """
    try:
        ceiling = min(policy.first_seconds * policy.factor ** max(attempt - 1, 0), policy.max_backoff_seconds)
    except OverflowError:  # after a thousand failures
        ceiling = policy.max_backoff_seconds
    return rng.uniform(0.0, ceiling)


def parse_retry_after(text: str, *, now: float | None = None) -> float | None:
    """The seconds that a `Retry-After` asks for, never negative; None where it says nothing readable.

    Seconds or any of the three HTTP dates (RFC 9110 10.2.3); a date needs `now`, in seconds since 1970.
    """
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    if now is None:
        return None
    try:
        date = parsedate_to_datetime(text)
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):  # each seen from the parser on some text that is no date
        return None
