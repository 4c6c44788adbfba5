"""TURN: one exchange with a chat. A message goes in, the end of its run comes out. No I/O, no clock, no threads.

"Why did this turn end?" is answered by the rows that lead to DONE:

| event \\ state | IDLE | OPENING | SENDING | ATTACHING | WORKING | PARKED | STOPPING |
|---|---|---|---|---|---|---|---|
| SEND | SENDING / post_run | - | - | - | - | - | - |
| SEND_OPEN | OPENING / listen | - | - | - | - | - | - |
| ATTACH | ATTACHING / listen | - | - | - | - | - | - |
| OPENED | - | SENDING / post_run | . / reconcile | . / reconcile | . / reconcile | . / reconcile | . / reconcile |
| UNREACHABLE | - | DONE / lost | . | DONE / lost | DONE / lost | DONE / lost | DONE / lost |
| ACCEPTED | - | - | WORKING / listen | - | - | - | - |
| REFUSED | - | - | DONE / refused | - | - | - | - |
| ACTIVE | - | - | - | WORKING | . | WORKING / unpark | . |
| WAITS | - | - | - | PARKED / tell | PARKED / tell | . / tell | . |
| RETURN | - | - | - | DONE / parked | DONE / parked | - | . |
| HINT | - | - | - | . / ask | . / ask | . / ask | . / ask |
| GAP | - | - | . / reconcile | . / reconcile | . / reconcile | . / reconcile | . / reconcile |
| OVER | - | - | - | DONE / over | DONE / over | DONE / over | DONE / over |
| STOP | DONE / unsent | DONE / unsent | . / stop_later | STOPPING / halt | STOPPING / halt | STOPPING / halt | . |
| STOP_FAILED | - | - | - | - | - | - | WORKING / go_on |
| GRACE_OVER | - | - | - | - | - | - | DONE / unconfirmed |
| LEAVE | DONE / left | DONE / left | DONE / left | DONE / left | DONE / left | DONE / left | DONE / left |

`.` stays; `-` cannot happen: the driver did something wrong, LocalProtocolError. In DONE nothing happens any more:
what comes late is ignored.

Before ACCEPTED nobody can tell whose run is spoken of, so readings are kept and replayed then (a run can end before its
POST answers). After it every reading passes `TurnMachine.classify`, which holds all the guards; the tables have none.
Beside TURN run LINK (`link.py`, how we hear), one CALL per client-tool invocation (`calls.py`), and one VERDICT per
question that the program's own rule may answer (`verdicts.py`). While a handler or a rule is at work here, the run does
not wait for a person.

`resume()` is the way in for another process: nothing is sent; the machine listens, fetches the chat, runs the client
tools that wait, and goes on to WORKING or PARKED, or settles with the last run's outcome where there is nothing to
resume.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, ClassVar, Final, Literal, TypeAlias

from agentkit.errors import AlreadyResolvedError, APIError, ConflictError, LocalProtocolError, RemoteProtocolError
from agentkit.protocol import news
from agentkit.protocol.calls import Call, CallEvent, Calls
from agentkit.protocol.effects import (
    Allow,
    CancelTool,
    Effect,
    Emit,
    FetchChat,
    Judge,
    OpenStream,
    Outcome,
    PostDecision,
    PostResult,
    PostRun,
    PostStop,
    PostUnknown,
    RunTool,
    Settle,
    Timer,
)
from agentkit.protocol.facts import Facts
from agentkit.protocol.fetches import Fetches
from agentkit.protocol.link import TIMERS, Link, Patience, Told
from agentkit.protocol.news import Accepted, Child, Frame, Invocation, Message, Object, Phase, Reading
from agentkit.protocol.timers import Timers
from agentkit.protocol.verdicts import Question, VerdictEvent, Verdicts

__all__ = ["TURN", "Symbol", "TurnMachine", "TurnState", "WhenParked"]

WhenParked: TypeAlias = Literal["wait", "return"]


class TurnState(Enum):
    """Where a turn is."""

    IDLE = auto()
    OPENING = auto()  # the chat is known: hear first, then send
    SENDING = auto()
    ATTACHING = auto()  # nothing to send; does the chat have a run?
    WORKING = auto()
    PARKED = auto()  # a person is waited for, and nothing runs here
    STOPPING = auto()
    DONE = auto()


class Symbol(Enum):
    """What can happen to a turn."""

    SEND = auto()  # caller: a new chat, or polling: nothing to open first
    SEND_OPEN = auto()  # caller: a known chat, to be streamed
    ATTACH = auto()  # caller: resume a chat
    OPENED = auto()  # link: we hear, for the first time or again
    UNREACHABLE = auto()  # link: forbidden, or all retries spent
    ACCEPTED = auto()  # POST /agents/run answered
    REFUSED = auto()  # POST /agents/run failed
    ACTIVE = auto()  # the run works, or waits only for a handler here
    WAITS = auto()  # the run waits for a person
    RETURN = auto()  # the same, and the caller asked to have control back
    HINT = auto()  # the run may be over; only a fetch sent now can tell
    GAP = auto()  # something was said that we could not read, or may have missed
    OVER = auto()  # the run ended, and it is this turn's
    STOP = auto()  # caller: stop the run
    STOP_FAILED = auto()  # POST /chats/{id}/stop failed
    GRACE_OVER = auto()  # the run did not end in time after a stop
    LEAVE = auto()  # caller: stop listening (Ctrl-C, break, cancel, reset); the run goes on


_T, _S = TurnState, Symbol
Row: TypeAlias = dict[Symbol, tuple[TurnState, str]]

TURN: Final[dict[TurnState, Row]] = {
    _T.IDLE: {
        _S.SEND: (_T.SENDING, "post_run"),
        _S.SEND_OPEN: (_T.OPENING, "listen"),
        _S.ATTACH: (_T.ATTACHING, "listen"),
        _S.STOP: (_T.DONE, "unsent"),
        _S.LEAVE: (_T.DONE, "left"),
    },
    _T.OPENING: {
        _S.OPENED: (_T.SENDING, "post_run"),
        _S.UNREACHABLE: (_T.DONE, "lost"),
        _S.STOP: (_T.DONE, "unsent"),
        _S.LEAVE: (_T.DONE, "left"),
    },
    _T.SENDING: {
        _S.OPENED: (_T.SENDING, "reconcile"),
        _S.UNREACHABLE: (_T.SENDING, ""),
        _S.ACCEPTED: (_T.WORKING, "listen"),
        _S.REFUSED: (_T.DONE, "refused"),
        _S.GAP: (_T.SENDING, "reconcile"),
        _S.STOP: (_T.SENDING, "stop_later"),
        _S.LEAVE: (_T.DONE, "left"),
    },
    _T.ATTACHING: {
        _S.OPENED: (_T.ATTACHING, "reconcile"),
        _S.UNREACHABLE: (_T.DONE, "lost"),
        _S.ACTIVE: (_T.WORKING, ""),
        _S.WAITS: (_T.PARKED, "tell"),
        _S.RETURN: (_T.DONE, "parked"),
        _S.HINT: (_T.ATTACHING, "ask"),
        _S.GAP: (_T.ATTACHING, "reconcile"),
        _S.OVER: (_T.DONE, "over"),
        _S.STOP: (_T.STOPPING, "halt"),
        _S.LEAVE: (_T.DONE, "left"),
    },
    _T.WORKING: {
        _S.OPENED: (_T.WORKING, "reconcile"),
        _S.UNREACHABLE: (_T.DONE, "lost"),
        _S.ACTIVE: (_T.WORKING, ""),
        _S.WAITS: (_T.PARKED, "tell"),
        _S.RETURN: (_T.DONE, "parked"),
        _S.HINT: (_T.WORKING, "ask"),
        _S.GAP: (_T.WORKING, "reconcile"),
        _S.OVER: (_T.DONE, "over"),
        _S.STOP: (_T.STOPPING, "halt"),
        _S.LEAVE: (_T.DONE, "left"),
    },
    _T.PARKED: {
        _S.OPENED: (_T.PARKED, "reconcile"),
        _S.UNREACHABLE: (_T.DONE, "lost"),
        _S.ACTIVE: (_T.WORKING, "unpark"),
        _S.WAITS: (_T.PARKED, "tell"),
        _S.HINT: (_T.PARKED, "ask"),
        _S.GAP: (_T.PARKED, "reconcile"),
        _S.OVER: (_T.DONE, "over"),
        _S.STOP: (_T.STOPPING, "halt"),
        _S.LEAVE: (_T.DONE, "left"),
    },
    _T.STOPPING: {
        _S.OPENED: (_T.STOPPING, "reconcile"),
        _S.UNREACHABLE: (_T.DONE, "lost"),
        _S.ACTIVE: (_T.STOPPING, ""),
        _S.WAITS: (_T.STOPPING, ""),
        _S.RETURN: (_T.STOPPING, ""),
        _S.HINT: (_T.STOPPING, "ask"),
        _S.GAP: (_T.STOPPING, "reconcile"),
        _S.OVER: (_T.DONE, "over"),
        _S.STOP: (_T.STOPPING, ""),
        _S.STOP_FAILED: (_T.WORKING, "go_on"),
        _S.GRACE_OVER: (_T.DONE, "unconfirmed"),
        _S.LEAVE: (_T.DONE, "left"),
    },
    _T.DONE: {},
}

RUN_OUTCOMES: Final[dict[str, Outcome]] = {
    "completed": "completed",
    "failed": "failed",
    "canceled": "canceled",
    "rejected": "rejected",
}
ANSWER_OUTCOMES: Final[dict[str, Outcome]] = {  # for platforms without runs (protocol.md 7.2 rule 10)
    "ready": "completed",
    "failed": "failed",
    "cancelled": "canceled",
}
_UNDER_WAY: Final = (Call.RUNNING, Call.POSTING, Call.REPORTING)
_UNTELLABLE: Final = (404, 405)  # POST /tools/{id}/unknown is ours: other platforms have no such endpoint
BY_RULE: Final = "allowed by the program's rule"


@dataclass(frozen=True, slots=True)
class _Heard:
    """A reading and where it came from: the stream, or the fetch of that number.

    `next_fetch`: the first fetch that was sent after it. `is_stale`: the stream spoke of the run after the fetch was
    sent. `is_behind`: it has told the end of a message that the fetch shows unfinished. `untold`: what the caller is
    to see only if this ends the turn.
    """

    reading: Reading
    next_fetch: int
    seq: int | None = None
    is_stale: bool = False
    is_behind: bool = False
    untold: Emit | None = None


def _as_it_is(data: Object) -> Object:
    return data


class TurnMachine:
    """The machine. Every method below "what can happen" is an input; each returns the effects to do, in order.

    `body` is POSTed as it is, with the chat's id. `tools` names the client tools that have a handler here,
    `tools_below` those of agents that this one asks, as (name of the tool that asks, name of the client tool). `judges`
    and `judges_below` name in the same way the tools, of any kind, with a rule here that says whether a person is
    needed. `calls` and `verdicts` belong to the chat and are handed from turn to turn. `after` is the log cursor of an
    earlier turn, to go on from.
    """

    def __init__(
        self,
        chat_id: str | None,
        body: Mapping[str, Any] | None = None,
        *,
        tools: Collection[str] = (),
        tools_below: Collection[tuple[str, str]] = (),
        judges: Collection[str] = (),
        judges_below: Collection[tuple[str, str]] = (),
        calls: Calls | None = None,
        verdicts: Verdicts | None = None,
        streams: bool = True,
        when_parked: WhenParked = "wait",
        polls_when_lost: bool = True,
        patience: Patience | None = None,
        after: int | None = None,
    ) -> None:
        self.state = TurnState.IDLE
        self.chat_id = chat_id
        self.calls = Calls() if calls is None else calls
        self.cursor = after
        self._body = body or {}
        self._tools = tools
        self._tools_below = tools_below
        self._judges = judges
        self._judges_below = judges_below
        self._streams = streams
        self._when_parked = when_parked
        self._patience = patience or Patience()
        self._out: list[Effect] = []
        self._timers = Timers()
        self._fetches = Fetches()
        self.verdicts = Verdicts() if verdicts is None else verdicts
        self._facts = Facts(follows=chat_id is not None, verdicts=self.verdicts)
        self._link = Link(
            self._out,
            self._timers,
            open_stream=lambda attempt: OpenStream(self._known_chat(), attempt, self.cursor),
            patience=self._patience,
            streams=streams,
            polls_when_lost=polls_when_lost,
        )
        self._early: list[_Heard] = []  # heard before ACCEPTED, or before a gap was closed
        self._gap_closes_at: int | None = None  # the fetch that makes good what we may have missed
        self._verdict: Reading | None = None  # the reading that ended the run
        self._error: Exception | None = None
        self._is_stop_wanted = False
        self._stream_readings = 0
        self._told_messages: set[str] = set()  # by the stream, since the last fetch was sent
        self._readings_at_fetch = 0
        self._told_of: tuple[tuple[object, ...], tuple[object, ...]] | None = (
            None  # what the caller was last told that the run waits for
        )
        self._answers_over: set[str] = set()
        self._announced: set[str] = set()
        self._held: list[Effect] = []  # what a rule allowed while the run was being stopped
        self._doubted_attempt = 0
        self._unplaced: list[Child] = []  # heard before the call that led there

    @property
    def run_id(self) -> str | None:
        """This turn's run, once the platform named it."""
        return self._facts.run_id

    @property
    def assistant_id(self) -> str | None:
        """The assistant message that the POST announced; of a resumed chat, its last one."""
        answer = self._facts.answer
        return self._facts.assistant_id or (answer.id if answer else None)

    @property
    def link(self) -> str:
        """How we hear just now: down, connecting, live, silent, backoff or polling."""
        return self._link.state.name.lower()

    # -- what can happen: the caller ---------------------------------------------------------------------------------

    def send(self) -> list[Effect]:
        """Begins the turn: sends the message."""
        opens_first = self.chat_id is not None and self._streams
        return self._on(Symbol.SEND_OPEN if opens_first else Symbol.SEND)

    def resume(self) -> list[Effect]:
        """Begins the turn: takes up what the chat does already."""
        self._known_chat()
        self._facts.attached = True
        return self._on(Symbol.ATTACH)

    def stop(self) -> list[Effect]:
        """Stops the run, now or as soon as there is one. Again, or too late: nothing happens."""
        return self._on(Symbol.STOP)

    def leave(self) -> list[Effect]:
        """Stops listening; the run goes on without us."""
        return self._on(Symbol.LEAVE)

    def submit(self, id_: str, result: str) -> list[Effect]:
        """A result by hand, for a call that no handler here answers."""
        if self.state is TurnState.DONE:
            return []
        if id_ not in self.calls:
            self.calls.begin(id_, Call.LEFT)
        return self._on_call(id_, CallEvent.SUBMIT, result=result)

    def decide(
        self,
        id_: str,
        approve: bool,
        *,
        args: Mapping[str, Any] | None = None,
        note: str = "",
        arguments_hash: str | None = None,
        always: Mapping[str, Any] | None = None,
        by: str | None = None,
    ) -> list[Effect]:
        """A person's decision on an invocation that awaits approval; see `PostDecision`."""
        if self.state is TurnState.DONE:
            return []
        self._out.append(PostDecision(id_, approve, args, note, arguments_hash, always, by))
        return self._flush()

    # -- what can happen: the platform answers -----------------------------------------------------------------------

    def accepted(self, reply: Any) -> list[Effect]:
        """POST /agents/run answered."""
        if self.state is TurnState.DONE:
            return []
        try:
            accepted = Accepted.of(reply)
        except RemoteProtocolError as error:
            return self._refuse(error)
        if (accepted.chat_id or self.chat_id) is None:
            return self._refuse(RemoteProtocolError("the answer of POST /agents/run names no chat_id"))
        self.chat_id = accepted.chat_id or self.chat_id
        self._facts.learn_accepted(accepted)
        self._turn(Symbol.ACCEPTED)
        if self._is_stop_wanted:
            self._turn(Symbol.STOP)
        self._replay()
        return self._flush()

    def refused(self, error: Exception) -> list[Effect]:
        """POST /agents/run failed; `error.maybe_sent` where it may have been taken all the same."""
        self._error = error
        return self._on(Symbol.REFUSED)

    def stop_failed(self, error: Exception) -> list[Effect]:
        """POST /chats/{id}/stop failed."""
        if self.state is not TurnState.STOPPING:
            return []
        self._complain(error)
        return self._on(Symbol.STOP_FAILED)

    def decision_failed(self, id_: str, error: Exception) -> list[Effect]:
        """A decision was not taken. 409: somebody else decided first (design.md 5)."""
        if self.state is TurnState.DONE:
            return []
        self._complain(error)
        return self._on(Symbol.GAP) if self.state in _LISTENING else self._flush()

    def fetched(self, seq: int, chat: Any, messages: Any = None, children: Sequence[Any] = ()) -> list[Effect]:
        """GET /chats/{id} answered; `messages` where they were fetched apart (a page's items).

        `children`: what is in the chats of agents below this one, as the data of `child` events.
        """
        if self.state is TurnState.DONE or not self._fetches.take(seq):
            return []
        try:
            found = news.as_object(chat, "the chat")
            reading, each_message = Reading.of_chat(found), news.messages_of(found, messages)
        except RemoteProtocolError as error:
            return self._fetch_failed(error)
        self._link.fetched()
        are_behind = [self._read_fetched_message(data) for data in each_message]
        for data in children:
            self._read_fetched_child(data)
        self._hear_fetched(seq, reading, Emit("wire", found, "chats", fetched=True), is_behind=any(are_behind))
        self._weigh_again()
        self._close_gap(seq)
        self._fetch_if_owed()
        return self._flush()

    def fetch_failed(self, seq: int, error: Exception) -> list[Effect]:
        """GET /chats/{id} failed. 401, 403, 404 end the turn; anything else is tried again."""
        if self.state is TurnState.DONE or not self._fetches.take(seq):
            return []
        return self._fetch_failed(error)

    # -- what can happen: the stream ---------------------------------------------------------------------------------

    def stream_opened(self, attempt: int) -> list[Effect]:
        """The stream's headers came, and they are 2xx."""
        return self._after(lambda: self._tell_turn(self._link.opened(attempt)))

    def stream_lost(self, attempt: int, error: Exception | None = None) -> list[Effect]:
        """The stream ended, broke, or could not be had."""
        return self._after(lambda: self._tell_turn(self._link.lost(attempt, error)))

    def wire(self, attempt: int, line: Any) -> list[Effect]:
        """A decoded line of the stream."""
        return self._after(lambda: self._read_line(line) if self._link.heard(attempt) else None)

    def bad_event(self, attempt: int, error: Exception) -> list[Effect]:
        """A line that could not be decoded: told, and made good by a fetch (protocol.md 11.1)."""
        return self._after(lambda: self._miss(error) if self._link.heard(attempt) else None)

    def timer(self, timer: Timer) -> list[Effect]:
        """A timer fired. One that was replaced or is no longer wanted says nothing."""
        return self._after(lambda: self._fire(timer.name) if self._timers.take(timer) else None)

    # -- what can happen: client tools -------------------------------------------------------------------------------

    def tool_finished(self, id_: str, result: str) -> list[Effect]:
        """A handler gave its result, as the text to POST."""
        return self._on_call(id_, CallEvent.FINISHED, result=result)

    def result_posted(self, id_: str) -> list[Effect]:
        """POST /tools/{id} answered."""
        return self._on_call(id_, CallEvent.POSTED)

    def result_failed(self, id_: str, error: Exception) -> list[Effect]:
        """POST /tools/{id} failed. 409: the platform settled the call meanwhile, which is no error."""
        settled = isinstance(error, ConflictError)
        return self._on_call(id_, CallEvent.SETTLED if settled else CallEvent.POST_FAILED, error=error)

    def tool_unknown(self, id_: str, why: str) -> list[Effect]:
        """The call was begun before, and nobody can say what came of it."""
        return self._on_call(id_, CallEvent.UNKNOWN, result=why)

    def tool_taken(self, id_: str) -> list[Effect]:
        """Another process that shares the journal runs it."""
        return self._on_call(id_, CallEvent.TAKEN)

    def tool_free(self, effect: RunTool) -> list[Effect]:
        """A call that was taken is run by nobody any more: its journal is to be asked again."""
        if self.state in (TurnState.DONE, TurnState.STOPPING) or self.calls.get(effect.id) is not Call.LEFT:
            return []
        self._out.append(effect)
        return self._on_call(effect.id, CallEvent.AGAIN)

    def unknown_told(self, id_: str) -> list[Effect]:
        """POST /tools/{id}/unknown answered: the platform asks a person, who may have decided by now."""
        effects = self._on_call(id_, CallEvent.TOLD)
        return [*effects, *self._on(Symbol.GAP)] if self.state in _LISTENING else effects

    def unknown_failed(self, id_: str, error: Exception, result: str) -> list[Effect]:
        """POST /tools/{id}/unknown failed. 409: somebody was first; `result` is posted where there is no such thing."""
        if isinstance(error, ConflictError):
            return self.unknown_told(id_)
        untellable = isinstance(error, APIError) and error.status_code in _UNTELLABLE
        return self._on_call(
            id_, CallEvent.UNTELLABLE if untellable else CallEvent.NOT_TOLD, result=result, error=error
        )

    # -- what can happen: the program's own rules ----------------------------------------------------------------------

    def judged(self, id_: str, *, needs_person: bool) -> list[Effect]:
        """A rule said whether a person has to answer this question."""
        return self._on_question(id_, VerdictEvent.HELD if needs_person else VerdictEvent.FREE)

    def allowed(self, id_: str) -> list[Effect]:
        """POST /interrupts/{id}/resolve answered."""
        return self._on_question(id_, VerdictEvent.TAKEN)

    def allow_failed(self, id_: str, error: Exception) -> list[Effect]:
        """POST /interrupts/{id}/resolve failed: a person has to answer, unless somebody was first."""
        if not isinstance(error, AlreadyResolvedError):
            return self._on_question(id_, VerdictEvent.REFUSED, error=error)
        effects = self._on_question(id_, VerdictEvent.TAKEN)
        return [*effects, *self._on(Symbol.GAP)] if self.state in _LISTENING else effects

    # -- guards: everything conditional about this protocol ----------------------------------------------------------

    def classify(self, reading: Reading, *, seq: int | None = None, is_stale: bool = False) -> Symbol | None:
        """What a reading of the stream (`seq` None) or of a fetch means for this turn. None: nothing at all.

        The idle reading of the previous turn is nothing; another run at work is nothing, unless ours began before it.
        """
        if reading.phase is None:
            return None
        if self._facts.is_another(reading):
            return self._classify_another(reading, seq)
        if self._facts.is_over(reading):
            return self._classify_over(reading, seq)
        if is_stale:
            return None  # only the end of a run is certain to stay true
        return self._classify_open(reading, is_fetched=seq is not None)

    def _classify_another(self, reading: Reading, seq: int | None) -> Symbol | None:
        """Another run's news: that ours is over, if ours was seen to begin or to answer before (one run at a time)."""
        facts = self._facts
        if not facts.was_busy and not facts.is_answer_over:
            return None  # ours may be queued behind it
        if reading.phase is Phase.OVER and not facts.is_answer_over:
            return None
        if seq is None:
            return Symbol.HINT
        return Symbol.OVER if facts.proof is not None and seq >= facts.proof else None

    def _classify_over(self, reading: Reading, seq: int | None) -> Symbol | None:
        """A run is over. Ours?"""
        facts = self._facts
        is_ours = facts.is_named(reading) or self._is_idle_news(seq)
        if not is_ours:
            return Symbol.HINT if facts.attached else None
        if seq is not None:
            is_done = facts.is_named(reading) or facts.was_busy or facts.attached or not facts.is_answer_pending
            return Symbol.OVER if is_done else None
        # The last message and the output come before the chat's own word (7.2 rule 4); a run's word may come first.
        return Symbol.OVER if reading.is_chat and not facts.is_answer_pending else Symbol.HINT

    def _is_idle_news(self, seq: int | None) -> bool:
        """Whether an idle reading without our run's name can only be about this turn."""
        facts = self._facts
        if not facts.follows:
            return True
        if seq is None:
            return facts.was_busy_on_stream
        return facts.attached or (facts.proof is not None and seq >= facts.proof)

    def _classify_open(self, reading: Reading, *, is_fetched: bool, is_again: bool = False) -> Symbol | None:
        """Our run is not over. Does it wait for a person? While something runs here it does not."""
        facts, calls = self._facts, self.calls
        waits = Symbol.RETURN if self._when_parked == "return" else Symbol.WAITS
        if calls.has_any(_UNDER_WAY) or self.verdicts.has_any_under_way:
            return Symbol.ACTIVE
        if reading.phase is not Phase.WAITS:
            return waits if facts.is_all_left(calls) else Symbol.ACTIVE
        if reading.state == "auth_required" or facts.is_person_needed(calls):
            if waits is Symbol.RETURN and facts.attached and not is_fetched:
                return Symbol.HINT  # the log may tell of what was answered since: only a fetch is from now
            is_told = is_fetched or reading.state == "auth_required" or bool(facts.waiting_interrupts())
            is_enough = waits is Symbol.WAITS and not self._awaits_question()
            return waits if is_told or is_enough else Symbol.HINT  # who returns has to say what is asked
        if is_again:  # what it waited for is settled; if it never said what, only a new reading tells
            return Symbol.ACTIVE if self._told_of and any(self._told_of) else None
        if not is_fetched:
            return Symbol.HINT  # the message that says what it waits for may come later than the run's state
        return Symbol.ACTIVE if facts.has_answered(calls) else waits  # the platform may not have moved on yet

    # -- reading -----------------------------------------------------------------------------------------------------

    def _read_line(self, line: Any) -> None:
        try:
            frame = news.read_frame(line)
            if not frame.event or self._is_repeated(frame):
                return
            parse, read = self._READERS.get(frame.event, (_as_it_is, TurnMachine._pass_on))
            parsed = parse(frame.data)
            if not (isinstance(parsed, Message) and self._is_behind(parsed)):
                self._out.append(Emit("wire", frame.data, frame.event, frame.cursor, frame.fields))
            read(self, parsed)
        except RemoteProtocolError as error:
            self._miss(error)

    def _is_repeated(self, frame: Frame) -> bool:
        """Whether the log's entry was heard before. Moves the cursor on."""
        if frame.cursor is None:
            return False
        if self.cursor is None or frame.cursor > self.cursor or frame.event == "reset":
            self.cursor = frame.cursor
            return False
        if self._doubted_attempt != self._link.attempt:  # a log that began anew would look like this: do not go deaf
            self._doubted_attempt = self._link.attempt
            self._turn(Symbol.GAP)
        return True

    def _read_reading(self, reading: Reading) -> None:
        if reading.chat_id in (None, self.chat_id):  # a child chat tells of its own
            self._stream_readings += 1
            self._learn_interrupts(reading)
            self._hear(_Heard(reading, self._fetches.next))

    def _read_told_message(self, message: Message) -> None:
        self._told_messages.add(message.id)
        self._read_message(message)
        self._weigh_again()

    def _read_message(self, message: Message) -> None:
        if message.chat_id not in (None, self.chat_id):
            return
        self._facts.learn_message(message)
        for invocation in message.invocations:
            self._read_invocation(invocation)
        self._place_children()
        self._look_at_answer()

    def _read_fetched_message(self, data: Object) -> bool:
        """Whether the stream had told its end, so that the fetch is older than what was heard."""
        try:
            message = Message.of(data)
        except RemoteProtocolError as error:
            self._complain(error)
            return False
        is_older, is_behind = message.id in self._told_messages and not message.is_over, self._is_behind(message)
        if not is_older and not is_behind:
            self._out.append(Emit("wire", data, "chat_messages", fetched=True))
        self._read_message(message)
        return is_behind

    def _is_behind(self, message: Message) -> bool:
        """Whether it is a copy from before what was heard of it, or of its calls: a fetch and the stream crossed."""
        if message.status is not None and not message.is_over and self._facts.is_message_over(message.id):
            return True
        return any(not each.is_over and self._facts.is_invocation_over(each.id) for each in message.invocations)

    def _pass_on(self, _: Object) -> None:
        """An event that says nothing about the turn: deltas, and what a newer platform may send."""

    def _read_reset(self, _: Object) -> None:
        self._turn(Symbol.GAP)  # the log was cut where we stood

    def _read_told_child(self, child: Child) -> None:
        self._read_child(child)
        self._weigh_again()

    def _read_fetched_child(self, data: Any) -> None:
        try:
            child = Child.of(news.as_object(data, "a child's news"))
        except RemoteProtocolError as error:
            self._complain(error)
            return
        self._out.append(Emit("wire", data, "child", fetched=True))
        self._read_child(child)

    def _read_child(self, child: Child) -> None:
        """Client tools of an agent below run here too; whose they are is said by the name of the call that asked it."""
        caller = self._facts.invocations.get(child.invocation_id)
        if caller is not None:
            for invocation in child.invocations:
                self._facts.learn_below(child.chat_id, invocation)
                self._learn_call(invocation, chat_id=child.chat_id, agent=caller.name)
        elif child.invocations:
            self._unplaced.append(child)

    def _place_children(self) -> None:
        """What agents below did, where it was heard before the message with the call that asked them."""
        unplaced, self._unplaced = self._unplaced, []
        for child in unplaced:
            self._read_child(child)
        self._judge()

    def _learn_interrupts(self, reading: Reading) -> None:
        self._facts.learn_interrupts(reading)
        self._judge()

    def _judge(self) -> None:
        """Asks the program's own rules about what waits for approval, once per question."""
        if self.state is TurnState.STOPPING or not (self._judges or self._judges_below):
            return
        for question in filter(None, map(Question.of, self._facts.interrupts)):
            name = question.tool_name
            caller = None if self._is_here(question) else self._facts.caller_of(question.chat_path)
            judged = name in self._judges if self._is_here(question) else bool(caller) and self._is_below(caller, name)
            if judged:
                self.verdicts.hear(question)
                event = VerdictEvent.RESERVED if question.is_for_people else VerdictEvent.SEEN
                self._act_on_question(question, event, agent=caller.name if caller else None)

    def _is_here(self, question: Question) -> bool:
        return question.chat_id in ("", self.chat_id)

    def _is_below(self, caller: Invocation | None, tool_name: str) -> bool:
        return caller is not None and (caller.name, tool_name) in self._judges_below

    def _awaits_question(self) -> bool:
        """Whether a call of a tool with a rule here awaits approval, and its question was not heard yet."""
        waiting = self._facts.waiting_invocations(self.calls)
        return any(
            each.status == "awaiting_approval" and each.name in self._judges and not self.verdicts.is_heard_on(each.id)
            for each in waiting
        )

    def _read_invocation(self, heard: Invocation) -> None:
        self._learn_call(self._facts.learn_invocation(heard))

    def _learn_call(self, invocation: Invocation, *, chat_id: str | None = None, agent: str | None = None) -> None:
        id_ = invocation.id
        if invocation.is_over:
            if id_ not in self.calls and invocation.type == "client":
                self.calls.begin(id_, Call.MOOT)  # answered elsewhere: an older copy of the message must not start it
            self._act_on_call(id_, self.calls.advance(id_, CallEvent.SETTLED))
        elif invocation.is_for_client and self.state is not TurnState.STOPPING:
            self._dispatch(invocation, chat_id, agent)

    def _dispatch(self, invocation: Invocation, chat_id: str | None, agent: str | None) -> None:
        """Starts the handler, once per invocation; what nobody here handles is told to the caller, once per turn."""
        id_, is_new, name, attempt = invocation.id, invocation.id not in self.calls, invocation.name, invocation.attempt
        is_ours = name in self._tools if agent is None else (agent, name) in self._tools_below
        if is_new:
            self.calls.begin(id_, Call.RUNNING if is_ours else Call.LEFT, attempt=attempt)
        elif is_ours:
            is_new = self.calls.begin_again(id_, attempt)
        if is_new and is_ours:
            self._out.append(RunTool(id_, name, invocation.args, invocation.raw, chat_id, agent, attempt))
        elif self.calls.get(id_) is Call.LEFT and id_ not in self._announced:
            self._announced.add(id_)
            self._out.append(Emit("tool_call", invocation.raw))

    def _hear_fetched(self, seq: int, reading: Reading, emit: Emit, *, is_behind: bool) -> None:
        """The caller sees a fetched chat if it is news: not older than the stream, nor another turn's end."""
        is_stale = self._stream_readings > self._readings_at_fetch
        is_news = not is_stale and not self._facts.is_over(reading)
        if is_news:
            self._out.append(emit)
            self._learn_interrupts(reading)
        self._hear(_Heard(reading, self._fetches.next, seq, is_stale, is_behind, untold=None if is_news else emit))

    def _hear(self, heard: _Heard, *, is_past: bool = False) -> None:
        if self.state is TurnState.DONE:
            return
        if self.state is TurnState.SENDING:
            self._early.append(heard)
            return
        by_stream = heard.seq is None
        self._facts.learn_reading(
            heard.reading, by_stream=by_stream, is_stale=heard.is_stale, next_fetch=heard.next_fetch
        )
        symbol = self.classify(heard.reading, seq=heard.seq, is_stale=heard.is_stale or heard.is_behind)
        if symbol is Symbol.OVER and by_stream and self._gap_closes_at is not None:
            self._early.append(heard)  # the last message may be what we missed
            return
        if symbol is Symbol.OVER:
            self._verdict = heard.reading
            self._out.extend([heard.untold] if heard.untold else [])
        if symbol is not None and not (is_past and symbol in _OPEN):
            self._turn(symbol)

    def _replay(self) -> None:
        """Hears what was kept. Only the last state of the run counts; a wait that has passed parks nothing."""
        early, self._early = self._early, []
        for heard in early:
            self._hear(heard, is_past=heard is not early[-1])
        self._look_at_answer()
        self._weigh_again()

    def _close_gap(self, seq: int) -> None:
        if self._gap_closes_at is not None and seq >= self._gap_closes_at and self.state is not TurnState.DONE:
            self._gap_closes_at = None
            if self.state is not TurnState.SENDING:
                self._replay()

    def _look_at_answer(self) -> None:
        """A message may end before its run: where the stream did not show the run at work, a fetch has to tell."""
        answer = self._facts.answer
        if self.state not in _LISTENING or answer is None or answer.id in self._answers_over:
            return
        if self._facts.is_answer_over:
            self._answers_over.add(answer.id)
            if not self._facts.was_busy_on_stream:
                self._facts.learn_proof(self._fetches.next)
                self._turn(Symbol.HINT)

    def _weigh_again(self) -> None:
        """What is known of calls and invocations changed: does the run now wait for a person, or no longer?"""
        is_over = bool(self._early)  # heard, and kept until the gap is closed
        if self.state in (TurnState.WORKING, TurnState.PARKED) and self._facts.last is not None and not is_over:
            symbol = self._classify_open(self._facts.last, is_fetched=False, is_again=True)
            if symbol is not None:
                self._turn(symbol)

    def _miss(self, error: Exception) -> None:
        self._complain(error)
        self._turn(Symbol.GAP)

    # -- the engines -------------------------------------------------------------------------------------------------

    def _on(self, symbol: Symbol) -> list[Effect]:
        return self._after(lambda: self._turn(symbol))

    def _after(self, step: Callable[[], None]) -> list[Effect]:
        if self.state is not TurnState.DONE:
            step()
        return self._flush()

    def _turn(self, symbol: Symbol) -> None:
        if self.state is TurnState.DONE:
            return
        try:
            state, act = TURN[self.state][symbol]
        except KeyError:
            raise LocalProtocolError(f"{symbol.name} cannot happen to a turn that is {self.state.name}") from None
        was, self.state = self.state, state
        if act:
            self._ACTS[act](self, was)

    def _tell_turn(self, told: Told | None) -> None:
        match told:
            case Told.OPENED | Told.REOPENED:
                self._turn(Symbol.OPENED)
            case Told.UNREACHABLE:
                self._error = self._link.error
                self._turn(Symbol.UNREACHABLE)
            case Told.ASK:
                if not self._fetches.is_under_way:
                    self._fetch()
            case None:
                pass

    def _fire(self, name: str) -> None:
        if name in TIMERS:
            self._tell_turn(self._link.timer(name))
        elif name == "grace":
            self._turn(Symbol.GRACE_OVER)
        else:
            self._fetch()

    def _on_call(self, id_: str, event: CallEvent, *, result: str = "", error: Exception | None = None) -> list[Effect]:
        if self.state is TurnState.DONE:
            return []
        self._act_on_call(id_, self.calls.advance(id_, event), result=result, error=error)
        self._weigh_again()
        return self._flush()

    def _act_on_call(self, id_: str, act: str, *, result: str = "", error: Exception | None = None) -> None:
        match act:
            case "post":
                self._out.append(PostResult(id_, result))
            case "report":
                self._out.append(PostUnknown(id_, self.calls.attempt(id_), result))
            case "cancel":
                self._out.append(CancelTool(id_))
            case "complain" if error is not None:
                self._complain(error)
            case _:
                pass

    def _on_question(self, id_: str, event: VerdictEvent, *, error: Exception | None = None) -> list[Effect]:
        if self.state is TurnState.DONE:
            return []
        self._act_on_question(self.verdicts.question(id_), event, error=error)
        self._weigh_again()
        return self._flush()

    def _act_on_question(
        self, question: Question, event: VerdictEvent, *, agent: str | None = None, error: Exception | None = None
    ) -> None:
        match self.verdicts.advance(question.id, event):
            case "judge":
                chat_id = question.chat_id or self._known_chat()
                called = (question.invocation_id, question.tool_name, question.args)
                self._out.append(Judge(question.id, *called, chat_id, agent))
            case "allow":
                allow = Allow(question.id, question.arguments_hash, BY_RULE)
                (self._held if self.state is TurnState.STOPPING else self._out).append(allow)
            case "ask":
                self._out.append(Emit("asked", question.raw))
            case "object" if error is not None:
                self._complain(error)
                self._out.append(Emit("asked", question.raw))
            case _:
                pass

    def _flush(self) -> list[Effect]:
        out = self._out.copy()
        self._out.clear()
        return out

    # -- acts of TURN ------------------------------------------------------------------------------------------------

    def _post_run(self, _: TurnState) -> None:
        self._out.append(PostRun({**self._body, "chat_id": self.chat_id}))

    def _listen(self, _: TurnState) -> None:
        if self._link.is_down:
            self._tell_turn(self._link.start())

    def _reconcile(self, _: TurnState) -> None:
        self._gap_closes_at = self._fetches.next
        self._fetch()

    def _ask(self, _: TurnState) -> None:
        """Gives the stream a moment to say it itself: the usual order needs no fetch at all."""
        if not self._timers.is_running("ask"):
            self._out.append(self._timers.start("ask", self._patience.ask_seconds))

    def _stop_later(self, _: TurnState) -> None:
        self._is_stop_wanted = True

    def _halt(self, _: TurnState) -> None:
        self._out.append(PostStop(self._known_chat()))
        self._out.append(self._timers.start("grace", self._patience.grace_seconds))

    def _go_on(self, _: TurnState) -> None:
        self._timers.stop("grace")
        self._is_stop_wanted = False
        self._out.extend(self._held)
        self._held.clear()
        self._fetch()

    def _tell(self, _: TurnState) -> None:
        interrupts = self._facts.waiting_interrupts()
        invocations = [*self._facts.waiting_invocations(self.calls), *self._facts.waiting_below(self.calls)]
        what = (
            tuple(str(each.get("id")) for each in interrupts),
            tuple((each.id, each.status) for each in invocations),
        )
        if what == self._told_of:
            return
        self._told_of = what
        raw: Sequence[Object] = [each.raw for each in invocations]
        self._out.append(Emit("parked", {"run": self._last_run(), "interrupts": interrupts, "invocations": raw}))

    def _unpark(self, _: TurnState) -> None:
        self._told_of = None
        self._out.append(Emit("unparked", {"run": self._last_run()}))

    def _parked(self, was: TurnState) -> None:
        self._tell(was)
        self._settle(Settle("parked", "the run waits for a person", run=self._last_run()))

    def _over(self, _: TurnState) -> None:
        reading = self._verdict
        if reading is None:
            raise LocalProtocolError("OVER without a reading that says so")
        if self._facts.is_another(reading):
            detail = "the chat went on to another run"
            self._settle(Settle(self._answer_outcome("lost"), detail, run=self._last_run()))
            return
        outcome = RUN_OUTCOMES.get(reading.state) if reading.is_run else None
        error = reading.raw.get("error")
        detail = error if isinstance(error, str) else ""
        self._settle(Settle(outcome or self._answer_outcome("completed"), detail, run=reading.raw))

    def _refused(self, _: TurnState) -> None:
        maybe_sent = bool(getattr(self._error, "maybe_sent", False)) or isinstance(self._error, RemoteProtocolError)
        self._settle(Settle("refused", str(self._error), error=self._error, maybe_sent=maybe_sent))

    def _lost(self, was: TurnState) -> None:
        why = str(self._error) if self._error is not None else "the stream ended again and again"
        detail = f"not sent: {why}" if was is TurnState.OPENING else why
        self._settle(Settle("lost", detail, run=self._last_run(), error=self._error))

    def _unsent(self, _: TurnState) -> None:
        self._settle(Settle("canceled", "stopped before the message was sent"))

    def _unconfirmed(self, _: TurnState) -> None:
        seconds = self._patience.grace_seconds
        detail = f"the platform did not confirm the stop within {seconds:g} s"
        self._settle(Settle("canceled", detail, run=self._last_run()))

    def _left(self, was: TurnState) -> None:
        self._settle(Settle("left", run=self._last_run(), maybe_sent=was is TurnState.SENDING))

    # -- parts of acts -----------------------------------------------------------------------------------------------

    def _settle(self, end: Settle) -> None:
        event = CallEvent.SETTLED if self._verdict is not None else CallEvent.ABANDONED
        for id_ in self.calls:
            self._act_on_call(id_, self.calls.advance(id_, event))
        for question_id in self.verdicts:
            self.verdicts.advance(question_id, VerdictEvent.ABANDONED)
        self._link.close()
        self._out.append(end)

    def _answer_outcome(self, default: Outcome) -> Outcome:
        answer = self._facts.answer
        status = answer.status if answer else None
        return ANSWER_OUTCOMES.get(status or "", default)

    def _fetch(self) -> None:
        seq = self._fetches.ask()
        if seq is not None:
            self._timers.stop("ask", "fetch")  # this one serves
            self._readings_at_fetch = self._stream_readings
            self._told_messages.clear()
            with_children = bool(self._tools_below or self._judges_below)
            self._out.append(FetchChat(self._known_chat(), seq, with_children=with_children))

    def _fetch_if_owed(self) -> None:
        if self.state is not TurnState.DONE and self._fetches.is_owed():
            self._fetch()

    def _fetch_failed(self, error: Exception) -> list[Effect]:
        self._complain(error)
        self._tell_turn(self._link.fetch_failed(error))
        return self._flush()

    def _refuse(self, error: RemoteProtocolError) -> list[Effect]:
        self._error = error
        return self._on(Symbol.REFUSED)

    def _complain(self, error: Exception) -> None:
        self._out.append(Emit("error", error))

    def _last_run(self) -> Object | None:
        last = self._facts.last
        return last.raw if last and not last.is_queued else None

    def _known_chat(self) -> str:
        if self.chat_id is None:
            raise LocalProtocolError("this needs a chat, and there is none yet: send() first")
        return self.chat_id

    _READERS: ClassVar[Mapping[str, tuple[Callable[[Object], Any], Callable[[Any, Any], None]]]] = {
        "chats": (Reading.of_chat, _read_reading),
        "agent_runs": (Reading.of_run, _read_reading),
        "chat_messages": (Message.of, _read_told_message),
        "child": (Child.of, _read_told_child),
        "reset": (_as_it_is, _read_reset),
    }

    _ACTS: ClassVar[Mapping[str, Callable[[Any, TurnState], None]]] = {
        "ask": _ask,
        "go_on": _go_on,
        "halt": _halt,
        "left": _left,
        "listen": _listen,
        "lost": _lost,
        "over": _over,
        "parked": _parked,
        "post_run": _post_run,
        "reconcile": _reconcile,
        "refused": _refused,
        "stop_later": _stop_later,
        "tell": _tell,
        "unconfirmed": _unconfirmed,
        "unpark": _unpark,
        "unsent": _unsent,
    }


_OPEN: Final = (Symbol.ACTIVE, Symbol.WAITS, Symbol.RETURN)
_LISTENING: Final = (TurnState.WORKING, TurnState.PARKED, TurnState.STOPPING)
