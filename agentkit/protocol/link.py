"""LINK: how we hear of a chat or a task. A stream, its outages, its silences, and polling where no stream can be had.

| event \\ state | DOWN | CONNECTING | LIVE | SILENT | BACKOFF | POLLING |
|---|---|---|---|---|---|---|
| OPEN | CONNECTING / open | - | - | - | - | - |
| POLL | POLLING / poll | - | - | - | - | - |
| UP | - | LIVE / up | - | - | - | - |
| HEARD | - | - | . / rearm | LIVE / rearm | - | - |
| QUIET | - | - | SILENT / doubt | . / hang_up | - | - |
| LOST | - | BACKOFF / wait | BACKOFF / wait | BACKOFF / wait | - | - |
| SPENT | - | POLLING / poll | POLLING / poll | POLLING / poll | - | - |
| GONE | - | DOWN / give_up | DOWN / give_up | DOWN / give_up | DOWN / give_up | DOWN / give_up |
| RETRY | - | - | - | - | CONNECTING / open | - |
| DUE | - | - | - | - | - | . / ask |
| CLOSE | . | DOWN / close | DOWN / close | DOWN / close | DOWN / rest | DOWN / rest |

`.` stays, `-` cannot happen. LOST, SPENT and GONE are one happening with three meanings, told apart in `_meaning_of`:
there are retries left; there are none, so poll; nothing will help (401, 403, 404), or polling is not wanted.
A stream that says nothing for `quiet_seconds`, heartbeats included, is doubted: its owner fetches. If it stays silent
as long again it is dead (protocol.md 1.8).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, TypeAlias

from agentkit.errors import (
    APIError,
    AuthenticationError,
    LocalProtocolError,
    NotFoundError,
    PermissionDeniedError,
    StreamError,
    UsageError,
)
from agentkit.protocol.effects import CloseStream, Emit
from agentkit.protocol.timers import Timers

__all__ = ["LINK", "TIMERS", "Link", "LinkEvent", "LinkState", "Patience", "Told", "is_permanent"]


class LinkState(Enum):
    """How we hear."""

    DOWN = auto()
    CONNECTING = auto()
    LIVE = auto()
    SILENT = auto()  # live, but nothing came for quiet_seconds
    BACKOFF = auto()
    POLLING = auto()


class LinkEvent(Enum):
    """What happens to it."""

    OPEN = auto()
    POLL = auto()
    UP = auto()
    HEARD = auto()
    QUIET = auto()
    LOST = auto()
    SPENT = auto()
    GONE = auto()
    RETRY = auto()
    DUE = auto()
    CLOSE = auto()


class Told(Enum):
    """What the link tells its owner."""

    OPENED = auto()  # we hear, for the first time
    REOPENED = auto()  # we hear again, or in another way: something may have been missed
    ASK = auto()  # a fetch is due
    UNREACHABLE = auto()  # given up; `Link.error` says why


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a machine waits for what. Counts and seconds; sources in protocol.md 1.8."""

    max_retries: int = 5  # in a row; counted anew after every event
    first_retry_seconds: float = 0.25
    max_retry_seconds: float = 10.0
    poll_seconds: float = 2.0
    quiet_seconds: float = 30.0
    grace_seconds: float = 10.0  # for a run to end after a stop was asked
    ask_seconds: float = 0.2  # for the stream to say itself what a hint makes us wonder about

    def backoff_seconds(self, failures: int) -> float:
        """The pause after so many failures in a row, without jitter."""
        return min(self.max_retry_seconds, self.first_retry_seconds * 2.0 ** min(failures - 1, 30))

    def poll_pause_seconds(self, failures: int) -> float:
        """The pause before the next poll."""
        return min(max(self.poll_seconds, self.max_retry_seconds), self.poll_seconds * 2.0 ** min(failures, 30))


def is_permanent(error: Exception | None) -> bool:
    """Whether the same request cannot succeed later: 401, 403, 404, 410, or a client that was closed."""
    return isinstance(error, AuthenticationError | PermissionDeniedError | NotFoundError | UsageError)


