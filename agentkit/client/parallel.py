"""Independent flows at once, a few at a time. The first that fails is raised, and no more are begun."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from typing import Any, TypeVar

import anyio

from agentkit.client.crew import Crew
from agentkit.client.transport import AsyncTransport, Transport
from agentkit.protocol.flows import Flow

__all__ = ["run_all", "run_all_async"]

T = TypeVar("T")

AT_ONCE = 4
JOIN_SECONDS = 0.2


def run_all(transport: Transport, flows: Sequence[Flow[T]]) -> list[T]:
    """What each flow returns, in their order."""
    if len(flows) <= 1:
        return [transport.run(flow) for flow in flows]
    done: queue.SimpleQueue[tuple[int, T | None, BaseException | None]] = queue.SimpleQueue()
    crew, left, results = Crew("upload"), list(enumerate(flows))[::-1], dict[int, Any]()

    def begin() -> None:
        if left:
            place, flow = left.pop()
            crew.do(lambda: _run(transport, place, flow, done))

    try:
        for _ in range(AT_ONCE):
            begin()
        while len(results) < len(flows):
            try:
                place, result, error = done.get(timeout=3600.0)  # a bare get cannot be interrupted on Windows
            except queue.Empty:
                continue
            if error is not None:
                raise error
            results[place] = result
            begin()
    finally:
        crew.dismiss(timeout_seconds=JOIN_SECONDS)
    return [results[place] for place in range(len(flows))]


async def run_all_async(transport: AsyncTransport, flows: Sequence[Flow[T]]) -> list[T]:
    """The async twin of `run_all`."""
    if len(flows) <= 1:
        return [await transport.run(flow) for flow in flows]
    results, errors, room = dict[int, T](), list[Exception](), anyio.CapacityLimiter(AT_ONCE)

    async def run(place: int, flow: Flow[T]) -> None:
        async with room:
            try:
                results[place] = await transport.run(flow)
            except Exception as error:
                errors.append(error)
                tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for place, flow in enumerate(flows):
            tasks.start_soon(run, place, flow)
    if errors:
        raise errors[0]
    return [results[place] for place in range(len(flows))]


def _run(transport: Transport, place: int, flow: Flow[T], done: queue.SimpleQueue[Any]) -> None:
    try:
        result = transport.run(flow)
    except BaseException as error:
        done.put((place, None, error))
    else:
        done.put((place, result, None))
