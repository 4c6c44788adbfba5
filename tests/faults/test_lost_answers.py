"""Requests that never arrive, answers that never come back, silence, echoes and delays: one turn, every effect once."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.faults.desk import Desk
from tests.faults.play import open_files
from tests.faults.proxy import Cut, Plan, Proxy, each, first_of, once
from tests.faults.turns import Trial, run_all, run_all_async
from tests.runtime.serving import Served, served

pytestmark = pytest.mark.heavy  # many whole turns

STREAM = r"GET /chats/[^/]+/stream"
CHAT = r"GET /chats/[^/?]+$"
RUN = r"POST /agents/run$"
RESULT = r"POST /tools/[^/]+$"
LATE_SECONDS = 0.3
SILENT = Cut("request", "silence")
LOSSES = [
    Cut("request"),
    Cut("request", "rst"),
    Cut("answer"),
    Cut("answer", "rst"),
    Cut("half"),
    Cut("half", "rst"),
    Cut("answer", "late", seconds=LATE_SECONDS),
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    files = open_files()
    with served(
        providers={"desk": Desk(pause_seconds=0.001)}, db=tmp_path / "agentkit.db", synchronous="FULL"
    ) as found:
        yield found
    assert open_files() == files


def twice(pattern: str, cut: Cut) -> Plan:
    """Both of the first two such requests."""
    return first_of(once(pattern, cut), once(pattern, cut))


def named(what: str, cut: Cut) -> str:
    return f"{what}: {cut.where} {cut.how}"


def lost_messages() -> list[Trial]:
    """POST /agents/run, in a new chat and in a known one."""
    return [
        Trial(partial(twice, RUN, cut), is_known=is_known, name=named("message", cut))
        for cut in LOSSES
        for is_known in (False, True)
    ]


def lost_results() -> list[Trial]:
    """POST /tools/{id}, of the first two, which are the two tools' or one's twice."""
    return [Trial(partial(twice, RESULT, cut), name=named("result", cut)) for cut in LOSSES]


def lost_looks() -> list[Trial]:
    """GET /chats/{id}, which nobody sends before the stream breaks."""

    def plan(cut: Cut) -> Plan:
        return first_of(once(STREAM, Cut("after_line", line=7)), twice(CHAT, cut))

    return [Trial(partial(plan, cut), name=named("look", cut)) for cut in LOSSES]


def lost_streams() -> list[Trial]:
    """GET /chats/{id}/stream, before its first byte."""
    cuts = [Cut("request"), Cut("request", "rst"), Cut("answer"), Cut("answer", "rst")]
    return [
        Trial(partial(twice, STREAM, cut), is_known=is_known, name=named("stream", cut))
        for cut in cuts
        for is_known in (False, True)
    ]


def silences() -> list[Trial]:
    """Connections that stand while nothing comes over them."""
    streams = [
        Trial(
            partial(once, STREAM, Cut("after_line", "silence", line=line)),
            name=f"silence after line {line}",
            settings={"quiet_seconds": 0.2},
        )
        for line in (0, 1, 5, 12, 18)
    ]
    requests = [
        Trial(partial(once, pattern, SILENT), name=f"silence: {pattern}", settings={"timeout_seconds": 0.4})
        for pattern in (RUN, RESULT)
    ]
    return [*streams, *requests]


def echoes() -> list[Trial]:
    """Lines that come twice."""
    return [
        Trial(partial(once, STREAM, Cut("after_line", "twice", line=line)), name=f"line {line} twice")
        for line in range(1, 18)
    ]


def polled() -> list[Trial]:
    """No stream at all, wanted or not, and of the polls every third is lost."""
    losses = (None, None, Cut("answer"), None, None, Cut("half", "rst"))
    polls = {"stream": False, "poll_seconds": 0.03}
    return [
        Trial(partial(each, CHAT, *losses), is_known=is_known, name="polls", settings=polls)
        for is_known in (False, True)
    ]


def flaky(seed: int) -> list[Trial]:
    """A link that never holds for longer than a few lines."""
    chance = random.Random(seed)

    def cuts() -> Sequence[Cut]:
        return [
            Cut(chance.choice(["after_line", "in_line"]), chance.choice(["fin", "rst"]), line=chance.randint(1, 6))
            for _ in range(20)
        ]

    return [
        Trial(partial(each, STREAM, *cuts()), script, is_known, f"flaky, seed {seed}")
        for script in ("together", "in_turn")
        for is_known in (False, True)
    ]


def check_hit(make: Callable[[], list[Trial]], proxies: Sequence[Proxy]) -> None:
    """Every cut happened; of those at a line of the stream most: deltas that wait for a slow reader become one."""
    missed = [proxy for proxy in proxies if not proxy.cuts]
    assert len(missed) <= (len(proxies) // 2 if make in (echoes, silences) else 0)


TABLE = [
    pytest.param(make, id=make.__name__)
    for make in (lost_messages, lost_results, lost_looks, lost_streams, silences, echoes, polled)
]


@pytest.mark.requirement("fault:lost-answers")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", TABLE)
def test_what_gets_lost_on_the_way_is_neither_lost_nor_done_twice(
    server: Served, tmp_path: Path, make: Callable[[], list[Trial]]
) -> None:
    check_hit(make, run_all(make(), server.port, tmp_path))


@pytest.mark.requirement("fault:lost-answers")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", TABLE)
@pytest.mark.thorough
async def test_what_gets_lost_on_the_way_is_neither_lost_nor_done_twice_async(
    server: Served, tmp_path: Path, make: Callable[[], list[Trial]]
) -> None:
    check_hit(make, await run_all_async(make(), server.port, tmp_path))


@pytest.mark.requirement("fault:cuts")
@pytest.mark.timeout(60)
def test_a_link_that_breaks_again_and_again_carries_a_turn_to_its_end(server: Served, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    cuts = [proxy.cuts for proxy in run_all(flaky(seed), server.port, tmp_path)]
    assert all(cuts) and sum(cuts) > 2 * len(cuts)


@pytest.mark.requirement("fault:cuts")
@pytest.mark.timeout(60)
@pytest.mark.thorough
async def test_a_link_that_breaks_again_and_again_carries_an_async_turn_to_its_end(
    server: Served, tmp_path: Path
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    cuts = [proxy.cuts for proxy in await run_all_async(flaky(seed), server.port, tmp_path)]
    assert all(cuts) and sum(cuts) > 2 * len(cuts)
