"""A call ends once, and a run never waits for what nobody will do: outages, questions, limits, siblings."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest

from agentkit.errors import StoreError
from agentkit.runtime.budgets import Limits
from agentkit.runtime.bus.local import LocalBus
from agentkit.runtime.engine.local import LocalEngine
from agentkit.runtime.executors import Elsewhere, Execution, Produced, ToolDesk, ToolFailure
from agentkit.runtime.faults import Fault
from agentkit.runtime.models.registry import Models
from agentkit.runtime.platform import Platform
from agentkit.runtime.ports import Writing
from agentkit.runtime.store.blobs import Blobs
from agentkit.runtime.store.sqlite import SqliteStore
from agentkit.testing import Scripted, call
from agentkit.wire import InterruptReason, ResolveInterrupt
from tests.runtime.bench_executor import BenchExecutor, bench_tool
from tests.runtime.playing import ADA, OWNER, Play, invocations, playing

pytestmark = pytest.mark.heavy

T = TypeVar("T")
Results = list[tuple[str, str]]


def works(*does: str) -> list[Any]:
    """What a model asks for in one message."""
    return [call("work", {"do": do, "n": number}) for number, do in enumerate(does)]


async def results(play: Play) -> Results:
    """Status and result of every call, once the run is over."""
    return [(each["status"], each["result"]) for each in invocations(await play.idle())]


async def resolve(play: Play, interrupt_id: str, **body: Any) -> None:
    await play.platform.approvals.resolve(OWNER, interrupt_id, ResolveInterrupt.parse(body), by=ADA)


async def asked(play: Play, count: int) -> list[dict[str, Any]]:
    """The questions of the chat, once there are so many and the run waits for them."""
    chat = await play.until(lambda chat: len(chat["pending_interrupts"]) == count and chat["status"] != "busy")
    found: list[dict[str, Any]] = chat["pending_interrupts"]
    return found


# -- outages of the database -----------------------------------------------------------------------------------------


class Outage(SqliteStore):
    """A store whose next writes fail once `failures` says so."""

    failures = 0

    async def write(self, change: Callable[[Writing], T]) -> T:
        if self.failures:
            self.failures -= 1
            raise StoreError("the disk is full")
        return await super().write(change)


@asynccontextmanager
async def failing(bench: BenchExecutor, store: Outage, *steps: Any, **tool: Any) -> AsyncGenerator[Play]:
    model = Scripted(list(steps))
    models: Any = Models(environ={}, providers={"scripted": model})
    async with Platform(
        store=store,
        engine=LocalEngine(),
        bus=LocalBus(),
        models=models,
        blobs=Blobs(None),
        executors=[bench],
        limits=Limits(result_chars=50),
    ) as platform:
        yield Play(platform, model, {"core_app": {"ref": "scripted/model"}, "tools": [bench_tool(**tool)]})


@pytest.mark.parametrize("failures", [1, 2])
async def test_a_large_result_outlives_an_outage_while_its_file_is_kept(failures: int) -> None:
    store = Outage(synchronous="OFF")

    async def talk(call: Execution, desk: ToolDesk) -> Produced:
        store.failures = failures
        return Produced("0123456789" * 100)

    bench = BenchExecutor(talk=talk)
    async with failing(bench, store, works("talk"), "ok") as play:
        await play.say()
        (made,) = invocations(await play.idle())
        assert made["status"] == "completed"
        assert made["result"].count("[characters 0 to 50 of 1000;") == 1
        (file,) = made["attachments"]
        found = await play.platform.files.read_uri(file["uri"])
        assert found is not None and found[0] == b"0123456789" * 100
        assert len(bench.calls) == 1


async def test_a_large_result_is_cut_once_though_the_end_could_not_be_saved_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agentkit.runtime.held.SAVE_PAUSES", (0.0,) * 4)
    store = Outage(synchronous="OFF")
    whole = store.write

    async def talk(call: Execution, desk: ToolDesk) -> Produced:
        writes = [0]

        async def write(change: Any) -> Any:  # the file is kept, then five times the end is not
            writes[0] += 1
            if 2 <= writes[0] <= 6:
                raise StoreError("the disk is full")
            return await whole(change)

        store.write = write  # type: ignore[method-assign]  # this store's next writes, from now on
        return Produced("0123456789" * 100)

    bench = BenchExecutor(talk=talk)
    async with failing(bench, store, works("talk"), "ok") as play:
        await play.say()
        (made,) = invocations(await play.idle())
        assert made["result"].count("[characters 0 to") == 1
        (file,) = made["attachments"]
        found = await play.platform.files.read_uri(file["uri"])
        assert found is not None and found[0] == b"0123456789" * 100
        assert len(bench.calls) == 1


def unkeepable_text() -> Any:
    return Produced("half a pair: \ud800")


def unkeepable_data() -> Any:
    return Produced("fine", data={"a": object()})


def unstartable() -> Any:
    def start(work: Any, invocation: Any) -> Any:
        raise Fault("not_found", "it went away meanwhile")

    return Elsewhere(start)


@pytest.mark.parametrize("what", [unkeepable_text, unkeepable_data, unstartable])
async def test_what_cannot_be_kept_ends_the_call_and_is_not_done_again(what: Callable[[], Any]) -> None:
    async def odd(call: Execution, desk: ToolDesk) -> Any:
        return what()

    bench = BenchExecutor(odd=odd, idempotent=True)
    async with playing(works("odd"), "ok", executors=[bench], tools=[bench_tool()]) as play:
        await play.say()
        ((status, told),) = await results(play)
        assert status == "failed" and "unknown outcome" not in told
        assert len(bench.calls) == 1


# -- questions -------------------------------------------------------------------------------------------------------


async def test_two_questions_at_a_time_leave_the_timeout_as_it_was() -> None:
    async def twice(call: Execution, desk: ToolDesk) -> Produced:
        async with anyio.create_task_group() as group:
            for name in ("a", "b"):

                async def ask(name: str = name) -> None:
                    await desk.ask(call, InterruptReason.CONFIRMATION, {"message": name}, schema=None)

                group.start_soon(ask)
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    bench = BenchExecutor(twice=twice)
    async with playing(works("twice"), "ok", executors=[bench], tools=[bench_tool(timeout=1)]) as play:
        await play.say()
        first, second = await asked(play, 2)
        await resolve(play, first["id"], decision="allow")
        await anyio.sleep(1.2)  # longer than the timeout: the other question is still open
        assert [each["id"] for each in (await play.chat())["pending_interrupts"]] == [second["id"]]
        await resolve(play, second["id"], decision="allow")
        assert await results(play) == [("failed", "no answer within 1 s")]


async def test_a_question_that_its_tool_gave_up_is_not_asked_any_more() -> None:
    seen, answered = anyio.Event(), anyio.Event()

    async def impatient(call: Execution, desk: ToolDesk) -> Produced:
        async with anyio.create_task_group() as group:
            group.start_soon(partial(desk.ask, call, InterruptReason.CONFIRMATION, {"message": "?"}, schema=None))
            await seen.wait()
            group.cancel_scope.cancel()
        await answered.wait()
        return Produced("went on alone")

    bench = BenchExecutor(impatient=impatient)
    async with playing(works("impatient"), "ok", executors=[bench], tools=[bench_tool()]) as play:
        await play.say()
        await asked(play, 1)
        seen.set()
        chat = await play.until(lambda chat: not chat["pending_interrupts"])
        assert (chat["status"], chat["active_run"]["state"]) == ("busy", "working")
        answered.set()
        assert await results(play) == [("completed", "went on alone")]


async def test_what_a_call_asked_before_a_crash_is_not_asked_twice_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(call: Execution, desk: ToolDesk) -> Produced:
        said = await desk.ask(call, InterruptReason.CONFIRMATION, {"message": "?"}, schema=None)
        return Produced(f"{said.is_allowed} at {call.attempt}")

    db, tool = tmp_path / "chats.db", bench_tool(idempotent=True)
    async with playing(works("ask"), "never", db=db, executors=[BenchExecutor(ask=ask)], tools=[tool]) as play:
        await play.say()
        (before,) = await asked(play, 1)
        chat_id, config = play.chat_id, play.config
        killed: Any = play.platform._store  # pyright: ignore[reportPrivateUsage]

        async def nothing(change: Any) -> Any:
            raise StoreError("killed")

        monkeypatch.setattr(killed, "write", nothing)  # what is left undone by a kill
    async with playing("told", db=db, executors=[BenchExecutor(ask=ask)]) as play:
        play.chat_id, play.config = chat_id, config
        await play.until(lambda chat: before["id"] not in [each["id"] for each in chat["pending_interrupts"]])
        (again,) = await asked(play, 1)
        await resolve(play, again["id"], decision="allow")
        assert await results(play) == [("completed", "True at 2")]


# -- limits ----------------------------------------------------------------------------------------------------------


async def test_one_answer_cannot_ask_for_more_calls_than_the_run_may_make() -> None:
    bench = BenchExecutor()
    steps = works("a", "b", "c", "d", "e")
    async with playing(steps, "ok", executors=[bench], tools=[bench_tool()], limits=Limits(tool_calls=3)) as play:
        await play.say()
        chat = await play.idle()
        assert [each["status"] for each in invocations(chat)] == ["completed"] * 3 + ["failed"] * 2
        assert len(bench.calls) == 3


@pytest.mark.parametrize("turns", [2, 4])
async def test_sub_agents_side_by_side_keep_to_the_limit_of_model_calls(turns: int) -> None:
    asks = [call("ask", {"message": f"number {number}"}) for number in range(6)]
    scripts = {"model": [asks, "done"], "child": ["answer"] * 6}
    config = {"core_app": {"ref": "scripted/child"}, "name": "helper"}
    tool = {"name": "ask", "type": "agent", "agent": {"config": config}}
    async with playing(scripts=scripts, tools=[tool], limits=Limits(turns=turns)) as play:
        await play.say()
        await play.idle()
        assert len(play.model.requests) == turns


# -- siblings --------------------------------------------------------------------------------------------------------


async def test_a_sub_agent_in_line_begins_though_the_one_before_it_has_yet_to_hand_in_a_large_answer() -> None:
    """The first is over, but its answer is being made a file: it takes nobody's place any more."""
    release = anyio.Event()
    config = {"core_app": {"ref": "scripted/child"}, "name": "helper"}
    ask = {"name": "ask", "type": "agent", "agent": {"config": config}}
    asks = [call("ask", {"message": "first"}), call("ask", {"message": "second"})]
    scripts = {"model": [asks, "done"], "child": ["x" * 100, "y"]}
    limits = Limits(result_chars=20, parallel_tools=1)
    async with playing(scripts=scripts, tools=[ask], limits=limits) as play:
        platform: Any = play.platform
        bind, hand_in = platform._binder.bind, platform._advances["child"]
        seen: list[str] = []

        async def late(config: Any, *, owner: str) -> Any:
            if config.name == "helper":
                seen.append(config.name)
                if len(seen) == 3:  # with the message, for the first call, and now for the second
                    await release.wait()
            return await bind(config, owner=owner)

        async def held_back(run_id: str) -> None:
            release.set()
            await anyio.sleep(0.2)
            await hand_in(run_id)

        platform._binder.bind = late
        platform._advances = {**platform._advances, "child": held_back}
        await play.say()
        assert [status for status, _ in await results(play)] == ["completed", "completed"]


