"""Keys, and what keeps web pages out where no key is needed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentkit.errors import ConfigError
from agentkit.runtime.config import ServerConfig
from agentkit.runtime.open import open_platform
from agentkit.runtime.server import create_app
from tests.runtime.serving import BARE, KEY, Desk, in_process, message, served

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

PAGE = "https://evil.example"
ALLOWED = "https://desk.example"


async def _status(desk: Desk, method: str = "GET", path: str = "/agents/internal-tools", **more: Any) -> int:
    return (await desk.client.request(method, path, **more)).status_code


# -- keys ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("auth:bearer")
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong-key-of-good-length", KEY, f"Basic {KEY}", f"Bearer {KEY}x"],
)
async def test_a_missing_or_wrong_key_is_401_in_the_dialect_of_the_caller(authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with in_process(keys=[KEY]) as desk:
        bare = await desk.client.get("/agents/internal-tools", headers={**headers, **BARE})
        enveloped = await desk.client.get("/agents/internal-tools", headers=headers)
    assert (bare.status_code, bare.headers["content-type"]) == (401, "application/problem+json")
    assert (enveloped.status_code, enveloped.json()["error"]["code"]) == (401, "unauthorized")
    assert bare.headers["www-authenticate"] == "Bearer"


@pytest.mark.requirement("auth:bearer")
@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_the_right_key_lets_in(scheme: str) -> None:
    async with in_process(keys=[KEY]) as desk:
        assert await _status(desk, headers={"Authorization": f"{scheme} {KEY}"}) == 200


async def test_health_and_the_catalogue_need_no_key() -> None:
    async with in_process(keys=[KEY]) as desk:
        assert [await _status(desk, path=path) for path in ("/health", "/openapi.json")] == [200, 200]


async def test_a_key_never_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with in_process(keys=[KEY]) as desk:
            await _status(desk, headers={"Authorization": f"Bearer {KEY}"})
            await _status(desk, headers={"Authorization": f"Bearer {KEY}-wrong"})
    assert KEY not in caplog.text
    assert KEY not in repr(ServerConfig(api_keys=(KEY,)))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "agentkit.example"])
def test_an_open_door_is_refused_before_it_opens(host: str, tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    with pytest.raises(
        ConfigError, match=r"a key is needed: give one as --api-key-file, --api-key or AGENTKIT_API_KEY"
    ):
        create_app(open_platform(db=db, environ={}), config=ServerConfig(host=host))
    create_app(open_platform(db=db, environ={}, keys=[KEY]), config=ServerConfig(host=host))


# -- DNS rebinding -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8787", "localhost:1", "LOCALHOST", "[::1]:8787", "[::1]", "agentkit.local"]
)
async def test_names_of_this_machine_are_answered(host: str) -> None:
    async with in_process() as desk:
        assert await _status(desk, headers={"Host": host}) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8787", "127.0.0.1.evil.example", "localhost.evil.example", "192.168.1.5", "",
     "a@localhost", "127.0.0.1:80:80", "[::1", "localhost, evil.example"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/agents/internal-tools", "/health", "/nope"])
async def test_any_other_host_is_refused_on_every_path(host: str, path: str) -> None:
    async with in_process() as desk:
        response = await desk.client.get(path, headers={"Host": host, **BARE})
    assert (response.status_code, response.json()["type"].rpartition("/")[2]) == (403, "forbidden")


async def test_a_configured_name_is_answered() -> None:
    async with in_process(config=ServerConfig(host_names=("desk.example",))) as desk:
        assert await _status(desk, headers={"Host": "Desk.Example:9000"}) == 200


def test_the_in_process_name_is_refused_behind_a_socket() -> None:
    with served() as server:
        response = httpx.get(f"{server.url}/health", headers={"Host": "agentkit.local"})
        assert response.status_code == 403
        assert httpx.get(f"{server.url}/health").status_code == 200


async def test_with_a_key_any_host_is_answered_because_a_page_does_not_know_the_key() -> None:
    async with in_process(keys=[KEY]) as desk:
        assert await _status(desk, headers={"Host": "agents.example", "Authorization": f"Bearer {KEY}"}) == 200


# -- cross-site requests -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", [PAGE, "null", "http://localhost:3000", "http://127.0.0.1:8787"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/health"), ("POST", "/chats/c1/stop"), ("OPTIONS", "/agents/run")]
)
async def test_a_page_of_an_origin_that_is_not_allowed_is_refused(origin: str, method: str, path: str) -> None:
    async with in_process(config=ServerConfig(cors_origins=(ALLOWED,))) as desk:
        assert await _status(desk, method, path, headers={"Origin": origin}) == 403


async def test_an_allowed_page_may_call_and_is_named_exactly() -> None:
    async with in_process(config=ServerConfig(cors_origins=(ALLOWED,))) as desk:
        asked = {
            "Origin": ALLOWED,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "x-api-version",
        }
        preflight = await desk.client.options("/agents/run", headers=asked)
        answer = await desk.client.get("/health", headers={"Origin": ALLOWED})
        failure = await desk.client.get("/chats/nope", headers={"Origin": ALLOWED})
    for response in (preflight, answer, failure):
        assert response.headers["access-control-allow-origin"] == ALLOWED
        assert response.headers["access-control-allow-credentials"] == "true"
    assert (preflight.status_code, failure.status_code) == (200, 404)
    assert "x-api-version" in preflight.headers["access-control-allow-headers"]


async def test_without_an_allow_list_nobody_is_told_to_come_in() -> None:
    async with in_process(keys=[KEY]) as desk:
        asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
        preflight = await desk.client.options("/agents/run", headers=asked)
        answer = await desk.client.get("/health", headers={"Origin": PAGE})
    assert not [
        name for response in (preflight, answer) for name in response.headers if name.startswith("access-control")
    ]


@pytest.mark.parametrize(
    ("site", "mode", "status"),
    [
        ("cross-site", "no-cors", 403),
        ("same-site", "no-cors", 403),
        ("cross-site", "navigate", 200),
        ("none", "navigate", 200),
        ("same-origin", "cors", 200),
    ],
)
async def test_what_a_page_embeds_is_refused_and_what_a_person_opens_is_not(site: str, mode: str, status: int) -> None:
    async with in_process() as desk:
        assert await _status(desk, headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}) == status


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
async def test_a_body_a_page_could_send_without_asking_is_415(kind: str) -> None:
    async with in_process() as desk:
        body = httpx.Request("POST", "http://x", json=message()).content
        response = await desk.client.post("/agents/run", content=body, headers={"Content-Type": kind, **BARE})
        assert await desk.post("/chats/list") == {**await desk.post("/chats/list"), "items": []}
    assert response.status_code == 415
    assert "application/json" in response.json()["detail"]


async def test_a_form_a_page_could_send_without_asking_is_415() -> None:
    async with in_process() as desk:
        simple = await desk.client.post("/files", files={"file": ("a.txt", b"a")})
        chosen = await desk.client.post("/files", files={"file": ("a.txt", b"a")}, headers=BARE)
        assert [each["filename"] for each in (await desk.post("/files/list"))["items"]] == ["a.txt"]
    assert (simple.status_code, chosen.status_code) == (415, 200)
