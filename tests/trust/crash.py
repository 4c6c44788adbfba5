"""`kill -9` between every two statements of what answers a question: `python -m tests.trust.crash OPERATION`.

A point is a place where a process may end: before a statement of the writing connection runs, after a commit and
before anybody is told of it, and inside the payment service, before and after it has paid. A dry run lists the points
by name and looks, with a connection of its own, at what is durable there; what must be true after a restart follows
from that (`expected`). Then one process per point dies there, and another one opens the file and goes on.

Processes are forks of this one, which has imported everything and opened nothing.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import anyio
import httpcore  # noqa: F401  # httpx imports it when it is first used, which would be in every life anew
from pydantic import BaseModel

from agentkit.runtime.faults import Fault
from agentkit.runtime.ports import Reading
from agentkit.runtime.records import ChatRecord, InterruptRecord, InvocationRecord
from agentkit.wire import ChatStatus, ToolInvocationStatus
from tests.trust import payments
from tests.trust.clock import BEGIN, Clock
from tests.trust.durable import (
    BEFORE,
    DB,
    UNKNOWN,
    Fate,
    State,
    durable_in,
    in_question,
    ledger_of,
    looked_up,
    paid_in,
    restarted,
)
from tests.trust.operations import MONTH, OPERATIONS, Act, Asked, Operation, allow, approve, deny
from tests.trust.world import World, opened

__all__ = ["OPERATIONS", "Outcome", "killed"]


SERVICE: Final = ("before", "after")  # the payment service has paid; only where it is called at all


# -- lives -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting:
    """Where the lives of one operation are lived."""

    name: str
    port: int
    template: Path

    @property
    def operation(self) -> Operation:
        return OPERATIONS[self.name]

    def agent(self) -> dict[str, Any]:
        """The agent that pays."""
        return {"core_app": {"ref": "scripted/model"}, "tools": [payments.tool(self.port, **self.operation.tool)]}

    @contextmanager
    def copy(self) -> Generator[Path]:
        """The template's database and ledger, for one death."""
        with tempfile.TemporaryDirectory(dir=self.template.parent) as name:
            for each in self.template.iterdir():
                if each.is_file():
                    shutil.copy(each, name)
            yield Path(name)

    def opened(self, folder: Path, *, fate: str = "lives", clock: Clock | None = None, **more: Any) -> Any:
        """The platform over the folder's database."""
        told = payments.secrets(ledger=ledger_of(folder), fate=fate)
        host = f"127.0.0.1:{self.port}"
        return opened(
            folder / DB, clock=clock, secrets=told, allow_hosts=[host], max_concurrent=1, **more
        )  # one advance at a time: the points come in one order


async def prepare(setting: Setting) -> None:
    """Makes the template: a chat that waits for the operation."""
    async with setting.opened(setting.template) as world:
        chat_id = await world.say(setting.agent())
        await world.until(lambda tx: _waits(tx, chat_id))
        if setting.name == "result":
            ledger_of(setting.template).note("ten", "client")  # its client has paid, and tells so in a moment


async def become_unknown(setting: Setting) -> None:
    """Approves in a process that dies when the payment is made, and asks again."""
    async with setting.opened(setting.template) as world:
        await world.until(lambda tx: looked_up(tx, setting.name, payments=0).is_unknown)
    before = setting.template / BEFORE
    before.write_text(str(len(ledger_of(setting.template).lines())))


