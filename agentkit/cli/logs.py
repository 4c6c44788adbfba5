"""The log of a task as it grows, told piece by piece."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from agentkit.client.task_logs import log_text
from agentkit.wire import TaskLog, TaskLogType

__all__ = ["Growing", "label_of"]

TAIL: Final = 512  # characters to find one's place again by, where the beginning was dropped


def label_of(kind: TaskLogType | int) -> str:
    """What a phase is called: build, setup, ...; "" for the task itself, whose words need no label."""
    if not isinstance(kind, TaskLogType):
        return f"phase {kind}"
    return "" if kind in (TaskLogType.TASK, TaskLogType.RUN) else kind.name.lower()


class Growing:
    """Remembers what was told of each part of a log."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], str] = {}  # by label, and the how manieth of it

    def new(self, logs: str | Sequence[TaskLog | str]) -> Iterator[tuple[str, str]]:
        """The label and text of what is new in it. A log that lost its beginning goes on where it was."""
        whole = [logs] if isinstance(logs, str) else logs
        places = Counter[str]()
        for part in whole:
            label = label_of(part.log_type) if isinstance(part, TaskLog) else ""
            key = label, places[label]
            places[label] += 1
            text = log_text([part])
            before, self._seen[key] = self._seen.get(key, ""), text
            if added := _added(before, text):
                yield label, added


def _added(before: str, text: str) -> str:
    if text.startswith(before):
        return text[len(before) :]
    tail = before[-TAIL:]
    at = text.rfind(tail)
    return text if at < 0 else text[at + len(tail) :]
