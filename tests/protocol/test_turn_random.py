"""Random turns: against invariants (`turn_fuzz`), against the truth (`turn_oracle`), and against broken machines.

A failure names its seed: `turn_fuzz.walk(seed)` or `turn_oracle.play(seed)` plays it again.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentkit.protocol import turn
from agentkit.protocol.calls import Calls
from agentkit.protocol.facts import Facts
from agentkit.protocol.news import Phase, Reading
from agentkit.protocol.turn import Symbol, TurnMachine, TurnState
from agentkit.protocol.verdicts import Verdicts
from tests.protocol import turn_fuzz, turn_oracle, turn_spy

CHUNK = 500  # histories of each kind; it takes a second or two
CHUNKS = [*range(5), *(pytest.param(chunk, marks=pytest.mark.thorough) for chunk in range(5, 10))]


@pytest.mark.parametrize("chunk", CHUNKS)
def test_the_invariants_hold_in_every_history_and_a_kind_platform_ends_it(chunk: int) -> None:
    for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        turn_fuzz.walk(seed)


@pytest.mark.parametrize("chunk", CHUNKS)
def test_every_turn_ends_as_its_run_did(chunk: int) -> None:
    outcomes = Counter(turn_oracle.play(seed) for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK))
    assert set(outcomes) == {"completed", "failed", "canceled", "rejected", "parked"}


@pytest.mark.timeout(90)  # every line of the machine is watched
def test_random_turns_visit_every_cell_of_the_tables() -> None:
    seen: set[turn_spy.Cell] = set()
    with turn_spy.watching(seen):
        for seed in range(9_000):
            turn_fuzz.walk(seed)
        for seed in range(500):
            turn_oracle.play(seed)
    assert sorted(turn_spy.cells() - seen) == []


# -- the oracle sees what breaks ------------------------------------------------------------------------------------


def trusts_every_idle(self: TurnMachine, seq: int | None) -> bool:
    return True


def trusts_every_fetch(self: TurnMachine, seq: int | None) -> bool:
    return not self._facts.follows or seq is not None or self._facts.was_busy_on_stream


def settles_by_the_runs_word(self: TurnMachine, reading: Reading, seq: int | None) -> Symbol | None:
    return Symbol.OVER if self._facts.is_named(reading) or self._is_idle_news(seq) else None


def sees_one_run_only(self: Facts, reading: Reading) -> bool:
    return False


def forgets_early_news(self: TurnMachine) -> None:
    self._early.clear()


def guesses_no_end(self: TurnMachine) -> None:
    return None


def parks_at_any_wait(self: TurnMachine, reading: Reading, **_: Any) -> Symbol:
    waits = Symbol.RETURN if self._when_parked == "return" else Symbol.WAITS
    return waits if reading.phase is Phase.WAITS else Symbol.ACTIVE


def never_weighs_again(self: TurnMachine) -> None:
    return None


def skips_what_it_cannot_read(self: TurnMachine, error: Exception) -> None:
    self._complain(error)


def hears_entries_again(self: TurnMachine, frame: Any) -> bool:
    return False


def starts_calls_again(self: TurnMachine, invocation: Any) -> None:
    self.calls._states.pop(invocation.id, None)
    _dispatch(self, invocation)


def drops_the_log(self: TurnMachine, frame: Any) -> bool:
    return frame.cursor is not None and frame.cursor % 3 == 0


def sees_no_call_under_way(self: Calls, states: Any) -> bool:
    return False


def sees_no_rule_at_work(self: Verdicts) -> bool:
    return False


def waits_for_people_all_the_same(self: Verdicts, id_: object) -> bool:
    return False


_dispatch = TurnMachine._dispatch

BROKEN = [
    (TurnMachine, "_is_idle_news", trusts_every_idle),
    (TurnMachine, "_is_idle_news", trusts_every_fetch),
    (TurnMachine, "_classify_over", settles_by_the_runs_word),
    (Facts, "is_another", sees_one_run_only),
    (TurnMachine, "_replay", forgets_early_news),
    (TurnMachine, "_look_at_answer", guesses_no_end),
    (TurnMachine, "_classify_open", parks_at_any_wait),
    (TurnMachine, "_weigh_again", never_weighs_again),
    (TurnMachine, "_miss", skips_what_it_cannot_read),
    (TurnMachine, "_is_repeated", hears_entries_again),
    (TurnMachine, "_is_repeated", drops_the_log),
    (TurnMachine, "_dispatch", starts_calls_again),
    (Calls, "has_any", sees_no_call_under_way),
    (Verdicts, "has_any_under_way", property(sees_no_rule_at_work)),
    (Verdicts, "is_ours", waits_for_people_all_the_same),
]


@pytest.mark.parametrize(
    ("owner", "name", "broken"), BROKEN, ids=lambda each: getattr(getattr(each, "fget", each), "__name__", str(each))
)
def test_the_oracle_catches_a_machine_that(
    owner: type, name: str, broken: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, broken)
    assert_caught()


CELLS = [
    (TurnState.SENDING, Symbol.STOP, (TurnState.SENDING, "")),
    (TurnState.WORKING, Symbol.OPENED, (TurnState.WORKING, "")),
    (TurnState.WORKING, Symbol.HINT, (TurnState.WORKING, "")),
    (TurnState.WORKING, Symbol.GAP, (TurnState.WORKING, "")),
    (TurnState.WORKING, Symbol.RETURN, (TurnState.PARKED, "tell")),
    (TurnState.ATTACHING, Symbol.OVER, (TurnState.ATTACHING, "")),
    pytest.param(
        TurnState.STOPPING,
        Symbol.OPENED,
        (TurnState.STOPPING, ""),
        marks=pytest.mark.thorough,  # takes thousands of plays
    ),
]


@pytest.mark.parametrize(("state", "symbol", "cell"), CELLS, ids=lambda each: getattr(each, "name", "instead"))
def test_the_oracle_catches_a_table_with_another_cell_for(
    state: TurnState, symbol: Symbol, cell: tuple[TurnState, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(turn.TURN[state], symbol, cell)
    assert_caught()


def assert_caught(histories: int = 10_000) -> None:
    """Some play must fail; `AssertionError` is how `play` reports whatever went wrong in it."""
    for seed in range(histories):
        try:
            turn_oracle.play(seed)
        except AssertionError as error:
            assert str(error).startswith(f"oracle seed {seed}: ")
            return
    pytest.fail(f"{histories:,} plays of a broken machine, and none failed")


# -- the command ---------------------------------------------------------------------------------------------------


def test_the_command_plays_on_all_cores_and_tells_what_it_did() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.protocol.turn_fuzz", "--histories", "1000", "--jobs", "2"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=18,
    )
    assert done.returncode == 0, done.stderr
    assert "1,000 histories in" in done.stderr