async def live(setting: Setting, folder: Path, fate: Fate, *, service: str = "lives") -> None:
    """Does the operation, and what follows from it."""
    async with setting.opened(folder, fate=service, trace=fate.statement, told=fate.committed) as world:
        asked = await _asked(world, setting.name)
        fate.begin()
        await setting.operation.act(world, asked)
        await world.until(lambda tx: tx.find(ChatRecord, status=ChatStatus.IDLE))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file whose process died at a point."""

    point: str
    found: str  # once the restarted platform rests
    again: str  # what somebody hears who does the operation again: taken, or the code of the refusal
    payments: int  # when all is over
    end: str = "completed"  # of the run


def expected(operation: str, point: str, durable: State) -> Outcome:
    """What must become of a file in which this was durable when the process died at the point."""
    found = restarted(operation, durable)
    again = "taken" if found.question == "pending" or operation == "result" else "already_resolved"
    pays = again == "taken" and OPERATIONS[operation].again is allow
    return Outcome(point, str(found), again, found.payments + pays)


async def go_on(setting: Setting, folder: Path) -> tuple[str, str, int, str]:
    """What a restarted platform finds; then the operation is done again, and everything brought to its end."""
    late = setting.name == "expire"
    clock = Clock(BEGIN)
    clock.forward(MONTH if late else 60.0)
    async with setting.opened(folder, clock=clock) as world:
        await world.until(lambda tx: _rests(tx, is_late=late))
        asked = await _asked(world, setting.name)
        found = await world.store.read(lambda tx: looked_up(tx, setting.name, payments=paid_in(folder)))
        again = await _try(setting.operation.again, world, asked)
        await world.until(_rests)
        for each in await world.find(InterruptRecord, status="pending"):
            await deny(world, Asked(asked.chat_id, asked.call_id, each.id, ""))
        await world.until(lambda tx: tx.find(ChatRecord, status=ChatStatus.IDLE))
        [run] = await world.runs(asked.chat_id)
        return str(found), again, paid_in(folder), str(run.state.value)


async def _try(act: Act, world: World, asked: Asked) -> str:
    try:
        await act(world, asked)
    except Fault as fault:
        return fault.code
    return "taken"


async def _asked(world: World, name: str) -> Asked:
    [chat] = await world.find(ChatRecord)
    [call] = await world.calls(chat.id)
    questions = [each.model_dump(mode="json") for each in await world.questions(chat.id)]
    question = in_question(name, questions) or {}
    return Asked(chat.id, call.id, question.get("id", ""), question.get("arguments_hash", ""))


def _waits(tx: Reading, chat_id: str) -> bool:
    """Whether a person is asked and the run is parked, or a client has the call."""
    return bool(tx.find(ChatRecord, id=chat_id, status=ChatStatus.AWAITING_INPUT)) or _is_out(tx)


def _is_out(tx: Reading) -> bool:
    return bool(tx.find(InvocationRecord, status=ToolInvocationStatus.AWAITING_INPUT))


def _rests(tx: Reading, *, is_late: bool = False) -> bool:
    """Whether the platform has nothing to do any more."""
    [chat] = tx.find(ChatRecord)
    if is_late:
        return chat.status is ChatStatus.IDLE
    return chat.status is not ChatStatus.BUSY or _is_out(tx)


# -- forks -------------------------------------------------------------------------------------------------------------


class Broken(Exception):
    """A life ended otherwise than it should."""


def fork(live: Callable[[], Any], *, dies: bool = False) -> Any:
    """What `live` returns (JSON), from a process of its own; None from one that died by SIGKILL, as it should."""
    news, tell = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(news)
            with open(tell, "w") as out:
                json.dump(live(), out)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(tell)
    with open(news) as told:
        said = told.read()
    _, status = os.waitpid(child, 0)
    if dies:
        if not os.WIFSIGNALED(status):
            raise Broken(f"a life did not end where it should: {status}, {said}")
        return None
    if status:
        raise Broken(f"a life broke: {status}")
    return json.loads(said)


@contextmanager
def service() -> Generator[int]:
    """The payment service in a process of its own; its port."""
    server = payments.serve()
    child = os.fork()
    if not child:
        try:
            server.serve_forever()
        finally:
            os._exit(0)
    port = server.server_address[1]
    server.server_close()
    try:
        yield int(port)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def dry(setting: Setting) -> list[tuple[str, State]]:
    """The points of the operation up to the end of the run, and what is durable at each."""
    with setting.copy() as folder:

        def run() -> Any:
            fate = Fate(setting.name, look=lambda: durable_in(folder, setting.name))
            anyio.run(live, setting, folder, fate)
            return [(name, asdict(state)) for name, state in fate.points]

        found = [(name, State(**state)) for name, state in fork(run)]
    end = next(place for place, (_, state) in enumerate(found) if state.is_over)
    return found[: end + 1] + _of_service(setting, found)


def _of_service(setting: Setting, found: list[tuple[str, State]]) -> list[tuple[str, State]]:
    claimed = next((state for _, state in found if state.is_claimed), None)
    if claimed is None:
        return []
    return [
        (f"{setting.name}:service:{when}", State(claimed.question, claimed.call, True, payments=payments))
        for payments, when in enumerate(SERVICE)
    ]


def die(setting: Setting, point: str) -> Outcome:
    """Dies at the point, and goes on in another process."""
    with setting.copy() as folder:
        at_service = point.rpartition(":service:")[2] if ":service:" in point else "lives"
        fork(lambda: anyio.run(_doomed, setting, folder, point, at_service), dies=True)
        found, again, paid, end = fork(lambda: anyio.run(go_on, setting, folder))
    return Outcome(point, found, again, paid, end)


async def _doomed(setting: Setting, folder: Path, point: str, at_service: str) -> None:
    await live(setting, folder, Fate(setting.name, at=point), service=at_service)


@contextmanager
def settled(name: str) -> Generator[Setting]:
    """The setting of an operation, made ready."""
    with tempfile.TemporaryDirectory(prefix="agentkit-crash-") as folder, service() as port:
        setting = Setting(name, port, Path(folder) / "template")
        setting.template.mkdir()
        if setting.name == UNKNOWN:
            fork(lambda: anyio.run(prepare_unknown, setting), dies=True)
            fork(lambda: anyio.run(become_unknown, setting))
        else:
            fork(lambda: anyio.run(prepare, setting))
        yield setting


async def prepare_unknown(setting: Setting) -> None:
    """As `prepare`, but the process dies in the payment that it approves."""
    async with setting.opened(setting.template, fate="after") as world:
        chat_id = await world.say(setting.agent())
        await world.until(lambda tx: _waits(tx, chat_id))
        await approve(world, await _asked(world, "approve"))
        await world.until(lambda tx: tx.find(ChatRecord, status=ChatStatus.IDLE))


def _below(kind: type[BaseModel]) -> set[type[BaseModel]]:
    return {each for below in kind.__subclasses__() for each in (below, *_below(below))}


def main(name: str, how: str = "writes") -> None:
    """Prints the points of an operation with what must follow, as a JSON line; then each outcome.

    `how`: "all" dies at all of them, "writes" not before what only reads, "none" nowhere.
    """
    anyio.run(anyio.sleep, 0)  # what is imported or made once is so before the forks
    for model in _below(BaseModel):
        model.model_rebuild()  # or each life would build those that it meets
    gc.collect()
    gc.freeze()
    with settled(name) as setting:
        points = dry(setting)
        print(json.dumps([asdict(expected(name, point, state)) for point, state in points]), flush=True)
        for point, _ in points:
            if how == "all" or (how == "writes" and ":SELECT " not in point):
                print(json.dumps(asdict(die(setting, point))), flush=True)


# -- from a test -------------------------------------------------------------------------------------------------------


def killed(name: str, how: str = "writes") -> tuple[list[Outcome], list[Outcome]]:
    """What must come of a death at each point of an operation, and what came of those that were died."""
    command = [sys.executable, "-m", "tests.trust.crash", name, how]
    points, *deaths = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.splitlines()
    return [Outcome(**each) for each in json.loads(points)], [Outcome(**json.loads(line)) for line in deaths]


if __name__ == "__main__":
    main(*sys.argv[1:])
