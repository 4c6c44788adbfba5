"""`kill -9` for the client: another process takes the turn up, and runs no tool whose result had arrived."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from agentkit import AsyncInference, Chat, Inference, TurnResult
from tests.faults import client as other
from tests.faults.desk import ANSWER, Desk
from tests.faults.play import Ledger, check_chat, patient
from tests.runtime.serving import Served, served

pytestmark = [pytest.mark.requirement("fault:client-kills"), pytest.mark.timeout(60), pytest.mark.heavy]

ROUNDS = [0, 1, *(pytest.param(number, marks=pytest.mark.thorough) for number in (2, 3))]
SECONDS = 0.2
TURN_SECONDS = 20.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    desk = Desk(pause_seconds=0.004)
    with served(providers={"desk": desk}, db=tmp_path / "agentkit.db", synchronous="FULL") as found:
        yield found


def killed_in_the_second_tool(server: Served, ledger: Ledger) -> str:
    """A client dies while its second tool works; the chat's id."""
    with other.started(server.url, ledger.path, "in_turn", "book_table") as process:
        chat_id = until(process, lambda line: "tool_started book_table" in line)
        deadline = time.monotonic() + TURN_SECONDS
        while len(ledger.calls()) < 2:  # the event may come before the handler has noted anything
            assert time.monotonic() < deadline
            time.sleep(0.005)
        kill(process)
    return chat_id


def killed_at_random(server: Served, ledger: Ledger, chance: random.Random) -> str:
    """A client dies some moment after its message was taken; the chat's id."""
    with other.started(server.url, ledger.path, chance.choice(["together", "in_turn"])) as process:
        chat_id = until(process, lambda line: not line.startswith("-"))
        time.sleep(chance.uniform(0, SECONDS))  # the moment is the test
        kill(process)
    return chat_id


def until(process: subprocess.Popen[str], is_wanted: Callable[[str], bool]) -> str:
    """The chat's id in the first line that is wanted."""
    assert process.stdout is not None
    return next(line.split()[0] for line in process.stdout if is_wanted(line))


def kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    assert process.wait(TURN_SECONDS) in (0, -signal.SIGKILL)


def answered(chat: Chat) -> set[str]:
    """The invocations that have their result."""
    invocations = [each for message in chat.chat_messages or () for each in message.tool_invocations or ()]
    return {each.id for each in invocations if each.status == "completed"}


def check(result: TurnResult[object], chat: Chat) -> None:
    assert (result.outcome, result.text) == ("completed", ANSWER)
    check_chat(chat, turns=1)


def test_a_turn_whose_client_was_killed_in_a_tool_is_taken_up_by_another(server: Served, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "calls")
    chat_id = killed_in_the_second_tool(server, ledger)
    with Inference(config=patient(server.url)) as client:
        desk = client.agents.resume(chat_id, tools=ledger.tools())
        result = desk.resume().result()
        check(result, desk.get_chat())
    assert (ledger.of("get_weather"), ledger.of("book_table")) == (1, 2)


async def test_a_turn_whose_client_was_killed_in_a_tool_is_taken_up_by_an_async_one(
    server: Served, tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path / "calls")
    chat_id = killed_in_the_second_tool(server, ledger)
    async with AsyncInference(config=patient(server.url)) as client:
        desk = client.agents.resume(chat_id, tools=ledger.tools())
        with anyio.fail_after(TURN_SECONDS):
            async with desk.resume() as turn:
                check(await turn.result(), await desk.get_chat())
    assert (ledger.of("get_weather"), ledger.of("book_table")) == (1, 2)


@pytest.mark.parametrize("number", ROUNDS)
def test_a_turn_whose_client_was_killed_at_any_moment_is_taken_up_by_another(
    server: Served, tmp_path: Path, number: int
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    ledger = Ledger(tmp_path / "calls")
    chat_id = killed_at_random(server, ledger, random.Random(seed))
    with Inference(config=patient(server.url)) as client:
        desk = client.agents.resume(chat_id, tools=ledger.tools())
        done, before = answered(desk.get_chat()), ledger.calls()
        check(desk.resume().result(), desk.get_chat())
    after = ledger.calls()
    assert {id_: after[id_] for id_ in done} == {id_: before[id_] for id_ in done} == dict.fromkeys(done, 1)
    assert all(count <= 2 for count in after.values())
    assert len(after) == 2