async def test_the_same_calls_of_one_answer_are_refused_from_the_tenth_on_whoever_is_asked_before() -> None:
    from tests.runtime.hooks.listening import LOOPBACK, hook, listening

    bench = BenchExecutor()
    steps = [call("work", {"do": "sweep"}) for _ in range(11)]
    with listening() as listener:
        async with playing(
            steps,
            "ok",
            executors=[bench],
            tools=[bench_tool()],
            hooks=[hook("agent.tool_call", listener)],
            allow_hosts=LOOPBACK,
        ) as play:
            await play.say()
            assert [status for status, _ in await results(play)] == ["completed"] * 10 + ["failed"]


async def test_a_binder_that_breaks_leaves_the_chat_the_tools_it_has() -> None:
    class Changing(BenchExecutor):
        bound = 0

        async def bind(self, tool: Any, *, owner: str) -> Any:
            self.bound += 1
            if self.bound > 1:
                raise RuntimeError("a bug in the listing")
            return [tool]

        def is_stale(self, tool: Any) -> bool:
            return self.bound > 0

    bench = Changing()
    async with playing(works("sweep"), "ok", executors=[bench], tools=[bench_tool()]) as play:
        await play.say()
        assert await results(play) == [("completed", "did sweep")]


async def test_a_failure_raised_while_tools_are_bound_anew_is_none_of_the_chat() -> None:
    class Failing(BenchExecutor):
        bound = 0

        async def bind(self, tool: Any, *, owner: str) -> Any:
            self.bound += 1
            if self.bound > 1:
                raise ToolFailure("not now")
            return [tool]

        def is_stale(self, tool: Any) -> bool:
            return True

    async with playing(works("sweep"), "ok", executors=[Failing()], tools=[bench_tool()]) as play:
        await play.say()
        assert await results(play) == [("completed", "did sweep")]
