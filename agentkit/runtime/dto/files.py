"""Files as a client sees them (protocol.md 4.1)."""

from __future__ import annotations

from typing import Any

from agentkit.runtime.dto._common import common
from agentkit.runtime.records import StoredFile
from agentkit.wire import FileRecord

__all__ = ["file", "file_uri"]


def file(record: StoredFile, *, base_url: str, upload_token: str | None = None) -> dict[str, Any]:
    """The FileDTO; `upload_url` only in the answer that announces the file."""
    content = f"{base_url}/files/{record.id}/content"
    return FileRecord.parse(
        {
            **common(record),
            "path": record.path,
            "upload_url": f"{content}?token={upload_token}" if upload_token else "",
            "uri": file_uri(record),
            "content_type": record.content_type,
            "size": record.size,
            "filename": record.filename,
            "visibility": "public" if record.public else "private",
        }
    ).to_wire()


def file_uri(record: StoredFile) -> str:
    """`inf://files/<id>/<name>`: opaque to clients, the same wherever the runtime listens (protocol.md 4.1)."""
    return f"inf://files/{record.id}/{record.filename or 'file'}"
