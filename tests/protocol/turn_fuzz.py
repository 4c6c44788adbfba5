"""Random histories of everything the outside may do to a turn, in any order it may do it.

    python -m tests.protocol.turn_fuzz --histories 1000000

`walk(seed)` is one history. The driver's side is honest (it answers each effect once), the platform's is not: it says
anything, well formed or not, at any time. The invariants of design.md 4 hold after every input, and from wherever a
history stopped a kind platform ends the turn.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from random import Random
from typing import Any

from agentkit.errors import (
    AlreadyResolvedError,
    AuthenticationError,
    ConflictError,
    ConnectError,
    NotFoundError,
    PermissionDeniedError,
    StreamError,
)
from agentkit.protocol import effects as fx
from agentkit.protocol.calls import Call, Calls
from agentkit.protocol.link import LinkState, Patience
from agentkit.protocol.turn import TurnMachine, TurnState
from agentkit.protocol.verdicts import Question, Verdicts
from tests.protocol import turn_oracle

STATES = ["submitted", "working", "input_required", "auth_required", "completed", "failed", "canceled", "rejected"]
STATUSES = ["busy", "idle", "awaiting_input", "completed", "waiting", "new-status", None]
MESSAGE_STATUSES = ["pending", "ready", "failed", "cancelled", "queued", None, 7]
CALL_STATUSES = ["pending", "in_progress", "awaiting_input", "awaiting_approval", "completed", "failed", "cancelled"]
JUNK: list[Any] = [
    None,
    7,
    "text",
    [],
    {},
    {"event": "chats"},
    {"event": "chats", "data": []},
    {"event": 3, "data": {}},
    {"event": "chat_messages", "data": {"status": "ready"}},
    {"event": "chat_messages", "data": {"id": "m1", "tool_invocations": "many"}},
    {"event": "chat_messages", "data": {"id": "m1", "tool_invocations": [{"type": "client"}]}},
    {"event": "chat_messages", "data": {"id": "m1", "tool_invocations": [None]}},
    {"event": "agent_runs", "data": {}},
    {"event": "chats", "data": {"active_run": "r1"}},
    {"event": "chats", "data": {"status": ["idle"], "active_run": {"state": 5, "id": 5}}},
    {"event": "chats", "data": {"status": "idle", "pending_interrupts": "none"}},
    {"event": "delta", "data": {"delta": {"response": "x"}}, "fields": "all"},
    {"event": "child", "data": {}},
    {"event": "child", "data": {"chat_id": "c2", "invocation_id": "i4", "event": "delta", "data": 3}},
    {"event": "child", "data": {"chat_id": "c2", "invocation_id": "i4", "event": "chat_messages", "data": {}}},
    {"type": "ping"},
]


class History:
    """One history: the machine, an honest driver's notes, and what was seen."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.chat_id = random.choice([None, "c1"])
        self.attaches = self.chat_id is not None and random.random() < 0.3
        self.streams = random.random() < 0.8
        self.names_runs = random.random() < 0.6
        self.is_slow = random.random() < 0.3
        self.calls = Calls()
        for id_ in ("i1", "i2"):
            if random.random() < 0.1:
                self.calls.begin(id_, random.choice([Call.LEFT, Call.ANSWERED, Call.MOOT]))
        self.verdicts = Verdicts()
        if self.chat_id is not None and random.random() < 0.1:
            self.verdicts.hear(asked(self.interrupt("p1", "i3", "c")))
        self.machine = TurnMachine(
            self.chat_id,
            {"input": {"text": "hi"}},
            tools={"a"},
            tools_below={("ask", "a")},
            judges={"c"},
            judges_below={("ask", "d")},
            calls=self.calls,
            verdicts=self.verdicts,
            streams=self.streams,
            when_parked=random.choice(["wait", "return"]),
            polls_when_lost=random.random() < 0.6,
            patience=Patience(max_retries=random.choice([0, 2])),
        )
        self.past: list[object] = []
        self.count: Counter[str] = Counter()
        self.started: Counter[tuple[str, int]] = Counter()
        self.judged: Counter[str] = Counter()
        self.stream: int | None = None  # the attempt that is open
        self.timers: dict[str, fx.Timer] = {}
        self.stale: list[fx.Timer] = []
        self.fetches: list[int] = []
        self.running: list[str] = []
        self.posting: list[str] = []
        self.reporting: list[str] = []
        self.judging: list[str] = []
        self.allowing: list[str] = []
        self.stops = 0
        self.is_posted = self.is_answered = False
        self.cursor = 0

    # -- the driver's side -------------------------------------------------------------------------------------------

    def take(self, label: object, effects: Sequence[fx.Effect]) -> None:
        self.past.append((label, self.machine.state.name, self.machine.link, [type(each).__name__ for each in effects]))
        assert not (self.count["Settle"] and effects), "effects after Settle"
        for effect in effects:
            assert not self.count["Settle"], "effects behind Settle"
            self.count[type(effect).__name__] += 1
            self.note(effect)
        assert self.count["Settle"] <= 1, "settled twice"
        assert self.count["PostRun"] <= (0 if self.attaches else 1), "posted twice"
        assert all(number == 1 for number in self.started.values()), "a handler ran twice"
        assert all(number == 1 for number in self.judged.values()), "a question was judged twice"
        is_done = self.machine.state is TurnState.DONE
        assert is_done == (self.count["Settle"] == 1), "done if and only if settled"
        if is_done:
            assert self.machine.link == "down", "still listening"
            assert not self.calls.has_any((Call.RUNNING, Call.POSTING, Call.REPORTING)), "still running"
            assert not self.verdicts.has_any_under_way, "still judging"

    def note(self, effect: fx.Effect) -> None:
        match effect:
            case fx.PostRun():
                hears = self.machine.link in ("live", "polling") or self.chat_id is None or not self.streams
                assert hears, "posted before the stream was open"
                self.is_posted = True
            case fx.OpenStream(attempt=attempt):
                assert self.stream is None, "two streams"
                self.stream = attempt
            case fx.CloseStream(attempt):
                self.stream = None if attempt == self.stream else self.stream
            case fx.StartTimer(timer):
                if timer.name in self.timers:
                    self.stale.append(self.timers[timer.name])
                self.timers[timer.name] = timer
            case fx.FetchChat(seq=seq):
                assert not self.fetches, "two fetches at a time"
                self.fetches.append(seq)
            case fx.RunTool(id_, name, attempt=attempt):
                assert name == "a", "not a tool of ours"
                self.started[id_, attempt] += 1
                self.running.append(id_)
            case fx.Judge(id_, name=name, agent=agent):
                assert (agent, name) in ((None, "c"), ("ask", "d")), "not a rule of ours"
                self.judged[id_] += 1
                self.judging.append(id_)
            case fx.Allow(id_, arguments_hash):
                assert arguments_hash == f"hash of {id_}", "allowed what was not shown"
                self.allowing.append(id_)
            case fx.PostUnknown(id_):
                self.reporting.append(id_)
            case fx.PostResult(id_):
                self.posting.append(id_)
            case fx.PostStop():
                self.stops += 1
            case _:
                pass

    # -- what can happen ---------------------------------------------------------------------------------------------

    def choices(self) -> list[Callable[[], None]]:
        link, able = self.machine.link, [self.stop, self.do_nothing]
        if self.random.random() < 0.03:
            able += [self.leave]
        if self.random.random() < 0.05:
            able += [self.say_on_an_old_stream, self.decide]
        if link == "connecting":
            able += [self.open] * 3 + [self.lose]
        if link in ("live", "silent"):
            able += [self.say] * 8 + [self.lose, self.garble]
        if self.timers:
            able += [self.fire] * 2
        if self.stale:
            able += [self.fire_stale]
        if self.is_posted and not self.is_answered:
            able += [self.accept] * 3 + [self.refuse]
        if self.stops:
            able += [self.fail_stop]
        if self.fetches:
            able += [self.answer_fetch] * 3 + [self.fail_fetch]
        if self.running and not self.dawdles():
            able += [self.finish_tool] * 2
        if self.reporting and not self.dawdles():
            able += [self.report] * 2
        if self.judging:
            able += [self.judge]
        if self.allowing and not self.dawdles():
            able += [self.allow]
        if self.posting:
            able += [self.post_result]
        if self.calls.has_any((Call.LEFT, Call.REPORTING, Call.REPORTED)):
            able += [self.submit]
        return able

    def dawdles(self) -> bool:
        """Whether an answer is late, as many are in some histories."""
        return self.is_slow and self.random.random() < 0.8

    def begin(self) -> None:
        if self.random.random() < 0.02:
            self.take("too early", self.random.choice([self.machine.stop, self.machine.leave])())
        self.take("begin", self.machine.resume() if self.attaches else self.machine.send())

    def do_nothing(self) -> None:
        pass

    def stop(self) -> None:
        if self.random.random() < 0.2:
            self.take("stop", self.machine.stop())

    def leave(self) -> None:
        self.take("leave", self.machine.leave())

    def decide(self) -> None:
        self.take("decide", self.machine.decide("i3", approve=True))
        self.take("decision failed", self.machine.decision_failed("i3", ConflictError(409, "decided")))

    def open(self) -> None:
        assert self.stream is not None
        self.take("open", self.machine.stream_opened(self.stream))

    def lose(self) -> None:
        attempt, self.stream = self.stream, None
        assert attempt is not None
        errors = [None] * 4 + [ConnectError("cut")] * 8 + [NotFoundError(404, "gone"), AuthenticationError(401, "who?")]
        self.take("lose", self.machine.stream_lost(attempt, self.random.choice(errors)))

    def say(self) -> None:
        assert self.stream is not None
        line = self.line()
        self.take(("say", line), self.machine.wire(self.stream, line))

    def say_on_an_old_stream(self) -> None:
        self.take("old", self.machine.wire((self.stream or 1) - 1, self.line()))

    def garble(self) -> None:
        assert self.stream is not None
        self.take("garble", self.machine.bad_event(self.stream, StreamError("no JSON", reason="bad_line")))

    def fire(self) -> None:
        timer = self.timers.pop(self.random.choice(sorted(self.timers)))
        self.take(timer, self.machine.timer(timer))

    def fire_stale(self) -> None:
        before = self.machine.state, self.machine.link
        timer = self.random.choice(self.stale)
        effects = self.machine.timer(timer)
        assert not effects, f"a stale timer acted: {timer}"
        assert (self.machine.state, self.machine.link) == before

    def accept(self) -> None:
        self.is_answered = True
        ids = {"agent_run_id": "r1"} if self.names_runs else {}
        reply: Any = {
            "assistant_message": {"id": "m1", "chat_id": "c1", "role": "assistant", "status": "pending", **ids}
        }
        if self.random.random() < 0.1:
            reply = {"assistant_message": None, "user_message": {"id": "u1", "chat_id": "c1", "order": 1}}
        if self.random.random() < 0.02:
            reply = self.random.choice([None, [], {}, {"assistant_message": 3}, {"assistant_message": {"id": "m1"}}])
        self.take("accept", self.machine.accepted(reply))

    def refuse(self) -> None:
        self.is_answered = True
        self.take("refuse", self.machine.refused(ConnectError("refused", maybe_sent=True)))

    def fail_stop(self) -> None:
        self.stops -= 1
        self.take("stop failed", self.machine.stop_failed(ConnectError("no")))

    def answer_fetch(self) -> None:
        seq = self.fetches.pop()
        messages = [self.message() for _ in range(self.random.randint(0, 2))]
        chat: Any = {**self.chat(), "chat_messages": messages}
        if self.random.random() < 0.05:
            chat = self.random.choice([None, [], {"active_run": 1}, {"chat_messages": 3}, {"chat_messages": [{}]}])
        children = [self.child()] if self.random.random() < 0.2 else []
        self.take(("fetched", chat, children), self.machine.fetched(seq, chat, children=children))

    def fail_fetch(self) -> None:
        error = self.random.choice([ConnectError("cut")] * 6 + [NotFoundError(404, "gone")])
        self.take("fetch failed", self.machine.fetch_failed(self.fetches.pop(), error))

    def finish_tool(self) -> None:
        id_ = self.running.pop(self.random.randrange(len(self.running)))
        end = self.random.choice(["finished", "finished", "unknown", "unknown", "unknown", "taken"])
        if end == "finished":
            self.take(("tool", id_), self.machine.tool_finished(id_, "r"))
        elif end == "unknown":
            self.take(("unknown", id_), self.machine.tool_unknown(id_, "it died"))
        else:
            self.take(("taken", id_), self.machine.tool_taken(id_))

    def report(self) -> None:
        id_ = self.reporting.pop(self.random.randrange(len(self.reporting)))
        absent = NotFoundError(404, "no such path")
        errors: list[Exception] = [ConnectError("cut"), ConflictError(409, "newer"), absent, absent]
        if self.random.random() < 0.2:
            self.take(("told", id_), self.machine.unknown_told(id_))
        else:
            self.take(("not told", id_), self.machine.unknown_failed(id_, self.random.choice(errors), "unknown"))

    def judge(self) -> None:
        id_ = self.judging.pop(self.random.randrange(len(self.judging)))
        needs_person = self.random.random() < 0.3
        self.take(("judged", id_), self.machine.judged(id_, needs_person=needs_person))
        if needs_person and self.random.random() < 0.3:
            self.judging.append(id_)  # it took too long, and says something later

    def allow(self) -> None:
        id_ = self.allowing.pop(self.random.randrange(len(self.allowing)))
        errors = [ConnectError("cut"), PermissionDeniedError(403, "no"), AlreadyResolvedError(409, "x", winner={})]
        if self.random.random() < 0.4:
            self.take(("allowed", id_), self.machine.allowed(id_))
        else:
            self.take(("allow failed", id_), self.machine.allow_failed(id_, self.random.choice(errors)))

    def post_result(self) -> None:
        id_ = self.posting.pop(self.random.randrange(len(self.posting)))
        errors: list[Exception] = [ConnectError("cut"), ConflictError(409, "settled")]
        if self.random.random() < 0.5:
            self.take(("posted", id_), self.machine.result_posted(id_))
        else:
            self.take(("post failed", id_), self.machine.result_failed(id_, self.random.choice(errors)))

    def submit(self) -> None:
        self.take("submit", self.machine.submit(self.random.choice(["i1", "i2", "i5", "i6"]), "by hand"))

    # -- what the platform says --------------------------------------------------------------------------------------

    def line(self) -> Any:
        random = self.random
        if random.random() < 0.05:
            return random.choice(JUNK)
        event, data = random.choice(
            [
                ("chats", self.chat()),
                ("agent_runs", self.run()),
                ("chat_messages", self.message()),
                ("child", self.child()),
                ("delta", {"resource_id": "m1", "delta": {"response": "x"}}),
                ("reset", {}),
                ("", {}),
            ]
        )
        if not event:
            return {"type": "heartbeat"}
        self.cursor += random.choice([0, 1, 1, 1])
        return {"event": event, "data": data, **({"id": self.cursor} if random.random() < 0.5 else {})}

    def run(self) -> dict[str, Any]:
        run: dict[str, Any] = {"state": self.random.choice(STATES)}
        if self.names_runs:
            run["id"] = self.random.choice(["r0", "r1", "r1", "r1"])
        return run

    def chat(self) -> dict[str, Any]:
        chat: dict[str, Any] = {"id": "c1", "status": self.random.choice(STATUSES)}
        if self.random.random() < 0.7:
            chat["active_run"] = self.random.choice([self.run(), self.run(), None])
        if self.random.random() < 0.3:
            reason = self.random.choice(["tool_approval", "client_tool"])
            chat["pending_interrupts"] = [{"id": "p0", "reason": reason, "status": "pending", "resource_id": "i3"}]
        elif self.random.random() < 0.6:
            questions = [("p1", "i3", "c"), ("p2", "i3", "c"), ("p3", "i7", "d"), ("p4", "i8", "e")]
            asked_now = self.random.sample(questions, self.random.randint(1, 4))
            chat["pending_interrupts"] = [self.interrupt(*each) for each in asked_now]
        return chat

    def interrupt(self, id_: str, about: str, name: str) -> dict[str, Any]:
        """A question about a tool; `d` is asked below."""
        meta = {
            "tool_name": name,
            "arguments": {"n": 1},
            **({"unknown_outcome": True} if self.random.random() < 0.4 else {}),
            **({"judged": True} if self.random.random() < 0.8 else {}),
        }
        where = ["c1", "c2"] if name == "d" else ["c1"]
        said = {"id": id_, "reason": "tool_approval", "status": "pending", "resource_id": about, "meta": meta}
        return {**said, "arguments_hash": f"hash of {id_}", "chat_id": where[-1], "chat_path": where}

    def message(self) -> dict[str, Any]:
        random = self.random
        invocations = [
            {"id": id_, "type": kind, "status": random.choice(CALL_STATUSES), "function": {"name": name}}
            for id_, kind, name in (
                ("i1", "client", "a"),
                ("i2", "client", "b"),
                ("i3", "app", "c"),
                ("i4", "agent", "ask"),
            )
            if random.random() < (0.8 if id_ == "i1" else 0.3)
        ]
        for each in invocations:
            each |= random.choice([{}, {"attempt": random.randint(1, 9)}])
            each |= {"execution_id": random.choice(["c2", None])} if each["type"] == "agent" else {}
        message = {"id": random.choice(["m1", "m1", "m0", "m2"]), "role": random.choice(["assistant", "user", None])}
        message |= {"status": random.choice(MESSAGE_STATUSES), "order": random.choice([0, 1, 2, None])}
        return message | {"tool_invocations": random.choice([invocations, invocations, None])}

    def child(self) -> dict[str, Any]:
        """Something in the chat of an agent that `i4` asked: mostly a message with calls of its client tools."""
        random = self.random
        invocations = [
            {"id": id_, "type": "client", "status": random.choice(CALL_STATUSES), "function": {"name": name}}
            for id_, name in (("i5", "a"), ("i6", "b"), ("i7", "d"))
            if random.random() < 0.5
        ]
        message = {"id": "m7", "chat_id": "c2", "role": "assistant", "tool_invocations": invocations}
        event, data = random.choice([("chat_messages", message)] * 3 + [("agent_runs", self.run()), ("later", {})])
        head = {"chat_id": "c2", "invocation_id": random.choice(["i4", "i4", "i9"]), "depth": 1}
        return {**head, "event": event, "data": data}

    # -- liveness ----------------------------------------------------------------------------------------------------

    def end_kindly(self) -> None:
        """From here on nothing fails and the run ends; so must the turn."""
        for _ in range(60):
            if self.machine.state is TurnState.DONE:
                return
            self.step_kindly()
        raise AssertionError(f"never ends: {self.machine.state.name}, link {self.machine.link}")

    def step_kindly(self) -> None:
        run = {"state": "completed", **({"id": "r1"} if self.names_runs else {})}
        message = {"id": "m1", "role": "assistant", "status": "ready", "order": 5}
        chat = {"id": "c1", "status": "idle", "active_run": run, "pending_interrupts": []}
        busy = {"id": "c1", "status": "busy", "active_run": {**run, "state": "working"}}
        if self.machine.link == LinkState.CONNECTING.name.lower():
            self.open()
        elif self.is_posted and not self.is_answered:
            self.accept()
        elif self.fetches:
            whole = {**self.random.choice([chat, chat, busy]), "chat_messages": [message]}
            self.take("kind fetch", self.machine.fetched(self.fetches.pop(), whole))
        elif self.stream is not None and self.random.random() < 0.5:
            for event, data in (("chats", busy), ("chat_messages", message), ("chats", chat)):
                if self.stream is not None:
                    self.take("kind", self.machine.wire(self.stream, {"event": event, "data": data}))
        elif due := [name for name in ("retry", "poll", "ask", "fetch", "quiet") if name in self.timers]:
            timer = self.timers.pop(due[0])
            self.take(timer, self.machine.timer(timer))