def is_no_stream(error: Exception | None) -> bool:
    """Whether somebody is there who has no streams: an old platform, or a proxy that answers with a page."""
    match error:
        case APIError():
            return error.status_code in (400, 405, 406, 415)
        case StreamError():
            return error.reason == "content_type"
        case _:
            return False


_L, _E = LinkState, LinkEvent
Row: TypeAlias = dict[LinkEvent, tuple[LinkState, str]]

LINK: Final[dict[LinkState, Row]] = {
    _L.DOWN: {_E.OPEN: (_L.CONNECTING, "open"), _E.POLL: (_L.POLLING, "poll"), _E.CLOSE: (_L.DOWN, "")},
    _L.CONNECTING: {
        _E.UP: (_L.LIVE, "up"),
        _E.LOST: (_L.BACKOFF, "wait"),
        _E.SPENT: (_L.POLLING, "poll"),
        _E.GONE: (_L.DOWN, "give_up"),
        _E.CLOSE: (_L.DOWN, "close"),
    },
    _L.LIVE: {
        _E.HEARD: (_L.LIVE, "rearm"),
        _E.QUIET: (_L.SILENT, "doubt"),
        _E.LOST: (_L.BACKOFF, "wait"),
        _E.SPENT: (_L.POLLING, "poll"),
        _E.GONE: (_L.DOWN, "give_up"),
        _E.CLOSE: (_L.DOWN, "close"),
    },
    _L.SILENT: {
        _E.HEARD: (_L.LIVE, "rearm"),
        _E.QUIET: (_L.SILENT, "hang_up"),
        _E.LOST: (_L.BACKOFF, "wait"),
        _E.SPENT: (_L.POLLING, "poll"),
        _E.GONE: (_L.DOWN, "give_up"),
        _E.CLOSE: (_L.DOWN, "close"),
    },
    _L.BACKOFF: {
        _E.GONE: (_L.DOWN, "give_up"),
        _E.RETRY: (_L.CONNECTING, "open"),
        _E.CLOSE: (_L.DOWN, "rest"),
    },
    _L.POLLING: {
        _E.GONE: (_L.DOWN, "give_up"),
        _E.DUE: (_L.POLLING, "ask"),
        _E.CLOSE: (_L.DOWN, "rest"),
    },
}

_MEANS: Final = {"retry": _E.RETRY, "poll": _E.DUE, "quiet": _E.QUIET}
TIMERS: Final = frozenset({*_MEANS, "fetch"})
"""The names of a link's timers; `fetch` is a failed fetch's second try."""


