"""`agentkit approvals` beside a server whose agents ask: listed, shown, answered once, watched, asked at a terminal."""

from __future__ import annotations

import json
import re
import signal
import stat
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import typer

from agentkit.cli import approvals
from agentkit.testing import call
from tests.cli.console import ROOT, Console
from tests.examples.terminal import Terminal
from tests.faults.proxy import Cut, Proxy, once
from tests.runtime.playing import invocations
from tests.runtime.serving import BARE, Served, message, served

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(120)]

HIDDEN = "rm -rf /\x1b[2K\u202e safe"
PAY = {
    "name": "pay",
    "description": "Pays a bill.",
    "type": "client",
    "require_approval": True,
    "client": {
        "input_schema": {
            "type": "object",
            "properties": {"to": {"type": "string"}, "amount": {"type": "number", "maximum": 1000}},
            "required": ["to", "amount"],
        }
    },
}
BILL = call("pay", {"to": "Ada", "amount": 90})
COLOURS = call("ask_user", {"question": "Which colour?", "choices": ["red", "green"]})


@dataclass
class Beside:
    """A server in this process, and a console whose commands go there."""

    server: Served
    console: Console

    def begin(self, *, tools: Any = (PAY,), **more: Any) -> str:
        """Sends a message; the chat."""
        config = {"core_app": {"ref": "scripted/model"}, "tools": list(tools), **more}
        body = {**message("pay the bill"), "agent_config": config}
        answer = httpx.post(f"{self.server.url}/agents/run", json=body, headers=BARE)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["assistant_message"]["chat_id"])

    def chat(self, chat_id: str) -> Any:
        return httpx.get(f"{self.server.url}/chats/{chat_id}", headers=BARE).json()

    def question(self, chat_id: str) -> Any:
        """The question of the chat, once it is asked."""
        return self.server.wait(self._question(chat_id))

    async def _question(self, chat_id: str) -> Any:
        async for _ in await self.server.platform.chats.watch("local", chat_id):
            chat = await self.server.platform.chats.get("local", chat_id)
            if chat["pending_interrupts"]:
                return chat["pending_interrupts"][0]
        raise AssertionError("unreachable")

    def asked(self, **more: Any) -> tuple[str, Any]:
        """A chat that waits for a person, and its question."""
        chat_id = self.begin(**more)
        return chat_id, self.question(chat_id)

    def invocation(self, chat_id: str) -> Any:
        """The first call of the chat."""
        return invocations(self.chat(chat_id))[0]


@contextmanager
def beside(console: Console, *steps: Any, **more: Any) -> Generator[Beside]:
    with served(*steps, **more) as server:
        yield Beside(server, console.with_(AGENTKIT_BASE_URL=server.url))


def editor(console: Console, script: str) -> Console:
    """A console with an editor that does this to the file `$1`."""
    path = console.folder / "editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return console.with_(EDITOR=str(path))


# -- list and show ---------------------------------------------------------------------------------------------------


def test_questions_are_listed_oldest_first_and_filtered(console: Console) -> None:
    with beside(console, BILL, COLOURS) as there:
        paying, first = there.asked()
        _, second = there.asked(internal_tools={"ask_user": True})
        rows = [line.split("\t") for line in there.console.ok("approvals", "list").splitlines()]
        assert [row[:3] for row in rows] == [
            [first["id"][:8], "pay", "to=Ada amount=90"], [second["id"][:8], "ask_user", "Which colour?"],
        ]  # fmt: skip
        assert rows[0][3] == paying[:8] and rows[0][4] == "anyone"
        lines = there.console.ok("approvals", "list", "--json").splitlines()
        assert [json.loads(line)["id"] for line in lines] == [first["id"], second["id"]]
        for words, ids in (
            (("--tool", "pay"), [first["id"]]),
            (("--reason", "widget"), [second["id"]]),
            (("--chat", paying), [first["id"]]),
            (("--status", "resolved"), []),
            (("--mine", "--limit", "1"), [first["id"]]),
        ):
            found = there.console.ok("approvals", "list", *words, "--json").splitlines()
            assert [json.loads(line)["id"] for line in found] == ids, words
        assert there.console.quick("approvals", "list", "--status", "resolved").stderr == "there is no such question\n"
        assert there.console.quick("approvals", "list", "--status", "lost").returncode != 0


