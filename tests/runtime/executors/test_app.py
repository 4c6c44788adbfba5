"""Tools of type `app`: what the model is offered, and what becomes of a call whose task ends, fails or is stopped."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit.runtime.budgets import Limits
from agentkit.runtime.faults import Fault
from agentkit.runtime.ports import Writing
from agentkit.runtime.records import AppRecord, InvocationRecord, SessionRecord
from agentkit.testing import call
from agentkit.wire import CancelTaskRequest, Decide, RejectTool, TaskLogType, TaskStatus
from tests.runtime.executors.apptools import INPUT, AppPlay, app_playing, app_tool, new_version
from tests.runtime.playing import ADA, OWNER, invocations, texts
from tests.runtime.tasking import ScriptedFleet

T = TaskStatus
ASK = {"text": "hi", "size": 2}


async def offered(play: AppPlay) -> Any:
    """The tool as the model is offered it, once it was asked."""
    await play.say()
    await play.idle()
    return play.model.requests[0].tools[0]


async def settled(play: AppPlay) -> dict[str, Any]:
    """The call, once the run is over."""
    (found,) = invocations(await play.idle())
    return found


async def kept(play: AppPlay, content: bytes, *, owner: str = OWNER, filename: str = "a.png") -> str:
    """A file of the owner's; its URI."""

    async def chunks() -> Any:
        yield content

    async with aclosing(chunks()) as given:
        record = await play.platform.files.store(owner, given, filename=filename)
    return f"inf://files/{record.id}/{record.filename}"


# -- what the model is offered -------------------------------------------------------------------------------------


async def test_the_tool_has_the_apps_input_and_description(tmp_path: Path) -> None:
    async with app_playing(tmp_path, "ok") as play:
        tool = await offered(play)
        assert tool.description == "Says it again"
        assert tool.parameters == INPUT


async def test_fixed_input_is_not_offered_and_defaults_are_shown_and_not_required(tmp_path: Path) -> None:
    tool = app_tool(fixed_input={"image": "https://example.com/a.png"}, input={"size": 4}, tool={"description": "Echo"})
    async with app_playing(tmp_path, "ok", tools=[tool]) as play:
        found = await offered(play)
        assert found.description == "Echo"
        assert found.parameters["properties"] == {
            "text": {"type": "string"},
            "size": {"type": "integer", "minimum": 1, "default": 4},
        }
        assert found.parameters["required"] == ["text"]


async def test_a_function_has_its_own_input_and_description(tmp_path: Path) -> None:
    grow = {"description": "Grows it", "input_schema": {"type": "object", "properties": {"by": {"type": "integer"}}}}
    version = {"functions": {"run": {"input_schema": INPUT}, "grow": grow}}
    async with app_playing(tmp_path, "ok", version=version, tools=[app_tool(function="grow")]) as play:
        found = await offered(play)
        assert (found.description, list(found.parameters["properties"])) == ("Grows it", ["by"])


async def test_an_app_without_a_schema_takes_the_hint_or_any_object(tmp_path: Path) -> None:
    hint = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
    tools = [app_tool(), app_tool("hinted", input_schema=hint)]
    async with app_playing(tmp_path, "ok", version={"input_schema": None}, tools=tools) as play:
        await offered(play)
        either, hinted = play.model.requests[0].tools[:2]
        assert (either.parameters["properties"], hinted.parameters) == ({}, hint)


async def test_a_tool_with_sessions_has_a_parameter_for_them(tmp_path: Path) -> None:
    async with app_playing(tmp_path, "ok", tools=[app_tool(session_enabled=True)]) as play:
        found = await offered(play)
        assert found.parameters["properties"]["session"]["type"] == "string"
        assert "session" not in found.parameters["required"]


