"""The turn machine against a toy platform that knows the truth.

`play(seed)` runs one turn on it: random scheduling, outages, duplicates, unreadable lines, early ends, stops, people
and other clients who answer, other turns before and after. What is checked:

- it always settles, without waiting for a silence to be noticed;
- completed, failed, canceled, rejected are what became of this turn's run, and only once it was over;
- by then the caller has seen the last message whole, and the output;
- "parked" only where a person was waited for, by the latest news; with `when_parked="return"` always there;
- a stop that could be posted is posted; a handler runs once per attempt; no result is posted for another's call;
- a rule is asked once per question, and not about a call that may have run already; what it allows parks nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random
from typing import Any

from agentkit.errors import (
    AlreadyResolvedError,
    ConflictError,
    ConnectError,
    NotFoundError,
    PermissionDeniedError,
    StreamError,
)
from agentkit.protocol import effects as fx
from agentkit.protocol.link import Patience
from agentkit.protocol.turn import TurnMachine, TurnState

OVER = ("completed", "failed", "canceled", "rejected")
CALM_AFTER = 250  # steps with faults
GIVE_UP_AFTER = 2_000
STOPPABLE = (TurnState.SENDING, TurnState.ATTACHING, TurnState.WORKING, TurnState.PARKED)
MESSAGE_STATUS = {"completed": "ready", "failed": "failed", "canceled": "cancelled", "rejected": "failed"}


@dataclass
class Run:
    id: str
    question: str
    state: str = "submitted"
    script: list[str] = field(default_factory=list)  # what it will still do, last first: the names of `do_...`
    ends: str = "completed"
    stopping: bool = False
    is_parking: bool = False  # asks somebody, and does not wait yet
    owes_answer: bool = False  # its current message is over, and there is no other yet
    answer: dict[str, Any] | None = None  # its current message

    @property
    def is_over(self) -> bool:
        return self.state in OVER


@dataclass(frozen=True)
class Entry:
    """One event as published. `seq` None: not of the log."""

    event: str
    data: dict[str, Any]
    at: int
    seq: int | None = None


class Platform:
    """One chat. Everything it says is a copy of the truth of that moment."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.has_runs = random.random() < 0.7  # old servers know only the chat's status
        self.names_runs = self.has_runs and random.random() < 0.7
        self.names_in_post = self.names_runs and random.random() < 0.5
        self.names_questions = self.names_runs and random.random() < 0.5
        self.has_log = random.random() < 0.5
        self.has_interrupts = random.random() < 0.6
        self.is_loud = random.random() < 0.5  # says input_required while a client tool waits
        self.tells_run_first = random.random() < 0.5
        self.parks_later = random.random() < 0.5  # says what it asks while it is still busy
        self.answers_late = random.random() < 0.5  # the next message is there once the calls of the last are settled
        self.client_status = random.choice(["awaiting_input", "in_progress"])
        self.has_helpers = True  # people who decide, and other clients that answer
        self.now = 0
        self.runs: list[Run] = []
        self.queue: list[Run] = []
        self.messages: list[dict[str, Any]] = []
        self.output: Any = None
        self.log: list[Entry] = []
        self.pruned = 0
        self.pending: list[Entry] | None = None  # of the open stream
        self.person_waits: list[bool] = [False]  # by time
        self.results: Counter[str] = Counter()
        self.free: set[str] = set()  # the calls of `j` that our rule allows

    # -- truth -------------------------------------------------------------------------------------------------------

    @property
    def run(self) -> Run | None:
        return self.runs[-1] if self.runs else None

    @property
    def invocations(self) -> list[dict[str, Any]]:
        return [each for message in self.messages for each in message.get("tool_invocations", [])]

    def open_invocations(self) -> list[dict[str, Any]]:
        return [each for each in self.invocations if each["status"] not in ("completed", "failed", "cancelled")]

    def waits_for_person(self) -> bool:
        """Whether only a person, or a client that is not ours, can move the run on."""
        return any(not self.is_moved_here(each) for each in self.open_invocations())

    def is_moved_here(self, invocation: dict[str, Any]) -> bool:
        """Whether a handler or a rule of ours moves it on; no rule can where the platform does not say what it asks."""
        if invocation["function"]["name"] == "a":
            return bool(invocation["status"] != "awaiting_approval")
        return self.has_interrupts and invocation["id"] in self.free

    # -- what it says ------------------------------------------------------------------------------------------------

    def run_view(self, run: Run) -> dict[str, Any]:
        view: dict[str, Any] = {"state": run.state}
        if self.names_runs:
            view["id"] = run.id
        if self.names_questions:
            view["user_message_id"] = run.question
        return view

    def chat_view(self) -> dict[str, Any]:
        run = self.run
        is_busy = (run is not None and not run.is_over) or bool(self.queue)
        is_held = any(each["status"] == "awaiting_approval" for each in self.open_invocations())
        is_held = is_held and not (run is not None and run.is_parking)
        view: dict[str, Any] = {"id": "c1", "status": ("awaiting_input" if is_held else "busy") if is_busy else "idle"}
        view["output"] = self.output
        if self.has_runs:
            view["active_run"] = self.run_view(run) if run else None
        if self.has_interrupts:
            view["pending_interrupts"] = [
                self.interrupt_view(each) for each in self.open_invocations() if each["status"] == "awaiting_approval"
            ]
        return view

    def interrupt_view(self, invocation: dict[str, Any]) -> dict[str, Any]:
        """A call that may have run already is asked about by another interrupt than the first."""
        attempt, name = invocation.get("attempt", 0), invocation["function"]["name"]
        meta = {"tool_name": name, "arguments": {"n": 1}, "unknown_outcome" if attempt else "judged": True}
        view = {"id": f"p-{invocation['id']}-{attempt}", "reason": "tool_approval", "status": "pending"}
        return {**view, "resource_id": invocation["id"], "meta": meta, "chat_id": "c1", "chat_path": ["c1"]}

    def publish(self, event: str, data: dict[str, Any]) -> None:
        self.now += 1
        self.person_waits.append(self.waits_for_person())
        entry = Entry(event, deepcopy(data), self.now, len(self.log) + 1 if self.has_log else None)
        if self.has_log:
            self.log.append(entry)
        if self.pending is not None:
            self.pending.append(entry)

    def tell_chat(self) -> None:
        self.publish("chats", self.chat_view())

    def tell_run(self, run: Run) -> None:
        if self.has_runs:
            self.publish("agent_runs", self.run_view(run))

    def tell_both(self, run: Run, message: dict[str, Any]) -> None:
        """A message and the run's state, in the order of this platform."""
        if self.tells_run_first:
            self.tell_run(run)
        self.publish("chat_messages", message)
        if not self.tells_run_first:
            self.tell_run(run)

    def snapshot(self) -> list[Entry]:
        """Assistant messages of the last turn and the chat; an idle chat comes last (protocol.md 7.2 rule 2)."""
        of_run = [each for each in self.messages if each["role"] == "assistant" and each["run"] == self.runs[-1].id]
        entries = [Entry("chat_messages", deepcopy(each), self.now) for each in of_run]
        chat = Entry("chats", self.chat_view(), self.now)
        entries.insert(len(entries) if chat.data["status"] == "idle" else 0, chat)
        if self.has_log:
            last = entries[-1]
            entries[-1] = Entry(last.event, last.data, last.at, len(self.log))
        return entries

    def open(self, after: int | None) -> None:
        if self.has_log and after is not None and self.pruned <= after:
            self.pending = self.log[after:]
        else:
            self.pending = self.snapshot() if self.runs else []

    # -- what happens on it ------------------------------------------------------------------------------------------

    def ask(self, run: Run) -> dict[str, Any]:
        """POST /agents/run. Busy before it answers (rule 1), or queued behind the run there is."""
        question = {"id": run.question, "role": "user", "status": "ready", "chat_id": "c1", "order": len(self.messages)}
        self.messages.append({**question, "run": run.id})
        run.answer = self.new_answer(run)
        if self.run is not None and not self.run.is_over:
            self.queue.append(run)
        else:
            self.begin(run)
        reply: dict[str, Any] = {"user_message": question, "assistant_message": deepcopy(run.answer)}
        if self.names_in_post:
            reply["assistant_message"]["agent_run_id"] = run.id
        return reply

    def begin(self, run: Run) -> None:
        self.runs.append(run)
        self.output = None
        if not self.has_runs:
            run.state = "working"
        self.tell_chat()
        assert run.answer is not None
        self.publish("chat_messages", run.answer)

    def new_answer(self, run: Run) -> dict[str, Any]:
        message: dict[str, Any] = {"id": f"m{len(self.messages)}", "role": "assistant", "status": "pending"}
        message |= {"chat_id": "c1", "order": len(self.messages), "tool_invocations": [], "run": run.id, "text": ""}
        self.messages.append(message)
        return message

    def advance(self) -> None:
        run = self.run
        if run is None or run.is_over:
            return
        if run.stopping:
            self.finish(run, "canceled")
        elif run.state == "submitted":
            run.state = "working"
            self.tell_run(run)
        elif run.is_parking:
            self.park(run)
        elif self.open_invocations():
            self.be_helped(run)
        elif run.state == "input_required":
            run.state = "working"
            self.tell_run(run)
            self.tell_chat()
        elif run.owes_answer:
            self.answer_anew(run)
        elif run.script:
            getattr(self, f"do_{run.script.pop()}")(run)
        else:
            self.finish(run, run.ends)

    def park(self, run: Run) -> None:
        """It waits from now on, unless what it waits for is there already."""
        run.is_parking = False
        if self.open_invocations():
            run.state = "input_required"
            self.tell_run(run)
            self.tell_chat()

    def be_helped(self, run: Run) -> None:
        """Somebody else decides or answers, in time, or too late; nobody where the caller wants to do it."""
        if not self.has_helpers or self.random.random() < 0.7:
            return
        if self.random.random() < 0.05:
            self.finish(run, "failed")
            return
        for each in self.open_invocations():
            if each["status"] == "awaiting_approval" and "attempt" in each and self.random.random() < 0.7:
                self.run_again(run, each)
                return
            is_outrun = each["function"]["name"] != "a" and self.random.random() < 0.1  # a person is quicker
            if not self.is_moved_here(each) or self.results[each["id"]] < 0 or is_outrun:
                self.settle_call(each)
                return

    def settle_call(self, invocation: dict[str, Any]) -> None:
        invocation["status"] = "completed"
        self.publish("chat_messages", self.message_of(invocation))

    def do_judge(self, run: Run) -> None:
        asked = self.new_call("app", "j", "awaiting_approval") | {"type": self.random.choice(["app", "client"])}
        if self.random.random() < 0.6:
            self.free.add(asked["id"])
        self.call(run, [asked], held=True)

    def allow(self, interrupt_id: str) -> None:
        """POST /interrupts/{id}/resolve. Raises where it does not wait any more."""
        waiting = [each for each in self.open_invocations() if each["status"] == "awaiting_approval"]
        invocation = next((each for each in waiting if self.interrupt_view(each)["id"] == interrupt_id), None)
        if invocation is None:
            raise AlreadyResolvedError(409, "somebody was first")
        assert invocation["id"] in self.free and "attempt" not in invocation, "allowed what nobody allowed"
        self.settle_call(invocation)

    def take_unknown(self, id_: str, attempt: int) -> None:
        """POST /tools/{id}/unknown: a person is asked. Raises where it does not wait, or for another attempt."""
        invocation = next(each for each in self.invocations if each["id"] == id_)
        if invocation["status"] != self.client_status or invocation["attempt"] != attempt:
            raise ConflictError(409, "it does not wait for that attempt")
        run = self.run
        assert run is not None
        invocation["status"] = "awaiting_approval"
        run.state, run.is_parking = "input_required", False
        self.tell_both(run, self.message_of(invocation))
        self.tell_chat()

    def run_again(self, run: Run, invocation: dict[str, Any]) -> None:
        """A person said that the call is to be run once more."""
        invocation["attempt"] += 1
        invocation["status"] = self.client_status
        if not self.is_loud:
            run.state = "working"
        self.tell_both(run, self.message_of(invocation))
        self.tell_chat()

    def message_of(self, invocation: dict[str, Any]) -> dict[str, Any]:
        return next(each for each in self.messages if invocation in each.get("tool_invocations", []))

    def do_talk(self, run: Run) -> None:
        assert run.answer is not None
        run.answer["text"] += "."
        self.publish("chat_messages", run.answer)

    def do_client(self, run: Run) -> None:
        self.call(run, [self.new_call("client", "a", self.client_status)], held=self.is_loud)

    def do_left(self, run: Run) -> None:
        self.call(run, [self.new_call("client", "b", self.client_status)], held=self.is_loud)

    def do_approve(self, run: Run) -> None:
        self.call(run, [self.new_call("app", "c", "awaiting_approval")], held=True)

    def do_both(self, run: Run) -> None:
        ours = self.new_call("client", "a", self.client_status)
        self.call(run, [ours, self.new_call("app", "c", "awaiting_approval", number=1)], held=True)

    def new_call(self, kind: str, name: str, status: str, *, number: int = 0) -> dict[str, Any]:
        arguments = self.random.choice([{"n": 1}, '{"n": 1}'])
        called = {"id": f"i{len(self.invocations) + number}", "type": kind, "status": status}
        counted = {"attempt": 1} if kind == "client" and self.has_interrupts else {}
        return {**called, **counted, "function": {"name": name, "arguments": arguments}}

    def call(self, run: Run, invocations: list[dict[str, Any]], *, held: bool) -> None:
        assert run.answer is not None
        message = run.answer
        message["status"] = "ready"
        message["tool_invocations"].extend(invocations)
        run.owes_answer = self.answers_late
        if not run.owes_answer:
            run.answer = self.new_answer(run)
        run.is_parking = held and self.parks_later
        if held and not run.is_parking:
            run.state = "input_required"
            self.tell_both(run, message)
        else:
            self.publish("chat_messages", message)
        if held:
            self.tell_chat()
        if not run.owes_answer:
            self.publish("chat_messages", run.answer)

    def answer_anew(self, run: Run) -> None:
        run.owes_answer, run.answer = False, self.new_answer(run)
        self.publish("chat_messages", run.answer)

    def finish(self, run: Run, state: str) -> None:
        if run.owes_answer:
            self.answer_anew(run)
        assert run.answer is not None
        for each in self.open_invocations():
            each["status"] = "cancelled"
        run.answer["status"] = MESSAGE_STATUS[state]
        run.answer["text"] += "!"
        run.state = state
        self.output = f"output of {run.id}"
        for message in self.messages:
            if message.get("run") == run.id and message is not run.answer and message.get("tool_invocations"):
                self.publish("chat_messages", message)
        self.tell_both(run, run.answer)
        if self.queue:
            self.begin(self.queue.pop(0))
        else:
            self.tell_chat()

    def take_result(self, id_: str) -> None:
        """POST /tools/{id}. Raises where it does not wait any more."""
        invocation = next(each for each in self.invocations if each["id"] == id_)
        if invocation not in self.open_invocations():
            raise ConflictError(409, "it has its result")
        self.results[id_] += 1
        self.settle_call(invocation)