def test_at_a_terminal_the_arguments_have_what_is_left_of_the_line(console: Console) -> None:
    with beside(console, call("pay", {"to": "A" * 300, "amount": 1})) as there:
        there.asked()
        with there.console.terminal("approvals", "list", COLUMNS="90") as terminal:
            assert terminal.end() == 0
        lines = re.sub(r"\x1b\[[0-9;]*m", "", terminal.screen).splitlines()
        assert len(lines) == 2 and re.search(" pay +to=A{20,}… ", lines[1])
        assert max(map(len, lines)) <= 90


def test_a_question_is_shown_whole_and_nothing_in_it_reaches_the_terminal_raw(console: Console) -> None:
    with beside(console, call("pay", {"to": HIDDEN, "amount": 1, "note\u200b": "a\nb"})) as there:
        _, question = there.asked(name="clerk\x1b[31m")
        shown = there.console.ok("approvals", "show", question["id"][:6])
        for part in (
            question["id"], "Pays a bill.", "amount (number): 1", "to (text): rm -rf /\\x1b[2K\\u202e safe",
            "note\\u200b (text, 2 lines):", "  │ a\n  │ b\n", "│ pay the bill", "not what they seem",
            f"agentkit approvals approve {question['id'][:8]}",
        ):  # fmt: skip
            assert part in shown, (part, shown)
        written = shown + there.console.ok("approvals", "list")
        written += there.console.ok("approvals", "list", "--json") + there.console.ok(
            "approvals", "show", question["id"], "--json"
        )
        assert not {"\x1b", "\u202e", "\u200b"} & set(written)
        assert json.loads(there.console.ok("approvals", "show", question["id"], "--json"))["arguments_hash"]


def test_an_id_is_found_by_its_beginning_or_by_its_call(console: Console) -> None:
    with beside(console, BILL, BILL) as there:
        chat, question = there.asked()
        there.asked()
        assert question["id"] in there.console.ok("approvals", "show", question["resource_id"][:10])
        several = there.console.quick("approvals", "show", "")
        assert several.returncode == 3
        missing = there.console.quick("approvals", "show", "zzzz")
        assert missing.returncode == 3
        there.console.ok("approvals", "approve", question["id"][:10])
        assert "approved by local" in there.console.ok("approvals", "show", question["id"][:10])
        assert there.invocation(chat)["status"] == "awaiting_input"


# -- approve ---------------------------------------------------------------------------------------------------------


def test_an_approval_is_for_what_was_shown_and_is_kept_with_its_note(console: Console) -> None:
    with beside(console, BILL) as there:
        chat, question = there.asked()
        done = there.console.quick("approvals", "approve", question["id"][:8], "--note", "fine", "--as", "ann")
        assert done.returncode == 0 and done.stdout == ""
        assert (
            done.stderr.startswith("approved by ann (key: local) at ") and "(fine): pay to=Ada amount=90" in done.stderr
        )
        assert there.invocation(chat)["status"] == "awaiting_input"
        late = there.console.quick("approvals", "approve", question["id"])
        assert late.returncode == 1 and late.stderr.startswith("already approved by ann (key: local) at ")
        late = there.console.quick("approvals", "reject", question["id"], "--reason", "no")
        assert late.returncode == 1 and "(fine)" in late.stderr


def test_edited_arguments_are_shown_beside_the_old_ones_and_need_a_yes(console: Console) -> None:
    with beside(console, BILL) as there:
        chat, question = there.asked()
        id = question["id"]
        unsure = there.console.quick("approvals", "approve", id, "--set", "amount=70")
        assert unsure.returncode == 2 and "--yes" in unsure.stderr
        assert "-amount: 90" in unsure.stderr and "+amount: 70" in unsure.stderr
        assert there.invocation(chat)["status"] == "awaiting_approval"
        wrong = there.console.quick("approvals", "approve", id, "--set", "amount=5000", "--yes")
        assert wrong.returncode == 1 and "amount: 5000 is greater than the maximum of 1000" in wrong.stderr
        typo = there.console.quick("approvals", "approve", id, "--set", "ammount=70", "--yes")
        assert typo.returncode == 2 and "there is no argument 'ammount'; there are to, amount" in typo.stderr
        done = there.console.json("approvals", "approve", id, "--set", "amount=70", "--set", "to=Ann", "--yes")
        assert (done["decision"], done["edited_from"]) == ("edited", {"to": "Ada", "amount": 90})
        assert there.invocation(chat)["function"]["arguments"] == {"to": "Ann", "amount": 70}
        shown = there.console.ok("approvals", "show", id)
        assert "amount (number): 90" in shown and "with these arguments instead:\n  to (text): Ann" in shown
        assert "to=Ann amount=70" in there.console.ok("approvals", "list", "--status", "resolved")


