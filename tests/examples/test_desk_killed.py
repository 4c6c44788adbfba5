"""The expense desk, killed: it goes on where it was, and books nothing twice."""

from __future__ import annotations

import os
import random

import pytest

from tests.examples.desk_process import DeskFolder

pytestmark = pytest.mark.timeout(240)  # several starts each, on a machine that others use too

ROUNDS = [
    (0, 3),
    *(pytest.param(number, 12, marks=pytest.mark.thorough) for number in (1, 2, 3)),
]  # with at most so many kills
LONGEST = 40  # lines; a whole run writes about 75


@pytest.mark.parametrize(("round_number", "most"), ROUNDS)
def test_killed_at_random_points_it_ends_like_an_uninterrupted_run(
    finished: DeskFolder, desk: DeskFolder, round_number: int, most: int
) -> None:
    seed = int(os.environ.get("DESK_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"DESK_SEED={seed}")
    chance = random.Random(seed + round_number)
    kills, begun = 0, set[str]()
    while kills < most and desk.killed_after_lines(chance.randint(1, LONGEST), "--yes"):
        kills += 1
        begun |= desk.chats()
    run = desk.run("--yes")
    assert run.returncode == 0, run.stdout + run.stderr
    assert kills > 0
    assert desk.booked() == finished.booked()
    assert desk.outcomes() == finished.outcomes()
    assert begun <= {line["chat_id"] for line in desk.lines()}  # none was begun anew


@pytest.mark.parametrize(
    ("module", "name", "method", "when"),
    [
        ("books", "Books", "book", "after"),  # booked, and neither the agent nor the ledger knows
        ("books", "Books", "book", "before"),  # approved, and not booked
        ("ledger", "Ledger", "began", "before"),  # a chat that nobody noted
        ("ledger", "Ledger", "began", "after"),
        ("ledger", "Ledger", "finished", "before"),  # the run is over, and the ledger does not know
        ("ledger", "Ledger", "finished", "after"),
    ],
)
@pytest.mark.thorough
def test_killed_between_a_step_and_its_note_the_step_counts_once(
    finished: DeskFolder, desk: DeskFolder, module: str, name: str, method: str, when: str
) -> None:
    begun = set[str]()
    for count in (1, 2):
        desk.die(f"{module}.{name}.{method}", when=when, count=count)
        begun |= desk.chats()
    run = desk.run("--yes")
    assert run.returncode == 0, run.stdout + run.stderr
    assert desk.booked() == finished.booked()
    assert desk.outcomes() == finished.outcomes()
    assert begun <= {line["chat_id"] for line in desk.lines()}  # none was begun anew


def test_what_was_rejected_before_a_kill_stays_rejected(desk: DeskFolder) -> None:
    assert desk.killed_after_lines(25)  # some rejected, some not begun
    run = desk.run("--yes")
    assert run.returncode == 0, run.stdout + run.stderr
    outcomes = desk.outcomes()
    assert outcomes["01_hotel_invoice.txt"] == "rejected"
    assert outcomes["14_coffee_beans.txt"] == "booked"
