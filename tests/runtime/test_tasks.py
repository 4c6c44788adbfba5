"""Tasks over the server and the desk, with a fleet that does what the test says."""

from __future__ import annotations

from base64 import b64decode
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit.errors import AppError, StoreError
from agentkit.runtime import desk
from agentkit.runtime.faults import Fault
from agentkit.runtime.ports import End, LocalFile
from agentkit.runtime.store.sqlite import SqliteStore
from agentkit.wire import CursorListRequest, RunTaskRequest, TaskLogType, TaskStatus
from tests.runtime import tasking
from tests.runtime.tasking import BARE, Bench, bench, store_app

pytestmark = pytest.mark.heavy

T = TaskStatus


def printed(task: dict[str, Any]) -> str:
    """The whole log of a task."""
    return "".join(b64decode(each["content"]).decode() for each in task["logs"])


# -- run -----------------------------------------------------------------------------------------------------------


async def test_apps_run_answers_at_once_with_a_queued_task_and_its_input(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run("a", setup={"size": 1}, infra="cloud", workers=["w1"])
        assert (task["status"], task["status_text"], task["input"]) == (T.QUEUED, "queued", {"text": "a"})
        assert (task["output"], task["error"], task["session_id"], task["logs"]) == (None, None, None, [])
        assert (task["app_id"], task["app_version_id"], task["function"]) == (on.app_id, on.version_id, "run")
        assert (task["app"]["namespace"], task["app"]["name"]) == ("acme", "echo")
        assert [each["status"] for each in task["events"]] == [T.RECEIVED, T.QUEUED]
        ticket = await on.fleet.ticket()
        assert (ticket.task_id, ticket.version_id, ticket.workers) == (task["id"], on.version_id, ("w1",))


async def test_run_waits_for_the_completed_task(tmp_path: Path) -> None:
    async with bench(tmp_path) as on, anyio.create_task_group() as group:

        async def work() -> None:
            await on.end(await on.begin(), output={"text": "done"})

        group.start_soon(work)
        task = await on.ask("POST", "/run", {"app": "acme/echo", "input": {"text": "a"}})
        assert (task["status"], task["output"], task["error"]) == (T.COMPLETED, {"text": "done"}, None)


@pytest.mark.parametrize(
    ("path", "query", "body", "waits"),
    [
        ("/run", "", {}, True),
        ("/run", "?wait=false", {}, False),
        ("/run", "?wait=false", {"wait": True}, False),
        ("/run", "", {"wait": False}, False),
        ("/apps/run", "", {}, False),
        ("/apps/run", "?wait=true", {"wait": False}, True),
        ("/apps/run", "", {"wait": True}, True),
        ("/run", "", {"run_at": "2999-01-01T00:00:00Z"}, False),
    ],
)
@pytest.mark.requirement("task:wait-query")
async def test_who_waits_is_said_by_path_body_and_query_the_last_winning(
    tmp_path: Path, path: str, query: str, body: dict[str, Any], waits: bool
) -> None:
    async with bench(tmp_path) as on, anyio.create_task_group() as group:

        async def work() -> None:
            await on.end(await on.begin())

        if waits:
            group.start_soon(work)
        task = await on.ask("POST", f"{path}{query}", {"app": "acme/echo", "input": {"text": "a"}, **body})
        assert (task["status"] == T.COMPLETED) is waits


@pytest.mark.parametrize(
    ("kind", "error", "code"),
    [("failed", "ValueError: bad size", "task_failed"), ("cancelled", "", "task_cancelled")],
)
@pytest.mark.requirement("task:failed-is-422")
async def test_a_waited_for_task_that_goes_wrong_is_a_422_with_the_task_in_it(
    tmp_path: Path, kind: str, error: str, code: str
) -> None:
    async with bench(tmp_path) as on, anyio.create_task_group() as group:

        async def work() -> None:
            await on.end(await on.begin(), kind, error=error)

        group.start_soon(work)
        response = await on.send("POST", "/run", {"app": "acme/echo", "input": {"text": "a"}})
        problem = response.json()
        assert (response.status_code, problem["type"].rpartition("/")[2]) == (422, code)
        assert problem["detail"] == (error or "the task was cancelled")
        assert problem["task"]["status"] == (T.FAILED if kind == "failed" else T.CANCELLED)


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        ({"app": None}, 400, "invalid_request", "namespace/name"),
        ({"app": "acme/nothing"}, 404, "not_found", "acme/echo"),
        ({"app": "acme/echo:fly"}, 400, "invalid_request", "run"),
        ({"app": "acme/echo@zzzzzzzz"}, 404, "not_found", "version"),
        ({"input": {}}, 422, "validation_error", "text"),
        ({"input": {"text": 3}}, 422, "validation_error", "text"),
        ({"setup": {"size": "big"}}, 422, "validation_error", "size"),
        ({"infra": "moon"}, 400, "invalid_request", "cloud"),
        ({"webhook": "ftp://x/"}, 400, "invalid_request", "webhook"),
        ({"webhook": "http://"}, 400, "invalid_request", "webhook"),
        ({"webhook": "http://[::1"}, 400, "invalid_request", "webhook"),
        ({"run_at": "tomorrow"}, 400, "invalid_request", "run_at"),
        ({"run_at": "2999-01-01T00:00:00"}, 400, "invalid_request", "zone"),
        ({"run_at": "2001-01-01T00:00:00Z"}, 400, "invalid_request", "past"),
        ({"session_timeout": 60}, 400, "invalid_request", "session_timeout"),
        ({"session": "new", "session_timeout": 0}, 400, "invalid_request", "3600"),
        ({"session": "new", "session_timeout": 3601}, 400, "invalid_request", "3600"),
        ({"session": "new", "run_at": "2999-01-01T00:00:00Z"}, 400, "invalid_request", "session"),
    ],
)
async def test_a_request_that_cannot_be_met_is_refused_and_leaves_no_task(
    tmp_path: Path, body: dict[str, Any], status: int, code: str, says: str
) -> None:
    async with bench(tmp_path) as on:
        found = await on.fault("POST", "/apps/run", {"app": "acme/echo", "input": {"text": "a"}, **body})
        assert found[:2] == (status, code), found
        assert says in found[2]
        assert (await on.ask("POST", "/tasks/list"))["items"] == []
        assert on.fleet.tickets == [] and on.fleet.leased == []