def test_arguments_come_from_a_file_stdin_or_an_editor(console: Console) -> None:
    with beside(console, BILL, BILL, BILL) as there:
        (console.folder / "args.json").write_text('{"to": "File", "amount": 1}')
        with_editor = editor(there.console, """sed -i 's/"Ada"/"Editor"/' "$1" """)
        for at, words, stdin, to in (
            (there.console, ("--args", "args.json"), "", "File"),
            (there.console, ("--args", "-"), '{"to": "Stdin", "amount": 1}', "Stdin"),
            (with_editor, ("--edit",), "", "Editor"),
        ):
            chat, question = there.asked()
            at.ok("approvals", "approve", question["id"], *words, "--yes", stdin=stdin)
            assert there.invocation(chat)["function"]["arguments"]["to"] == to
        assert console.temporary_files == []


NONSENSE = (
    (("--args", "[1]"), "JSON"),
    (("--args", "nowhere.json"), "No such file"),
    (("--set", "amount"), "KEY=VALUE"),
    (("--edit",), "set EDITOR"),
    (("--always", "for ever"), "tool, exact or prefix"),
    (("--always", "prefix:to"), "tool, exact or prefix"),
    (("--for", "2h"), "--always"),
    (("--always", "tool", "--for", "soon"), "30m, 2h or 7d"),
)


def test_what_cannot_be_meant_changes_nothing(console: Console) -> None:
    with beside(console, BILL) as there:
        chat, question = there.asked()
        for words, said in NONSENSE:
            done = there.console.quick("approvals", "approve", question["id"], *words, "--yes")
            assert done.returncode == 2 and said in done.stderr, (words, done.stderr)
        assert there.invocation(chat)["status"] == "awaiting_approval"


def test_an_editor_that_fails_or_leaves_no_json_changes_nothing(console: Console) -> None:
    with beside(console, BILL) as there:
        chat, question = there.asked()
        for script in ("exit 3", 'echo "{" > "$1"', 'echo "[]" > "$1"'):
            done = editor(there.console, script).quick("approvals", "approve", question["id"], "--edit", "--yes")
            assert done.returncode == 2 and "nothing was changed" in done.stderr
        assert there.invocation(chat)["status"] == "awaiting_approval"


def test_a_rule_allows_later_calls_of_the_chat(console: Console) -> None:
    with beside(console, [BILL], [BILL, call("pay", {"to": "Eve", "amount": 1})]) as there:
        chat, question = there.asked()
        there.console.ok("approvals", "approve", question["id"], "--always", "prefix:to=Ada", "--for", "2h")
        (rule,) = there.chat(chat)["agent_data"]["allow_rules"]
        assert (rule["scope"], rule["argument"], rule["prefix"]) == ("prefix", "to", "Ada") and rule["expires_at"]


# -- reject and respond ----------------------------------------------------------------------------------------------


def test_the_model_reads_why_it_was_rejected(console: Console) -> None:
    with beside(console, BILL, "a pity") as there:
        chat, question = there.asked()
        there.console.ok("approvals", "reject", question["id"][:8], "--reason", "ask first")
        assert there.invocation(chat)["result"] == "the user rejected this call: ask first"


def test_a_call_gets_its_result_from_a_person(console: Console) -> None:
    with beside(console, BILL, "good") as there:
        chat, question = there.asked()
        assert there.console.quick("approvals", "respond", question["id"]).returncode == 2
        done = there.console.quick("approvals", "respond", question["id"], "--text", "a", "--data", "1")
        assert done.returncode == 2
        there.console.ok("approvals", "respond", question["id"], "--text", "paid by hand")
        made = there.invocation(chat)
        assert (made["status"], made["result"]) == ("completed", "paid by hand")
        assert "answer (text): paid by hand" in there.console.ok("approvals", "show", question["id"])


