"""The expense desk with a model behind a chat-completions server, by nothing but `--model` or the environment."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.examples.desk_process import DOCUMENTS, DeskFolder
from tests.forked import Programs
from tests.runtime.models.completions_server import DONE, Server, Stream, Whole, chunk, serving

pytestmark = pytest.mark.timeout(90)

BOOKING = {"vendor": "Taxi Krause & Sohn", "date": "2025-09-22", "currency": "EUR", "amount": 17.8}
EXPENSE = {
    "is_expense": True,
    "vendor": "Taxi Krause & Sohn",
    "vendor_id": "V-1002",
    "invoice_number": "5529",
    "date": "2025-09-22",
    "currency": "EUR",
    "total": 17.8,
    "tax": 1.16,
    "category": "travel",
}


def calls(name: str, **arguments: Any) -> Stream:
    """An answer that calls a tool, its arguments cut in two."""
    text = json.dumps(arguments)
    start = {"index": 0, "id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": text[:7]}}
    rest = {"index": 0, "function": {"arguments": text[7:]}}
    pieces = [chunk(role="assistant"), chunk(tool_calls=[start]), chunk(tool_calls=[rest]), chunk("tool_calls"), DONE]
    return Stream(pieces)


def says(text: str) -> Stream:
    return Stream([chunk(role="assistant"), chunk(content=text), chunk("stop"), DONE])


def one_document(tmp_path: Path, programs: Programs, server: Server, **environ: str) -> DeskFolder:
    folder = tmp_path / "documents"
    folder.mkdir()
    shutil.copy(DOCUMENTS / "02_taxi_receipt.txt", folder)
    return DeskFolder(tmp_path / "out", folder, {"OPENAI_BASE_URL": server.url, **environ}, programs)


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (["--model", "openai/test"], {}),
        ([], {"AGENTKIT_MODEL": "test"}),
        (["--model", "openai/test"], {"OPENAI_API_KEY": "sk-of-nobody"}),
    ],
)
def test_another_model_does_the_same_work(
    tmp_path: Path, programs: Programs, arguments: list[str], environ: dict[str, str]
) -> None:
    with serving(
        calls("lookup_vendor", vendor="Krause", tax_id="48/612/01977"),
        calls("book_expense", **BOOKING, vendor_id="V-1002"),
        calls("finish", **EXPENSE),
    ) as server:
        desk = one_document(tmp_path, programs, server, **environ)
        run = desk.run("--json", *arguments)
    assert run.returncode == 0, run.stderr
    (outcome,) = json.loads(run.stdout)["documents"]
    assert outcome["expense"] == EXPENSE | {"total": "17.8", "tax": "1.16"}
    assert (outcome["outcome"], outcome["booked"], outcome["cost_centre"]) == ("booked", "17.80 EUR", "4210 Travel")
    assert [body["model"] for body in server.bodies] == ["test"] * 3
    assert {tool["function"]["name"] for tool in server.bodies[0]["tools"]} == {
        "lookup_vendor",
        "book_expense",
        "book_large_expense",
        "book_foreign_expense",
        "finish",
    }
    answered = [message["content"] for message in server.bodies[2]["messages"] if message["role"] == "tool"]
    assert json.loads(answered[0])["vendor_id"] == "V-1002"
    assert json.loads(answered[1]) == {"booked": True, "booking": 1}


def test_a_model_that_books_another_amount_or_twice_is_seen_in_the_table(tmp_path: Path, programs: Programs) -> None:
    with serving(
        calls("book_expense", **{**BOOKING, "amount": 71.8}),
        calls("book_expense", **BOOKING),
        calls("book_expense", **BOOKING, vendor_id="V-9999"),
        calls("finish", **EXPENSE),
    ) as server:
        desk = one_document(tmp_path, programs, server)
        run = desk.run("--model", "openai/test")
    assert run.returncode == 0, run.stderr
    assert "booked as 1: 71.80 EUR (!)" in run.stdout
    assert "nothing booked: there is booking 1 over 71.80 EUR already" in run.stdout
    assert "no vendor 'V-9999' in the register" in run.stdout
    assert [amount for *_, amount in desk.booked()] == ["71.80"]


def test_a_model_that_goes_past_the_limit_of_a_tool_is_sent_back(tmp_path: Path, programs: Programs) -> None:
    with serving(
        calls("book_expense", **{**BOOKING, "amount": 1780}),
        calls("finish", **EXPENSE),
    ) as server:
        desk = one_document(tmp_path, programs, server)
        desk.run("--model", "openai/test", "--yes")
    assert desk.booked() == []
    assert desk.outcomes() == {"02_taxi_receipt.txt": "not booked"}
    assert "250" in desk.lines()[0]["detail"]  # the maximum, as the agent was told


def test_what_failed_is_tried_again_at_the_next_start(tmp_path: Path, programs: Programs) -> None:
    with serving(
        calls("book_expense", **BOOKING),
        Whole({"error": {"message": "the key is no longer valid"}}, status=401),
        says("I booked it."),
        says("Really."),
        calls("book_expense", **BOOKING),
        calls("finish", **EXPENSE),
    ) as server:
        desk = one_document(tmp_path, programs, server)
        refused = desk.run("--model", "openai/test")
        assert refused.returncode == 2
        assert "no document could be handled" in refused.stderr
        assert "the key is no longer valid" in refused.stderr
        assert desk.outcomes() == {"02_taxi_receipt.txt": "failed"}
        talked = desk.run("--model", "openai/test")
        assert talked.returncode == 2, "words are no result"
        mended = desk.run("--model", "openai/test")
    assert mended.returncode == 0, mended.stderr
    assert desk.outcomes() == {"02_taxi_receipt.txt": "booked"}
    assert [amount for *_, amount in desk.booked()] == ["17.80"]


def test_a_killed_desk_asks_the_model_for_nothing_twice(tmp_path: Path, programs: Programs) -> None:
    with serving(
        calls("lookup_vendor", vendor="Krause", tax_id="48/612/01977"),
        calls("book_expense", **BOOKING, vendor_id="V-1002"),
        calls("finish", **EXPENSE),
    ) as server:
        desk = one_document(tmp_path, programs, server)
        desk.die("books.Books.book", when="after", count=1)
        run = desk.run()
    assert run.returncode == 0, run.stderr
    assert desk.outcomes() == {"02_taxi_receipt.txt": "booked"}
    assert len(desk.booked()) == 1
    assert not server.answers
    asked = [message for message in server.bodies[-1]["messages"] if message["role"] != "system"]
    assert [message["role"] for message in asked] == ["user", "assistant", "tool", "assistant", "tool"]
