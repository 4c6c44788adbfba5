"""WATCH: one task, from its request to its end. No I/O, no clock, no threads.

"Why did watching end?" is answered by the rows that lead to DONE:

| event \\ state | IDLE | SENDING | WATCHING | STOPPING |
|---|---|---|---|---|
| SEND | SENDING / post_task | - | - | - |
| ATTACH | WATCHING / listen | - | - | - |
| ACCEPTED | - | WATCHING / listen | - | - |
| REFUSED | - | DONE / refused | - | - |
| OPENED | - | - | . | . |
| REOPENED | - | - | . / reconcile | . / reconcile |
| UNREACHABLE | - | - | DONE / lost | DONE / lost |
| MOVED | - | - | . / tell | . / tell |
| GAP | - | - | . / reconcile | . / reconcile |
| OVER | - | DONE / over | DONE / over | DONE / over |
| STOP | DONE / unsent | . / stop_later | STOPPING / cancel | . |
| STOP_FAILED | - | - | - | WATCHING / go_on |
| GRACE_OVER | - | - | - | DONE / unconfirmed |
| LEAVE | DONE / left | DONE / left | DONE / left | DONE / left |

`.` stays; `-` cannot happen: LocalProtocolError. In DONE nothing happens any more: what comes late is ignored.

A stream begins with a snapshot (protocol.md 2.6), so only after an outage is the task fetched. Polling asks for the
status first and for the task when the status changed. A terminal status ends it wherever it is heard, be it in the
answer of the POST.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any, ClassVar, Final, TypeAlias

from agentkit.errors import LocalProtocolError, RemoteProtocolError
from agentkit.protocol.effects import (
    Emit,
    FetchStatus,
    FetchTask,
    OpenTaskStream,
    PostCancel,
    PostTask,
    Settle,
    TaskOutcome,
    Timer,
    WatchEffect,
)
from agentkit.protocol.fetches import Fetches
from agentkit.protocol.link import TIMERS, Link, LinkState, Patience, Told
from agentkit.protocol.news import Object, as_object
from agentkit.protocol.timers import Timers

__all__ = ["STATUS_NUMBERS", "WATCH", "WatchMachine", "WatchState", "WatchSymbol", "status_number"]


class WatchState(Enum):
    """Where watching is."""

    IDLE = auto()
    SENDING = auto()
    WATCHING = auto()
    STOPPING = auto()
    DONE = auto()


class WatchSymbol(Enum):
    """What can happen."""

    SEND = auto()  # caller: run an app
    ATTACH = auto()  # caller: watch a task that there is
    ACCEPTED = auto()  # POST /apps/run answered
    REFUSED = auto()  # POST /apps/run failed
    OPENED = auto()  # link: we hear, and a snapshot will follow
    REOPENED = auto()  # link: we hear again, or by polling: ask
    UNREACHABLE = auto()  # link: forbidden, or all retries spent
    MOVED = auto()  # the task changed, and goes on
    GAP = auto()  # something was said that we could not read, or only in part
    OVER = auto()  # the task is completed, failed or cancelled
    STOP = auto()  # caller: cancel the task
    STOP_FAILED = auto()  # POST /tasks/{id}/cancel failed
    GRACE_OVER = auto()  # the task did not end in time after it
    LEAVE = auto()  # caller: stop listening; the task goes on


_T, _S = WatchState, WatchSymbol
Row: TypeAlias = dict[WatchSymbol, tuple[WatchState, str]]

WATCH: Final[dict[WatchState, Row]] = {
    _T.IDLE: {
        _S.SEND: (_T.SENDING, "post_task"),
        _S.ATTACH: (_T.WATCHING, "listen"),
        _S.STOP: (_T.DONE, "unsent"),
        _S.LEAVE: (_T.DONE, "left"),
    },
    _T.SENDING: {
        _S.ACCEPTED: (_T.WATCHING, "listen"),
        _S.REFUSED: (_T.DONE, "refused"),
        _S.OVER: (_T.DONE, "over"),
        _S.STOP: (_T.SENDING, "stop_later"),
        _S.LEAVE: (_T.DONE, "left"),
    },
    _T.WATCHING: {
        _S.OPENED: (_T.WATCHING, ""),
        _S.REOPENED: (_T.WATCHING, "reconcile"),
        _S.UNREACHABLE: (_T.DONE, "lost"),
        _S.MOVED: (_T.WATCHING, "tell"),
        _S.GAP: (_T.WATCHING, "reconcile"),
        _S.OVER: (_T.DONE, "over"),
        _S.STOP: (_T.STOPPING, "cancel"),
        _S.LEAVE: (_T.DONE, "left"),
    },
    _T.STOPPING: {
        _S.OPENED: (_T.STOPPING, ""),
        _S.REOPENED: (_T.STOPPING, "reconcile"),
        _S.UNREACHABLE: (_T.DONE, "lost"),
        _S.MOVED: (_T.STOPPING, "tell"),
        _S.GAP: (_T.STOPPING, "reconcile"),
        _S.OVER: (_T.DONE, "over"),
        _S.STOP: (_T.STOPPING, ""),
        _S.STOP_FAILED: (_T.WATCHING, "go_on"),
        _S.GRACE_OVER: (_T.DONE, "unconfirmed"),
        _S.LEAVE: (_T.DONE, "left"),
    },
    _T.DONE: {},
}

STATUS_NUMBERS: Final = {  # protocol.md 2.4: the numbers of today, and every name one of them ever had
    "unknown": 0,
    "received": 1,
    "queued": 2,
    "dispatched": 3,
    "scheduled": 3,
    "preparing": 4,
    "serving": 5,
    "setting_up": 6,
    "running": 7,
    "cancelling": 8,
    "uploading": 9,
    "completed": 10,
    "failed": 11,
    "cancelled": 12,
    "rejected": 13,
}
TASK_OUTCOMES: Final[dict[int, TaskOutcome]] = {10: "completed", 11: "failed", 12: "cancelled", 13: "failed"}
LAST_KNOWN: Final = max(STATUS_NUMBERS.values())


def status_number(task: Object) -> int:
    """The task's status as a number, whatever it came as: a number, a name, or a new number with an old name beside it.

    A number above those we know and without a name we know is returned as it is; it counts as terminal (protocol.md
    11.2: waiting for ever is worse).
    """
    status, text = task.get("status"), task.get("status_text")
    if isinstance(status, str):
        return int(status) if status.isdecimal() and len(status) < 9 else STATUS_NUMBERS.get(status.lower(), 0)
    number = int(status) if isinstance(status, int | float) else 0
    if number > LAST_KNOWN and isinstance(text, str):
        return STATUS_NUMBERS.get(text.lower(), number)
    return number


def _is_older(data: Object, known: Object) -> bool:
    """Whether `data` is a state before the known one; where one of them has no time of its own, it is not."""
    then, now = (_moment(each.get("updated_at")) for each in (data, known))
    return then is not None and now is not None and then < now


def _moment(text: object) -> datetime | None:
    """An RFC 3339 time; Go writes as many digits of a second as it has, so texts cannot be compared."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def _outcome(number: int) -> TaskOutcome | None:
    return "failed" if number > LAST_KNOWN else TASK_OUTCOMES.get(number)


