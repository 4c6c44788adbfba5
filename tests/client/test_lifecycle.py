"""How a turn is left, stopped, reset and shared: what goes on then, and what must not be left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from agentkit import Runtime, UsageError, string, tool
from agentkit.errors import RunCanceledError
from agentkit.testing import Scripted, Signal, call, gate
from tests.client.conftest import Home
from tests.client.hostile import Request, Wire, accepted, chat, event, hostile, message
from tests.client.ways import AGENT, client_of, desk, follow, play
from tests.runtime.serving import served


def stay(text: str = "go") -> Any:
    """A tool that waits for a person."""
    return tool("pay").describe("Pays").require_approval().handler(lambda args: text)


# -- leaving -------------------------------------------------------------------------------------------------------


def is_at_work(event: Any) -> bool:
    return event.kind == "run_started"


@pytest.mark.requirement("turn:leave-is-not-stop")
def test_a_turn_left_by_break_goes_on_and_can_be_taken_up(home: Home) -> None:
    wait = gate()
    agent = home(["One. ", wait, "Two."]).agent()
    with agent.stream("go") as turn:
        for event in turn:
            if is_at_work(event):
                break
    wait.open()
    assert agent.resume().text() == "One. Two."


@pytest.mark.requirement("turn:leave-is-not-stop")
def test_a_turn_left_by_an_exception_in_a_callback_goes_on(home: Home) -> None:
    wait = gate()
    agent = home(["One. ", wait, "Two."]).agent()

    def fail(event: Any) -> None:
        if is_at_work(event):
            raise ZeroDivisionError("in the callback")

    with pytest.raises(ZeroDivisionError, match="in the callback"):
        agent.send_message("go", on_event=fail)
    wait.open()
    assert agent.resume().text() == "One. Two."


def test_after_leaving_the_agent_takes_another_message(home: Home) -> None:
    wait = gate()
    agent = home(["One.", wait], "Two.").agent()
    with agent.stream("go") as turn:
        next(turn)
    wait.open()
    assert play(agent, "again").result.text == "Two."


def test_a_turn_that_is_closed_before_it_began_never_begins(home: Home) -> None:
    place = home("One.")
    turn = place.agent().stream("go")
    turn.close()
    if place.way.endswith("-sync"):
        assert list(turn) == []
    assert place.model.requests == []


@pytest.mark.requirement("turn:leave-is-not-stop")
def test_a_reset_in_the_middle_leaves_the_old_chat_and_starts_a_new_one(home: Home) -> None:
    wait = gate()
    place = home(["One. ", wait, "Two."], "Three.")
    agent = place.agent()
    chats: list[str] = []

    def reset(event: Any) -> None:
        if is_at_work(event):
            chats.append(event.chat_id)
            agent.reset()

    told = play(agent, then=reset)
    assert told.end.outcome == "left"
    assert agent.chat_id is None
    assert play(agent, "again").result.text == "Three."
    assert agent.chat_id not in (None, *chats)
    wait.open()
    assert place.client.agents.resume(chats[0]).resume().text() == "One. Two."


CTRL_C = """
    import os, signal, sys, threading
    from agentkit import Runtime, tool
    from agentkit.testing import Scripted, call, gate

    wait = gate()
    script = Scripted([["One. ", wait, "Two."]])
    with Runtime(models={"scripted": script}, environ={}) as runtime:
        agent = runtime.client().agent({"core_app": {"ref": "scripted/x"}})

        def interrupt(event):
            if event.kind == "run_started":
                threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()

        try:
            agent.send_message("go", on_event=interrupt)
        except KeyboardInterrupt:
            left = [each.name for each in threading.enumerate() if each.name.startswith("agentkit-")]
            print("interrupted, threads:", sorted({*left} - {"agentkit-runtime", "agentkit-store"}))
        wait.open()
        print("resumed:", agent.resume().text())
    print("end:", [each.name for each in threading.enumerate() if each.name.startswith("agentkit-")])
