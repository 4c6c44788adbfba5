"""What a program calls a file, made ready to be sent: paths, bytes, open files, data URIs, base64 and `File`s."""

from __future__ import annotations

import base64
import binascii
import mimetypes
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard, cast
from urllib.parse import unquote, urlsplit

from agentkit.client import data_uris
from agentkit.client.sources import FileSource, HandleSource, MemorySource, source_of_handle
from agentkit.errors import UsageError
from agentkit.protocol.flows import Flow, Outgoing, as_ref, upload_all
from agentkit.wire import FileRecord, FileRef

__all__ = ["Upload", "UploadFileOptions", "attach", "from_anything", "from_data", "from_mark", "is_file", "uri_of"]

BINARY = "application/octet-stream"
_MAGIC = (  # what a file begins with, where its name does not tell
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE | re.ASCII)
_LOCAL_SCHEMES = ("file:", "data:")

AnySource = MemorySource | FileSource | HandleSource


@dataclass(frozen=True, slots=True)
class UploadFileOptions:
    """How to keep an uploaded file (seeds/003, "file upload"). What is not given is guessed."""

    filename: str | None = None
    content_type: str | None = None
    path: str | None = None
    public: bool | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """Marks a value inside a task's input: upload this. A local path, bytes, an open file, a data URI or base64 text.

    >>> {"image": Upload("photo.png"), "mask": Upload(b"...", filename="mask.png")}["mask"].filename
    'mask.png'
    """

    data: Any
    filename: str | None = None
    content_type: str | None = None
    path: str | None = None
    public: bool | None = None

    @property
    def options(self) -> UploadFileOptions:
        """How to keep it."""
        return UploadFileOptions(self.filename, self.content_type, self.path, self.public)


def from_anything(data: Any, options: UploadFileOptions | None = None) -> Outgoing:
    """The upload of a local path, or of what `from_data` takes. Raises UsageError saying what it is instead."""
    if isinstance(data, str) and not data.startswith("data:") and _is_path(data):
        return _outgoing(FileSource(data), options, filename=Path(data).name)
    return from_data(data, options)


def from_data(data: Any, options: UploadFileOptions | None = None) -> Outgoing:
    """The upload of bytes, an open file, a `Path`, a data URI or base64 text; a string is never taken for a path."""
    if is_file(data):
        return from_mark(data, options)
    if not isinstance(data, str):
        raise UsageError(f"a file is bytes, a path, a data URI or base64 text, not {type(data).__name__}")
    if data[:5].lower() == "data:":
        content, content_type = data_uris.decode(data)
        return _outgoing(MemorySource(content), options, content_type=content_type)
    try:
        return _outgoing(MemorySource(base64.b64decode(data, validate=True)), options)
    except (binascii.Error, ValueError):
        raise UsageError(f"{data[:60]!r} is no file that exists, no data URI and no base64 text") from None


def from_mark(data: Any, options: UploadFileOptions | None = None) -> Outgoing:
    """The upload of a value that can be nothing but a file: see `is_file`."""
    match data:
        case Upload():
            return from_anything(data.data, options or data.options)
        case bytes() | bytearray() | memoryview():
            return _outgoing(MemorySource(bytes(cast("bytes", data))), options)
        case os.PathLike():
            path = Path(os.fspath(cast("os.PathLike[str]", data)))
            return _outgoing(FileSource(path), options, filename=path.name)
        case _ if _is_handle(data):
            name = getattr(data, "name", None)
            return _outgoing(source_of_handle(data), options, filename=Path(name).name if _is_name(name) else None)
        case _:
            return _from_file(data, options)


def is_file(value: Any) -> bool:
    """Whether it can be nothing but a file: `Upload`, `File` and its like, bytes, a `Path`, an open file."""
    if isinstance(value, Upload | bytes | bytearray | memoryview | os.PathLike):
        return True
    return _is_handle(value) or _is_file_object(value)


