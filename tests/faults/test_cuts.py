"""The stream of a two-tool turn, cut after and inside every line: the turn ends as if nothing had been."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.faults.desk import Desk
from tests.faults.play import open_files
from tests.faults.proxy import EVERYTHING_PASSES, Cut, once
from tests.faults.turns import Trial, run_all, run_all_async
from tests.runtime.serving import Served, served

pytestmark = pytest.mark.heavy  # many whole turns

STREAM = r"GET /chats/[^/]+/stream"
MODES = {
    "fin": lambda line: Cut("after_line", line=line),
    "rst": lambda line: Cut("after_line", "rst", line=line),
    "in_line": lambda line: Cut("in_line", line=line),
}
KINDS = [  # in a known chat the stream is opened before the message is sent, in a new one after it
    pytest.param("together", False, id="calls_together-new_chat"),
    pytest.param("in_turn", True, id="calls_in_turn-known_chat", marks=pytest.mark.thorough),
]
ENOUGH = 0.5  # of the cuts: a turn that is heard late, or is over early, has fewer lines to be cut at


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    files = open_files()
    desk = Desk(pause_seconds=0.001)
    with served(providers={"desk": desk}, db=tmp_path / "agentkit.db", synchronous="FULL") as found:
        yield found
    assert open_files() == files


def unbroken(script: str, *, is_known: bool) -> Trial:
    return Trial(lambda: EVERYTHING_PASSES, script, is_known, "nothing is broken")


def at_every_line(lines: int, script: str, *, is_known: bool) -> list[Trial]:
    """The turn cut at each line of its stream: in each way, or where that costs two turns each, in turn."""
    modes = list(MODES)
    return [
        Trial(partial(once, STREAM, MODES[how](line)), script, is_known, f"{how} {line}")
        for line in range(lines)
        for how in (modes if not is_known else [modes[line % len(modes)]])
    ]


@pytest.mark.requirement("fault:cuts")
@pytest.mark.requirement("turn:reconnect")
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("script", "is_known"), KINDS)
def test_a_turn_cut_at_any_line_of_its_stream_ends_well_and_does_everything_once(
    server: Served, tmp_path: Path, script: str, is_known: bool
) -> None:
    [whole] = run_all([unbroken(script, is_known=is_known)], server.port, tmp_path)
    trials = at_every_line(whole.lines, script, is_known=is_known)
    broken = run_all(trials, server.port, tmp_path)
    assert sum(proxy.cuts for proxy in broken) > ENOUGH * len(trials)


@pytest.mark.requirement("fault:cuts")
@pytest.mark.requirement("turn:reconnect")
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("script", "is_known"), KINDS)
@pytest.mark.thorough
async def test_an_async_turn_cut_at_any_line_of_its_stream_ends_well_and_does_everything_once(
    server: Served, tmp_path: Path, script: str, is_known: bool
) -> None:
    [whole] = await run_all_async([unbroken(script, is_known=is_known)], server.port, tmp_path)
    trials = at_every_line(whole.lines, script, is_known=is_known)
    broken = await run_all_async(trials, server.port, tmp_path)
    assert sum(proxy.cuts for proxy in broken) > ENOUGH * len(trials)
