"""How servers are configured, what is refused at once, and what children get of our environment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import ConfigError, MissingExtraError
from agentkit.runtime.mcp.config import McpServerConfig, read_servers
from agentkit.runtime.mcp.servers import McpServers


@pytest.mark.parametrize(
    ("spec", "command", "url"),
    [
        pytest.param("server --zone 'Europe/Den Haag'", ("server", "--zone", "Europe/Den Haag"), "", id="line"),
        pytest.param(["npx", "-y", "a b"], ("npx", "-y", "a b"), "", id="words"),
        pytest.param({"command": "server -x"}, ("server", "-x"), "", id="object with a line"),
        pytest.param("https://a.example/mcp", (), "https://a.example/mcp", id="url"),
        pytest.param({"url": "http://a.example"}, (), "http://a.example", id="object with a url"),
        pytest.param("echo $HOME; rm -rf x", ("echo", "$HOME;", "rm", "-rf", "x"), "", id="no shell reads it"),
    ],
)
def test_a_server_is_a_command_or_a_url(spec: Any, command: tuple[str, ...], url: str) -> None:
    read = read_servers({"s": spec})["s"]
    assert (read.command, read.url) == (command, url)


@pytest.mark.parametrize(
    ("servers", "told"),
    [
        pytest.param({"a b": "x"}, "'a b' is no name", id="name"),
        pytest.param({"s": ""}, "a command is a line of text or a list of words", id="no command"),
        pytest.param({"s": "run 'it"}, "the command line cannot be read", id="open quote"),
        pytest.param({"s": ["run", 1]}, "a command is a line of text or a list of words", id="number"),
        pytest.param({"s": {}}, "either a command or a URL", id="nothing"),
        pytest.param({"s": {"command": "x", "url": "https://h/"}}, "either a command or a URL", id="both"),
        pytest.param({"s": {"command": "x", "comand": "y"}}, "no field 'comand'", id="misspelt"),
        pytest.param({"s": {"command": "x", "headers": {"a": "b"}}}, "'headers' is for servers", id="headers"),
        pytest.param({"s": {"url": "https://h/", "env": {"a": "b"}}}, "'env' is for servers", id="env"),
        pytest.param({"s": {"url": "ftp://h/"}}, "the url is none", id="ftp"),
        pytest.param({"s": {"command": "x", "env": {"A": 1}}}, "'A' is no text", id="env number"),
        pytest.param({"s": {"command": "x", "env": ["A=1"]}}, "'env' is an object of texts", id="env list"),
        pytest.param({"s": {"command": "x", "start_seconds": 0}}, "start_seconds 0", id="no time"),
        pytest.param({"s": {"command": "x", "roots": [1]}}, "roots are folders", id="root"),
        pytest.param({"s": "run --key ${{secrets.KEY}}"}, "other users of this machine see", id="secret argument"),
        pytest.param({"s": {"command": "x", "env": {"A": "{{secrets.KEY}}"}}}, "${{secrets.KEY}}", id="braces"),
        pytest.param({"s": {"command": "x", "env": {"A": "{{context.X}}"}}}, "is no secret", id="context"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_its_name(servers: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        McpServers(servers)
    assert told in str(raised.value)
    assert "a b" in servers or "MCP server 's'" in str(raised.value)


def test_a_child_gets_little_of_our_environment() -> None:
    config = read_servers({"s": {"command": "x", "env": {"TOKEN": "t"}}})["s"]
    ours = {"PATH": "/bin", "LC_ALL": "C", "OPENAI_API_KEY": "sk-1", "AGENTKIT_API_KEY": "k", "PYTHONPATH": "/x"}
    assert config.variables(ours) == {"PATH": "/bin", "LC_ALL": "C", "TOKEN": "t"}


def test_secrets_are_put_in_and_not_shown() -> None:
    spec = {"url": "https://h/${{secrets.A}}", "headers": {"Authorization": "Bearer ${{secrets.B}}"}}
    config = read_servers({"s": spec})["s"]
    filled = config.filled({"A": "alpha", "B": "beta"})
    assert config.secret_names() == {"A", "B"}
    assert (filled.url, filled.headers) == ("https://h/alpha", {"Authorization": "Bearer beta"})
    assert "alpha" not in repr(filled) and "beta" not in repr(filled)


def test_roots_are_uris(tmp_path: Path) -> None:
    config = read_servers({"s": {"command": "x", "roots": [str(tmp_path), "file:///srv"]}})["s"]
    assert config.roots == (tmp_path.as_uri(), "file:///srv")


def test_a_config_that_was_read_already_is_taken_as_it_is() -> None:
    config = McpServerConfig("s", ("x",))
    assert read_servers({"s": config})["s"] is config


def test_servers_without_the_sdk_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    assert len(McpServers({})) == 0
    with pytest.raises(MissingExtraError, match=r"pip install 'agentkit\[mcp\]'"):
        McpServers({"s": "x"})
