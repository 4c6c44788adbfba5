"""Routing, dialects, bodies and errors of the server (protocol.md 1.1 to 1.3)."""

from __future__ import annotations

import json
import logging
from typing import Self

import pytest

from agentkit.errors import ConfigError, LocalProtocolError
from agentkit.protocol import api
from agentkit.runtime.config import ServerConfig
from agentkit.runtime.handlers import routes
from agentkit.runtime.ports import ModelProvider
from agentkit.runtime.routes import Asked, Routes
from tests.runtime.serving import AGENT, BARE, in_process, message

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop


class Failing:
    """Models of which none can be had."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def pick(self, ref: str) -> tuple[ModelProvider, str]:
        raise self.error

    async def aclose(self) -> None:
        """Nothing was opened."""


class Pieces:
    """A body that is sent piece by piece, its length not announced."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return b" " * 1000


# -- routing -------------------------------------------------------------------------------------------------------


def test_every_endpoint_has_one_handler_and_every_handler_an_endpoint() -> None:
    assert set(routes) == {(each.method, each.path) for each in api.ENDPOINTS.values()}


def test_an_endpoint_without_a_handler_and_a_handler_without_an_endpoint_are_told_apart() -> None:
    own = Routes()

    @own.on(api.HEALTH)
    async def health(asked: Asked) -> None: ...

    with pytest.raises(
        LocalProtocolError, match=r"without a handler: \['STOP_CHAT'\].*without an endpoint: \['GET /health'\]"
    ):
        own.check({"STOP_CHAT": api.STOP_CHAT})
    with pytest.raises(LocalProtocolError, match="GET /health has two handlers"):
        own.on(api.HEALTH)


@pytest.mark.requirement("route:v1-prefix")
@pytest.mark.parametrize("path", ["/agents/internal-tools", "/v1/agents/internal-tools"])
async def test_a_path_may_start_with_v1(path: str) -> None:
    async with in_process() as desk:
        assert {each["id"] for each in await desk.get(path)} >= {"plan", "memory"}


@pytest.mark.parametrize("path", ["/agents/message", "/agents/messages", "/v1/agents/message"])
async def test_the_newest_names_of_agents_run_are_served(path: str) -> None:
    async with in_process("hello") as desk:
        assert (await desk.post(path, message()))["assistant_message"]["status"] == "pending"


@pytest.mark.parametrize("path", ["/", "/nope", "/v1", "/chats", "/agents/run/", "/chats/c/d/e/f"])
async def test_an_unknown_path_is_404_in_the_dialect_of_the_caller(path: str) -> None:
    async with in_process() as desk:
        bare = await desk.client.get(path, headers=BARE)
        enveloped = await desk.client.get(path)
    assert (bare.status_code, bare.headers["content-type"]) == (404, "application/problem+json")
    assert (enveloped.status_code, enveloped.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/agents/run", "POST, OPTIONS"),
        ("PUT", "/agents/a1", "GET, POST, DELETE, HEAD, OPTIONS"),
        ("PATCH", "/chats/c1", "GET, DELETE, HEAD, OPTIONS"),
        ("DELETE", "/health", "GET, HEAD, OPTIONS"),
        ("HEAD", "/chats/c1/stop", "POST, OPTIONS"),
    ],
)
async def test_a_wrong_method_is_405_and_told_which_are_right(method: str, path: str, allow: str) -> None:
    async with in_process() as desk:
        response = await desk.client.request(method, path, headers=BARE)
    assert (response.status_code, response.headers["allow"]) == (405, allow)


async def test_options_tells_the_methods_and_head_answers_without_a_body() -> None:
    async with in_process() as desk:
        options = await desk.client.options("/agents/run")
        head = await desk.client.head("/health")
    assert (options.status_code, options.headers["allow"], options.json()["success"]) == (200, "POST, OPTIONS", True)
    assert (head.status_code, head.content, head.headers["content-type"]) == (200, b"", "application/json")


async def test_head_of_a_stream_ends_at_its_headers() -> None:
    async with in_process("hello") as desk:
        chat_id = (await desk.post("/agents/run", message()))["assistant_message"]["chat_id"]
        head = await desk.client.head(f"/chats/{chat_id}/stream", headers={"Accept": "application/x-ndjson"})
    assert (head.status_code, head.headers["content-type"], head.content) == (200, "application/x-ndjson", b"")


