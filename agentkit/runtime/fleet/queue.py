"""The lines in front of the workers: first come, first served in a line, and the lines take turns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import TypeAlias

from agentkit.runtime.ports import Ticket

__all__ = ["Queue"]

LineKey: TypeAlias = tuple[str, str | None, frozenset[str]]


class Queue:
    """Tickets that wait. A lane's tickets for a session, or for named workers, stand in a line of their own: where
    that one has to wait, the rest of the lane does not.

    The line that was served longest ago is looked at first, and keeps its place while it cannot be served. So a line
    that only one busy worker can serve gets that worker the next time it is free.
    """

    def __init__(self) -> None:
        self._lines: dict[LineKey, deque[Ticket]] = {}  # in the order of their turn; none is empty
        self._ids: set[str] = set()

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, task_id: Hashable) -> bool:
        return task_id in self._ids

    def __iter__(self) -> Iterator[Ticket]:
        return (ticket for line in self._lines.values() for ticket in line)

    def add(self, ticket: Ticket) -> bool:
        """Lets the ticket stand in line; False where its task stands there already."""
        if ticket.task_id in self._ids:
            return False
        self._ids.add(ticket.task_id)
        self._lines.setdefault(_line_of(ticket), deque()).append(ticket)
        return True

    def remove(self, task_id: str) -> Ticket | None:
        """Takes the task out of its line."""
        found = next((ticket for ticket in self if ticket.task_id == task_id), None) if task_id in self._ids else None
        if found is not None:
            self._lines[_line_of(found)].remove(found)
            self._taken(found)
        return found

    def take(self, can: Callable[[Ticket], bool]) -> Ticket | None:
        """The first of the first line whose first can be served; its line is behind the others then."""
        key = next((key for key, line in self._lines.items() if can(line[0])), None)
        if key is None:
            return None
        line = self._lines.pop(key)
        ticket = line.popleft()
        self._lines[key] = line
        self._taken(ticket)
        return ticket

    def _taken(self, ticket: Ticket) -> None:
        self._ids.discard(ticket.task_id)
        key = _line_of(ticket)
        if not self._lines[key]:
            del self._lines[key]


def _line_of(ticket: Ticket) -> LineKey:
    return ticket.lane, ticket.session_id, frozenset(ticket.workers)
