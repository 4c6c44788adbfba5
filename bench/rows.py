"""The rows of the table: what is compared with what, and how much of it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

import httpx
from anyio.from_thread import start_blocking_portal

from agentkit import Runtime, async_inference, inference
from bench import bare, imports, ours
from bench.calls import calls
from bench.measure import Contest, Row, Spread, alone, beside, cost_of
from bench.server import DELTAS, Clockwork, serving

__all__ = ["FULL", "QUICK", "ROWS", "Size"]

Turns: TypeAlias = Callable[[str, int], object]
Ways: TypeAlias = Mapping[str, tuple[Turns, Turns]]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. `turns`, `streams` and `calls` are done per repetition."""

    repetitions: int
    turns: int
    streams: int
    calls: int
    imports: int


FULL: Final = Size(repetitions=11, turns=10, streams=1, calls=20, imports=7)
QUICK: Final = Size(repetitions=2, turns=2, streams=1, calls=2, imports=1)


@contextmanager
def ways() -> Generator[Ways]:
    """Sync and async, each as the bare turns and ours, with connections that last as long as the block."""
    with (
        serving() as url,
        httpx.Client(base_url=url, headers=bare.HEADERS, timeout=30) as http,
        inference(base_url=url) as client,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            httpx.AsyncClient(base_url=url, headers=bare.HEADERS, timeout=30)
        ) as async_http,
        portal.wrap_async_context_manager(async_inference(base_url=url)) as async_client,
    ):
        yield {
            "sync": (partial(bare.turns, http), partial(ours.turns, client)),
            "async": (
                lambda kind, count: portal.call(bare.turns_async, async_http, kind, count),
                lambda kind, count: portal.call(ours.turns_async, async_client, kind, count),
            ),
        }


def turn(size: Size) -> Iterator[Row]:
    """What a turn costs its client, with and without a client tool."""
    with ways() as contestants:
        for kind, what in (("short", "text"), ("tool", "one tool")):
            for way, (by_hand, with_us) in contestants.items():
                contest = Contest.hold(
                    bare=partial(by_hand, kind, size.turns),
                    ours=partial(with_us, kind, size.turns),
                    repetitions=size.repetitions,
                )
                name = f"turn, {what}, {way}"
                yield beside(name, "cpu ms per turn", contest, read=lambda cost: 1e3 * cost.cpu_seconds / size.turns)


def stream(size: Size) -> Iterator[Row]:
    """What a streamed event costs its reader, and how many come in a second."""
    deltas = DELTAS["long"] * size.streams
    with ways() as contestants:
        for way, (by_hand, with_us) in contestants.items():
            contest = Contest.hold(
                bare=partial(by_hand, "long", size.streams),
                ours=partial(with_us, "long", size.streams),
                repetitions=size.repetitions,
            )
            yield beside(
                f"stream, {way}", "cpu us per event", contest, read=lambda cost: 1e6 * cost.cpu_seconds / deltas
            )
            yield beside(f"stream, {way}", "events per second", contest, read=lambda cost: deltas / cost.wall_seconds)


def runtime(size: Size) -> Iterator[Row]:
    """Turns with the platform in this process, its database in memory: client, server and store together."""
    with Runtime(models={"bench": Clockwork()}, environ={}) as platform, platform.client() as client:
        for kind, what in (("short", "text"), ("tool", "one tool")):
            job = partial(ours.turns, client, kind, size.turns)
            job()
            costs = [cost_of(job) for _ in range(size.repetitions)]
            name = f"in process, {what}"
            yield alone(name, "turns per second", [size.turns / cost.wall_seconds for cost in costs])
            yield alone(name, "cpu ms per turn", [1e3 * cost.cpu_seconds / size.turns for cost in costs])


def start(size: Size) -> Iterator[Row]:
    """What importing costs, beside importing httpx."""
    statements = {
        "import agentkit": "import agentkit",
        "import Runtime": "from agentkit import Runtime",
        "import inference": "from agentkit import inference",
    }
    for name, statement in statements.items():
        rounds = [
            [imports.milliseconds(each) for each in ("import httpx", "import httpx", statement)]
            for _ in range(size.imports)
        ]
        yield Row(
            name,
            "ms",
            Spread.of([mine for _, _, mine in rounds]),
            Spread.of([first for first, _, _ in rounds]),
            Spread.of([mine / first for first, _, mine in rounds]),
            Spread.of([second / first for first, second, _ in rounds]),
        )


ROWS: Final[Mapping[str, Callable[[Size], Iterator[Row]]]] = {
    "turn": turn,
    "stream": stream,
    "runtime": runtime,
    "call": lambda size: calls(size.repetitions, size.calls),
    "import": start,
}
