"""The task machine, one outcome at a time, and against a toy platform."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from random import Random
from typing import Any, TypeVar

import pytest

from agentkit.errors import AuthenticationError, ConnectError, LocalProtocolError, RemoteProtocolError, StreamError
from agentkit.protocol import watch
from agentkit.protocol.effects import (
    CloseStream,
    Emit,
    FetchStatus,
    FetchTask,
    OpenTaskStream,
    PostCancel,
    PostTask,
    Settle,
    StartTimer,
    Timer,
    WatchEffect,
)
from agentkit.protocol.link import Patience
from agentkit.protocol.watch import WatchMachine, WatchState, WatchSymbol, status_number
from tests.protocol import tables

E = TypeVar("E")


def of(effects: Sequence[WatchEffect], kind: type[E]) -> list[E]:
    return [each for each in effects if isinstance(each, kind)]


def updates(effects: Sequence[WatchEffect]) -> list[Emit]:
    return [each for each in of(effects, Emit) if each.kind == "update"]


def errors(effects: Sequence[WatchEffect]) -> list[Any]:
    return [each.data for each in of(effects, Emit) if each.kind == "error"]


def settled(effects: Sequence[WatchEffect]) -> Settle:
    [end] = of(effects, Settle)
    return end


def timer(effects: Sequence[WatchEffect], name: str) -> Timer:
    [found] = [each.timer for each in of(effects, StartTimer) if each.timer.name == name]
    return found


def task(status: Any, **more: Any) -> dict[str, Any]:
    return {"id": "t1", "status": status, **more}


def watching(**options: Any) -> WatchMachine:
    machine = WatchMachine({"app": "a/b"}, **options)
    machine.send()
    machine.accepted(task(1, input={"x": 1}))
    if machine.link == "connecting":
        machine.stream_opened(1)
    return machine


# -- the table -----------------------------------------------------------------------------------------------------


def test_the_table_in_the_docstring_is_the_table_that_runs() -> None:
    assert tables.told(watch) == tables.literal(watch.WATCH, events=WatchSymbol)


# -- status --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "number"),
    [
        (task(10), 10),
        (task(7.0), 7),
        (task("running"), 7),
        (task("Setting_Up"), 6),
        (task("scheduled"), 3),
        (task("11"), 11),
        (task("something new"), 0),
        (task(None), 0),
        ({}, 0),
        (task([1]), 0),
        (task(13), 13),
        (task(14, status_text="cancelled"), 12),
        (task(14, status_text="brand new"), 14),
        (task(14), 14),
    ],
)
def test_a_status_is_understood_in_every_form(told: dict[str, Any], number: int) -> None:
    assert status_number(told) == number


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        (task(10), "completed"),
        (task("failed"), "failed"),
        (task(12), "cancelled"),
        (task(13), "failed"),
        (task(99), "failed"),
        (task(99, status_text="completed"), "completed"),
    ],
)
def test_a_terminal_status_ends_the_watch(told: dict[str, Any], outcome: str) -> None:
    end = settled(watching().wire(1, told))
    assert (end.outcome, (end.run or {})["input"]) == (outcome, {"x": 1})


def test_an_unknown_number_that_is_taken_as_an_end_says_so() -> None:
    assert "status 99" in settled(watching().wire(1, task(99))).detail


@pytest.mark.parametrize("status", [0, 2, 8, "cancelling", "unheard of", None])
def test_any_other_status_goes_on(status: Any) -> None:
    machine = watching()
    assert updates(machine.wire(1, task(status)))
    assert machine.state is WatchState.WATCHING


# -- the request ---------------------------------------------------------------------------------------------------


def test_a_task_is_posted_then_streamed() -> None:
    machine = WatchMachine({"app": "a/b"})
    assert machine.send() == [PostTask({"app": "a/b"})]
    assert of(machine.accepted(task(1)), OpenTaskStream) == [OpenTaskStream("t1", 1)]


@pytest.mark.parametrize("streams", [True, False])
def test_a_task_that_is_over_when_its_post_answers_is_not_waited_for(streams: bool) -> None:
    machine = WatchMachine({}, streams=streams)
    machine.send()
    effects = machine.accepted(task(10, output={"y": 2}))
    assert settled(effects).outcome == "completed"
    assert [each.data["output"] for each in updates(effects)] == [{"y": 2}]


def test_a_task_can_be_watched_that_somebody_else_started() -> None:
    machine = WatchMachine(task_id="t1")
    assert of(machine.attach(), OpenTaskStream) == [OpenTaskStream("t1", 1)]
    machine.stream_opened(1)
    assert settled(machine.wire(1, task(12))).outcome == "cancelled"


def test_a_refused_request_says_whether_it_may_have_been_taken() -> None:
    machine = WatchMachine({})
    machine.send()
    error = ConnectError("broken", maybe_sent=True)
    end = settled(machine.refused(error))
    assert (end.outcome, end.error, end.maybe_sent) == ("refused", error, True)


@pytest.mark.parametrize("answer", [None, [], {}, {"id": ""}, {"id": 4}])
def test_an_answer_without_a_task_is_a_refusal(answer: Any) -> None:
    machine = WatchMachine({})
    machine.send()
    end = settled(machine.accepted(answer))
    assert end.outcome == "refused" and isinstance(end.error, RemoteProtocolError)


# -- updates -------------------------------------------------------------------------------------------------------


def test_partial_updates_are_merged_into_the_whole_task() -> None:
    machine = watching()
    machine.wire(1, task(7, output={"y": 1}, logs=["a"]))
    [update] = updates(machine.wire(1, {"data": task(7, logs=["a", "b"], output=None), "fields": ["logs"]}))
    assert update.fields == ("logs",)
    assert update.data["logs"] == ["a", "b"]
    assert update.data["output"] == {"y": 1}  # not named in fields: the null is the sender's default


def test_a_wrapped_update_without_fields_is_a_whole_one() -> None:
    [update] = updates(watching().wire(1, {"data": task(7, output=3)}))
    assert (update.data["output"], update.fields) == (3, ())


def test_an_update_that_was_given_away_does_not_change_any_more() -> None:
    machine = watching()
    [update] = updates(machine.wire(1, task(2)))
    machine.wire(1, task(7))
    assert update.data["status"] == 2


def test_a_partial_end_without_the_output_is_completed_by_a_fetch() -> None:
    machine = watching()
    effects = machine.wire(1, {"data": task(10), "fields": ["status"]})
    [fetch] = of(effects, FetchTask)
    end = settled(machine.fetched(fetch.seq, task(10, output={"y": 2})))
    assert (end.outcome, (end.run or {})["output"]) == ("completed", {"y": 2})


def test_the_events_of_the_sse_form_are_understood() -> None:
    machine = watching()
    assert updates(machine.wire(1, {"event": "update", "data": task(7)}))
    assert of(machine.wire(1, {"event": "done", "data": {}}), FetchTask)
    assert settled(machine.wire(1, {"event": "update", "data": task(10)})).outcome == "completed"


def test_an_error_event_is_told_and_looked_up() -> None:
    effects = watching().wire(1, {"event": "error", "data": {"message": "worker lost"}})
    assert "worker lost" in str(errors(effects)[0]) and of(effects, FetchTask)


def test_a_delta_is_passed_on() -> None:
    [emit] = of(watching().wire(1, {"event": "delta", "data": {"delta": {"response": "x"}}}), Emit)
    assert (emit.kind, emit.event) == ("wire", "delta")


@pytest.mark.parametrize("line", [None, 4, [], {}, {"type": "other"}, {"event": "update"}, {"id": "t2", "status": 10}])
def test_a_line_that_is_no_task_is_told_and_made_good_by_a_fetch(line: Any) -> None:
    effects = watching().wire(1, line)
    assert len(errors(effects)) == 1 and of(effects, FetchTask)


def test_a_line_that_cannot_be_decoded_is_told_and_made_good_by_a_fetch() -> None:
    error = StreamError("no JSON", reason="bad_line")
    effects = watching().bad_event(1, error)
    assert errors(effects) == [error] and of(effects, FetchTask)


# -- the link ------------------------------------------------------------------------------------------------------


def test_heartbeats_alone_keep_a_stream_alive() -> None:
    machine = watching()
    for _ in range(100):
        assert timer(machine.wire(1, {"type": "heartbeat"}), "quiet")
    assert machine.link == "live"


def test_a_stream_that_ends_early_is_opened_again_and_the_task_fetched_before_it_is_trusted() -> None:
    machine = watching()
    machine.wire(1, task(7))
    effects = machine.stream_lost(1)
    assert of(machine.timer(timer(effects, "retry")), OpenTaskStream) == [OpenTaskStream("t1", 2)]
    [fetch] = of(machine.stream_opened(2), FetchTask)
    assert settled(machine.fetched(fetch.seq, task(10, output=1))).outcome == "completed"


def test_no_fetch_is_spent_on_a_stream_that_begins_with_a_snapshot() -> None:
    machine = WatchMachine({})
    machine.send()
    machine.accepted(task(1))
    assert not of(machine.stream_opened(1), FetchTask)


def test_progress_starts_the_count_of_retries_anew() -> None:
    machine = watching(patience=Patience(max_retries=1))
    for attempt in range(1, 8):
        machine.timer(timer(machine.stream_lost(attempt, ConnectError("cut")), "retry"))
        machine.stream_opened(attempt + 1)
        machine.wire(attempt + 1, task(7))
    assert machine.link == "live"


def test_a_long_silence_is_doubted_then_believed() -> None:
    machine = watching()
    effects = machine.timer(timer(machine.wire(1, task(7)), "quiet"))
    assert of(effects, FetchTask)
    assert of(machine.timer(timer(effects, "quiet")), CloseStream)
    assert machine.link == "backoff"


def test_a_forbidden_stream_is_the_end() -> None:
    error = AuthenticationError(401, "no")
    end = settled(watching().stream_lost(1, error))
    assert (end.outcome, end.error) == ("lost", error)


def test_a_fetch_that_the_stream_overtook_changes_nothing_but_an_end() -> None:
    machine = watching()
    [fetch] = of(machine.bad_event(1, StreamError("no JSON", reason="bad_line")), FetchTask)
    machine.wire(1, task(9))
    assert not updates(machine.fetched(fetch.seq, task(7)))
    assert machine.task["status"] == 9


# -- polling -------------------------------------------------------------------------------------------------------


def test_polling_asks_for_the_status_and_for_the_task_when_it_changed() -> None:
    machine = WatchMachine({}, streams=False)
    machine.send()
    effects = machine.accepted(task(1))
    assert of(effects, FetchStatus) == [FetchStatus("t1", 1)]
    assert not of(machine.status_fetched(1, {"id": "t1", "status": 1}), FetchTask)
    effects = machine.timer(timer(effects, "poll"))
    [poll] = of(effects, FetchStatus)
    [fetch] = of(machine.status_fetched(poll.seq, {"id": "t1", "status": 7}), FetchTask)
    assert updates(machine.fetched(fetch.seq, task(7)))
    [poll] = of(machine.timer(timer(effects, "poll")), FetchStatus)
    [fetch] = of(machine.status_fetched(poll.seq, {"id": "t1", "status": 10}), FetchTask)
    assert settled(machine.fetched(fetch.seq, task(10))).outcome == "completed"


def test_polling_outlives_failures_but_not_too_many() -> None:
    machine = WatchMachine({}, streams=False, patience=Patience(max_retries=2))
    machine.send()
    effects: list[WatchEffect] = machine.accepted(task(1))
    for _ in range(2):
        [poll] = of(effects, FetchStatus)
        next_poll = timer(effects, "poll")
        assert not of(machine.fetch_failed(poll.seq, ConnectError("cut")), Settle)
        effects = machine.timer(next_poll)
    [poll] = of(effects, FetchStatus)
    assert settled(machine.fetch_failed(poll.seq, ConnectError("cut"))).outcome == "lost"


# -- stopping and leaving ------------------------------------------------------------------------------------------


def test_a_stop_cancels_the_task_and_waits_for_its_last_word() -> None:
    machine = watching()
    assert of(machine.stop(), PostCancel) == [PostCancel("t1")]
    assert machine.stop() == []
    machine.wire(1, task(8))
    assert settled(machine.wire(1, task(12))).outcome == "cancelled"


def test_a_stop_before_the_post_answers_is_remembered() -> None:
    machine = WatchMachine({})
    machine.send()
    assert machine.stop() == []
    assert of(machine.accepted(task(1)), PostCancel)


def test_a_stop_that_fails_is_told_and_the_watch_goes_on() -> None:
    machine = watching()
    grace = timer(machine.stop(), "grace")
    error = ConnectError("no")
    effects = machine.stop_failed(error)
    assert errors(effects) == [error] and of(effects, FetchTask)
    assert machine.timer(grace) == []


def test_a_stop_that_is_not_confirmed_in_time_settles_and_says_so() -> None:
    machine = watching()
    end = settled(machine.timer(timer(machine.stop(), "grace")))
    assert end.outcome == "cancelled" and "did not confirm" in end.detail


def test_leaving_cancels_nothing_and_after_it_nothing_happens() -> None:
    machine = watching()
    effects = machine.leave()
    assert settled(effects).outcome == "left" and not of(effects, PostCancel)
    late = [
        machine.stop(),
        machine.leave(),
        machine.wire(1, task(10)),
        machine.fetched(1, task(10)),
        machine.accepted({}),
    ]
    late += [machine.stop_failed(ConnectError("late")), machine.stream_lost(1), machine.timer(Timer("quiet", 1))]
    assert not any(late)


@pytest.mark.parametrize(("begins", "maybe_sent"), [(False, False), (True, True)])
def test_leaving_early_says_whether_the_request_may_have_been_taken(begins: bool, maybe_sent: bool) -> None:
    machine = WatchMachine({"app": "a/b"})
    if begins:
        machine.send()
    assert settled(machine.leave()).maybe_sent is maybe_sent


def test_what_cannot_happen_is_a_bug_of_the_driver() -> None:
    machine = WatchMachine({})
    with pytest.raises(LocalProtocolError, match="there is none yet"):
        machine.attach()
    with pytest.raises(LocalProtocolError, match="ACCEPTED cannot happen to a watch that is IDLE"):
        machine.accepted(task(1))


# -- random --------------------------------------------------------------------------------------------------------

NORMAL = [1, 2, 3, 4, 5, 6, 7, 9]


class World:
    """A task that runs, a stream that breaks, and the driver between them."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.truth = task(1, output=None, logs=[])
        self.ends = random.choice([10, 11, 12])
        self.machine = WatchMachine({"app": "a/b"}, streams=random.random() < 0.7, patience=Patience(max_retries=4))
        self.under_way: list[Callable[[], None]] = []
        self.lines: list[Any] | None = None
        self.attempt = self.failures = self.steps = 0
        self.timers: dict[str, Timer] = {}
        self.faults = random.choice([0, 0, 2, 6])
        self.is_stopped = False
        self.end: Settle | None = None
        self.shown: dict[str, Any] = {}

    def take(self, effects: Sequence[WatchEffect]) -> None:
        for effect in effects:
            assert self.end is None, "effects after Settle"
            match effect:
                case PostTask():
                    self.under_way.append(lambda: self.take(self.machine.accepted(deepcopy(self.truth))))
                case OpenTaskStream(attempt=attempt):
                    self.attempt, self.lines = attempt, None
                    self.under_way.append(lambda: self.open(attempt))
                case CloseStream():
                    self.lines = None
                case StartTimer(started):
                    self.timers[started.name] = started
                case FetchTask(seq=seq):
                    self.answer(seq, self.machine.fetched)
                case FetchStatus(seq=seq):
                    self.answer(seq, self.machine.status_fetched)
                case PostCancel():
                    self.is_stopped = True
                case Emit(kind="update"):
                    self.shown = effect.data
                case Settle():
                    self.end = effect
                case _:
                    pass

    def fails(self, share: float) -> bool:
        if self.faults and self.random.random() < share:
            self.faults -= 1
            return True
        return False

    def open(self, attempt: int) -> None:
        if attempt != self.attempt or self.machine.link != "connecting":
            return
        if self.fails(0.3):
            self.take(self.machine.stream_lost(attempt, ConnectError("refused")))
            return
        self.lines = [deepcopy(self.truth)]
        self.take(self.machine.stream_opened(attempt))

    def answer(self, seq: int, read: Callable[[int, Any], list[WatchEffect]]) -> None:
        def ask() -> None:
            self.failures = self.failures + 1 if self.failures < 3 and self.fails(0.3) else 0
            if self.failures:
                self.under_way.append(lambda: self.take(self.machine.fetch_failed(seq, ConnectError("cut"))))
            else:
                found = deepcopy(self.truth)
                self.under_way.append(lambda: self.take(read(seq, found)))

        self.under_way.append(ask)

    def advance(self) -> None:
        if self.truth["status"] in (10, 11, 12):
            return
        if self.is_stopped:
            self.change(status=12)
        elif self.random.random() < 0.4:
            later = [each for each in NORMAL if each > self.truth["status"]]
            self.change(status=self.random.choice(later[:2]) if later else self.ends)
        else:
            self.change(logs=[*self.truth["logs"], "line"])

    def change(self, **changed: Any) -> None:
        if changed.get("status") in (10, 11, 12):
            changed |= {"output": "done", "error": "why" if changed["status"] == 11 else None}
        self.truth |= changed
        if self.lines is not None:
            whole = deepcopy(self.truth)
            self.lines.append(self.random.choice([whole, {"data": whole, "fields": sorted(changed)}]))

    def deliver(self) -> None:
        assert self.lines
        line = self.lines.pop(0)
        if self.fails(0.1):
            self.take(self.machine.bad_event(self.attempt, StreamError("no JSON", reason="bad_line")))
        else:
            self.take(self.machine.wire(self.attempt, line))

    def drop(self) -> None:
        self.lines = None
        self.take(self.machine.stream_lost(self.attempt, self.random.choice([None, ConnectError("cut")])))

    def fire(self) -> None:
        due = sorted(set(self.timers) - {"grace", "quiet"})
        if due:
            self.take(self.machine.timer(self.timers.pop(self.random.choice(due))))

    def step(self) -> None:
        able: list[Callable[[], None]] = [self.advance]
        able += [lambda: self.under_way.pop(self.random.randrange(len(self.under_way)))()] * len(self.under_way)
        if self.lines:
            able += [self.deliver] * 3
        if not able[1:] or self.random.random() < 0.1:
            able += [self.fire]
        if self.lines is not None and self.fails(0.05):
            able = [self.drop]
        if self.random.random() < 0.005:
            able = [lambda: self.take(self.machine.stop())]
        self.random.choice(able)()

    def play(self) -> None:
        self.take(self.machine.send())
        while self.end is None and self.steps < 2_000:
            self.steps += 1
            self.step()
        assert self.end is not None, f"never settles; the task is {self.truth}"
        if self.end.detail == "stopped before the task was sent":
            return
        expected = {10: "completed", 11: "failed", 12: "cancelled"}.get(self.truth["status"])
        assert self.end.outcome == expected, f"{self.end.outcome}, but the task is {self.truth}"
        assert self.shown["output"] == "done", "the output was not shown"
        assert self.shown["logs"] == self.truth["logs"], "the logs were not shown whole"


@pytest.mark.parametrize("chunk", range(4))
def test_every_watch_ends_as_its_task_did_and_shows_all_of_it(chunk: int) -> None:
    for seed in range(chunk * 500, (chunk + 1) * 500):
        try:
            World(seed).play()
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error


# -- order ---------------------------------------------------------------------------------------------------------


def test_a_line_from_before_what_a_fetch_told_does_not_turn_the_task_back() -> None:
    machine = watching()
    machine.bad_event(1, StreamError("?", reason="bad_line"))
    assert updates(machine.fetched(1, task(7, updated_at="2026-01-01T00:00:02.5Z")))
    assert not updates(machine.wire(1, task(2, updated_at="2026-01-01T00:00:02Z")))
    assert machine.task["status"] == 7
    assert updates(machine.wire(1, task(9, updated_at="2026-01-01T00:00:03Z")))
    assert updates(machine.wire(1, task(9, updated_at="not a time", output=1)))


def test_the_end_counts_whatever_its_clock_says() -> None:
    machine = watching()
    machine.wire(1, task(7, updated_at="2026-01-01T00:00:02Z"))
    assert settled(machine.wire(1, task(10, updated_at="2026-01-01T00:00:01Z"))).outcome == "completed"
