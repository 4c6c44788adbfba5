"""Retry: what may have happened is not done twice, and nobody is hammered."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from random import Random
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import ConfigError
from agentkit.protocol.retry import (
    Failure,
    FailureKind,
    GiveUp,
    Retry,
    RetryPolicy,
    backoff_seconds,
    decide,
    is_retryable_status,
    parse_retry_after,
)

NOW = datetime(1994, 11, 6, 8, 49, 7, tzinfo=UTC).timestamp()
KINDS = get_args(FailureKind)
seeds = st.integers(0, 2**32)


def after(failure: Failure, *, attempt: int = 1, seed: int = 1, **policy: Any) -> Retry | GiveUp:
    return decide(failure, attempt=attempt, policy=RetryPolicy(**policy), rng=Random(seed))


def reason(outcome: Retry | GiveUp) -> str:
    return outcome.reason if isinstance(outcome, GiveUp) else "retry"


# -- which ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "get", "post", "post_with_key"),
    [
        ("not_sent", "retry", "retry", "retry"),
        ("broken", "retry", "unsafe", "retry"),
        ("timeout", "retry", "unsafe", "retry"),
        ("status", "retry", "unsafe", "retry"),
    ],
)
def test_a_post_is_repeated_only_where_it_cannot_happen_twice(
    kind: FailureKind, get: str, post: str, post_with_key: str
) -> None:
    assert reason(after(Failure(kind, "GET", status=503))) == get
    assert reason(after(Failure(kind, "POST", status=503))) == post
    assert reason(after(Failure(kind, "POST", status=503, has_idempotency_key=True))) == post_with_key


@pytest.mark.parametrize(
    ("method", "expected"),
    [("get", "retry"), ("HEAD", "retry"), ("PUT", "retry"), ("DELETE", "unsafe"), ("PATCH", "unsafe")],
)
def test_methods_that_may_be_repeated_are(method: str, expected: str) -> None:
    assert reason(after(Failure("broken", method))) == expected


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 507, 529, 599])
def test_a_passing_status_is_tried_again(status: int) -> None:
    assert is_retryable_status(status)
    assert reason(after(Failure("status", "GET", status=status))) == "retry"


@pytest.mark.parametrize("status", [0, 301, 400, 401, 402, 403, 404, 409, 410, 412, 422, 501, 505, 600])
def test_a_lasting_status_is_final_with_or_without_a_key(status: int) -> None:
    assert not is_retryable_status(status)
    assert reason(after(Failure("status", "GET", status=status, has_idempotency_key=True))) == "final"


def test_only_what_was_not_sent_surely_had_no_effect() -> None:
    assert [kind for kind in KINDS if not Failure(kind, "POST").maybe_sent] == ["not_sent"]


@given(
    st.sampled_from(KINDS),
    st.sampled_from(["GET", "POST", "DELETE"]),
    st.integers(100, 599),
    st.booleans(),
    st.integers(1, 9),
    seeds,
)
def test_a_retry_is_always_safe_and_within_the_policy(
    kind: Any, method: str, status: int, key: bool, attempt: int, seed: int
) -> None:
    failure = Failure(kind, method, status=status, retry_after="7", has_idempotency_key=key)
    match after(failure, attempt=attempt, seed=seed, max_attempts=5, max_wait_seconds=7):
        case Retry(seconds):
            assert attempt < 5
            assert seconds == 7
            assert kind == "not_sent" or key or method == "GET"
            assert kind != "status" or is_retryable_status(status)
        case GiveUp(why, asked):
            assert asked == 7
            assert why != "wait"


# -- how often, how long -------------------------------------------------------------------------------------------


def test_attempts_count_the_first_one() -> None:
    outcomes = [reason(after(Failure("broken", "GET"), attempt=attempt, max_attempts=3)) for attempt in (1, 2, 3, 4)]
    assert outcomes == ["retry", "retry", "attempts", "attempts"]
    assert reason(after(Failure("broken", "GET"), max_attempts=1)) == "attempts"


def test_the_platforms_own_pause_counts() -> None:
    assert after(Failure("status", "GET", status=429, retry_after="3")) == Retry(3.0)
    assert after(Failure("status", "GET", status=503, retry_after="Sun, 06 Nov 1994 08:49:37 GMT", now=NOW)) == Retry(
        30.0
    )


def test_a_pause_longer_than_the_policy_allows_is_surfaced() -> None:
    failure = Failure("status", "GET", status=429, retry_after="61")
    assert after(failure) == GiveUp("wait", 61.0)
    assert after(failure, max_wait_seconds=61) == Retry(61.0)


@pytest.mark.parametrize("text", ["0", "soon", "", "Sun, 06 Nov 1994 08:49:07 GMT"])
def test_a_pause_of_nothing_falls_back_to_our_own(text: str) -> None:
    failure = Failure("status", "GET", status=503, retry_after=text, now=NOW)
    expected = backoff_seconds(1, policy=RetryPolicy(), rng=Random(1))
    assert expected > 0
    assert after(failure, seed=1) == Retry(expected)


@given(st.integers(-3, 100_000), seeds, st.floats(0, 1e9), st.floats(1, 1e9), st.floats(0, 1e9))
def test_the_pause_is_never_above_its_ceiling(attempt: int, seed: int, first: float, factor: float, cap: float) -> None:
    policy = RetryPolicy(first_seconds=first, factor=factor, max_backoff_seconds=cap)
    assert 0 <= backoff_seconds(attempt, policy=policy, rng=Random(seed)) <= cap
    assert backoff_seconds(1, policy=policy, rng=Random(seed)) <= min(first, cap)


def test_pauses_grow_and_spread_over_the_whole_range() -> None:
    policy = RetryPolicy(first_seconds=1, factor=2, max_backoff_seconds=8)
    longest = [max(backoff_seconds(n, policy=policy, rng=Random(seed)) for seed in range(300)) for n in range(1, 7)]
    shortest = [min(backoff_seconds(n, policy=policy, rng=Random(seed)) for seed in range(300)) for n in range(1, 7)]
    for most, least, ceiling in zip(longest, shortest, [1, 2, 4, 8, 8, 8], strict=True):
        assert 0.9 * ceiling < most <= ceiling
        assert least < 0.1 * ceiling


def test_the_same_seed_gives_the_same_pauses() -> None:
    assert after(Failure("broken", "GET"), seed=5) == after(Failure("broken", "GET"), seed=5)
    assert after(Failure("broken", "GET"), seed=5) != after(Failure("broken", "GET"), seed=6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"factor": 0.5},
        {"factor": float("nan")},
        {"first_seconds": -1},
        {"max_backoff_seconds": float("inf")},
        {"max_wait_seconds": float("nan")},
    ],
)
def test_an_impossible_policy_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        RetryPolicy(**wrong)


# -- Retry-After ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "seconds"), [("0", 0.0), ("120", 120.0), (" 5 ", 5.0), ("1.5", 1.5)])
def test_seconds_need_no_clock(text: str, seconds: float) -> None:
    assert parse_retry_after(text) == seconds


@pytest.mark.parametrize(
    "text", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_all_three_http_dates_are_read(text: str) -> None:
    assert parse_retry_after(text, now=NOW) == 30.0
    assert parse_retry_after(text, now=NOW + 3600) == 0.0
    assert parse_retry_after(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "-5",
        "1e3",
        "inf",
        "nan",
        "٣",
        "5 s",
        "Sun, 99 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 99999 08:49:37 GMT",
    ],
)
def test_what_is_no_pause_is_none(text: str) -> None:
    assert parse_retry_after(text, now=NOW) is None


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(9998, 1, 1)).map(
        lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
    )
)
def test_any_date_is_read_exactly(moment: datetime) -> None:
    assert parse_retry_after(format_datetime(moment, usegmt=True), now=0.0) == moment.timestamp()


@given(st.text(max_size=40), st.floats(0, 1e10))
def test_no_text_makes_it_raise(text: str, now: float) -> None:
    seconds = parse_retry_after(text, now=now)
    assert seconds is None or 0 <= seconds < float("inf")
