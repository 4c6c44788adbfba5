"""The words that need a server: apps deployed, tasks run, sessions, the fleet; beside a real `agentkit serve`."""

from __future__ import annotations

import json
import random
import signal
import sys

import pytest

from tests.cli.console import SLOW, Console, code_of, wait_for_line
from tests.examples.terminal import at_a_terminal

pytestmark = pytest.mark.timeout(180)

NOBODY = "http://127.0.0.1:1"


def test_an_app_is_deployed_staged_promoted_and_taken_back(console: Console) -> None:
    console.ok("app", "init", "hello")
    with console.serving() as at:
        first = at.json("app", "deploy", "hello")
        assert (first["is_new"], first["is_current"], first["reference"].partition("@")[0]) == (
            True,
            True,
            "local/hello",
        )
        assert at.json("app", "deploy", "hello")["is_new"] is False
        code = (console.folder / "hello" / "inference.py").read_text()
        (console.folder / "hello" / "inference.py").write_text(code.replace('" ".join', '"-".join'))
        staged = at.quick("app", "deploy", "hello", "--stage")
        assert staged.returncode == 0 and "app promote" in staged.stderr
        second = staged.stdout.strip()
        run = ("--input", '{"text": "a", "times": 2}')
        assert json.loads(at.ok("task", "run", "hello", *run))["text"] == "a a"
        assert json.loads(at.ok("task", "run", second, *run))["text"] == "a-a"
        at.ok("app", "promote", second)
        assert json.loads(at.ok("task", "run", "hello", *run))["text"] == "a-a"
        versions = at.json("app", "versions", "hello")
        assert [(each["short_id"], each["is_current"]) for each in versions] == [
            (second.partition("@")[2], True), (first["reference"].partition("@")[2], False),
        ]  # fmt: skip
        at.ok("app", "promote", first["reference"])
        assert [line[0] for line in at.ok("app", "versions", "hello").splitlines()] == ["\t", "*"]
        other = at.json("app", "deploy", "hello", "--namespace", "team")
        assert other["reference"].startswith("team/hello@")
        listed = at.json("app", "list")
        assert {(each["namespace"], each["name"]) for each in listed} == {("local", "hello"), ("team", "hello")}
        assert "function     run" in at.ok("app", "get", "hello")
        asked = at.quick("app", "delete", "team/hello")
        assert asked.returncode == 2 and "--yes" in asked.stderr
        at.ok("app", "delete", "team/hello", "--yes")
        assert at.quick("app", "get", "team/hello").returncode == 3


def test_an_upload_at_a_terminal_has_a_bar_that_is_gone_at_the_end(console: Console) -> None:
    console.app("slow", SLOW)
    (console.folder / "slow" / "weights.bin").write_bytes(random.Random(1).randbytes(40_000_000))
    with console.serving() as at:
        env = {**at.environ, "TERM": "xterm-256color"}
        arguments = [sys.executable, "-m", "agentkit", "app", "deploy", "slow"]
        with at_a_terminal(arguments, cwd=console.folder, env=env) as terminal:
            terminal.wait_for("uploading")
            terminal.wait_for("/40.0 MB")
            terminal.wait_for("local/slow@")
            assert terminal.end() == 0


def test_a_task_is_run_watched_listed_and_its_log_read(console: Console) -> None:
    console.app("slow", SLOW)
    with console.serving() as at:
        at.ok("app", "deploy", "slow")
        whole = at.json("task", "run", "slow", "--set", "seconds=0", "--idempotency-key", "k1")
        assert (whole["status"], whole["output"]["text"]) == (10, "done")
        again = at.json("task", "run", "slow", "--set", "seconds=0", "--idempotency-key", "k1")
        assert again["id"] == whole["id"]
        later = at.ok("task", "run", "slow", "--set", "seconds=1", "--no-wait").strip()
        lines = [json.loads(line) for line in at.ok("task", "watch", later, "--json").splitlines()]
        assert lines[-1]["status"] == 10 and {each["id"] for each in lines} == {later}
        assert json.loads(at.ok("task", "get", later))["text"] == "done"
        assert at.ok("task", "logs", later) == "working\n" == at.ok("app", "logs", "slow")
        followed = [json.loads(line) for line in at.ok("app", "logs", later, "--follow", "--json").splitlines()]
        assert followed == [{"phase": "task", "text": "working\n"}]
        listed = at.json("task", "list", "--app", "slow", "--status", "completed")
        assert [each["id"] for each in listed] == [later, whole["id"]]
        assert at.json("task", "list", "--status", "failed") == []
        failed = at.quick("task", "run", "slow", "--set", "seconds=x")
        assert failed.returncode == 1 and "seconds" in failed.stderr and "Traceback" not in failed.stderr
        told = at.json("fleet")
        assert told["size"] == 2 and len(told["workers"]) >= 1
        assert "2 workers" in at.quick("fleet").stderr


def test_ctrl_c_cancels_on_the_server_and_leaving_a_watch_does_not(console: Console) -> None:
    console.app("slow", SLOW)
    with console.serving() as at:
        at.ok("app", "deploy", "slow")
        with at.start("task", "run", "slow") as process:
            wait_for_line(process, "working")
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        assert process.returncode == 130 and "cancelled" in errors and "Traceback" not in errors
        [task] = at.json("task", "list")
        assert task["status"] == 12
        waiting = at.ok("task", "run", "slow", "--no-wait").strip()
        with at.start("task", "watch", waiting) as process:
            wait_for_line(process, "working")
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        assert process.returncode == 130 and f"task cancel {waiting}" in errors
        assert "running" in at.quick("task", "get", waiting).stderr
        assert "cancel" in at.quick("task", "cancel", waiting, "--force").stderr
        watched = at.quick("task", "watch", waiting)
        assert watched.returncode == 1 and "cancelled" in watched.stderr
        assert "cancelled" in at.quick("task", "cancel", waiting).stderr
    console.wait_until_nothing_is_left()


def test_a_session_keeps_its_worker_and_is_listed_until_it_ends(console: Console) -> None:
    console.ok("app", "init", "notes", "--template", "multi")
    with console.serving() as at:
        at.ok("app", "deploy", "notes")
        begun = at.quick(
            "task", "run", "notes:add", "--set", "text=milk", "--session", "new", "--session-timeout", "300"
        )
        assert begun.returncode == 0
        session = begun.stderr.splitlines()[-1].rpartition(" ")[2]
        found = at.json("task", "run", "notes:search", "--set", "term=milk", "--session", session)
        assert found["output"]["notes"] == ["milk"]
        [listed] = at.json("session", "list")
        assert (listed["id"], listed["call_count"]) == (session, 2)
        assert "active, 2 calls" in at.ok("session", "get", session)
        at.ok("session", "end", session)
        assert at.json("session", "list") == []
        assert at.quick("task", "run", "notes:search", "--session", session).returncode == 3
        assert at.quick("session", "end", "nope").returncode == 3
        assert at.quick("task", "run", "notes:add", "--session-timeout", "60", "--set", "text=a").returncode == 1


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
