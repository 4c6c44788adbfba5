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

import anyio
import httpx
import pytest

from agentkit import verify_signature
from agentkit.cli.lock import alone_with
from tests.cli.console import Console
from tests.client.hostile import Request, Wire, hostile
from tests.runtime.hooks.listening import listening
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


@pytest.fixture(scope="module")
def spoken() -> Generator[list[str]]:
    """What a server without a key, and with an alias, says to a person; it runs."""
    process = subprocess.Popen(
        _command("serve", "--port", "0", "--alias", "infsh/claude-sonnet-4=offline/extract"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRON,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield [process.stdout.readline() for _ in range(6)]
    finally:
        process.kill()
        process.communicate()


def _begin_chat(url: str) -> str:
    """The id of a chat that a message was just sent to."""
    body = {"agent_config": AGENT, "input": {"text": "Total: 12.50 EUR"}}
    return str(httpx.post(f"{url}/agents/run", json=body, headers=BARE).json()["assistant_message"]["chat_id"])


def _end_beside_a_stream(
    process: subprocess.Popen[str], number: signal.Signals, port: int, chat_id: str
) -> tuple[int, str]:
    """Ends the server while somebody listens, who is told the regular end of the stream."""
    with RawStream.open(port, f"/chats/{chat_id}/stream", Accept="application/x-ndjson") as stream:
        stream.chunk()
        process.send_signal(number)
        stream.chunks_until(lambda chunk: False)  # raises EOFError where the end is not the regular one
    _, errors = process.communicate(timeout=15)
    return process.returncode, errors


# -- serving -------------------------------------------------------------------------------------------------------


def test_a_chat_outlives_the_server_that_held_it(tmp_path: Path) -> None:
    db = str(tmp_path / "a.db")
    with _serving("--db", db) as (process, told):
        chat_id = _begin_chat(told["url"])
        with RawStream.open(told["port"], f"/chats/{chat_id}/stream?after=0", Accept="application/x-ndjson") as stream:
            assert stream.items_until("chats", status="idle")[-1]["data"]["active_run"]["state"] == "completed"
        assert _end_beside_a_stream(process, signal.SIGTERM, told["port"], chat_id) == (0, "")
    assert (told["db"], told["model"], told["needs_key"], told["pid"]) == (db, "offline/extract", False, process.pid)
    with _serving("--db", db) as (_, told):
        assert len(httpx.get(f"{told['url']}/chats/{chat_id}", headers=BARE).json()["chat_messages"]) == 2


def test_ctrl_c_ends_open_streams_in_good_order_and_the_exit_code_says_so() -> None:
    with _serving() as (process, told):
        assert _end_beside_a_stream(process, signal.SIGINT, told["port"], _begin_chat(told["url"])) == (130, "")


def test_a_webhook_is_told_to_call_back_where_the_server_listens() -> None:
    def call_back(request: Request, wire: Wire) -> None:
        assert httpx.post(request.json["callback_url"], json={"result": "later"}).status_code == 200
        wire.json({"success": True})

    schema = {"type": "object", "properties": {"msg": {"type": "string"}}, "required": ["msg"]}
    with hostile(call_back) as webhook, _serving("--allow-host", f"127.0.0.1:{webhook.port}") as (_, told):
        notify = {"name": "notify", "type": "hook", "hook": {"url": f"{webhook.url}/x", "input_schema": schema}}
        config = {**AGENT, "tools": [{**notify, "description": "Notify somebody"}]}
        body = {"agent_config": config, "input": {"text": "Notify somebody. Msg: hi"}}
        chat = httpx.post(f"{told['url']}/agents/run", json=body, headers=BARE).json()["assistant_message"]["chat_id"]
        with RawStream.open(told["port"], f"/chats/{chat}/stream?after=0", Accept="application/x-ndjson") as stream:
            stream.items_until("chats", status="idle")
        messages = httpx.get(f"{told['url']}/chats/{chat}", headers=BARE).json()["chat_messages"]
    assert [each["result"] for message in messages for each in message["tool_invocations"] or []] == ["later"]


def test_who_is_named_on_the_command_line_is_told_what_waits_for_approval(tmp_path: Path) -> None:
    secrets = tmp_path / "keys"
    secrets.write_text("HOOKS=whsec-7e\n")
    with listening() as receiver:
        told_to = ("--approval-webhook", receiver.url, "--approval-webhook-secret", "HOOKS", "--secrets", str(secrets))
        with _serving(*told_to) as (_, told):
            schema = {"type": "object", "properties": {"msg": {"type": "string"}}, "required": ["msg"]}
            notify = {"name": "notify", "type": "client", "description": "Notify somebody", "require_approval": True}
            config = {**AGENT, "tools": [{**notify, "client": {"input_schema": schema}}]}
            body = {"agent_config": config, "input": {"text": "Notify somebody. Msg: hi"}}
            httpx.post(f"{told['url']}/agents/run", json=body, headers=BARE).raise_for_status()
            anyio.run(receiver.heard, 1)
    [asked] = receiver.told
    assert (asked.event, asked.payload["interrupt"]["meta"]["arguments"]) == ("interrupt.requested", {"msg": "hi"})
    assert asked.payload["url"].startswith(f"{told['url']}/console/inbox?interrupt=")
    assert verify_signature(asked.body, asked.headers, "whsec-7e")


def test_a_person_is_told_where_with_what_and_how_to_call(spoken: list[str]) -> None:
    url = spoken[0].split()[-1]
    assert spoken[0].startswith("agentkit ") and url.startswith("http://127.0.0.1:")
    assert "in memory" in spoken[1]
    assert "offline/extract" in spoken[2]
    assert f"inference(base_url='{url}')" in spoken[3]
    assert spoken[4].split() == ["console", f"{url}/console"]
    assert httpx.get(f"{url}/console").headers["content-type"] == "text/html; charset=utf-8"


def test_an_alias_answers_for_a_hosted_model(spoken: list[str]) -> None:
    body = {"agent_config": {"core_app": {"ref": "infsh/claude-sonnet-4@abc"}}, "input": {"text": "hi"}}
    assert httpx.post(f"{spoken[0].split()[-1]}/agents/run", json=body, headers=BARE).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "environ", "limit"),
    [
        (["--api-key", "-"], {"AGENTKIT_RATE_LIMITS": "get=1/h"}, "1"),
        ([], {"AGENTKIT_API_KEY": KEY}, "1000"),
    ],
    ids=["stdin", "environment"],
)
def test_a_key_comes_by_stdin_or_environment_and_brings_the_platforms_rate_limits_unless_told_otherwise(
    arguments: list[str], environ: dict[str, str], limit: str
) -> None:
    with _serving(*arguments, **environ) as (_, told):
        path = f"{told['url']}/tasks/nope"
        assert told["needs_key"] is True
        assert httpx.get(path).status_code == 401
        first, second = (httpx.get(path, headers={**BARE, "Authorization": f"Bearer {KEY}"}) for _ in range(2))
    assert (first.status_code, first.headers.get("x-ratelimit-limit")) == (404, limit)
    assert second.status_code == (429 if limit == "1" else 404)
    if limit == "1":
        assert "get=... in the server's --rate-limits (AGENTKIT_RATE_LIMITS)" in second.json()["detail"]


