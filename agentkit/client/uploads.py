"""What a program calls a file, made into bytes to upload: one way for paths, bytes, data URIs and base64."""

from __future__ import annotations

import base64
import binascii
import mimetypes
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from agentkit.errors import UsageError
from agentkit.protocol.flows import Flow, Upload, as_ref, upload_all
from agentkit.wire import FileRecord, FileRef

__all__ = ["UploadFileOptions", "attach", "from_anything", "from_data"]

BINARY = "application/octet-stream"
_MAGIC = (  # what a file begins with, where its name does not tell
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
)


@dataclass(frozen=True, slots=True)
class UploadFileOptions:
    """How to keep an uploaded file (seeds/003, "file upload"). What is not given is guessed."""

    filename: str | None = None
    content_type: str | None = None
    path: str | None = None
    public: bool | None = None


def from_anything(data: Any, options: UploadFileOptions | None = None) -> Upload:
    """The upload of a local path, bytes, a data URI or base64 text. Raises UsageError saying what it is instead."""
    if isinstance(data, Path) or (isinstance(data, str) and not data.startswith("data:") and _is_path(data)):
        return _from_path(Path(data), options or UploadFileOptions())
    return from_data(data, options)


def from_data(data: Any, options: UploadFileOptions | None = None) -> Upload:
    """The upload of bytes, a data URI or base64 text; a string is never taken for a path here."""
    options = options or UploadFileOptions()
    if isinstance(data, bytes | bytearray):
        return _upload(bytes(data), None, options)
    if not isinstance(data, str):
        raise UsageError(f"a file is bytes, a path, a data URI or base64 text, not {type(data).__name__}")
    if data.startswith("data:"):
        content, content_type = _from_data_uri(data)
        return _upload(content, content_type, options)
    try:
        return _upload(base64.b64decode(data, validate=True), None, options)
    except binascii.Error:
        raise UsageError(f"{data[:60]!r} is no file that exists, no data URI and no base64 text") from None


def attach(files: Sequence[Any]) -> Flow[list[FileRef]]:
    """References for all files, in their order; what is none yet is uploaded."""
    ready, todo = _files(files)
    made = yield from upload_all([upload for _, upload in todo])
    attached = list(ready)
    for (place, _), reference in zip(todo, made, strict=True):
        attached.insert(place, reference)
    return attached


def _files(files: Sequence[Any]) -> tuple[list[FileRef], list[tuple[int, Upload]]]:
    """What is a reference already, and what has to be uploaded, with its place."""
    ready: list[FileRef] = []
    todo: list[tuple[int, Upload]] = []
    for place, each in enumerate(files):
        match each:
            case FileRecord():  # as `client.files.upload` returned it
                ready.append(as_ref(each))
            case FileRef() | {"uri": _}:
                ready.append(FileRef.parse(each))
            case _:
                todo.append((place, from_data(each)))
    return ready, todo


def _is_path(text: str) -> bool:
    try:
        return len(text) < 4096 and "\x00" not in text and os.path.exists(text)
    except OSError:
        return False


def _from_path(path: Path, options: UploadFileOptions) -> Upload:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {str(path)!r}: {error.strerror}") from None
    named = UploadFileOptions(options.filename or path.name, options.content_type, options.path, options.public)
    return _upload(content, None, named)


def _from_data_uri(uri: str) -> tuple[bytes, str]:
    """RFC 2397: `data:[<type>][;<parameters>][;base64],<data>`."""
    head, comma, body = uri[5:].partition(",")
    if not comma:
        raise UsageError("this data URI has no comma; it looks like 'data:image/png;base64,iVBORw0...'")
    kind, *parameters = head.split(";")
    is_base64 = bool(parameters) and parameters[-1].strip().lower() == "base64"
    content = unquote_to_bytes(body)
    if is_base64:
        try:
            packed = b"".join(content.split()).translate(bytes.maketrans(b"-_", b"+/"))  # URL-safe letters too
            content = base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
        except binascii.Error:
            raise UsageError("this data URI says base64, and its data is not") from None
    return content, kind.strip().lower() or "text/plain"


def _upload(content: bytes, content_type: str | None, options: UploadFileOptions) -> Upload:
    guessed = options.content_type or content_type or _guess(options.filename, content)
    extension = mimetypes.guess_extension(guessed) or ""
    return Upload(content, options.filename or f"file{extension}", guessed, options.path, options.public)


def _guess(filename: str | None, content: bytes) -> str:
    by_name = mimetypes.guess_type(filename)[0] if filename else None
    return by_name or next((kind for magic, kind in _MAGIC if content.startswith(magic)), BINARY)
