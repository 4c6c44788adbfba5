"""Files: the record, the reference in a message, and the announcement of an upload (protocol.md 4)."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from agentkit.wire._base import Open, Owned, Wire

__all__ = ["ContentRating", "CreateFilesRequest", "FileMetadata", "FileRecord", "FileRef", "PartialFile"]


class ContentRating(StrEnum):
    """What a file or task shows."""

    CONTENT_SAFE = "safe"
    CONTENT_SEXUAL_SUGGESTIVE = "sexual_suggestive"
    CONTENT_SEXUAL_EXPLICIT = "sexual_explicit"
    CONTENT_VIOLENCE_NON_GRAPHIC = "violence_non_graphic"
    CONTENT_VIOLENCE_GRAPHIC = "violence_graphic"
    CONTENT_GORE = "gore"
    CONTENT_UNRATED = "unrated"


class FileRef(Wire):
    """A file in a message or a tool result; `uri` is opaque, `size` in bytes (protocol.md 4.2)."""

    id: str | None = None
    uri: str = ""
    filename: str = ""
    content_type: str = ""
    size: int | None = None


class FileMetadata(Wire):
    """What is known about a medium: pixels, seconds, hertz."""

    type: str = ""
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    fps: float | None = None
    sample_rate: int | None = None
    channels: int | None = None
    codec: str | None = None


class FileRecord(Owned):
    """A stored file (`FileDTO`, protocol.md 4.1). `upload_url` is where its bytes are PUT, without the key."""

    path: str = ""
    remote_path: str = ""
    upload_url: str = ""
    uri: str = ""
    content_type: str = ""
    size: int | None = None
    filename: str = ""
    category: str = ""
    rating: Open[ContentRating] = ContentRating.CONTENT_UNRATED
    metadata: FileMetadata | None = None


class PartialFile(Wire):
    """A file that is announced: `uri` is empty, the rest a description (protocol.md 4.1)."""

    uri: str = ""
    filename: str | None = None
    content_type: str | None = None
    path: str | None = None
    size: int | None = None
    public: bool | None = None


class CreateFilesRequest(Wire):
    """The body of `POST /files`; the answer lists a record per entry, in the same order."""

    files: list[PartialFile] = Field(default_factory=list[PartialFile])
    category: str | None = None
