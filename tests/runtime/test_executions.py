"""Calls of server-side tools: carried out once, ended once, whatever they do."""

from __future__ import annotations

from typing import Any, TypeVar

import anyio
import pytest

from agentkit.runtime.budgets import Limits
from agentkit.runtime.executors import Execution, Produced, ToolDesk, ToolFailure, ToolFile
from agentkit.testing import call
from agentkit.wire import Decide, InterruptReason, ResolveInterrupt
from tests.runtime.bench_executor import BenchExecutor, bench_tool
from tests.runtime.playing import ADA, OWNER, Play, invocations, playing, texts

T = TypeVar("T")


def works(*does: str, **tool: Any) -> list[Any]:
    """What a model asks for in one message."""
    return [call("work", {"do": do, "n": number}) for number, do in enumerate(does)]


async def results(play: Play) -> list[tuple[str, str]]:
    """Status and result of every call, once the run is over."""
    return [(each["status"], each["result"]) for each in invocations(await play.idle())]


async def test_a_call_is_carried_out_and_its_result_goes_to_the_model() -> None:
    bench = BenchExecutor()
    async with playing(works("sweep"), "swept", executors=[bench], tools=[bench_tool()]) as play:
        await play.say()
        chat = await play.idle()
        assert texts(chat) == ["", "swept"]
        assert [each["status"] for each in invocations(chat)] == ["completed"]
        assert play.model.requests[1].messages[-1].text == "did sweep"
        (carried,) = bench.calls
        assert (carried.attempt, carried.owner, carried.tool.name) == (1, OWNER, "work")
        assert carried.idempotency_key.startswith(carried.invocation_id)


@pytest.mark.requirement("tool:siblings")
async def test_siblings_go_on_side_by_side_up_to_the_cap_and_a_failure_touches_no_other() -> None:
    together = anyio.Semaphore(0)

    async def meet(call: Execution, desk: ToolDesk) -> Produced:
        together.release()
        with anyio.fail_after(5):
            while together.value < 3:
                await anyio.sleep(0.001)
        return Produced("met")

    bench = BenchExecutor(meet=meet)
    steps = works("meet", "fail", "meet", "break", "meet", "sweep")
    async with playing(steps, "done", executors=[bench], tools=[bench_tool()], limits=Limits(parallel_tools=3)) as play:
        await play.say()
        assert await results(play) == [
            ("completed", "met"),
            ("failed", "the shelf is empty"),
            ("completed", "met"),
            ("failed", "internal error in the tool; the server's log says more"),
            ("completed", "met"),
            ("completed", "did sweep"),
        ]
        assert bench.most == 3


@pytest.mark.requirement("tool:arguments-first")
async def test_what_misses_the_schema_is_not_carried_out() -> None:
    bench = BenchExecutor()
    async with playing([call("work", {"n": "x"})], "ok", executors=[bench], tools=[bench_tool()]) as play:
        await play.say()
        ((status, told),) = await results(play)
        assert status == "failed" and "'do' is a required property" in told and "n:" in told
        assert bench.calls == []


async def test_an_approval_comes_first_and_edited_arguments_count() -> None:
    bench = BenchExecutor()
    async with playing(works("burn"), "ok", executors=[bench], tools=[bench_tool(require_approval=True)]) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_approval")
        assert bench.calls == []
        body = Decide.parse({"arguments": {"do": "sweep"}})
        await play.platform.approvals.invoke(OWNER, waiting["id"], body, by=ADA)
        assert await results(play) == [("completed", "did sweep")]
        assert [each.arguments for each in bench.calls] == [{"do": "sweep"}]


@pytest.mark.requirement("tool:timeout")
async def test_a_call_that_takes_too_long_fails_and_is_cancelled() -> None:
    bench = BenchExecutor()
    async with playing(works("hang"), "ok", executors=[bench], tools=[bench_tool(timeout=0.05)]) as play:
        await play.say()
        assert await results(play) == [("failed", "no answer within 0.05 s")]
        assert bench.now == 0


