"""`agentkit secret` and `agentkit integration` against a server: values come from stdin or a prompt, never as words."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import urllib.request
from pathlib import Path

import pytest

from tests.cli.console import Console
from tests.runtime.oauth_server import CLIENT_SECRET, oauth_server

pytestmark = pytest.mark.heavy

VALUE = "sk-live-0123456789abcdefWXYZ"


def test_secrets_are_set_from_stdin_listed_and_deleted(there: Console) -> None:
    done = there.quick("secret", "set", "CLI_A", "--description", "why", stdin=f"{VALUE}\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "CLI_A is stored (...WXYZ)\n")
    [row] = [line.split("\t") for line in there.ok("secret", "list").splitlines() if line.startswith("CLI_A\t")]
    assert (row[0], row[1], row[3]) == ("CLI_A", "...WXYZ", "why")
    assert there.json("secret", "set", "CLI_A", stdin="short")["masked_value"] == "..."
    assert there.ok("secret", "delete", "CLI_A", "--yes") == ""
    assert there.quick("secret", "delete", "CLI_A", "--yes").returncode == 3


@pytest.mark.parametrize("words", [("secret", "set", "CLI_B"), ("integration", "connect", "github", "--with-key")])
def test_without_a_value_nothing_happens(there: Console, words: tuple[str, ...]) -> None:
    done = there.quick(*words, stdin="\n")
    assert done.returncode == 2 and "nothing was given" in done.stderr


def test_a_value_as_a_word_is_a_mistake(there: Console) -> None:
    assert there.quick("secret", "set", "CLI_B", VALUE, stdin="x").returncode == 2


def test_a_prompt_shows_nothing_of_what_is_typed(there: Console) -> None:
    with there.terminal("secret", "set", "CLI_C") as terminal:
        terminal.wait_for("Value of CLI_C: ")
        terminal.type(f"{VALUE}\r")
        terminal.wait_for("CLI_C is stored (...WXYZ)")
        assert terminal.end() == 0 and VALUE not in terminal.screen
    there.ok("secret", "delete", "CLI_C", "--yes")


def test_an_integration_by_key(there: Console) -> None:
    assert there.quick("integration", "connect", "github", "--with-key", stdin=VALUE).stderr == "GitHub is connected\n"
    assert there.ok("integration", "list").startswith("github\tconnected\tapi_key")
    offered = {each["provider"]: each for each in there.json("integration", "list", "--available")}
    assert offered["github"]["integration"]["status"] == "connected"
    there.ok("integration", "disconnect", "github", "--yes")
    assert there.quick("integration", "disconnect", "github", "--yes").returncode == 3
    assert there.quick("integration", "connect", "nobody").returncode == 3


def test_an_integration_in_a_browser_and_a_server_that_keeps_what_it_was_told(console: Console) -> None:
    with oauth_server() as provider:
        (console.folder / "providers.json").write_text(json.dumps({"acme": provider.provider()}))
        served = ("--db", "work.db", "--integrations", "providers.json")
        with console.serving(*served) as there:
            there.ok("secret", "set", "ACME_CLIENT_SECRET", stdin=CLIENT_SECRET)
            assert there.quick("integration", "connect", "acme", "--wait", "0").returncode == 1
            with there.start("integration", "connect", "acme", "--scope", "sheets") as process:
                assert process.stdout is not None and process.stderr is not None
                url = process.stdout.readline().strip()
                with urllib.request.urlopen(url, timeout=10) as page:  # follows the provider's way back
                    assert page.status == 200
                assert process.wait(timeout=20) == 0
                assert "acme is connected" in process.stderr.read()
            [row] = there.json("integration", "list")
            assert (row["provider"], row["status"]) == ("acme", "connected")
        disk = b"\n".join(path.read_bytes() for path in console.folder.glob("work.db*") if path.is_file())
        assert not any(each.encode() in disk for each in (*provider.given, CLIENT_SECRET))
        assert os.stat(console.folder / "work.db.key").st_mode & 0o077 == 0
        _assert_sealed(console.folder / "work.db")


def _assert_sealed(db: Path) -> None:
    connection = sqlite3.connect(db)
    bodies = [body for (body,) in connection.execute("SELECT body FROM secret UNION ALL SELECT body FROM integration")]
    connection.close()
    assert len(bodies) == 2 and all(re.search(r'"sealed":"v1\.[0-9a-f]{8}\.', body) for body in bodies)
