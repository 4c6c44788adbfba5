"""A task's stream cut at every line and inside every line: the result is the same, and the app ran once."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from agentkit import parse_status
from tests.client.hostile import Wire
from tests.client.tasking import DONE, HEARTBEAT, QUEUED, RUNNING, Platform, meeting, partial

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

STATES = [
    QUEUED,
    RUNNING,
    partial(logs=["one"]),
    partial(output={"text": "do"}),
    {"status": 9},
    {**DONE, "logs": ["one", "two"]},
]
LINES = len(STATES) + 1  # the snapshot is one
PARAMS = {"app": "acme/echo", "input": {"text": "hi"}}

Break = Callable[[Wire], None]


def fin(wire: Wire) -> None:
    """The stream ends as if all was said."""
    wire.end()
    wire.cut()


def short(wire: Wire) -> None:
    """The connection breaks in the middle of a line."""
    wire.chunk(json.dumps({"id": "t1", "status": 10, "output": "never"}).encode()[:-9])
    wire.cut()


def reset(wire: Wire) -> None:
    """The connection breaks between two lines."""
    wire.cut()


def garbled(wire: Wire) -> None:
    """A line that is none, and the end."""
    wire.chunk(b'{"id": "t1", "status": \n')
    wire.cut()


BREAKS = [fin, short, reset, garbled]


def check(kind: str, platform: Platform) -> None:
    """Runs the app; whatever broke, the result is whole, and what was told on the way never went backwards."""
    told: list[Any] = []
    with meeting(kind, platform) as (client, server):
        task = client.tasks.run(PARAMS, on_update=told.append, reconnect_delay_ms=1, poll_interval_ms=1)
    assert (task.status, task.output, task.logs, task.input) == (10, {"text": "done"}, ["one", "two"], {"text": "hi"})
    statuses = [parse_status(each.status) for each in told]
    assert statuses == sorted(statuses, key=lambda each: each or 0)
    assert statuses.count(10) == 1
    assert all(each.input == {"text": "hi"} for each in told)
    assert server.count("POST", "/apps/run") == 1
    assert len(platform.bodies) == 1


@pytest.mark.parametrize("breaks", BREAKS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("line", range(LINES))
@pytest.mark.parametrize("kind", ["sync", "asyncio", "trio"])
@pytest.mark.requirement("task-stream:cuts")
def test_a_stream_cut_at_any_line_comes_to_the_same_result(kind: str, line: int, breaks: Break) -> None:
    def cut(wire: Wire, stream: int, at: int) -> None:
        if (stream, at) == (1, line):
            breaks(wire)

    check(kind, Platform(*STATES, cut=cut))


@pytest.mark.parametrize("kind", ["sync", "asyncio", "trio"])
def test_a_task_that_ends_during_the_outage_is_told_to_its_end(kind: str) -> None:
    platform = Platform(*STATES)

    def cut(wire: Wire, stream: int, at: int) -> None:
        if (stream, at) == (1, 2):
            platform.tasks["t1"].finish()
            wire.cut()

    platform.cut = cut
    check(kind, platform)


@pytest.mark.parametrize("kind", ["sync", "asyncio", "trio"])
def test_every_line_may_come_on_a_stream_of_its_own(kind: str) -> None:
    def cut(wire: Wire, stream: int, at: int) -> None:
        if at == 2:  # the snapshot, and the next state
            wire.cut()

    platform = Platform(*STATES, cut=cut)
    check(kind, platform)
    assert platform.streams >= len(STATES) // 2


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["sync", "asyncio", "trio"])
def test_random_cuts_and_heartbeats_change_nothing(kind: str, seed: int) -> None:
    rng = Random(seed)
    print(f"seed {seed}")

    def cut(wire: Wire, stream: int, at: int) -> None:
        if rng.random() < 0.3:
            wire.line(HEARTBEAT)
        if rng.random() < 0.3:
            rng.choice(BREAKS)(wire)

    check(kind, Platform(*STATES, cut=cut))