async def test_stopping_the_chat_cancels_what_is_carried_out() -> None:
    begun = anyio.Event()

    async def wait(call: Execution, desk: ToolDesk) -> Produced:
        begun.set()
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    bench = BenchExecutor(wait=wait)
    async with playing(works("wait", "hang"), "never", executors=[bench], tools=[bench_tool()]) as play:
        await play.say()
        with anyio.fail_after(5):
            await begun.wait()
        await play.platform.chats.stop(OWNER, str(play.chat_id))
        assert [each["status"] for each in invocations(await play.idle())] == ["cancelled", "cancelled"]
        with anyio.fail_after(5):
            while bench.now:
                await anyio.sleep(0.001)


# -- trying again ----------------------------------------------------------------------------------------------------


def flaky(failures: int, **failure: Any) -> Any:
    """A way that fails so often before it works."""
    left = [failures]

    async def way(call: Execution, desk: ToolDesk) -> Produced:
        if left[0]:
            left[0] -= 1
            raise ToolFailure("busy", is_transient=True, **failure)
        return Produced(f"worked at {call.attempt}")

    return way


@pytest.mark.requirement("tool:retry-idempotent")
@pytest.mark.parametrize(
    ("tool", "failure", "attempts"),
    [
        pytest.param({}, {}, 1, id="not-idempotent"),
        pytest.param({"idempotent": True}, {}, 2, id="idempotent"),
        pytest.param({}, {"had_effect": False}, 2, id="nothing-happened"),
        pytest.param({"idempotent": True, "retries": 0}, {}, 1, id="no-retries"),
        pytest.param({"idempotent": True}, {"retry_after_seconds": 3600}, 1, id="too-long-to-wait"),
    ],
)
async def test_what_may_be_tried_again(tool: dict[str, Any], failure: dict[str, Any], attempts: int) -> None:
    bench = BenchExecutor(flaky=flaky(1, **failure))
    async with playing(works("flaky"), "ok", executors=[bench], tools=[bench_tool(**tool)]) as play:
        await play.say()
        ((status, told),) = await results(play)
        assert (status, told) == (("completed", "worked at 2") if attempts == 2 else ("failed", "busy"))
        assert len(bench.calls) == attempts
        assert len({each.idempotency_key for each in bench.calls}) == 1


# -- large, many, again ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("tool:result-cap")
async def test_a_large_result_is_cut_and_its_whole_is_a_file() -> None:
    async def talk(call: Execution, desk: ToolDesk) -> Produced:
        return Produced("0123456789" * 100, data={"much": "x" * 100_000})

    bench = BenchExecutor(talk=talk)
    limits = Limits(result_chars=50)
    async with playing(works("talk"), "ok", executors=[bench], tools=[bench_tool()], limits=limits) as play:
        await play.say()
        (made,) = invocations(await play.idle())
        assert made["result"].startswith("0123456789" * 5 + "\n\n[characters 0 to 50 of 1000;")
        assert f'id="{made["id"]}"' in made["result"] and made["data"] is None
        (file,) = made["attachments"]
        found = await play.platform.files.read_uri(file["uri"])
        assert found is not None and found[0] == b"0123456789" * 100


async def test_images_of_a_result_are_shown_to_the_model_and_files_are_named() -> None:
    async def draw(call: Execution, desk: ToolDesk) -> Produced:
        image = await desk.keep(call.owner, b"\x89PNG", filename="a.png", content_type="image/png")
        return Produced("drawn", files=[image, ToolFile("https://example.com/a.pdf", "application/pdf", "a.pdf")])

    bench = BenchExecutor(draw=draw)
    async with playing(works("draw"), "ok", executors=[bench], tools=[bench_tool()]) as play:
        await play.say()
        await play.idle()
        told = play.model.requests[1].messages[-1]
        assert told.text == "drawn\n[file a.pdf application/pdf: https://example.com/a.pdf]"
        assert [uri[:22] for uri in told.images] == ["data:image/png;base64,"]


