"""What an HTTP answer says: JSON as data and text, text as text, everything else as a file."""

from __future__ import annotations

import codecs
import mimetypes
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from typing import Any, Final

from pydantic_core import from_json, to_json

from agentkit.protocol.retry import LASTING_5XX, RETRYABLE_4XX, parse_retry_after
from agentkit.runtime.executors import Execution, Produced, ToolDesk, ToolFailure
from agentkit.runtime.executors.credentials import Redaction
from agentkit.runtime.outbound.fetching import Answer

__all__ = ["Content", "failure", "produced"]

LONGEST_ERROR: Final = 4_000  # characters of an error's body that the model reads
NOT_SENT: Final = frozenset({429})  # refused before anything was done
TEXTUAL: Final = re.compile(
    r"text/.*|application/(?:(?:.*\+)?(?:xml|yaml)|x-yaml|javascript|ecmascript|graphql|sql|toml"
    r"|x-www-form-urlencoded|x-ndjson|jsonl|x-sh)",
)
JSON: Final = re.compile(r"(?:application|text)/(?:.*\+)?json")
SLOW_CODECS: Final = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"})
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f/\\]+")


@dataclass(frozen=True, slots=True)
class Content:
    """An answer's body, read and with every secret taken out. `text` is None for what is no text."""

    kind: str  # media type, lower case, "" where none was named
    raw: bytes
    text: str | None
    data: Any = None

    @classmethod
    def of(cls, answer: Answer, redaction: Redaction) -> Content:
        """The body of an answer."""
        kind, charset = _kind(answer)
        raw = redaction.content(answer.content)
        if not (JSON.fullmatch(kind) or TEXTUAL.fullmatch(kind) or (kind == "" and _looks_like_text(raw))):
            return cls(kind, raw, None)
        text = redaction.text(_decoded(raw, charset))
        data = _parsed(text) if JSON.fullmatch(kind) or kind in ("", "text/plain") else None
        clean = redaction.value(data)
        return cls(kind, raw, text if clean == data else to_json(clean).decode(), clean)


async def produced(answer: Answer, *, call: Execution, desk: ToolDesk, redaction: Redaction) -> Produced:
    """The result of a call that was answered well."""
    content = Content.of(answer, redaction)
    if not content.raw:
        return Produced(f"HTTP {answer.status}, and no content")
    if content.text is not None:
        return Produced(content.text, content.data)
    name = redaction.text(_filename(answer, content.kind))
    file = await desk.keep(call.owner, content.raw, filename=name, content_type=content.kind)
    kind = file.content_type or content.kind or "unknown type"
    return Produced(f"{name} ({kind}, {len(content.raw):,} bytes) is attached: {file.uri}", files=[file])


def failure(answer: Answer, *, what: str, redaction: Redaction) -> ToolFailure:
    """What the model reads of an answer that is an error; `what` names the request."""
    content = Content.of(answer, redaction)
    said = (content.text or "").strip()
    cut = f"{said[:LONGEST_ERROR]} ... ({len(said):,} characters)" if len(said) > LONGEST_ERROR else said
    status = answer.status
    return ToolFailure(
        redaction.text(f"{what}: HTTP {status}") + (f": {cut}" if cut else ""),
        data={"status": status, "body": content.data} if content.data is not None and cut == said else None,
        is_transient=status in RETRYABLE_4XX or (status >= 500 and status not in LASTING_5XX),
        had_effect=False if status in NOT_SENT else None,
        retry_after_seconds=parse_retry_after(answer.headers.get("retry-after", ""), now=datetime.now(UTC).timestamp()),
    )


# -- parts ---------------------------------------------------------------------------------------------------------


def _kind(answer: Answer) -> tuple[str, str]:
    """The media type and the charset that the answer names."""
    message = Message()
    message["Content-Type"] = answer.headers.get("content-type", "")
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    charset = message.get_param("charset", "")
    return kind, charset if isinstance(charset, str) else ""


def _decoded(raw: bytes, charset: str) -> str:
    for mark, name in ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if raw.startswith(mark):
            return raw.decode(name, "replace").removeprefix("\ufeff")
    try:
        name = codecs.lookup(charset or "utf-8").name
        return raw.decode("utf-8" if name in SLOW_CODECS else name, "replace")
    except (LookupError, ValueError):
        return raw.decode("utf-8", "replace")


def _looks_like_text(raw: bytes) -> bool:
    try:
        return "\x00" not in raw.decode("utf-8")
    except UnicodeDecodeError:
        return False


def _parsed(text: str) -> Any:
    """The value where the text is JSON; None where it is not: then it is a text like any other."""
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError:
        return None


def _filename(answer: Answer, kind: str) -> str:
    """What the answer calls its file, or the end of its path; with the ending of its type where it has none."""
    message = Message()
    message["Content-Disposition"] = answer.headers.get("content-disposition", "")
    named = message.get_filename() or answer.url.path.rstrip("/").rpartition("/")[2] or "answer"
    name = _UNSAFE.sub("_", named).strip(". ")[-120:] or "answer"
    return name if "." in name else name + (mimetypes.guess_extension(kind) or "")