def asked(interrupt: dict[str, Any]) -> Question:
    """The question in an interrupt."""
    question = Question.of(interrupt)
    assert question is not None
    return question


def walk(seed: int) -> str:
    """One history; returns the state it had come to, or the outcome. Raises with the seed and the history."""
    history = History(seed)
    try:
        history.begin()
        for _ in range(history.random.randint(3, 60)):
            history.random.choice(history.choices())()
        reached = history.machine.state.name
        history.end_kindly()
    except Exception as error:
        told = "\n".join(map(str, history.past[-60:]))
        raise AssertionError(f"fuzz seed {seed}: {type(error).__name__}: {error}\n{told}") from error
    return reached


# -- many of them, on all cores ------------------------------------------------------------------------------------


def batch(span: tuple[int, int]) -> tuple[int, str]:
    """Histories of the seeds in `span`, half of them against the oracle; how many, and the first failure."""
    done = 0
    for seed in range(*span):
        try:
            (walk if seed % 2 else turn_oracle.play)(seed)
        except AssertionError as error:
            return done, str(error)
        done += 1
    return done, ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs many; progress goes to stderr. Exit codes: 0 fine, 1 a history failed, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.protocol.turn_fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--histories", type=int, default=100_000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="J")
    options = parser.parse_args(arguments)
    last, size, began, done = options.seed + options.histories, 500, time.monotonic(), 0
    spans = [(first, min(first + size, last)) for first in range(options.seed, last, size)]
    pool = get_context("spawn").Pool(options.jobs, initializer=_leave_interrupts_to_the_parent)
    try:
        for number, failure in pool.imap_unordered(batch, spans):
            done += number
            if failure:
                print(f"\n{failure}", file=sys.stderr)
                return 1
            rate = done / (time.monotonic() - began)
            print(f"\r{done:,} of {options.histories:,} histories, {rate:,.0f}/s", end="", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print(f"\ninterrupted after {done:,} histories, none failed", file=sys.stderr)
        return 130
    finally:
        pool.terminate()
        pool.join()
    print(f"\n{done:,} histories in {time.monotonic() - began:.0f} s: every invariant held", file=sys.stderr)
    return 0


def _leave_interrupts_to_the_parent() -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
