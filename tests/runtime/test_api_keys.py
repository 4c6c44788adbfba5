"""API keys over HTTP: made once, shown once, good for what their scopes say, and gone at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from agentkit.protocol import api
from agentkit.runtime.ports import Writing
from agentkit.runtime.records import KeyRecord
from tests.runtime.serving import BARE, KEY, Desk, in_process

pytestmark = pytest.mark.heavy


def bearing(key: str) -> dict[str, str]:
    """The headers of a request with this key."""
    return {**BARE, "Authorization": f"Bearer {key}"}


async def made(desk: Desk, *, by: str = KEY, **body: Any) -> httpx.Response:
    """The answer to POST /apikeys."""
    return await desk.client.post("/apikeys", json=body, headers=bearing(by))


async def test_a_key_is_shown_once_and_works_until_it_is_deleted(tmp_path: Path) -> None:
    async with in_process(keys=[KEY], db=tmp_path / "work.db") as desk:
        told = (await made(desk, name="ci")).json()
        key = told["key"]
        assert key.startswith("inf_") and (told["name"], told["scopes"], told["source"]) == ("ci", [], "api")
        assert (await desk.client.get("/sessions", headers=bearing(key))).status_code == 200
        listed = (await desk.client.post("/apikeys/list", json={}, headers=bearing(KEY))).json()["items"]
        assert [(each["name"], each["source"]) for each in listed] == [("ci", "api"), ("configured", "settings")]
        assert not any(key in str(each) or KEY in str(each) for each in listed)
        assert all(key.encode() not in path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
        gone = await desk.client.delete(f"/apikeys/{told['id']}", headers=bearing(key))
        assert gone.status_code == 200
        assert (await desk.client.get("/sessions", headers=bearing(key))).status_code == 401
        assert (await desk.client.delete(f"/apikeys/{told['id']}", headers=bearing(KEY))).status_code == 404


async def test_the_configured_key_is_not_deleted_from_outside() -> None:
    async with in_process(keys=[KEY]) as desk:
        [record] = (await desk.client.post("/apikeys/list", json={}, headers=bearing(KEY))).json()["items"]
        answer = await desk.client.delete(f"/apikeys/{record['id']}", headers=bearing(KEY))
        assert answer.status_code == 409 and "AGENTKIT_API_KEY" in answer.json()["detail"]


async def test_a_key_that_has_expired_is_none() -> None:
    async with in_process(keys=[KEY]) as desk:
        told = (await made(desk, name="short", expires_at="2999-01-01T00:00:00+02:00")).json()
        assert told["expires_at"] == "2998-12-31T22:00:00.000000Z"
        assert (await desk.client.get("/sessions", headers=bearing(told["key"]))).status_code == 200

        def age(tx: Writing) -> None:
            tx.update(tx.find(KeyRecord, owner="local", descending=True)[0].but(expires_at=tx.now))

        await desk.platform._store.write(age)
        assert (await desk.client.get("/sessions", headers=bearing(told["key"]))).status_code == 401


SCOPED = [
    (["apps:read"], ("GET", "/sessions"), 200),
    (["apps:write"], ("GET", "/sessions"), 200),
    (["apps"], ("GET", "/sessions"), 200),
    (["*"], ("GET", "/sessions"), 200),
    (["apps:execute"], ("GET", "/sessions"), 403),
    (["agents"], ("GET", "/sessions"), 403),
    (["apps:read"], ("POST", "/apps"), 403),
    (["secrets:read"], ("POST", "/secrets/list"), 200),
    (["secrets:read"], ("POST", "/secrets"), 403),
    (["apps:read"], ("GET", "/health"), 200),
]


@pytest.mark.parametrize(("scopes", "request_line", "status"), SCOPED, ids=range(len(SCOPED)))
async def test_a_key_may_do_what_its_scopes_say(scopes: list[str], request_line: tuple[str, str], status: int) -> None:
    async with in_process(keys=[KEY]) as desk:
        key = (await made(desk, scopes=scopes)).json()["key"]
        body = {} if request_line[0] == "POST" else None
        answer = await desk.client.request(*request_line, json=body, headers=bearing(key))
        assert answer.status_code == status
        if status == 403:
            assert answer.json()["type"].endswith("/insufficient_scope")


@pytest.mark.parametrize(
    ("scopes", "wanted", "status"),
    [
        (["apikeys", "apps:read"], ["apps:read"], 200),
        (["apikeys", "apps:write"], ["apps:read"], 200),
        (["apikeys", "apps:read"], [], 403),
        (["apikeys", "apps:read"], ["*"], 403),
        (["apikeys", "apps:read"], ["apps"], 403),
        (["apikeys:write"], ["apikeys"], 403),
        (["*"], [], 403),
        (["*"], ["*"], 200),
    ],
    ids=range(8),
)
async def test_a_key_makes_no_key_that_may_do_more(scopes: list[str], wanted: list[str], status: int) -> None:
    async with in_process(keys=[KEY]) as desk:
        key = (await made(desk, scopes=scopes)).json()["key"]
        assert (await made(desk, by=key, scopes=wanted)).status_code == status


@pytest.mark.parametrize(
    "body",
    [
        {"scopes": ["everything"]},
        {"expires_at": "2001-01-01T00:00:00Z"},
        {"expires_at": "2999-01-01"},
        {"expires_at": "soon"},
        {"name": "configured"},
        {"name": "n" * 201},
    ],
    ids=range(6),
)
async def test_a_key_that_makes_no_sense_is_not_made(body: dict[str, Any]) -> None:
    async with in_process() as desk:
        assert (await desk.client.post("/apikeys", json=body, headers=BARE)).status_code == 400
        assert (await desk.post("/apikeys/list"))["items"] == []


async def test_the_scopes_are_those_that_the_endpoints_ask_for() -> None:
    async with in_process() as desk:
        told = await desk.get("/scopes")
    assert {each["value"] for each in told["scopes"]} == {each.scope for each in api.ENDPOINTS.values()} - {""}
    assert {each["group"] for each in told["scopes"]} == {each["id"] for each in told["groups"]}


async def test_every_endpoint_that_needs_a_key_asks_for_a_scope() -> None:
    assert [name for name, each in api.ENDPOINTS.items() if not each.is_public and not each.scope] == []
