"""Servers over streamable HTTP: sessions that end, answers that break off, statuses of all kinds."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from urllib.parse import urlsplit

import anyio
import pytest

from agentkit.runtime.executors import ToolFailure
from agentkit.runtime.faults import Fault
from tests.runtime.mcp.calling import Calling, calling, one
from tests.runtime.mcp.oddhttp import OddHttp, odd_http

# The SDK leaves generators of its HTTP client to the garbage collector, of which trio tells.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning")


@pytest.fixture
def there() -> Generator[OddHttp]:
    with odd_http() as server:
        yield server


async def failure(at: Calling, name: str) -> ToolFailure:
    with pytest.raises(ToolFailure) as raised:
        await at.call(name)
    return raised.value


async def test_answers_come_as_json_and_as_a_stream_with_progress(there: OddHttp) -> None:
    async with calling({"odd": there.url}) as at:
        assert (await at.call("echo")).text == "echo"
        assert (await at.call("stream")).text == "streamed"
        assert at.desk.told == [("half way", 1.0, 2.0)]
    assert there.deleted == ["session1"]


async def test_a_server_can_tell_a_call_from_others_by_its_idempotency_key(there: OddHttp) -> None:
    async with calling({"odd": there.url}) as at:
        await at.call("cut_again")  # broken off, and made again
    assert there.calls == ["cut_again", "cut_again"]
    assert [each["dev.agentkit/idempotency-key"] for each in there.metas] == ["key1", "key1"]


async def test_headers_carry_the_secret_and_a_wrong_one_is_told_by_its_status(there: OddHttp) -> None:
    there.token = "t0p-secret"
    spec = {"url": there.url, "headers": {"Authorization": "Bearer ${{secrets.ODD}}"}}
    async with calling({"odd": spec}, secrets={"ODD": "t0p-secret"}) as at:
        assert (await at.call("echo")).text == "echo"
    async with calling({"odd": spec}, secrets={"ODD": "wrong-one"}) as at:
        with pytest.raises(Fault) as refused:
            await at.bound(one("*"))
    assert refused.value.detail == "tool 't': the MCP server 'odd' does not come up: HTTP 401 Unauthorized"
    assert all(each["authorization"].startswith("Bearer ") for each in there.headers)


@pytest.mark.parametrize("how", ["forget", "forget_400"])
async def test_a_session_that_the_server_forgot_is_begun_anew_and_the_call_made(there: OddHttp, how: str) -> None:
    async with calling({"odd": there.url}) as at:
        await at.call(how)
        assert (await at.call("echo")).text == "echo"  # whatever the tool does: the server had refused it
    assert (list(there.sessions), there.calls) == (["session1", "session2"], [how, "echo"])


async def test_a_server_that_forgets_every_session_fails_the_call(there: OddHttp) -> None:
    async with calling({"odd": there.url}) as at:
        await at.call("echo")

        class Forgetful(dict[str, str]):
            def __setitem__(self, session: str, state: str) -> None:
                super().__setitem__(session, "forgotten")

        there.sessions = Forgetful(there.sessions, session1="forgotten")
        failed = await failure(at, "echo")
    assert failed.text == "the MCP server 'odd' ended the session"
    assert (failed.had_effect, failed.is_transient) == (False, True)


@pytest.mark.parametrize("name", ["cut", "half", "hang_up"])
async def test_an_answer_that_breaks_off_has_an_unknown_outcome(there: OddHttp, name: str) -> None:
    async with calling({"odd": there.url}) as at:
        failed = await failure(at, name)
        assert failed.had_effect is None
        assert (await at.call("echo")).text == "echo"
    assert there.calls == [name, "echo"]


@pytest.mark.parametrize("name", ["cut_again", "half_again"])
async def test_a_call_that_only_reads_is_made_once_more(there: OddHttp, name: str) -> None:
    async with calling({"odd": there.url}) as at:
        assert (await at.call(name)).text == "whole"
    assert there.calls == [name, name]


async def test_a_broken_call_leaves_those_beside_it_alone(there: OddHttp) -> None:
    async with calling({"odd": there.url}) as at:
        await at.call("echo")
        async with anyio.create_task_group() as group:
            for name in ("hang_up", "cut", "half"):
                group.start_soon(failure, at, name)
            for _ in range(10):
                group.start_soon(at.call, "echo")
    assert there.calls.count("echo") == 11


@pytest.mark.parametrize(
    ("name", "told"),
    [
        pytest.param("status_500", "answers HTTP 500 Internal Server Error", id="500"),
        pytest.param("status_503", "answers HTTP 503 Service Unavailable", id="503"),
        pytest.param("status_429", "answers HTTP 429 Too Many Requests", id="429"),
        pytest.param("html", "Unexpected content type: text/html", id="html"),
        pytest.param("elsewhere", "Redirect to https://elsewhere.example/mcp not followed", id="redirect"),
        pytest.param("zipped", "answered compressed, which was not asked for", id="zipped"),
        pytest.param("big", "larger than 33554432 bytes", id="too large"),
    ],
)
async def test_what_is_no_answer_fails_the_call_with_what_it_was(there: OddHttp, name: str, told: str) -> None:
    async with calling({"odd": there.url}) as at:
        assert told in (await failure(at, name)).text
        assert (await at.call("echo")).text == "echo"


async def test_a_refused_call_may_be_tried_again_where_nothing_was_done(there: OddHttp) -> None:
    async with calling({"odd": there.url}) as at:
        limited, down = await failure(at, "status_429"), await failure(at, "status_503")
    assert (limited.is_transient, limited.had_effect) == (True, False)
    assert (down.is_transient, down.had_effect) == (True, None)


async def test_a_server_that_went_away_is_told_and_used_again_when_it_is_back() -> None:
    with ExitStack() as stack:
        first = stack.enter_context(odd_http())
        first.keeps_connections = False
        port = urlsplit(first.url).port
        assert port is not None
        async with calling({"odd": first.url}) as at:
            await at.call("echo")
            stack.close()
            failed = await failure(at, "echo")
            assert f"nobody answers at 127.0.0.1:{port}" in failed.text
            assert (failed.had_effect, failed.is_transient) == (False, True)
            stack.enter_context(odd_http(port))
            assert (await at.call("echo")).text == "echo"