async def test_a_missing_secret_is_a_412_that_names_it(tmp_path: Path) -> None:
    async with bench(tmp_path, required_secrets=[{"key": "HF_TOKEN"}]) as on:
        response = await on.send("POST", "/apps/run", {"app": "acme/echo", "input": {"text": "a"}})
        assert (response.status_code, response.json()["errors"][0]["key"]) == (412, "HF_TOKEN")


async def test_fields_nobody_knows_are_no_reason_to_refuse_a_run(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        assert (await on.run(worker_selection_mode="any", variant="large"))["status"] == T.QUEUED


@pytest.mark.requirement("task:idempotency-key")
async def test_the_same_key_runs_one_task_and_a_waiting_repeat_sees_its_end(tmp_path: Path) -> None:
    async with bench(tmp_path) as on, anyio.create_task_group() as group:
        body = {"app": "acme/echo", "input": {"text": "a"}}
        first = await on.send("POST", "/run?wait=false", body, **{"Idempotency-Key": "k1"})
        again = await on.send("POST", "/run?wait=false", body, **{"Idempotency-Key": "k1"})
        assert again.headers["Idempotency-Replayed"] == "true"
        assert first.json() == again.json()

        async def work() -> None:
            await on.end(await on.begin(), output={"text": "done"})

        group.start_soon(work)
        waited = await on.ask("POST", "/run", body, **{"Idempotency-Key": "k1"})
        assert (waited["id"], waited["output"]) == (first.json()["id"], {"text": "done"})
        assert len((await on.ask("POST", "/tasks/list"))["items"]) == 1
        other = await on.send("POST", "/run", {**body, "input": {"text": "b"}}, **{"Idempotency-Key": "k1"})
        assert other.status_code == 409


async def test_an_app_has_a_key_of_its_work_and_never_the_one_that_was_sent(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        body, keys = {"app": "acme/echo", "input": {"text": "a"}}, []
        for header in ({"Idempotency-Key": "k-sent"}, {"Idempotency-Key": "k-other"}, {}):
            assert (await on.send("POST", "/run?wait=false", body, **header)).status_code == 200
            keys.append((await on.take()).idempotency_key)
        assert keys[0] and keys[1] and keys[0] != keys[1] and keys[2] is None
        assert "k-sent" not in keys[0]


async def test_tickets_say_what_is_warm_for_whom(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        await on.run(setup={"size": 1})
        await on.run(setup={"size": 1})
        await on.run(setup={"size": 2})
        await on.run()
        keys = [each.setup_key for each in on.fleet.tickets]
        assert keys[0] == keys[1] != keys[2] and keys[3] == ""
        assert len({each.lane for each in on.fleet.tickets}) == 1


async def test_a_task_for_later_is_received_until_its_time_comes(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        soon = (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat()
        task = await on.run(run_at=soon)
        assert (task["status"], on.fleet.tickets) == (T.RECEIVED, [])
        assert datetime.fromisoformat(task["run_at"]) == datetime.fromisoformat(soon)
        assert (await on.fleet.ticket()).task_id == task["id"]
        queued = await on.get(task)
        assert queued["status"] == T.QUEUED
        assert datetime.fromisoformat(queued["events"][1]["event_time"]) >= datetime.fromisoformat(soon)


@pytest.mark.requirement("task:run-at-once")
async def test_a_task_for_later_outlives_the_process(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    async with bench(tmp_path, db=db) as on:
        task = await on.run(run_at=(datetime.now(UTC) + timedelta(seconds=0.7)).isoformat())
    async with bench(tmp_path, db=db) as on:
        assert (await on.get(task))["status"] == T.RECEIVED
        assert (await on.fleet.ticket()).task_id == task["id"]


async def test_a_task_for_later_can_be_cancelled_before(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run(run_at="2999-01-01T00:00:00Z")
        assert (await on.ask("POST", f"/tasks/{task['id']}/cancel"))["cancelled"] is True


# -- the desk ------------------------------------------------------------------------------------------------------


async def test_a_task_is_claimed_by_one_worker_once(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run(setup={"size": 1})
        job = await on.desk.claim(task["id"], worker_id="w1")
        assert job is not None
        assert (job.function, job.input, job.setup, job.owner) == ("run", {"text": "hi"}, {"size": 1}, "local")
        assert await on.desk.claim(task["id"], worker_id="w1") == job
        assert await on.desk.claim(task["id"], worker_id="w2") is None
        assert await on.desk.claim("nothing", worker_id="w1") is None
        found = await on.get(task)
        assert (found["status"], found["worker_id"]) == (T.DISPATCHED, "w1")


async def test_a_worker_moves_a_task_forwards_only(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        job = await on.take()
        assert await on.desk.moved(job.task_id, T.SERVING)
        assert await on.desk.moved(job.task_id, T.PREPARING, T.SERVING, T.SETTING_UP, T.RUNNING)
        assert await on.desk.moved(job.task_id, T.UPLOADING)
        assert await on.desk.moved(job.task_id, T.RUNNING)
        statuses = [each["status"] for each in (await on.get(task))["events"]]
        assert statuses == [T.RECEIVED, T.QUEUED, T.DISPATCHED, T.SERVING, T.SETTING_UP, T.RUNNING, T.UPLOADING]


async def test_the_first_end_counts_and_what_comes_late_changes_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.done({"text": "first"})
        await on.end(task["id"], "failed", error="late")
        await on.desk.produced(task["id"], {"text": "late"})
        on.desk.logged(task["id"], TaskLogType.RUN, "late")
        assert not await on.desk.moved(task["id"], T.UPLOADING)
        with pytest.raises(AppError):
            await on.desk.fetch(task["id"], tmp_path)
        with pytest.raises(AppError):
            await on.desk.keep(task["id"], LocalFile(tmp_path / "x"))
        await anyio.sleep(0.15)  # past the next save
        assert await on.get(task) == task


async def test_output_grows_in_the_store_while_the_task_runs_and_the_last_stays_when_it_fails(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        await on.begin()
        for text in ("a", "ab", "abc"):
            await on.desk.produced(task["id"], {"text": text})
        with anyio.fail_after(5):
            while (await on.get(task))["output"] != {"text": "abc"}:
                await anyio.sleep(0.01)
        await on.desk.produced(task["id"], {"text": "abcd"})
        await on.end(task["id"], "failed", error="ValueError: no")
        found = await on.get(task)
        assert (found["status"], found["output"], found["error"]) == (T.FAILED, {"text": "abcd"}, "ValueError: no")


async def test_what_json_can_spell_and_no_database_can_store_is_stored_all_the_same(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        await on.begin()
        on.desk.logged(task["id"], TaskLogType.RUN, "half \ud83d pair")
        await on.desk.produced(task["id"], {"\ud83d": ["\ud83d"]})
        await on.end(task["id"], output={"text": "\ud83d!"})
        found = await on.get(task)
        assert (found["output"], printed(found)) == ({"text": "?!"}, "half ? pair")


@pytest.mark.requirement("task:logs")
async def test_logs_are_kept_by_phase_in_order_to_the_last_line(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        job = await on.take()
        for kind, text in (
            (TaskLogType.BUILD, "pip\n"),
            (TaskLogType.SETUP, "one\n"),
            (TaskLogType.SETUP, "two\n"),
            (TaskLogType.RUN, "three\n"),
        ):
            on.desk.logged(job.task_id, kind, text)
        await on.desk.moved(job.task_id, T.RUNNING)
        with anyio.fail_after(5):
            while not (await on.get(task))["logs"]:
                await anyio.sleep(0.01)
        on.desk.logged(job.task_id, TaskLogType.RUN, "four\n")
        await on.end(job.task_id)
        logs = await on.ask("GET", f"/tasks/{task['id']}/logs")
        told = [(each["log_type"], b64decode(each["content"]).decode()) for each in logs["logs"]]
        assert told == [(0, "pip\n"), (3, "one\ntwo\n"), (1, "three\nfour\n")]
        assert (logs["task_id"], logs["status"]) == (task["id"], T.COMPLETED)
        assert [each["status"] for each in logs["events"]][-1] == T.COMPLETED


@pytest.mark.requirement("task:logs")
async def test_of_an_endless_log_the_newest_is_kept_and_the_rest_is_counted(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        await on.begin()
        line = "x" * 999 + "\n"
        for number in range(3_000):
            on.desk.logged(task["id"], TaskLogType.RUN, f"{number:05}{line}")
            if number % 500 == 0:
                await anyio.sleep(0.02)
        await on.end(task["id"])
        log = printed(await on.get(task))
        assert len(log) <= (1 << 20) + 1_000
        assert log.startswith("[agentkit: ") and "bytes of earlier log were dropped]\n" in log[:80]
        dropped = int(log[len("[agentkit: ") :].split(" ")[0].replace(",", ""))
        assert log.endswith(f"02999{line}")
        _, _, kept = log.partition("\n")
        assert dropped + len(kept) == 3_000 * 1_005


@pytest.mark.parametrize(
    ("status", "idempotent", "kind", "becomes"),
    [
        (T.RUNNING, False, "lost", T.FAILED),
        (T.RUNNING, True, "lost", T.QUEUED),
        (T.UPLOADING, True, "lost", T.QUEUED),
        (T.SETTING_UP, True, "lost", T.FAILED),
        (T.RUNNING, True, "timeout", T.FAILED),
        (T.RUNNING, True, "failed", T.FAILED),
    ],
)
async def test_a_task_whose_worker_died_runs_again_only_where_that_does_no_harm(
    tmp_path: Path, status: TaskStatus, idempotent: bool, kind: str, becomes: TaskStatus
) -> None:
    async with bench(tmp_path, metadata={"idempotent": idempotent}) as on:
        task = await on.run()
        job = await on.take()
        await on.desk.moved(job.task_id, T.RUNNING, status) if status > T.RUNNING else await on.desk.moved(
            job.task_id, status
        )
        await on.desk.produced(job.task_id, {"text": "half"})
        await on.end(job.task_id, kind, error="the app's process was killed")
        found = await on.get(task)
        assert found["status"] == becomes
        if becomes is T.QUEUED:
            assert (found["output"], found["worker_id"]) == (None, None)
            assert (await on.fleet.ticket()).task_id == task["id"]
        else:
            assert found["error"] == "the app's process was killed"


async def test_an_idempotent_task_is_tried_three_times_at_most(tmp_path: Path) -> None:
    async with bench(tmp_path, metadata={"idempotent": True}) as on:
        task = await on.run()
        for _ in range(3):
            await on.end(await on.begin(), "lost", error="killed by signal 9")
        found = await on.get(task)
        assert (found["status"], found["error"], on.fleet.tickets) == (T.FAILED, "killed by signal 9", [])


async def test_a_worker_that_ends_a_task_it_never_began_does_not_break_the_table(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        job = await on.take()
        await on.end(job.task_id, output={"text": "x"})
        found = await on.get(task)
        assert (found["status"], found["output"]) == (T.COMPLETED, {"text": "x"})


async def test_a_flood_of_output_is_saved_a_few_times_only(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        await on.begin()
        versions: list[int] = []
        on.store.on_commit(lambda commit: versions.extend(commit.events.values()))
        for number in range(2_000):
            await on.desk.produced(task["id"], {"number": number})
        await on.end(task["id"], output={"number": 2_000})
        assert 1 <= len(versions) <= 50
        assert (await on.get(task))["output"] == {"number": 2_000}


async def test_what_cannot_be_saved_now_is_held_and_saved_later_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_down = False

    class Shaky(SqliteStore):
        async def write(self, change: Any) -> Any:
            if is_down:
                raise StoreError("the disk is full")
            return await super().write(change)

    monkeypatch.setattr(tasking, "SqliteStore", Shaky)
    monkeypatch.setattr(desk, "RETRY_SECONDS", 0.05)
    async with bench(tmp_path) as on:
        task = await on.run()
        await on.begin()
        is_down = True
        for number in range(3):
            on.desk.logged(task["id"], TaskLogType.RUN, f"{number}\n")
            await on.desk.produced(task["id"], {"number": number})
            await anyio.sleep(0.08)
        with pytest.raises(StoreError):
            await on.desk.ended(task["id"], End("completed", {"number": 9}))
        is_down = False
        with anyio.fail_after(5):
            while (found := await on.get(task))["output"] != {"number": 2} or not found["logs"]:
                await anyio.sleep(0.01)
        assert printed(found) == "0\n1\n2\n"
        await on.desk.ended(task["id"], End("completed", {"number": 9}))
        found = await on.get(task)
        assert (found["output"], printed(found)) == ({"number": 9}, "0\n1\n2\n")


async def test_who_waits_while_the_database_fails_is_told_to_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_down = False

    class Shaky(SqliteStore):
        async def read(self, look: Any) -> Any:
            if is_down:
                raise StoreError("the disk is gone")
            return await super().read(look)

    monkeypatch.setattr(tasking, "SqliteStore", Shaky)
    async with bench(tmp_path) as on, anyio.create_task_group() as group:
        told: list[tuple[int, str, str]] = []

        async def wait() -> None:
            told.append(await on.fault("POST", "/run", {"app": on.ref, "input": {"text": "a"}}))

        group.start_soon(wait)
        task_id = await on.begin()
        is_down = True
        await on.end(task_id)
        with anyio.fail_after(5):
            while not told:
                await anyio.sleep(0.01)
        assert told[0][:2] == (503, "unavailable")


# -- cancel --------------------------------------------------------------------------------------------------------


async def test_a_task_that_waits_is_cancelled_at_once(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        found = await on.ask("POST", f"/tasks/{task['id']}/cancel")
        assert (found["status"], found["cancelled"], found["error"]) == (T.CANCELLED, True, None)
        assert on.fleet.tickets == []
        assert await on.desk.claim(task["id"], worker_id="w1") is None


async def test_a_running_task_is_cancelling_until_its_worker_says_it_stopped(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        await on.begin()
        found = await on.ask("POST", f"/tasks/{task['id']}/cancel", {"force": True, "timeout": 3})
        assert (found["status"], found["cancelled"]) == (T.CANCELLING, False)
        assert on.fleet.cancelled == [(task["id"], 3.0, True)]
        assert not await on.desk.moved(task["id"], T.UPLOADING)
        again = await on.ask("POST", f"/tasks/{task['id']}/cancel")
        assert (again["status"], len(on.fleet.cancelled)) == (T.CANCELLING, 2)
        await on.end(task["id"], "cancelled")
        found = await on.get(task)
        assert (found["status"], found["error"]) == (T.CANCELLED, None)
        statuses = [each["status"] for each in found["events"]]
        assert statuses[-2:] == [T.CANCELLING, T.CANCELLED]


@pytest.mark.parametrize("kind", ["completed", "failed", "lost", "cancelled"])
async def test_whatever_a_task_does_while_it_is_cancelled_it_was_cancelled(tmp_path: Path, kind: str) -> None:
    async with bench(tmp_path, metadata={"idempotent": True}) as on:
        task = await on.run()
        await on.begin()
        await on.ask("POST", f"/tasks/{task['id']}/cancel")
        await on.end(task["id"], kind, output={"text": "x"}, error="no")
        found = await on.get(task)
        assert (found["status"], found["error"], on.fleet.tickets) == (T.CANCELLED, None, [])


async def test_a_task_that_is_over_is_not_changed_by_cancel(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.done({"text": "x"})
        found = await on.ask("POST", f"/tasks/{task['id']}/cancel")
        assert found == {**task, "cancelled": False}


async def test_a_task_that_no_worker_has_any_more_is_cancelled_all_the_same(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        await on.begin()
        on.fleet.has.clear()
        found = await on.ask("POST", f"/tasks/{task['id']}/cancel")
        assert (found["status"], found["cancelled"]) == (T.CANCELLED, True)


async def test_cancel_refuses_a_time_that_is_none(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        assert (await on.fault("POST", f"/tasks/{task['id']}/cancel", {"timeout": -1}))[:2] == (400, "invalid_request")


# -- others --------------------------------------------------------------------------------------------------------


async def test_who_sees_a_public_task_does_not_see_its_webhook(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run(webhook="http://127.0.0.1:9/a-secret")
        await on.ask("POST", f"/tasks/{task['id']}/visibility", {"visibility": "public"})
        await on.ask("POST", f"/tasks/{task['id']}/featured", {"is_featured": True})
        await on.ask("POST", f"/tasks/{task['id']}/cancel")
        tasks = on.platform.tasks
        async with aclosing(await tasks.watch("eve", task["id"])) as updates:
            seen = [each.task async for each in updates]
        seen += [await tasks.get("eve", task["id"]), *(await tasks.featured("eve", CursorListRequest()))["items"]]
        assert [each and (each["id"], each["webhook"]) for each in seen] == [(task["id"], None)] * 3
        assert (await on.get(task))["webhook"] == "http://127.0.0.1:9/a-secret"


# -- read, list, delete --------------------------------------------------------------------------------------------


async def test_a_task_is_found_by_its_id_and_its_short_id_and_by_nothing_else(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        assert (await on.get(task["short_id"]))["id"] == task["id"]
        status = await on.ask("GET", f"/tasks/{task['id']}/status")
        assert status == {"id": task["id"], "status": T.QUEUED, "updated_at": task["updated_at"]}
        for path in ("", "/status", "/logs", "/timings", "/files", "/stream"):
            assert (await on.fault("GET", f"/tasks/nothing{path}"))[:2] == (404, "not_found")


@pytest.mark.requirement("task:list")
async def test_lists_are_filtered_searched_sorted_and_paged(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        tasks = [await on.run(str(number)) for number in range(5)]
        ids = [each["id"] for each in tasks]
        await on.ask("POST", f"/tasks/{ids[1]}/cancel")
        await on.ask("POST", f"/tasks/{ids[3]}/cancel")

        async def listed(**body: Any) -> list[str]:
            return [each["id"] for each in (await on.ask("POST", "/tasks/list", body))["items"]]

        def where(field: str, operator: str, value: Any = None) -> dict[str, Any]:
            return {"filters": [{"field": field, "operator": operator, "value": value}]}

        assert await listed() == ids[::-1]
        assert await listed(**where("status", "eq", 12)) == [ids[3], ids[1]]
        assert await listed(**where("status", "eq", "cancelled")) == [ids[3], ids[1]]
        assert await listed(**where("status", "neq", T.CANCELLED)) == [ids[4], ids[2], ids[0]]
        assert await listed(**where("status", "in", ["queued", 7])) == [ids[4], ids[2], ids[0]]
        assert await listed(**where("status", "not_in", ["queued"])) == [ids[3], ids[1]]
        assert await listed(**where("created_at", "gt", tasks[2]["created_at"])) == [ids[4], ids[3]]
        assert await listed(**where("created_at", "lte", tasks[1]["created_at"])) == [ids[1], ids[0]]
        assert await listed(**where("created_at", "lt", tasks[0]["created_at"])) == []
        assert await listed(**where("created_at", "gte", "2001-01-01T00:00:00+02:00")) == ids[::-1]
        assert await listed(**where("session_id", "is_null")) == ids[::-1]
        assert await listed(**where("app_id", "eq", "other")) == []
        assert await listed(**where("id", "like", f"{ids[2][:4]}%")) == [ids[2]]
        assert await listed(search={"term": ids[4][5:15].upper()}) == [ids[4]]
        assert await listed(search={"fields": ["id"], "term": ids[4][5:15], "exact": True}) == []
        assert await listed(sort=[{"field": "created_at", "dir": "asc"}]) == ids
        both = {"filters": [*where("status", "eq", 12)["filters"], *where("id", "neq", ids[1])["filters"]]}
        assert await listed(**both) == [ids[3]]

        first = await on.ask("POST", "/tasks/list", {"limit": 1, **where("status", "neq", 12)})
        assert ([each["id"] for each in first["items"]], first["has_next"]) == ([ids[4]], True)
        body = {"limit": 2, "cursor": first["next_cursor"], **where("status", "neq", 12)}
        second = await on.ask("POST", "/tasks/list", body)
        assert ([each["id"] for each in second["items"]], second["next_cursor"]) == ([ids[2], ids[0]], "")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"filters": [{"field": "engine_id", "operator": "eq", "value": "x"}]}, "status, app_id"),
        ({"filters": [{"field": "status", "operator": "near", "value": 1}]}, "not_in"),
        ({"filters": [{"field": "status", "operator": "in", "value": 1}]}, "list"),
        ({"filters": [{"field": "status", "operator": "eq", "value": "flying"}]}, "flying"),
        ({"filters": [{"field": "status", "operator": "eq", "value": {"a": 1}}]}, "plain"),
        ({"filters": [{"field": "created_at", "operator": "gt", "value": "today"}]}, "RFC 3339"),
        ({"search": {"fields": ["input"], "term": "x"}}, "error"),
        ({"sort": [{"field": "input", "dir": "asc"}]}, "created_at"),
        ({"sort": [{"field": "status", "dir": "up"}]}, "asc or desc"),
        ({"sort": [{"field": "status"}, {"field": "id"}]}, "one field"),
        ({"filters": [{"field": "status", "operator": "eq", "value": 1 << 70}]}, "as large"),
        ({"filters": [{"field": "id", "operator": "in", "value": ["x"] * 1001}]}, "1000 values"),
        ({"cursor": "nonsense"}, "next_cursor"),
        ({"cursor": "W10"}, "next_cursor"),
        ({"limit": 0}, "limit"),
    ],
)
async def test_a_list_that_makes_no_sense_is_refused_with_what_would(
    tmp_path: Path, body: dict[str, Any], says: str
) -> None:
    async with bench(tmp_path) as on:
        status, code, detail = await on.fault("POST", "/tasks/list", body)
        assert (status, code) == (400, "invalid_request")
        assert says in detail


@pytest.mark.parametrize("sort", [{}, {"sort": [{"field": "status", "dir": "asc"}]}])
async def test_a_list_whose_pages_are_deleted_as_they_come_is_seen_to_its_end(
    tmp_path: Path, sort: dict[str, Any]
) -> None:
    async with bench(tmp_path) as on:
        for _ in range(7):
            await on.run()
        seen, cursor = 0, None
        while cursor != "":
            page = await on.ask("POST", "/tasks/list", {"limit": 2, "cursor": cursor, **sort})
            for each in page["items"]:
                await on.ask("DELETE", f"/tasks/{each['id']}")
            seen, cursor = seen + len(page["items"]), page["next_cursor"]
        assert seen == 7


async def test_other_lists_are_filtered_by_the_same_rules(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        for name in ("one", "two"):
            await on.ask("POST", "/agents", {"name": name, "version": {"system_prompt": "Help."}})

        async def listed(operator: str, value: Any) -> list[str]:
            body = {"filters": [{"field": "name", "operator": operator, "value": value}]}
            return [each["name"] for each in (await on.ask("POST", "/agents/list", body))["items"]]

        assert await listed("eq", "one") == ["one"]
        assert await listed("in", ["two", "three"]) == ["two"]
        assert await listed("ilike", "%W_") == ["two"]
        assert await listed("like", "o%e") == await listed("contains", "ne") == ["one"]
        assert await listed("like", "o%ne%e") == []
        assert await listed("not_contains", "ne") == ["two"]
        body = {"filters": [{"field": "owner", "operator": "eq", "value": "x"}]}
        assert (await on.fault("POST", "/agents/list", body))[0] == 400


@pytest.mark.requirement("task:private")
async def test_tasks_are_private_until_they_are_shown(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task, tasks = await on.run(), on.platform.tasks

        async def is_seen() -> bool:
            try:
                await tasks.get("somebody", task["id"])
            except Fault as fault:
                assert fault.code == "not_found"
                return False
            return True

        assert not await is_seen()
        assert (await on.fault("POST", f"/tasks/{task['id']}/visibility", {"visibility": "loud"}))[0] == 400
        await on.ask("POST", f"/tasks/{task['id']}/visibility", {"visibility": "public"})
        assert await is_seen()
        with pytest.raises(Fault) as caught:
            await tasks.delete("somebody", task["id"])
        assert caught.value.code == "forbidden"
        assert (await tasks.page("somebody", CursorListRequest()))["items"] == []
        assert (await tasks.featured("somebody", CursorListRequest()))["items"] == []
        await on.ask("POST", f"/tasks/{task['id']}/featured", {"is_featured": True})
        assert [each["id"] for each in (await tasks.featured("somebody", CursorListRequest()))["items"]] == [task["id"]]
        assert [each["id"] for each in (await on.ask("GET", "/tasks/featured?limit=5"))["items"]] == [task["id"]]
        await on.ask("POST", f"/tasks/{task['id']}/featured", {"is_featured": False})
        assert (await on.ask("GET", "/tasks/featured"))["items"] == []


async def test_a_deleted_task_is_cancelled_first_and_then_gone(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run(webhook="http://127.0.0.1:9/hook")
        await on.begin()
        on.desk.logged(task["id"], TaskLogType.RUN, "line\n")
        assert await on.ask("DELETE", f"/tasks/{task['id']}") is None
        assert [each[0] for each in on.fleet.cancelled] == [task["id"]]
        assert (await on.fault("GET", f"/tasks/{task['id']}"))[0] == 404
        assert not await on.desk.moved(task["id"], T.UPLOADING)
        await on.desk.ended(task["id"], End("completed", {"text": "x"}))
        assert (await on.fault("DELETE", f"/tasks/{task['id']}"))[0] == 404
        assert await on.store.read(lambda tx: tx.wakes()) == []


@pytest.mark.requirement("task:timings")
async def test_timings_add_up(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        job = await on.take()
        await on.desk.moved(job.task_id, T.SERVING, T.SETTING_UP)
        await on.desk.moved(job.task_id, T.RUNNING)
        await anyio.sleep(0.05)
        going = await on.ask("GET", f"/tasks/{task['id']}/timings")
        assert [each["label"] for each in going["groups"]] == ["waiting", "starting", "running"]
        assert going["events"][-1]["status"] == "running" and going["events"][-1]["duration_ms"] >= 45
        await on.desk.moved(job.task_id, T.UPLOADING)
        await on.end(job.task_id)
        found = await on.ask("GET", f"/tasks/{task['id']}/timings")
        names = ["received", "queued", "dispatched", "serving", "setting_up", "running", "uploading", "completed"]
        assert [each["status"] for each in found["events"]] == names
        assert [each["next_status"] for each in found["events"]] == [*names[1:], ""]
        assert [each["label"] for each in found["groups"]] == ["waiting", "starting", "running", "uploading"]
        assert abs(sum(each["duration_ms"] for each in found["groups"]) - found["total_duration_ms"]) <= 5
        assert found["groups"][2]["duration_ms"] >= 45


# -- files ---------------------------------------------------------------------------------------------------------


async def upload(on: Bench, data: bytes, name: str = "in.txt") -> str:
    """The URI of a file that was sent."""
    [record] = await on.ask("POST", "/files", {"files": [{"filename": name, "content_type": "text/plain"}]})
    response = await on.client.put(record["upload_url"], content=data)
    assert response.status_code == 200
    return str(record["uri"])


async def test_files_travel_to_the_app_and_back_and_go_with_the_task(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"file": {"type": "string", "format": "file"}}}
    async with bench(tmp_path, input_schema=schema) as on:
        uri = await upload(on, b"given")
        task = await on.run(input={"file": uri})
        job = await on.take()
        fetched = await on.desk.fetch(job.task_id, tmp_path / "scratch")
        assert fetched[uri].path.read_bytes() == b"given"
        await on.desk.moved(job.task_id, T.RUNNING, T.UPLOADING)
        made = tmp_path / "out.txt"
        made.write_bytes(b"made")
        kept = await on.desk.keep(job.task_id, LocalFile(made, content_type="text/plain", filename="out.txt"))
        back = await on.desk.keep(job.task_id, fetched[uri])
        assert back["uri"] == uri
        refused = await on.ask("DELETE", f"/tasks/{task['id']}/files")
        assert (refused["deleted"], len(refused["skipped"])) == ([], 2)
        await on.end(job.task_id, output={"file": kept})

        files = await on.ask("GET", f"/tasks/{task['id']}/files")
        assert [(each["role"], each["filename"], each["size"]) for each in files] == [
            ("input", "in.txt", 5),
            ("output", "out.txt", 4),
        ]
        outputs = await on.ask("GET", f"/tasks/{task['id']}/files?role=output")
        assert [each["uri"] for each in outputs] == [kept["uri"]]
        assert (await on.fault("GET", f"/tasks/{task['id']}/files?role=both"))[0] == 400
        assert await on.ask("DELETE", f"/tasks/{task['id']}?files=true") is None
        assert (await on.send("GET", f"/files/{outputs[0]['id']}")).status_code == 404
        assert (await on.send("GET", f"/files/{files[0]['id']}")).status_code == 200


async def test_the_files_of_a_task_can_be_deleted_alone(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        await on.begin()
        made = tmp_path / "out.txt"
        made.write_bytes(b"made")
        kept = await on.desk.keep(task["id"], LocalFile(made))
        await on.end(task["id"], output={"text": kept["uri"]})
        found = await on.ask("DELETE", f"/tasks/{task['id']}/files?role=output")
        assert len(found["deleted"]) == 1 and found["skipped"] == []
        assert await on.ask("GET", f"/tasks/{task['id']}/files") == []
        again = await on.ask("DELETE", f"/tasks/{task['id']}/files?role=output")
        assert again["deleted"] == [] and "not found" in again["skipped"][0]["reason"]


# -- the rest ------------------------------------------------------------------------------------------------------


async def test_a_run_that_nobody_waits_for_any_more_goes_on(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        request = RunTaskRequest.parse({"app": "acme/echo", "input": {"text": "a"}})
        with anyio.CancelScope() as scope:
            scope.cancel()
            await on.platform.tasks.run("local", request)
        tasks = (await on.ask("POST", "/tasks/list"))["items"]
        assert len(on.fleet.tickets) == len(tasks)


async def test_new_versions_run_from_the_next_task_on(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        first = await on.run()
        await on.store.write(lambda tx: store_app(tx, tmp_path))
        second = await on.run()
        assert first["app_version_id"] != second["app_version_id"]
        pinned = await on.run(app=f"acme/echo@{first['app_version_id']}")
        assert pinned["app_version_id"] == first["app_version_id"]


async def test_the_fleet_shows_its_state(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        await on.run()
        assert (await on.ask("GET", "/fleet"))["queued"] == 1


async def test_a_query_that_is_no_truth_is_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        body = {"app": "acme/echo", "input": {"text": "a"}}
        response = await on.client.post("/run?wait=maybe", json=body, headers=BARE)
        assert response.status_code == 400 and on.fleet.tickets == []