def test_a_question_is_answered_with_its_value(console: Console) -> None:
    with beside(console, COLOURS, "fine") as there:
        chat, question = there.asked(internal_tools={"ask_user": True})
        shown = there.console.ok("approvals", "show", question["id"])
        assert "Which colour?" in shown and "· green" in shown and "approvals respond" in shown
        refused = there.console.quick("approvals", "approve", question["id"])
        assert refused.returncode == 2 and "approvals respond" in refused.stderr
        nobody = there.console.quick("approvals", "respond", question["id"])
        assert nobody.returncode == 2 and "--data JSON or --text TEXT" in nobody.stderr
        wrong = there.console.quick("approvals", "respond", question["id"], "--text", "pink")
        assert wrong.returncode == 1 and "'pink' is not one of" in wrong.stderr
        there.console.ok("approvals", "respond", question["id"], "--data", '"green"')
        assert there.invocation(chat)["result"] == "green"


def test_a_question_is_answered_field_by_field_at_a_terminal(console: Console) -> None:
    with beside(console, COLOURS, "fine") as there:
        chat, question = there.asked(internal_tools={"ask_user": True})
        with there.console.terminal("approvals", "respond", question["id"][:8]) as terminal:
            terminal.wait_for("Which colour?")
            terminal.wait_for("2) green")
            terminal.type("2\r")
            terminal.wait_for("answered by local")
            assert terminal.end() == 0
        assert there.invocation(chat)["result"] == "green"


# -- watch -----------------------------------------------------------------------------------------------------------


def test_watching_tells_what_waits_and_how_it_was_answered(console: Console) -> None:
    with beside(console, BILL, BILL) as there:
        _, first = there.asked()
        with there.console.start("approvals", "watch", "--json") as process:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["id"] == first["id"]
            _, second = there.asked()
            assert json.loads(process.stdout.readline())["id"] == second["id"]
            there.console.ok("approvals", "reject", first["id"])
            done = json.loads(process.stdout.readline())
            assert (done["id"], done["decision"]) == (first["id"], "rejected")
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 130
            assert process.stderr is not None and process.stderr.read() == ""


def test_watching_at_a_terminal_is_a_line_for_each(console: Console) -> None:
    with beside(console, BILL) as there:
        _, question = there.asked()
        with there.console.terminal("approvals", "watch", TERM="dumb") as terminal:
            terminal.wait_for(f"{question['id'][:8]}  pay  to=Ada amount=90  asks")
            there.console.ok("approvals", "approve", question["id"], "--as", "ann")
            terminal.wait_for("approved by ann")
            terminal.type("\x03")
            assert terminal.end() == 130 and "Traceback" not in terminal.screen


@contextmanager
def prompting(there: Beside, term: str = "dumb") -> Generator[Terminal]:
    with there.console.terminal("approvals", "watch", "--prompt", "--as", "ann", TERM=term) as terminal:
        yield terminal


def test_a_prompt_asks_for_one_after_the_other(console: Console) -> None:
    with beside(console, BILL, BILL, BILL, COLOURS, "over") as there:
        chats = [there.asked()[0] for _ in range(3)]
        last, _ = there.asked(internal_tools={"ask_user": True})
        with prompting(there) as terminal:
            terminal.wait_for("amount (number): 90")
            terminal.wait_for("[s]kip, [q]uit: ")
            terminal.type("a\r")
            terminal.wait_for("approved by ann")
            terminal.wait_for("[s]kip, [q]uit: ")
            terminal.type("e\r")
            terminal.type("amount=70\r\r")
            terminal.wait_for("+amount: 70")
            terminal.wait_for("[y/N] ")
            terminal.type("y\r")
            terminal.wait_for("approved with other arguments by ann")
            terminal.wait_for("[s]kip, [q]uit: ")
            terminal.type("r\r")
            terminal.wait_for("Why?")
            terminal.type("not this month\r")
            terminal.wait_for("rejected by ann")
            terminal.wait_for("[s]kip, [q]uit: ")
            terminal.type("a\r")
            terminal.wait_for("its number")
            terminal.type("1\r")
            terminal.wait_for("answered by ann")
            terminal.wait_for("waiting for questions")
            terminal.type("\x03")
            assert terminal.end() == 130 and "Traceback" not in terminal.screen
        first, second, third = (there.invocation(each) for each in chats)
        assert first["status"] == "awaiting_input"
        assert second["function"]["arguments"]["amount"] == 70
        assert third["result"] == "the user rejected this call: not this month"
        assert there.invocation(last)["result"] == "red"


