"""`read_result`: pages through a result of this chat that was too long to be given at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentkit.runtime.executors import Execution, Produced, ToolDesk, ToolFailure
from agentkit.runtime.executors.internal import Category, InternalTool, Means
from agentkit.runtime.ports import Reading
from agentkit.runtime.records import InvocationRecord
from agentkit.runtime.results import OVERFLOW_SUFFIX

if TYPE_CHECKING:  # rows of a chat and internal tools name each other
    from agentkit.runtime.work import Work

__all__ = ["CATEGORY"]


async def _read(call: Execution, desk: ToolDesk, means: Means) -> Produced:
    """The text from the offset on, as much as fits. Raises ToolFailure for what is no such result of this chat."""
    wanted, offset = str(call.arguments["id"]), int(call.arguments.get("offset") or 0)
    found = await means.store.read(lambda tx: _whole(tx, call.chat_id, wanted))
    if found is None:
        raise ToolFailure(f"no result of this chat with the id {wanted!r} was cut", had_effect=False)
    invocation_id, uri = found
    file = await desk.read(call.owner, uri)
    if file is None:
        raise ToolFailure(f"the whole result {wanted!r} was deleted", had_effect=False)
    text = file[0].decode("utf-8", "replace")
    if offset >= len(text):
        raise ToolFailure(f"the result has {len(text)} characters; offset {offset} is behind its end", had_effect=False)
    size = len(text)
    room = max(means.page_chars - len(_where(invocation_id, size, size, size + 1)), 1)
    end = min(offset + room, size)
    return Produced(f"{text[offset:end]}{_where(invocation_id, offset, end, size)}")


def _where(invocation_id: str, start: int, end: int, size: int) -> str:
    """The last line of a page."""
    seen = f"\n\n[characters {start} to {end} of {size}"
    if end >= size:
        return f"{seen}: the end]"
    return f'{seen}; read on with read_result(id="{invocation_id}", offset={end})]'


def _whole(tx: Reading, chat_id: str, wanted: str) -> tuple[str, str] | None:
    """The invocation by its own id or the model's, and the URI of its whole result."""
    for each in tx.find(InvocationRecord, chat_id=chat_id):
        if wanted in (each.id, each.call_id) and (uri := _overflow(each)) is not None:
            return each.id, uri
    return None


def _overflow(invocation: InvocationRecord) -> str | None:
    name = f"{invocation.id}{OVERFLOW_SUFFIX}"
    return next((str(each["uri"]) for each in invocation.files if each.get("filename") == name), None)


def _was_cut(work: Work) -> bool:
    return any(_overflow(each) for each in work.tx.find(InvocationRecord, chat_id=work.chat.id))


_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "minLength": 1, "description": "As the result's last line names it"},
        "offset": {"type": "integer", "minimum": 0, "description": "The first character to read, from 0"},
    },
    "required": ["id"],
}

CATEGORY = Category(
    id="results",
    description="Lets the agent read on in results that were too long to be given at once.",
    default_enabled=True,
    is_needed=_was_cut,
    tools=(InternalTool("read_result", "Read on in a result that was cut.", _PARAMETERS, execute=_read),),
)
