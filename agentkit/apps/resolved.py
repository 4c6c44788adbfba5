"""Where a task's files come from and go to: bytes fetched already, and what stands for files in an output."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from agentkit.apps.file import File

__all__ = ["ResolvedFile", "Resolver", "WriteFile", "current_resolver", "current_writer", "resolving", "writing_files"]

WriteFile: TypeAlias = "Callable[[File], Any]"
"""Says what stands for a file in the JSON of a model."""


@dataclass(frozen=True, slots=True)
class ResolvedFile:
    """The bytes behind a URI, on this machine; what is None is read from the file itself."""

    path: str
    content_type: str | None = None
    size: int | None = None
    filename: str | None = None


@dataclass(frozen=True, slots=True)
class Resolver:
    """What `resolving` put in force. `is_closed`: a file that is not in `files` is refused, unless it is a data URI."""

    files: Mapping[str, ResolvedFile] = field(default_factory=dict[str, ResolvedFile])
    is_closed: bool = False


_NOTHING: Final = Resolver()
_resolver: ContextVar[Resolver] = ContextVar("agentkit.apps.resolver", default=_NOTHING)


@contextmanager
def resolving(files: Mapping[str, ResolvedFile], *, is_closed: bool = False) -> Generator[None]:
    """While entered, a `File` of one of these URIs takes its bytes from here and downloads nothing; it keeps the URI.

    With `is_closed` every other URL and local path is refused: the input of a task comes from somebody else, who may
    not name this machine's files nor make it call addresses.
    """
    token = _resolver.set(Resolver(files, is_closed))
    try:
        yield
    finally:
        _resolver.reset(token)


def current_resolver() -> Resolver:
    """The resolver in force here."""
    return _resolver.get()


_writer: ContextVar[WriteFile | None] = ContextVar("agentkit.apps.writer", default=None)


@contextmanager
def writing_files(writer: WriteFile) -> Generator[None]:
    """While entered, `writer` says what is written for each `File` of a model that is dumped."""
    token = _writer.set(writer)
    try:
        yield
    finally:
        _writer.reset(token)


def current_writer() -> WriteFile | None:
    """The writer in force here."""
    return _writer.get()
