"""HTTP tools that can be asked what came of a call: over a real ledger, whose answers are lost in every way."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit.runtime.executors.http import HttpExecutor
from agentkit.runtime.faults import Fault
from agentkit.runtime.outbound.egress import Guard
from agentkit.testing import call
from agentkit.wire import AgentTool, Decide, RejectTool
from tests.client.hostile import Hostile, Request, Wire, hostile
from tests.runtime.executors.calling import Caller, Pocket
from tests.runtime.playing import ADA, OWNER, Play, invocations, playing

SECRET = "sk-Live-0123456789"
SCHEMA = {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]}


@dataclass
class Ledger:
    """Charges by idempotency key. `posts` and `gets` say what happens to each request in turn; then all goes well.

    Of a POST: `lost` it is charged, and the answer is lost; `before` the connection breaks first; `silent` and `still`
    are the two without an end to the connection. Of a GET: a status, or `cut`.
    """

    posts: list[str] = field(default_factory=list)
    gets: list[Any] = field(default_factory=list)
    charges: list[tuple[str, int]] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    has_one: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def __call__(self, request: Request, wire: Wire) -> None:
        if request.method == "POST":
            self._charge(request, wire)
        else:
            self._find(request, wire)

    def _charge(self, request: Request, wire: Wire) -> None:
        how, key = self.posts.pop(0) if self.posts else "", request.headers["idempotency-key"]
        if how not in ("before", "still"):
            self.charges.append((key, request.json["amount"]))
        self.has_one.set()
        if how in ("lost", "before"):
            wire.cut()
        if how in ("silent", "still"):
            wire.stay()
        wire.json({"charged": request.json["amount"], "by": "POST"})

    def _find(self, request: Request, wire: Wire) -> None:
        self.asked.append(request)
        how = self.gets.pop(0) if self.gets else 200
        if how == "cut":
            wire.cut()
        found = [amount for key, amount in self.charges if request.path == f"/charges/{key}"]
        if how == 200 and found:
            wire.json({"charged": found[0], "by": "GET"})
        else:
            wire.answer(404 if how == 200 else how, f"no, {SECRET} may not".encode(), "text/plain")


@contextmanager
def kept(ledger: Ledger) -> Generator[Hostile]:
    with hostile(ledger) as server:
        ledger.port = server.port
        yield server


def charge(server: Hostile, *, asks: dict[str, Any] | None = None, **tool: Any) -> dict[str, Any]:
    """The tool that charges, and asks what came of it."""
    reconcile = {"url": f"{server.url}/charges/{{{{call.idempotency_key}}}}"} if asks is None else asks
    config = {"url": f"{server.url}/charge", "input_schema": SCHEMA}
    config |= {"headers": {"X-Tenant": "${{secrets.TENANT}}"}} | ({"reconcile": reconcile} if reconcile else {})
    return {"name": "charge", "type": "http", "retries": 1, **tool, "http": config}


@asynccontextmanager
async def charging(
    ledger: Ledger, server: Hostile, *steps: Any, db: Any = ":memory:", **tool: Any
) -> AsyncGenerator[Play]:
    """A chat whose model charges 7, and then says `ok`."""
    async with playing(
        *(steps or ([call("charge", {"amount": 7})], "ok")),
        db=db,
        tools=[charge(server, **tool)],
        secrets={"TENANT": SECRET},
        allow_hosts=[f"127.0.0.1:{server.port}"],
    ) as play:
        yield play


async def made(play: Play) -> dict[str, Any]:
    (only,) = invocations(await play.idle())
    return only


async def asked(play: Play) -> dict[str, Any]:
    chat = await play.until(lambda chat: chat["status"] == "awaiting_input" and chat["pending_interrupts"])
    (only,) = chat["pending_interrupts"]
    assert only["meta"]["unknown_outcome"] is True
    return dict(only)


def ends(invocation: dict[str, Any]) -> list[str | None]:
    return [each.get("end") for each in invocation["journal"]]


# -- an answer that is lost ------------------------------------------------------------------------------------------


@pytest.mark.requirement("tool:reconcile")
@pytest.mark.parametrize("how", ["lost", "silent"])
async def test_what_was_done_is_found_and_not_done_again(how: str) -> None:
    ledger = Ledger([how])
    with kept(ledger) as server:
        async with charging(ledger, server, timeout=0.5) as play:
            await play.say()
            told = await made(play)
    assert (told["status"], told["data"]) == ("completed", {"charged": 7, "by": "GET"})
    assert ends(told) == ["committed"]
    ((key, _),) = ledger.charges
    (inquiry,) = ledger.asked
    assert (inquiry.method, inquiry.path) == ("GET", f"/charges/{key}")
    assert (inquiry.headers["idempotency-key"], inquiry.headers["x-tenant"]) == (key, SECRET)
    assert inquiry.body == b"" and inquiry.query == {}


@pytest.mark.requirement("tool:reconcile")
async def test_what_was_not_done_is_done_with_the_same_key() -> None:
    ledger = Ledger(["before"])
    with kept(ledger) as server:
        async with charging(ledger, server) as play:
            await play.say()
            told = await made(play)
    assert (told["status"], told["data"], told["attempt"]) == ("completed", {"charged": 7, "by": "POST"}, 2)
    assert ends(told) == ["failed", "committed"]
    assert [amount for _, amount in ledger.charges] == [7]
    assert ledger.asked[0].path == f"/charges/{ledger.charges[0][0]}"


async def test_what_was_never_done_fails_saying_so_when_there_are_no_retries_left() -> None:
    ledger = Ledger(["before", "before"])
    with kept(ledger) as server:
        async with charging(ledger, server) as play:
            await play.say()
            told = await made(play)
    assert told["status"] == "failed" and told["result"].endswith("the tool was asked, and did not do it")
    assert (ledger.charges, len(ledger.asked)) == ([], 2)


@pytest.mark.requirement("tool:reconcile")
@pytest.mark.parametrize(("how", "said"), [(500, "answered HTTP 500"), (403, "HTTP 403"), ("cut", "connection broke")])
async def test_where_the_other_side_does_not_say_a_person_is_asked_who_sees_no_secret(how: Any, said: str) -> None:
    ledger = Ledger(["lost"], [how])
    with kept(ledger) as server:
        async with charging(ledger, server) as play:
            await play.say()
            question = await asked(play)
            why = question["meta"]["why"]
            assert "the connection broke" in why and said in why and SECRET not in str(question)
            await play.platform.approvals.reject(OWNER, question["resource_id"], RejectTool(), by=ADA)
            told = await made(play)
    assert told["status"] == "cancelled" and told["result"].startswith("unknown outcome")
    assert (ends(told), len(ledger.charges)) == (["unknown"], 1)


async def test_without_reconcile_a_lost_answer_fails_the_call_as_ever() -> None:
    ledger = Ledger(["lost"])
    with kept(ledger) as server:
        async with charging(ledger, server, asks={}) as play:
            await play.say()
            told = await made(play)
    assert told["status"] == "failed" and "the connection broke" in told["result"]
    assert (ends(told), len(ledger.charges), ledger.asked) == (["failed"], 1, [])


async def test_an_answer_that_is_an_error_was_not_lost_and_nobody_asks() -> None:
    ledger = Ledger()
    with hostile(lambda request, wire: wire.json({"error": "no money"}, 422)) as server:
        async with charging(ledger, server) as play:
            await play.say()
            told = await made(play)
    assert told["status"] == "failed" and "HTTP 422" in told["result"]
    assert [each.method for each in server.requests] == ["POST"]


async def test_an_idempotent_tool_is_simply_called_again() -> None:
    ledger = Ledger(["lost"])
    with kept(ledger) as server:
        async with charging(ledger, server, idempotent=True) as play:
            await play.say()
            told = await made(play)
    assert (told["data"], ledger.asked) == ({"charged": 7, "by": "POST"}, [])
    assert len({key for key, _ in ledger.charges}) == 1 and len(ledger.charges) == 2


async def test_it_is_not_asked_where_the_guard_lets_nothing_go() -> None:
    ledger = Ledger(["lost"])
    with kept(ledger) as server, hostile(lambda request, wire: wire.json({"found": True})) as elsewhere:
        async with charging(ledger, server, asks={"url": f"{elsewhere.url}/charges"}) as play:
            await play.say()
            question = await asked(play)
            assert "/charges" in question["meta"]["why"]
    assert elsewhere.requests == [] and len(ledger.charges) == 1


# -- a process that is gone ------------------------------------------------------------------------------------------


@asynccontextmanager
async def restarted(ledger: Ledger, server: Hostile, folder: Path, **tool: Any) -> AsyncGenerator[Play]:
    """The platform after the one that waited for the ledger's answer is gone."""
    db = folder / "chats.db"
    async with charging(ledger, server, db=db, **tool) as play:
        await play.say()
        assert await anyio.to_thread.run_sync(ledger.has_one.wait, 10)
        chat_id, config = play.chat_id, play.config
    async with charging(ledger, server, "ok", db=db, **tool) as play:
        play.chat_id, play.config = chat_id, config
        yield play


