"""The console's pages and files: what is sent, with which headers, and that nothing else is."""

from __future__ import annotations

import re
from collections.abc import Generator

import httpx
import pytest

from agentkit.runtime.config import ServerConfig
from agentkit.runtime.console.pages import pages
from tests.runtime.serving import KEY, RawStream, Served, in_process, served

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

PATHS = ["/console", "/console/", "/console/inbox", "/console/chats/c1", "/v1/console/tasks"]
SENT = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
POLICY = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "require-trusted-types-for 'script'",
]


@pytest.fixture(scope="module")
def server() -> Generator[Served]:
    """A server behind a socket: a path comes as it was sent."""
    with served() as found:
        yield found


def _check(response: httpx.Response) -> None:
    assert {name: response.headers.get(name) for name in SENT} == SENT
    policy = response.headers["content-security-policy"].split("; ")
    assert set(POLICY) <= set(policy)
    assert "unsafe" not in response.headers["content-security-policy"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("keys", [(), (KEY,)], ids=["open", "keyed"])
async def test_every_path_of_the_console_is_its_page_and_needs_no_key(path: str, keys: tuple[str, ...]) -> None:
    async with in_process(keys=keys) as desk:
        response = await desk.client.get(path)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert response.content == pages()["index.html"].body
    assert response.headers["cache-control"] == "no-cache"
    _check(response)


@pytest.mark.parametrize(
    ("suffix", "media_type"),
    [(".js", "text/javascript; charset=utf-8"), (".css", "text/css; charset=utf-8"), (".svg", "image/svg+xml")],
)
async def test_a_file_is_sent_as_what_it_is(suffix: str, media_type: str) -> None:
    async with in_process() as desk:
        for name in (found := [each for each in pages() if each.endswith(suffix)]):
            response = await desk.client.get(f"/console/static/{name}")
            assert (response.status_code, response.headers["content-type"]) == (200, media_type)
            assert response.content == pages()[name].body
            _check(response)
    assert found


async def test_what_the_browser_has_is_not_sent_again() -> None:
    async with in_process() as desk:
        first = await desk.client.get("/console")
        headers = {"If-None-Match": f'"other", {first.headers["etag"]}'}
        again = await desk.client.get("/console", headers=headers)
        other = await desk.client.get("/console", headers={"If-None-Match": '"other"'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert (other.status_code, other.content) == (200, first.content)
    _check(again)


@pytest.mark.parametrize(
    "name",
    [
        "index.html", "nope.js", "pages.py", "__init__.py", "sessions.py", "..%2Fserver.py", "%2e%2e/server.py",
        "....//server.py", "..%5cserver.py", "main.js%00.py", "%2Fetc%2Fpasswd", "", ".", "__pycache__",
    ],
)  # fmt: skip
def test_no_other_file_is_served(server: Served, name: str) -> None:
    with RawStream.open(server.port, f"/console/static/{name}") as answer:
        body = answer.connection.recv(65536) if int(answer.headers["content-length"]) > len(answer._held) else b""
    sent = answer._held + body
    assert answer.status == 404 or sent == pages()["index.html"].body  # below /console, but no file: the page
    assert b"import" not in sent and b"root:" not in sent


@pytest.mark.parametrize("path", ["/console", "/console/static/main.js", "/console/session"])
def test_head_is_the_head_of_get(server: Served, path: str) -> None:
    got, head = httpx.get(f"{server.url}{path}"), httpx.head(f"{server.url}{path}")
    assert (head.status_code, head.content) == (200, b"")
    assert {**dict(head.headers), "date": ""} == {**dict(got.headers), "date": ""}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_a_page_is_read_and_nothing_else(method: str) -> None:
    async with in_process() as desk:
        response = await desk.client.request(method, "/console")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")
    _check(response)


async def test_a_server_without_a_console_has_none() -> None:
    async with in_process(config=ServerConfig(console=False)) as desk:
        found = [(await desk.client.get(path)).status_code for path in (*PATHS, "/console/session")]
        own = await desk.client.get("/health", headers={"Origin": "http://127.0.0.1", "Host": "127.0.0.1"})
    assert set(found) == {404}
    assert own.status_code == 403  # then no page is the server's own


async def test_a_host_that_is_not_this_machine_sees_no_page() -> None:
    async with in_process() as desk:
        response = await desk.client.get("/console", headers={"Host": "evil.example"})
    assert response.status_code == 403
    _check(response)


# -- what the files may not do -------------------------------------------------------------------------------------


def test_the_page_has_nothing_inline_and_asks_no_other_server() -> None:
    page = pages()["index.html"].body.decode()
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"<style|\bstyle=|\bon\w+\s*=", page) == []
    named = re.findall(r"\b(?:src|href)=[\"']([^\"']+)", page)
    assert named and all(each.startswith("/console") for each in named)


@pytest.mark.parametrize("name", sorted(pages()))
def test_no_file_reaches_for_another_server_or_makes_markup_of_text(name: str) -> None:
    text = pages()[name].body.decode()
    addresses = set(re.findall(r"https?://[^\s\"'`)<>]+", text)) - {"http://www.w3.org/2000/svg"}
    assert addresses == set()
    made = r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|DOMParser|srcdoc)"
    assert re.findall(made, text) == []


def test_every_file_that_a_file_names_is_there() -> None:
    texts = {name: page.body.decode() for name, page in pages().items()}
    named = {
        each
        for text in texts.values()
        for each in re.findall(r"(?:/console/static/|from \"\./|import \"\./|import\(\"\./)([\w.-]+)", text)
    }
    assert named and named <= set(texts)
