"""What is left early leaves nothing behind: loops that break, tasks of a map that take too long."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from agentkit.errors import TaskTimeoutError
from tests.client.hostile import Hostile
from tests.client.tasking import DONE, RUNNING, Platform, meeting

Meet = Callable[..., tuple[Any, Hostile]]
WITHIN_SECONDS = 5.0


@pytest.fixture(params=["sync", "asyncio", "trio"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def meet(kind: str) -> Iterator[Meet]:
    with ExitStack() as stack:
        yield lambda platform, **settings: stack.enter_context(meeting(kind, platform, **settings))


@contextmanager
def no_collector() -> Iterator[None]:
    """Only the dropping itself may close what is dropped."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def endless() -> Platform:
    platform = Platform(RUNNING, DONE)
    platform.pauses.clear()  # stays at its first state
    return platform


def ours() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name.startswith("agentkit-")}


def gone(threads: Callable[[], set[threading.Thread]]) -> bool:
    """Whether all of them end within bounds."""
    until = time.monotonic() + WITHIN_SECONDS
    for each in threads():
        each.join(max(0.0, until - time.monotonic()))
    return not threads()


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_a_loop_over_a_stream_that_breaks_ends_its_threads_and_not_the_task(timeout: float | None) -> None:
    platform = endless()
    with meeting("sync", platform) as (client, _), no_collector():
        before = ours()
        for task in client.tasks.run({"app": "acme/a"}, stream=True, timeout=timeout):
            assert task.id == "t1"
            break
        assert gone(lambda: ours() - before)
        assert not platform.tasks["t1"].cancelled.is_set()


def test_a_loop_over_a_map_that_breaks_cancels_what_is_under_way() -> None:
    platform = endless()
    platform.first = {"status": 10, "output": 1}  # the first is over when its POST answers, the others are not
    begin = platform.begin

    def begun(body: dict[str, Any]) -> Any:
        live = begin(body)
        platform.first = {"status": 1}
        return live

    platform.begin = begun  # type: ignore[method-assign]  # the platform's own next state
    with meeting("sync", platform) as (client, _), no_collector():
        before = ours()
        for task in client.tasks.map([{}] * 9, "acme/a", concurrency=2, ordered=False):
            assert task.output == 1
            break
        assert gone(lambda: ours() - before)
        others = [live for live in platform.tasks.values() if not live.is_over or live.task["status"] == 12]
        assert len(others) <= 2
        assert all(live.cancelled.is_set() for live in others)


def test_a_map_goes_on_where_its_loop_was_left_while_somebody_holds_it() -> None:
    with meeting("sync", Platform(DONE)) as (client, _):
        results = client.tasks.map([{}] * 4, "acme/a")
        for _ in results:
            break
        assert len(list(results)) == 3


def test_a_task_of_a_map_that_takes_too_long_is_cancelled(meet: Meet) -> None:
    platform = endless()
    client, _ = meet(platform)
    [error] = client.tasks.map([{}], "acme/a", timeout=0.1, return_exceptions=True).all()
    assert isinstance(error, TaskTimeoutError)
    assert str(error) == "task 't1' was not over within 0.1 s, and was cancelled"
    assert platform.tasks["t1"].cancelled.is_set()


def test_a_task_alone_that_takes_too_long_goes_on_and_the_error_says_what_may_be_done(meet: Meet) -> None:
    platform = endless()
    client, _ = meet(platform)
    with pytest.raises(TaskTimeoutError, match=r"'t1' was not over within 0.1 s, and goes on; .*wait_for_.*cancel\("):
        client.tasks.run({"app": "acme/a"}, timeout=0.1)
    assert not platform.tasks["t1"].cancelled.is_set()
