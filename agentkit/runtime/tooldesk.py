"""The platform's side of the port ToolExecutor: progress, files, questions to people and to the model."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import aclosing, contextmanager, nullcontext
from typing import Any, Final, TypeVar

import anyio

from agentkit.errors import ConfigError, ModelError, StoreError
from agentkit.protocol.deltas import Accumulator
from agentkit.runtime import budgets, lineage
from agentkit.runtime.asking import questions
from agentkit.runtime.budgets import Limits
from agentkit.runtime.executors import Answered, Execution, Gone, ToolFailure, ToolFile
from agentkit.runtime.files import OURS, Files
from agentkit.runtime.loop import Models
from agentkit.runtime.ports import Bus, Live, ModelRequest, Stale, Store, Writing
from agentkit.runtime.records import InterruptRecord, InvocationRecord, RunRecord
from agentkit.runtime.states import INVOCATION, is_open
from agentkit.runtime.store.blobs import TooLarge
from agentkit.runtime.work import Work
from agentkit.wire import InterruptReason, InterruptResolution, InterruptStatus, ToolInvocationStatus

__all__ = ["PROGRESS", "Desk"]

PROGRESS: Final = "tool_progress"  # the live frame: {invocation_id, message, progress, total}
LOOK_SECONDS: Final = 5.0  # an answer that another process took is seen after this long

T = TypeVar("T")

logger = logging.getLogger("agentkit.tools")


class _Patience:
    """The timeout of an attempt, and how many people it waits for."""

    def __init__(self, scope: anyio.CancelScope) -> None:
        self._scope = scope
        self._asked = 0
        self._left = math.inf  # seconds, while it stands still

    @contextmanager
    def standing_still(self) -> Generator[None]:
        """While entered, however often at a time, no time passes."""
        if not self._asked:
            self._left, self._scope.deadline = self._scope.deadline - anyio.current_time(), math.inf
        self._asked += 1
        try:
            yield
        finally:
            self._asked -= 1
            if not self._asked:
                self._scope.deadline = anyio.current_time() + self._left


class Desk:
    """What executors ask for (port ToolDesk), for all calls of a platform."""

    def __init__(self, store: Store, bus: Bus, *, files: Files, models: Models, limits: Limits) -> None:
        self._store = store
        self._bus = bus
        self._files = files
        self._models = models
        self._limits = limits
        self._patience: dict[str, _Patience] = {}  # invocation id -> the timeout of its attempt

    @contextmanager
    def on_time(self, call: Execution, scope: anyio.CancelScope) -> Generator[None]:
        """While entered, `scope` is the call's timeout: it stands still while a person is asked."""
        self._patience[call.invocation_id] = _Patience(scope)
        try:
            yield
        finally:
            self._patience.pop(call.invocation_id, None)

    async def progress(
        self, call: Execution, message: str = "", *, progress: float | None = None, total: float | None = None
    ) -> None:
        """Tells the chat's watchers how far the call is."""
        told = {"invocation_id": call.invocation_id, "message": message, "progress": progress, "total": total}
        lineage.live(self._bus, call.chat_id, Live(PROGRESS, told), call.askers)

    async def keep(self, owner: str, content: bytes, *, filename: str, content_type: str = "") -> ToolFile:
        """Stores bytes among the owner's files. Raises ToolFailure where they are too many."""

        async def chunks() -> AsyncIterator[bytes]:
            yield content

        try:
            stored = await self._files.store(owner, chunks(), filename=filename, content_type=content_type)
        except TooLarge as error:
            raise ToolFailure(f"the file {filename!r} cannot be kept: {error}") from None
        return ToolFile(f"{OURS}{stored.id}", stored.content_type, stored.filename, stored.size)

    async def read(self, owner: str, uri: str) -> tuple[bytes, str] | None:
        """The bytes and content type of a file of the owner's; None where there is no such file."""
        found = await self._files.read_uri(uri)
        return (found[0], found[1].content_type) if found and found[1].owner == owner else None

    async def ask(
        self, call: Execution, reason: InterruptReason, meta: Mapping[str, Any], *, schema: Mapping[str, Any] | None
    ) -> Answered:
        """Asks a person and waits for the answer. Raises Gone."""

        def open_question(work: Work, invocation: InvocationRecord) -> InterruptRecord:
            asked = questions.ask(work, invocation, reason, meta=meta, answer_schema=schema)
            work.tell_chat()
            work.tx.wake(work.chat.id)
            return asked

        patience = self._patience.get(call.invocation_id)
        with patience.standing_still() if patience else nullcontext():
            asked = await self.change(call, open_question)
            try:
                answered = await self._answer(asked.id)
            except BaseException:  # nobody waits for the answer any more, so nobody should be made to give one
                with anyio.CancelScope(shield=True):
                    await self._withdraw(asked)
                raise
        if answered is None or answered.status is InterruptStatus.CANCELLED:
            raise Gone
        is_allowed = answered.resolution is InterruptResolution.ALLOW
        return Answered(is_allowed, answered.resolved_data if is_allowed else None, answered.note)

    async def sample(self, call: Execution, request: ModelRequest) -> str:
        """The answer of the chat's own model, on the budget of its run. Raises ToolFailure, Gone."""
        ref = await self.change(call, self._spend)
        try:
            provider, model = self._models.pick(ref)
            said = Accumulator()
            asked = ModelRequest(model, request.system_prompt, request.messages, settings=request.settings)
            async with aclosing(provider.stream(asked)) as deltas:
                number = 0
                async for delta in deltas:
                    number += 1
                    said.apply(delta.to_wire(), number)
        except (ModelError, ConfigError) as error:
            raise ToolFailure(f"the model cannot answer the tool: {error}") from None
        return said.response

    async def change(self, call: Execution, change: Callable[[Work, InvocationRecord], T]) -> T:
        """Changes the invocation in a transaction, while this call is still ours. Raises Gone."""

        def write(tx: Writing) -> T:
            invocation, work = tx.get(InvocationRecord, call.invocation_id), Work.of(tx, call.chat_id)
            if invocation is None or work is None or not _is_ours(invocation, call):
                raise Gone
            return change(work, invocation)

        while True:
            try:
                return await self._store.write(write)
            except Stale:
                continue

    # -- parts -----------------------------------------------------------------------------------------------------

    def _spend(self, work: Work, invocation: InvocationRecord) -> str:
        """One model call of the run's budget; the model's reference."""
        run = work.tx.get(RunRecord, invocation.run_id)
        if run is None:
            raise Gone
        if (reached := budgets.spent(work.tx, run, self._limits)) is not None:
            raise ToolFailure(f"the model is not asked: {reached}")
        budgets.add(work.tx, run, turns=1)
        core = work.chat.agent.core_app
        return (core.ref if core else None) or ""

    async def _withdraw(self, asked: InterruptRecord) -> None:
        def write(tx: Writing) -> None:
            work, found = Work.of(tx, asked.chat_id), tx.get(InterruptRecord, asked.id)
            if work is not None and found is not None and found.status is InterruptStatus.PENDING:
                questions.withdraw_one(work, found)
                questions.carry_on(work)
                work.tell_chat()
                tx.wake(work.chat.id)

        try:
            await self._store.write(write)
        except (Stale, StoreError) as error:  # it goes when the call ends, or begins anew
            logger.warning("the question %s stays open: %s", asked.id, error)

    async def _answer(self, interrupt_id: str) -> InterruptRecord | None:
        """The question once it is answered; None where it is gone."""
        async with self._bus.subscribe(interrupt_id) as news:
            while True:
                found = await self._store.read(lambda tx: tx.get(InterruptRecord, interrupt_id))
                if found is None or found.status is not InterruptStatus.PENDING:
                    return found
                await news.next(LOOK_SECONDS)


def _is_ours(invocation: InvocationRecord, call: Execution) -> bool:
    """Whether the call is at this very attempt still, and nobody is asked what came of it."""
    is_asked_about = invocation.status is ToolInvocationStatus.AWAITING_APPROVAL
    return is_open(INVOCATION, invocation.status) and not is_asked_about and invocation.attempt == call.attempt
