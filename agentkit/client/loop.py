"""What every thread driver is made of: one inbox, one machine, timers, and threads that read, send and run.

The machine is asked in the caller's thread only, where callbacks and Ctrl-C happen too. What a machine's effects mean
is said in the driver that is built on this: `drive_sync` for a turn, `drive_task_sync` for a task.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from agentkit.client.crew import Crew
from agentkit.client.transport import AsyncTransport, Incoming, Transport
from agentkit.errors import AgentKitError
from agentkit.protocol.effects import StartTimer, Timer
from agentkit.protocol.lines import BadLine, Item

__all__ = ["Loop", "Machine", "given_up_after", "hear"]

JOIN_SECONDS = 2.0  # for threads that were told to end; a request that hangs has its own timeout
LEAVE_SECONDS = 0.2


class Machine(Protocol):
    """What turn and task machine have in common; every method returns the effects to do."""

    def stream_opened(self, attempt: int) -> list[Any]:
        """The stream's headers came, and they are 2xx."""
        ...

    def stream_lost(self, attempt: int, error: Exception | None = None) -> list[Any]:
        """The stream ended, broke, or could not be had."""
        ...

    def wire(self, attempt: int, line: Any) -> list[Any]:
        """A decoded line of the stream."""
        ...

    def bad_event(self, attempt: int, error: Exception) -> list[Any]:
        """A line that could not be decoded."""
        ...

    def timer(self, timer: Timer) -> list[Any]:
        """A timer fired."""
        ...

    def leave(self) -> list[Any]:
        """Nobody listens any more."""
        ...


M = TypeVar("M", bound=Machine)
T = TypeVar("T")
Where: TypeAlias = tuple[str, dict[str, str]]  # path and query


def _nothing(machine: Machine, reply: Any) -> list[Any]:
    """What is asked for by an answer that nobody waits for."""
    return []


class Loop(Generic[M]):
    """The parts of a thread driver. `put` may be called from any thread, everything else from the loop's own."""

    def __init__(self, transport: Transport, machine: M, *, name: str) -> None:
        self.machine = machine
        self._transport = transport
        self._inbox: queue.SimpleQueue[Callable[[M], list[Any]]] = queue.SimpleQueue()
        self._timers: dict[str, tuple[float, Callable[[M], list[Any]]]] = {}
        self._readers: dict[int, Reader[M]] = {}
        self._crew = Crew(name)

    def put(self, input_: Callable[[M], list[Any]]) -> None:
        """Hands the machine something that happened."""
        self._inbox.put(input_)

    def start_timer(self, name: str, seconds: float, then: Callable[[M], list[Any]]) -> None:
        """Puts `then` after so many seconds, in place of an earlier timer of that name."""
        self._timers[name] = (time.monotonic() + seconds, then)

    def _start(self, effect: StartTimer) -> None:
        self.start_timer(effect.timer.name, effect.seconds, lambda machine: machine.timer(effect.timer))

    def _open(self, attempt: int, where: Where) -> None:
        reader = self._readers[attempt] = Reader(self._transport, attempt, where, self.put, self._raise_here)
        reader.start()

    def _close(self, attempt: int) -> None:
        if (reader := self._readers.get(attempt)) is not None:
            reader.stop()

    def _ask(
        self,
        request: Callable[[], T],
        *,
        then: Callable[[M, T], list[Any]] = _nothing,
        failed: Callable[[M, AgentKitError], list[Any]],
    ) -> None:
        """Sends a request on a thread, and puts what became of it."""

        def job() -> None:
            try:
                reply = request()
            except AgentKitError as error:
                failure = error
                self.put(lambda machine: failed(machine, failure))
                return
            self.put(lambda machine: then(machine, reply))

        self._do(job)

    def _do(self, job: Callable[[], object]) -> None:
        self._crew.do(lambda: self._raise_here(job))

    def _raise_here(self, job: Callable[[], object]) -> None:
        """Runs the job; what it should not have raised (a handler's SystemExit too) is raised where the caller is."""
        try:
            job()
        except BaseException as error:
            failure = error

            def fail(_: M) -> list[Any]:
                raise failure

            self.put(fail)

    def _next(self) -> Callable[[M], list[Any]]:
        """The next input, or the next timer to fall due."""
        name = min(self._timers, default=None, key=lambda each: self._timers[each][0])
        wait = 3600.0 if name is None else max(0.0, self._timers[name][0] - time.monotonic())
        try:
            return self._inbox.get(timeout=wait)  # always a timeout: a bare get cannot be interrupted on Windows
        except queue.Empty:
            return (lambda machine: []) if name is None else self._timers.pop(name)[1]

    def _end(self, *, settled: bool) -> None:
        self.machine.leave()  # nothing more than its books: what was under way is left, the effects are done here
        for reader in self._readers.values():
            reader.stop()
        timeout = JOIN_SECONDS if settled else LEAVE_SECONDS
        for reader in self._readers.values():
            reader.join(timeout)
        self._crew.dismiss(timeout_seconds=LEAVE_SECONDS)


class Reader(threading.Thread, Generic[M]):
    """One attempt to read a stream."""

    def __init__(
        self,
        transport: Transport,
        attempt: int,
        where: Where,
        put: Callable[[Callable[[M], list[Any]]], None],
        guard: Callable[[Callable[[], object]], None],
    ) -> None:
        super().__init__(daemon=True, name=f"agentkit-stream-{attempt}")
        self._transport = transport
        self._attempt = attempt
        self._where = where
        self._put = put
        self._guard = guard
        self._lock = threading.Lock()
        self._incoming: Incoming | None = None
        self._is_stopped = False

    def stop(self) -> None:
        """Ends the reading, from any thread."""
        with self._lock:
            self._is_stopped = True
            incoming = self._incoming
        if incoming is not None:
            incoming.abort()

    def run(self) -> None:
        """What the thread does."""
        self._guard(self._read)

    def _read(self) -> None:
        attempt, failure = self._attempt, None
        try:
            path, query = self._where
            with self._transport.stream(path, query=query, quiet_seconds=given_up_after(self._transport)) as incoming:
                with self._lock:
                    self._incoming = incoming
                    if self._is_stopped:
                        return
                self._put(lambda machine: machine.stream_opened(attempt))
                for chunk in incoming.response.iter_bytes():
                    self._tell(incoming.reader.feed(chunk))
                self._tell(incoming.reader.end())
        except AgentKitError as error:
            failure = error
        if not self._is_stopped:
            self._put(lambda machine: machine.stream_lost(attempt, failure))

    def _tell(self, items: list[Item]) -> None:
        if items and not self._is_stopped:
            self._put(lambda machine: hear(machine, self._attempt, items))


def given_up_after(transport: Transport | AsyncTransport) -> float:
    """How long a stream may be silent: the link hangs up then (protocol/link.py); it bounds the beginning, too."""
    return 2 * transport.config.quiet_seconds


def hear(machine: Machine, attempt: int, items: list[Item]) -> list[Any]:
    """What one piece of the stream says, line by line."""
    effects: list[Any] = []
    for item in items:
        match item:
            case BadLine():
                effects += machine.bad_event(attempt, item.to_error())
            case line:
                effects += machine.wire(attempt, line)
    return effects
