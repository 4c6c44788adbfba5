"""The journal of client calls: what it promises to whoever runs, and to whoever comes later."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from agentkit import FileRef, Journal, Runtime, string, tool
from agentkit.client import journal as journals
from agentkit.client.journal import Claim, Entry, JournalError
from agentkit.testing import Scripted, call

CALL = ("i1", 1)


def claim(journal: Journal, id_: str = "i1", attempt: int = 1) -> Claim:
    return journal.claim(id_, attempt, tool="pay", key=f"key of {id_}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.db"


@pytest.mark.parametrize("in_memory", [True, False], ids=["memory", "file"])
def test_a_call_goes_from_new_to_finished(path: Path, in_memory: bool) -> None:
    journal = Journal() if in_memory else Journal(path)
    assert (journal.look(*CALL), claim(journal)) == (Claim.NEW, Claim.NEW)
    assert journal.look(*CALL) is claim(journal) is Claim.TAKEN
    assert journal.entry(*CALL) is None
    entry = Entry("paid", True, [FileRef(id="f1", uri="inf://f1")])
    journal.finish(*CALL, entry)
    journal.finish(*CALL, Entry("paid twice"))
    assert claim(journal) is Claim.FINISHED
    assert journal.entry(*CALL) == entry
    assert journal.is_unposted(*CALL)
    journal.posted(*CALL)
    assert not journal.is_unposted(*CALL)
    assert claim(journal, attempt=2) is Claim.NEW
    journal.close()


def test_a_handler_that_ended_without_a_result_is_unfinished_and_keeps_its_key() -> None:
    journal = Journal()
    claim(journal)
    journal.hold(*CALL)
    journal.release(*CALL)
    assert journal.look(*CALL) is Claim.TAKEN  # its thread goes on
    journal.release(*CALL)
    assert journal.look(*CALL) is Claim.UNFINISHED
    assert journal.claim(*CALL, tool="pay", key="another") is Claim.UNFINISHED
    assert journal.key(*CALL) == "key of i1"
    journal.close()


def test_what_another_live_owner_runs_is_taken_and_what_a_gone_one_ran_is_unfinished(path: Path) -> None:
    first, second = Journal(path), Journal(path)
    claim(first)
    assert claim(second) is Claim.TAKEN
    first.release(*CALL)
    first.close()
    assert claim(second) is Claim.UNFINISHED
    assert claim(second) is Claim.TAKEN
    second.release(*CALL)
    second.close()


def test_what_runs_when_it_is_closed_is_taken_until_it_ends(path: Path) -> None:
    first, second = Journal(path), Journal(path)
    claim(first)
    claim(first, "i2")
    first.close()
    assert claim(second) is Claim.TAKEN
    first.finish(*CALL, Entry("paid"))
    first.release(*CALL)
    assert (claim(second), claim(second, "i2")) == (Claim.FINISHED, Claim.TAKEN)
    first.release("i2", 1)
    assert claim(second, "i2") is Claim.UNFINISHED
    second.release("i2", 1)
    second.close()
    assert not list(path.parent.glob("*.live"))


def test_who_cannot_look_whether_another_lives_does_not_take_its_call(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Journal(path), Journal(path)
    claim(first)
    second.open()
    opened = os.open

    def full(file: object, *how: int) -> int:
        if str(file).endswith(".live"):
            raise OSError(errno.EMFILE, "Too many open files")
        return opened(str(file), *how)

    monkeypatch.setattr(os, "open", full)
    assert claim(second) is Claim.TAKEN
    monkeypatch.undo()
    first.release(*CALL)
    first.close()
    second.close()


def test_one_of_many_gets_the_call(path: Path) -> None:
    owners = [Journal(path) for _ in range(8)]
    start = threading.Barrier(len(owners))
    found: list[Claim] = []

    def race(journal: Journal) -> None:
        start.wait(10)
        found.append(claim(journal))

    threads = [threading.Thread(target=race, args=(each,)) for each in owners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(each.name for each in found) == ["NEW", *["TAKEN"] * 7]
    for each in owners:
        each.close()


def test_a_process_that_died_leaves_an_unfinished_call_and_no_litter(path: Path) -> None:
    script = (
        "import os, sys\n"
        "from agentkit import Journal\n"
        "journal = Journal(sys.argv[1])\n"
        "print(journal.claim('i1', 1, tool='pay', key='k').name, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "NEW\n", done.stderr
    assert list(path.parent.glob("*.live"))
    journal = Journal(path)
    assert claim(journal) is Claim.UNFINISHED
    journal.release(*CALL)
    journal.close()
    assert not list(path.parent.glob("*.live"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_that_died_is_not_kept_alive_by_the_children_it_forked(path: Path) -> None:
    script = (
        "import os, sys\n"
        "from agentkit import Journal\n"
        "journal = Journal(sys.argv[1])\n"
        "journal.claim('i1', 1, tool='pay', key='k')\n"
        "if os.fork() == 0:\n"
        "    os.close(1)\n"
        "    sys.stdin.read()\n"
        "    os._exit(0)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdin is not None and parent.stdout is not None
    with parent.stdin, parent.stdout:  # the child ends with its stdin
        assert parent.stdout.read() == b""  # both have closed it: one is dead, the other beyond its fork
        assert parent.wait(30) == -9
        journal = Journal(path)
        assert claim(journal) is Claim.UNFINISHED
        journal.release(*CALL)
        journal.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_is_another_owner_and_harms_nothing(path: Path) -> None:
    journal = Journal(path)
    claim(journal)
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if claim(journal) is Claim.TAKEN and claim(journal, "i2") is Claim.NEW else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert claim(journal) is Claim.TAKEN
    assert claim(journal, "i2") is Claim.UNFINISHED
    journal.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no such modes")
def test_only_its_owner_may_read_it(path: Path) -> None:
    journal = Journal(path)
    claim(journal)
    files = [each for each in path.parent.iterdir() if each.is_file()]
    assert len(files) >= 3
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
    journal.close()


def test_what_was_posted_long_ago_is_dropped_when_it_is_opened_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(path)
    for id_ in ("i1", "i2", "i3"):
        claim(journal, id_)
        journal.finish(id_, 1, Entry("r"))
    journal.posted("i1", 1)
    journal.posted("i2", 1)
    journal.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE calls SET posted_at = posted_at - 8 * 86400 WHERE id = 'i1'")
    db.close()
    again = Journal(path)
    assert [again.look(id_, 1).name for id_ in ("i1", "i2", "i3")] == ["NEW", "FINISHED", "FINISHED"]
    again.close()


def test_it_stays_small_although_it_is_never_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "MOST_KEPT", 10)
    journal = Journal()
    for number in range(50):
        claim(journal, f"i{number}")
        journal.finish(f"i{number}", 1, Entry("r"))
        journal.posted(f"i{number}", 1)
    kept = [number for number in range(50) if journal.look(f"i{number}", 1) is Claim.FINISHED]
    assert 5 <= len(kept) <= 11 and kept[-1] == 49
    journal.close()


async def test_a_journal_that_another_process_writes_holds_up_its_turn_and_not_the_event_loop(path: Path) -> None:
    entered = threading.Event()

    class Watched(Journal):
        def open(self) -> None:
            entered.set()
            super().open()

    pay = tool("pay").describe("Pays").param("to", string("Whom")).handler(lambda args: "paid")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA journal_mode = WAL")
    other.execute("BEGIN EXCLUSIVE")
    journal = Watched(path)
    script = Scripted([call("pay", {"to": "Ann"}), "Paid."])
    async with Runtime(models={"scripted": script}) as runtime, runtime.async_client(journal=journal) as client:
        agent = client.agent({"core_app": {"ref": "scripted/model"}, "tools": [pay]})
        async with anyio.create_task_group() as group:
            group.start_soon(agent.run, "pay")
            assert await anyio.to_thread.run_sync(entered.wait, 10)
            other.execute("ROLLBACK")  # nobody would, if the turn waited on this loop
    other.close()
    journal.close()
    assert script.requests[-1].messages[-1].text == "paid"


def test_a_file_that_is_no_journal_is_said_to_be_none(path: Path) -> None:
    path.write_bytes(b"not a database, and long enough to be seen as none" * 100)
    with pytest.raises(JournalError, match=r"calls\.db"):
        Journal(path).look(*CALL)


def test_it_says_where_it_is_and_nothing_of_what_is_in_it(path: Path) -> None:
    assert repr(Journal(path)) == f"Journal({str(path)!r})"
    assert repr(Journal()) == "Journal(':memory:')"
