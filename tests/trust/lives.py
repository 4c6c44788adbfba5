"""A platform that lives more than once, driven step by step: closed in good order, or dead at a chosen moment.

A death is a copy of what is durable at that moment: the next life opens the copy, and whatever the old one does
afterwards does not count. The tool notes each execution in a ledger that no death takes back.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

import anyio

from agentkit.runtime.executors import Execution, Produced, ToolDesk
from agentkit.runtime.ports import Commit, ModelProvider
from agentkit.wire import AgentTool, ToolType
from tests.trust.clock import Clock
from tests.trust.world import World, opened

__all__ = ["Execution", "Lives", "Made"]

T = TypeVar("T")

HANGING: Final = "wait"  # begins the name of a tool that is not done before it is released


@dataclass(frozen=True, slots=True)
class Made:
    """One execution."""

    invocation_id: str
    attempt: int
    amount: str
    key: str


@dataclass
class _Life:
    """One opening of the platform. `dies_at`: commit (of a change to a call or question), before, after (the tool)."""

    path: Path
    dies_at: str = ""
    of: tuple[str, int] = ("", 0)  # the call that the commit changes, and its version before
    is_over: bool = False
    died: anyio.Event = field(default_factory=anyio.Event)


class _Till:
    """Carries out the tools of type http: notes the execution."""

    kinds: ClassVar[tuple[ToolType, ...]] = (ToolType.HTTP,)

    def __init__(self, lives: Lives, life: _Life) -> None:
        self._lives = lives
        self._life = life

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        yield

    async def bind(self, tool: AgentTool, *, owner: str) -> Sequence[AgentTool]:
        return [tool]

    def is_stale(self, tool: AgentTool) -> bool:
        return False

    def is_idempotent(self, call: Execution) -> bool:
        return False

    async def execute(self, call: Execution, desk: ToolDesk) -> Produced:
        await self._point("before")
        amount = str(call.arguments["q"])
        self._lives.ledger.append(Made(call.invocation_id, call.attempt, amount, call.idempotency_key))
        self._lives.tell()
        await self._point("after")
        if call.tool.name.startswith(HANGING):
            await self._lives.release_of(call.invocation_id).wait()
        return Produced(f"did {amount}")

    async def _point(self, name: str) -> None:
        if self._life.dies_at == name:
            self._lives.die()
        if self._life.is_over:
            await anyio.sleep_forever()


class Lives:
    """The platform's lives over copies of one database, on an event loop of their own."""

    def __init__(self, folder: Path, clock: Clock, model: Callable[[], ModelProvider]) -> None:
        self.ledger: list[Made] = []
        self.clock = clock
        self.count = 0
        self._folder = folder
        self._model = model
        self._loop = asyncio.new_event_loop()
        self._releases: dict[str, anyio.Event] = {}
        self._life = _Life(folder / "0.db")
        self._open()

    # -- living ----------------------------------------------------------------------------------------------------

    def do(self, act: Callable[[World], Coroutine[Any, Any, T]]) -> T:
        """Runs this with the platform."""
        return self._loop.run_until_complete(act(self.world))

    def do_and_die(self, act: Callable[[World], Coroutine[Any, Any, Any]], *, at: str, of: str) -> None:
        """Begins this, dies at that moment of what follows, and lives again. `of`: the call that it changes."""
        self._life.of = (of, self._version(of))
        self._life.dies_at = at
        self._loop.run_until_complete(self._until_dead(act))
        self._end()
        self._open()

    def restart(self, *, in_order: bool, after: Callable[[], object] = lambda: None) -> None:
        """Ends the life, in good order or by a death between two steps; `after` happens while nobody lives."""
        if in_order:
            self._end()
        else:
            self.die()
            self._end()
        after()
        self._open()

    def close(self) -> None:
        """The last end."""
        self._end()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def die(self) -> None:
        """This very moment is the last one that counts."""
        if self._life.is_over:
            return
        self._life.is_over = True
        self.count += 1
        self._next = self._folder / f"{self.count}.db"
        _copy(self._life.path, self._next)
        self._life.died.set()

    # -- the tool --------------------------------------------------------------------------------------------------

    def release_of(self, invocation_id: str) -> anyio.Event:
        """What an execution of a hanging tool waits for."""
        return self._releases.setdefault(invocation_id, anyio.Event())

    def release(self, invocation_id: str) -> None:
        """Lets it end."""
        self.release_of(invocation_id).set()

    def tell(self) -> None:
        """The ledger grew: whoever waits looks again."""
        self.world.tell()

    # -- parts -----------------------------------------------------------------------------------------------------

    async def _until_dead(self, act: Callable[[World], Coroutine[Any, Any, Any]]) -> None:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(act, self.world)
                await self._life.died.wait()
                group.cancel_scope.cancel()

    def _told(self, commit: Commit) -> None:
        call_id, version = self._life.of
        if self._life.dies_at == "commit" and self._version(call_id) != version:  # before anybody acts upon it
            self.die()

    def _version(self, call_id: str) -> int:
        with closing(sqlite3.connect(f"{self._life.path.as_uri()}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT version FROM invocation WHERE id = ?", [call_id]).fetchone()[0])

    def _open(self) -> None:
        ready: asyncio.Future[World] = self._loop.create_future()
        self._leave = asyncio.Event()
        self._holder = self._loop.create_task(self._hold(ready, self._leave))
        self._loop.run_until_complete(asyncio.wait([ready, self._holder], return_when=asyncio.FIRST_COMPLETED))
        if self._holder.done():
            self._holder.result()
        self.world = ready.result()

    async def _hold(self, ready: asyncio.Future[World], leave: asyncio.Event) -> None:
        """Keeps the platform open: it is left by the task that entered it."""
        life = self._life
        till = _Till(self, life)
        async with opened(
            life.path,
            clock=self.clock,
            models=[self._model()],
            told=self._told,
            executors=[till],
        ) as world:
            ready.set_result(world)
            await leave.wait()

    def _end(self) -> None:
        is_dead = self._life.is_over
        self._life.is_over = True
        self._leave.set()
        self._loop.run_until_complete(self._holder)
        self._life = _Life(self._next if is_dead else self._life.path)
        self._releases = {id: event for id, event in self._releases.items() if event.is_set()}


def _copy(source: Path, target: Path) -> None:
    os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        new.execute("PRAGMA synchronous = OFF")
        old.backup(new)