@pytest.mark.requirement("tool:reconcile")
async def test_after_a_crash_what_was_done_is_found_and_not_done_again(tmp_path: Path) -> None:
    ledger = Ledger(["silent"])
    with kept(ledger) as server:
        async with restarted(ledger, server, tmp_path) as play:
            told = await made(play)
    assert (told["status"], told["data"]) == ("completed", {"charged": 7, "by": "GET"})
    assert (ends(told), len(ledger.charges)) == (["committed"], 1)


@pytest.mark.requirement("tool:reconcile")
async def test_after_a_crash_what_was_not_done_is_done(tmp_path: Path) -> None:
    ledger = Ledger(["still"])
    with kept(ledger) as server:
        async with restarted(ledger, server, tmp_path, retries=0) as play:
            told = await made(play)
    assert (told["status"], told["data"], told["attempt"]) == ("completed", {"charged": 7, "by": "POST"}, 2)
    assert (ends(told), len(ledger.charges)) == (["not_done", "committed"], 1)


async def test_after_a_crash_a_person_is_asked_where_the_other_side_does_not_say(tmp_path: Path) -> None:
    ledger = Ledger(["still"], [503])
    with kept(ledger) as server:
        async with restarted(ledger, server, tmp_path) as play:
            question = await asked(play)
            assert "HTTP 503" in question["meta"]["why"] and ledger.charges == []
            shown = Decide(arguments_hash=question["arguments_hash"])
            await play.platform.approvals.invoke(OWNER, question["resource_id"], shown, by=ADA)
            told = await made(play)
    assert (told["status"], told["attempt"], len(ledger.charges)) == ("completed", 2, 1)


