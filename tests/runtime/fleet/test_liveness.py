"""An engine is alive for as long as its process: told apart from outside, and after a kill."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agentkit.errors import StoreError
from agentkit.runtime.fleet.liveness import Liveness

HOLDER = """
import sys
from agentkit.runtime.fleet.liveness import Liveness
engines = Liveness(sys.argv[1])
print(engines.claim(), flush=True)
sys.stdin.read()
"""


def start_holder(database: Path) -> tuple[subprocess.Popen[str], str]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    return holder, holder.stdout.readline().strip()


def end_holder(holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    assert holder.stdin is not None
    assert holder.stdout is not None
    holder.stdin.close()
    holder.stdout.close()


def test_an_engine_is_alive_until_its_process_is_killed(tmp_path: Path) -> None:
    database = tmp_path / "agents.db"
    holder, theirs = start_holder(database)
    engines = Liveness(database)
    try:
        ours = engines.claim()
        assert ours != theirs
        assert (engines.is_alive(ours), engines.is_alive(theirs)) == (True, True)
    finally:
        end_holder(holder)
    assert (engines.is_alive(ours), engines.is_alive(theirs)) == (True, False)
    engines.release()


def test_two_engines_of_one_process_see_each_other(tmp_path: Path) -> None:
    first, second = Liveness(tmp_path / "db"), Liveness(tmp_path / "db")
    one, two = first.claim(), second.claim()
    assert first.claim() == one, "a name is claimed once"
    assert (first.is_alive(two), second.is_alive(one)) == (True, True)
    first.release()
    assert (second.is_alive(one), second.is_alive(two)) == (False, True)
    second.release()
    assert list((tmp_path / "db.engines").iterdir()) == []


def test_what_a_dead_engine_left_is_swept_by_the_next(tmp_path: Path) -> None:
    holder, theirs = start_holder(tmp_path / "db")
    end_holder(holder)
    assert (tmp_path / "db.engines" / theirs).exists()
    engines = Liveness(tmp_path / "db")
    engines.claim()
    assert not (tmp_path / "db.engines" / theirs).exists()
    assert not engines.is_alive(theirs)
    engines.release()


def test_a_name_that_was_never_claimed_is_dead(tmp_path: Path) -> None:
    engines = Liveness(tmp_path / "db")
    assert not engines.is_alive("0123456789abcdef")
    engines.release()  # without a claim it does nothing
    with pytest.raises(StoreError, match="no name of an engine"):
        engines.is_alive("../../etc/passwd")


def test_in_memory_there_is_nobody_else(tmp_path: Path) -> None:
    engines = Liveness(":memory:")
    ours = engines.claim()
    assert (engines.is_alive(ours), engines.is_alive("another")) == (True, False)
    engines.release()
    assert not engines.is_alive(ours)


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "db.engines").write_text("not a folder")
    with pytest.raises(StoreError, match=r"db\.engines"):
        Liveness(tmp_path / "db").claim()


def test_a_name_is_alive_wherever_the_process_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    engines, other = Liveness("work.db"), Liveness("work.db")
    name = engines.claim()
    other.claim()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "link.db").symlink_to(tmp_path / "work.db")
    assert other.is_alive(name) and Liveness(tmp_path / "link.db").is_alive(name)
    engines.release()
    assert not other.is_alive(name)
    other.release()
