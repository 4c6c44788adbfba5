"""Locks on files: held as long as the process lives, by nobody else, however it ends."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agentkit.cli.lock import alone_with
from agentkit.filelocks import create_locked, is_locked, try_lock

HOLDER = """
import os, signal, sys, time
from pathlib import Path
from agentkit.cli.lock import alone_with
from agentkit.filelocks import create_locked
held = create_locked(Path(sys.argv[1]))
child = os.fork()
if not child:
    time.sleep(60)
print(child, flush=True)
time.sleep(60)
"""
posix_only = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks and flock")


def test_a_lock_is_seen_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "sign"
    held = create_locked(path)
    assert is_locked(path)
    assert is_locked(path)  # looking takes nothing away
    held.release()
    held.release()
    assert path.exists() and not is_locked(path)


def test_a_file_that_is_not_there_is_held_by_nobody(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "sign")


def test_a_name_is_given_once(tmp_path: Path) -> None:
    held = create_locked(tmp_path / "sign")
    os.rename(tmp_path / "sign", tmp_path / ".sign")  # somebody is just making the same
    with pytest.raises(FileExistsError):
        create_locked(tmp_path / "sign")
    held.release()


@posix_only
def test_what_cannot_be_looked_at_counts_as_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_locked(tmp_path)  # a folder cannot be opened for writing
    path = tmp_path / "sign"
    path.touch()
    without_locks(monkeypatch)
    assert is_locked(path)


@posix_only
def test_where_there_are_no_locks_nothing_is_left_of_the_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_locks(monkeypatch)
    with pytest.raises(OSError, match="No locks available"):
        create_locked(tmp_path / "sign")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_somebody_has_is_not_waited_for(tmp_path: Path) -> None:
    held = create_locked(tmp_path / "sign")
    with (tmp_path / "sign").open("r+b") as file:
        assert not try_lock(file.fileno())
        held.release()
        assert try_lock(file.fileno())


@posix_only
@pytest.mark.timeout(60)
def test_a_killed_holder_holds_nothing_although_what_it_forked_lives_on(tmp_path: Path) -> None:
    path = tmp_path / "sign"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        try:
            assert is_locked(path)
            holder.kill()
            holder.wait(10)
            os.kill(child, 0)  # it is there
            assert not is_locked(path)
        finally:
            os.kill(child, signal.SIGKILL)


@posix_only
def test_a_server_is_alone_where_that_cannot_be_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = str(tmp_path / "work.db")
    with alone_with(db) as is_alone, alone_with(db) as is_alone_too:
        assert (is_alone, is_alone_too) == (True, False)
    without_locks(monkeypatch)
    with alone_with(db) as is_alone:
        assert is_alone


def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that has none."""
    import fcntl

    def flock(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
