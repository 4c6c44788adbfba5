"""What a killed process leaves behind: every transaction that was acknowledged, whole, and none by half."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import anyio
import pytest

from agentkit.runtime.ports import Reading
from agentkit.runtime.records import KeyRecord
from agentkit.runtime.store.sqlite import SqliteStore

KILLS = [7, pytest.param(20, marks=pytest.mark.thorough)]
OPENINGS = [4, pytest.param(10, marks=pytest.mark.thorough)]
EVERYTHING = 1_000_000

WRITERS = """
import itertools, os, sys
from functools import partial
import anyio
from agentkit.runtime.records import KeyRecord
from agentkit.runtime.store.sqlite import SqliteStore

def change(tx, n):
    tx.insert(KeyRecord(id=f"key-{n:08}", sha256=str(n), owner="o"))
    tx.append("c", "chats", {"n": n})
    tx.wake(f"chat-{n:08}")

async def write(store, numbers):
    for n in numbers:
        await store.write(partial(change, n=n))
        os.write(1, b"%d\\n" % n)

async def main(path, start):
    os.write(1, b"ready\\n")
    store = SqliteStore(path)
    await store.open()
    numbers = itertools.count(start)
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(write, store, numbers)

anyio.run(main, sys.argv[1], int(sys.argv[2]))
"""


def look(path: Path, question: Callable[[Reading], Any], **settings: Any) -> Any:
    """Opens the database as a program would after a crash, and asks."""

    async def main() -> Any:
        store = SqliteStore(path, **settings)
        await store.open()
        try:
            return await store.read(question)
        finally:
            await store.close()

    return anyio.run(main)


def numbers(tx: Reading) -> tuple[list[int], list[int], list[int], list[int]]:
    """Which transactions left a record, an event, a wake-up; and the seqs of the events."""
    events = tx.events("c", limit=EVERYTHING)
    return (
        [int(record.sha256) for record in tx.find(KeyRecord, order_by="id")],
        sorted(event.data["n"] for event in events),
        sorted(int(wake.chat_id.removeprefix("chat-")) for wake in tx.wakes()),
        [event.seq for event in events],
    )


def start(script: str, *args: object) -> subprocess.Popen[bytes]:
    # stderr is not a pipe that could fill up: what a killed child complains of is of no interest, a failed one shows
    return subprocess.Popen([sys.executable, "-c", script, *map(str, args)], stdout=subprocess.PIPE)


def stdout(child: subprocess.Popen[bytes]) -> IO[bytes]:
    assert child.stdout is not None
    return child.stdout


def kill_after(child: subprocess.Popen[bytes], acknowledged: int) -> list[int]:
    """Kills the child once it has acknowledged so many; returns all that it acknowledged until it was dead."""
    with child:
        assert stdout(child).readline() == b"ready\n"
        seen = [int(stdout(child).readline()) for _ in range(acknowledged)]
        child.send_signal(signal.SIGKILL)
        seen += [int(line) for line in stdout(child) if line.endswith(b"\n")]
    assert child.returncode == -signal.SIGKILL
    return seen


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kills", KILLS)
def test_what_was_acknowledged_survives_every_kill_whole_and_nothing_is_there_by_half(
    tmp_path: Path, kills: int
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    path = tmp_path / "agentkit.db"
    acknowledged: set[int] = set()
    last = 0
    for _ in range(kills):
        acknowledged |= set(kill_after(start(WRITERS, path, last + 1), chance.randrange(150)))
        records, events, wakes, seqs = look(path, numbers)
        assert records == events == wakes
        assert acknowledged <= set(records)
        assert seqs == list(range(1, len(seqs) + 1))
        last = max(records, default=0)
    assert last >= kills  # or nothing was tested


@pytest.mark.timeout(60)
@pytest.mark.parametrize("openings", OPENINGS)
def test_a_kill_while_the_database_is_being_made_leaves_one_that_opens(tmp_path: Path, openings: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for turn in range(openings):
        path = tmp_path / f"{turn}.db"
        with start(WRITERS, path, 1) as child:
            assert stdout(child).readline() == b"ready\n"
            time.sleep(chance.uniform(0, 0.02))
            child.send_signal(signal.SIGKILL)
            seen = {int(line) for line in stdout(child) if line.endswith(b"\n")}
        records, events, wakes, _ = look(path, numbers)
        assert records == events == wakes
        assert seen <= set(records)


MIGRATION = """
import os, signal, sys
import anyio
from pydantic import Field
from agentkit.runtime.records import Record
from agentkit.runtime.store import _database
from agentkit.runtime.store.sqlite import SqliteStore