"""


@pytest.mark.requirement("turn:leave-is-not-stop")
def test_ctrl_c_leaves_no_thread_behind_and_the_run_goes_on() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(CTRL_C)], capture_output=True, text=True, timeout=15
    )
    assert done.stdout.splitlines() == ["interrupted, threads: []", "resumed: One. Two.", "end: []"], done.stderr
    assert (done.returncode, done.stderr) == (0, "")


ASYNC_CTRL_C = """
    import anyio, os, signal, threading
    from agentkit import Runtime
    from agentkit.testing import Scripted, gate

    wait = gate()

    async def main():
        async with Runtime(models={"scripted": Scripted([["One. ", wait, "Two."]])}, environ={}) as runtime:
            agent = runtime.async_client().agent({"core_app": {"ref": "scripted/x"}})

            def interrupt(event):
                if event.kind == "run_started":
                    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()

            await agent.send_message("go", on_event=interrupt)

    try:
        anyio.run(main, backend="BACKEND")
    except KeyboardInterrupt:
        print("interrupted")
    except BaseExceptionGroup as group:
        print("interrupted" if group.subgroup(KeyboardInterrupt) else group)
"""


@pytest.mark.parametrize("backend", ["asyncio", pytest.param("trio", marks=pytest.mark.thorough)])
def test_ctrl_c_ends_an_async_program(backend: str) -> None:
    program = textwrap.dedent(ASYNC_CTRL_C).replace("BACKEND", backend)
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=15)
    assert (done.stdout.strip(), done.stderr) == ("interrupted", "")


BLOCKED = """
    import anyio, sys, threading
    from agentkit import Runtime, tool
    from agentkit.testing import Scripted, call

    def block(args):
        threading.Event().wait()

    blocking = tool("block").describe("Blocks").handler(block)
    script = Scripted([call("block"), "It took too long."])
    config = {"core_app": {"ref": "scripted/x"}, "tools": [blocking]}

    def sync_main():
        with Runtime(models={"scripted": script}, environ={}) as runtime:
            agent = runtime.client().agent(config, tool_timeout_seconds=0.05)
            print(agent.send_message("go").content[0].text)

    async def main():
        async with Runtime(models={"scripted": script}, environ={}) as runtime:
            agent = runtime.async_client().agent(config, tool_timeout_seconds=0.05)
            print((await agent.send_message("go")).content[0].text)

    sync_main() if "BACKEND" == "sync" else anyio.run(main, backend="BACKEND")
