"""Which ticket goes to which worker. Decisions only: no process, no clock, no waiting.

A worker is a place on this machine; a process may be in it. It takes one task at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from agentkit.runtime.fleet.queue import Queue
from agentkit.runtime.ports import Ticket

__all__ = ["Assignment", "Held", "Place", "Pool", "Warmth"]

Warmth: TypeAlias = Literal["warm", "set up again", "cold"]
"""`warm`: the process is set up as the ticket wants. `set up again`: its app is. `cold`: a process is to be started."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the process in a place has loaded, and for whom; it serves this session only, where one is named."""

    version_id: str
    owner: str
    setup_key: str
    session_id: str | None = None

    @classmethod
    def by(cls, ticket: Ticket) -> Held:
        """What a process has loaded that serves the ticket."""
        return cls(ticket.version_id, ticket.owner, ticket.setup_key, ticket.session_id)


@dataclass(frozen=True, slots=True)
class Place:
    """A worker. `served` orders places by when they were used last."""

    id: str
    held: Held | None = None
    is_busy: bool = False
    session_id: str | None = None  # leased to it
    served: int = 0
    coming: Held | None = None  # what its process has loaded when it is free again


@dataclass(frozen=True, slots=True)
class Assignment:
    """A ticket and where it goes."""

    ticket: Ticket
    place_id: str
    warmth: Warmth


