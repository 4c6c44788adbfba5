"""The words that need a server: apps deployed, tasks run, sessions, the fleet; beside a real `agentkit serve`."""

from __future__ import annotations

import json
import random
import re
import signal

import pytest

from tests.cli.console import ECHO, SLOW, Console, code_of, wait_for_line

pytestmark = pytest.mark.timeout(180)

NOBODY = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def echo(server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An app on that server."""
    there = Console.at(tmp_path_factory.mktemp("echo"), AGENTKIT_BASE_URL=server)
    return there.ok("app", "deploy", there.app("echo", ECHO)).strip()


def test_an_app_is_deployed_staged_promoted_and_taken_back(there: Console) -> None:
    there.ok("app", "init", "greeter")
    first = there.json("app", "deploy", "greeter")
    assert (first["is_new"], first["is_current"], first["reference"].partition("@")[0]) == (
        True,
        True,
        "local/greeter",
    )
    assert there.json("app", "deploy", "greeter")["is_new"] is False
    code = (there.folder / "greeter" / "inference.py").read_text()
    (there.folder / "greeter" / "inference.py").write_text(code.replace('" ".join', '"-".join'))
    staged = there.quick("app", "deploy", "greeter", "--stage")
    assert staged.returncode == 0 and "app promote" in staged.stderr
    second = staged.stdout.strip()
    run = ("--input", '{"text": "a", "times": 2}')
    assert json.loads(there.ok("task", "run", "greeter", *run))["text"] == "a a"
    assert json.loads(there.ok("task", "run", second, *run))["text"] == "a-a"
    there.ok("app", "promote", second)
    assert json.loads(there.ok("task", "run", "greeter", *run))["text"] == "a-a"
    versions = there.json("app", "versions", "greeter")
    assert [(each["short_id"], each["is_current"]) for each in versions] == [
        (second.partition("@")[2], True), (first["reference"].partition("@")[2], False),
    ]  # fmt: skip
    there.ok("app", "promote", first["reference"])
    assert [line[0] for line in there.ok("app", "versions", "greeter").splitlines()] == ["\t", "*"]
    other = there.json("app", "deploy", "greeter", "--namespace", "team")
    assert other["reference"].startswith("team/greeter@")
    listed = there.json("app", "list", "--search", "greeter")
    assert {(each["namespace"], each["name"]) for each in listed} == {("local", "greeter"), ("team", "greeter")}
    assert "function     run" in there.ok("app", "get", "greeter")
    asked = there.quick("app", "delete", "team/greeter")
    assert asked.returncode == 2 and "--yes" in asked.stderr
    there.ok("app", "delete", "team/greeter", "--yes")
    assert there.quick("app", "get", "team/greeter").returncode == 3


def test_an_upload_at_a_terminal_has_a_bar_that_is_gone_at_the_end(there: Console) -> None:
    there.app("heavy", SLOW)
    (there.folder / "heavy" / "weights.bin").write_bytes(random.Random(1).randbytes(8_000_000))
    with there.terminal("app", "deploy", "heavy") as terminal:
        terminal.wait_for("uploading")
        terminal.wait_for("/8.0 MB")
        terminal.wait_for("local/heavy@")
        assert terminal.end() == 0


def test_a_task_is_run_watched_listed_and_its_log_read(there: Console) -> None:
    there.app("slow", SLOW)
    there.ok("app", "deploy", "slow")
    whole = there.json("task", "run", "slow", "--set", "seconds=0", "--idempotency-key", "k1")
    assert (whole["status"], whole["output"]["text"]) == (10, "done")
    again = there.json("task", "run", "slow", "--set", "seconds=0", "--idempotency-key", "k1")
    assert again["id"] == whole["id"]
    later = there.ok("task", "run", "slow", "--set", "seconds=1", "--no-wait").strip()
    lines = [json.loads(line) for line in there.ok("task", "watch", later, "--json").splitlines()]
    assert lines[-1]["status"] == 10 and {each["id"] for each in lines} == {later}
    assert json.loads(there.ok("task", "get", later))["text"] == "done"
    assert there.ok("task", "logs", later) == "working\n" == there.ok("app", "logs", "slow")
    followed = [json.loads(line) for line in there.ok("app", "logs", later, "--follow", "--json").splitlines()]
    assert followed == [{"phase": "task", "text": "working\n"}]
    listed = there.json("task", "list", "--app", "slow", "--status", "completed")
    assert [each["id"] for each in listed] == [later, whole["id"]]
    assert there.json("task", "list", "--app", "slow", "--status", "failed") == []
    failed = there.quick("task", "run", "slow", "--set", "seconds=x")
    assert failed.returncode == 1 and "seconds" in failed.stderr and "Traceback" not in failed.stderr
    told = there.json("fleet")
    assert told["size"] == 2 and len(told["workers"]) >= 1
    assert "2 workers" in there.quick("fleet").stderr


def test_an_input_comes_from_a_file_or_stdin_and_files_go_along(there: Console, echo: str) -> None:
    (there.folder / "in.json").write_text('{"text": "from a file"}')
    (there.folder / "note.txt").write_text("one two three")
    by_file = there.json("task", "run", echo, "--input", "@in.json", "--file", "document=note.txt")
    assert (by_file["output"]["text"], by_file["output"]["words"], by_file["status"]) == ("from a file", 3, 10)
    by_stdin = there.json("task", "run", echo, "--input", "-", stdin='{"text": "from stdin"}')
    assert by_stdin["output"]["text"] == "from stdin"


def test_an_input_that_misses_the_schema_is_told_by_its_paths(there: Console, echo: str) -> None:
    done = there.quick("task", "run", echo, "--set", "size=3")
    assert (done.returncode, done.stdout) == (1, "")
    assert "'text' is a required property" in done.stderr and "size" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_task_that_fails_is_exit_code_1_with_its_error_and_its_log(there: Console, echo: str) -> None:
    done = there.quick("task", "run", f"{echo}:broken", "--set", "text=a")
    assert (done.returncode, done.stdout) == (1, "")
    assert "about to fail" in done.stderr
    assert done.stderr.splitlines()[-1].endswith("failed: ValueError: bad size")
    told = there.quick("task", "run", f"{echo}:broken", "--set", "text=a", "--json")
    assert told.returncode == 1
    assert (json.loads(told.stdout)["status"], json.loads(told.stdout)["error"]) == (11, "ValueError: bad size")


@pytest.mark.parametrize(
    "environ", [{"NO_COLOR": "1"}, pytest.param({"TERM": "dumb"}, marks=pytest.mark.thorough)], ids=["no-color", "dumb"]
)
def test_colours_are_off_where_they_are_not_wanted(environ: dict[str, str], there: Console, echo: str) -> None:
    with there.terminal("task", "run", echo, "--set", "text=hi", **environ) as terminal:
        assert terminal.end() == 0
    assert '"hi"' in terminal.screen
    assert not re.search(r"\x1b\[(?:[0-9]+;)*[349][0-9]", terminal.screen)


def test_ctrl_c_cancels_on_the_server_and_leaving_a_watch_does_not(there: Console) -> None:
    there.app("slower", SLOW)
    there.ok("app", "deploy", "slower")
    with there.start("task", "run", "slower") as process:
        wait_for_line(process, "working")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and "cancelled" in errors and "Traceback" not in errors
    [task] = there.json("task", "list", "--app", "slower")
    assert task["status"] == 12
    waiting = there.ok("task", "run", "slower", "--no-wait").strip()
    with there.start("task", "watch", waiting) as process:
        wait_for_line(process, "working")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and f"task cancel {waiting}" in errors
    assert "running" in there.quick("task", "get", waiting).stderr
    assert "cancel" in there.quick("task", "cancel", waiting, "--force").stderr
    watched = there.quick("task", "watch", waiting)
    assert watched.returncode == 1 and "cancelled" in watched.stderr
    assert "cancelled" in there.quick("task", "cancel", waiting).stderr
    there.wait_until_nothing_is_left()


def test_a_session_keeps_its_worker_and_is_listed_until_it_ends(there: Console) -> None:
    there.ok("app", "init", "notes", "--template", "multi")
    there.ok("app", "deploy", "notes")
    begun = there.quick(
        "task", "run", "notes:add", "--set", "text=milk", "--session", "new", "--session-timeout", "300"
    )
    assert begun.returncode == 0
    session = begun.stderr.splitlines()[-1].rpartition(" ")[2]
    found = there.json("task", "run", "notes:search", "--set", "term=milk", "--session", session)
    assert found["output"]["notes"] == ["milk"]
    [listed] = there.json("session", "list")
    assert (listed["id"], listed["call_count"]) == (session, 2)
    assert "active, 2 calls" in there.ok("session", "get", session)
    there.ok("session", "end", session)
    assert there.json("session", "list") == []
    assert there.quick("task", "run", "notes:search", "--session", session).returncode == 3
    assert there.quick("session", "end", "nope").returncode == 3
    assert there.quick("task", "run", "notes:add", "--session-timeout", "60", "--set", "text=a").returncode == 1


def test_exit_codes_tell_what_is_missing_from_who_may_not(console: Console) -> None:
    with console.serving("--api-key", "inf_0123456789abcdef") as at:
        known = at.with_(INFERENCE_API_KEY="inf_0123456789abcdef")
        for words in (("task", "get"), ("task", "watch"), ("task", "cancel"), ("task", "logs"), ("app", "get"),
                      ("app", "versions"), ("app", "logs"), ("task", "run"), ("session", "get")):  # fmt: skip
            done = known.quick(*words, "nope")
            assert (done.returncode, done.stdout) == (3, ""), (words, done.stderr)
            assert done.stderr.startswith("agentkit: ") and "Traceback" not in done.stderr
        unknown = at.quick("task", "list")
        assert unknown.returncode == 4 and "INFERENCE_API_KEY" in unknown.stderr
        assert at.with_(INFERENCE_API_KEY="inf_another_key_of_some").quick("fleet").returncode == 4


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["task", "list", "--base-url", NOBODY], 5, "127.0.0.1:1"),
        (["task", "list", "--base-url", "nowhere"], 2, "is no URL"),
        (["task", "list", "--base-url", NOBODY, "--status", "nope"], 2, "there is no such status"),
        (["task", "run", "a b", "--base-url", NOBODY], 2, "white space"),
        (["app", "promote", "hello", "--base-url", NOBODY], 2, "names no version"),
        (["app", "delete", "hello@1", "--base-url", NOBODY, "--yes"], 2, "leave out the @"),
        (["task", "nope"], 2, "nope"),
        (["nope"], 2, "nope"),
        (["task", "get"], 2, "TASK_ID"),
    ],
)
def test_mistakes_have_their_exit_code(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INFERENCE_API_KEY", raising=False)
    assert code_of(*arguments) == code
    told = capsys.readouterr()
    assert told.out == "" and said in told.err and "Traceback" not in told.err


@pytest.mark.parametrize(
    "words",
    ["", "app", "app init", "app run", "app test", "app deploy", "app list", "app get", "app versions", "app promote",
     "app delete", "app logs", "task", "task run", "task watch", "task get", "task list", "task cancel", "task logs",
     "session", "session list", "session get", "session end", "fleet", "serve", "version"],
)  # fmt: skip
def test_every_word_explains_itself(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(*words.split(), "--help") == 0
    told = capsys.readouterr()
    assert told.err == "" and told.out.startswith("Usage: agentkit") and "\b" not in told.out
