"""Rate limits: counted per key over a sliding window, and told with every answer."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import httpx
import pytest

from agentkit.errors import ConfigError
from agentkit.runtime.config import ServerConfig
from agentkit.runtime.ratelimits import Limiter, Rate, RateLimits
from tests.runtime.serving import BARE, KEY, in_process


def test_the_platforms_limits_are_the_seeds() -> None:
    assert RateLimits.parse("default").rates == {
        "run": Rate(100, 60.0), "get": Rate(1000, 60.0), "upload": Rate(50, 60.0),
    }  # fmt: skip
    assert RateLimits.default() == RateLimits.parse("default")


def test_what_is_not_named_is_not_limited() -> None:
    limits = RateLimits.parse(" run=3/s, GET=5/h ")
    assert limits.rates == {"run": Rate(3, 1.0), "get": Rate(5, 3600.0)}
    assert Limiter(limits).take("upload", "key", now=0.0) is None
    assert RateLimits.parse("off").rates == {}
    assert RateLimits.parse("default,run=1/s").rates["run"] == Rate(1, 1.0)


@pytest.mark.parametrize("text", ["", "run", "run=100", "run=x/m", "run=1/d", "walk=1/m", "run=-1/m", "default;off"])
def test_what_is_no_limit_says_what_one_looks_like(text: str) -> None:
    with pytest.raises(ConfigError, match="rate limit"):
        RateLimits.parse(text)


def test_the_next_request_is_possible_when_the_oldest_leaves_the_window() -> None:
    limiter = Limiter(RateLimits.parse("run=2/m"))
    told = [limiter.take("run", "key", now=now) for now in (0.0, 20.0, 30.0, 59.9, 60.0, 61.0)]
    assert [(each.is_allowed, each.remaining, round(each.reset_seconds, 1)) for each in told if each] == [
        (True, 1, 60.0), (True, 0, 40.0), (False, 0, 30.0), (False, 0, 0.1), (True, 0, 20.0), (False, 0, 19.0),
    ]  # fmt: skip


def test_the_headers_say_unix_seconds_and_a_refusal_says_when_to_come_back() -> None:
    limiter = Limiter(RateLimits.parse("run=1/m"))
    first, second = (limiter.take("run", "key", now=now) for now in (0.0, 59.7))
    assert first and first.headers(wall_clock=1000.5) == {
        "X-RateLimit-Limit": "1", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1061",
    }  # fmt: skip
    assert second and second.headers(wall_clock=1060.2)["Retry-After"] == "1"


def test_in_no_window_are_more_than_allowed_and_keys_do_not_disturb_each_other() -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chance, rate = random.Random(seed), Rate(7, 10.0)
    limiter, now = Limiter(RateLimits({"run": rate})), 0.0
    taken: dict[str, list[float]] = {"a": [], "b": []}
    for _ in range(2000):
        now += chance.expovariate(2.0)
        key = chance.choice("ab")
        allowance = limiter.take("run", key, now=now)
        within = [each for each in taken[key] if each > now - rate.seconds]
        assert allowance is not None
        assert allowance.is_allowed is (len(within) < rate.count)
        if allowance.is_allowed:
            taken[key].append(now)


# -- over HTTP -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("limit:rates")
async def test_every_answer_tells_what_is_left_and_too_many_are_refused_in_the_callers_dialect() -> None:
    config = ServerConfig(rate_limits=RateLimits.parse("upload=2/m"))
    body = {"files": [{"uri": "", "filename": "a"}]}
    async with in_process(config=config) as desk:
        before = time.time()
        good = [await desk.client.post("/files", json=body, headers=BARE) for _ in range(2)]
        bare = await desk.client.post("/files", json=body, headers=BARE)
        wrapped = await desk.client.post("/files", json=body)
        other = await desk.client.post("/files/list", json={}, headers=BARE)
    assert [each.headers["x-ratelimit-remaining"] for each in good] == ["1", "0"]
    assert good[0].headers["x-ratelimit-limit"] == "2"
    assert before + 55 <= int(good[0].headers["x-ratelimit-reset"]) <= time.time() + 61
    assert (bare.status_code, bare.json()["type"].rsplit("/", 1)[-1]) == (429, "rate_limited")
    assert 1 <= int(bare.headers["retry-after"]) <= 60
    assert (wrapped.status_code, wrapped.json()["error"]["code"]) == (429, "rate_limited")
    assert (other.status_code, "x-ratelimit-limit" in other.headers) == (200, False)


async def test_each_key_has_its_own_count_and_a_wrong_key_has_none() -> None:
    config = ServerConfig(rate_limits=RateLimits.parse("get=1/m"))
    keys = [KEY, f"{KEY}2"]
    async with in_process(config=config, keys=keys) as desk:
        told: list[int] = []
        for key in (keys[0], keys[0], keys[1], "inf_wrong_wrong_wrong", "inf_wrong_wrong_wrong"):
            headers = {**BARE, "Authorization": f"Bearer {key}"}
            told.append((await desk.client.get("/tasks/nothere", headers=headers)).status_code)
    assert told == [404, 429, 404, 401, 401]


async def _statuses(client: httpx.AsyncClient, written: Sequence[str]) -> list[int]:
    """What `GET /tasks/...` answers under each of these headers, one after the other."""
    return [
        (await client.get("/tasks/nothere", headers={**BARE, "Authorization": each})).status_code for each in written
    ]


async def test_a_key_is_counted_once_however_it_is_written_and_without_keys_all_count_together() -> None:
    config = ServerConfig(rate_limits=RateLimits.parse("get=1/m"))
    async with in_process(config=config, keys=[KEY]) as desk:
        written = [f"Bearer {KEY}", f"bearer {KEY}", f"Bearer  {KEY}", f"BEARER {KEY}"]
        assert await _statuses(desk.client, written) == [404, 429, 429, 429]
    async with in_process(config=config) as desk:
        assert await _statuses(desk.client, ["Bearer made-up-1", "Bearer made-up-2"]) == [404, 429]


async def test_without_limits_nothing_is_told() -> None:
    async with in_process() as desk:
        response = await desk.client.post("/files", json={"files": []}, headers=BARE)
    assert not [name for name in response.headers if name.startswith("x-ratelimit")]
