"""`kill -9` for the server, again and again in the middle of turns: every turn ends, every tool ran exactly once."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from agentkit import AsyncInference, Inference
from agentkit.runtime.ports import Reading, StoredEvent, Wake
from agentkit.runtime.records import ChatRecord, IdempotencyRecord, RunRecord
from agentkit.runtime.store.sqlite import SqliteStore
from tests.faults.desk import QUESTION, agent
from tests.faults.play import Ledger, Told, patient
from tests.faults.server import Mortal, mortal

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.requirement("fault:server-kills"),
    pytest.mark.timeout(120),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the server's lives are forks"),
]

KILLS = 25  # of each driver, in two halves that can run side by side
HALVES = (KILLS // 2, KILLS - KILLS // 2)
POINTS = 90  # about as many as a turn has, after a restart
SECONDS = 0.25
TURN_SECONDS = 60.0


@pytest.fixture(
    params=[HALVES[0], pytest.param(HALVES[1], marks=pytest.mark.thorough)], ids=lambda kills: f"{kills}_kills"
)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mortal]:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    lives = [
        {"point": chance.randint(1, POINTS)} if chance.random() < 0.6 else {"seconds": chance.uniform(0, SECONDS)}
        for _ in range(request.param)
    ]
    print(f"lives {lives}")
    with mortal(tmp_path, lives) as found:
        yield found


def script(turn: int) -> str:
    return ("together", "in_turn")[turn % 2]


def test_a_server_killed_at_any_moment_loses_no_turn_and_repeats_no_tool(server: Mortal, tmp_path: Path) -> None:
    ledger, turns = Ledger(tmp_path / "calls"), Counter[str]()
    with Inference(config=patient(server.url)) as client:
        while server.deaths < server.kills:
            desk = client.agent({**agent(script(len(turns))), "tools": ledger.tools()})
            for _ in range(2):
                with desk.stream(QUESTION) as turn:
                    told = Told(list(turn))
                chat = desk.get_chat()
                turns[chat.id] += 1
                told.check(chat, ledger=ledger, turns=turns[chat.id])
    check_store(look(server.db), turns, ledger)


async def test_a_server_killed_at_any_moment_loses_no_async_turn_and_repeats_no_tool(
    server: Mortal, tmp_path: Path
) -> None:
    ledger, turns = Ledger(tmp_path / "calls"), Counter[str]()
    async with AsyncInference(config=patient(server.url)) as client:
        while server.deaths < server.kills:
            desk = client.agent({**agent(script(len(turns))), "tools": ledger.tools()})
            for _ in range(2):
                with anyio.fail_after(TURN_SECONDS):
                    async with desk.stream(QUESTION) as turn:
                        told = Told([event async for event in turn])
                    chat = await desk.get_chat()
                turns[chat.id] += 1
                told.check(chat, ledger=ledger, turns=turns[chat.id])
    check_store(await read_store(server.db), turns, ledger)


# -- what is in the file when all is over ----------------------------------------------------------------------------


def check_store(found: Stored, turns: Counter[str], ledger: Ledger) -> None:
    """That the database holds these turns and nothing else, and that its logs have no gap and take nothing back."""
    assert set(found.logs) == set(turns)
    assert found.runs == turns.total()
    assert found.wakes == []
    assert found.answers == 3 * turns.total()  # one per message and per result, however often they were sent
    finished = Counter[str]()
    for log in found.logs.values():
        assert [event.seq for event in log] == list(range(1, len(log) + 1))
        for message in (event.data for event in log if event.name == "chat_messages"):
            for invocation in message["tool_invocations"]:
                is_over = invocation["status"] == "completed"
                assert is_over or not finished[invocation["id"]]
                finished[invocation["id"]] |= is_over
    assert finished == ledger.calls()


@dataclass(frozen=True)
class Stored:
    """What is in the file."""

    logs: Mapping[str, Sequence[StoredEvent]]
    runs: int
    answers: int
    wakes: Sequence[Wake]

    @classmethod
    def of(cls, tx: Reading) -> Stored:
        logs = {chat.id: tx.events(chat.id, limit=1_000_000) for chat in tx.find(ChatRecord)}
        return cls(logs, len(tx.find(RunRecord)), len(tx.find(IdempotencyRecord)), tx.wakes())


async def read_store(db: Path) -> Stored:
    """Opens the file beside the server, which idles."""
    store = SqliteStore(db)
    await store.open()
    try:
        return await store.read(Stored.of)
    finally:
        await store.close()


def look(db: Path) -> Stored:
    return anyio.run(read_store, db)