SECRET = {"required_secrets": [{"key": "HF_TOKEN"}]}
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "no-app": ({"ref": ""}, {}, "validation_error", "its member 'app' needs ref or id"),
    "unknown-app": ({"ref": "acme/other"}, {}, "not_found", "app 'acme/other' not found"),
    "unknown-version": ({"ref": "acme/echo@nope"}, {}, "not_found", "has no version 'nope'"),
    "unknown-function": (
        {"function": "sing"},
        {"functions": {"run": {"input_schema": INPUT}}},
        "invalid_request",
        "has no function 'sing'",
    ),
    "setup": ({"setup": {"model": "huge"}}, {}, "validation_error", "setup: model"),
    "default": ({"input": {"size": 0}}, {}, "validation_error", "input: size"),
    "fixed": ({"fixed_input": {"text": 1}}, {}, "validation_error", "input: text"),
    "default-that-is-none": ({"input": "x"}, {}, "validation_error", "`app.input` is an object"),
    "secret": ({}, SECRET, "requirements_not_met", "HF_TOKEN is not set"),
    "kernel": ({}, {"kernel": "node-22"}, "not_configured", "runs Python apps only"),
    "no-object": ({}, {"input_schema": {"type": "string"}}, "validation_error", "is no object"),
    "session": (
        {"session_enabled": True},
        {"input_schema": {"type": "object", "properties": {"session": {"type": "string"}}}},
        "invalid_request",
        "has a 'session' of its own",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_tool_that_could_never_work_is_refused_with_the_message(case: str, tmp_path: Path) -> None:
    config, version, code, said = REFUSED[case]
    async with app_playing(tmp_path, version=version, tools=[app_tool(**config)]) as play:
        with pytest.raises(Fault) as caught:
            await play.say()
        assert caught.value.code == code
        assert caught.value.detail.startswith("tool 'echo': ") and said in caught.value.detail
        assert play.chat_id is None and play.model.requests == []


async def test_somebody_elses_private_app_does_not_exist_and_a_public_one_does(tmp_path: Path) -> None:
    async with app_playing(tmp_path, "ok", owner="eve") as play:
        with pytest.raises(Fault, match="not found"):
            await play.say()

        def publish(tx: Writing) -> None:
            app = tx.get(AppRecord, "appecho")
            assert app is not None
            tx.update(app.but(visibility="public"))

        await play.store.write(publish)
        assert (await offered(play)).parameters == INPUT


async def test_a_run_keeps_its_version_and_the_next_message_has_the_new_one(tmp_path: Path) -> None:
    steps = ([call("echo", ASK)], [call("echo", ASK)], "one", [call("echo", ASK)], "two")
    async with app_playing(tmp_path, *steps) as play:
        await play.say()
        await play.end(await play.take(), "first")
        job = await play.take()
        await play.store.write(lambda tx: new_version(tx, tmp_path))
        assert job.version_id == "version1"
        await play.end(job, "second")
        await play.idle()
        await play.say()
        job = await play.take()
        assert job.version_id == "version2"
        await play.end(job, "third")
        await play.idle()


# -- the task of a call --------------------------------------------------------------------------------------------


@pytest.mark.requirement("app-tool:merge")
async def test_a_call_is_a_task_of_the_chat_with_the_models_input_between_defaults_and_what_is_fixed(
    tmp_path: Path,
) -> None:
    config = {"setup": {"model": "small"}, "input": {"size": 4}, "fixed_input": {"image": "https://example.com/a.png"}}
    tool = app_tool(**config, tool={"timeout": 7.5, "idempotent": True})
    ask = {"text": "hi", "size": 9, "image": "https://evil.example/"}
    async with app_playing(tmp_path, [call("echo", ask)], "ok", tools=[tool]) as play:
        await play.say()
        job = await play.take()
        assert job.input == {"text": "hi", "size": 9, "image": "https://example.com/a.png"}
        assert (job.setup, job.timeout_seconds, job.owner) == ({"model": "small"}, 7.5, OWNER)
        running = await play.waits_for("in_progress")
        task = await play.task(job.task_id)
        assert task is not None and task.is_idempotent
        assert (task.chat_id, task.invocation_id) == (play.chat_id, running["id"])
        assert running["execution_id"] == task.id
        await play.end(job, {"text": "hi hi"})
        found = await settled(play)
        assert (found["status"], found["result"], found["data"]) == (
            "completed",
            '{"text":"hi hi"}',
            {"text": "hi hi"},
        )
        assert play.model.requests[1].messages[-1].text == '{"text":"hi hi"}'


async def test_arguments_that_miss_the_apps_schema_make_no_task(tmp_path: Path) -> None:
    async with app_playing(tmp_path, [call("echo", {"text": "hi", "size": 0})], "ok") as play:
        await play.say()
        found = await settled(play)
        assert found["status"] == "failed" and "size: 0 is less than the minimum of 1" in found["result"]
        assert await play.tasks() == []


@pytest.mark.parametrize(
    ("output", "text"),
    [("plain", "plain"), ({"a": 1, "output_meta": {"outputs": []}}, '{"a":1}'), (None, "null"), ([1], "[1]")],
    ids=["text", "billed", "nothing", "list"],
)
async def test_the_output_is_the_result(output: Any, text: str, tmp_path: Path) -> None:
    async with app_playing(tmp_path, [call("echo", ASK)], "ok") as play:
        await play.say()
        await play.end(await play.take(), output)
        found = await settled(play)
        assert (found["status"], found["result"], found["data"]) == ("completed", text, output)


async def test_images_are_shown_to_the_model_and_somebody_elses_files_are_not(tmp_path: Path) -> None:
    async with app_playing(tmp_path, [call("echo", ASK)], "ok") as play:
        mine = await kept(play, b"\x89PNG\r\n\x1a\n....")
        theirs = await kept(play, b"\x89PNG\r\n\x1a\n####", owner="eve")
        text = await kept(play, b"words", filename="a.txt")
        await play.say()
        far = {"uri": "https://example.com/b.png", "content_type": "image/png"}
        await play.end(await play.take(), {"image": {"uri": mine}, "all": [mine, theirs, text, far]})
        await play.idle()
        answer = play.model.requests[1].messages[-1]
        assert len(answer.images) == 2
        assert answer.images[0].startswith("data:image/png;base64,") and answer.images[1] == far["uri"]
        assert f"[file a.txt text/plain: {text}]" in answer.text


async def test_an_output_too_large_for_the_model_is_cut_and_kept_whole_in_a_file(tmp_path: Path) -> None:
    async with app_playing(tmp_path, [call("echo", ASK)], "ok", limits=Limits(result_chars=100)) as play:
        await play.say()
        output = {"text": "x" * 1_000, "tail": "the end"}
        await play.end(await play.take(), output)
        found = await settled(play)
        assert (
            found["result"].startswith('{"text":"xxx')
            and f'read_result(id="{found["id"]}", offset=100)' in found["result"]
        )
        assert len(found["result"]) < 300 and found["data"] is None
        record = await play.store.read(lambda tx: tx.get(InvocationRecord, found["id"]))
        assert record is not None
        (file,) = record.files
        assert file["filename"] == f"{found['id']}.result.txt"
        content = await play.platform.files.read_uri(file["uri"])
        assert content is not None and content[0].decode().endswith('"tail":"the end"}')


async def test_what_failed_tells_the_error_and_the_last_that_was_printed(tmp_path: Path) -> None:
    async with app_playing(tmp_path, [call("echo", ASK)], "ok") as play:
        await play.say()
        job = await play.take()
        for number in range(40):
            play.desk.logged(job.task_id, TaskLogType.RUN, f"line {number}\n")
        await play.end(job, kind="failed", error="ValueError: too small")
        found = await settled(play)
        assert found["status"] == "failed"
        assert found["result"].startswith("the task failed: ValueError: too small\n\nThe last it printed:\nline 20\n")
        assert found["result"].endswith("line 39")


async def test_a_task_that_somebody_cancels_or_deletes_fails_its_call(tmp_path: Path) -> None:
    steps = ([call("echo", ASK)], "one", [call("echo", {**ASK, "text": "ho"})], "two")
    async with app_playing(tmp_path, *steps) as play:
        await play.say()
        job = await play.take()
        await play.platform.tasks.cancel(OWNER, job.task_id, CancelTaskRequest())
        await play.end(job, kind="cancelled")
        first = await settled(play)
        assert (first["status"], first["result"]) == ("failed", "the task was cancelled")
        await play.say()
        job = await play.take()
        await play.platform.tasks.delete(OWNER, job.task_id)
        second = invocations(await play.idle())[1]
        assert (second["status"], second["result"]) == ("failed", "the task was cancelled")


async def test_progress_of_the_task_is_seen_on_the_chat(tmp_path: Path) -> None:
    async with app_playing(tmp_path, [call("echo", ASK)], "ok") as play:
        await play.say()
        job = await play.take()
        running = await play.waits_for("in_progress")
        seen: list[dict[str, Any]] = []
        async with aclosing(await play.platform.chats.watch(OWNER, str(play.chat_id))) as frames:
            with anyio.fail_after(5):
                async for frame in frames:
                    if frame.name == "tool_progress":
                        seen.append(dict(frame.data))
                        break
                    if frame.name is None and not seen:  # it listens by now
                        play.desk.logged(job.task_id, TaskLogType.RUN, "loading\n 42 %\n\n")
                        await play.desk.produced(job.task_id, {"text": "h"})
        assert seen == [
            {
                "invocation_id": running["id"],
                "message": "42 %",
                "progress": None,
                "total": None,
                "output": {"text": "h"},
            }
        ]
        await play.end(job, {"text": "hi"})
        await play.idle()


# -- stopped -------------------------------------------------------------------------------------------------------


async def told(play: AppPlay, task_id: str) -> None:
    """Returns once the fleet was told to cancel the task."""
    with anyio.fail_after(5):
        while task_id not in {each for each, *_ in play.fleet.cancelled}:
            await anyio.sleep(0.005)


async def test_stopping_the_chat_cancels_a_task_that_runs(tmp_path: Path) -> None:
    async with app_playing(tmp_path, [call("echo", ASK)]) as play:
        await play.say()
        job = await play.take()
        await play.platform.chats.stop(OWNER, str(play.chat_id))
        task = await play.task(job.task_id)
        assert task is not None and task.status is T.CANCELLING  # in the transaction of the stop
        await told(play, job.task_id)
        await play.end(job, kind="cancelled")
        found = await settled(play)
        assert (found["status"], found["result"]) == ("cancelled", None)
        task = await play.task(job.task_id)
        assert task is not None and task.status is T.CANCELLED


async def test_stopping_the_chat_ends_a_task_that_waits_for_a_worker(tmp_path: Path) -> None:
    async with app_playing(tmp_path, [call("echo", ASK)]) as play:
        await play.say()
        ticket = await play.fleet.ticket()
        await play.platform.chats.stop(OWNER, str(play.chat_id))
        task = await play.task(ticket.task_id)
        assert task is not None and task.status is T.CANCELLED
        await told(play, ticket.task_id)
        assert await play.desk.claim(ticket.task_id, worker_id="w1") is None


async def test_a_deleted_chat_leaves_no_task_running(tmp_path: Path) -> None:
    async with app_playing(tmp_path, [call("echo", ASK)]) as play:
        await play.say()
        job = await play.take()
        await play.platform.chats.delete(OWNER, str(play.chat_id))
        await told(play, job.task_id)
        await play.end(job, {"text": "nobody reads this"})
        task = await play.task(job.task_id)
        assert task is not None and task.status is T.CANCELLED


async def test_what_a_task_makes_after_the_stop_reaches_nobody(tmp_path: Path) -> None:
    async with app_playing(tmp_path, [call("echo", ASK)], "next") as play:
        await play.say()
        job = await play.take()
        await play.platform.chats.stop(OWNER, str(play.chat_id))
        await play.end(job, {"text": "too late"})
        await play.say("again")
        await play.idle()
        assert texts(await play.chat())[-1] == "next"
        assert "too late" not in str(play.model.requests[-1])


async def test_a_call_whose_runtime_was_closed_is_asked_about_and_the_run_goes_on_without_it(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    async with app_playing(tmp_path, [call("echo", ASK)], "on", db=db) as play:
        await play.say()
        job = await play.take()
        chat_id = play.chat_id
    async with app_playing(tmp_path, "on", db=db) as play:
        play.chat_id = chat_id
        (asked,) = (await play.until(lambda chat: chat["status"] == "awaiting_input"))["pending_interrupts"]
        assert asked["meta"]["unknown_outcome"] is True
        assert asked["meta"]["why"].startswith("the runtime was closed while the task was running")
        await play.platform.approvals.reject(OWNER, asked["resource_id"], RejectTool(reason="it was paid"), by=ADA)
        found = await settled(play)
        assert found["status"] == "cancelled" and found["execution_id"] == job.task_id
        assert "because a person said: it was paid" in found["result"]
        assert [each["end"] for each in found["journal"]] == ["unknown"]
        assert texts(await play.chat())[-1] == "on"


async def test_a_task_that_was_lost_is_made_again_where_a_person_wants_that_by_the_same_key(tmp_path: Path) -> None:
    async with app_playing(tmp_path, [call("echo", ASK)], "on") as play:
        await play.say()
        first = await play.take()
        await play.end(first, kind="lost", error="the worker died")
        (asked,) = (await play.until(lambda chat: chat["status"] == "awaiting_input"))["pending_interrupts"]
        assert asked["meta"]["why"] == "the worker died"
        shown = Decide(arguments_hash=asked["arguments_hash"])
        await play.platform.approvals.invoke(OWNER, asked["resource_id"], shown, by=ADA)
        second = await play.take()
        assert second.task_id != first.task_id
        assert second.idempotency_key and second.idempotency_key == first.idempotency_key
        await play.end(second, {"text": "done"})
        found = await settled(play)
        assert (found["status"], found["execution_id"], found["attempt"]) == ("completed", second.task_id, 2)
        assert [each["end"] for each in found["journal"]] == ["unknown", "committed"]


# -- sessions ------------------------------------------------------------------------------------------------------

KEEPS = app_tool(session_enabled=True, tool={"retries": 0})


def session_of(request: Any) -> str:
    """The id of the session in the last result."""
    return str(request.messages[-1].text.split('[session "')[1].split('"')[0])


async def test_a_session_goes_on_with_the_id_of_an_earlier_result(tmp_path: Path) -> None:
    steps = (
        [call("echo", {**ASK, "session": "new"})],
        lambda request: [call("echo", {**ASK, "session": session_of(request)})],
        "done",
    )
    async with app_playing(tmp_path, *steps, tools=[KEEPS]) as play:
        await play.say()
        first = await play.take()
        assert first.input == ASK
        await play.end(first, "one")
        second = await play.take()
        await play.end(second, kind="failed", error="not that")
        chat = await play.idle()
        tasks = await play.tasks()
        (session_id,) = {each.session_id for each in tasks}
        assert play.fleet.leased == [session_id]
        texts_ = [each["result"] for each in invocations(chat)]
        assert texts_[0].startswith("one\n\n[session ") and texts_[1].startswith(
            "the task failed: not that\n\n[session "
        )


async def test_a_session_lives_on_after_a_new_version_came(tmp_path: Path) -> None:
    steps = (
        [call("echo", {**ASK, "session": "new"})],
        "one",
        lambda request: [call("echo", {**ASK, "session": play.fleet.leased[0]})],
        "two",
    )
    async with app_playing(tmp_path, *steps, tools=[KEEPS]) as play:
        await play.say()
        await play.end(await play.take(), "one")
        await play.idle()
        await play.store.write(lambda tx: new_version(tx, tmp_path))
        await play.say()
        job = await play.take()
        assert job.version_id == "version1"
        await play.end(job, "two")
        await play.idle()


async def test_a_session_that_cannot_be_had_is_told_to_the_model(tmp_path: Path) -> None:
    steps = ([call("echo", {**ASK, "session": "new"}), call("echo", {**ASK, "session": "nonesuch"})], "done")
    async with app_playing(tmp_path, *steps, tools=[KEEPS], fleet=ScriptedFleet(leases=0)) as play:
        await play.say()
        chat = await play.idle()
        said = [(each["status"], each["result"], each["data"]) for each in invocations(chat)]
        assert said == [
            (
                "failed",
                "every worker is leased to another session; go on without a session, or try later",
                {"code": "WORKER_LEASED"},
            ),
            ("failed", "session 'nonesuch' not found", {"code": "SESSION_NOT_FOUND"}),
        ]
        assert await play.tasks() == []


async def test_a_session_call_waits_for_a_worker_to_come_free(tmp_path: Path) -> None:
    tool = app_tool(session_enabled=True)
    fleet = ScriptedFleet(leases=0)
    async with app_playing(
        tmp_path, [call("echo", {**ASK, "session": "new"})], "ok", tools=[tool], fleet=fleet
    ) as play:
        await play.say()
        async with aclosing(await play.platform.chats.watch(OWNER, str(play.chat_id))) as frames:
            with anyio.fail_after(5):
                async for frame in frames:
                    if frame.name == "tool_progress":
                        break
        fleet.leases = 1
        await play.end(await play.take(), "in the end")
        assert (await settled(play))["status"] == "completed"
        (task,) = await play.tasks()
        assert fleet.leased == [task.session_id]


async def test_a_stop_before_the_task_began_gives_the_workers_place_back(tmp_path: Path) -> None:
    stopped = anyio.Event()

    class Stopping(ScriptedFleet):
        """A fleet whose lease takes as long as the chat's stop."""

        def lease(self, session_id: str, *, workers: Any = ()) -> bool:
            leased = super().lease(session_id, workers=workers)
            group.start_soon(stop)
            return leased

    async def stop() -> None:
        await play.platform.chats.stop(OWNER, str(play.chat_id))
        stopped.set()

    fleet = Stopping()
    async with (
        app_playing(tmp_path, [call("echo", {**ASK, "session": "new"})], tools=[KEEPS], fleet=fleet) as play,
        anyio.create_task_group() as group,
    ):
        await play.say()
        with anyio.fail_after(5):
            await stopped.wait()
        assert (await settled(play))["status"] == "cancelled"
        # The stop came before the task or behind it: either way nothing of it goes on.
        tasks = await play.tasks()
        assert all(each.status is T.CANCELLED for each in tasks)
        sessions = await play.store.read(lambda tx: tx.find(SessionRecord))
        assert fleet.leased == [each.id for each in sessions]


# -- files that go in ----------------------------------------------------------------------------------------------


async def test_the_models_file_uris_go_to_the_app(tmp_path: Path) -> None:
    steps = (lambda request: [call("echo", {**ASK, "image": uri})], "ok")
    async with app_playing(tmp_path, *steps) as play:
        uri = await kept(play, b"\x89PNG\r\n\x1a\n....")
        await play.say()
        job = await play.take()
        assert job.input["image"] == uri
        found = await play.desk.fetch(job.task_id, tmp_path / "in")
        assert [each.content_type for each in found.values()] == ["image/png"]
        await play.end(job, "ok")
        await play.idle()


@pytest.mark.requirement("app-tool:one-task")
async def test_two_calls_alike_are_two_tasks_and_one_call_is_one(tmp_path: Path) -> None:
    async with app_playing(tmp_path, [call("echo", ASK), call("echo", ASK)], "ok") as play:
        await play.say()
        first, second = await play.take(), await play.take()
        assert first.task_id != second.task_id
        await play.end(second, "b")
        await play.end(first, "a")
        found = invocations(await play.idle())
        assert {(each["execution_id"], each["result"]) for each in found} == {
            (first.task_id, "a"),
            (second.task_id, "b"),
        }
        assert len(await play.tasks()) == 2