def test_who_answers_elsewhere_while_somebody_thinks_is_told_and_the_next_question_comes(console: Console) -> None:
    with beside(console, BILL, call("pay", {"to": "Eve", "amount": 7})) as there:
        _, first = there.asked()
        chat, _ = there.asked()
        with prompting(there) as terminal:
            terminal.wait_for("to (text): Ada")
            terminal.wait_for("[s]kip, [q]uit: ")
            terminal.type("a")  # half typed: it must not become the answer to the next one
            there.console.ok("approvals", "reject", first["id"], "--reason", "no", "--as", "bob")
            terminal.wait_for("meanwhile rejected by bob")
            terminal.wait_for("to (text): Eve")
            terminal.wait_for("[s]kip, [q]uit: ")
            terminal.type("\r")
            terminal.wait_for("[s]kip, [q]uit: ")  # asked again: an empty line decides nothing
            assert there.invocation(chat)["status"] == "awaiting_approval"
            terminal.type("q\r")
            assert terminal.end() == 0


def test_a_prompt_shows_nothing_raw_and_waits_for_what_comes(console: Console) -> None:
    with (
        beside(console, call("pay", {"to": HIDDEN, "amount": 1})) as there,
        prompting(there, "xterm-256color") as terminal,
    ):
        terminal.wait_for("waiting for questions")
        there.asked()
        terminal.wait_for("rm -rf /\\x1b[2K\\u202e safe")
        terminal.wait_for("[s]kip, [q]uit: ")
        assert "\u202e" not in terminal.screen and "\x1b[2K" not in terminal.screen
        terminal.type("s\r")
        terminal.wait_for("waiting for questions")
        terminal.type("\x03")
        assert terminal.end() == 130


def test_a_prompt_needs_a_terminal(console: Console) -> None:
    done = console.with_(AGENTKIT_BASE_URL="http://127.0.0.1:1").quick("approvals", "watch", "--prompt")
    assert done.returncode == 2 and "terminal" in done.stderr


def test_a_watch_goes_on_where_it_was_when_its_connection_breaks(console: Console) -> None:
    with beside(console, BILL, BILL) as there:
        plan = once("GET /interrupts/stream", Cut("after_line", how="rst", line=1))
        with Proxy(there.server.port, plan) as proxy:
            _, first = there.asked()
            with console.with_(AGENTKIT_BASE_URL=proxy.url).start("approvals", "watch", "--json") as process:
                assert process.stdout is not None
                seen = {json.loads(process.stdout.readline())["id"]}
                _, second = there.asked()
                while second["id"] not in seen:
                    seen.add(json.loads(process.stdout.readline())["id"])
                assert seen == {first["id"], second["id"]}
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=30) == 143


def test_nobody_there_is_an_exit_code_of_its_own(console: Console) -> None:
    nobody = console.with_(AGENTKIT_BASE_URL="http://127.0.0.1:1")
    assert nobody.quick("approvals", "list").returncode == 5
    unsaid = console.quick("approvals", "list")
    assert unsaid.returncode == 2 and "for a server of yours set AGENTKIT_BASE_URL" in unsaid.stderr


def test_the_page_tells_of_every_word() -> None:
    page = (ROOT / "docs" / "ask_user.md").read_text(encoding="utf-8")
    told = set(re.findall(r"agentkit approvals ([a-z]+)", page))
    root = typer.Typer()
    approvals.add_to(root)
    (words,) = root.registered_groups
    assert words.typer_instance is not None
    assert told == {each.name for each in words.typer_instance.registered_commands}
    assert {each.split()[2] for each in re.findall(r"agentkit approvals \w+", approvals.HELP)} == told