path, killed = sys.argv[1:]
filled = []

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def genre():
    filled.append(1)
    if killed == "while filling" and len(filled) > 50:
        die()
    return "folk"

class Song(Record):
    KIND = "song"
    INDEX = ("singer", "genre")
    singer: str
    genre: str = Field(default_factory=genre)

def step(db):
    if killed == "before the step":
        die()
    db.execute("CREATE TABLE instruments (name)")
    for n in range(100):
        if killed == "inside the step" and n == 50:
            die()
        db.execute(
            "UPDATE song SET singer = 'eve', body = json_set(body, '$.singer', 'eve') WHERE id = ?", [f"song-{n:03}"]
        )

_database.STEPS = (*_database.STEPS, step)
if killed == "before the commit":
    fit = _database._fit
    def fit_and_die(db, record):
        fit(db, record)
        die()
    _database._fit = fit_and_die

async def main():
    store = SqliteStore(path, records=[Song])
    await store.open()
    print(len(await store.read(lambda tx: tx.find(Song, singer="eve", genre="folk"))), flush=True)
    await store.close()

anyio.run(main)
"""

OLD = """
import sys, anyio
from agentkit.runtime.records import Record
from agentkit.runtime.store.sqlite import SqliteStore

class Song(Record):
    KIND = "song"
    INDEX = ("singer",)
    singer: str

async def main():
    store = SqliteStore(sys.argv[1], records=[Song])
    await store.open()
    if sys.argv[2] == "fill":
        await store.write(lambda tx: [tx.insert(Song(id=f"song-{n:03}", singer="ann")) for n in range(100)])
    print(len(await store.read(lambda tx: tx.find(Song, singer="ann"))), flush=True)
    await store.close()

anyio.run(main)
"""


def outcome(script: str, *args: object) -> tuple[int, bytes]:
    done = subprocess.run([sys.executable, "-c", script, *map(str, args)], stdout=subprocess.PIPE, timeout=15)
    return done.returncode, done.stdout.strip()


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "killed",
    [
        "inside the step",
        "before the commit",
        *(pytest.param(when, marks=pytest.mark.thorough) for when in ("before the step", "while filling")),
    ],
)
def test_a_kill_during_a_migration_leaves_the_old_version_that_can_be_migrated_again(
    tmp_path: Path, killed: str
) -> None:
    path = tmp_path / "agentkit.db"
    assert outcome(OLD, path, "fill") == (0, b"100")
    assert outcome(MIGRATION, path, killed) == (-signal.SIGKILL, b"")
    assert outcome(OLD, path, "look") == (0, b"100")  # the old program still works on it
    assert outcome(MIGRATION, path, "never") == (0, b"100")
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
    assert sorted(os.listdir(tmp_path)) == ["agentkit.db", "agentkit.db.v1.bak"]


@pytest.mark.timeout(60)
def test_a_copy_that_was_cut_off_is_made_again_before_the_next_migration(tmp_path: Path) -> None:
    path = tmp_path / "agentkit.db"
    assert outcome(OLD, path, "fill") == (0, b"100")
    (tmp_path / "agentkit.db.v1.bak.part").write_bytes(b"half a copy")
    assert outcome(MIGRATION, path, "never") == (0, b"100")
    with closing(sqlite3.connect(tmp_path / "agentkit.db.v1.bak")) as db:
        assert db.execute("SELECT count(*) FROM song WHERE singer = 'ann'").fetchone() == (100,)
    assert sorted(os.listdir(tmp_path)) == ["agentkit.db", "agentkit.db.v1.bak"]
