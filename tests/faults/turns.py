"""One turn through a proxy, with either client: sent, broken as the plan says, and checked to the last event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from agentkit import AsyncInference, Inference
from tests.faults.desk import QUESTION, agent
from tests.faults.play import Ledger, Told, patient
from tests.faults.proxy import EVERYTHING_PASSES, Plan, Proxy

__all__ = ["Trial", "run_all", "run_all_async"]

AT_ONCE = 8
TURN_SECONDS = 30.0


@dataclass(frozen=True)
class Trial:
    """One turn and what is done to it. `is_known`: the chat had a turn before, so the stream is opened first."""

    plan: Callable[[], Plan]
    script: str = "together"
    is_known: bool = False
    name: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    def run(self, port: int, ledger: Ledger) -> Proxy:
        """The turn with the sync client. Raises AssertionError where it did not go as it must."""
        with Proxy(port) as proxy, Inference(config=patient(proxy.url, **self.settings)) as client:
            desk = client.agent({**agent(self.script), "tools": ledger.tools()})
            if self.is_known:
                desk.send_message(QUESTION)
            proxy.plan, proxy.lines = self.plan(), 0
            with desk.stream(QUESTION) as turn:
                told = Told(list(turn))
            lines, proxy.plan = proxy.lines, EVERYTHING_PASSES
            told.check(desk.get_chat(), ledger=ledger, turns=1 + self.is_known)
            proxy.lines = lines
        return proxy

    async def run_async(self, port: int, ledger: Ledger) -> Proxy:
        """The same with the async client."""
        with Proxy(port) as proxy:
            async with AsyncInference(config=patient(proxy.url, **self.settings)) as client:
                desk = client.agent({**agent(self.script), "tools": ledger.tools()})
                if self.is_known:
                    await desk.send_message(QUESTION)
                proxy.plan, proxy.lines = self.plan(), 0
                with anyio.fail_after(TURN_SECONDS):
                    async with desk.stream(QUESTION) as turn:
                        told = Told([event async for event in turn])
                lines, proxy.plan = proxy.lines, EVERYTHING_PASSES
                told.check(await desk.get_chat(), ledger=ledger, turns=1 + self.is_known)
                proxy.lines = lines
        return proxy


def run_all(trials: Sequence[Trial], port: int, folder: Path) -> list[Proxy]:
    """Every trial, some at once, each with a client of its own."""

    def run(numbered: tuple[int, Trial]) -> Proxy:
        number, trial = numbered
        with _named(trial):
            return trial.run(port, Ledger(folder / f"{number}.calls"))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(run, enumerate(trials)))


async def run_all_async(trials: Sequence[Trial], port: int, folder: Path) -> list[Proxy]:
    """The same with the async client."""
    found: dict[int, Proxy] = {}
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def run(number: int, trial: Trial) -> None:
        async with limiter:
            with _named(trial):
                found[number] = await trial.run_async(port, Ledger(folder / f"{number}.calls"))

    async with anyio.create_task_group() as tasks:
        for number, trial in enumerate(trials):
            tasks.start_soon(run, number, trial)
    return [found[number] for number in range(len(trials))]


class _named:
    """Says which trial an error is about."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, Exception):
            error.add_note(f"trial: {self._trial.name}, script {self._trial.script}, known chat {self._trial.is_known}")