def test_without_a_key_nothing_is_limited(spoken: list[str]) -> None:
    response = httpx.get(f"{spoken[0].split()[-1]}/tasks/nope", headers=BARE)
    assert response.status_code == 404 and "x-ratelimit-limit" not in response.headers


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [(["--no-console"], {}), pytest.param([], {"AGENTKIT_CONSOLE": "off"}, marks=pytest.mark.thorough)],
    ids=["argument", "environment"],
)
def test_a_server_may_be_without_a_console(arguments: list[str], environ: dict[str, str]) -> None:
    with _serving(*arguments, **environ) as (_, told):
        assert told["console"] is None
        assert httpx.get(f"{told['url']}/console").status_code == 404


@pytest.mark.parametrize(("public_url", "is_believed"), [("", False), ("https://desk.example", True)])
def test_a_proxy_is_believed_where_there_is_said_to_be_one(public_url: str, is_believed: bool) -> None:
    said = {"Host": "desk.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
    with _serving("--api-key", "-", AGENTKIT_PUBLIC_URL=public_url) as (_, told):
        file = {"files": [{"filename": "a.txt", "content_type": "text/plain"}]}
        headers = {**BARE, **said, "Authorization": f"Bearer {KEY}"}
        [made] = httpx.post(f"{told['url']}/files", json=file, headers=headers).json()
        signing = {**said, "X-Agentkit-Console": "1", "Origin": "https://desk.example"}
        answer = httpx.post(f"{told['url']}/console/session", json={"api_key": KEY}, headers=signing)
    assert made["upload_url"].startswith("https://" if is_believed else "http://")
    assert (answer.status_code, "Secure" in answer.headers.get("set-cookie", "")) == (
        (200, True) if is_believed else (403, False)
    )


def test_a_key_file_is_made_once_for_its_owner_alone(tmp_path: Path, console: Console) -> None:
    file = tmp_path / "key"
    with _serving("--api-key-file", str(file), "--rate-limits", "off") as (process, told):
        key = file.read_text()
        answer = httpx.get(f"{told['url']}/tasks/nope", headers={**BARE, "Authorization": f"Bearer {key.strip()}"})
        assert (answer.status_code, "x-ratelimit-limit" in answer.headers) == (404, False)
        again = console.quick("serve", "--api-key-file", str(file), "--port", str(told["port"]))
        assert again.returncode == 1 and "cannot listen" in again.stderr and "new key" not in again.stderr
        assert _end(process, signal.SIGTERM) == (0, f"agentkit: a new key is in {file}\n")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == (key, 0o600)


def test_a_second_server_on_one_database_is_warned_and_served(tmp_path: Path) -> None:
    db = str(tmp_path / "a.db")
    with alone_with(db), _serving("--db", db) as (second, told):  # as a server holds it
        assert httpx.get(f"{told['url']}/health").status_code == 200
        _, errors = _end(second, signal.SIGTERM)
    assert errors == f"agentkit: warning: another server uses {db}; both will change it\n"


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
def test_a_mistake_is_one_sentence_and_exit_code_1(make: Any, said: str, tmp_path: Path, console: Console) -> None:
    done = console.quick("serve", "--port", "0", *make(tmp_path), "--log-level", "error")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("agentkit: ") and done.stderr.count("\n") == 1
    assert said in done.stderr


def test_a_port_in_use_is_said(console: Console) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = console.quick("serve", "--port", str(port))
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


def test_help_and_version_teach(console: Console) -> None:
    whole, serve, version = console.quick("--help"), console.quick("serve", "--help"), console.quick("--version")
    assert "agentkit serve --db" in whole.stdout and "inference(base_url=" in whole.stdout
    assert "AGENTKIT_API_KEY" in serve.stdout and "--api-key-file" in serve.stdout
    assert version.stdout.startswith("agentkit ") and (whole.returncode, serve.returncode, version.returncode) == (
        0,
        0,
        0,
    )
    assert console.quick("serve", "--nope").returncode == 2
