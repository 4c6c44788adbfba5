"""A task's input: what in it is a file is uploaded, and its URI put in its place (protocol.md 4.3, 10 row 52).

A string is a string: text that looks like a path or like base64 stays what it is, unless asked for.
"""

from __future__ import annotations

import base64
import binascii
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, cast

import anyio.to_thread
from pydantic import BaseModel

from agentkit.client.data_uris import is_data_uri
from agentkit.client.parallel import run_all, run_all_async
from agentkit.client.task_requests import Which
from agentkit.client.transport import AsyncTransport, Transport
from agentkit.client.uploads import from_anything, from_mark, is_file, uri_of
from agentkit.errors import UsageError
from agentkit.protocol import flows
from agentkit.protocol.flows import Outgoing

__all__ = ["prepare", "prepare_async"]

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}", re.ASCII)
_SHORTEST_BASE64 = 16  # of the SDK 0.7.8, protocol.md 4.3

Key = tuple[str, Any]
Read = Callable[[Any], Outgoing]


def prepare(transport: Transport, body: Mapping[str, Any], which: Which) -> Any:
    """The input of a run as JSON can carry it. Uploads what has to be, a few at a time. Looks at the setup, too."""
    found = _Found(body, which)
    records = run_all(transport, [flows.upload(each) for each in found.read()])
    return found.replaced(body.get("input"), [record.uri for record in records])


async def prepare_async(transport: AsyncTransport, body: Mapping[str, Any], which: Which) -> Any:
    """The async twin of `prepare`; what lies on a disk or comes through a pipe is looked at on a worker thread."""
    found = _Found(body, which)
    files = await anyio.to_thread.run_sync(found.read, abandon_on_cancel=True) if found else []
    records = await run_all_async(transport, [flows.upload(each) for each in files])
    return found.replaced(body.get("input"), [record.uri for record in records])


class _Found:
    """The files inside one input, each once however often it occurs."""

    def __init__(self, body: Mapping[str, Any], which: Which) -> None:
        if which not in ("marked", "strings", "nothing"):
            raise UsageError(f"upload is {which!r}; give 'marked', 'strings' or 'nothing'")
        self._which = which
        self._files: dict[Key, tuple[Any, Read, str]] = {}  # with how to read it, and where it was found first
        try:
            self._walk(body.get("input"), "input")
            _check_setup(body.get("setup"), "setup")
        except RecursionError:
            raise UsageError("the input holds itself, or is nested too deeply; JSON cannot carry it") from None

    def __len__(self) -> int:
        return len(self._files)

    def read(self) -> list[Outgoing]:
        """The files, ready to be sent. Raises UsageError naming the place of one that cannot be read."""
        ready: list[Outgoing] = []
        for value, read, where in self._files.values():
            try:
                ready.append(read(value))
            except UsageError as error:
                raise UsageError(f"{where}: {error}") from None
        return ready

    def _walk(self, value: Any, where: str) -> None:
        if (read := self._reader(value)) is not None:
            self._files.setdefault(_key(value), (value, read, where))
            return
        _check_number(value, where)
        for name, each in _parts(value):
            self._walk(each, f"{where}.{name}")

    def replaced(self, value: Any, uris: Sequence[str]) -> Any:
        """The same value with URIs where the files were."""
        return _replaced(value, dict(zip(self._files, uris, strict=True)), self._is_upload)

    def _is_upload(self, value: Any) -> bool:
        return self._reader(value) is not None

    def _reader(self, value: Any) -> Read | None:
        """How to read a value that has to be uploaded; None for one that has not."""
        if self._which == "nothing" or uri_of(value) is not None:
            return None
        if isinstance(value, str):
            if is_data_uri(value):
                return from_anything
            return from_anything if self._which == "strings" and _looks_like_a_file(value) else None
        return from_mark if is_file(value) else None


def _check_setup(value: Any, where: str) -> None:
    """Raises UsageError for a file: uploaded at each run it would be another setup each time, and so another worker."""
    if uri_of(value) is None and is_file(value):
        raise UsageError(
            f"{where}: a setup's files are not uploaded at each run, which would begin a new worker each time; "
            "give the uri of one that is: client.files.upload(...).uri"
        )
    _check_number(value, where)
    for name, each in _parts(value):
        _check_setup(each, f"{where}.{name}")


def _check_number(value: Any, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{where}: JSON cannot carry {value!r}; give None, or a text")


def _parts(value: Any) -> list[tuple[str, Any]]:
    """What is inside, with its name; nothing for what has no inside."""
    if uri_of(value) is not None:
        return []
    match value:
        case _ if _is_object(value):
            return [(str(name), each) for name, each in value.items()]
        case list() | tuple():
            return [(str(place), each) for place, each in enumerate(cast("Sequence[Any]", value))]
        case BaseModel():
            return _members(value)
        case _ if is_dataclass(value) and not isinstance(value, type):
            return [(each.name, getattr(value, each.name)) for each in fields(value)]
        case _:
            return []


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _replaced(value: Any, uris: Mapping[Key, str], is_upload: Callable[[Any], bool]) -> Any:
    if is_upload(value):
        return uris[_key(value)]
    if (uri := uri_of(value)) is not None:
        return uri
    parts = _parts(value)
    if isinstance(value, list | tuple):
        return [_replaced(each, uris, is_upload) for _, each in parts]
    if isinstance(value, Mapping | BaseModel) or (is_dataclass(value) and not isinstance(value, type)):
        return {name: _replaced(each, uris, is_upload) for name, each in parts}
    return value


def _members(model: BaseModel) -> list[tuple[str, Any]]:
    """What was set, by the name it travels under."""
    known = type(model).model_fields
    names = {name: known[name].serialization_alias or known[name].alias or name for name in known}
    return [(names.get(name, name), value) for name, value in model if name in model.model_fields_set]


def _key(value: Any) -> Key:
    """The same file twice is one upload: equal paths and texts, and otherwise the same object."""
    if isinstance(value, str):
        return "text", value
    return ("path", repr(value)) if isinstance(value, Path) else ("object", id(value))


def _looks_like_a_file(text: str) -> bool:
    """What the SDK 0.7.8 uploads: the name of a file here, or text that decodes as base64."""
    try:
        if len(text) < 4096 and "\x00" not in text and os.path.isfile(text):
            return True
    except (OSError, ValueError):
        return False
    if len(text) < _SHORTEST_BASE64 or len(text) % 4 or not _BASE64.fullmatch(text):
        return False
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        return False
    return True
