"""`advance(chat)`: plan in the store, ask the model outside it, save the answer; return whenever it would wait.

Nothing is held in memory while a chat waits for a person, a client or its turn, so a restart goes on from the rows.
"""

from __future__ import annotations

import logging
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import anyio

from agentkit.errors import ConfigError, ModelError, StoreError
from agentkit.protocol.deltas import Accumulator, Applied
from agentkit.runtime import held, lineage
from agentkit.runtime.answers import Answer, take_answer
from agentkit.runtime.binding import Binder
from agentkit.runtime.budgets import Limits
from agentkit.runtime.cancelling import is_cancelled
from agentkit.runtime.faults import Fault
from agentkit.runtime.here import Here
from agentkit.runtime.plan import AskedElsewhere, AskModel, Rebind, plan
from agentkit.runtime.ports import Bus, Live, ModelMessage, ModelProvider, ModelRequest, Stale, Store, Wake, Writing
from agentkit.runtime.records import RunRecord
from agentkit.runtime.runs import end, keep_said
from agentkit.runtime.states import RunEvent
from agentkit.runtime.work import Work
from agentkit.wire import AgentConfig, ChatMessageStatus, LLMDelta

__all__ = ["Images", "Loop", "Models"]

logger = logging.getLogger("agentkit.loop")

SNAPSHOT_SECONDS = 0.1  # protocol.md 7.2 rule 3: growing messages, about ten a second


class Models(Protocol):
    """Finds who answers to a reference."""

    def pick(self, ref: str) -> tuple[ModelProvider, str]:
        """The provider and its name for the model. Raises ModelNotFoundError or ConfigError."""
        ...

    async def aclose(self) -> None:
        """Closes the providers' connections."""
        ...


class Images(Protocol):
    """Reads the platform's own files for a model that cannot."""

    async def read(self, uri: str) -> tuple[bytes, str] | None:
        """The bytes and content type behind one of our URIs; None for a foreign one."""
        ...


@dataclass
class Draft:
    """An answer while the model writes it."""

    message: Mapping[str, Any]  # the ChatMessageDTO with nothing in it yet
    said: Accumulator
    seq: int = 0

    def snapshot(self) -> dict[str, Any]:
        """The message as far as it is; `delta_seq` names the last delta in it."""
        return {**self.message, "content": _answer(self.said).content(), "delta_seq": self.seq}


