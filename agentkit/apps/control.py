"""A worker's ends of the pipes to its server: messages on two private ones, and the log on the third.

    stdin    messages from the server
    stdout   messages to the server
    stderr   the log: whatever the app, its libraries and its children print, with marks between the phases

The app finds /dev/null for its stdin, and the log for both of the others.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from io import TextIOWrapper

from agentkit.apps.messages import Lines, Message, decode, encode

__all__ = ["Control"]

CHUNK_BYTES = 1 << 16
MARK = b"\x1e"  # "record separator": in front of the token, so that a reader sees at once what is no mark


class Control:
    """The worker's side of the conversation."""

    def __init__(self, received: int, sent: int) -> None:
        self.token = ""
        self._received = received
        self._sent = sent
        self._lock = threading.Lock()
        self._mark = 0

    @classmethod
    def take_over(cls) -> Control:
        """Takes the standard streams from the process, which is left with an empty stdin and the log."""
        received, sent = os.dup(0), os.dup(1)  # not inherited by the app's children
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
        return cls(received, sent)

    def send(self, message: Message) -> None:
        """Sends a message, waiting while the server is busy. From any thread."""
        self.send_line(encode(message))

    def send_line(self, line: bytes) -> None:
        """Sends a message that is encoded already."""
        rest = memoryview(line)
        with self._lock:
            while rest:
                rest = rest[os.write(self._sent, rest) :]

    def mark(self) -> int:
        """Writes the next mark into the log, behind everything printed so far; returns its number."""
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):  # the app closed or replaced it
                continue
        self._mark += 1
        os.write(2, MARK + f"{self.token}:{self._mark}\n".encode())
        return self._mark

    def messages(self) -> Iterator[Message]:
        """The server's messages until it hangs up."""
        lines = Lines()
        while chunk := os.read(self._received, CHUNK_BYTES):
            yield from map(decode, lines.feed(chunk))

    def listen(self, told: Callable[[Message], None], gone: Callable[[], None]) -> None:
        """Starts a thread that hands over every message as it comes, then the end."""
        threading.Thread(target=self._listen, args=(told, gone), name="agentkit-control", daemon=True).start()

    def _listen(self, told: Callable[[Message], None], gone: Callable[[], None]) -> None:
        try:
            for message in self.messages():
                told(message)
        finally:
            gone()