@pytest.mark.requirement("tool:repeats")
async def test_the_same_call_again_and_again_is_noticed_and_then_refused() -> None:
    bench = BenchExecutor()
    steps = [[call("work", {"do": "sweep"})] for _ in range(11)]
    async with playing(*steps, "ok", executors=[bench], tools=[bench_tool()]) as play:
        await play.say()
        assert "made 10 times already" in (await results(play))[10][1]
        told = [each.text for each in play.model.requests[-1].messages if each.role == "tool"]
        assert told[:2] == ["did sweep", "did sweep"]
        assert "3 times in this run, with the same result" in told[2]
        assert len(bench.calls) == 10


@pytest.mark.requirement("tool:budget")
async def test_tool_calls_have_a_budget() -> None:
    steps = [works("a", "b", "c"), works("d", "e", "f"), "never"]
    bench = BenchExecutor()
    async with playing(*steps, executors=[bench], tools=[bench_tool()], limits=Limits(tool_calls=5)) as play:
        await play.say()
        chat = await play.idle()
        assert chat["active_run"]["state"] == "failed"
        assert chat["active_run"]["error"] == "the run asked for 6 tool calls; the limit is 5"


# -- asking while it runs --------------------------------------------------------------------------------------------


async def question(call: Execution, desk: ToolDesk) -> Produced:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    answered = await desk.ask(call, InterruptReason.CONFIRMATION, {"message": "Who?"}, schema=schema)
    return Produced(f"{answered.is_allowed} {answered.data} {answered.note}")


@pytest.mark.requirement("tool:asks-a-person")
async def test_a_tool_asks_a_person_and_its_timeout_stands_still() -> None:
    bench = BenchExecutor(ask=question)
    async with playing(works("ask"), "ok", executors=[bench], tools=[bench_tool(timeout=1)]) as play:
        await play.say()
        chat = await play.until(lambda chat: chat["status"] == "awaiting_input")
        (asked,) = chat["pending_interrupts"]
        assert (asked["reason"], asked["meta"]["message"]) == ("confirmation", "Who?")
        await anyio.sleep(1.2)  # longer than the timeout
        with pytest.raises(Exception, match="does not fit"):
            await resolve(play, asked["id"], decision="allow", data={"name": 7})
        await resolve(play, asked["id"], decision="allow", data={"name": "Ada"}, note="hm")
        assert await results(play) == [("completed", "True {'name': 'Ada'} hm")]


async def test_a_question_that_is_denied_or_whose_chat_is_stopped() -> None:
    bench = BenchExecutor(ask=question)
    async with playing(works("ask"), works("ask"), "ok", executors=[bench], tools=[bench_tool()]) as play:
        await play.say()
        chat = await play.until(lambda chat: chat["status"] == "awaiting_input")
        await resolve(play, chat["pending_interrupts"][0]["id"], decision="deny", note="no")
        await play.until(lambda chat: len(invocations(chat)) == 2 and chat["status"] == "awaiting_input")
        await play.platform.chats.stop(OWNER, str(play.chat_id))
        chat = await play.idle()
        assert [each["status"] for each in invocations(chat)] == ["completed", "cancelled"]
        assert invocations(chat)[0]["result"] == "False None no"
        assert chat["pending_interrupts"] == []


async def resolve(play: Play, interrupt_id: str, **body: Any) -> None:
    await play.platform.approvals.resolve(OWNER, interrupt_id, ResolveInterrupt.parse(body), by=ADA)


async def test_a_tool_asks_the_model_on_the_budget_of_the_run() -> None:
    from agentkit.runtime.ports import ModelMessage, ModelRequest

    async def sample(call: Execution, desk: ToolDesk) -> Produced:
        request = ModelRequest("", "Be brief.", [ModelMessage("user", "two and two?")])
        return Produced(await desk.sample(call, request))

    bench = BenchExecutor(sample=sample)
    async with playing(works("sample"), "four", "ok", executors=[bench], tools=[bench_tool()]) as play:
        await play.say()
        assert await results(play) == [("completed", "four")]
        assert play.model.requests[1].messages[0].text == "two and two?"
    async with playing(
        works("sample"), "four", "ok", executors=[bench], tools=[bench_tool()], limits=Limits(turns=2)
    ) as play:
        await play.say()
        chat = await play.idle()
        assert chat["active_run"]["error"] == "the run and its sub-agents asked the model 2 times, which is the limit"


