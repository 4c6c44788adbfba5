"""Which MCP servers there are: a command to start, or a URL to speak to, by name.

>>> read_servers({"time": "mcp-server-time --local-timezone UTC"})["time"].command
('mcp-server-time', '--local-timezone', 'UTC')
>>> read_servers({"docs": "https://docs.example/mcp"})["docs"].url
'https://docs.example/mcp'
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from agentkit.errors import ConfigError
from agentkit.tools.jsonable import is_mapping
from agentkit.tools.templates import PLACEHOLDER, placeholders

__all__ = ["START_SECONDS", "McpServerConfig", "McpServerSpec", "read_servers"]

START_SECONDS: Final = 30.0

McpServerSpec: TypeAlias = str | Sequence[str] | Mapping[str, Any]
"""A command line, its words, a URL, or an object with the fields of `McpServerConfig`."""

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_PASSED: Final = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "LANGUAGE", "TZ", "TMPDIR"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"),
        *("SYSTEMROOT", "SYSTEMDRIVE", "PATHEXT", "APPDATA", "LOCALAPPDATA", "USERPROFILE", "TEMP", "TMP"),
    }
)
_FIELDS: Final = frozenset({"command", "url", "env", "cwd", "headers", "sampling", "roots", "start_seconds"})


@dataclass(frozen=True, slots=True)
class McpServerConfig:
    """One server: either `command`, started as a child process, or `url`.

    Values of `env` and `headers`, and the `url`, may hold `${{secrets.NAME}}`. `sampling`: the server may have the
    agent's model answer questions of its own, on the budget of the run. `roots` are the folders it is told of.
    """

    name: str
    command: tuple[str, ...] = ()
    url: str = field(default="", repr=False)
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    cwd: str | None = None
    sampling: bool = False
    roots: tuple[str, ...] = ()  # file:// URIs
    start_seconds: float = START_SECONDS

    def check(self) -> None:
        """Raises ConfigError where a placeholder is none, or stands where others would see the secret."""
        for where, text in self._templates():
            for each in placeholders(text):
                told = each.problem or ("" if each.source == "secrets" else "is no secret: write ${{secrets.NAME}}")
                if told:
                    raise _wrong(self.name, f"{where}: {each.text!r} {told}")
        if any(PLACEHOLDER.search(word) for word in self.command):
            raise _wrong(self.name, "other users of this machine see a command's arguments; pass the secret in `env`")

    def secret_names(self) -> set[str]:
        """Which secrets it needs."""
        return {each.name for _, text in self._templates() for each in placeholders(text)}

    def filled(self, secrets: Mapping[str, str]) -> McpServerConfig:
        """The same with the secrets in their places."""

        def fill(text: str) -> str:
            for each in placeholders(text):
                text = text.replace(each.text, secrets[each.name])
            return text

        return McpServerConfig(
            self.name,
            self.command,
            fill(self.url),
            {name: fill(value) for name, value in self.env.items()},
            {name: fill(value) for name, value in self.headers.items()},
            self.cwd,
            self.sampling,
            self.roots,
            self.start_seconds,
        )

    def variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The child's environment: little of ours, nothing secret, and what is configured for it."""
        passed = {name: value for name, value in environ.items() if name in _PASSED or name.startswith("LC_")}
        return {**passed, **self.env}

    def _templates(self) -> Iterator[tuple[str, str]]:
        yield "url", self.url
        for name, value in self.env.items():
            yield f"env {name}", value
        for name, value in self.headers.items():
            yield f"header {name}", value


def read_servers(servers: Mapping[str, McpServerSpec | McpServerConfig]) -> dict[str, McpServerConfig]:
    """The servers by name. Raises ConfigError."""
    return {name: spec if isinstance(spec, McpServerConfig) else _read(name, spec) for name, spec in servers.items()}


# -- parts ---------------------------------------------------------------------------------------------------------


def _read(name: str, spec: McpServerSpec) -> McpServerConfig:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name for an MCP server: letters, digits, ., _ and -, 64 at most")
    fields: Mapping[str, Any]
    match spec:
        case str() if _is_url(spec):
            fields = {"url": spec}
        case Mapping():
            fields = spec
        case _:
            fields = {"command": spec}
    if unknown := sorted(set(fields) - _FIELDS):
        raise _wrong(name, f"there is no field {unknown[0]!r}; there are {', '.join(sorted(_FIELDS))}")
    command, url = _command(name, fields.get("command")), _url(name, fields.get("url"))
    if bool(command) is bool(url):
        raise _wrong(name, "give either a command or a URL")
    for each in ("env", "cwd") if url else ("headers",):
        if fields.get(each):
            raise _wrong(name, f"{each!r} is for servers that have a {'command' if url else 'URL'}")
    config = McpServerConfig(
        name,
        command,
        url,
        _texts(name, "env", fields.get("env")),
        _texts(name, "headers", fields.get("headers")),
        str(fields["cwd"]) if fields.get("cwd") else None,
        fields.get("sampling") is True,
        tuple(_root(name, each) for each in fields.get("roots") or ()),
        _seconds(name, fields.get("start_seconds")),
    )
    config.check()
    return config


def _wrong(name: str, what: str) -> ConfigError:
    return ConfigError(f"MCP server {name!r}: {what}")


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _command(name: str, given: Any) -> tuple[str, ...]:
    if given is None:
        return ()
    try:
        words = shlex.split(given) if isinstance(given, str) else list(given)
    except ValueError as error:
        raise _wrong(name, f"the command line cannot be read: {error}") from None
    if not words or not all(isinstance(word, str) and "\x00" not in word for word in words):
        raise _wrong(name, "a command is a line of text or a list of words, such as ['npx', '-y', 'some-server']")
    return tuple(words)


def _url(name: str, given: Any) -> str:
    if given is None:
        return ""
    if not isinstance(given, str) or not _is_url(given) or not urlsplit(given).hostname:
        raise _wrong(name, "the url is none; write https://host/path")
    return given


def _texts(name: str, what: str, given: Any) -> dict[str, str]:
    if given is None:
        return {}
    if not is_mapping(given):
        raise _wrong(name, f"{what!r} is an object of texts")
    for key, value in given.items():
        if not isinstance(key, str) or not isinstance(value, str) or "\x00" in key + value:
            raise _wrong(name, f"{what!r}: {key!r} is no text")
    return dict(given)


def _root(name: str, given: Any) -> str:
    if isinstance(given, str) and given.startswith("file://"):
        return given
    if not isinstance(given, str | Path) or not str(given):
        raise _wrong(name, "roots are folders or file:// URIs")
    return Path(given).absolute().as_uri()


def _seconds(name: str, given: Any) -> float:
    if given is None:
        return START_SECONDS
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < float("inf"):
        raise _wrong(name, f"start_seconds {given!r} is no number of seconds above 0")
    return float(given)