class Pool:
    """The places, the leases, and the queue in front of them."""

    def __init__(self, place_ids: Sequence[str]) -> None:
        self.queue = Queue()
        self._places = {id: Place(id) for id in place_ids}
        self._leases: dict[str, frozenset[str]] = {}  # session -> the workers it may have, all where empty
        self._served = 0

    @property
    def places(self) -> Mapping[str, Place]:
        """The workers by id."""
        return self._places

    # -- tickets ---------------------------------------------------------------------------------------------------

    def assign(self, may_evict: Callable[[Ticket], bool] = lambda _: True) -> Assignment | None:
        """The next ticket and its place, which is busy from then on; None while nothing can go anywhere.

        A ticket that may not evict waits for a worker that has its app and is busy, where there is one, rather than
        have the process of another app ended: where two apps take turns, every task would be a cold one.
        """
        if all(place.is_busy for place in self._places.values()):
            return None
        ticket = self.queue.take(lambda ticket: self._place_for(ticket, may_evict) is not None)
        if ticket is None:
            return None
        place = self._place_for(ticket, may_evict)
        assert place is not None  # it was there a moment ago
        warmth = _warmth(place.held, ticket)
        self._served += 1
        self._set(
            place,
            is_busy=True,
            session_id=ticket.session_id or place.session_id,
            served=self._served,
            coming=Held.by(ticket),
        )
        return Assignment(ticket, place.id, warmth)

    def stranded(self) -> list[tuple[Ticket, str]]:
        """Takes out the tickets that nobody will ever serve, each with the reason."""
        found = [(ticket, why) for ticket in self.queue if (why := self._why_never(ticket))]
        for ticket, _ in found:
            self.queue.remove(ticket.task_id)
        return found

    def _why_never(self, ticket: Ticket) -> str | None:
        if ticket.session_id and ticket.session_id not in self._leases:
            return "the session's worker is gone"
        if ticket.workers and not self._places.keys() & set(ticket.workers):
            return f"there is no worker {' or '.join(ticket.workers)}; there are {', '.join(self._places)}"
        return None

    def _place_for(self, ticket: Ticket, may_evict: Callable[[Ticket], bool]) -> Place | None:
        place = self._best(ticket)
        if place is None or place.held is None or _warmth(place.held, ticket) != "cold" or may_evict(ticket):
            return place
        is_warm_one_to_come = any(_warmth(other.coming, ticket) != "cold" for other in self._places.values())
        return None if is_warm_one_to_come and not ticket.workers else place

    def _best(self, ticket: Ticket) -> Place | None:
        free = [place for place in self._places.values() if not place.is_busy and self._may(ticket, place)]
        return min(free, key=lambda place: _cost(place, ticket), default=None)

    def _may(self, ticket: Ticket, place: Place) -> bool:
        if ticket.workers and place.id not in ticket.workers:
            return False
        if ticket.session_id is None:
            return place.session_id is None
        if place.session_id is not None:
            return place.session_id == ticket.session_id
        return self._place_of(ticket.session_id) is None and self._may_lease(ticket.session_id, place)

    # -- places ----------------------------------------------------------------------------------------------------

    def free(self, place_id: str, held: Held | None) -> None:
        """The place has nothing to do any more; `held` is what its process has loaded, None without a process."""
        place = self._places[place_id]
        self._set(place, is_busy=False, held=held, coming=None)

    def occupy(self, place_id: str) -> bool:
        """Keeps an idle place from being given out, as while its process is stopped. False: it is busy."""
        place = self._places[place_id]
        if place.is_busy:
            return False
        self._set(place, is_busy=True)
        return True

    def clear(self) -> None:
        """Nothing is held, leased or busy any more; the queue stays."""
        self._places = {id: Place(id) for id in self._places}
        self._leases = {}

    def _set(self, place: Place, **changes: object) -> None:
        self._places[place.id] = replace(place, **changes)  # type: ignore[arg-type]  # by name

    # -- leases ----------------------------------------------------------------------------------------------------

    def lease(self, session_id: str, workers: Iterable[str] = ()) -> bool:
        """Promises a place to the session, one of these where any are named. False: they are all promised."""
        if session_id in self._leases:
            return True
        leases = {**self._leases, session_id: frozenset(workers)}
        if not self._is_possible(leases, {}):
            return False
        self._leases = leases
        return True

    def release(self, session_id: str) -> str | None:
        """Ends the lease; returns the place it had."""
        self._leases.pop(session_id, None)
        place = self._place_of(session_id)
        if place is None:
            return None
        self._set(place, session_id=None)
        return place.id

    def _place_of(self, session_id: str) -> Place | None:
        return next((place for place in self._places.values() if place.session_id == session_id), None)

    def _may_lease(self, session_id: str, place: Place) -> bool:
        """Whether the session may have this place without another session being left without one."""
        wanted = self._leases.get(session_id)
        if wanted is None or (wanted and place.id not in wanted):
            return False
        return self._is_possible(self._leases, {session_id: place.id})

    def _is_possible(self, leases: Mapping[str, frozenset[str]], fixed: Mapping[str, str]) -> bool:
        """Whether every session can have a place of its own: a matching, found by augmenting paths."""
        had = {place.session_id: place.id for place in self._places.values() if place.session_id is not None}
        choices: dict[str, Iterable[str]] = {
            session: [given] if (given := fixed.get(session) or had.get(session)) else wanted or self._places
            for session, wanted in leases.items()
        }
        taken: dict[str, str] = {}  # place -> session

        def seat(session: str, tried: set[str]) -> bool:
            for place in choices[session]:
                if place in self._places and place not in tried:
                    tried.add(place)
                    if place not in taken or seat(taken[place], tried):
                        taken[place] = session
                        return True
            return False

        return all(seat(session, set()) for session in leases)


def _warmth(held: Held | None, ticket: Ticket) -> Warmth:
    wanted = Held.by(ticket)
    if held is None or replace(held, setup_key=wanted.setup_key) != wanted:
        return "cold"  # an app keeps what it likes, so nobody gets a process that had another owner's tasks
    return "warm" if held.setup_key == wanted.setup_key else "set up again"


def _cost(place: Place, ticket: Ticket) -> tuple[int, int]:
    """A warm worker first; then an empty place, then another setup of the same app, then who was idle for longest."""
    if place.session_id is not None:
        return 0, 0
    match _warmth(place.held, ticket):
        case "warm":
            return 0, -place.served  # the one used last, so that the others can be given up
        case "set up again":
            return 2, place.served
        case "cold":
            return (1, 0) if place.held is None else (3, place.served)