class Play:
    """One turn, its driver and the platform, with a scheduler that is not kind."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.platform = platform = Platform(random)
        self.attaches = random.random() < 0.2
        self.follows = self.attaches or random.random() < 0.7
        self.returns = random.random() < 0.4
        self.is_shaky = random.random() < 0.6  # outages, duplicates, unreadable lines, failing requests
        self.drops_left = random.choice([0, 1, 1, 2]) if self.is_shaky else 0
        self.slow = random.choice(["", "", "accepted", "fetched"])
        self.notices_silence = random.random() < 0.3
        is_exact = not self.attaches and (platform.names_in_post or platform.names_questions)
        self.goes_on_after = is_exact and random.random() < 0.4  # another client asks when ours is over
        platform.has_helpers = not self.returns
        self.ours = Run("r1", "u1", script=self.script(), ends=random.choice(OVER if platform.has_runs else OVER[:2]))
        if self.follows:
            self.set_the_scene()
        self.machine = TurnMachine(
            "c1" if self.follows else None,
            {"input": {"text": "hi"}},
            tools={"a", "j"},
            judges={"j"},
            streams=random.random() < 0.8,
            when_parked="return" if self.returns else "wait",
            patience=Patience(max_retries=3),
        )
        self.under_way: list[Callable[[], None]] = []
        self.timers: dict[str, fx.Timer] = {}
        self.attempt: int | None = None
        self.opening: int | None = None
        self.delivered: list[Entry] = []
        self.settled: fx.Settle | None = None
        self.stop_must_be_posted = self.is_stop_posted = self.is_stop_asked = False
        self.started: Counter[tuple[str, int]] = Counter()
        self.judged: Counter[str] = Counter()
        self.told: Counter[str] = Counter()
        self.heard_on_stream = self.heard_by_fetch = self.heard_of_run = 0
        self.seen_messages: dict[str, dict[str, Any]] = {}
        self.seen_output: Any = None
        self.past: list[object] = []
        self.steps = self.failures = 0
        self.untold = False  # an approval of our rule could not be sent

    def script(self) -> list[str]:
        return [
            self.random.choice(["client", "left", "approve", "both", "judge", "talk"])
            for _ in range(self.random.randint(0, 3))
        ]

    def set_the_scene(self) -> None:
        """A chat with a turn behind it; to attach to, our run at any point of its life; or one in front of ours."""
        platform, random = self.platform, self.random
        before = Run("r0", "u0", script=["talk"], ends=random.choice(OVER[:3] if platform.has_runs else OVER[:2]))
        platform.ask(before)
        is_queued = (
            platform.names_runs and (platform.names_in_post or platform.names_questions) and random.random() < 0.3
        )
        while not before.is_over and (self.attaches or not is_queued):
            platform.advance()
        if self.attaches:
            platform.ask(self.ours)
            for _ in range(random.randint(0, 8)):
                platform.advance()

    # -- the driver --------------------------------------------------------------------------------------------------

    def take(self, label: object, effects: Sequence[fx.Effect]) -> None:
        self.past.append((label, self.machine.state.name, self.machine.link, [type(each).__name__ for each in effects]))
        for effect in effects:
            assert self.settled is None, "effects after Settle"
            self.act(effect)

    def act(self, effect: fx.Effect) -> None:
        match effect:
            case fx.PostRun():
                self.under_way.append(self.post_run)
            case fx.OpenStream(attempt=attempt, after=after):
                self.attempt, self.opening = None, attempt
                self.under_way.append(lambda: self.open(attempt, after))
            case fx.CloseStream():
                self.attempt = self.opening = self.platform.pending = None
            case fx.StartTimer(timer):
                self.timers[timer.name] = timer
            case fx.FetchChat(seq=seq):
                self.under_way.append(lambda: self.fetch(seq))
            case fx.PostStop():
                self.is_stop_posted = True
                self.under_way.append(self.post_stop)
            case fx.RunTool(id_, name, args, attempt=attempt):
                self.started[id_, attempt] += 1
                assert name == "a", "a tool without a handler was started"
                assert args == {"n": 1}, "arguments were not decoded"
                ends = (
                    self.machine.tool_unknown if attempt and self.random.random() < 0.3 else self.machine.tool_finished
                )
                self.under_way.append(lambda: self.take(("tool", id_), ends(id_, "x")))
            case fx.PostUnknown(id_, attempt):
                self.under_way.append(lambda: self.post_unknown(id_, attempt))
            case fx.Judge(id_, invocation_id, name, args):
                self.judged[id_] += 1
                assert (name, args) == ("j", {"n": 1}), "a tool without a rule was judged"
                needs_person = invocation_id not in self.platform.free
                self.under_way.append(
                    lambda: self.take(("judged", id_), self.machine.judged(id_, needs_person=needs_person))
                )
            case fx.Allow(id_):
                self.under_way.append(lambda: self.allow(id_))
            case fx.PostResult(id_):
                self.under_way.append(lambda: self.post_result(id_))
            case fx.Emit():
                self.hear(effect)
            case fx.Settle():
                self.settled = effect
            case _:
                pass

    def hear(self, emit: fx.Emit) -> None:
        if emit.kind == "wire" and emit.event == "chat_messages":
            self.seen_messages[emit.data["id"]] = emit.data
        elif emit.kind == "wire" and emit.event == "chats":
            self.seen_output = emit.data["output"]
        elif emit.kind == "tool_call":
            self.told[emit.data["id"]] += 1
            assert emit.data["function"]["name"] == "b" or any(id_ == emit.data["id"] for id_, _ in self.started), (
                "told of our own call"
            )
        if emit.kind == "tool_call" and not self.returns and self.random.random() < 0.5:
            id_ = emit.data["id"]
            self.under_way.append(lambda: self.take(("submit", id_), self.machine.submit(id_, "by hand")))

    # -- requests: the platform acts now, its answer comes later -------------------------------------------------------

    def later(self, label: object, answer: Callable[[], Sequence[fx.Effect]]) -> None:
        """Some answers of some plays are slow: the stream is far ahead of them."""

        def arrive() -> None:
            if label == self.slow and self.random.random() < 0.9 and self.steps < CALM_AFTER:
                self.under_way.append(arrive)
            else:
                self.take(label, answer())

        self.under_way.append(arrive)

    def post_run(self) -> None:
        reply = self.platform.ask(self.ours)
        self.later("accepted", lambda: self.machine.accepted(reply))

    def open(self, attempt: int, after: int | None) -> None:
        if self.opening != attempt:
            return
        self.opening = None
        if self.fails(0.2):
            self.take("no stream", self.machine.stream_lost(attempt, ConnectError("refused")))
            return
        self.attempt = attempt
        self.platform.open(after)
        self.take("open", self.machine.stream_opened(attempt))

    def fetch(self, seq: int) -> None:
        self.failures = self.failures + 1 if self.failures < 3 and self.fails(0.1) else 0
        if self.failures:
            self.later("no fetch", lambda: self.machine.fetch_failed(seq, ConnectError("cut")))
            return
        chat, messages = deepcopy(self.platform.chat_view()), deepcopy(self.platform.messages)
        now = self.platform.now

        def answer() -> Sequence[fx.Effect]:
            self.heard_by_fetch = max(self.heard_by_fetch, now)
            if self.random.random() < 0.5:
                return self.machine.fetched(seq, {**chat, "chat_messages": messages})
            return self.machine.fetched(seq, chat, messages[::-1])

        self.later("fetched", answer)

    def post_stop(self) -> None:
        if self.ours in self.platform.queue:
            self.platform.queue.remove(self.ours)
            self.platform.runs.append(self.ours)
            self.platform.finish(self.ours, "canceled")
        elif self.ours in self.platform.runs:
            self.ours.stopping = True

    def post_result(self, id_: str) -> None:
        try:
            if self.fails(0.2):
                raise ConnectError("refused")
            self.platform.take_result(id_)
            if self.fails(0.1):
                raise ConnectError("cut after sending")
        except (ConflictError, ConnectError) as raised:
            error = raised
            self.platform.results[id_] -= 100  # ours no more: somebody else may answer it
            self.platform.has_helpers = True
            self.later(("post failed", id_), lambda: self.machine.result_failed(id_, error))
        else:
            self.later(("posted", id_), lambda: self.machine.result_posted(id_))

    def post_unknown(self, id_: str, attempt: int) -> None:
        try:
            if self.fails(0.2):
                raise self.random.choice([ConnectError("refused"), NotFoundError(404, "no such path")])
            self.platform.take_unknown(id_, attempt)
        except (ConflictError, ConnectError, NotFoundError) as raised:
            error = raised
            if isinstance(error, ConnectError):
                self.platform.results[id_] -= 100  # ours no more: somebody else may answer it
                self.platform.has_helpers = True
            self.later(("not told", id_), lambda: self.machine.unknown_failed(id_, error, "unknown outcome"))
        else:
            self.later(("told", id_), lambda: self.machine.unknown_told(id_))

    def allow(self, id_: str) -> None:
        try:
            if self.fails(0.2):
                raise self.random.choice([ConnectError("refused"), PermissionDeniedError(403, "no")])
            self.platform.allow(id_)
        except (AlreadyResolvedError, ConnectError, PermissionDeniedError) as raised:
            error = raised
            if not isinstance(error, AlreadyResolvedError):
                self.untold = True
                self.platform.has_helpers = True
            self.later(("not allowed", id_), lambda: self.machine.allow_failed(id_, error))
        else:
            self.later(("allowed", id_), lambda: self.machine.allowed(id_))

    def fails(self, share: float) -> bool:
        return self.is_shaky and self.steps < CALM_AFTER and self.random.random() < share

    # -- the stream --------------------------------------------------------------------------------------------------

    def deliver(self) -> None:
        assert self.attempt is not None and self.platform.pending
        entry = self.platform.pending.pop(0)
        if self.fails(0.1):
            self.garble()
            return
        self.say(entry)
        if self.fails(0.1):
            self.say_again(entry)

    def say(self, entry: Entry) -> None:
        if self.attempt is None:
            return
        self.delivered.append(entry)
        self.heard_on_stream = max(self.heard_on_stream, entry.at)
        if entry.event != "chat_messages":
            self.heard_of_run = max(self.heard_of_run, entry.at)
        line = {"event": entry.event, "data": deepcopy(entry.data), **({"id": entry.seq} if entry.seq else {})}
        self.take((entry.event, entry.data.get("status") or entry.data), self.machine.wire(self.attempt, line))

    def say_again(self, entry: Entry) -> None:
        """Numbered entries again at any time; others at once, as their order is all they have."""
        numbered = [each for each in self.delivered if each.seq is not None]
        self.say(self.random.choice(numbered) if entry.seq is not None and numbered else entry)

    def garble(self) -> None:
        """A line that cannot be read takes the place of a good one."""
        assert self.attempt is not None
        junk: Any = self.random.choice([None, 7, {"event": "chats"}, {"event": "chat_messages", "data": {}}])
        if self.random.random() < 0.5:
            self.take("garbled", self.machine.bad_event(self.attempt, StreamError("no JSON", reason="bad_line")))
        else:
            self.take(("junk", junk), self.machine.wire(self.attempt, junk))

    def drop(self) -> None:
        self.drops_left -= 1
        attempt, self.attempt, self.platform.pending = self.attempt, None, None
        assert attempt is not None
        self.platform.pruned = self.random.choice([self.platform.pruned, len(self.platform.log)])
        self.take("drop", self.machine.stream_lost(attempt, self.random.choice([None, ConnectError("cut")])))

    # -- the scheduler -----------------------------------------------------------------------------------------------

    def step(self) -> None:
        self.steps += 1
        random, platform = self.random, self.platform
        able: list[Callable[[], None]] = [self.finish_something] * len(self.under_way)
        if platform.pending and self.attempt is not None:
            able += [self.deliver] * 3
        able += [platform.advance, self.ask_elsewhere]
        if random.random() < 0.1 or not (self.under_way or platform.pending):
            able += [self.fire] * 2
        if random.random() < 0.004 and not self.is_stop_asked:
            able = [self.stop]
        if self.attempt is not None and self.drops_left and random.random() < 0.05:
            able = [self.drop]
        random.choice(able)()

    def finish_something(self) -> None:
        self.under_way.pop(self.random.randrange(len(self.under_way)))()

    def fire(self) -> None:
        """Silence is noticed only in some plays, and a stop is always confirmed in time."""
        slow = {"grace"} if self.notices_silence else {"grace", "quiet"}
        due = sorted(set(self.timers) - slow)
        if due:
            timer = self.timers.pop(self.random.choice(due))
            before = self.attempt
            self.take(timer, self.machine.timer(timer))
            if before is not None and self.attempt is None:
                self.platform.pending = None

    def stop(self) -> None:
        self.is_stop_asked = True
        self.stop_must_be_posted = self.machine.state in STOPPABLE
        self.take("stop", self.machine.stop())

    def ask_elsewhere(self) -> None:
        if self.goes_on_after and self.ours.is_over and self.random.random() < 0.3:
            self.goes_on_after = False
            self.platform.ask(Run("r2", "u2", script=["talk"] * 3))

    def run(self) -> fx.Settle:
        self.take("begin", self.machine.resume() if self.attaches else self.machine.send())
        while self.settled is None and self.steps < GIVE_UP_AFTER:
            assert not self.is_deaf(), "waits on although all was said, and a person is needed"
            self.step()
        assert self.settled is not None, f"never settles; the run is {self.ours.state}"
        self.check(self.settled)
        return self.settled

    # -- the truth ---------------------------------------------------------------------------------------------------

    def is_deaf(self) -> bool:
        """Whether a turn that is to come back when a person is needed waits, and nothing will happen any more."""
        platform, run = self.platform, self.platform.run
        is_quiet = not self.under_way and not platform.pending and set(self.timers) <= {"quiet"}
        is_waiting = run is not None and run.state == "input_required" and not (run.is_parking or run.stopping)
        listens = self.attempt is not None and self.machine.state in (TurnState.WORKING, TurnState.PARKED)
        return self.returns and listens and is_quiet and is_waiting and platform.waits_for_person()

    def check(self, end: fx.Settle) -> None:
        assert all(times == 1 for times in self.started.values()), "a handler ran twice"
        assert all(times == 1 for times in self.judged.values()), "a question was judged twice"
        assert all(times == 1 for times in self.told.values()), "an open call was told twice"
        assert self.is_stop_posted or not self.stop_must_be_posted, "a stop was forgotten"
        match end.outcome:
            case "parked":
                self.check_parked()
            case "canceled" if end.detail == "stopped before the message was sent":
                assert self.is_stop_asked and self.ours not in self.platform.runs
            case "completed" | "failed" | "canceled" | "rejected":
                self.check_over(end)
            case _:
                raise AssertionError(f"{end.outcome}: {end.detail}, and there was no reason for it")

    def check_parked(self) -> None:
        assert self.returns, "came back although it was to wait"
        # a message that a snapshot repeats is as new as the snapshot, and says nothing about the run
        heard_of_run = max(self.heard_of_run, self.heard_by_fetch)
        assert not self.ours.is_over or heard_of_run < self.platform.now, "parked after the end"
        if self.untold or any(count < 0 for count in self.platform.results.values()):
            return  # a result could not be posted, or an approval: that call waits for somebody's hand
        latest = (self.heard_on_stream, self.heard_by_fetch)
        assert any(self.platform.person_waits[at] for at in latest), "nobody was waited for"

    def check_over(self, end: fx.Settle) -> None:
        platform = self.platform
        assert self.ours.is_over, f"settled {end.outcome} too early: the run is {self.ours.state}"
        if end.detail == "the chat went on to another run":
            told = {"ready": "completed", "failed": "failed", "cancelled": "canceled"}
            expected = told[MESSAGE_STATUS[self.ours.state]]
        else:
            expected = self.ours.state
        assert end.outcome == expected, f"{end.outcome}, but the run {self.ours.state}"
        assert self.ours.answer is not None
        seen = self.seen_messages.get(self.ours.answer["id"])
        assert seen is not None and seen["text"] == self.ours.answer["text"], "the last message was not seen whole"
        if platform.run is self.ours and end.detail != "the chat went on to another run":
            assert self.seen_output == platform.output, "the output was not seen"


def play(seed: int) -> str:
    """One turn; returns its outcome. Raises with the seed and the last steps."""
    turn = Play(seed)
    try:
        return turn.run().outcome
    except Exception as error:
        told = "\n".join(map(str, turn.past[-40:]))
        raise AssertionError(f"oracle seed {seed}: {type(error).__name__}: {error}\n{told}") from error