async def test_progress_is_told_live() -> None:
    async def slowly(call: Execution, desk: ToolDesk) -> Produced:
        await desk.progress(call, "half", progress=1, total=2)
        return Produced("done")

    bench = BenchExecutor(slowly=slowly)
    async with playing("hello", works("slowly"), "ok", executors=[bench], tools=[bench_tool()]) as play:
        await play.say()
        await play.idle()
        frames = await play.platform.chats.watch(OWNER, str(play.chat_id))
        told: list[Any] = []
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                async for frame in frames:
                    if frame.name == "tool_progress":
                        told.append(frame.data)
                    if frame.name == "chats" and frame.data["status"] == "idle" and told:
                        await frames.aclose()
                        return

            group.start_soon(watch)
            await play.say()
        ((made,),) = (told,)
        assert (made["message"], made["progress"], made["total"]) == ("half", 1, 2)


# -- crashes -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("tool:unknown-outcome")
@pytest.mark.parametrize("idempotent", [False, True], ids=["once", "idempotent"])
async def test_a_call_that_the_runtime_died_in_is_asked_about_or_tried_again(tmp_path: Any, idempotent: bool) -> None:
    """Closing without an end is what a kill leaves: the row says that a process has the call, which is gone."""
    db = tmp_path / "chats.db"
    begun = anyio.Event()

    async def wait(call: Execution, desk: ToolDesk) -> Produced:
        begun.set()
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    async def swift(call: Execution, desk: ToolDesk) -> Produced:
        return Produced(f"at {call.attempt}")

    tool = bench_tool(idempotent=idempotent)
    async with playing(works("wait"), "never", db=db, executors=[BenchExecutor(wait=wait)], tools=[tool]) as play:
        await play.say()
        with anyio.fail_after(5):
            await begun.wait()
        chat_id, config = play.chat_id, play.config
    again = BenchExecutor(wait=swift)
    async with playing("told", db=db, executors=[again]) as play:
        play.chat_id, play.config = chat_id, config
        if not idempotent:
            (asked,) = (await play.until(lambda chat: chat["pending_interrupts"]))["pending_interrupts"]
            await resolve(play, asked["id"], decision="deny")
        ((status, told),) = await results(play)
        if idempotent:
            assert (status, told) == ("completed", "at 2")
        else:
            assert status == "cancelled" and told.startswith("unknown outcome") and again.calls == []
        assert [each.text for each in play.model.requests[0].messages if each.role == "tool"] == [told]


async def test_a_result_is_held_until_the_database_takes_it() -> None:
    from agentkit.runtime.bus.local import LocalBus
    from agentkit.runtime.engine.local import LocalEngine
    from agentkit.runtime.models.registry import Models
    from agentkit.runtime.platform import Platform
    from agentkit.runtime.store.blobs import Blobs
    from agentkit.testing import Scripted
    from tests.runtime.test_store_outage import FailingStore

    store = FailingStore(synchronous="OFF")

    async def outage(call: Execution, desk: ToolDesk) -> Produced:
        store.failures = 2
        return Produced("paid once")

    bench, model = BenchExecutor(outage=outage), Scripted([works("outage"), "ok"])
    models: Any = Models(environ={}, providers={"scripted": model})
    async with Platform(
        store=store, engine=LocalEngine(), bus=LocalBus(), models=models, blobs=Blobs(None), executors=[bench]
    ) as platform:
        play = Play(platform, model, {"core_app": {"ref": "scripted/model"}, "tools": [bench_tool()]})
        await play.say()
        assert await results(play) == [("completed", "paid once")]
        assert (len(bench.calls), store.failures) == (1, 0)