"""


@pytest.mark.parametrize("backend", ["sync", pytest.param("asyncio", marks=pytest.mark.thorough), "trio"])
def test_a_handler_that_blocks_for_ever_does_not_keep_the_program_from_ending(backend: str) -> None:
    program = textwrap.dedent(BLOCKED).replace("BACKEND", backend)
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=15)
    assert (done.stdout.strip(), done.returncode) == ("It took too long.", 0), done.stderr


# -- stopping ------------------------------------------------------------------------------------------------------


def test_a_stop_ends_the_run_and_the_turn(home: Home) -> None:
    hanging = gate()
    place = home(["One. ", hanging])
    agent = place.agent()
    with agent.stream("go") as turn:
        told = follow(turn, then=lambda event: is_at_work(event) and turn.stop())
    assert told.end.outcome == "canceled"
    assert isinstance(told.error, RunCanceledError)
    assert agent.get_chat()["status"] == "idle"
    assert agent.get_chat().active_run.state == "canceled"


def test_a_stopped_run_returns_what_was_said_until_then(home: Home) -> None:
    place = home(["One. ", gate()])
    with place.agent().stream("go") as turn:
        follow(turn, then=lambda event: event.kind == "text_delta" and turn.stop())
        last = turn.message()
    assert last.get("status") == "cancelled"
    assert last.content[0].text == "One. "


def test_a_stop_while_a_person_is_waited_for_ends_the_turn(home: Home) -> None:
    place = home(call("pay"))
    agent = place.agent(stay())
    with agent.stream("go") as turn:
        told = follow(turn, then=lambda event: event.kind == "approval_requested" and turn.stop())
    assert told.end.outcome == "canceled"
    assert agent.pending() == []


@pytest.mark.requirement("turn:stop-early")
def test_a_stop_before_the_first_event_is_not_lost(home: Home) -> None:
    place = home(["One. ", gate()])
    agent = place.agent()
    with agent.stream("go") as turn:
        turn.stop()
        told = follow(turn)
    assert told.end.outcome == "canceled"


def test_a_stop_from_another_thread_ends_the_turn(home: Home) -> None:
    place = home(["One. ", gate()])
    agent, at_work = place.agent(), Signal()
    with agent.stream("go") as turn:

        def stop() -> None:
            at_work.wait_sync()
            turn.stop()

        stopper = threading.Thread(target=stop)
        stopper.start()
        told = follow(turn, then=lambda event: is_at_work(event) and at_work.set())
        stopper.join(10)
    assert told.end.outcome == "canceled"


def test_a_stop_calls_the_running_handler_off(home: Home) -> None:
    called_off = Signal()

    def handle(args: dict[str, Any], ctx: Any) -> str:
        for _ in range(1000):
            if ctx.cancelled:
                called_off.set()
                break
            threading.Event().wait(0.01)
        return "nobody reads this"

    place = home(call("long"))
    agent = place.agent(tool("long").describe("Long").handler(handle))
    with agent.stream("go") as turn:
        told = follow(turn, then=lambda event: event.kind == "tool_started" and turn.stop())
    assert told.end.outcome == "canceled"
    called_off.wait_sync()


# -- sharing -------------------------------------------------------------------------------------------------------


def test_two_turns_of_one_agent_at_once_are_refused_with_the_way_out(home: Home) -> None:
    wait = gate()
    agent = home(["One.", wait]).agent()
    with agent.stream("go") as turn:
        next(turn)
        with pytest.raises(UsageError, match="one agent object per conversation"):
            agent.run("at the same time")
        wait.open()
        assert turn.text() == "One."


def test_two_agents_of_one_client_talk_at_the_same_time(home: Home) -> None:
    both = threading.Barrier(2)

    def meet(args: dict[str, Any]) -> str:
        both.wait(5)
        return "met"

    meeting = tool("meet").describe("Meets").handler(meet)
    place = home(call("meet"), call("meet"), "Done.", "Done.")
    texts: list[str] = []

    def talk() -> None:
        texts.append(play(place.agent(meeting)).result.text)

    threads = [threading.Thread(target=talk) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)
    assert texts == ["Done.", "Done."]


def test_a_closed_client_says_so_at_once(home: Home) -> None:
    place = home("One.", "Two.")
    client = place.another_client()
    agent = client.agent(AGENT)
    play(agent)
    client.close()
    with pytest.raises(UsageError, match="closed"):
        agent.run("again")
    with pytest.raises(UsageError, match="closed"):
        client.agents.get("acme/assistant")
    with pytest.raises(UsageError, match="closed"):
        client.agent(AGENT).run("new")


async def test_a_sync_agent_works_inside_a_running_event_loop() -> None:
    with desk("memory-sync", call("add"), "One.", "Two.") as place:
        agent = place.agent(tool("add").describe("Adds").handler(lambda args: 3))
        assert agent.send_message("in the loop's own thread").content[0].text == "One."
        reply = await anyio.to_thread.run_sync(agent.send_message, "in a worker thread")
        assert reply.content[0].text == "Two."


def test_a_runtime_that_is_not_open_says_how_to_open_it() -> None:
    with pytest.raises(UsageError, match="with Runtime"):
        Runtime(environ={}).client()
    with pytest.raises(UsageError, match="async with Runtime"):
        Runtime(environ={}).async_client()


def test_a_runtime_that_was_closed_is_nobody_there() -> None:
    with Runtime(models={"scripted": Scripted(["One."])}, environ={}) as runtime:
        client = runtime.client()
        agent = client.agent(AGENT)
        agent.run("go")
    with pytest.raises((ConnectionError, OSError, UsageError), match="closed"):
        client.agent(AGENT).run("again")
    with pytest.raises((ConnectionError, OSError, UsageError), match="closed"):
        agent.run("again")


# -- forks ---------------------------------------------------------------------------------------------------------

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12: forking with threads


def in_child(job: Callable[[], str]) -> str:
    """What the job says in a forked child."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(10)
            os.write(writing, job().encode())
        except BaseException as error:
            os.write(writing, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


def test_a_client_works_in_the_parent_and_in_a_forked_child() -> None:
    model = Scripted(["Before.", "Child.", "After."])
    with served(providers={"scripted": model}) as server, client_of("sync", server.url) as client:
        agent = client.agent(AGENT)
        assert agent.send_message("go").content[0].text == "Before."
        assert in_child(lambda: agent.send_message("from the child").content[0].text) == "Child."
        assert agent.send_message("after").content[0].text == "After."


def test_a_client_of_a_runtime_says_in_a_forked_child_that_it_cannot_work_there() -> None:
    with Runtime(models={"scripted": Scripted(["One."])}, environ={}) as runtime:
        client = runtime.client()
        agent: Any = client.agent(AGENT)
        assert in_child(lambda: str(runtime.client())).startswith("UsageError: a runtime does not survive a fork")
        assert in_child(lambda: str(agent.run("go"))).startswith("UsageError: a runtime does not survive a fork")
        assert in_child(lambda: str(client.agents.list())).startswith("UsageError: a runtime does not survive a fork")
        assert in_child(lambda: str(runtime.close())) == "None"
        assert agent.send_message("go").content[0].text == "One."


# -- leaving nothing behind ----------------------------------------------------------------------------------------


def open_files() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files through /proc")
@pytest.mark.parametrize("way", ["socket-sync", "memory-sync", "memory-asyncio", "memory-trio", "socket-asyncio"])
def test_many_turns_leave_no_threads_sockets_or_tasks_behind(way: str) -> None:
    add = tool("add").describe("Adds").param("a", string("a")).handler(lambda args: 3)
    steps = [step for _ in range(12) for step in (call("add", {"a": "x"}), "Done.")]
    with desk(way, *steps) as place:
        play(place.agent(add))
        threads, files = threading.active_count(), open_files()
        for _ in range(10):
            play(place.agent(add))
        agent = place.agent(add)
        with agent.stream("left early") as turn:
            next(turn)
        agent.stop_chat()
        give_up = time.monotonic() + 10
        while (
            open_files() > files + 2 and time.monotonic() < give_up
        ):  # the other end of a connection closes after ours
            time.sleep(0.02)
        assert threading.active_count() <= threads + 1  # the loop's own worker threads come and go
        assert open_files() <= files + 2  # pooled connections


@pytest.mark.asyncio_only
async def test_async_turns_leave_no_tasks_behind() -> None:
    async with Runtime(models={"scripted": Scripted(["One."] * 5)}, environ={}) as runtime:
        client = runtime.async_client()
        await client.agent(AGENT).run("go")
        before = len(asyncio.all_tasks())
        for _ in range(4):
            await client.agent(AGENT).run("go")
        with anyio.fail_after(5):  # the last connection's tasks end in their own turns of the loop
            while len(asyncio.all_tasks()) > before:
                await asyncio.sleep(0.01)
        await client.close()


async def test_a_cancelled_turn_leaves_and_the_run_goes_on() -> None:
    wait = gate()
    async with Runtime(models={"scripted": Scripted([["One. ", wait, "Two."]])}, environ={}) as runtime:
        client = runtime.async_client()
        agent = client.agent(AGENT)
        with anyio.CancelScope() as scope:

            def cancel(event: Any) -> None:
                if is_at_work(event):
                    scope.cancel()

            await agent.send_message("go", on_event=cancel)
        assert scope.cancelled_caught
        wait.open()
        assert await agent.resume().text() == "One. Two."
        await client.close()


async def test_an_async_turn_that_is_closed_lets_its_block_go_on() -> None:
    wait = gate()
    script = Scripted([["One. ", wait, "Two."], "Three."])
    async with Runtime(models={"scripted": script}, environ={}) as runtime, runtime.async_client() as client:
        agent: Any = client.agent(AGENT)
        async with agent.stream("go") as turn:
            await anext(turn)
            await turn.close()
            assert [event async for event in turn] == []
            wait.open()
            assert await agent.resume().text() == "One. Two."
        assert (await agent.send_message("again")).content[0].text == "Three."


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
def test_the_result_of_a_handler_that_ran_is_sent_though_the_turn_is_left_meanwhile(kind: str) -> None:
    posting, answered = Signal(), Signal()

    def waiting() -> dict[str, Any]:
        function = {"name": "add", "arguments": {}}
        call_ = {"id": "i1", "type": "client", "status": "awaiting_input", "function": function}
        return message("a-r1", "ready", tool_invocations=[call_])

    def play_(request: Request, wire: Wire) -> None:
        match request.method, request.path:
            case "POST", "/tools/i1" if not posting:
                posting.set()
                wire.stay()
            case "POST", "/tools/i1":
                wire.json(None)
                answered.set()
            case "POST", "/agents/run":
                wire.json(accepted())
            case "GET", "/chats/c1":
                wire.json(chat(chat_messages=[waiting()]))
            case _:
                wire.begin()
                wire.line(event("chats", chat()), event("chat_messages", waiting()))
                wire.stay()

    add = tool("add").describe("Adds").handler(lambda args: "3")
    with hostile(play_) as server, client_of(kind, server.url) as client:
        with client.agent({**AGENT, "tools": [add]}).stream("go") as turn:
            closer = threading.Thread(target=lambda: (posting.wait_sync(), turn.close()))
            closer.start()
            kinds = [each.kind for each in turn]
            closer.join(10)
        answered.wait_sync()
        first, second = [request for request in server.requests if request.path == "/tools/i1"]
    assert "run_finished" not in kinds
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.json == second.json == {"result": "3"}