# -- dialects ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("dialect:bare")
async def test_version_2_is_answered_bare() -> None:
    async with in_process() as desk:
        assert isinstance(await desk.get("/agents/internal-tools"), list)
        created = await desk.post("/files", {"files": [{"uri": "", "filename": "a.txt"}]})
        assert [each["filename"] for each in created] == ["a.txt"]


@pytest.mark.requirement("dialect:bare")
async def test_a_proxy_that_drops_the_version_is_answered_bare() -> None:
    async with in_process() as desk:
        proxied = await desk.client.get("/health", headers={"x-inf-proxy": "@inferencesh/sdk-proxy/next"})
    assert proxied.json()["status"] == "ok"


@pytest.mark.requirement("dialect:superset")
async def test_without_the_header_both_older_envelopes_are_answered_at_once() -> None:
    async with in_process("hello") as desk:
        reply = (await desk.client.post("/agents/run", json=message())).json()
    assert set(reply) == {"success", "status", "data", "messages"}
    assert (reply["success"], reply["status"], reply["messages"]) == (True, 200, [])
    assert set(reply["data"]) >= {"user_message", "assistant_message"}


@pytest.mark.requirement("dialect:error-superset")
async def test_an_error_without_the_header_carries_both_forms() -> None:
    async with in_process() as desk:
        response = await desk.client.get("/chats/nope")
    body = response.json()
    assert (response.status_code, response.headers["content-type"]) == (404, "application/json")
    assert (body["success"], body["status"], body["title"]) == (False, 404, "Not Found")
    assert body["error"] == {"code": "not_found", "message": body["detail"]}
    assert body["type"].endswith("/errors/not_found")


@pytest.mark.requirement("dialect:problem")
async def test_an_error_with_the_header_is_a_problem() -> None:
    async with in_process() as desk:
        response = await desk.client.get("/chats/nope", headers=BARE)
    assert response.headers["content-type"] == "application/problem+json"
    assert set(response.json()) == {"type", "title", "status", "detail"}


@pytest.mark.requirement("dialect:requirements")
@pytest.mark.parametrize("headers", [{}, BARE])
async def test_a_412_lists_what_is_missing_at_the_top_level(headers: dict[str, str]) -> None:
    missing = ConfigError("openai needs OPENAI_API_KEY; set it")
    async with in_process(models=Failing(missing)) as desk:
        response = await desk.client.post("/agents/run", json=message(), headers=headers)
    body = response.json()
    assert (response.status_code, body["satisfied"]) == (412, False)
    assert body["errors"][0]["key"] == "OPENAI_API_KEY"
    assert headers or body["error"]["message"] == body["errors"][0]["message"]


@pytest.mark.requirement("dialect:never-empty")
@pytest.mark.requirement("dialect:media-type")
@pytest.mark.parametrize(("method", "path"), [("POST", "/chats/{chat}/stop"), ("DELETE", "/chats/{chat}")])
async def test_nothing_to_say_is_still_said_in_json(method: str, path: str) -> None:
    async with in_process("hello") as desk:
        chat_id = (await desk.post("/agents/run", message()))["assistant_message"]["chat_id"]
        response = await desk.client.request(method, path.format(chat=chat_id))
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json() == {"success": True, "status": 200, "data": None, "messages": []}


# -- bodies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b'{"input": {"text": "hi",}}', 400, "line 1 column"),
        (b"\xff{}", 400, "not UTF-8 at byte 0"),
        (b"[]", 400, "a JSON array; send an object"),
        (b"null", 400, "a JSON null; send an object"),
        (b'{"input": NaN}', 400, "not JSON"),
        (b'{"input": ' + b"[" * 3000 + b"]" * 3000 + b"}", 400, "recursion"),
        (b'{"input": {"text": 7}}', 422, "input.text"),
        (b'{"context": {"a": 1}}', 422, "context.a"),
    ],
    ids=["syntax", "encoding", "array", "null", "nan", "deep", "type", "nested"],
)
async def test_a_body_that_cannot_be_read_is_refused_by_name(body: bytes, status: int, detail: str) -> None:
    async with in_process() as desk:
        headers = {**BARE, "Content-Type": "application/json"}
        response = await desk.client.post("/agents/run", content=body, headers=headers)
    assert response.status_code == status
    assert detail in response.json()["detail"]


async def test_a_body_that_misses_its_model_is_told_where() -> None:
    async with in_process() as desk:
        response = await desk.client.post("/interrupts/i1/resolve", json={"arguments": [], "note": 3}, headers=BARE)
    assert response.status_code == 422
    assert [each["path"] for each in response.json()["errors"]] == ["arguments", "note"]
    assert response.json()["errors"][0]["message"] == "Input should be a valid dictionary"


