"""Signing in to the console: a key for a cookie that no script reads, and for how long it counts."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from agentkit.runtime.bus.local import LocalBus
from agentkit.runtime.config import ServerConfig
from agentkit.runtime.console.sessions import ConsoleSessions
from agentkit.runtime.engine.local import LocalEngine
from agentkit.runtime.ids import hashed, new_id
from agentkit.runtime.open import open_models
from agentkit.runtime.platform import Platform
from agentkit.runtime.records import ConsoleSessionRecord, KeyRecord
from agentkit.runtime.server import create_app
from agentkit.runtime.store.blobs import Blobs
from agentkit.runtime.store.sqlite import SqliteStore
from tests.console.signing import CONSOLE, NAME, PAGE, sign_in, status
from tests.runtime.serving import BARE, KEY, Desk, in_process

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

BEARER = {"Authorization": f"Bearer {KEY}", **BARE}


class Clock:
    """The store's."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def go(self, **by: float) -> None:
        self.now += timedelta(**by)


@asynccontextmanager
async def keyed(folder: Path, clock: Clock) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of a server with a key, whose time the test decides."""
    platform = Platform(
        store=SqliteStore(folder / "a.db", clock=clock, synchronous="OFF"),
        engine=LocalEngine(), bus=LocalBus(), models=open_models(environ={}), blobs=Blobs(folder / "files"), keys=[KEY],
    )  # fmt: skip
    async with platform:
        transport = httpx.ASGITransport(create_app(platform))
        async with httpx.AsyncClient(transport=transport, base_url="http://agentkit.local") as client:
            yield client


async def _made(desk: Desk, **body: object) -> dict[str, str]:
    response = await desk.client.post("/apikeys", json=body, headers=BEARER)
    assert response.status_code == 200, response.text
    return dict(response.json())


# -- in and out ----------------------------------------------------------------------------------------------------


async def test_a_key_is_exchanged_for_a_cookie_that_no_script_and_no_other_site_gets() -> None:
    async with in_process(keys=[KEY]) as desk:
        response = await sign_in(desk.client)
        told = response.json()
        chats = await status(desk.client, CONSOLE)
    cookie = response.headers["set-cookie"]
    name, _, rest = cookie.partition("=")
    token, *rules = rest.split("; ")
    assert (name, len(token)) == (NAME, 43)
    assert set(rules) == {"Max-Age=604800", "Path=/", "HttpOnly", "SameSite=Strict"}
    assert KEY not in cookie and KEY not in response.text
    assert told["needs_key"] is told["signed_in"] is True
    assert told["name"] == "configured" and told["groups"] == told["scopes"] == [] and told["version"]
    assert response.headers["cache-control"] == "no-store"
    assert chats == 200


async def test_over_tls_the_cookie_is_bound_to_this_very_host() -> None:
    async with in_process(keys=[KEY], base_url="https://desk.example") as desk:
        response = await sign_in(desk.client, Origin="https://desk.example")
        assert response.headers["set-cookie"].startswith(f"__Host-{NAME}=")
        assert response.headers["set-cookie"].endswith("; Secure") and "Domain" not in response.headers["set-cookie"]
        assert await status(desk.client, CONSOLE) == 200
        token = desk.client.cookies[f"__Host-{NAME}"]
        desk.client.cookies.clear()
        assert await status(desk.client, {**CONSOLE, "Cookie": f"{NAME}={token}"}) == 401  # set by who knows whom


async def test_behind_a_proxy_that_speaks_tls_the_public_url_says_so() -> None:
    config = ServerConfig(public_url="https://desk.example")
    async with in_process(keys=[KEY], base_url="http://desk.example", config=config) as desk:
        response = await sign_in(desk.client, Origin="https://desk.example")
        assert response.status_code == 200
        assert response.headers["set-cookie"].startswith(f"__Host-{NAME}=")
        forged = await sign_in(desk.client, Host="other.example", Origin="https://other.example")
        assert forged.status_code == 403


async def test_a_proxy_nobody_spoke_of_is_not_believed() -> None:
    async with in_process(keys=[KEY]) as desk:
        response = await sign_in(desk.client, **{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"})
    assert response.headers["set-cookie"].startswith(f"{NAME}=") and "Secure" not in response.headers["set-cookie"]


async def test_who_is_signed_in_is_told_and_after_signing_out_nobody_is() -> None:
    async with in_process(keys=[KEY]) as desk:
        before = (await desk.client.get("/console/session", headers=CONSOLE)).json()
        await sign_in(desk.client)
        there = (await desk.client.get("/console/session", headers=CONSOLE)).json()
        token = desk.client.cookies[NAME]
        out = await desk.client.delete("/console/session", headers=PAGE)
        assert NAME not in desk.client.cookies and "Max-Age=0" in out.headers["set-cookie"]
        assert await status(desk.client, {**CONSOLE, "Cookie": f"{NAME}={token}"}) == 401  # the row is gone too
    assert (before["signed_in"], before["name"], before["groups"]) == (False, None, None)
    assert (there["signed_in"], there["name"]) == (True, "configured")
    assert out.json()["signed_in"] is False


async def test_without_keys_there_is_nothing_to_sign_in_to() -> None:
    async with in_process() as desk:
        told = (await desk.client.get("/console/session")).json()
        response = await sign_in(desk.client, "whatever it is")
    assert (told["needs_key"], told["signed_in"], told["name"], told["groups"]) == (False, True, "local", None)
    assert response.status_code == 200 and "set-cookie" not in response.headers


async def test_each_sign_in_has_a_token_of_its_own_and_ends_the_one_before() -> None:
    async with in_process(keys=[KEY]) as desk:
        desk.client.cookies.set(NAME, "chosen-by-somebody-else", domain="agentkit.local")
        await sign_in(desk.client)
        first = desk.client.cookies[NAME]
        await sign_in(desk.client)
        second = desk.client.cookies[NAME]
        desk.client.cookies.clear()
        assert len({first, second, "chosen-by-somebody-else"}) == 3
        assert await status(desk.client, {**CONSOLE, "Cookie": f"{NAME}={first}"}) == 401
        assert await status(desk.client, {**CONSOLE, "Cookie": f"{NAME}={second}"}) == 200
        assert await status(desk.client, {**CONSOLE, "Cookie": f"{NAME}=chosen-by-somebody-else"}) == 401


# -- what it may do ------------------------------------------------------------------------------------------------


async def test_a_session_may_do_what_its_key_may_and_goes_with_it() -> None:
    async with in_process(keys=[KEY]) as desk:
        key = await _made(desk, name="ann", scopes=["conversations:read"])
        told = (await sign_in(desk.client, key["key"])).json()
        run = await desk.client.post("/agents/run", json={}, headers=CONSOLE)
        assert (told["name"], told["scopes"]) == ("ann", ["conversations:read"])
        assert (await status(desk.client, CONSOLE), run.status_code) == (200, 403)
        deleted = await desk.client.delete(f"/apikeys/{key['id']}", headers=BEARER)
        assert deleted.status_code == 200
        assert await status(desk.client, CONSOLE) == 401
        assert (await desk.client.get("/console/session", headers=CONSOLE)).json()["signed_in"] is False


async def test_a_key_in_the_header_wins_over_the_cookie() -> None:
    async with in_process(keys=[KEY]) as desk:
        await sign_in(desk.client)
        assert await status(desk.client, {**CONSOLE, "Authorization": "Bearer wrong-key-of-good-length"}) == 401
        reader = await _made(desk, name="reader", scopes=["apps:read"])
        assert await status(desk.client, {**CONSOLE, "Authorization": f"Bearer {reader['key']}"}) == 403
        assert await status(desk.client, CONSOLE) == 200


async def test_requests_of_a_session_count_against_the_limit_of_its_key() -> None:
    from agentkit.runtime.ratelimits import RateLimits

    config = ServerConfig(rate_limits=RateLimits.parse("get=2/h"))
    async with in_process(keys=[KEY], config=config) as desk:
        await sign_in(desk.client)
        answers = [
            (await desk.client.get("/tasks/nope", headers=headers)).status_code
            for headers in (CONSOLE, BEARER, CONSOLE)
        ]
    assert answers == [404, 404, 429]


# -- how long ------------------------------------------------------------------------------------------------------


async def test_a_session_lasts_while_it_is_used_but_not_longer_than_a_week(tmp_path: Path) -> None:
    clock = Clock()
    async with keyed(tmp_path, clock) as client:
        await sign_in(client)
        for _ in range(15):
            clock.go(hours=11)
            assert await status(client, CONSOLE) == 200
        clock.go(hours=2, minutes=59)
        assert await status(client, CONSOLE) == 200
        clock.go(minutes=1)  # 168 hours
        assert await status(client, CONSOLE) == 401


async def test_a_session_that_is_not_used_for_twelve_hours_is_over(tmp_path: Path) -> None:
    clock = Clock()
    async with keyed(tmp_path, clock) as client:
        await sign_in(client)
        clock.go(hours=12)
        assert await status(client, CONSOLE) == 401
        clock.go(hours=-1)  # over is over only by the clock: nothing was written
        assert await status(client, CONSOLE) == 200


async def test_to_look_whether_a_session_counts_still_does_not_prolong_it(tmp_path: Path) -> None:
    clock = Clock()
    store = SqliteStore(tmp_path / "a.db", clock=clock, synchronous="OFF")
    await store.open()
    try:
        await store.write(lambda tx: tx.insert(KeyRecord(id=new_id(), sha256=hashed(KEY), owner="local", name="ann")))
        sessions = ConsoleSessions(store)
        token, _ = await sessions.begin(KEY)
        clock.go(hours=11)
        assert await sessions.key_of(token, is_use=False)
        clock.go(hours=1)
        assert await sessions.key_of(token, is_use=False) is None
    finally:
        await store.close()


async def test_a_session_outlives_the_server_and_what_is_over_is_swept(tmp_path: Path) -> None:
    clock = Clock()
    async with keyed(tmp_path, clock) as client:
        await sign_in(client)
        token = client.cookies[NAME]
    cookie = {**CONSOLE, "Cookie": f"{NAME}={token}"}
    async with keyed(tmp_path, clock) as client:
        assert await status(client, cookie) == 200
    clock.go(days=8)
    async with keyed(tmp_path, clock) as client:
        assert await status(client, cookie) == 401
        await sign_in(client)
        fresh = client.cookies[NAME]
    store = SqliteStore(tmp_path / "a.db", clock=clock)
    await store.open()
    rows = await store.read(lambda tx: tx.find(ConsoleSessionRecord))
    await store.close()
    assert [each.id for each in rows] == [hashed(fresh)]


async def test_the_database_has_neither_key_nor_token(tmp_path: Path) -> None:
    async with keyed(tmp_path, Clock()) as client:
        await sign_in(client)
        token = client.cookies[NAME]
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert hashed(token).encode() in kept
    assert token.encode() not in kept and KEY.encode() not in kept


# -- who tries -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [{}, {"api_key": ""}, {"api_key": 5}, {"api_key": [KEY]}, {"api_key": None}])
async def test_a_body_without_a_key_is_refused(body: dict[str, object]) -> None:
    async with in_process(keys=[KEY]) as desk:
        response = await desk.client.post("/console/session", json=body, headers=PAGE)
    assert (response.status_code, "set-cookie" in response.headers) == (400, False)


async def test_a_wrong_key_is_401_and_ten_of_them_in_a_minute_are_enough() -> None:
    async with in_process(keys=[KEY]) as desk:
        await sign_in(desk.client)  # those that go well do not count
        answers = [await sign_in(desk.client, f"wrong-key-number-{number}") for number in range(11)]
        even_right = await sign_in(desk.client)
    assert [each.status_code for each in answers] == [401] * 10 + [429]
    assert "unknown here, expired, or revoked" in answers[0].json()["detail"]
    assert even_right.status_code == 429
    assert 0 < int(even_right.headers["retry-after"]) <= 60


async def test_no_key_and_no_token_reaches_the_log_or_an_error(caplog: pytest.LogCaptureFixture) -> None:
    wrong = f"{KEY}-but-wrong"
    with caplog.at_level(logging.DEBUG):
        async with in_process(keys=[KEY]) as desk:
            refused = await sign_in(desk.client, wrong)
            await sign_in(desk.client)
            token = desk.client.cookies[NAME]
            await status(desk.client, CONSOLE)
    assert KEY not in caplog.text and token not in caplog.text
    assert KEY not in refused.text
