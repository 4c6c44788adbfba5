"""What pages of other origins can make a browser do with the console's cookie: nothing."""

from __future__ import annotations

from typing import Any

import pytest

from agentkit.runtime.config import ServerConfig
from tests.console.signing import CONSOLE, ORIGIN, PAGE, sign_in, status
from tests.runtime.serving import BARE, KEY, in_process

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

ELSEWHERE = [
    "https://evil.example",
    "null",
    "http://agentkit.local:8080",
    "https://agentkit.local",
    "http://a.agentkit.local",
]
ALLOWED = "https://desk.example"

# -- with a key ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [{}, {"X-Agentkit-Console": "0"}, {"X-Agentkit-Console": "true"}])
async def test_the_cookie_alone_is_nobody(header: dict[str, str]) -> None:
    async with in_process(keys=[KEY]) as desk:
        await sign_in(desk.client)
        assert await status(desk.client, {**BARE, **header}) == 401
        assert (await desk.client.get("/console/session", headers=header)).json()["signed_in"] is False
        assert await status(desk.client, CONSOLE) == 200


@pytest.mark.parametrize("origin", ELSEWHERE)
async def test_another_origin_is_nobody_even_with_the_header(origin: str) -> None:
    async with in_process(keys=[KEY]) as desk:
        await sign_in(desk.client)
        assert await status(desk.client, {**PAGE, "Origin": origin}) == 401


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
async def test_what_the_browser_says_of_the_page_counts(site: str) -> None:
    async with in_process(keys=[KEY]) as desk:
        await sign_in(desk.client)
        assert await status(desk.client, {**CONSOLE, "Sec-Fetch-Site": site}) == 401


@pytest.mark.parametrize(
    "headers",
    [{"Origin": ORIGIN}, *({**CONSOLE, "Origin": each} for each in ELSEWHERE), {**PAGE, "Sec-Fetch-Site": "same-site"}],
    ids=["no-header", *ELSEWHERE, "same-site"],
)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_no_other_page_signs_anybody_in_or_out(method: str, headers: dict[str, str]) -> None:
    body: dict[str, Any] = {"json": {"api_key": KEY}} if method == "POST" else {}
    async with in_process(keys=[KEY]) as desk:
        await sign_in(desk.client)
        response = await desk.client.request(method, "/console/session", headers=headers, **body)
        assert (response.status_code, "set-cookie" in response.headers) == (403, False)
        assert await status(desk.client, CONSOLE) == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_form_signs_nobody_in(content_type: str) -> None:
    async with in_process(keys=[KEY]) as desk:
        sent = {**PAGE, "Content-Type": content_type}
        response = await desk.client.post("/console/session", content=f'{{"api_key": "{KEY}"}}', headers=sent)
    assert (response.status_code, "set-cookie" in response.headers) == (415, False)


async def test_an_allowed_origin_may_use_its_own_key_but_never_the_consoles_cookie() -> None:
    async with in_process(keys=[KEY], config=ServerConfig(cors_origins=(ALLOWED,))) as desk:
        await sign_in(desk.client)
        asked = {"Origin": ALLOWED, "Access-Control-Request-Method": "POST"}
        preflight = await desk.client.options(
            "/chats/list", headers={**asked, "Access-Control-Request-Headers": "x-agentkit-console"}
        )
        assert preflight.status_code == 400 and "x-agentkit-console" not in str(preflight.headers).lower()
        assert await status(desk.client, {**PAGE, "Origin": ALLOWED, "Sec-Fetch-Site": "cross-site"}) == 401
        assert await status(desk.client, {**BARE, "Origin": ALLOWED, "Authorization": f"Bearer {KEY}"}) == 200


async def test_a_file_of_anybody_is_nothing_that_runs_beside_the_console() -> None:
    async with in_process() as desk:
        form = {"file": ("x.html", b"<script src=/console/static/main.js></script>", "text/html")}
        made = (await desk.client.post("/files", files=form, headers=BARE)).json()
        sent = await desk.client.get(f"/files/{made['id']}/content")
    assert sent.headers["content-security-policy"].startswith("sandbox")
    assert sent.headers["content-disposition"].startswith("attachment")


# -- without one ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1:8787", "localhost:8787", "[::1]:8787", "localhost", "desk.example:9"])
async def test_without_a_key_the_servers_own_page_may_call(host: str) -> None:
    own = {**CONSOLE, "Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    async with in_process(config=ServerConfig(host_names=("desk.example",))) as desk:
        assert await status(desk.client, own) == 200


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8787", "http://127.0.0.1:3000"),
        ("127.0.0.1:8787", "http://localhost:8787"),
        ("127.0.0.1:8787", "https://127.0.0.1:8787"),
        ("localhost:8787", "http://evil.localhost:8787"),
        ("127.0.0.1:8787", "null"),
        ("evil.example:8787", "http://evil.example:8787"),
        ("127.0.0.1.evil.example", "http://127.0.0.1.evil.example"),
    ],
    ids=["port", "name", "scheme", "below", "null", "rebound", "rebound-dotted"],
)
async def test_without_a_key_no_other_page_may_whatever_name_it_gives_us(host: str, origin: str) -> None:
    async with in_process() as desk:
        assert await status(desk.client, {**CONSOLE, "Host": host, "Origin": origin}) == 403