class Link:
    """The link of one machine: appends effects to the machine's list and returns what to tell the machine."""

    def __init__(
        self,
        out: list[Any],
        timers: Timers,
        *,
        open_stream: Callable[[int], Any],
        patience: Patience,
        streams: bool = True,
        polls_when_lost: bool = True,
    ) -> None:
        self.state = LinkState.DOWN
        self.attempt = 0
        self.error: Exception | None = None
        self._out = out
        self._timers = timers
        self._open_stream = open_stream
        self._patience = patience
        self._streams = streams
        self._polls_when_lost = polls_when_lost
        self._losses = 0  # of streams, in a row
        self._failures = 0  # of polls, in a row
        self._heard_once = False
        self._told: Told | None = None

    @property
    def is_down(self) -> bool:
        """Whether nobody listens."""
        return self.state is LinkState.DOWN

    # -- what can happen ---------------------------------------------------------------------------------------------

    def start(self) -> Told | None:
        """Begins to hear, by a stream where streams are wanted."""
        self._losses = self._failures = 0
        return self._go(LinkEvent.OPEN if self._streams else LinkEvent.POLL)

    def close(self) -> None:
        """Ends hearing."""
        self._go(LinkEvent.CLOSE)

    def opened(self, attempt: int) -> Told | None:
        """The response's headers came."""
        return self._go(LinkEvent.UP) if attempt == self.attempt else None

    def heard(self, attempt: int) -> bool:
        """Something came, be it a heartbeat. False: from a stream that is no longer ours."""
        if attempt != self.attempt or self.state not in (LinkState.CONNECTING, LinkState.LIVE, LinkState.SILENT):
            return False
        self._go(LinkEvent.HEARD)
        return True

    def lost(self, attempt: int, error: Exception | None) -> Told | None:
        """The stream ended (error None) or broke, or could not be had."""
        if attempt != self.attempt or self.state not in (LinkState.CONNECTING, LinkState.LIVE, LinkState.SILENT):
            return None
        return self._lose(error)

    def fetched(self) -> None:
        """A fetch succeeded: the platform is there."""
        self._failures = 0

    def fetch_failed(self, error: Exception) -> Told | None:
        """A fetch failed. Asks again later, or gives up."""
        self._failures += 1
        spent = self.state is LinkState.POLLING and self._failures > self._patience.max_retries
        if is_permanent(error) or spent:
            self.error = error
            return None if self.state is LinkState.DOWN else self._go(LinkEvent.GONE)
        if self.state in (
            LinkState.LIVE,
            LinkState.SILENT,
        ):  # POLLING asks again anyway, the others when they hear again
            self._out.append(self._timers.start("fetch", self._patience.backoff_seconds(self._failures)))
        return None

    def timer(self, name: str) -> Told | None:
        """One of this link's timers fired: retry, poll, quiet or fetch."""
        return Told.ASK if name == "fetch" else self._go(_MEANS[name])

    # -- guards ------------------------------------------------------------------------------------------------------

    def _meaning_of(self, error: Exception | None) -> LinkEvent:
        """What the loss of a stream means."""
        if is_permanent(error):
            return LinkEvent.GONE
        hopeless = is_no_stream(error)  # REST may still answer
        if self._losses <= self._patience.max_retries and not hopeless:
            return LinkEvent.LOST
        return LinkEvent.SPENT if self._polls_when_lost else LinkEvent.GONE

    # -- the engine and its acts -------------------------------------------------------------------------------------

    def _go(self, event: LinkEvent) -> Told | None:
        try:
            state, act = LINK[self.state][event]
        except KeyError:
            raise LocalProtocolError(f"link: {event.name} cannot happen while {self.state.name}") from None
        was, self.state = self.state, state
        if was is not state:
            self._out.append(Emit("link", {"state": state.name.lower(), "was": was.name.lower()}))
        self._told = None
        if act:
            getattr(self, f"_{act}")()
        return self._told

    def _lose(self, error: Exception | None) -> Told | None:
        self._losses += 1
        self.error = error
        return self._go(self._meaning_of(error))

    def _open(self) -> None:
        self.attempt += 1
        self._out.append(self._open_stream(self.attempt))

    def _up(self) -> None:
        self._arm()
        self._told = Told.REOPENED if self._heard_once else Told.OPENED
        self._heard_once = True

    def _rearm(self) -> None:
        self._losses = 0
        self._arm()

    def _arm(self) -> None:
        self._out.append(self._timers.start("quiet", self._patience.quiet_seconds))

    def _doubt(self) -> None:
        self._arm()
        self._told = Told.ASK

    def _hang_up(self) -> None:
        self._out.append(CloseStream(self.attempt))
        seconds = 2 * self._patience.quiet_seconds
        self._told = self._lose(
            StreamError(f"the stream said nothing for {seconds:g} s, not even a heartbeat", reason="cut")
        )

    def _wait(self) -> None:
        self._timers.stop("quiet", "fetch")
        self._out.append(self._timers.start("retry", self._patience.backoff_seconds(self._losses)))

    def _poll(self) -> None:
        self._timers.stop("quiet", "fetch")
        self._failures = 0
        self._start_poll()
        self._told = Told.REOPENED if self._heard_once else Told.OPENED
        self._heard_once = True

    def _ask(self) -> None:
        self._start_poll()
        self._told = Told.ASK

    def _start_poll(self) -> None:
        self._out.append(self._timers.start("poll", self._patience.poll_pause_seconds(self._failures)))

    def _give_up(self) -> None:
        self._close()  # a fetch may say "forbidden" while the stream still stands
        self._told = Told.UNREACHABLE

    def _close(self) -> None:
        self._rest()
        self._out.append(CloseStream(self.attempt))

    def _rest(self) -> None:
        self._timers.stop(*TIMERS)
