"""Running client tools: whatever a handler does, it comes to one result text.

Arguments that miss the schema, an exception, a result that JSON cannot carry, a time-out: each becomes
`{"error": "..."}`, which the model reads, and the other tools of the turn go on (protocol.md 6.5). Files of a result
are uploaded before it is posted.

The journal (`journal.py`) is asked first. A call that has a result there is not made again; one that was begun and has
none is made again where it is idempotent, or where its `reconcile` says that it was not done.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import anyio
from pydantic_core import to_json

from agentkit.client.crew import Crew
from agentkit.client.endings import Ending, Finished, Taken, Unknown
from agentkit.client.hooks import Hooks, after_call, before_call, settle, settle_async
from agentkit.client.journal import Claim, Entry, Journal, JournalError
from agentkit.errors import AgentKitError, APIError, ToolError, ToolResultError
from agentkit.protocol.effects import Emit, PostResult, RunTool
from agentkit.tools.client import ClientTool
from agentkit.tools.context import Progress, ToolContext, idempotency_key
from agentkit.tools.reconciling import NOT_DONE
from agentkit.tools.result import ToolOutput, result_text
from agentkit.wire import FileRef

__all__ = ["Handlers", "Started"]

logger = logging.getLogger("agentkit.tools")

FIRST_PAUSE_SECONDS: Final = 0.2  # before an idempotent handler that raised is tried again; doubled each time
LONGEST_PAUSE_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 1.0  # until a call that somebody else runs is looked at again
REFUSED: Final = (400, 413, 422)  # statuses that say that it is the result that is not taken
MAY_BE_MADE: Final = "the program that began it ended before it had a result, so the call may have been made"

T = TypeVar("T")
Tell = Callable[[Emit], None]
Upload = Callable[[Sequence[Any]], list[FileRef]]
AsyncUpload = Callable[[Sequence[Any]], Awaitable[list[FileRef]]]


class Handlers:
    """The client tools of an agent, and of those it asks, that have a function here: by agent tool and name."""

    def __init__(
        self,
        tools: Mapping[tuple[str | None, str], ClientTool[..., Any]],
        *,
        timeout_seconds: float | None = None,
        hooks: Hooks | None = None,
        journal: Journal | None = None,
    ) -> None:
        self._tools = tools
        self.timeout_seconds = timeout_seconds
        self.hooks = hooks or Hooks()
        self.journal = journal or Journal()
        self._failed: set[str] = set()
        self._files: dict[str, Sequence[FileRef]] = {}
        self._untellable: dict[str, str] = {}  # what is posted of a call that nobody knows the outcome of
        self._attempts: dict[str, int] = {}  # of the calls that were started here

    def names(self) -> frozenset[str]:
        """Which of the agent's own tools can be run here."""
        return frozenset(name for agent, name in self._tools if agent is None)

    def names_below(self) -> frozenset[tuple[str, str]]:
        """Which tools of agents that it asks can be run here: the tool that it asks them with, and the name."""
        return frozenset((agent, name) for agent, name in self._tools if agent is not None)

    def has_failed(self, invocation_id: str) -> bool:
        """Whether that call's result is an error."""
        return invocation_id in self._failed

    def files(self, invocation_id: str) -> Sequence[FileRef]:
        """The files of that call's result."""
        return self._files.get(invocation_id, ())

    def start(self, effect: RunTool, *, chat_id: str, tell: Tell) -> Started:
        """The call, ready to run."""
        self.forget(effect.id)  # what an earlier attempt came to
        self._attempts[effect.id] = effect.attempt
        return Started(self._tools[effect.agent, effect.name], effect, effect.chat_id or chat_id, tell, self)

    def result(self, invocation_id: str, value: Any, files: Sequence[FileRef]) -> str:
        """The result text of a call that went well. Raises ToolResultError for what JSON cannot carry."""
        text = result_text(value.text if isinstance(value, ToolOutput) else value)
        if files:
            self._files[invocation_id] = files
        return text

    def restored(self, invocation_id: str, entry: Entry) -> str:
        """The result text of a call that was made before."""
        if entry.failed:
            self._failed.add(invocation_id)
        if entry.files:
            self._files[invocation_id] = entry.files
        return entry.result

    def untellable(self, invocation_id: str, note: str) -> str:
        """The result text of a call that nobody knows the outcome of, where the platform cannot be told of those."""
        self._untellable[invocation_id] = text = self.error(invocation_id, f"unknown outcome: {note}")
        return text

    def instead(self, effect: PostResult, error: APIError) -> PostResult | None:
        """What is posted for a result that the platform does not take, one too large say: an error that says so.

        None where something else than the result is the matter, or no handler here gave it. That the outcome of a call
        is unknown is not replaced: an error that says less would let the model make it again.
        """
        id_ = effect.id
        if error.status_code not in REFUSED or id_ not in self._attempts or effect.result == self._untellable.get(id_):
            return None
        logger.warning("call %s: its result was not taken (HTTP %d); the model is told so", id_, error.status_code)
        self.forget(id_)
        return replace(effect, result=self.error(id_, f"the result of this call was not taken: {error}"))

    def posted(self, invocation_id: str) -> None:
        """The platform took the call's result, or has another one."""
        attempt = self._attempts.get(invocation_id)
        if attempt is not None:
            with _logged(invocation_id):
                self.journal.posted(invocation_id, attempt)

    def is_resumable(self, invocation_id: str) -> bool:
        """Whether a call that was left was started here: its journal says whether it has a result to post again."""
        return invocation_id in self._attempts

    def forget(self, invocation_id: str) -> None:
        """The call's result is taken back: neither its error nor its files count."""
        self._failed.discard(invocation_id)
        self._files.pop(invocation_id, None)
        self._untellable.pop(invocation_id, None)

    def error(self, invocation_id: str, message: str) -> str:
        """The result text of a call that failed."""
        self._failed.add(invocation_id)
        sayable = message.encode("utf-8", "backslashreplace").decode()  # a file name may hold half a surrogate pair
        return to_json({"error": sayable}).decode()