# -- what can be asked -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "said"),
    [
        pytest.param({"method": "GET"}, "GET has no effect to ask about", id="a-tool-that-only-reads"),
        pytest.param({"reconcile": {"url": "https://e.example", "method": "POST"}}, "'POST' is none of", id="posts"),
        pytest.param({"reconcile": {"url": "e.example/x"}}, "not a full URL", id="no-url"),
        pytest.param({"reconcile": {"url": "https://e.example/{{args.no}}"}}, "names no argument", id="no-argument"),
        pytest.param({"reconcile": {"url": "https://{{args.amount}}/x"}}, "cannot choose the host", id="host"),
        pytest.param({"reconcile": {"url": "https://a:b@e.example/x"}}, "a user name or password", id="password"),
        pytest.param({"reconcile": {"url": "https://e.example/{{call.id}}"}}, "names nothing of the call", id="name"),
    ],
)
async def test_what_could_never_be_asked_is_refused_with_the_agent(config: dict[str, Any], said: str) -> None:
    tool = {"url": "https://e.example/charge", "reconcile": {"url": "https://e.example/x"}, "input_schema": SCHEMA}
    executor = HttpExecutor(Pocket(), guard=Guard([]))
    with pytest.raises(Fault, match=said):
        await Caller(executor).bind({"name": "charge", "type": "http", "http": {**tool, **config}})


async def test_a_secret_in_its_url_is_a_requirement_of_the_tool() -> None:
    url = "https://e.example/x?key=${{secrets.LEDGER}}"
    tool = {"url": "https://e.example/charge", "reconcile": {"url": url}, "input_schema": SCHEMA}
    given = AgentTool.parse({"name": "charge", "type": "http", "http": tool})
    executor = HttpExecutor(Pocket(), guard=Guard([]))
    with pytest.raises(Fault, match="the secret 'LEDGER' is not set"):
        await executor.bind(given, owner=OWNER)