def uri_of(value: Any) -> str | None:
    """The URI of a `File` or record that lies elsewhere already, and need not be uploaded."""
    if not _is_file_object(value):
        return None
    uri: Any = getattr(value, "uri", None)
    if not isinstance(uri, str) or not uri:
        return None
    if uri[:5].lower() in _LOCAL_SCHEMES or _is_path(uri):
        return None
    return uri if _SCHEME.match(uri) or not _is_name(getattr(value, "path", None)) else None


def attach(files: Sequence[Any]) -> Flow[list[FileRef]]:
    """References for all files, in their order; what is none yet is uploaded."""
    ready, todo = _files(files)
    made = yield from upload_all([upload for _, upload in todo])
    attached = list(ready)
    for (place, _), reference in zip(todo, made, strict=True):
        attached.insert(place, reference)
    return attached


def _files(files: Sequence[Any]) -> tuple[list[FileRef], list[tuple[int, Outgoing]]]:
    """What is a reference already, and what has to be uploaded, with its place."""
    ready: list[FileRef] = []
    todo: list[tuple[int, Outgoing]] = []
    for place, each in enumerate(files):
        match each:
            case FileRecord():  # as `client.files.upload` returned it
                ready.append(as_ref(each))
            case FileRef() | {"uri": _}:
                ready.append(FileRef.parse(each))
            case _ if (uri := uri_of(each)) is not None:
                named = {name: getattr(each, name, None) or "" for name in ("filename", "content_type")}
                ready.append(FileRef.parse({"uri": uri, **named}))
            case _:
                todo.append((place, from_data(each)))
    return ready, todo


def _from_file(file: Any, options: UploadFileOptions | None) -> Outgoing:
    """The upload of a `File` that lies here: its path, or what its URI holds."""
    told = UploadFileOptions(getattr(file, "filename", None) or None, getattr(file, "content_type", None) or None)
    path, uri = getattr(file, "path", None), getattr(file, "uri", None)
    if _is_name(path) and (_is_path(path) or not uri):
        return _outgoing(FileSource(path), options or told, filename=Path(path).name)
    if isinstance(uri, str) and uri:
        if uri[:5].lower() == "file:":
            here = unquote(urlsplit(uri).path)
            return _outgoing(FileSource(here), options or told, filename=Path(here).name)
        return from_anything(uri, options or told)
    raise UsageError(f"this {type(file).__name__} has neither a path nor a uri; there is nothing to upload")


def _is_file_object(value: Any) -> bool:
    """`File` of the app authors' side, or a record: an object, no mapping and no class, that has a URI and a path."""
    if isinstance(value, type):
        return False
    return hasattr(value, "uri") and (hasattr(value, "content_type") or hasattr(value, "path"))


def _is_handle(value: Any) -> bool:
    return callable(getattr(value, "read", None)) and not isinstance(value, type)


def _is_name(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value)


def _is_path(text: str) -> bool:
    try:
        return 0 < len(text) < 4096 and "\x00" not in text and os.path.exists(text)
    except (OSError, ValueError):
        return False


def _outgoing(
    source: AnySource,
    options: UploadFileOptions | None,
    *,
    filename: str | None = None,
    content_type: str | None = None,
) -> Outgoing:
    options = UploadFileOptions() if options is None else options
    if not isinstance(options, UploadFileOptions):  # pyright: ignore[reportUnnecessaryIsInstance]: not every caller is typed
        raise UsageError(f"upload options are UploadFileOptions(filename=..., content_type=...), not {options!r:.60}")
    name = options.filename or filename
    kind = options.content_type or content_type or _guess(name, source.head())
    extension = mimetypes.guess_extension(kind.partition(";")[0]) or ""
    return Outgoing(source, name or f"file{extension}", kind, options.path, options.public)


def _guess(filename: str | None, head: bytes) -> str:
    by_name = mimetypes.guess_type(filename)[0] if filename else None
    return by_name or next((kind for magic, kind in _MAGIC if head.startswith(magic)), BINARY)