class WatchMachine:
    """The machine. Every method below "what can happen" is an input; each returns the effects to do, in order.

    `body` is POSTed as it is. `task` is the task as merged from everything heard so far.
    """

    def __init__(
        self,
        body: Mapping[str, Any] | None = None,
        *,
        task_id: str | None = None,
        streams: bool = True,
        polls_when_lost: bool = True,
        patience: Patience | None = None,
    ) -> None:
        self.state = WatchState.IDLE
        self.task_id = task_id
        self.task: dict[str, Any] = {}
        self._body = body or {}
        self._patience = patience or Patience()
        self._out: list[WatchEffect] = []
        self._timers = Timers()
        self._fetches = Fetches()
        self._link = Link(
            self._out,
            self._timers,
            open_stream=lambda attempt: OpenTaskStream(self._known_task(), attempt),
            patience=self._patience,
            streams=streams,
            polls_when_lost=polls_when_lost,
        )
        self._error: Exception | None = None
        self._is_stop_wanted = False
        self._is_unanswered = False
        self._changed: tuple[str, ...] = ()
        self._told: set[str] = set()  # the members that the stream spoke of since the last fetch was sent
        self._gap_closes_at: int | None = None  # the fetch that makes good what we may have missed

    @property
    def link(self) -> str:
        """How we hear just now: down, connecting, live, silent, backoff or polling."""
        return self._link.state.name.lower()

    # -- what can happen: the caller ---------------------------------------------------------------------------------

    def send(self) -> list[WatchEffect]:
        """Begins: runs the app."""
        return self._on(WatchSymbol.SEND)

    def attach(self) -> list[WatchEffect]:
        """Begins: watches the task `task_id`."""
        self._known_task()
        return self._on(WatchSymbol.ATTACH)

    def stop(self) -> list[WatchEffect]:
        """Cancels the task, now or as soon as there is one."""
        return self._on(WatchSymbol.STOP)

    def leave(self) -> list[WatchEffect]:
        """Stops listening; the task goes on."""
        return self._on(WatchSymbol.LEAVE)

    # -- what can happen: the platform answers -----------------------------------------------------------------------

    def accepted(self, task: Any) -> list[WatchEffect]:
        """POST /apps/run answered, with a task that may be over already."""
        return self._after(lambda: self._accept(task))

    def refused(self, error: Exception) -> list[WatchEffect]:
        """POST /apps/run failed."""
        self._error = error
        return self._on(WatchSymbol.REFUSED)

    def stop_failed(self, error: Exception) -> list[WatchEffect]:
        """POST /tasks/{id}/cancel failed."""
        if self.state is not WatchState.STOPPING:
            return []
        self._complain(error)
        return self._on(WatchSymbol.STOP_FAILED)

    def fetched(self, seq: int, task: Any) -> list[WatchEffect]:
        """GET /tasks/{id} answered."""
        return self._after(lambda: self._take_fetched(seq, task) if self._fetches.take(seq) else None)

    def status_fetched(self, seq: int, status: Any) -> list[WatchEffect]:
        """GET /tasks/{id}/status answered."""
        return self._after(lambda: self._read_answer(status, self._read_status) if self._fetches.take(seq) else None)

    def fetch_failed(self, seq: int, error: Exception) -> list[WatchEffect]:
        """Either GET failed. 401, 403, 404 end the watch; anything else is tried again."""
        return self._after(lambda: self._miss_fetch(error) if self._fetches.take(seq) else None)

    # -- what can happen: the stream ---------------------------------------------------------------------------------

    def stream_opened(self, attempt: int) -> list[WatchEffect]:
        """The stream's headers came, and they are 2xx."""
        return self._after(lambda: self._tell_watch(self._link.opened(attempt)))

    def stream_lost(self, attempt: int, error: Exception | None = None) -> list[WatchEffect]:
        """The stream ended before the task did, broke, or could not be had."""
        return self._after(lambda: self._tell_watch(self._link.lost(attempt, error)))

    def wire(self, attempt: int, line: Any) -> list[WatchEffect]:
        """A decoded line of the stream."""
        return self._after(lambda: self._read_line(line) if self._link.heard(attempt) else None)

    def bad_event(self, attempt: int, error: Exception) -> list[WatchEffect]:
        """A line that could not be decoded: told, and made good by a fetch."""
        return self._after(lambda: self._miss(error) if self._link.heard(attempt) else None)

    def timer(self, timer: Timer) -> list[WatchEffect]:
        """A timer fired. One that was replaced or is no longer wanted says nothing."""
        return self._after(lambda: self._fire(timer.name) if self._timers.take(timer) else None)

    # -- reading -----------------------------------------------------------------------------------------------------

    def _accept(self, answer: Any) -> None:
        try:
            task = as_object(answer, "the answer of POST /apps/run")
            if not isinstance(task.get("id"), str) or not task["id"]:
                raise RemoteProtocolError("the answer of POST /apps/run is a task without an id")
        except RemoteProtocolError as error:
            self._error = error
            self._watch(WatchSymbol.REFUSED)
            return
        self.task_id, self._is_unanswered = task["id"], False
        self.task.update(task)
        if self._is_over():
            self._watch(WatchSymbol.OVER)
            return
        self._watch(WatchSymbol.ACCEPTED)
        if self._is_stop_wanted:
            self._watch(WatchSymbol.STOP)

    def _read_line(self, line: Any) -> None:
        """One of the four kinds of protocol.md 2.6, or a heartbeat."""
        try:
            frame = as_object(line, "a line of the stream")
            event = frame.get("event")
            if isinstance(event, str):
                self._EVENTS.get(event, WatchMachine._read_other)(self, frame)
            elif isinstance(frame.get("data"), Mapping) and "status" not in frame:
                self._read_update(frame)
            elif "status" in frame or "id" in frame:
                self._read_task(frame)
            elif frame.get("type") != "heartbeat":
                raise RemoteProtocolError(f"a line of a task stream is no task; it has {sorted(map(str, frame))!r}")
        except RemoteProtocolError as error:
            self._miss(error)

    def _read_update(self, frame: Object) -> None:
        data = as_object(frame.get("data"), "data of a task update")
        fields = frame.get("fields")
        if isinstance(fields, list) and fields:
            self._read_task(data, tuple(name for name in fields if isinstance(name, str)))  # pyright: ignore[reportUnknownVariableType]  (checked one by one)
        else:
            self._read_task(data)

    def _read_task(self, data: Object, fields: tuple[str, ...] = ()) -> None:
        """Merges what came. `fields`: only these changed; what else `data` holds may be a default of the sender's."""
        if data.get("id") not in (None, "", self.task_id):
            raise RemoteProtocolError(f"the stream of task {self.task_id!r} speaks of task {data['id']!r}")
        if _outcome(status_number(data)) is None and _is_older(data, self.task):
            return  # said before the fetch that we heard meanwhile, and heard after it
        names = {*fields, "status", "status_text"} if fields else set(data)
        self._changed = fields
        self._told |= names
        self.task.update({name: data[name] for name in data if name in names})
        is_whole = not fields or ("output" in data and self._gap_closes_at is None)
        if not self._is_over():
            self._watch(WatchSymbol.MOVED)
        elif is_whole:
            self._watch(WatchSymbol.OVER)
        else:  # over, but with what? (2.6 rule 4 is not kept, or the line that said it was lost)
            self._watch(WatchSymbol.MOVED)
            self._watch(WatchSymbol.GAP)

    def _read_done(self, _: Object) -> None:
        self._watch(WatchSymbol.GAP)  # the end, but not how

    def _read_error(self, frame: Object) -> None:
        raise RemoteProtocolError(f"the task's stream reports an error: {frame.get('data')!r:.500}")

    def _read_other(self, frame: Object) -> None:
        self._out.append(Emit("wire", frame.get("data"), str(frame["event"])))

    def _take_fetched(self, seq: int, answer: Any) -> None:
        if self._gap_closes_at is not None and seq >= self._gap_closes_at:
            self._gap_closes_at = None
        self._read_answer(answer, self._read_fetched)

    def _read_answer(self, answer: Any, read: Callable[[Object], None]) -> None:
        try:
            data = as_object(answer, "the answer of GET /tasks/{id}")
        except RemoteProtocolError as error:
            self._miss_fetch(error)
            return
        self._link.fetched()
        read(data)
        if self.state is not WatchState.DONE and self._fetches.is_owed():
            self._fetch_task()

    def _read_fetched(self, task: Object) -> None:
        """A whole task. What the stream spoke of meanwhile is newer, unless this is the end."""
        is_over = _outcome(status_number(task)) is not None
        news = {name: value for name, value in task.items() if is_over or name not in self._told}
        is_news = any(name not in self.task or self.task[name] != value for name, value in news.items())
        self.task.update(news)
        self._changed = ()
        if is_over:
            self._watch(WatchSymbol.OVER)
        elif is_news:
            self._watch(WatchSymbol.MOVED)

    def _is_over(self) -> bool:
        return _outcome(status_number(self.task)) is not None

    def _read_status(self, status: Object) -> None:
        number = status_number(status)
        if number != status_number(self.task) or _outcome(number) is not None:
            self._fetch_task()

    def _miss(self, error: Exception) -> None:
        self._complain(error)
        self._watch(WatchSymbol.GAP)

    def _miss_fetch(self, error: Exception) -> None:
        self._complain(error)
        self._tell_watch(self._link.fetch_failed(error))

    # -- the engine --------------------------------------------------------------------------------------------------

    def _on(self, symbol: WatchSymbol) -> list[WatchEffect]:
        return self._after(lambda: self._watch(symbol))

    def _after(self, step: Callable[[], None]) -> list[WatchEffect]:
        if self.state is not WatchState.DONE:
            step()
        out = self._out.copy()
        self._out.clear()
        return out

    def _watch(self, symbol: WatchSymbol) -> None:
        if self.state is WatchState.DONE:
            return
        try:
            self.state, act = WATCH[self.state][symbol]
        except KeyError:
            raise LocalProtocolError(f"{symbol.name} cannot happen to a watch that is {self.state.name}") from None
        if act:
            self._ACTS[act](self)

    def _tell_watch(self, told: Told | None) -> None:
        match told:
            case Told.OPENED if self._link.state is not LinkState.POLLING:
                self._watch(WatchSymbol.OPENED)
            case Told.OPENED | Told.REOPENED:
                self._watch(WatchSymbol.REOPENED)
            case Told.UNREACHABLE:
                self._error = self._link.error
                self._watch(WatchSymbol.UNREACHABLE)
            case Told.ASK:
                if not self._fetches.is_under_way:
                    self._reconcile()
            case None:
                pass

    def _fire(self, name: str) -> None:
        if name in TIMERS:
            self._tell_watch(self._link.timer(name))
        else:
            self._watch(WatchSymbol.GRACE_OVER)

    # -- acts --------------------------------------------------------------------------------------------------------

    def _post_task(self) -> None:
        self._is_unanswered = True
        self._out.append(PostTask(self._body))

    def _listen(self) -> None:
        self._tell_watch(self._link.start())

    def _reconcile(self) -> None:
        """Polling asks for the status, which is small; after an outage the whole task is wanted."""
        self._gap_closes_at = self._fetches.next
        if self._link.state is not LinkState.POLLING or not self.task:
            self._fetch_task()
        elif (seq := self._fetches.ask()) is not None:
            self._out.append(FetchStatus(self._known_task(), seq))

    def _fetch_task(self) -> None:
        if (seq := self._fetches.ask()) is not None:
            self._timers.stop("fetch")
            self._told.clear()
            self._out.append(FetchTask(self._known_task(), seq))

    def _tell(self) -> None:
        self._out.append(Emit("update", dict(self.task), fields=self._changed))

    def _stop_later(self) -> None:
        self._is_stop_wanted = True

    def _cancel(self) -> None:
        self._out.append(PostCancel(self._known_task()))
        self._out.append(self._timers.start("grace", self._patience.grace_seconds))

    def _go_on(self) -> None:
        self._timers.stop("grace")
        self._fetch_task()

    def _over(self) -> None:
        number, error = status_number(self.task), self.task.get("error")
        detail = error if isinstance(error, str) else ""
        if number > LAST_KNOWN and not detail:
            detail = f"status {number} is not one of the protocol's; taken as an end"
        self._tell()
        self._settle(Settle(_outcome(number) or "failed", detail, run=dict(self.task)))

    def _refused(self) -> None:
        maybe_sent = bool(getattr(self._error, "maybe_sent", False)) or isinstance(self._error, RemoteProtocolError)
        self._settle(Settle("refused", str(self._error), error=self._error, maybe_sent=maybe_sent))

    def _lost(self) -> None:
        why = str(self._error) if self._error is not None else "the stream ended again and again before the task did"
        self._settle(Settle("lost", why, run=self._last_task(), error=self._error))

    def _unsent(self) -> None:
        self._settle(Settle("cancelled", "stopped before the task was sent"))

    def _unconfirmed(self) -> None:
        seconds = self._patience.grace_seconds
        detail = f"the platform did not confirm the cancel within {seconds:g} s"
        self._settle(Settle("cancelled", detail, run=self._last_task()))

    def _left(self) -> None:
        self._settle(Settle("left", run=self._last_task(), maybe_sent=self._is_unanswered))

    def _settle(self, end: Settle) -> None:
        self._link.close()
        self._out.append(end)

    def _complain(self, error: Exception) -> None:
        self._out.append(Emit("error", error))

    def _last_task(self) -> Object | None:
        return dict(self.task) or None

    def _known_task(self) -> str:
        if self.task_id is None:
            raise LocalProtocolError("this needs a task, and there is none yet: send() first")
        return self.task_id

    _ACTS: ClassVar[Mapping[str, Callable[[Any], None]]] = {
        "cancel": _cancel,
        "go_on": _go_on,
        "left": _left,
        "listen": _listen,
        "lost": _lost,
        "over": _over,
        "post_task": _post_task,
        "reconcile": _reconcile,
        "refused": _refused,
        "stop_later": _stop_later,
        "tell": _tell,
        "unconfirmed": _unconfirmed,
        "unsent": _unsent,
    }

    _EVENTS: ClassVar[Mapping[str, Callable[[Any, Object], None]]] = {
        "update": _read_update,  # the SSE form's names (protocol.md 2.6)
        "done": _read_done,
        "error": _read_error,
    }
