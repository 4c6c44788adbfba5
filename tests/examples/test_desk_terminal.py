"""The expense desk with a person at the terminal, who says yes, no, nothing, or Ctrl-C."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.examples.desk_process import DOCUMENTS, ROOT, DeskFolder, environment
from tests.examples.terminal import Terminal, at_a_terminal
from tests.forked import Programs

pytestmark = pytest.mark.timeout(120)

HOTEL = "Book 464.50 EUR for Hotel Meridian am Dom, 2025-09-18? [y/N] "
CLOUD = "Book 882.53 EUR for StratusPeak Cloud Ltd., 2025-10-01? [y/N] "
FORUM = "Book 950.00 USD for Gradient Forum, Inc., 2025-09-08? [y/N] "


@contextmanager
def at_the_desk(desk: DeskFolder, *arguments: str, **environ: str) -> Iterator[Terminal]:
    env = environment({"TERM": "xterm", **environ})
    with at_a_terminal(desk.arguments(*arguments), cwd=ROOT, env=env) as terminal:
        yield terminal


def test_a_yes_books_and_a_no_does_not(desk: DeskFolder) -> None:
    with at_the_desk(desk) as person:
        for question, answer in ((HOTEL, "y"), (CLOUD, "n"), (FORUM, "YES"), ("[y/N] ", ""), ("[y/N] ", "what?")):
            person.wait_for(question)
            person.type(f"{answer}\r")
        person.wait_for("[y/N] ")
        person.type("\x04")  # the end of the input is no yes
        assert person.end() == 0
    outcomes = desk.outcomes()
    assert outcomes["01_hotel_invoice.txt"] == outcomes["07_conference_ticket_usd.txt"] == "booked"
    assert sorted(name for name, outcome in outcomes.items() if outcome == "rejected") == [
        "03_cloud_invoice_mail.eml",
        "10_consulting_invoice.txt",
        "11_software_receipt.md",
        "14_coffee_beans.txt",
    ]
    assert "03_cloud_invoice_mail.eml: rejected: the user rejected this call: the person at" in person.screen
    assert "the input ended without an answer" in person.screen


def test_ctrl_c_at_a_question_says_how_to_go_on_and_the_question_comes_again(desk: DeskFolder) -> None:
    with at_the_desk(desk) as person:
        person.wait_for(HOTEL)
        person.type("\x03")
        person.wait_for(f"Stopped. What is done is in {desk.out}; start again to go on from here.")
        assert person.end() == 130
        assert "Traceback" not in person.screen
    with at_the_desk(desk) as person:
        person.wait_for(HOTEL)  # the run has waited in the database
        person.type("y\r")
        person.wait_for(CLOUD)
        person.type("\x03")
        assert person.end() == 130
    assert desk.query("SELECT vendor FROM booking ORDER BY number LIMIT 1") == [("Hotel Meridian am Dom",)]
    assert desk.run("--yes").returncode == 0
    assert set(desk.outcomes().values()) == {"booked", "no expense", "empty"}


def test_colours_are_for_terminals_that_want_them(desk: DeskFolder) -> None:
    with at_the_desk(desk, NO_COLOR="") as person:
        person.wait_for(HOTEL)
    with at_the_desk(desk, NO_COLOR="1") as plain:
        plain.wait_for(HOTEL)
    assert "\x1b[1m[ 1/15] 01_hotel_invoice.txt\x1b[0m" in person.screen
    assert "\x1b[1m" not in plain.screen


def test_fresh_asks_before_it_deletes(tmp_path: Path, programs: Programs) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    shutil.copy(DOCUMENTS / "02_taxi_receipt.txt", folder)
    desk = DeskFolder(tmp_path / "out", folder, programs=programs)
    desk.run("--yes")
    with at_the_desk(desk, "--fresh") as person:
        person.wait_for(f"Delete the bookings and chats in {desk.out}? [y/N] ")
        person.type("\r")
        person.wait_for("nothing deleted")
        assert person.end() == 2
    assert len(desk.booked()) == 1
