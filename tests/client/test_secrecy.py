"""The key goes into one header and nowhere else."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback
from typing import Any

import pytest

from agentkit import Inference, string, tool
from agentkit.client.config import ClientConfig
from agentkit.errors import AgentKitError
from agentkit.testing import call
from tests.client.hostile import Request, Wire, hostile
from tests.client.ways import AGENT, client_of, desk, play

KEY = "inf_5ecret0123456789"


def everything_seen(thing: Any, depth: int = 3) -> str:
    """What `repr` shows of an object and of what hangs on it."""
    seen = repr(thing)
    if depth:
        seen += "".join(everything_seen(each, depth - 1) for each in getattr(thing, "__dict__", {}).values())
    return seen


def test_neither_reprs_nor_logs_of_a_whole_turn_hold_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    weather = tool("get_weather").describe("w").param("city", string("City")).handler(lambda args: 1 / 0)
    with desk(
        "socket-sync", call("get_weather", {"city": "Rome"}), "Sorry.", keys=[KEY], client={"api_key": KEY}
    ) as place:
        agent = place.agent(weather)
        told = play(agent)
        ref = agent.upload_file(b"bytes", "f.bin")
        shown = [
            everything_seen(each) for each in (place.client, agent, agent.stream("x"), told.result, ref, place.config)
        ]
        shown += [repr(event) for event in told.events]
    assert told.result.text == "Sorry."
    assert KEY not in "".join(shown)
    assert KEY not in caplog.text
    assert "call the handler" not in caplog.text


@pytest.mark.parametrize("kind", ["sync", "asyncio", "trio"])
def test_exceptions_and_their_tracebacks_do_not_hold_the_key(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def play_(request: Request, wire: Wire) -> None:
        assert request.headers["authorization"] == f"Bearer {KEY}"
        match request.path:
            case "/agents/run":
                wire.json({"detail": "no"}, 500)
            case "/agents/acme/echo":  # a platform that repeats what it got
                wire.json({"detail": "no", "id": "echo"}, 403)
            case _:
                wire.cut()

    errors: list[AgentKitError] = []
    with hostile(play_) as server, client_of(kind, server.url, key=KEY) as client:
        for fail in (
            lambda: client.agent(AGENT).run("go"),
            lambda: client.agents.get("acme/echo"),
            lambda: client.agents.get("x"),
            lambda: client.files.upload(b"bytes"),
        ):
            with pytest.raises(AgentKitError) as raised:
                fail()
            errors.append(raised.value)
    for error in errors:
        assert KEY not in "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))
    assert KEY not in caplog.text


def test_an_upload_url_is_called_without_the_key() -> None:
    def play_(request: Request, wire: Wire) -> None:
        if request.method == "PUT":
            wire.answer(200)
            return
        wire.json(
            [{"id": "f1", "uri": "inf://f1", "upload_url": f"http://{request.headers['host']}/put?signature=abc"}]
        )

    with hostile(play_) as server, Inference(config=ClientConfig(base_url=server.url, api_key=KEY)) as client:
        client.files.upload(b"bytes")
        post, put = server.requests
    assert post.headers["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in put.headers
    assert "x-api-version" not in put.headers
    assert put.body == b"bytes"


def test_a_copy_of_the_settings_is_as_silent() -> None:
    config = ClientConfig(base_url="http://127.0.0.1:1", api_key=KEY)
    assert KEY not in repr(config) + repr(copy.copy(config)) + str(config)
    assert KEY in config.headers["Authorization"]
