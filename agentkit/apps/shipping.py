"""Outputs on their way to the server: JSON, with the files that the app made taken out and listed."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from agentkit.apps.cache import download_url
from agentkit.apps.file import File
from agentkit.apps.models import BaseAppOutput
from agentkit.apps.resolved import ResolvedFile, writing_files
from agentkit.errors import AppOutputError

__all__ = ["Shipment", "TaskFiles", "ship"]


class TaskFiles(dict[str, ResolvedFile]):
    """The files that a task's input may name: those the server fetched, and what http(s) URLs lead to.

    Any other path or URI is refused where this is what a closed resolver looks in.
    """

    def get(self, uri: str, default: Any = None) -> Any:
        """The bytes of the URI; a URL is downloaded when it is asked for. Raises FileError where that fails."""
        if uri not in self and uri.lower().startswith(("http://", "https://")):
            self[uri] = ResolvedFile(download_url(uri))
        return super().get(uri, default)


class Shipment:
    """An output as JSON, and the files to be stored: `{token: n}` in `value` stands for `files[n]`."""

    def __init__(self, given: Mapping[str, ResolvedFile], token: str) -> None:
        self.value: Any = None
        self.files: list[dict[str, Any]] = []
        self.missing: list[str] = []
        self._given = given
        self._token = token

    def add(self, file: File) -> dict[str, Any]:
        """What stands for the file: its URI where it is the sender's own, else a place in `files`."""
        known = file.to_dict()
        given = self._given[file.uri] if file.uri is not None and file.uri in self._given else None
        if file.path is None or (given is not None and given.path == file.path):
            return {name: value for name, value in known.items() if name != "path"}
        if not file.exists():
            self.missing.append(file.path)
        self.files.append({**known, "path": os.path.abspath(file.path), "uri": None})
        return {self._token: len(self.files) - 1}


def ship(output: BaseModel, *, given: Mapping[str, ResolvedFile], token: str) -> Shipment:
    """The output as JSON, its files listed. Raises AppOutputError for what JSON cannot carry."""
    shipment = Shipment(given, token)
    try:
        strange = next(_strange_numbers(output.model_dump(by_alias=True)), None)  # which JSON mode turns into null
        with writing_files(shipment.add):
            shipment.value = output.model_dump(mode="json", by_alias=True, exclude=_left_out(output))
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise AppOutputError(f"the output cannot be written as JSON: {error}") from error
    for path in shipment.missing:  # not raised in there: pydantic would wrap it
        raise AppOutputError(f"output file {path!r} does not exist; write it before it is returned")
    if strange is not None:
        raise AppOutputError(f"the output has a number at {strange} that JSON cannot carry (nan, inf)")
    return shipment


def _left_out(output: BaseModel) -> set[str]:
    """The platform's outputs have an `output_meta` only where the app has given one."""
    is_bare = isinstance(output, BaseAppOutput) and getattr(output, "output_meta", None) is None
    return {"output_meta"} if is_bare else set()


def _strange_numbers(value: Any, path: str = "") -> Iterator[str]:
    """The paths of the numbers that are nan or infinite."""
    match value:
        case float() if not math.isfinite(value):
            yield path
        case dict():
            for name, item in cast("Mapping[Any, Any]", value).items():
                yield from _strange_numbers(item, f"{path}.{name}" if path else str(name))
        case list() | tuple() | set() | frozenset():
            for index, item in enumerate(cast("Iterable[Any]", value)):
                yield from _strange_numbers(item, f"{path}.{index}" if path else str(index))
        case _:
            return
