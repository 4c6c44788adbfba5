"""The local bus: what a watcher of a chat is told, in which order, and what a slow one may lose."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import UsageError
from agentkit.runtime.bus.local import LocalBus
from agentkit.runtime.ports import Live, Subscription

SECONDS = 5  # how long a test waits for what must happen
NOW = 0.0  # a timeout: what is there is there


def frame(n: int) -> Live:
    return Live("delta", {"n": n})


async def told(news: Subscription) -> list[Any]:
    """Everything that waits: numbers of frames, and "grew"."""
    found: list[Any] = []
    while (batch := await news.next(NOW)) is not None:
        found += [each.data["n"] for each in batch] if batch else ["grew"]
    return found


async def test_frames_and_hints_come_in_the_order_they_were_published_in() -> None:
    bus = LocalBus()
    async with bus.subscribe("c") as news:
        bus.live("c", frame(1))
        bus.live("c", frame(2))
        bus.grew("c", 1)
        bus.live("c", frame(3))
        assert await news.next(NOW) == [frame(1), frame(2)]
        assert await news.next(NOW) == []
        assert await news.next(NOW) == [frame(3)]
        assert await news.next(NOW) is None


async def test_hints_that_follow_each_other_are_one_and_an_old_one_is_none() -> None:
    bus = LocalBus()
    async with bus.subscribe("c") as news:
        for seq in (1, 2, 3):
            bus.grew("c", seq)
        assert await told(news) == ["grew"]
        bus.grew("c", 3)
        bus.grew("c", 2)
        assert await told(news) == []
        bus.grew("c", 4)
        assert await told(news) == ["grew"]


async def test_a_watcher_hears_of_its_own_chat_only_and_every_watcher_of_it_hears() -> None:
    bus = LocalBus()
    async with bus.subscribe("c") as one, bus.subscribe("c") as other, bus.subscribe("d") as stranger:
        bus.live("c", frame(1))
        bus.grew("c", 1)
        assert await told(one) == [1, "grew"]
        assert await told(other) == [1, "grew"]
        assert await told(stranger) == []


async def test_what_was_published_before_is_not_heard_and_publishing_to_nobody_is_fine() -> None:
    bus = LocalBus()
    bus.live("c", frame(1))
    bus.grew("c", 1)
    async with bus.subscribe("c") as news:
        assert await told(news) == []
    bus.live("c", frame(2))
    bus.grew("c", 2)


@pytest.mark.parametrize(
    ("publish", "expected"),
    [(lambda bus: bus.live("c", frame(1)), [frame(1)]), (lambda bus: bus.grew("c", 1), [])],
)
async def test_a_watcher_that_waits_is_woken(publish: Callable[[LocalBus], None], expected: list[Live]) -> None:
    bus = LocalBus()
    found: list[Any] = []

    async def watch(news: Subscription) -> None:
        found.append(await news.next(SECONDS))

    async with bus.subscribe("c") as news:
        with anyio.fail_after(SECONDS / 2):
            async with anyio.create_task_group() as group:
                group.start_soon(watch, news)
                await anyio.wait_all_tasks_blocked()
                publish(bus)
    assert found == [expected]


async def test_the_time_is_over_when_nothing_came() -> None:
    bus = LocalBus()
    async with bus.subscribe("c") as news:
        started = anyio.current_time()
        assert await news.next(0.05) is None
        assert anyio.current_time() - started >= 0.04


async def test_a_cancelled_wait_loses_nothing() -> None:
    bus = LocalBus()
    async with bus.subscribe("c") as news:
        async with anyio.create_task_group() as group:
            group.start_soon(news.next, SECONDS)
            await anyio.wait_all_tasks_blocked()
            bus.live("c", frame(1))  # in the moment of the cancelling
            group.cancel_scope.cancel()
        bus.grew("c", 1)
        assert (await told(news))[-1] == "grew"


async def test_a_watcher_with_much_to_read_lets_others_run() -> None:
    bus = LocalBus()
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with bus.subscribe("c") as news, anyio.create_task_group() as group:
        group.start_soon(other)
        for n in range(50):
            bus.live("c", frame(n))
            assert await news.next(SECONDS) == [frame(n)]
        assert turns >= 10
        group.cancel_scope.cancel()


async def test_a_slow_watcher_loses_the_oldest_frames_and_knows_how_many() -> None:
    bus = LocalBus(max_live_frames=3)
    async with bus.subscribe("c") as slow, bus.subscribe("c") as quick:
        for n in range(10):
            bus.live("c", frame(n))
            assert await told(quick) == [n]
        assert await told(slow) == [7, 8, 9]
        assert (slow.dropped, quick.dropped) == (7, 0)


@given(
    published=st.lists(st.sampled_from(["frame", "grew", "read"]), max_size=60),
    bound=st.integers(1, 5),
    backend=st.sampled_from(["asyncio", "trio"]),
)
def test_however_slow_it_is_a_watcher_reads_the_log_after_it_grew_and_the_newest_frames(
    published: list[str], bound: int, backend: str
) -> None:
    async def main() -> None:
        bus = LocalBus(max_live_frames=bound)
        length = seen = frames = 0  # of the log, and how much of it the watcher has read
        since: list[int] = []  # the frames since the watcher read
        async with bus.subscribe("c") as news:
            for what in [*published, "read"]:
                match what:
                    case "frame":
                        bus.live("c", frame(frames))
                        since.append(frames)
                        frames += 1
                    case "grew":
                        length += 1
                        bus.grew("c", length)
                    case _:
                        found = await told(news)
                        assert [each for each in found if each != "grew"] == since[-bound:]
                        assert ("grew" in found) == (length > seen)
                        assert all(pair != ("grew", "grew") for pair in pairwise(found))
                        since, seen = [], length

    anyio.run(main, backend=backend)


async def test_a_hint_never_comes_before_a_frame_that_was_published_after_it_and_kept() -> None:
    bus = LocalBus(max_live_frames=2)
    async with bus.subscribe("c") as news:
        for n in range(5):
            bus.grew("c", n + 1)
            bus.live("c", frame(n))
        assert await told(news) == ["grew", 3, "grew", 4]


async def test_a_watcher_that_left_is_forgotten() -> None:
    bus = LocalBus()
    async with bus.subscribe("c") as news:
        left = weakref.ref(news)
    del news
    bus.live("c", frame(1))
    gc.collect()
    assert left() is None


async def test_leaving_with_an_exception_or_by_cancelling_raises_it_bare() -> None:
    bus = LocalBus()
    with pytest.raises(LookupError):
        async with bus.subscribe("c"):
            raise LookupError
    with anyio.move_on_after(NOW) as scope:
        async with bus.subscribe("c") as news:
            await news.next(SECONDS)
    assert scope.cancelled_caught


@pytest.mark.parametrize("bound", [0, -1])
def test_a_bound_that_keeps_nothing_is_refused(bound: int) -> None:
    with pytest.raises(UsageError, match="max_live_frames"):
        LocalBus(max_live_frames=bound)
