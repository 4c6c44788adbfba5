"""What every fleet must do, wherever it runs its workers: subclass `FleetConformance` and say how one is made.

class TestRay(FleetConformance):
    @pytest.fixture
    def make_fleet(self): return lambda size, **limits: RayFleet(size, **limits)
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import anyio
import pytest

from agentkit.errors import AppError
from agentkit.runtime.ports import End, Fleet, LocalFile, WorkerInfo
from agentkit.wire import TaskLogType, TaskStatus
from tests.runtime.fleet.desk_double import RecordingDesk, Told, ticket
from tests.runtime.fleet.fleet_apps import BROKEN, DYING, SLOW, write_app
from tests.runtime.fleet.processes import SECONDS, all_gone, is_there, marked, open_files

FAILURES = {
    "fail": "ValueError: bad size",
    "exit": "SystemExit: the app called sys.exit(3)",
    "interrupt": "KeyboardInterrupt",
    "nothing": "'nothing' gave None; return the output model",
    "wrong": "output of 'wrong': number:",
    "nan": "the output has a number at data.list.1 that JSON cannot carry",
    "surrogate": "the output cannot be written as JSON",
    "opaque": "the output cannot be written as JSON",
    "huge": "the output is 20,97",
    "forget": "nowhere.txt' does not exist; write it before it is returned",
    "no_such": "the app has no function 'no_such'; it has run, fail",
}
QUICK = {"cancel_seconds": 0.3, "kill_seconds": 0.3}
ON_JOB = ("setup", "timeout_seconds", "owner", "idempotency_key")


class MakeFleet(Protocol):
    """Makes a fleet of that size."""

    def __call__(self, size: int, **limits: Any) -> Fleet: ...


class Playground:
    """A fleet with a desk that knows some apps."""

    def __init__(self, fleet: Fleet, desk: RecordingDesk) -> None:
        self.fleet = fleet
        self.desk = desk
        self._count = 0

    def submit(self, function: str | None = None, *, version: str = "obedient", **more: Any) -> Told:
        """Submits a task; `more` are fields of its input, of the ticket or of the job."""
        self._count += 1
        on_ticket = {name: more.pop(name) for name in ("lane", "session_id", "setup_key", "workers") if name in more}
        on_job = {name: more.pop(name) for name in ON_JOB if name in more}
        task = self.desk.add(f"t{self._count}", version, more, function=function, **on_job)
        self.fleet.submit(ticket(task, **on_ticket))
        return task

    async def run(self, function: str | None = None, **more: Any) -> End:
        return await self.over(self.submit(function, **more))

    async def over(self, task: Told, seconds: float = SECONDS) -> End:
        with anyio.fail_after(seconds):
            await task.over.wait()
        return task.end

    async def until(self, task: Told, is_so: Callable[[Told], bool]) -> None:
        with anyio.fail_after(SECONDS):
            while not is_so(task):
                await task.news.wait()

    async def running(self, task: Told) -> None:
        await self.until(task, lambda task: task.status is TaskStatus.RUNNING)

    async def worker(self, is_so: Callable[[WorkerInfo], bool]) -> WorkerInfo:
        with anyio.fail_after(SECONDS):
            while True:
                for info in self.fleet.state().workers:
                    if is_so(info):
                        return info
                await anyio.sleep(0.01)

    async def settled(self, is_so: Callable[[], bool]) -> None:
        with anyio.fail_after(SECONDS):
            while not is_so():
                await anyio.sleep(0.01)


async def written(path: Path) -> list[int]:
    """The process ids that an app has written into the file."""
    with anyio.fail_after(SECONDS):
        while not (path.exists() and path.read_text()):
            await anyio.sleep(0.01)
    return [int(pid) for pid in path.read_text().split()]


class FleetConformance:
    @pytest.fixture
    def make_fleet(self) -> MakeFleet:
        raise NotImplementedError

    @pytest.fixture
    def marker(self) -> str:
        return f"fleet-test-{os.getpid()}-{random.randrange(1 << 60):x}"

    @pytest.fixture
    def desk(self, tmp_path: Path, marker: str) -> RecordingDesk:
        desk = RecordingDesk()
        desk.env["MARKER"] = marker
        desk.apps["obedient"] = write_app(tmp_path / "obedient")
        desk.apps["other"] = write_app(tmp_path / "other")
        desk.apps["broken"] = write_app(tmp_path / "broken", BROKEN)
        desk.apps["dying"] = write_app(tmp_path / "dying", DYING)
        desk.apps["slow"] = write_app(tmp_path / "slow", SLOW)
        return desk

    @pytest.fixture
    def play(self, make_fleet: MakeFleet, desk: RecordingDesk, marker: str) -> Callable[..., Any]:
        """`async with play(size, **limits) as ground`: leaves no process, whatever happens in it."""

        @asynccontextmanager
        async def playing(size: int = 1, **limits: Any) -> AsyncIterator[Playground]:
            fleet = make_fleet(size, **limits)
            async with fleet.run(desk):
                yield Playground(fleet, desk)
            assert marked(marker) == []
            assert not list(fleet.state().workers)

        return playing

    # -- running ---------------------------------------------------------------------------------------------------

    async def test_a_task_goes_through_every_phase_and_completes(self, play: Any) -> None:
        async with play() as ground:
            task = ground.submit(text="hi")
            end = await ground.over(task)
        assert (end.kind, end.output["text"], end.error) == ("completed", "small:hi", "")
        assert end.output["data"]["task"] == "t1"
        assert end.output["data"]["user"] == "me"
        assert task.statuses == [TaskStatus.SERVING, TaskStatus.SETTING_UP, TaskStatus.RUNNING]
        assert task.text(TaskLogType.SERVE) == "imported\n"
        assert task.text(TaskLogType.SETUP) == "setting up small worker-1\n"
        assert task.text(TaskLogType.RUN) == "says hi\n"

    async def test_a_warm_worker_skips_what_is_done(self, play: Any) -> None:
        async with play() as ground:
            first = await ground.run(text="one")
            task = ground.submit(text="two")
            second = await ground.over(task)
            state = ground.fleet.state()
        assert task.statuses == [TaskStatus.RUNNING]
        assert task.text() == "says two\n"
        assert first.output["data"]["pid"] == second.output["data"]["pid"]
        assert second.output["number"] == 2
        assert (state.counters["cold"], state.counters["warm"], state.counters["started"]) == (1, 1, 1)

    async def test_another_setup_is_set_up_in_the_same_process(self, play: Any) -> None:
        async with play() as ground:
            first = await ground.run(text="one")
            task = ground.submit(text="two", setup={"size": "large"}, setup_key="large")
            second = await ground.over(task)
        assert task.statuses == [TaskStatus.SETTING_UP, TaskStatus.RUNNING]
        assert (second.output["text"], second.output["number"]) == ("large:two", 1)
        assert first.output["data"]["pid"] == second.output["data"]["pid"]

    async def test_another_app_takes_the_place_of_an_idle_one_after_it_has_unloaded(
        self, play: Any, tmp_path: Path, desk: RecordingDesk
    ) -> None:
        desk.env["UNLOADED"] = str(tmp_path / "unloaded")
        async with play() as ground:
            first = await ground.run()
            second = await ground.run(version="other")
            assert not is_there(first.output["data"]["pid"])
            assert (tmp_path / "unloaded").read_text() == "yes"
            (tmp_path / "unloaded").unlink()
        assert second.kind == "completed"
        assert (tmp_path / "unloaded").read_text() == "yes", "leaving the fleet lets idle apps unload"

    async def test_an_idle_worker_is_ended_after_a_while(self, play: Any) -> None:
        async with play(idle_seconds=0.2) as ground:
            end = await ground.run()
            await ground.settled(lambda: not ground.fleet.state().workers)
            assert not is_there(end.output["data"]["pid"])
            assert (await ground.run()).kind == "completed"

    async def test_outputs_of_a_generator_are_told_as_they_come(self, play: Any) -> None:
        async with play() as ground:
            task = ground.submit("count", count=3)
            end = await ground.over(task)
            also = ground.submit("sync_count", count=3)
            await ground.over(also)
        assert [output["number"] for output in task.outputs] == [1, 2, 3]
        assert (end.kind, end.output["number"]) == ("completed", 3)
        assert [output["number"] for output in also.outputs] == [1, 2, 3]

    async def test_an_output_is_told_before_the_generator_ends(self, play: Any) -> None:
        async with play(**QUICK) as ground:
            task = ground.submit("count", count=2, seconds=0.3)
            await ground.until(task, lambda task: bool(task.outputs))
            assert not task.ends
            await ground.over(task)

    async def test_all_lines_of_a_log_come_before_the_end_and_belong_to_their_task(self, play: Any) -> None:
        async with play() as ground:
            first = ground.submit("shout", count=2000)
            second = ground.submit("shout", count=1)
            await ground.over(first)
            assert first.text(TaskLogType.RUN).count("line ") == 2001
            await ground.over(second)
        assert first.text(TaskLogType.RUN).endswith("line 1999\nno newline at the end\n")
        assert second.text(TaskLogType.RUN) == "line 0\nno newline at the end\n"

    async def test_a_worker_knows_nothing_of_the_server(
        self, play: Any, desk: RecordingDesk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AGENTKIT_API_KEY", "secret")
        monkeypatch.setenv("LC_TIME", "C.UTF-8")
        desk.env["HF_TOKEN"] = "theirs"
        async with play() as ground:
            found = (await ground.run("environment")).output["data"]
            env = found["env"]
            assert Path(env["HOME"]).parent == Path(env["TMPDIR"]).parent == Path(found["cwd"]).parent
        assert "AGENTKIT_API_KEY" not in env
        assert (env["HF_TOKEN"], env["LC_TIME"]) == ("theirs", "C.UTF-8")
        assert env["HOME"] != os.environ.get("HOME")
        assert (found["stdin"], found["argv"]) == ("", [""])
        assert len(found["files"]) < 12, "no more than its own"
        assert not Path(found["cwd"]).exists()

    async def test_no_process_ever_serves_two_owners(self, play: Any) -> None:
        async with play() as ground:
            mine = await ground.run(text="secret", owner="me")
            task = ground.submit(text="hi", owner="you")
            yours = await ground.over(task)
            assert not is_there(mine.output["data"]["pid"])
            again = await ground.run(text="more", owner="you")
        assert TaskStatus.SERVING in task.statuses
        assert (yours.output["number"], yours.output["data"]["user"]) == (1, "you")
        assert (again.output["number"], again.output["data"]["pid"]) == (2, yours.output["data"]["pid"])

    async def test_an_app_has_the_key_of_the_work_that_it_is_given(self, play: Any) -> None:
        async with play() as ground:
            with_one = (await ground.run(idempotency_key="k1")).output["data"]
            without = (await ground.run()).output["data"]
        assert (with_one["key"], with_one["set up for"]) == ("k1", None)
        assert (without["key"], without["set up for"]) == (None, None)

    async def test_an_app_knows_which_session_it_is_in(self, play: Any) -> None:
        async with play(2) as ground:
            alone = (await ground.run()).output["data"]
            ground.fleet.lease("s1")
            inside = (await ground.run(session_id="s1")).output["data"]
        assert (alone["session"], alone["set up in"]) == (None, None)
        assert (inside["session"], inside["set up in"]) == ("s1", "s1")

    async def test_an_app_finds_its_home_as_it_left_it_and_nobody_else_s(
        self, play: Any, desk: RecordingDesk, tmp_path: Path
    ) -> None:
        desk.homes = {name: tmp_path / f"home of {name}" for name in ("obedient", "other")}
        for home in desk.homes.values():
            home.mkdir()
        seen = []
        async with play() as ground:
            for version in ("obedient", "other", "obedient"):
                found = (await ground.run("keep_at_home", version=version)).output["data"]
                assert found["home"] == str(desk.homes[version])
                seen.append(found["found"])
        assert seen == [False, False, True]

    # -- files -----------------------------------------------------------------------------------------------------

    async def test_a_file_of_the_setup_is_there_as_long_as_the_process(self, play: Any, desk: RecordingDesk) -> None:
        uri = "inf://files/f1/weights.txt"
        desk.uploads[uri] = b"heavy"
        with_file: dict[str, Any] = {"setup": {"file": uri}, "setup_key": "with a file"}
        async with play() as ground:
            tasks = [ground.submit("read_setup", **with_file) for _ in range(2)]
            ends = [await ground.over(task) for task in tasks]
            assert [(end.kind, end.output["text"]) for end in ends] == [("completed", "heavy")] * 2
            assert [end.output["file"]["uri"] for end in ends] == [uri, uri], "the sender's own, not stored anew"
            assert (tasks[1].statuses, tasks[1].files) == ([TaskStatus.RUNNING], [])
            path = Path(ends[1].output["data"]["path"])
            assert path.exists()
        assert not path.exists()

    async def test_a_setup_whose_file_cannot_be_had_fails_the_task_and_leaves_no_process(
        self, play: Any, desk: RecordingDesk
    ) -> None:
        def gone(method: str, task_id: str) -> None:
            if method == "fetch setup":
                raise AppError("the setup names a file that was deleted")

        desk.trouble = gone
        async with play() as ground:
            end = await ground.run("read_setup", setup={"file": "inf://files/f1/a"}, setup_key="a")
            assert (end.kind, end.error) == ("failed", "the setup names a file that was deleted")
            assert ground.fleet.state().workers == []
            desk.trouble = lambda method, task_id: None
            assert (await ground.run()).kind == "completed"

    async def test_a_setup_names_no_file_of_the_server(self, play: Any, tmp_path: Path) -> None:
        secret = tmp_path / "secret.txt"
        secret.write_text("key")
        async with play() as ground:
            end = await ground.run("read_setup", setup={"file": str(secret)}, setup_key="a")
        assert (end.kind, "key" in str(end)) == ("failed", False)
        assert "was not made available to this task" in end.error

    async def test_what_a_task_brings_along_is_not_kept_in_the_app_s_home(
        self, play: Any, desk: RecordingDesk, tmp_path: Path
    ) -> None:
        desk.homes["obedient"] = tmp_path / "home"
        desk.homes["obedient"].mkdir()
        async with play() as ground:
            end = await ground.run("read", file="data:text/plain,private")
        assert end.output["text"] == "private"
        assert list(desk.homes["obedient"].rglob("*")) == []
        assert not Path(end.output["data"]["path"]).exists(), "it goes with the process"

    async def test_a_file_of_the_input_is_found_on_this_machine(self, play: Any, desk: RecordingDesk) -> None:
        desk.uploads["inf://files/f1/note.txt"] = b"remember"
        async with play() as ground:
            end = await ground.run("read", file="inf://files/f1/note.txt")
            assert not Path(end.output["data"]["path"]).exists(), "it is removed after the task"
        assert (end.kind, end.output["text"]) == ("completed", "remember")
        assert end.output["data"]["name"] == "note.txt"
        assert end.output["file"]["uri"] == "inf://files/f1/note.txt"
        assert "path" not in end.output["file"]

    async def test_the_server_s_own_files_are_not_to_be_had(self, play: Any, tmp_path: Path) -> None:
        secret = tmp_path / "secret.txt"
        secret.write_text("key")
        async with play() as ground:
            for named in (str(secret), secret.as_uri(), {"path": str(secret)}, {"uri": "x://y", "path": str(secret)}):
                end = await ground.run("read", file=named)
                assert (end.kind, "key" in str(end)) == ("failed", False)
                assert "file:" in end.error

    async def test_a_file_that_the_app_made_is_stored_before_the_end(self, play: Any) -> None:
        async with play() as ground:
            task = ground.submit("write", text="made")
            end = await ground.over(task)
        assert task.statuses[-1] is TaskStatus.UPLOADING
        assert [content for _, content in task.files] == [b"made"], "and once, though it is named twice"
        kept: LocalFile = task.files[0][0]
        assert (kept.filename, kept.content_type, kept.size) == ("out.txt", "text/plain", 4)
        assert end.output["file"] == end.output["files"][0] == {"uri": "inf://files/t1/1/out.txt"}

    async def test_each_take_of_a_file_is_stored_before_the_next_one_overwrites_it(self, play: Any) -> None:
        async with play() as ground:
            task = ground.submit("write_many", count=3)
            end = await ground.over(task)
        assert [content for _, content in task.files] == [b"take 0", b"take 1", b"take 2"]
        assert end.output["file"]["uri"] == "inf://files/t1/3/out.txt"
        assert task.statuses[-1] is TaskStatus.UPLOADING

    async def test_a_file_that_cannot_be_stored_fails_the_task(self, play: Any, desk: RecordingDesk) -> None:
        def full(method: str, task_id: str) -> None:
            if method == "keep":
                raise AppError("out.txt is too large")

        desk.trouble = full
        async with play() as ground:
            end = await ground.run("write")
            assert (end.kind, end.error) == ("failed", "out.txt is too large")
            assert (await ground.run()).kind == "completed"
            assert ground.fleet.state().counters["started"] == 1

    # -- failing ---------------------------------------------------------------------------------------------------

    async def test_a_failure_is_told_and_the_worker_stays(self, play: Any) -> None:
        async with play() as ground:
            for function, error in FAILURES.items():
                end = await ground.run(function)
                assert (function, end.kind) == (function, "failed")
                assert error in end.error
                assert (await ground.run(text="next")).output["text"] == "small:next"
            assert ground.fleet.state().counters["started"] == 1

    async def test_the_traceback_of_a_failure_is_in_the_log(self, play: Any) -> None:
        async with play() as ground:
            task = ground.submit("fail")
            await ground.over(task)
        lines = task.text(TaskLogType.RUN).splitlines()
        assert lines[:2] == ["about to fail", "Traceback (most recent call last):"]
        assert "inference.py" in lines[2]
        assert lines[-1] == "ValueError: bad size"

    async def test_an_input_that_misses_the_model_is_refused_with_its_path(self, play: Any) -> None:
        async with play() as ground:
            end = await ground.run(count="many")
        assert (end.kind, end.error.partition(":")[0]) == ("failed", "input of 'run'")
        assert "count" in end.error

    @pytest.mark.parametrize(
        ("version", "error"),
        [
            ("broken", "ModuleNotFoundError: No module named 'no_such_module'"),
            ("dying", "the app's process ended with exit code 3 while it was starting"),
            ("unknown", "no version 'unknown'"),
        ],
    )
    async def test_an_app_that_cannot_start_fails_each_task_once(self, play: Any, version: str, error: str) -> None:
        async with play() as ground:
            tasks = [ground.submit(version=version) for _ in range(3)]
            for task in tasks:
                end = await ground.over(task)
                assert (end.kind, error in end.error, task.claims) == ("failed", True, 1)
            assert ground.fleet.state().counters["started"] <= 3
            assert (await ground.run()).kind == "completed"

    async def test_the_last_lines_of_the_log_explain_a_death_at_the_start(self, play: Any) -> None:
        async with play() as ground:
            end = await ground.run(version="dying")
            also = await ground.run(setup={"die": True}, setup_key="die")
        assert end.error.splitlines()[-1] == "before the end"
        assert also.error.startswith("the app's process ended with exit code 4 while it was being set up")

    async def test_a_setup_that_fails_fails_the_task(self, play: Any) -> None:
        async with play() as ground:
            end = await ground.run(setup={"fail": True}, setup_key="fail")
            assert (end.kind, end.error) == ("failed", "RuntimeError: no weights")
            end = await ground.run(setup={"size": 3}, setup_key="three")
            assert (end.kind, end.error.startswith("setup: size:")) == ("failed", True)
            assert (await ground.run()).kind == "completed"

    async def test_an_app_that_does_not_start_in_time_fails(self, play: Any) -> None:
        async with play(start_seconds=1) as ground:
            end = await ground.run(version="slow")
            assert end == End("failed", error="the app did not start within 1 s")

    # -- dying -----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("function", "reason"),
        [("vanish", "ended with exit code 3"), ("crash", "was killed by signal 11 (SIGSEGV): a crash in native code")],
    )
    async def test_a_worker_that_dies_while_running_loses_its_task(self, play: Any, function: str, reason: str) -> None:
        async with play() as ground:
            end = await ground.run(function)
            assert end == End("lost", error=f"the app's process {reason} while it was running")
            assert (await ground.run()).kind == "completed"

    async def test_the_last_words_of_a_worker_are_in_the_log(self, play: Any) -> None:
        async with play() as ground:
            task = ground.submit("vanish")
            await ground.over(task)
        assert task.text(TaskLogType.RUN) == "last words\n"

    async def test_a_kill_while_running_is_told_and_the_next_task_has_a_new_process(self, play: Any) -> None:
        async with play() as ground:
            task = ground.submit("nap")
            await ground.running(task)
            info = await ground.worker(lambda info: info.state == "busy")
            os.kill(info.pid, signal.SIGKILL)
            end = await ground.over(task)
            assert end.kind == "lost"
            assert "killed by signal 9 (SIGKILL): out of memory, or killed from outside" in end.error
            assert (await ground.run()).kind == "completed"

    async def test_a_kill_while_starting_is_told(self, play: Any) -> None:
        async with play() as ground:
            task = ground.submit(version="slow")
            await ground.until(task, lambda task: "slow to start" in task.text())
            info = await ground.worker(lambda info: info.state == "starting")
            os.kill(info.pid, signal.SIGKILL)
            end = await ground.over(task)
        assert (end.kind, "(SIGKILL)" in end.error, "while it was starting" in end.error) == ("failed", True, True)

    async def test_a_kill_while_idle_costs_no_task(self, play: Any) -> None:
        async with play() as ground:
            first = await ground.run()
            os.kill(first.output["data"]["pid"], signal.SIGKILL)
            assert (await ground.run()).kind == "completed"
            assert ground.fleet.state().counters["started"] == 2

    @pytest.mark.parametrize("function", ["nap", "hold"])
    async def test_a_task_that_runs_too_long_is_cut_off(self, play: Any, function: str) -> None:
        async with play(**QUICK) as ground:
            end = await ground.run(function, timeout_seconds=0.3)
            assert end == End("timeout", error="ran longer than 0.3 s")
            assert (await ground.run()).kind == "completed"

    async def test_the_default_time_limit_counts_from_the_start_of_the_function(self, play: Any) -> None:
        async with play(default_timeout_seconds=0.5, **QUICK) as ground:
            assert (await ground.run()).kind == "completed", "though starting it takes longer"
            assert (await ground.run("nap")).kind == "timeout"

    async def test_an_app_that_takes_more_memory_than_it_may_fails(self, play: Any, desk: RecordingDesk) -> None:
        desk.memory_bytes = 1 << 30
        async with play() as ground:
            end = await ground.run("hog")
            assert (end.kind, end.error) == ("failed", "MemoryError: the app may use 1024 MiB")
            assert (await ground.run()).kind == "completed"

    # -- cancelling ------------------------------------------------------------------------------------------------

    async def test_a_cancelled_task_in_the_queue_never_runs(self, play: Any, desk: RecordingDesk) -> None:
        async with play() as ground:
            running = ground.submit("nap", seconds=0.5)
            waiting = ground.submit()
            desk.want_cancelled("t2")
            assert ground.fleet.cancel("t2")
            await ground.over(running)
            assert ground.fleet.cancel("t2") is False
            assert (await ground.run()).kind == "completed"
        assert (waiting.claims, len(waiting.ends)) == (0, 1)

    @pytest.mark.parametrize("function", ["nap", "sync_nap", "spin", "sync_count"])
    async def test_a_cancelled_function_cleans_up_and_its_worker_stays(self, play: Any, function: str) -> None:
        async with play(cancel_seconds=SECONDS) as ground:
            task = ground.submit(function)
            await ground.until(task, lambda task: "begun" in task.text())
            assert ground.fleet.cancel("t1")
            end = await ground.over(task)
            assert end.kind == "cancelled"
            assert task.text(TaskLogType.RUN) == "begun\nasked to stop\ncleaned up\n"
            assert (await ground.run()).kind == "completed"
            assert ground.fleet.state().counters["started"] == 1

    @pytest.mark.parametrize("function", ["hold", "deaf", "stubborn"])
    async def test_a_function_that_cannot_be_cancelled_is_killed(self, play: Any, function: str) -> None:
        async with play(**QUICK) as ground:
            task = ground.submit(function)
            await ground.running(task)
            ground.fleet.cancel("t1")
            end = await ground.over(task)
            assert end.kind == "cancelled"
            assert (await ground.run()).kind == "completed"

    async def test_an_app_that_acknowledges_is_given_its_time(self, play: Any) -> None:
        async with play(cancel_seconds=SECONDS) as ground:
            await ground.run("be_polite")
            task = ground.submit("blocked")
            await ground.until(task, lambda task: "begun" in task.text())
            ground.fleet.cancel(task.job.task_id)
            assert (await ground.over(task)).kind == "cancelled"
            assert "asked to stop" in task.text()
            assert ground.fleet.state().counters["killed"] == 0

    async def test_an_app_that_acknowledges_and_goes_on_is_told_then(self, play: Any) -> None:
        async with play(cancel_seconds=60, kill_seconds=SECONDS) as ground:
            await ground.run("be_polite")
            task = ground.submit("nap")
            await ground.until(task, lambda task: "begun" in task.text())
            ground.fleet.cancel(task.job.task_id, timeout_seconds=0.2)
            assert (await ground.over(task)).kind == "cancelled"
            assert task.text(TaskLogType.RUN) == "begun\nasked to stop\ncleaned up\n"
            assert ground.fleet.state().counters["killed"] == 0

    async def test_a_cancel_right_at_the_start_is_not_lost(self, play: Any) -> None:
        async with play(cancel_seconds=SECONDS) as ground:
            for number in range(1, 11):
                task = ground.submit("nap")
                await ground.running(task)
                ground.fleet.cancel(f"t{number}")
                assert (await ground.over(task)).kind == "cancelled"
            assert ground.fleet.state().counters["started"] == 1

    async def test_force_does_not_ask(self, play: Any) -> None:
        async with play(cancel_seconds=60, kill_seconds=60) as ground:
            task = ground.submit("nap")
            await ground.running(task)
            ground.fleet.cancel("t1", force=True)
            assert (await ground.over(task)).kind == "cancelled"
            assert "asked" not in task.text()

    async def test_force_after_asking_kills(self, play: Any) -> None:
        async with play(cancel_seconds=60, kill_seconds=60) as ground:
            task = ground.submit("deaf")
            await ground.until(task, lambda task: "deaf" in task.text())
            ground.fleet.cancel("t1")
            await anyio.sleep(0.1)
            assert not task.ends
            ground.fleet.cancel("t1", force=True)
            assert (await ground.over(task)).kind == "cancelled"

    async def test_a_task_is_cancelled_while_its_app_starts(self, play: Any) -> None:
        async with play() as ground:
            task = ground.submit(version="slow")
            await ground.until(task, lambda task: "slow to start" in task.text())
            ground.fleet.cancel("t1")
            assert (await ground.over(task)).kind == "cancelled"
            assert (await ground.run()).kind == "completed"

    @pytest.mark.parametrize("method", ["source", "fetch"])
    async def test_a_task_is_cancelled_while_the_platform_prepares_it(
        self, play: Any, desk: RecordingDesk, method: str
    ) -> None:
        desk.hold[method] = anyio.Event()
        async with play() as ground:
            task = ground.submit()
            await ground.until(task, lambda task: task.status is not TaskStatus.QUEUED)
            ground.fleet.cancel("t1")
            assert (await ground.over(task)).kind == "cancelled"
            desk.hold.clear()
            assert (await ground.run()).kind == "completed"

    async def test_a_task_that_the_platform_wants_cancelled_goes_no_further(
        self, play: Any, desk: RecordingDesk
    ) -> None:
        async with play() as ground:
            task = ground.submit(text="never said")
            await ground.until(task, lambda task: task.status is not TaskStatus.QUEUED)
            desk.want_cancelled("t1")
            assert (await ground.over(task)).kind == "cancelled"
            assert "never said" not in task.text()

    # -- children --------------------------------------------------------------------------------------------------

    async def test_what_an_app_starts_ends_with_its_worker(self, play: Any, tmp_path: Path) -> None:
        async with play(idle_seconds=0.1) as ground:
            end = await ground.run("breed")
            assert len(end.output["data"]["pids"]) == 4
            await all_gone(end.output["data"]["pids"])
            pids = tmp_path / "pids"
            task = ground.submit("breed", path=str(pids), seconds=600)
            bred = await written(pids)
            assert all(is_there(pid) for pid in bred)
            os.kill(bred[0], signal.SIGKILL)
            await ground.over(task)
            await all_gone(bred)

    async def test_leaving_the_fleet_ends_everything_that_runs(self, play: Any, tmp_path: Path) -> None:
        pids = tmp_path / "pids"
        async with play(2, **QUICK) as ground:
            busy = ground.submit("breed", path=str(pids), seconds=600)
            bred = await written(pids)
            starting = ground.submit(version="slow")
            await ground.until(starting, lambda task: "slow to start" in task.text())
            waiting = ground.submit()
        await all_gone(bred)
        assert (busy.end.kind, starting.end.kind) == ("lost", "lost")
        assert "the server stopped while the task was running" in busy.end.error
        assert (waiting.ends, waiting.claims) == ([], 0)

    async def test_a_fleet_that_is_cancelled_from_outside_leaves_nothing(self, play: Any, tmp_path: Path) -> None:
        pids = tmp_path / "pids"
        task: Told | None = None
        with anyio.CancelScope() as scope:
            async with play(**QUICK) as ground:
                task = ground.submit("breed", path=str(pids), seconds=600)
                bred = await written(pids)
                scope.cancel()
                await anyio.sleep(60)
        await all_gone(bred)
        assert task is not None
        assert task.end.kind == "lost"

    async def test_an_exception_of_the_body_comes_out_bare(self, play: Any) -> None:
        with pytest.raises(KeyError):
            async with play() as ground:
                await ground.run()
                raise KeyError("mine")

    @pytest.mark.parametrize("in_session", [False, True])
    async def test_a_fleet_is_left_in_silence(
        self, play: Any, in_session: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with play(2) as ground:
            ground.fleet.lease("s1")
            pids = [(await ground.run(session_id="s1" if in_session else None)).output["data"]["pid"]]
            pids.append((await ground.run(version="other")).output["data"]["pid"])
        await all_gone(pids)
        assert [record.getMessage() for record in caplog.records if record.levelname != "DEBUG"] == []

    async def test_whatever_goes_wrong_on_leaving_it_does_not_hang_and_leaves_nothing(
        self, make_fleet: MakeFleet, desk: RecordingDesk, marker: str
    ) -> None:
        fleet = make_fleet(2, kill_seconds="soon")  # which nothing can wait for
        with anyio.fail_after(SECONDS), pytest.raises(ExceptionGroup) as caught:
            async with fleet.run(desk):
                ground = Playground(fleet, desk)
                await ground.run()
                deaf = ground.submit("deaf", version="other")
                await ground.until(deaf, lambda task: "deaf" in task.text())
        assert caught.group_contains(TypeError)
        assert marked(marker) == []
        assert not list(fleet.state().workers)

    # -- sessions --------------------------------------------------------------------------------------------------

    async def test_a_session_has_a_process_of_its_own(self, play: Any) -> None:
        async with play(2) as ground:
            stranger = await ground.run(text="before")
            assert ground.fleet.lease("s1")
            first = await ground.run(text="one", session_id="s1")
            second = await ground.run(text="two", session_id="s1")
            other = await ground.run(text="three")
        pid = first.output["data"]["pid"]
        assert pid == second.output["data"]["pid"]
        assert pid not in (stranger.output["data"]["pid"], other.output["data"]["pid"])
        assert (first.output["number"], second.output["number"]) == (1, 2)

    async def test_as_many_sessions_as_workers(self, play: Any) -> None:
        async with play(2) as ground:
            assert [ground.fleet.lease(name) for name in ("s1", "s2", "s3", "s1")] == [True, True, False, True]
            ground.fleet.release("s1")
            assert ground.fleet.lease("s3")

    async def test_a_released_session_finishes_its_call_and_its_process_ends(self, play: Any) -> None:
        async with play() as ground:
            ground.fleet.lease("s1")
            pid = (await ground.run(session_id="s1")).output["data"]["pid"]
            task = ground.submit("nap", seconds=0.3, session_id="s1")
            await ground.running(task)
            ground.fleet.release("s1")
            assert (await ground.over(task)).kind == "completed"
            await all_gone([pid])
            assert (await ground.run()).output["data"]["pid"] != pid
            assert ground.desk.lost == {}

    async def test_an_idle_session_is_not_ended_by_the_fleet(self, play: Any) -> None:
        async with play(idle_seconds=0.05) as ground:
            ground.fleet.lease("s1")
            first = await ground.run(session_id="s1")
            await anyio.sleep(0.3)
            assert (await ground.run(session_id="s1")).output["data"]["pid"] == first.output["data"]["pid"]

    @pytest.mark.parametrize("when", ["idle", "running"])
    async def test_a_session_whose_worker_dies_is_lost_and_its_calls_fail(self, play: Any, when: str) -> None:
        async with play() as ground:
            ground.fleet.lease("s1")
            pid = (await ground.run(session_id="s1")).output["data"]["pid"]
            running = ground.submit("nap", session_id="s1") if when == "running" else None
            if running:
                await ground.running(running)
            os.kill(pid, signal.SIGKILL)
            with anyio.fail_after(SECONDS):
                await ground.desk.lost_news.wait()
            assert "(SIGKILL)" in ground.desk.lost["s1"]
            assert running is None or running.end.kind == "lost"
            late = await ground.run(session_id="s1")
            assert (late.kind, late.error) == ("failed", "the session's worker is gone")
            assert (await ground.run()).kind == "completed"

    async def test_a_session_waits_for_a_worker_that_is_busy(self, play: Any) -> None:
        async with play() as ground:
            busy = ground.submit("nap", seconds=0.3)
            await ground.running(busy)
            assert ground.fleet.lease("s1")
            assert (await ground.run(session_id="s1")).kind == "completed"

    # -- an unreliable platform ------------------------------------------------------------------------------------

    @pytest.mark.parametrize("method", ["claim", "source", "fetch", "moved", "keep", "produced", "ended"])
    async def test_a_store_that_fails_for_a_while_loses_nothing(
        self, play: Any, desk: RecordingDesk, method: str
    ) -> None:
        failures = [0]

        def fail_twice(called: str, task_id: str) -> None:
            if called == method and failures[0] < 2:
                failures[0] += 1
                raise OSError("disk full")

        desk.trouble = fail_twice
        async with play() as ground:
            task = ground.submit("write_many", count=1)
            end = await ground.over(task)
        assert (failures, end.kind, task.claims, len(task.ends)) == ([2], "completed", 1, 1)

    async def test_a_task_submitted_twice_runs_once(self, play: Any) -> None:
        async with play(2) as ground:
            task = ground.submit("nap", seconds=0.2)
            ground.fleet.submit(ticket(task))
            await ground.running(task)
            ground.fleet.submit(ticket(task))
            await ground.over(task)
            await ground.run()
        assert (task.claims, len(task.ends)) == (1, 1)

    async def test_a_task_that_is_queued_again_as_it_ends_is_run_again(self, play: Any, desk: RecordingDesk) -> None:
        async with play() as ground:
            task = ground.submit("vanish")

            async def ended(task_id: str, end: End) -> None:
                if task.claims < 3:
                    task.status = TaskStatus.QUEUED
                    ground.fleet.submit(ticket(task))
                else:
                    await RecordingDesk.ended(desk, task_id, end)

            desk.ended = ended  # type: ignore[method-assign]  # a platform that runs an idempotent task again
            await ground.over(task)
        assert task.claims == 3

    # -- many ------------------------------------------------------------------------------------------------------

    @pytest.mark.timeout(120)
    async def test_two_hundred_tasks_end_once_each_whatever_is_killed(self, play: Any, desk: RecordingDesk) -> None:
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        before = open_files()
        async with play(4, **QUICK) as ground:
            tasks = [
                ground.submit(
                    chance.choice(["run", "run", "nap", "count"]),
                    version="obedient",
                    lane=f"lane-{chance.randrange(5)}",
                    seconds=0.005,
                    count=3,
                )
                for _ in range(200)
            ]
            async with anyio.create_task_group() as group:
                group.start_soon(self._kill_some, ground, chance, 15)
                with anyio.fail_after(90):
                    for task in tasks:
                        await task.over.wait()
                group.cancel_scope.cancel()
            counters = ground.fleet.state().counters
        assert all(len(task.ends) == 1 and task.claims == 1 for task in tasks)
        kinds = {task.end.kind for task in tasks}
        assert kinds <= {"completed", "lost", "failed"}
        assert sum(task.end.kind == "completed" for task in tasks) >= 200 - counters["started"]
        assert open_files() <= before + 1

    async def _kill_some(self, ground: Playground, chance: random.Random, count: int) -> None:
        for _ in range(count):
            await anyio.sleep(chance.uniform(0.05, 0.5))
            pids = [info.pid for info in ground.fleet.state().workers if info.pid]
            if pids:
                try:
                    os.kill(chance.choice(pids), signal.SIGKILL)
                except ProcessLookupError:
                    continue
