"""Daemon threads on demand: as many as there is work at once, reused, gone when the crew is dismissed.

No executor of the standard library, and no worker threads of anyio: those keep a program from ending while a blocking
handler holds one of them.
"""

from __future__ import annotations

import contextvars
import itertools
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import anyio
import anyio.from_thread
from anyio.lowlevel import current_token

__all__ = ["Crew"]

T = TypeVar("T")

_numbers = itertools.count(1)


class Crew:
    """Threads that run jobs. Jobs must not raise."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._busy = 0

    def do(self, job: Callable[[], object]) -> None:
        """Runs the job soon, in the context of the caller."""
        context = contextvars.copy_context()
        with self._lock:
            self._busy += 1
            if self._busy > len(self._threads):
                self._hire()
        self._jobs.put(lambda: context.run(job))

    async def call(self, function: Callable[[], T]) -> T:
        """What the function returns or raises, from an event loop. Being cancelled abandons it: it runs to its end."""
        done, loop = anyio.Event(), current_token()
        values: list[T] = []
        errors: list[BaseException] = []

        def job() -> None:
            try:
                values.append(function())
            except BaseException as error:
                errors.append(error)
            with suppress(RuntimeError):  # that event loop is over, and with it whoever waited
                anyio.from_thread.run_sync(done.set, token=loop)

        self.do(job)
        await done.wait()
        if errors:
            raise errors[0]
        return values[0]

    def dismiss(self, *, timeout_seconds: float) -> None:
        """Ends the threads that have nothing to do, and each other one after its job; waits so long for them."""
        with self._lock:
            threads, self._threads = self._threads, []
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            thread.join(timeout_seconds)

    def _hire(self) -> None:
        thread = threading.Thread(target=self._work, daemon=True, name=f"agentkit-{self._name}-{next(_numbers)}")
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            finally:
                with self._lock:
                    self._busy -= 1
