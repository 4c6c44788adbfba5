"""A small process between the server and a worker: when either is gone, so is everything that the worker started.

The worker's own threads cannot promise that: a call that holds the interpreter (a regular expression, C code) stops
them all. So the process that the server starts forks before it has imported anything: the child becomes the worker, in
a process group of its own; the parent does nothing but wait for the worker's end or for the server's. On Linux it is
also the one that inherits what the worker leaves behind, daemons included, and the worker dies should it be killed.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import shutil
import signal
import sys
import time
import traceback
from contextlib import suppress
from types import FrameType
from typing import Any, Final, NoReturn

__all__ = ["guard"]

PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
PR_SET_CHILD_SUBREAPER: Final = 36
LOOK_MS: Final = 1000  # how often to see whether the server is still our parent, and to reap what is left to us
LOOK_OFTEN_MS: Final = 50  # where the end of a process cannot be waited for with others
CLEAN_UP_SECONDS: Final = 5.0


def guard(control: int, *, scratch: str) -> None:
    """Forks, and returns in the child. The parent guards it and ends as the child ended.

    `control` is a pipe from the server; its end is the server's. `scratch` is then removed, as nobody else will.
    SIGTERM is passed on to the worker's group, SIGINT kills everything at once.
    """
    server = os.getppid()
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    guardian = os.getpid()
    worker = os.fork()
    if worker == 0:
        _make_group(0)
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guardian:
            os._exit(1)
        return
    _make_group(worker)
    try:
        _Guardian(worker, server, control, scratch).watch()
    except BaseException:
        traceback.print_exc()
    os._exit(1)  # the worker dies with us


class _Guardian:
    def __init__(self, worker: int, server: int, control: int, scratch: str) -> None:
        self._worker = worker
        self._server = server
        self._scratch = scratch
        self._status: int | None = None
        self._poll = select.poll()
        self._control = select.poll()
        for poll in (self._control, self._poll):
            poll.register(control, 0)  # nothing but its hang-up
        self._look_ms = LOOK_OFTEN_MS
        if sys.platform == "linux":
            with suppress(OSError):
                self._poll.register(os.pidfd_open(worker), select.POLLIN)
                self._look_ms = LOOK_MS

    def watch(self) -> NoReturn:
        """Waits for the first of both to end, ends the rest, and ends as the worker did."""
        signal.signal(signal.SIGTERM, self._pass_on)
        signal.signal(signal.SIGINT, self._kill)
        os.close(1)  # the worker's answers: their end is the worker's
        while self._status is None and not self._is_alone():
            if self._poll.poll(self._look_ms):
                break
            self._reap()
        self._end_everything()
        if self._is_alone():
            shutil.rmtree(self._scratch, ignore_errors=True)
        _end_like(self._status)

    def _is_alone(self) -> bool:
        return bool(self._control.poll(0)) or os.getppid() != self._server

    def _reap(self) -> bool:
        """Takes note of every child that has ended; False where there are none any more."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == self._worker:
                    self._status = status
                if pid == 0:
                    return True
        return False

    def _end_everything(self) -> None:
        until = time.monotonic() + CLEAN_UP_SECONDS
        self._kill_group(signal.SIGKILL)
        while self._reap() and time.monotonic() < until:
            for pid in _children():  # whose own children are ours next
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self._kill_group(signal.SIGTERM)

    def _kill(self, number: int, frame: FrameType | None) -> None:
        self._kill_group(signal.SIGKILL)

    def _kill_group(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._worker, number)


def _make_group(pid: int) -> None:
    """Done on both sides of the fork, so that whoever comes first finds the group there."""
    with suppress(OSError):
        os.setpgid(pid, 0)


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def _end_like(status: int | None) -> NoReturn:
    """Ends this process as the worker ended, so that the server sees its exit code or signal."""
    if status is None:
        os._exit(1)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        library: Any = ctypes.CDLL(None)
        library.prctl(option, value, 0, 0, 0)
