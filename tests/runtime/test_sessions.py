"""Sessions: a worker kept over several calls (protocol.md 3)."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit.wire import TaskStatus
from tests.runtime.tasking import Bench, ScriptedFleet, bench, store_app

pytestmark = pytest.mark.heavy

T = TaskStatus


async def call(on: Bench, session_id: str, **more: Any) -> dict[str, Any]:
    """A call of a session, run to its end."""
    return await on.done({"text": "x"}, session=session_id, **more)


async def begun(on: Bench, **more: Any) -> str:
    """The id of a session whose first call is over."""
    return str((await call(on, "new", **more))["session_id"])


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_a_session_begins_with_its_first_call_and_keeps_its_worker(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run(session="new", session_timeout=300, setup={"size": 1})
        session_id = task["session_id"]
        assert session_id not in ("new", None) and task["session_timeout"] == 300
        assert on.fleet.leased == [session_id]
        ticket = on.fleet.tickets[0]
        assert (ticket.session_id, ticket.lane) == (session_id, f"session {session_id}")
        await on.end(await on.begin(worker_id="w3"))
        second = await call(on, session_id)
        assert (second["session_id"], second["setup"], second["session_timeout"]) == (session_id, {"size": 1}, None)
        session = await on.ask("GET", f"/sessions/{session_id}")
        assert (session["status"], session["call_count"], session["idle_timeout"]) == ("active", 2, 300)
        assert (session["task_id"], session["app_id"], session["worker_id"]) == (second["id"], on.app_id, "w1")
        assert session["last_call_at"] >= second["created_at"] and session["ended_at"] is None
        assert (moment(session["expires_at"]) - moment(second["updated_at"])).total_seconds() == 300
        assert await on.ask("GET", "/sessions") == [session]


async def test_without_a_timeout_it_is_sixty_seconds(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        session_id = await begun(on)
        assert (await on.ask("GET", f"/sessions/{session_id}"))["idle_timeout"] == 60


async def test_where_every_worker_is_leased_a_session_is_refused_and_no_task_left(tmp_path: Path) -> None:
    async with bench(tmp_path, fleet=ScriptedFleet(leases=1)) as on:
        await begun(on)
        body = {"app": "acme/echo", "input": {"text": "a"}, "session": "new"}
        assert (await on.fault("POST", "/apps/run", body))[:2] == (409, "WORKER_LEASED")
        assert len((await on.ask("POST", "/tasks/list"))["items"]) == 1


async def test_a_session_that_could_not_begin_gives_its_worker_back(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        body = {"app": "acme/echo", "input": {"text": "a"}, "session": "new"}
        first = await on.ask("POST", "/apps/run", body, **{"Idempotency-Key": "k"})
        again = await on.ask("POST", "/apps/run", body, **{"Idempotency-Key": "k"})
        assert first == again and on.fleet.leased == [first["session_id"]]


async def test_a_session_nobody_knows_is_not_found(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        for method, path in (("GET", ""), ("POST", "/keepalive"), ("DELETE", "")):
            assert (await on.fault(method, f"/sessions/nothing{path}"))[:2] == (404, "SESSION_NOT_FOUND")
        body = {"app": "acme/echo", "input": {"text": "a"}, "session": "nothing"}
        assert (await on.fault("POST", "/apps/run", body))[:2] == (404, "SESSION_NOT_FOUND")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"app": "acme/other"}, "APP_MISMATCH"),
        ({"app": "acme/echo@echoversion1"}, "VERSION_MISMATCH"),
        ({"setup": {"size": 2}}, "invalid_request"),
        ({"session_timeout": 10}, "invalid_request"),
        ({"app": "acme/echo:fly"}, "invalid_request"),
    ],
)
async def test_a_call_that_does_not_fit_its_session_is_refused(tmp_path: Path, more: dict[str, Any], code: str) -> None:
    async with bench(tmp_path) as on:
        session_id = await begun(on, setup={"size": 1})
        await on.store.write(lambda tx: store_app(tx, tmp_path))
        await on.store.write(lambda tx: store_app(tx, tmp_path, name="other"))
        body = {"app": "acme/echo", "input": {"text": "a"}, "session": session_id, **more}
        assert (await on.fault("POST", "/apps/run", body))[:2] == (400, code)


async def test_a_session_keeps_its_version_when_a_new_one_becomes_current(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        session_id = await begun(on)
        newest = await on.store.write(lambda tx: store_app(tx, tmp_path))
        assert (await on.run())["app_version_id"] == newest.id
        on.fleet.tickets.clear()
        assert (await call(on, session_id))["app_version_id"] == on.version_id
        assert (await call(on, session_id, app=f"acme/echo@{on.version_id}"))["status"] == T.COMPLETED


async def test_the_same_setup_may_be_said_again(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        session_id = await begun(on, setup={"size": 1})
        assert (await call(on, session_id, setup={"size": 1}))["setup"] == {"size": 1}


@pytest.mark.requirement("session:timeout")
async def test_an_idle_session_expires_and_its_worker_is_free(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        session_id = await begun(on, session_timeout=1)
        with anyio.fail_after(10):
            while (session := await on.ask("GET", f"/sessions/{session_id}"))["status"] == "active":
                await anyio.sleep(0.02)
        assert session["status"] == "expired" and session["ended_at"] >= session["expires_at"]
        assert on.fleet.released == [session_id] and await on.ask("GET", "/sessions") == []
        body = {"app": "acme/echo", "input": {"text": "a"}, "session": session_id}
        assert (await on.fault("POST", "/apps/run", body))[:2] == (410, "SESSION_EXPIRED")
        assert (await on.fault("POST", f"/sessions/{session_id}/keepalive"))[:2] == (410, "SESSION_EXPIRED")
        assert await on.ask("DELETE", f"/sessions/{session_id}") is None


async def test_a_session_does_not_expire_while_a_call_waits_or_runs_and_then_the_time_begins_anew(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as on:
        task = await on.run(session="new", session_timeout=1)
        await anyio.sleep(0.7)
        await on.begin()
        await anyio.sleep(0.7)
        session = await on.ask("GET", f"/sessions/{task['session_id']}")
        assert session["status"] == "active"
        await on.end(task["id"])
        ended = await on.ask("GET", f"/sessions/{task['session_id']}")
        assert ended["status"] == "active"
        assert moment(ended["expires_at"]) > moment(session["expires_at"])
        with anyio.fail_after(10):
            while (await on.ask("GET", f"/sessions/{task['session_id']}"))["status"] == "active":
                await anyio.sleep(0.02)


async def test_keepalive_begins_the_idle_time_anew(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        session_id = await begun(on, session_timeout=1)
        for _ in range(4):
            await anyio.sleep(0.4)
            kept = await on.ask("POST", f"/sessions/{session_id}/keepalive")
            assert (kept["status"], kept["call_count"]) == ("active", 1)


async def test_ending_a_session_cancels_what_waits_and_lets_the_call_finish(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        first = await on.run(session="new")
        second = await on.run(session=first["session_id"])
        await on.begin()
        assert await on.ask("DELETE", f"/sessions/{first['session_id']}") is None
        assert on.fleet.released == [first["session_id"]]
        assert (await on.get(second))["status"] == T.CANCELLED
        assert await on.desk.claim(second["id"], worker_id="w1") is None
        await on.end(first["id"], output={"text": "x"})
        assert (await on.get(first))["status"] == T.COMPLETED
        session = await on.ask("GET", f"/sessions/{first['session_id']}")
        assert (session["status"], session["call_count"]) == ("ended", 1)
        body = {"app": "acme/echo", "input": {"text": "a"}, "session": first["session_id"]}
        assert (await on.fault("POST", "/apps/run", body))[:2] == (410, "SESSION_ENDED")


@pytest.mark.requirement("session:lost")
async def test_a_session_whose_worker_died_is_lost_with_every_call_that_waits(tmp_path: Path) -> None:
    async with bench(tmp_path, metadata={"idempotent": True}) as on:
        first = await on.run(session="new")
        second = await on.run(session=first["session_id"])
        await on.begin()
        await on.end(first["id"], "lost", error="the app's process was killed by signal 9")
        await on.desk.worker_lost(first["session_id"], "the app's process was killed by signal 9")
        await on.desk.worker_lost(first["session_id"], "again")
        assert (await on.get(first))["status"] == T.FAILED
        waiting = await on.get(second)
        assert (waiting["status"], "signal 9" in waiting["error"]) == (T.FAILED, True)
        body = {"app": "acme/echo", "input": {"text": "a"}, "session": first["session_id"]}
        status, code, detail = await on.fault("POST", "/apps/run", body)
        assert (status, code) == (500, "WORKER_LOST") and "signal 9" in detail
        assert (await on.ask("GET", f"/sessions/{first['session_id']}"))["status"] == "ended"


@pytest.mark.requirement("session:in-order")
async def test_calls_stand_in_one_line_in_the_order_they_were_made(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        first = await on.run(session="new")
        others = [await on.run(session=first["session_id"]) for _ in range(3)]
        assert [each.task_id for each in on.fleet.tickets] == [first["id"], *(each["id"] for each in others)]
        assert len({each.lane for each in on.fleet.tickets}) == 1
