"""What holds for runs and tasks whatever is delivered twice: one end each, and one effect (design.md 5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from agentkit.runtime.ports import Reading
from agentkit.runtime.records import RunRecord
from agentkit.runtime.states import RUN, is_open
from agentkit.testing import error, gate, hang
from agentkit.wire import RunTaskRequest, TaskStatus
from tests.conformance.seed_apps import write_app
from tests.runtime.playing import OWNER, Play, playing, texts
from tests.runtime.serving import in_process

COUNTING = """
class Input(BaseAppInput):
    ledger: str

class Output(BaseAppOutput):
    calls: int

class App(BaseApp):
    async def run(self, app_input: Input) -> Output:
        with open(app_input.ledger, "a") as file:
            file.write("called\\n")
        return Output(calls=len(open(app_input.ledger).readlines()))
"""


async def ends(play: Play) -> list[list[str]]:
    """For each run of the chat, the terminal states that its log tells."""

    def look(tx: Reading) -> list[list[str]]:
        assert play.chat_id is not None
        told = [each.data for each in tx.events(play.chat_id, limit=10_000) if each.name == "agent_runs"]
        closed = {state.value for state in type(next(iter(RUN))) if not is_open(RUN, state)}
        runs = tx.find(RunRecord, chat_id=play.chat_id)
        assert all(not is_open(RUN, run.state) for run in runs)
        return [[each["state"] for each in told if each["id"] == run.id and each["state"] in closed] for run in runs]

    return await play.platform._store.read(look)


@pytest.mark.requirement("run:one-terminal")
async def test_each_run_has_one_end_however_it_ends() -> None:
    endless = hang()
    async with playing("Hello.", error("out of order"), ["One, ", endless]) as play:
        for ending in ("completed", "failed", "stopped"):
            await play.say()
            if ending == "stopped":
                await endless.reached.wait()
                await play.platform.chats.stop(OWNER, play.chat_id or "")
            await play.idle()
        assert sorted(await ends(play)) == [["canceled"], ["completed"], ["failed"]]


@pytest.mark.requirement("run:advance-twice")
async def test_an_advance_that_is_delivered_again_answers_once() -> None:
    hold = gate()
    async with playing([hold, "Hello."], *["Hello."] * 8) as play:
        await play.say()
        with anyio.fail_after(10):
            await hold.reached.wait()
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(play.platform.advance, play.chat_id)
            hold.open()
        chat = await play.idle()
        for _ in range(3):
            await play.platform.advance(play.chat_id or "")
        assert texts(await play.chat()) == texts(chat) == ["Hello."]
        assert await ends(play) == [["completed"]]


@pytest.mark.requirement("run:advance-twice", "task:run-at-once")
@pytest.mark.timeout(60)
@pytest.mark.asyncio_only
async def test_a_task_that_becomes_due_many_times_runs_once_and_at_its_time(tmp_path: Path) -> None:
    app = write_app(tmp_path / "counting", COUNTING, name="counting")
    ledger = tmp_path / "ledger"
    async with in_process(apps={"counting": app}) as desk:
        due = datetime.now(UTC) + timedelta(seconds=1.5)
        body = {"app": "counting", "input": {"ledger": str(ledger)}, "run_at": due.isoformat()}
        task = await desk.platform.tasks.run("local", RunTaskRequest.parse(body))
        assert task["status"] == TaskStatus.RECEIVED
        with anyio.fail_after(30):
            while task["status"] != TaskStatus.COMPLETED:
                async with anyio.create_task_group() as group:
                    for _ in range(3):
                        group.start_soon(desk.platform.advance, f"task:{task['id']}")
                task = await desk.get(f"/tasks/{task['id']}")
                await anyio.sleep(0.02)
        for _ in range(3):
            await desk.platform.advance(f"task:{task['id']}")
    assert ledger.read_text() == "called\n"
    seen = [event["status"] for event in task["events"]]
    assert (seen[0], seen.count(TaskStatus.QUEUED), seen.count(TaskStatus.COMPLETED)) == (1, 1, 1)
    assert task["events"][1]["event_time"] >= due.isoformat(timespec="microseconds").replace("+00:00", "")