async def test_a_list_may_be_asked_for_without_a_body() -> None:
    async with in_process() as desk:
        response = await desk.client.post("/chats/list", headers={"Content-Type": "application/json", **BARE})
    assert (response.status_code, response.json()["items"]) == (200, [])


@pytest.mark.asyncio_only  # httpx leaves a body that is not read to the end to trio's garbage collection
async def test_a_body_above_the_limit_is_413_whether_announced_or_not() -> None:
    async with in_process(config=ServerConfig(max_body_bytes=5000)) as desk:
        headers = {**BARE, "Content-Type": "application/json"}
        announced = await desk.client.post("/agents/run", content=b" " * 10_000, headers=headers)
        streamed = await desk.client.post("/agents/run", content=Pieces(10), headers=headers)
        small = await desk.client.post("/chats/list", content=b"{}" + b" " * 4990, headers=headers)
    assert (announced.status_code, streamed.status_code, small.status_code) == (413, 413, 200)
    assert "5,000 bytes" in streamed.json()["detail"]


# -- what goes wrong here ------------------------------------------------------------------------------------------


async def test_an_unforeseen_error_is_an_id_for_the_caller_and_a_traceback_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = RuntimeError("secret path /etc/agentkit")
    async with in_process(models=Failing(broken)) as desk:
        with caplog.at_level(logging.ERROR, logger="agentkit.server"):
            response = await desk.client.post("/agents/run", json=message(), headers=BARE)
    body = response.json()
    assert (response.status_code, body["type"].rpartition("/")[2]) == (500, "internal_error")
    assert "secret" not in response.text and "Traceback" not in response.text
    [record] = caplog.records
    assert body["error_id"] in record.getMessage()
    assert record.exc_info is not None and record.exc_info[1] is broken


async def test_a_database_that_cannot_be_used_is_503_with_retry_after() -> None:
    async with in_process() as desk:
        await desk.platform.__aexit__(None, None, None)
        response = await desk.client.get("/chats/c1", headers=BARE)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["detail"] == "the database cannot be used right now; try again"


async def test_an_unknown_agent_and_an_unsendable_message_are_named() -> None:
    async with in_process() as desk:
        unknown = await desk.client.post(
            "/agents/run", json={"agent": "acme/none", "input": {"text": "x"}}, headers=BARE
        )
        both = await desk.client.post(
            "/agents/run", json={"agent": "a/b", "agent_config": AGENT, "input": {"text": "x"}}, headers=BARE
        )
        empty = await desk.client.post("/agents/run", json=message(""), headers=BARE)
    assert (unknown.status_code, both.status_code, empty.status_code) == (404, 400, 400)


async def test_agents_are_stored_listed_versioned_and_deleted() -> None:
    async with in_process() as desk:
        made = await desk.post("/agents", {"namespace": "acme", "name": "helper", "version": AGENT})
        await desk.post(f"/agents/{made['id']}", {"version": {**AGENT, "system_prompt": "Be kind"}})
        assert (await desk.get("/agents/acme/helper"))["version"]["system_prompt"] == "Be kind"
        versions = await desk.post(f"/agents/{made['id']}/versions/list")
        assert len(versions["items"]) == 2
        first = versions["items"][1]["id"]
        assert (await desk.get(f"/agents/{made['id']}/versions/{first}"))["id"] == first
        assert [each["name"] for each in (await desk.post("/agents/list"))["items"]] == ["helper"]
        await desk.client.delete(f"/agents/{made['id']}")
        assert (await desk.client.get(f"/agents/{made['id']}")).status_code == 404


async def test_messages_are_paged_by_query() -> None:
    async with in_process("one", "two") as desk:
        chat_id = (await desk.post("/agents/run", message("a")))["assistant_message"]["chat_id"]
        await desk.until(chat_id, "idle")
        page = await desk.get(f"/chats/{chat_id}/messages?limit=1")
        older = await desk.get(f"/chats/{chat_id}/messages?limit=1&cursor={page['next_cursor']}")
        bad = await desk.client.get(f"/chats/{chat_id}/messages?limit=many", headers=BARE)
    assert [each["role"] for each in page["items"] + older["items"]] == ["assistant", "user"]
    assert (bad.status_code, json.loads(bad.text)["detail"]) == (400, "limit is a whole number from 0 on, not 'many'")