@dataclass
class Started:
    """One call of one handler."""

    tool: ClientTool[..., Any]
    effect: RunTool
    chat_id: str
    tell: Tell
    handlers: Handlers
    is_cancelled: bool = field(default=False)
    wants_stop: bool = field(default=False)  # a hook of ours ends the run with this call
    _end_loop: Callable[[], object] | None = field(default=None, repr=False)
    _cancelled: threading.Event = field(default_factory=threading.Event, repr=False)
    _is_claimed: bool = False
    _is_looking_up: bool = False  # what came of it, with the tool's own `reconcile`
    _seen: Claim | None = None  # what the journal said last

    @property
    def timeout_seconds(self) -> float | None:
        """How long it may take: what the tool says, or else what is so for every tool."""
        own = self.tool.builder.timeout_seconds
        return self.handlers.timeout_seconds if own is None else own

    def cancel(self) -> None:
        """Tells the handler that nobody waits any more (`ctx.cancelled`); ends an async one that `run_sync` runs."""
        self.is_cancelled = True
        self._cancelled.set()
        if self._end_loop is not None:
            with suppress(RuntimeError):  # it ended by itself
                self._end_loop()

    def run_sync(self, upload: Upload) -> Ending:
        """Runs it in this thread, if journal and hooks let it; an async handler gets an event loop of its own."""
        try:
            return self._carried(self._look(), upload)
        except JournalError as error:
            return self._unnoted(error)
        finally:
            self._release()

    async def run_async(self, crew: Crew, upload: AsyncUpload) -> Ending:
        """Runs it in this task, if journal and hooks let it; on a thread of the crew where it is a plain function."""
        try:
            return await self._carried_async(await self._noted(crew, self._look), crew, upload)
        except JournalError as error:
            return self._unnoted(error)
        finally:
            self._release()

    def timed_out(self) -> Ending:
        """What comes of a call that took too long; its own, later result is ignored."""
        return self._undiscovered() if self._is_looking_up else Finished(self._overdue())

    def waits_until_free(self) -> bool:
        """After `Taken`: waits until nobody runs the call any more. False: nobody waits for it here any more."""
        while not self._cancelled.wait(LOOK_SECONDS):
            if self._is_free():
                return True
        return False

    async def until_free(self, crew: Crew) -> None:
        """The same in this task, until it is cancelled."""
        is_free = False
        while not is_free:
            await anyio.sleep(LOOK_SECONDS)
            is_free = await self._noted(crew, self._is_free)

    # -- from the journal to a result ------------------------------------------------------------------------------

    def _carried(self, state: Claim, upload: Upload) -> Ending:
        hooks = self.handlers.hooks
        result: str | Unknown | None = None
        match state:
            case Claim.TAKEN:
                return Taken()
            case Claim.FINISHED:
                result = self._restored()
            case Claim.UNFINISHED:
                if self._claim() is not state:
                    return self._carried(self._look_again(), upload)
                result = self._recovered(upload)
            case Claim.NEW:
                pass
        if isinstance(result, Unknown):
            return result
        if result is None:
            denied = settle(before_call(hooks, self))
            if denied is not None:
                return Finished(denied)
            if self.is_cancelled:
                return Taken()
            if state is Claim.NEW and self._claim() is not state:
                return self._carried(self._look_again(), upload)
            result = self._run_sync(upload)
        return Finished(settle(after_call(hooks, self, result)))

    async def _carried_async(self, state: Claim, crew: Crew, upload: AsyncUpload) -> Ending:
        hooks = self.handlers.hooks
        result: str | Unknown | None = None
        match state:
            case Claim.TAKEN:
                return Taken()
            case Claim.FINISHED:
                result = await self._noted(crew, self._restored)
            case Claim.UNFINISHED:
                if await self._noted(crew, self._claim) is not state:
                    return await self._carried_async(await self._noted(crew, self._look_again), crew, upload)
                result = await self._recovered_async(crew, upload)
            case Claim.NEW:
                pass
        if isinstance(result, Unknown):
            return result
        if result is None:
            denied = await settle_async(before_call(hooks, self))
            if denied is not None:
                return Finished(denied)
            if self.is_cancelled:
                return Taken()
            if state is Claim.NEW and await self._noted(crew, self._claim) is not state:
                return await self._carried_async(await self._noted(crew, self._look_again), crew, upload)
            result = await self._run_async(crew, upload)
        return Finished(result if self.is_cancelled else await settle_async(after_call(hooks, self, result)))

    def _run_sync(self, upload: Upload) -> str:
        try:
            value = self._value()
            return self._kept(self.handlers.result(self.effect.id, value, self._sent(value, upload)))
        except Exception as error:
            return self._kept(self._explain(error))

    async def _run_async(self, crew: Crew, upload: AsyncUpload) -> str:
        try:
            with anyio.move_on_after(self.timeout_seconds):
                value = await self._value_async(crew)
                result = self.handlers.result(self.effect.id, value, await self._sent_async(value, upload))
                return await self._kept_async(crew, result)
        except Exception as error:
            return await self._kept_async(crew, self._explain(error))
        self.cancel()
        return await self._noted(crew, self._overdue)

    def _recovered(self, upload: Upload) -> str | Unknown | None:
        """What came of a call that was begun before; None: it may be made again."""
        if self.tool.builder.is_idempotent or not self.tool.reconciles:
            return None if self.tool.builder.is_idempotent else Unknown(MAY_BE_MADE)
        self._is_looking_up = True
        try:
            value = self._looked_up()
            if inspect.isawaitable(value):
                value = anyio.run(self._wait_for, value, backend="asyncio")
            if value is NOT_DONE:
                return None
            return self._kept(self.handlers.result(self.effect.id, value, self._sent(value, upload)))
        except Exception as error:
            return self._unreconciled(error)
        finally:
            self._is_looking_up = False

    async def _recovered_async(self, crew: Crew, upload: AsyncUpload) -> str | Unknown | None:
        if self.tool.builder.is_idempotent or not self.tool.reconciles:
            return None if self.tool.builder.is_idempotent else Unknown(MAY_BE_MADE)
        try:
            with anyio.move_on_after(self.timeout_seconds):
                value = await crew.call(self._looked_up)
                if inspect.isawaitable(value):
                    value = await value
                if value is NOT_DONE:
                    return None
                result = self.handlers.result(self.effect.id, value, await self._sent_async(value, upload))
                return await self._kept_async(crew, result)
        except Exception as error:
            return self._unreconciled(error)
        self.cancel()
        return self._undiscovered()

    def _looked_up(self) -> Any:
        """What the tool's own `reconcile` finds, by the key that the call was begun with."""
        key = self.handlers.journal.key(self.effect.id, self.effect.attempt)
        return self.tool.reconcile_call(self.effect.args, self._context(key))

    def _unreconciled(self, error: Exception) -> Unknown:
        logger.warning("call %s: reconcile of %s raised", self.effect.id, self.tool.name, exc_info=error)
        return Unknown(f"{MAY_BE_MADE}; looking it up failed: {type(error).__name__}: {error}")

    def _undiscovered(self) -> Unknown:
        return Unknown(f"{MAY_BE_MADE}; looking it up took longer than {self.timeout_seconds:g} s")

    def _unnoted(self, error: JournalError) -> Ending:
        """Without its journal no call is made; whether it was made before, only a journal that can be read knows."""
        if self._seen is Claim.NEW:
            return Finished(self._explain(error))
        logger.warning("call %s: %s", self.effect.id, error)
        return Unknown(f"whether the call was made cannot be looked up: {error}")

    def _overdue(self) -> str:
        message = f"tool {self.tool.name!r} took longer than {self.timeout_seconds:g} s"
        return self._kept(self.handlers.error(self.effect.id, message))

    # -- the journal -----------------------------------------------------------------------------------------------

    async def _noted(self, crew: Crew, step: Callable[[], T]) -> T:
        """A step of the journal: on a thread where it writes to a disk, and to its end."""
        if self.handlers.journal.waits:
            with anyio.CancelScope(shield=True):
                return await crew.call(step)
        return step()

    def _look(self) -> Claim:
        self._seen = None
        self._seen = self.handlers.journal.look(self.effect.id, self.effect.attempt)
        return self._seen

    def _is_free(self) -> bool:
        with suppress(JournalError):
            return self._look() is not Claim.TAKEN
        return False

    def _look_again(self) -> Claim:
        self._release()
        return self._look()

    def _claim(self) -> Claim:
        found = self.handlers.journal.claim(
            self.effect.id, self.effect.attempt, tool=self.tool.name, key=self._context().idempotency_key
        )
        self._is_claimed = found in (Claim.NEW, Claim.UNFINISHED)
        return found

    def _release(self) -> None:
        if self._is_claimed:
            self._is_claimed = False
            self.handlers.journal.release(self.effect.id, self.effect.attempt)

    def _restored(self) -> str:
        entry = self.handlers.journal.entry(self.effect.id, self.effect.attempt)
        if entry is None:
            raise JournalError(f"the journal lost the result of call {self.effect.id!r}")
        return self.handlers.restored(self.effect.id, entry)

    def _kept(self, result: str) -> str:
        """The result, once the journal has it."""
        id_ = self.effect.id
        with _logged(id_):
            entry = Entry(result, self.handlers.has_failed(id_), self.handlers.files(id_))
            self.handlers.journal.finish(id_, self.effect.attempt, entry)
        return result

    async def _kept_async(self, crew: Crew, result: str) -> str:
        return await self._noted(crew, lambda: self._kept(result))

    # -- calling it ------------------------------------------------------------------------------------------------

    def _value(self) -> Any:
        """What the handler returns, after as many attempts as it allows."""
        for pause in self._pauses():
            try:
                return self._once()
            except ToolError:
                raise
            except Exception as error:
                self._note(error, pause)
                if self._cancelled.wait(pause):
                    raise
        return self._once()

    def _once(self) -> Any:
        value = self._call()
        return anyio.run(self._wait_for, value, backend="asyncio") if inspect.isawaitable(value) else value

    async def _value_async(self, crew: Crew) -> Any:
        for pause in self._pauses():
            try:
                return await self._once_async(crew)
            except ToolError:
                raise
            except Exception as error:
                self._note(error, pause)
            await anyio.sleep(pause)
        return await self._once_async(crew)

    async def _once_async(self, crew: Crew) -> Any:
        if self.tool.is_async:
            return await self._call()
        self.handlers.journal.hold(self.effect.id, self.effect.attempt)
        value = await crew.call(self._call_to_its_end)
        return await value if inspect.isawaitable(value) else value

    def _call_to_its_end(self) -> Any:
        """The call on a thread that nobody may wait for any more: the journal hears of its result all the same."""
        try:
            value = self._call()
            if not inspect.isawaitable(value) and not (isinstance(value, ToolOutput) and value.files):
                with suppress(ToolResultError):  # it is said where somebody waits
                    self._kept(self.handlers.result(self.effect.id, value, ()))
            return value
        finally:
            self.handlers.journal.release(self.effect.id, self.effect.attempt)

    def _sent(self, value: Any, upload: Upload) -> list[FileRef]:
        """The files of a result, uploaded."""
        try:
            return upload(value.files) if isinstance(value, ToolOutput) and value.files else []
        except (AgentKitError, OSError) as error:
            raise _not_sent(error) from None

    async def _sent_async(self, value: Any, upload: AsyncUpload) -> list[FileRef]:
        try:
            return await upload(value.files) if isinstance(value, ToolOutput) and value.files else []
        except (AgentKitError, OSError) as error:
            raise _not_sent(error) from None

    def _pauses(self) -> Iterator[float]:
        """How long to wait after each attempt that is not the last one, in seconds."""
        builder, pause = self.tool.builder, FIRST_PAUSE_SECONDS
        for _ in range(builder.retries or 0 if builder.is_idempotent else 0):
            yield pause
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _note(self, error: Exception, pause: float) -> None:
        logger.info("call %s: tool %s raised; again in %g s", self.effect.id, self.tool.name, pause, exc_info=error)

    def _call(self) -> Any:
        logger.debug("call %s of tool %s", self.effect.id, self.tool.name)
        return self.tool.call(self.effect.args, self._context())

    def _context(self, key: str | None = None) -> ToolContext:
        name = self.tool.name
        return ToolContext(
            chat_id=self.chat_id,
            invocation_id=self.effect.id,
            tool_name=name,
            idempotency_key=key or idempotency_key(self.chat_id, self.effect.id, name, self.effect.args),
            is_cancelled=lambda: self.is_cancelled,
            on_progress=self._progress,
        )

    def _progress(self, progress: Progress) -> None:
        told = {"message": progress.message, "fraction": progress.fraction, "data": progress.data}
        self.tell(Emit("progress", {"invocation_id": self.effect.id, **told}))

    def _explain(self, error: Exception) -> str:
        if isinstance(error, ToolError):
            message = str(error)
        else:
            logger.warning("call %s: tool %s raised", self.effect.id, self.tool.name, exc_info=error)
            message = f"{type(error).__name__}: {error}"
        return self.handlers.error(self.effect.id, message)

    async def _wait_for(self, value: Awaitable[Any]) -> Any:
        loop = asyncio.get_running_loop()
        with anyio.CancelScope() as scope:
            self._end_loop = lambda: loop.call_soon_threadsafe(scope.cancel)
            if self.is_cancelled:
                scope.cancel()
            return await value


@contextmanager
def _logged(invocation_id: str) -> Generator[None]:
    """The call has been made: that the journal fails then must not cost its result."""
    try:
        yield
    except JournalError as error:
        logger.error("call %s: %s", invocation_id, error)


def _not_sent(error: Exception) -> ToolResultError:
    return ToolResultError(f"the files of the result could not be uploaded: {error}")
