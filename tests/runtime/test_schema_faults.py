"""Schemas from callers: nothing they refer to is fetched, and none of them stops a chat."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from agentkit.runtime.faults import Fault
from agentkit.testing import call
from agentkit.tools import check_arguments
from tests.runtime.playing import client_tool, invocations, playing, texts


@contextmanager
def listening() -> Generator[tuple[str, list[str]]]:
    """A web server on this machine: its URL, and the paths it was asked for."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"type": "string"}')

        def log_message(self, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/secret", asked
        finally:
            server.shutdown()
            thread.join(10)


@pytest.mark.parametrize("word", ["$ref", "$dynamicRef"])
def test_a_url_in_a_schema_is_never_opened(word: str) -> None:
    with listening() as (url, asked):
        schema = {"properties": {"a": {"$ref": "#/hidden"}}, "hidden": {word: url}}  # no keyword: nobody looks inside
        [miss] = check_arguments(schema, {"a": 1})
        assert url in miss["message"]
        assert asked == []


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"properties": {"q": {"$ref": "#/hidden"}}, "hidden": {"$ref": "http://127.0.0.1:9/x"}},
    ],
    ids=["endless", "elsewhere"],
)
async def test_a_schema_that_cannot_be_used_fails_the_call_and_the_model_goes_on(schema: dict[str, Any]) -> None:
    tool = {**client_tool(), "client": {"input_schema": schema}}
    async with playing(call("look", {"q": "a"}), "without it then", tools=[tool]) as play:
        await play.say()
        chat = await play.idle()
        assert "the schema cannot be used" in invocations(chat)[0]["result"]
        assert texts(chat)[-1] == "without it then"


@pytest.mark.parametrize("seconds", [-1, 1e18, 1e300])
async def test_an_approval_timeout_without_a_date_is_refused_at_once(seconds: float) -> None:
    async with playing("x", tools=[client_tool(approval=True, approval_timeout=seconds)]) as play:
        with pytest.raises(Fault, match="approval_timeout"):
            await play.say()


async def test_a_tool_that_only_the_platform_can_define_is_refused_because_nobody_would_run_it() -> None:
    tool = {"name": "look", "type": "internal", "internal": {"category": "plan", "operation": "x"}}
    async with playing("x", tools=[tool]) as play:
        with pytest.raises(Fault, match="not 'internal'") as refused:
            await play.say()
        assert refused.value.code == "not_configured"
