"""`agentkit serve` as a person runs it: a process, its output, its exit code."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.runtime.serving import BARE, KEY, RawStream

AGENT = {"core_app": {"ref": "offline/extract"}}
ENVIRON = {
    name: value for name, value in os.environ.items() if not name.startswith(("AGENTKIT_", "OPENAI_", "OLLAMA_"))
}


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "agentkit", *arguments]


def _run(*arguments: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """The finished command; for those that are meant to end by themselves."""
    return subprocess.run(
        _command(*arguments), input=stdin, capture_output=True, text=True, timeout=15, env={**ENVIRON, **environ}
    )


@contextmanager
def _serving(*arguments: str, **environ: str) -> Generator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A server on a free port, and what it said of itself; killed at the end if it still runs."""
    process = subprocess.Popen(
        _command("serve", "--port", "0", "--json", *arguments),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**ENVIRON, **environ},
    )  # fmt: skip
    try:
        if "-" in arguments and process.stdin:
            process.stdin.write(f"{KEY}\n")
            process.stdin.flush()
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        yield process, json.loads(line)
    finally:
        process.kill()
        process.communicate()


def _end(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    process.send_signal(number)
    _, errors = process.communicate(timeout=15)
    return process.returncode, errors


# -- serving -------------------------------------------------------------------------------------------------------


def test_a_chat_outlives_the_server_that_held_it(tmp_path: Path) -> None:
    db = str(tmp_path / "a.db")
    with _serving("--db", db) as (process, told):
        body = {"agent_config": AGENT, "input": {"text": "Total: 12.50 EUR"}}
        reply = httpx.post(f"{told['url']}/agents/run", json=body, headers=BARE).json()
        chat_id = reply["assistant_message"]["chat_id"]
        with RawStream.open(told["port"], f"/chats/{chat_id}/stream?after=0", Accept="application/x-ndjson") as stream:
            assert stream.items_until("chats", status="idle")[-1]["data"]["active_run"]["state"] == "completed"
        assert _end(process, signal.SIGTERM) == (0, "")
    assert (told["db"], told["model"], told["needs_key"], told["pid"]) == (db, "offline/extract", False, process.pid)
    with _serving("--db", db) as (_, told):
        assert len(httpx.get(f"{told['url']}/chats/{chat_id}", headers=BARE).json()["chat_messages"]) == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_open_streams_in_good_order_and_the_exit_code_says_which(
    number: signal.Signals, code: int
) -> None:
    with _serving() as (process, told):
        body = {"agent_config": AGENT, "input": {"text": "hi"}}
        chat_id = httpx.post(f"{told['url']}/agents/run", json=body, headers=BARE).json()["assistant_message"][
            "chat_id"
        ]
        with RawStream.open(told["port"], f"/chats/{chat_id}/stream", Accept="application/x-ndjson") as stream:
            stream.chunk()
            process.send_signal(number)
            stream.chunks_until(lambda chunk: False)  # raises EOFError where the end is not the regular one
        _, errors = process.communicate(timeout=15)
    assert (process.returncode, errors) == (code, "")


def test_a_person_is_told_where_with_what_and_how_to_call() -> None:
    process = subprocess.Popen(
        _command("serve", "--port", "0"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRON
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
    finally:
        process.kill()
        process.communicate()
    url = lines[0].split()[-1]
    assert lines[0].startswith("agentkit ") and url.startswith("http://127.0.0.1:")
    assert "in memory" in lines[1]
    assert "offline/extract" in lines[2]
    assert f"inference(base_url='{url}')" in lines[3]


@pytest.mark.parametrize(
    ("arguments", "environ"), [(["--api-key", KEY], {}), (["--api-key", "-"], {}), ([], {"AGENTKIT_API_KEY": KEY})]
)
def test_a_key_can_come_by_argument_stdin_and_environment(arguments: list[str], environ: dict[str, str]) -> None:
    with _serving(*arguments, **environ) as (_, told):
        path = f"{told['url']}/agents/internal-tools"
        assert told["needs_key"] is True
        assert httpx.get(path).status_code == 401
        assert httpx.get(path, headers={"Authorization": f"Bearer {KEY}"}).status_code == 200


def test_a_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "key"
    for is_new in (True, False):
        with _serving("--api-key-file", str(file)) as (process, told):
            headers = {"Authorization": f"Bearer {file.read_text().strip()}"}
            assert httpx.get(f"{told['url']}/agents/internal-tools", headers=headers).status_code == 200
            code, errors = _end(process, signal.SIGTERM)
        assert code == 0
        assert errors == (f"agentkit: a new key is in {file}\n" if is_new else "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_second_server_on_one_database_is_warned_and_served(tmp_path: Path) -> None:
    db = str(tmp_path / "a.db")
    with _serving("--db", db), _serving("--db", db) as (second, told):
        assert httpx.get(f"{told['url']}/health").status_code == 200
        _, errors = _end(second, signal.SIGTERM)
    assert errors == f"agentkit: warning: another server uses {db}; both will change it\n"


def test_an_alias_answers_for_a_hosted_model() -> None:
    with _serving("--alias", "infsh/claude-sonnet-4=offline/extract") as (_, told):
        body = {"agent_config": {"core_app": {"ref": "infsh/claude-sonnet-4@abc"}}, "input": {"text": "hi"}}
        assert httpx.post(f"{told['url']}/agents/run", json=body, headers=BARE).status_code == 200


# -- mistakes ------------------------------------------------------------------------------------------------------


def _readable_by_all(tmp_path: Path) -> list[str]:
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o644)
    return ["--api-key-file", str(file)]


def _no_database(tmp_path: Path) -> list[str]:
    (tmp_path / "a.db").write_bytes(b"this is no database, whatever its name says" * 50)
    return ["--db", str(tmp_path / "a.db")]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda tmp: ["--host", "0.0.0.0"], "a key is needed"),
        (lambda tmp: ["--port", "eighty"], "port 'eighty' is no port"),
        (lambda tmp: ["--host", "no.such.host.invalid", "--api-key", KEY], "cannot listen on no.such.host.invalid"),
        (lambda tmp: ["--api-key", "short"], "16 characters"),
        (lambda tmp: ["--api-key", KEY, "--api-key-file", str(tmp / "k")], "not both"),
        (lambda tmp: ["--api-key-file", str(tmp / "no" / "k")], "cannot be made"),
        (_readable_by_all, "chmod 600"),
        (_no_database, "a.db"),
        (lambda tmp: ["--db", "/proc/nope/a.db"], "/proc/nope"),
        (lambda tmp: ["--model", "nobody/x"], "nobody/x"),
        (lambda tmp: ["--alias", "x"], "NAME=REFERENCE"),
        (lambda tmp: ["--workers", "0"], "AGENTKIT_WORKERS"),
        (lambda tmp: ["--worker-memory", "1k"], "AGENTKIT_WORKER_MEMORY"),
        (lambda tmp: ["--task-timeout", "-1"], "AGENTKIT_TASK_TIMEOUT"),
        (lambda tmp: ["--rate-limits", "run=5"], "AGENTKIT_RATE_LIMITS"),
        (lambda tmp: ["--secrets", str(tmp / "nope")], "AGENTKIT_SECRETS_FILE"),
    ],
    ids=[
        "open",
        "port",
        "host",
        "key",
        "keys",
        "folder",
        "mode",
        "not-a-db",
        "db",
        "model",
        "alias",
        "workers",
        "memory",
        "timeout",
        "rates",
        "secrets",
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_1(make: Any, said: str, tmp_path: Path) -> None:
    done = _run("serve", "--port", "0", *make(tmp_path), "--log-level", "error")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("agentkit: ") and done.stderr.count("\n") == 1
    assert said in done.stderr


def test_a_port_in_use_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = _run("serve", "--port", str(port))
    assert done.returncode == 1
    assert done.stderr.startswith(f"agentkit: cannot listen on 127.0.0.1:{port}: ")
    assert "--port" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(("missing", "extra"), [("typer", "cli"), ("uvicorn", "serve")])
def test_a_missing_extra_is_named_with_its_pip_command(missing: str, extra: str, tmp_path: Path) -> None:
    (tmp_path / f"{missing}.py").write_text("raise ImportError('not installed')")
    done = _run("serve", "--port", "0", PYTHONPATH=f"{tmp_path}{os.pathsep}{os.getcwd()}")
    assert done.returncode == 1
    assert "pip install 'agentkit[" in done.stderr and extra in done.stderr.split("agentkit[")[1]
    assert "Traceback" not in done.stderr


def test_help_and_version_teach() -> None:
    whole, serve, version = _run("--help"), _run("serve", "--help"), _run("version")
    assert "agentkit serve --db" in whole.stdout and "inference(base_url=" in whole.stdout
    assert "AGENTKIT_API_KEY" in serve.stdout and "--api-key-file" in serve.stdout
    assert version.stdout.startswith("agentkit ") and (whole.returncode, serve.returncode, version.returncode) == (
        0,
        0,
        0,
    )
    assert _run("serve", "--nope").returncode == 2
