"""The expense desk from the outside: what it reads, books, says and leaves."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.examples.desk_process import DOCUMENTS, ROOT, DeskFolder
from tests.forked import Programs

pytestmark = pytest.mark.timeout(90)  # of subprocesses that share the machine with the other tests

LARGE = {"01_hotel_invoice.txt", "03_cloud_invoice_mail.eml", "10_consulting_invoice.txt", "14_coffee_beans.txt"}
FOREIGN = {"07_conference_ticket_usd.txt", "11_software_receipt.md"}
ENOUGH = 0.9  # of the fields, read by the model that needs no key


def expected() -> dict[str, dict[str, str]]:
    """What a person reads in the documents."""
    table = Path(__file__).with_name("expected.txt").read_text(encoding="utf-8").splitlines()
    names, *rows = [re.split(r"\s{2,}", line.strip()) for line in table]
    return {row[0]: dict(zip(names[1:], row[1:], strict=True)) for row in rows}


def agrees(wanted: str, found: Any) -> bool:
    if wanted == "-" or found is None:
        return wanted == "-" and found is None
    if re.fullmatch(r"\d+\.\d\d", wanted):
        return Decimal(found) == Decimal(wanted)
    return str(found).casefold() == wanted.casefold()


def test_the_offline_model_reads_nine_fields_in_ten_as_a_person_does(finished: DeskFolder) -> None:
    read = {line["document"]: line["expense"] for line in finished.lines()}
    fields = [(document, name, wanted) for document, row in expected().items() for name, wanted in row.items()]
    wrong = [
        f"{document}: {name} is {read[document][name]!r}, not {wanted!r}"
        for document, name, wanted in fields
        if not agrees(wanted, read[document][name])
    ]
    print(f"{len(fields) - len(wrong)} of {len(fields)} fields right; wrong:", *wrong, sep="\n  ")
    assert len(wrong) <= (1 - ENOUGH) * len(fields)


def test_every_amount_is_booked_as_the_document_has_it(finished: DeskFolder) -> None:
    wanted = sorted((row["currency"], Decimal(row["total"])) for row in expected().values())
    booked = finished.query("SELECT currency, amount FROM booking")
    assert sorted((currency, Decimal(amount)) for currency, amount in booked) == wanted


def test_vendors_of_the_register_are_booked_on_their_cost_centre(finished: DeskFolder) -> None:
    centres = {line["document"]: line["cost_centre"] for line in finished.lines() if line["booking"]}
    assert centres["05_train_ticket_fr.txt"] == "4210 Travel"
    assert centres.pop("09_reimbursement_mail.eml") is None  # a vendor that the register does not have
    assert all(centres.values())


def test_a_mail_about_no_money_and_an_empty_file_are_told_apart_from_expenses(finished: DeskFolder) -> None:
    outcomes = finished.outcomes()
    assert outcomes.pop("12_team_offsite_reminder.eml") == "no expense"
    assert outcomes.pop("13_empty_scan.txt") == "empty"
    assert set(outcomes.values()) == {"booked"}
    assert len(outcomes) == len(expected())


def test_the_folder_holds_what_the_docs_promise() -> None:
    assert len(list(DOCUMENTS.iterdir())) >= 12


def test_without_anybody_to_ask_what_needs_a_yes_is_rejected_and_shown_so(desk: DeskFolder) -> None:
    run = desk.run()
    assert (run.returncode, run.stderr) == (0, "")
    rejected = {name for name, outcome in desk.outcomes().items() if outcome == "rejected"}
    assert rejected == LARGE | FOREIGN
    assert len(desk.booked()) == len(expected()) - len(rejected)
    table = run.stdout[run.stdout.index("\ndocument ") :]
    for name in rejected:
        assert re.search(rf"^{re.escape(name)} .*  rejected$", table, re.M)
        assert re.search(rf"^{re.escape(name)}: rejected: .*nobody is here to approve it", table, re.M)


def test_a_limit_decides_what_needs_a_yes(tmp_path: Path, programs: Programs) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    for name in LARGE | FOREIGN:
        shutil.copy(DOCUMENTS / name, folder)
    desk = DeskFolder(tmp_path / "out", folder, programs=programs)
    desk.run("--limit", "1000")
    rejected = {name for name, outcome in desk.outcomes().items() if outcome == "rejected"}
    assert rejected == {"10_consulting_invoice.txt"} | FOREIGN


def test_a_second_start_does_nothing_and_says_the_same(finished: DeskFolder, tmp_path: Path) -> None:
    again = DeskFolder(tmp_path / "again", programs=finished.programs)
    shutil.copytree(finished.out, again.out)
    before = (again.lines(), again.booked())
    run = again.run("--yes")
    assert run.returncode == 0, run.stdout + run.stderr
    assert (again.lines(), again.booked()) == before
    assert "lookup_vendor" not in run.stdout


def test_json_puts_the_result_alone_on_stdout(
    finished_run: tuple[DeskFolder, subprocess.CompletedProcess[str]],
) -> None:
    desk, run = finished_run
    result = json.loads(run.stdout)
    assert [each["document"] for each in result["documents"]] == sorted(path.name for path in DOCUMENTS.iterdir())
    assert result["booked"] == {"EUR": "6774.32", "USD": "950.00", "CHF": "108.00"}
    assert result["documents"] == desk.lines()
    assert "book_large_expense" in run.stderr


def test_what_cannot_be_read_or_came_twice_is_said_and_the_rest_goes_on(tmp_path: Path, programs: Programs) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    shutil.copy(DOCUMENTS / "02_taxi_receipt.txt", folder / "a.txt")
    shutil.copy(DOCUMENTS / "02_taxi_receipt.txt", folder / "b.txt")
    (folder / "c.pdf").write_bytes(b"%PDF-1.7\n\xe2\xe3\xcf\xd3\n")
    (folder / "d.txt").write_bytes(b"\n\n  \n")
    (folder / ".hidden").write_text("Total 10.00 EUR")
    (folder / "e.txt").symlink_to(folder / "nowhere")
    (folder / "subfolder").mkdir()
    desk = DeskFolder(tmp_path / "out", folder, programs=programs)
    run = desk.run()
    assert (run.returncode, run.stderr) == (1, "")
    assert desk.outcomes() == {
        "a.txt": "booked",
        "b.txt": "duplicate",
        "c.pdf": "unreadable",
        "d.txt": "empty",
        "e.txt": "unreadable",
    }
    assert len(desk.booked()) == 1
    assert "c.pdf: unreadable: is no UTF-8 text" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "nosuch/model"], "no model here answers to 'nosuch/model'"),
        (["--model", "openai/gpt-5-mini"], "OPENAI_API_KEY is not set"),
        (["--model", "offline/other"], "no document could be handled: no model 'offline/other'"),
        (["--documents", "/nowhere/at/all"], "'/nowhere/at/all' is no folder"),
        (["--limit", "-5"], "'-5' is no amount above 0"),
        (["--limit", "plenty"], "'plenty' is no amount above 0"),
        (["--out", str(ROOT / "Makefile")], "File exists"),
    ],
)
def test_what_cannot_work_ends_with_a_sentence_and_status_2(desk: DeskFolder, arguments: list[str], said: str) -> None:
    run = desk.run(*arguments)
    assert run.returncode == 2
    assert said in run.stderr.splitlines()[-1]
    assert "Traceback" not in run.stderr + run.stdout


def test_fresh_wants_a_yes_and_then_books_anew(tmp_path: Path, programs: Programs) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    shutil.copy(DOCUMENTS / "02_taxi_receipt.txt", folder)
    desk = DeskFolder(tmp_path / "out", folder, programs=programs)
    assert desk.run("--fresh").returncode == 0  # nothing there, nothing to ask
    first = desk.query("SELECT call_key FROM booking")
    refused = desk.run("--fresh")
    assert refused.returncode == 2
    assert "add --yes to agree" in refused.stderr
    assert desk.query("SELECT call_key FROM booking") == first
    assert desk.run("--fresh", "--yes").returncode == 0
    assert len(desk.booked()) == 1
    assert desk.query("SELECT call_key FROM booking") != first


def test_help_teaches(desk: DeskFolder) -> None:
    run = desk.run("--help")
    assert run.returncode == 0
    for word in ("--yes", "--fresh", "--model openai/gpt-5-mini", "exit status", "OPENAI_API_KEY"):
        assert word in run.stdout
