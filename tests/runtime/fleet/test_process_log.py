"""The log of a worker, as it comes out of a pipe: lines whole, marks taken out, nothing lost or mixed up."""

from __future__ import annotations

import random

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.apps.control import MARK
from agentkit.runtime.fleet.exits import exit_reason
from agentkit.runtime.fleet.log import LINE_BYTES, TAIL_LINES, ProcessLog

TOKEN = "0123456789abcdef"


def mark(number: int) -> bytes:
    return MARK + f"{TOKEN}:{number}\n".encode()


def read(*chunks: bytes) -> str:
    said: list[str] = []
    log = ProcessLog(TOKEN)
    log.sink = said.append
    for chunk in chunks:
        log.feed(chunk)
    log.close()
    return "".join(said)


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ([b"one\n", b"two\n"], "one\ntwo\n"),
        ([b"o", b"ne\ntw", b"o"], "one\ntwo"),
        ([b"one\n", mark(1), b"two\n"], "one\ntwo\n"),
        ([b"no end", mark(1), b"two\n"], "no end\ntwo\n"),
        ([b"a" + mark(1)[:9], mark(1)[9:], b"b"], "a\nb"),
        ([b"gr\xc3", b"\xbc\xc3\x9fe\n"], "grüße\n"),
        ([b"\xff\n"], "\N{REPLACEMENT CHARACTER}\n"),
        ([MARK + b"another token:1\n"], "\x1eanother token:1\n"),
        ([], ""),
    ],
)
def test_what_is_said_comes_out_without_the_marks(chunks: list[bytes], said: str) -> None:
    assert read(*chunks) == said


@given(st.lists(st.sampled_from([b"line\n", b"part", b"\n", mark(1), mark(2)])), st.integers(1, 40))
def test_it_does_not_matter_how_the_pipe_cuts_it(parts: list[bytes], size: int) -> None:
    stream = b"".join(parts)
    assert read(stream) == read(*(stream[at : at + size] for at in range(0, len(stream), size)))


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    said: list[str] = []
    log = ProcessLog(TOKEN)
    log.sink = said.append
    for _ in range(100):
        log.feed(b"x" * 10_000)
    assert sum(map(len, said)) >= 1_000_000 - LINE_BYTES - 10_000


def test_the_tail_is_the_last_lines() -> None:
    log = ProcessLog(TOKEN)
    log.feed(b"".join(b"%d\n" % number for number in range(100)))
    assert len(log.tail) >= TAIL_LINES - 1
    assert log.tail[-1] == "99"


async def test_a_mark_is_waited_for_and_no_longer_than_it_takes() -> None:
    log = ProcessLog(TOKEN)
    reached: list[int] = []

    async def wait(number: int) -> None:
        await log.reached(number, timeout_seconds=10)
        reached.append(number)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for number in random.sample([1, 2, 3], 3):
                group.start_soon(wait, number)
            await anyio.wait_all_tasks_blocked()
            log.feed(mark(2))
            await anyio.wait_all_tasks_blocked()
            assert sorted(reached) == [1, 2]
            log.close()
    assert sorted(reached) == [1, 2, 3]
    with anyio.fail_after(5):
        await ProcessLog(TOKEN).reached(1, timeout_seconds=0.01)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (0, "ended with exit code 0"),
        (-11, "was killed by signal 11 (SIGSEGV): a crash in native code"),
        (-10, "was killed by signal 10 (SIGUSR1)"),
        (-99, "was killed by signal 99"),
        (None, "is gone"),
    ],
)
def test_the_end_of_a_process_in_words(code: int | None, reason: str) -> None:
    assert exit_reason(code) == reason
