"""`File`: a file as an app sees it, whichever way its sender named it (seeds/003, "file handling").

>>> from agentkit.apps import File
>>> picture = File("/no/such/picture.png", content_type="image/png")
>>> picture.exists(), picture.to_dict()
(False, {'path': '/no/such/picture.png', 'content_type': 'image/png'})
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self, cast
from urllib.parse import urlsplit

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from agentkit.apps.cache import SHOWN, download_url, save_data_uri
from agentkit.apps.content_type import guess_content_type
from agentkit.apps.resolved import ResolvedFile, current_resolver, current_writer
from agentkit.errors import FileError

__all__ = ["File"]

_SCHEME: Final = re.compile(r"(data):|([A-Za-z][A-Za-z0-9+.-]+)://")  # one letter would be a Windows drive
_MEMBERS: Final = ("uri", "path", "content_type", "size", "filename")


class File:
    """A file on this machine: `path`, and `uri` where it came from one. Content type, size and name are filled in.

    It is made from a URL (downloaded at once, into a cache), a local path, a data URI, `file://...`, another file, or
    the object `{uri, path, content_type, size, filename}`. A local path may be written later: the file is looked at
    when it is needed. In JSON Schema it is `{"type": "string", "format": "file"}`; it is written as the object of what
    is known. Raises FileError, which is a ValueError.
    """

    uri: str | None
    path: str | None
    content_type: str | None
    size: int | None
    filename: str | None

    def __init__(
        self,
        source: str | os.PathLike[str] | Mapping[str, Any] | File | None = None,
        *,
        uri: str | None = None,
        path: str | os.PathLike[str] | None = None,
        content_type: str | None = None,
        size: int | None = None,
        filename: str | None = None,
    ) -> None:
        named = {"uri": uri, "path": path, "content_type": content_type, "size": size, "filename": filename}
        members = {**_members(source), **_checked(named)}
        if not members.get("uri") and not members.get("path"):
            raise FileError("a file needs a 'uri' or a 'path', as in File('https://...') or File(path='out.png')")
        self.uri = members.get("uri") or None
        self.path = members.get("path") or None
        self.content_type = members.get("content_type") or None
        self.size = members.get("size")
        self.filename = members.get("filename") or None
        self._find()
        self._fill()

    @classmethod
    def from_path(cls, path: str | os.PathLike[str]) -> Self:
        """The file at a local path, with its content type, size and name."""
        return cls(path)

    def exists(self) -> bool:
        """Whether the bytes are on this machine, now."""
        return self.path is not None and os.path.isfile(self.path)

    def refresh_metadata(self) -> None:
        """Reads content type, size and name again, for a file that has changed."""
        if self.exists():
            self.content_type = self.size = self.filename = None
            self._fill()

    def to_dict(self) -> dict[str, Any]:
        """What is known, as JSON: `{uri, path, content_type, size, filename}` without the nulls.

        What was not known when the file was made, because it had not been written yet, is looked up now. In a model
        that is dumped within `writing_files`, the writer's answer stands in its place.
        """
        known = self._looked_up()
        return {name: value for name in _MEMBERS if (value := known[name]) is not None}

    def __fspath__(self) -> str:
        if self.path is None:
            raise FileError(f"{self!r} is not on this machine")
        return self.path

    def __repr__(self) -> str:
        named = ((name, getattr(self, name)) for name in _MEMBERS)
        shown = ", ".join(f"{name}={_short(value)!r}" for name, value in named if value is not None)
        return f"File({shown})"

    # -- finding the bytes -----------------------------------------------------------------------------------------

    def _find(self) -> None:
        resolver = current_resolver()
        found = resolver.files.get(self.uri) if self.uri else None
        if found is not None:
            self._take(found)
        elif resolver.is_closed and not _is_data(self.uri):
            raise FileError(
                f"{_short(self.uri or self.path)!r} was not made available to this task: text is not uploaded; pass "
                "Path(...), bytes, or the uri that client.files.upload(...) answers"
            )
        elif self.path is not None and not resolver.is_closed and (self.uri is None or os.path.exists(self.path)):
            self.path = os.path.abspath(_local(self.path))
        else:
            self._fetch(self.uri or "")

    def _take(self, found: ResolvedFile) -> None:
        self.path = found.path
        self.content_type = self.content_type or found.content_type
        self.size = found.size
        self.filename = self.filename or found.filename

    def _fetch(self, uri: str) -> None:
        match _scheme(uri):
            case "" | "file":
                self.uri, self.path = None, os.path.abspath(_local(uri))
            case "http" | "https":
                self.path = download_url(uri)
            case "data":
                self.path, content_type = save_data_uri(uri)
                self.content_type = self.content_type or content_type
            case "inf":
                raise FileError(f"{uri!r} is a file of the platform, which only the runtime of a task can fetch")
            case scheme:
                raise FileError(f"cannot fetch {_short(uri)!r}: {scheme}:// is unknown; use https://, data: or a path")

    def _fill(self) -> None:
        known = self._looked_up()
        self.content_type, self.size, self.filename = known["content_type"], known["size"], known["filename"]

    def _looked_up(self) -> dict[str, Any]:
        known: dict[str, Any] = {name: getattr(self, name) for name in _MEMBERS}
        if self.path is None or not self.exists():
            return known
        name = known["filename"] or os.path.basename(self.path)
        found = {
            "content_type": known["content_type"] or guess_content_type(self.path, name=name),
            "size": os.path.getsize(self.path) if known["size"] is None else known["size"],
            "filename": name,
        }
        return {**known, **found}

    # -- as a field of a model -------------------------------------------------------------------------------------

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validated, serialization=core_schema.plain_serializer_function_ser_schema(cls._written)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "format": "file"}

    @classmethod
    def _validated(cls, value: Any) -> File:
        if isinstance(value, File):
            return value
        if value in ("", {}, None):
            raise FileError("a file is needed here; give a URL, a data URI or an object with 'uri'")
        return cls(value)

    @staticmethod
    def _written(file: File) -> Any:
        writer = current_writer()
        return file.to_dict() if writer is None else writer(file)


def _members(source: Any) -> dict[str, Any]:
    """What a source says of a file. Raises FileError for what names none."""
    match source:
        case None:
            return {}
        case File():
            return {name: getattr(source, name) for name in _MEMBERS}
        case str():
            return {"uri": source}
        case os.PathLike():
            return {"path": os.fspath(cast("os.PathLike[str]", source))}
        case Mapping():
            return _checked(cast("Mapping[str, Any]", source))
        case _:
            raise FileError(f"a file is a URL, path, data URI or object with 'uri', not {type(source).__name__}")


def _checked(source: Mapping[str, Any]) -> dict[str, Any]:
    members = {name: source[name] for name in _MEMBERS if source.get(name) is not None}
    for name, value in members.items():
        kinds = int if name == "size" else (str, os.PathLike) if name == "path" else str
        if not isinstance(value, kinds) or isinstance(value, bool):
            right = "a number" if name == "size" else "text"
            raise FileError(f"{name!r} of a file is {right}, not {type(value).__name__}")
    return {**members, "path": os.fspath(members["path"])} if "path" in members else members


def _is_data(uri: str | None) -> bool:
    return uri is not None and _scheme(uri) == "data"


def _scheme(uri: str) -> str:
    """The scheme in lower case, "" for a path."""
    found = _SCHEME.match(uri.lower())
    return (found[1] or found[2]) if found else ""


def _local(path: str) -> str:
    """A path, also of a `file://` URI. Raises FileError for files of other machines."""
    if _scheme(path) != "file":
        return path
    parts = urlsplit(path)
    if parts.netloc not in ("", "localhost"):
        raise FileError(f"{path!r} is on another machine; file:// URIs have no host, as in {Path('/a/b').as_uri()!r}")
    from urllib.request import url2pathname  # takes long, and few files are named so

    return url2pathname(parts.path)


def _short(value: Any) -> Any:
    return value[:SHOWN] + "..." if isinstance(value, str) and value.startswith("data:") else value