class Loop:
    """Moves chats on. One per process; correctness comes from the store's compare-and-set, not from this object."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        *,
        models: Models,
        images: Images,
        limits: Limits,
        here: Here,
        is_alive: Callable[[str], bool],
        wake: Callable[[Wake], None],
        binder: Binder | None = None,
    ) -> None:
        self._store = store
        self._bus = bus
        self._models = models
        self._images = images
        self._limits = limits
        self._here = here
        self._is_alive = is_alive
        self._wake = wake
        self._binder = binder or Binder(())
        self._drafts: dict[str, Draft] = {}  # chat id -> what is being written

    def draft(self, chat_id: str) -> dict[str, Any] | None:
        """The chat's message that the model is writing right now, as far as it is."""
        draft = self._drafts.get(chat_id)
        return draft.snapshot() if draft else None

    async def advance(self, chat_id: str) -> None:
        """Moves the chat on until it waits. May be called twice: a lost race is left to the winner."""
        is_stale: Callable[[AgentConfig], bool] = self._binder.is_stale
        while True:
            planned = partial(
                plan,
                chat_id=chat_id,
                limits=self._limits,
                here=self._here.engine_id,
                is_alive=self._is_alive,
                is_stale=is_stale,
            )
            try:
                todo = await self._store.write(planned)
            except Stale:
                logger.debug("chat %s changed under the plan; planning again", chat_id)
                continue
            match todo:
                case None:
                    return
                case AskedElsewhere():
                    self._wake(Wake(chat_id, todo.look_at))
                    return
                case Rebind():
                    await self._rebind(todo)
                    is_stale = _is_fresh  # once per model call: tools that change all the time must not keep it waiting
                case AskModel():
                    await self._ask(todo)
                    is_stale = self._binder.is_stale

    async def _rebind(self, todo: Rebind) -> None:
        try:
            agent = await self._binder.bind(todo.given, owner=todo.owner)
        except Fault as fault:
            logger.warning("chat %s goes on with the tools it has: %s", todo.chat_id, fault)
            return
        except (Stale, StoreError):
            raise
        except Exception:  # an executor's bug; raised, it would keep the chat from ever going on
            logger.exception("chat %s goes on with the tools it has", todo.chat_id)
            return

        def save(tx: Writing) -> None:
            work = Work.of(tx, todo.chat_id)
            is_meant = work is not None and (work.chat.given or work.chat.agent) == todo.given
            if work is not None and is_meant and self._is_unasked(work):
                work.save_chat(agent=agent, given=todo.given)

        await self._store.write(save)

    def _is_unasked(self, work: Work) -> bool:
        """Whether no model was shown the tools yet: what it calls is of those, and so is what people are asked."""
        run = work.open_run
        return run is not None and not self._is_asked_elsewhere(run) and _is_unanswered(work, run)

    def _is_asked_elsewhere(self, run: RunRecord) -> bool:
        return run.asked_by not in (None, self._here.engine_id) and self._is_alive(run.asked_by)

    async def _ask(self, todo: AskModel) -> None:
        draft = Draft(todo.message, Accumulator())
        try:
            answer = await self._answer(todo, draft)
        except (ModelError, ConfigError) as error:
            await self._give_up(todo, str(error), said=draft.snapshot())
        except Exception:
            logger.exception("chat %s: the model provider broke", todo.chat_id)
            await self._give_up(todo, "internal error in the model provider", said=draft.snapshot())
        else:
            await self._take(todo, answer)

    async def _take(self, todo: AskModel, answer: Answer) -> None:
        """Saves the answer. One that cannot be kept ends the run: asking again would pay for the same once more."""
        try:
            await self._save(todo, lambda work, run: take_answer(work, run, answer, limits=self._limits))
        except (Stale, StoreError):
            raise
        except Exception:
            logger.exception("chat %s: the model's answer cannot be kept", todo.chat_id)
            await self._give_up(todo, "internal error: the answer cannot be kept")

    async def _give_up(self, todo: AskModel, reason: str, *, said: Mapping[str, Any] | None = None) -> None:
        """Ends the run for this reason, unless another process asks the model by now: it may have more luck."""

        def change(work: Work, run: RunRecord) -> None:
            if run.asked_by == self._here.engine_id:
                keep_said(work, run, said)
                end(work, run, RunEvent.FAIL, error=reason)

        await self._save(todo, change)

    async def _answer(self, todo: AskModel, draft: Draft) -> Answer:
        provider, model = self._models.pick(todo.ref)
        logger.debug("chat %s run %s: ask %s", todo.chat_id, todo.run_id, todo.ref)
        request = await self._with_images(replace(todo.request, model=model))
        self._drafts[todo.chat_id] = draft
        try:
            async with aclosing(provider.stream(request)) as deltas:
                await self._follow(todo, draft, deltas)
        except anyio.get_cancelled_exc_class():
            if is_cancelled():
                raise
            # it would take this task's group with it, and with that every chat's advance
            raise ModelError(f"{provider.name}: the provider gave the answer up (cancelled inside)") from None
        finally:
            self._drafts.pop(todo.chat_id, None)
        return _answer(draft.said)

    async def _follow(self, todo: AskModel, draft: Draft, deltas: AsyncIterator[LLMDelta]) -> None:
        told = 0.0
        async for delta in deltas:
            draft.seq += 1
            body = delta.to_wire()
            taken = draft.said.apply(body, draft.seq)
            if not isinstance(taken, Applied):
                raise ModelError(f"the model provider gave a delta that is none: {taken}")
            frame = {"delta": body, "seq": draft.seq, "resource_id": draft.message["id"]}
            lineage.live(self._bus, todo.chat_id, Live("delta", frame), todo.askers)
            if time.monotonic() - told >= SNAPSHOT_SECONDS:
                told = time.monotonic()
                lineage.live(self._bus, todo.chat_id, Live("chat_messages", draft.snapshot()), todo.askers)

    async def _with_images(self, request: ModelRequest) -> ModelRequest:
        """The request with our own files as data URIs: no model can fetch `inf://`."""
        messages: list[ModelMessage] = []
        for message in request.messages:
            images = [await self._data_uri(uri) for uri in message.images]
            messages.append(replace(message, images=images) if images else message)
        return replace(request, messages=messages)

    async def _data_uri(self, uri: str) -> str:
        found = await self._images.read(uri)
        return uri if found is None else f"data:{found[1]};base64,{b64encode(found[0]).decode()}"

    async def _save(self, todo: AskModel, change: Callable[[Work, RunRecord], object]) -> None:
        """Saves what came of the model call, unless the run moved on meanwhile (stopped, or answered by another)."""

        def commit(tx: Writing) -> None:
            work = Work.of(tx, todo.chat_id)
            run = work.open_run if work else None
            is_this = run is not None and (run.id, run.message_id) == (todo.run_id, todo.message["id"])
            if work and run and is_this and run.asked_by is not None and _is_unanswered(work, run):
                change(work, run)
            else:
                logger.debug("chat %s run %s: moved on; answer dropped", todo.chat_id, todo.run_id)

        await held.save(self._store, commit, what=f"chat {todo.chat_id}: the answer")


def _is_fresh(agent: AgentConfig) -> bool:
    return False


def _is_unanswered(work: Work, run: RunRecord) -> bool:
    return work.message(run.message_id).status is ChatMessageStatus.PENDING


def _answer(said: Accumulator) -> Answer:
    return Answer(said.response, said.reasoning, said.tool_calls, said.usage or {})
