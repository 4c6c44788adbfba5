"""`kill -9` for the server while agents ask agents: every call has one chat, every chat ends, every call ends once."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from agentkit import Inference
from agentkit.runtime.ports import Reading, StoredEvent
from agentkit.runtime.records import ChatRecord, InvocationRecord, RunRecord
from agentkit.runtime.store.sqlite import SqliteStore
from tests.faults.desk import ANSWER, QUESTION, asking
from tests.faults.play import patient
from tests.faults.server import mortal

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the server's lives are forks"),
]

KILLS = [6, pytest.param(12, marks=pytest.mark.thorough)]
POINTS = (40, 120)  # a turn has about 90 after a restart; a call that five lives in a row begin with is given up
SECONDS = (0.15, 0.3)


@dataclass(frozen=True)
class Stored:
    """What is in the file when all is over."""

    chats: Sequence[ChatRecord]
    runs: Sequence[RunRecord]
    calls: Sequence[InvocationRecord]
    logs: Mapping[str, Sequence[StoredEvent]]

    @classmethod
    def of(cls, tx: Reading) -> Stored:
        chats = tx.find(ChatRecord)
        logs = {chat.id: tx.events(chat.id, limit=1_000_000) for chat in chats}
        return cls(chats, tx.find(RunRecord), tx.find(InvocationRecord), logs)


async def read_store(db: Path) -> Stored:
    """Opens the file beside the server, which soon has nothing to do any more."""
    store = SqliteStore(db)
    await store.open()
    try:
        with anyio.fail_after(10):
            while (await store.read(lambda tx: tx.wakes())) != []:
                await anyio.sleep(0.02)
        return await store.read(Stored.of)
    finally:
        await store.close()


@pytest.mark.parametrize("kills", KILLS)
def test_a_server_killed_at_any_moment_has_one_child_per_call(tmp_path: Path, kills: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    lives = [
        {"point": chance.randint(*POINTS)} if chance.random() < 0.6 else {"seconds": chance.uniform(*SECONDS)}
        for _ in range(kills)
    ]
    print(f"lives {lives}")
    turns = 0
    with mortal(tmp_path, lives) as server, Inference(config=patient(server.url)) as client:
        while server.deaths < server.kills:
            with client.agent(asking()).stream(QUESTION) as turn:
                for _ in turn:
                    pass
                assert turn.result().text == ANSWER
            turns += 1
        check(anyio.run(read_store, server.db), turns)


def check(found: Stored, turns: int) -> None:
    """Per turn one chat, two below it, and one below each of those."""
    assert {(each.status.value, each.result) for each in found.calls} == {
        ("completed", "It is so."),
        ("completed", "It was looked after."),
    }, [
        (each.name, each.status.value, each.attempt, each.result)
        for each in found.calls
        if each.status.value == "failed"
    ]
    assert Counter(each.depth for each in found.chats) == {0: turns, 1: 2 * turns, 2: 2 * turns}
    assert {each.state for each in found.runs} == {"completed"} and len(found.runs) == len(found.chats)
    assert len(found.calls) == 4 * turns
    assert sorted(str(each.execution_id) for each in found.calls) == sorted(
        each.id for each in found.chats if each.parent_id
    )
    assert {each.id: each.execution_id for each in found.calls} == {
        each.parent_invocation_id: each.id for each in found.chats if each.parent_id
    }
    for log in found.logs.values():
        assert [event.seq for event in log] == list(range(1, len(log) + 1))
        ended: set[str] = set()
        for message in (event.data for event in log if event.name == "chat_messages"):
            for call in message["tool_invocations"]:
                assert call["status"] == "completed" or call["id"] not in ended
                ended |= {call["id"]} if call["status"] == "completed" else set()
