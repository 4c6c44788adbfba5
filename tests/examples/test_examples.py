"""Every small example runs as its reader would run it, and says what it should."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.examples.desk_process import ROOT, environment
from tests.forked import Programs

pytestmark = pytest.mark.timeout(60)

EXAMPLES = ROOT / "examples"
LONGEST = 40  # lines: one idea each

SAYS = {
    "hello": "Get weather: city Paris, temp c 18, sky clear.\n",
    "typed_output": "Buchladen am Kanal, 12 August 2025: 38.50 EUR\n",
    "streaming_events": (
        "started  count_words {'text': 'to be or not to be'}\n"
        "progress counting 0.5\n"
        "finished 6\n"
        "text     'Count words: 6.'\n"
        "outcome  completed\n"
        "result   Count words: 6.\n"
    ),
    "async_agent": "France -> Find capital: Paris.\nPeru -> Find capital: Lima.\n",
    "polling": "Check stock: pieces 7.\n",
    "stored_agent_and_context": (
        "refused: context variable 'tenant_id' is required: send it in `context`\n"
        "Open ticket: ticket 4711, subject no hot water.\n"
        "context: {'tenant_id': 'house-9'}\n"
    ),
    "sub_agents": (
        '  the warehouse: check_stock -> {"item":"lamp","pieces":7}\n'
        "  the warehouse: finish -> finished\n"
        "ask_warehouse -> Check stock: item lamp, pieces 7.\n"
        "Ask warehouse: Check stock: item lamp, pieces 7.\n"
    ),
    "results_with_files": "{\"month\":\"May\",\"rows\":2}\n['item,pieces', 'lamp,3', 'book,5']\n",
    "http_tool": "[{'path': '/v1/S%C3%A3o%20Paulo', 'allowed': True}]\n",
    "files": "notes.txt 45 inf\n['text', 'file', 'file'] True\n3 files left\n",
}


def run(programs: Programs, name: str, *arguments: str) -> str:
    """What the example prints; it may print nothing to stderr."""
    done = programs.run(f"examples.{name}", *arguments, cwd=ROOT, env=environment(), seconds=30)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", sorted(SAYS))
def test_the_example_says_what_it_should(name: str, programs: Programs) -> None:
    said = run(programs, name)
    assert sorted(said.splitlines()) == sorted(SAYS[name].splitlines()) if name == "async_agent" else said == SAYS[name]


def test_an_approval_comes_from_another_process_than_the_question(tmp_path: Path, programs: Programs) -> None:
    run_it = partial(run, programs, "approvals_from_another_process")
    db = str(tmp_path / "work.db")
    chat_id = run_it("ask", db).strip()
    approved = run_it("approve", db, chat_id)
    assert approved.startswith("approved ")
    assert "old-experiments" in approved
    assert run_it("approve", db, chat_id) == ""  # nothing waits any more
    assert run_it("resume", db, chat_id) == "Delete branch: deleted old-experiments.\n"


def test_every_example_is_run_and_short() -> None:
    names = {path.stem: path for path in EXAMPLES.glob("*.py")}
    of_apps = {"resize_folder", "session_notes", "stream_story"}  # run in test_apps_programs.py
    assert set(names) == {*SAYS, "approvals_from_another_process", *of_apps}
    long = {name for name, path in names.items() if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST}
    assert not long
