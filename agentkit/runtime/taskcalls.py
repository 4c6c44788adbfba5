"""Tool calls that are answered by a task: what their chat hears while it runs, and its end as their one result.

Transaction functions: no I/O, no waiting. What begins such a task: `agentkit.runtime.executors.app`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from pydantic_core import to_json

from agentkit.protocol.lines import is_array, is_object
from agentkit.runtime import dto, invocations, tasklogs
from agentkit.runtime.asking import outcomes
from agentkit.runtime.executors import Produced, ToolFile
from agentkit.runtime.files import OURS, file_id_in
from agentkit.runtime.ports import Reading, Writing
from agentkit.runtime.records import InvocationRecord, SessionRecord, StoredFile, TaskRecord
from agentkit.runtime.results import OVERFLOW_SUFFIX, cut
from agentkit.runtime.sheets import Unsaved
from agentkit.runtime.states import INVOCATION, is_open
from agentkit.runtime.work import Work
from agentkit.wire import AppSessionStatus, TaskStatus

__all__ = ["overflow", "overflow_name", "progress", "settle"]

MOST_FILES: Final = 50  # of one output that are named to the model
LOST: Final = "the app's worker was lost while the task was running"
LONGEST_WHY: Final = 1_000  # characters of an error that the person is shown
_HALF_WAY: Final = frozenset({int(TaskStatus.RUNNING), int(TaskStatus.UPLOADING)})
LOG_LINES, LOG_CHARS = 20, 2_000  # of the log, in the result of a task that failed
LONGEST_MESSAGE: Final = 500  # characters of a printed line that are told as progress
LONGEST_DRAFT: Final = 16_384  # bytes; a larger output so far is seen on the task's own stream


def settle(tx: Writing, task: TaskRecord) -> None:
    """A task is over: the call that it answers gets its result, unless it is over too, or answered by another task.

    Where its worker or server was lost while it ran, a person is asked, unless running it again does no harm.
    """
    invocation = tx.get(InvocationRecord, task.invocation_id) if task.invocation_id else None
    work = Work.of(tx, invocation.chat_id) if invocation else None
    if invocation is None or work is None or invocation.execution_id != task.id:
        return
    if not is_open(INVOCATION, invocation.status):
        return
    if _is_unknown(task):
        outcomes.ask(work, invocation, (task.error or LOST)[:LONGEST_WHY])
        return
    if task.status is not TaskStatus.COMPLETED:
        invocations.conclude(work, invocation, _failure(tx, task) + _session_note(tx, task), failed=True)
        return
    result = _result(tx, task, invocation_id=invocation.id)
    files = [asdict(each) for each in result.files]
    invocations.conclude(work, invocation, result.text + _session_note(tx, task), data=result.data, files=files)


def overflow(task: TaskRecord, output: Any) -> str | None:
    """The whole text of an output that is more than the call's model takes at once; None where it is not."""
    text = _text(output) if task.invocation_id and task.result_chars else ""
    return text if len(text) > task.result_chars else None


def overflow_name(task: TaskRecord) -> str:
    """How the file with that text is called."""
    return f"{task.invocation_id}{OVERFLOW_SUFFIX}"


def progress(task: TaskRecord, taken: Unsaved) -> dict[str, Any]:
    """What the watchers of the call's chat are told: the last line that was printed, and the output so far."""
    printed = "".join(text for _, text in taken.pieces).split("\n")
    message = next((line.strip() for line in reversed(printed) if line.strip()), "")[:LONGEST_MESSAGE]
    output = taken.draft.output if taken.draft else None
    return {
        "invocation_id": task.invocation_id,
        "message": message,
        "progress": None,
        "total": None,
        "output": output if len(to_json(output)) <= LONGEST_DRAFT else None,
    }


# -- parts ---------------------------------------------------------------------------------------------------------


def _result(tx: Reading, task: TaskRecord, *, invocation_id: str) -> Produced:
    text, data = _text(task.output), task.output
    files = list(_files(tx, task))[:MOST_FILES]
    limit = task.result_chars
    if limit and len(to_json(data)) > 4 * limit:
        data = None
    if limit and len(text) > limit:
        whole = _overflow_file(tx, task)
        text = cut(text, limit, invocation_id=invocation_id) if whole else f"{text[:limit]} ..."
        files += [_tool_file(whole)] if whole else []
    return Produced(text, data, files)


def _is_unknown(task: TaskRecord) -> bool:
    """Whether the app may have done anything, and nobody knows what."""
    was_called = any(each["status"] in _HALF_WAY for each in task.events)
    is_lost = task.status is TaskStatus.FAILED and task.end_kind == "lost"
    return is_lost and was_called and not task.is_idempotent


def _text(output: Any) -> str:
    """The output as the model reads it: a text as it is, else JSON, without what is there to be billed (5.3)."""
    if isinstance(output, str):
        return output
    if is_object(output):
        output = {name: each for name, each in output.items() if name != "output_meta"}
    return to_json(output).decode()


def _failure(tx: Reading, task: TaskRecord) -> str:
    """Why there is no output; of what failed also the last that was printed."""
    if task.status is TaskStatus.CANCELLED:
        return f"the task was cancelled: {task.error}" if task.error else "the task was cancelled"
    said = f"the task {'ran out of time' if task.end_kind == 'timeout' else 'failed'}: {task.error}"
    said = f"{said[: task.result_chars]} ..." if 0 < task.result_chars < len(said) else said
    printed = tasklogs.tail(tx, task.id, lines=LOG_LINES, chars=LOG_CHARS)
    return f"{said}\n\nThe last it printed:\n{printed}" if printed else said


def _session_note(tx: Reading, task: TaskRecord) -> str:
    session = tx.get(SessionRecord, task.session_id) if task.session_id else None
    if session is None or session.status is not AppSessionStatus.ACTIVE:
        return ""
    return f'\n\n[session "{session.id}": call again with it to go on where this call ended]'


def _files(tx: Reading, task: TaskRecord) -> Iterator[ToolFile]:
    """The files that the output names, each once; of the platform's own only those of the task's owner."""
    for uri, described in dict(_named(task.output)).items():
        if not uri.startswith(OURS):
            yield described
            continue
        record = tx.get(StoredFile, file_id_in(uri))
        if record is not None and record.owner == task.owner:
            yield _tool_file(record)


def _named(value: Any) -> Iterator[tuple[str, ToolFile]]:
    """URI and description of what looks like a file: our own URIs, and objects with a URI and a content type."""
    if isinstance(value, str) and value.startswith(OURS):
        yield value, ToolFile(value)
    elif is_array(value):
        for each in value:
            yield from _named(each)
    elif is_object(value):
        uri, kind = value.get("uri"), value.get("content_type")
        if isinstance(uri, str) and isinstance(kind, str) and uri.startswith(("https://", "http://")):
            name, size = value.get("filename"), value.get("size")
            yield uri, ToolFile(uri, kind, str(name or ""), size if isinstance(size, int) else None)
        for each in value.values():
            yield from _named(each)


def _overflow_file(tx: Reading, task: TaskRecord) -> StoredFile | None:
    made = (tx.get(StoredFile, each) for each in reversed(task.output_files))
    return next((each for each in made if each is not None and each.filename == overflow_name(task)), None)


def _tool_file(record: StoredFile) -> ToolFile:
    return ToolFile(dto.file_uri(record), record.content_type, record.filename, record.size)
