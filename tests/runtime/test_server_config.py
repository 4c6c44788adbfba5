"""The server's settings: arguments before the environment, and errors that name both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import ConfigError
from agentkit.runtime.config import VARIABLES, ServerConfig, is_loopback
from agentkit.runtime.ratelimits import RateLimits
from tests.runtime.serving import KEY

ENVIRON = {
    "AGENTKIT_HOST": "localhost",
    "AGENTKIT_PORT": "9000",
    "AGENTKIT_DB": "/data/a.db",
    "AGENTKIT_API_KEY": f"{KEY}, {KEY}2",
    "AGENTKIT_MODEL": "openai/gpt-5-mini",
    "AGENTKIT_ALIASES": "infsh/claude-sonnet-4=offline/extract, *=openai/gpt-5-mini",
    "AGENTKIT_CORS_ORIGINS": "https://A.example/, http://localhost:3000",
    "AGENTKIT_HOST_NAMES": "Desk.example",
    "AGENTKIT_MAX_BODY_BYTES": "2048",
    "AGENTKIT_MAX_UPLOAD_BYTES": "4096",
    "AGENTKIT_RATE_LIMITS": "default, run=5/s",
    "AGENTKIT_CONSOLE": "Off",
    "AGENTKIT_SECRETS_FILE": "/data/keys",
    "AGENTKIT_MCP": "time=mcp-server-time --local-timezone UTC",
    "AGENTKIT_ALLOW_HOSTS": "10.0.0.0/8, localhost:8080",
    "AGENTKIT_PUBLIC_URL": "https://agents.example.com/",
    "AGENTKIT_APPROVAL_WEBHOOKS": "https://chat.example.com/approvals, http://127.0.0.1:9/told",
    "AGENTKIT_APPROVAL_WEBHOOK_SECRET": "APPROVALS",
    "AGENTKIT_INTEGRATIONS_FILE": "/data/providers.json",
    "AGENTKIT_WORKERS": "3",
    "AGENTKIT_WORKER_MEMORY": "1.5g",
    "AGENTKIT_TASK_TIMEOUT": "90",
    "AGENTKIT_LOG_LEVEL": "DEBUG",
}


def test_everything_can_be_set_in_the_environment() -> None:
    assert set(ENVIRON) == {variable for _, variable in VARIABLES.values()}
    assert ServerConfig.resolve(environ=ENVIRON) == ServerConfig(
        host="localhost",
        port=9000,
        db="/data/a.db",
        api_keys=(KEY, f"{KEY}2"),
        model="openai/gpt-5-mini",
        aliases={"infsh/claude-sonnet-4": "offline/extract", "*": "openai/gpt-5-mini"},
        cors_origins=("https://a.example", "http://localhost:3000"),
        host_names=("desk.example",),
        max_body_bytes=2048,
        max_upload_bytes=4096,
        rate_limits=RateLimits.parse("default,run=5/s"),
        console=False,
        secrets_file="/data/keys",
        mcp={"time": "mcp-server-time --local-timezone UTC"},
        allow_hosts=("10.0.0.0/8", "localhost:8080"),
        public_url="https://agents.example.com",
        approval_webhooks=("https://chat.example.com/approvals", "http://127.0.0.1:9/told"),
        approval_webhook_secret="APPROVALS",
        integrations_file="/data/providers.json",
        workers=3,
        worker_memory=1536 << 20,
        task_timeout=90.0,
        log_level="debug",
    )


def test_an_argument_wins_and_an_empty_one_counts_as_not_given() -> None:
    config = ServerConfig.resolve(environ=ENVIRON, port=0, host="", db=None, aliases=["a=b"], api_keys=[])
    assert (config.port, config.host, config.db, config.aliases) == (0, "localhost", "/data/a.db", {"a": "b"})
    assert config.api_keys == (KEY, f"{KEY}2")


def test_with_nothing_set_it_is_a_private_server_in_memory() -> None:
    config = ServerConfig.resolve(environ={})
    assert (config, config.is_loopback) == (ServerConfig(), True)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("port", "eighty", "'eighty'"),
        ("port", "65536", "'65536'"),
        ("port", "-1", "'-1'"),
        ("api_keys", "short", "16 characters"),
        ("api_keys", "has a blank in it, really", "without blanks"),
        ("cors_origins", "*", "'*' is no origin"),
        ("cors_origins", "app.example.com", "no origin"),
        ("cors_origins", "https://a.example/path", "no origin"),
        ("aliases", "no-equals", "NAME=REFERENCE"),
        ("aliases", "a=", "NAME=REFERENCE"),
        ("max_body_bytes", "10MB", "'10mb'|'10MB'"),
        ("max_body_bytes", "10", "1024"),
        ("max_upload_bytes", "1g", "'1g'"),
        ("rate_limits", "run", "'run'"),
        ("console", "maybe", "'maybe'"),
        ("rate_limits", "walk=1/m", "'walk'"),
        ("workers", "0", "'0'"),
        ("workers", "many", "'many'"),
        ("worker_memory", "1m", "'1m'"),
        ("worker_memory", "much", "'much'"),
        ("task_timeout", "0", "'0'"),
        ("task_timeout", "nan", "'nan'"),
        ("task_timeout", "1h", "'1h'"),
        ("log_level", "loud", "'loud'"),
    ],
)
def test_a_wrong_value_is_named_with_both_ways_to_set_it(name: str, value: str, said: str) -> None:
    argument, variable = VARIABLES[name]
    for given in ({"environ": {}, name: value}, {"environ": {variable: value}}):
        with pytest.raises(ConfigError, match=said) as caught:
            ServerConfig.resolve(**given)
        assert argument in str(caught.value) and variable in str(caught.value)


@pytest.mark.parametrize(
    ("text", "size"),
    [("512m", 512 << 20), ("4G", 4 << 30), ("2GiB", 2 << 30), ("65536k", 64 << 20), ("536870912", 512 << 20)],
)
def test_the_memory_of_a_worker_has_a_unit_or_is_bytes(text: str, size: int) -> None:
    assert ServerConfig.resolve(environ={}, worker_memory=text).worker_memory == size


def test_rate_limits_that_are_off_differ_from_none_given() -> None:
    assert ServerConfig.resolve(environ={"AGENTKIT_RATE_LIMITS": "off"}).rate_limits == RateLimits()
    assert ServerConfig.resolve(environ={}).rate_limits is None


def test_a_key_that_is_refused_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        ServerConfig.resolve(environ={}, api_keys=["hunter2"])
    assert "hunter2" not in str(caught.value)


def test_a_setting_that_does_not_exist_is_refused() -> None:
    arguments: dict[str, Any] = {"hots": "localhost"}
    with pytest.raises(ConfigError, match="no such setting: hots"):
        ServerConfig.resolve(environ={}, **arguments)


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("[::1]", True), ("LocalHost", True), ("0.0.0.0", False),
     ("::", False), ("localhost.example", False), ("10.0.0.1", False), ("", False)],
)  # fmt: skip
def test_loopback_is_this_machine_and_nothing_else(host: str, is_local: bool) -> None:
    assert is_loopback(host) is is_local


def test_a_file_of_mcp_servers_has_the_form_that_desktop_programs_share(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    server = {"type": "stdio", "command": "npx", "args": ["-y", "thing"], "env": {"A": "1"}}
    path.write_text(json.dumps({"mcpServers": {"thing": server, "off": {"command": "x", "disabled": True}}}))
    config = ServerConfig.resolve(environ={}, mcp=[str(path), "docs=https://docs.example/mcp?a=b"])
    assert config.mcp == {
        "thing": {"command": ["npx", "-y", "thing"], "env": {"A": "1"}},
        "docs": "https://docs.example/mcp?a=b",
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [("absent.json", "neither NAME=COMMAND"), ("{", "is not JSON"), ("[]", "mcpServers")],
    ids=["absent", "no-json", "no-object"],
)
def test_a_file_that_has_no_mcp_servers_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "mcp.json"
    if text != "absent.json":
        path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        ServerConfig.resolve(environ={}, mcp=[str(path)])
