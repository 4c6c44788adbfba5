"""A task's input: what in it is a file is uploaded, and its URI put in its place (protocol.md 4.3, 10 row 52).

A string is a string: text that looks like a path or like base64 stays what it is, unless asked for.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, cast

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


def prepare(transport: Transport, value: Any, which: Which) -> Any:
    """The input as JSON can carry it. Uploads what has to be, a few at a time."""
    found = _Found(which)
    found.look(value)
    records = run_all(transport, [flows.upload(each) for each in found.files.values()])
    return found.replaced(value, [record.uri for record in records])


async def prepare_async(transport: AsyncTransport, value: Any, which: Which) -> Any:
    """The async twin of `prepare`."""
    found = _Found(which)
    found.look(value)
    records = await run_all_async(transport, [flows.upload(each) for each in found.files.values()])
    return found.replaced(value, [record.uri for record in records])


class _Found:
    """The files inside one input, each once however often it occurs."""

    def __init__(self, which: Which) -> None:
        if which not in ("marked", "strings", "nothing"):
            raise UsageError(f"upload is {which!r}; give 'marked', 'strings' or 'nothing'")
        self.files: dict[Key, Outgoing] = {}
        self._which = which

    def look(self, value: Any) -> None:
        """Finds everything in the input."""
        try:
            self.walk(value, "input")
        except RecursionError:
            raise UsageError("the input holds itself, or is nested too deeply; JSON cannot carry it") from None

    def walk(self, value: Any, where: str) -> None:
        """Finds what has to be uploaded. Raises UsageError naming the place of what cannot be."""
        if (read := self._reader(value)) is not None:
            key = _key(value)
            if key not in self.files:
                try:
                    self.files[key] = read(value)
                except UsageError as error:
                    raise UsageError(f"{where}: {error}") from None
            return
        for name, each in _parts(value):
            self.walk(each, f"{where}.{name}")

    def replaced(self, value: Any, uris: Sequence[str]) -> Any:
        """The same value with URIs where the files were."""
        return _replaced(value, dict(zip(self.files, uris, strict=True)), self._is_upload)

    def _is_upload(self, value: Any) -> bool:
        return self._reader(value) is not None

    def _reader(self, value: Any) -> Callable[[Any], Outgoing] | None:
        """How to read a value that has to be uploaded; None for one that has not."""
        if self._which == "nothing" or uri_of(value) is not None:
            return None
        if isinstance(value, str):
            if is_data_uri(value):
                return from_anything
            return from_anything if self._which == "strings" and _looks_like_a_file(value) else None
        return from_mark if is_file(value) else None


def _parts(value: Any) -> list[tuple[str, Any]]:
    """What is inside, with its name; nothing for what has no inside."""
    if uri_of(value) is not None:
        return []
    match value:
        case Mapping():
            return _entries(cast("Mapping[Any, Any]", value))
        case list() | tuple():
            return [(str(place), each) for place, each in enumerate(cast("Sequence[Any]", value))]
        case BaseModel():
            return _members(value)
        case _ if is_dataclass(value) and not isinstance(value, type):
            return [(each.name, getattr(value, each.name)) for each in fields(value)]
        case _:
            return []


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


def _entries(mapping: Mapping[Any, Any]) -> list[tuple[str, Any]]:
    return [(str(name), each) for name, each in mapping.items()]


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
