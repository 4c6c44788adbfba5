"""What a server needs to know before it starts: from arguments first, then from `AGENTKIT_*` in the environment.

>>> ServerConfig.resolve(environ={"AGENTKIT_PORT": "9000"}).port
9000
>>> ServerConfig.resolve(environ={}, port="eighty")
Traceback (most recent call last):
agentkit.errors.ConfigError: port 'eighty' is no port: give 0 (any free one) to 65535 as --port or AGENTKIT_PORT
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Self

from pydantic_core import from_json

from agentkit.errors import ConfigError
from agentkit.protocol.lines import is_object
from agentkit.runtime.ratelimits import RateLimits
from agentkit.runtime.reach import is_webhook

__all__ = ["VARIABLES", "ServerConfig", "check_key", "is_loopback"]

MEMORY: Final = ":memory:"
SHORTEST_KEY: Final = 16
MOST_WORKERS: Final = 1024
SMALLEST_MEMORY: Final = 64 << 20  # less holds no interpreter
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kmg]?)(?:i?b)?")
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
_LEVELS = ("debug", "info", "warning", "error")
_TRUTHS: Final = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}

VARIABLES: Final[Mapping[str, tuple[str, str]]] = {  # field -> the argument and the variable that set it
    "host": ("--host", "AGENTKIT_HOST"),
    "port": ("--port", "AGENTKIT_PORT"),
    "db": ("--db", "AGENTKIT_DB"),
    "api_keys": ("--api-key", "AGENTKIT_API_KEY"),
    "model": ("--model", "AGENTKIT_MODEL"),
    "aliases": ("--alias", "AGENTKIT_ALIASES"),
    "cors_origins": ("--cors-origin", "AGENTKIT_CORS_ORIGINS"),
    "host_names": ("--host-name", "AGENTKIT_HOST_NAMES"),
    "max_body_bytes": ("--max-body-bytes", "AGENTKIT_MAX_BODY_BYTES"),
    "max_upload_bytes": ("--max-upload-bytes", "AGENTKIT_MAX_UPLOAD_BYTES"),
    "rate_limits": ("--rate-limits", "AGENTKIT_RATE_LIMITS"),
    "console": ("--no-console", "AGENTKIT_CONSOLE"),
    "secrets_file": ("--secrets", "AGENTKIT_SECRETS_FILE"),
    "integrations_file": ("--integrations", "AGENTKIT_INTEGRATIONS_FILE"),
    "mcp": ("--mcp", "AGENTKIT_MCP"),
    "allow_hosts": ("--allow-host", "AGENTKIT_ALLOW_HOSTS"),
    "public_url": ("--public-url", "AGENTKIT_PUBLIC_URL"),
    "approval_webhooks": ("--approval-webhook", "AGENTKIT_APPROVAL_WEBHOOKS"),
    "approval_webhook_secret": ("--approval-webhook-secret", "AGENTKIT_APPROVAL_WEBHOOK_SECRET"),
    "workers": ("--workers", "AGENTKIT_WORKERS"),
    "worker_memory": ("--worker-memory", "AGENTKIT_WORKER_MEMORY"),
    "task_timeout": ("--task-timeout", "AGENTKIT_TASK_TIMEOUT"),
    "log_level": ("--log-level", "AGENTKIT_LOG_LEVEL"),
}


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The settings of one server. Lists in the environment are separated by commas.

    `db` is a path or `:memory:`; `model` answers for agents that name none, `aliases` maps references to others;
    `cors_origins` are the web pages that may call, `host_names` further names under which this server is reached.
    `rate_limits` None: nobody said; `console`: the web console is served; `secrets_file` has `KEY=VALUE` lines,
    `integrations_file` providers. `mcp` are MCP servers by name; `allow_hosts` is what tools may reach although it is
    not public; `public_url` is where others reach this server. `workers` None: as many as there are processors;
    `worker_memory` is in bytes, for each; `task_timeout` in seconds.
    `approval_webhooks` are told of every question to a person, signed with the secret `approval_webhook_secret` names.
    """

    host: str = "127.0.0.1"
    port: int = 8787
    db: str = MEMORY
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    model: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    cors_origins: tuple[str, ...] = ()
    host_names: tuple[str, ...] = ()
    max_body_bytes: int = 10 << 20
    max_upload_bytes: int = 1 << 30
    rate_limits: RateLimits | None = None
    console: bool = True
    secrets_file: str = ""
    integrations_file: str = ""
    mcp: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    allow_hosts: tuple[str, ...] = ()
    public_url: str = ""
    approval_webhooks: tuple[str, ...] = field(default=(), repr=False)
    approval_webhook_secret: str = ""
    workers: int | None = None
    worker_memory: int | None = None
    task_timeout: float | None = None
    log_level: str = "warning"

    @classmethod
    def resolve(cls, *, environ: Mapping[str, str], **arguments: Any) -> Self:
        """The settings of these arguments, then of the environment. Raises ConfigError, which names both ways.

        An argument that is None or empty counts as not given.
        """
        if unknown := set(arguments) - {each.name for each in fields(cls)}:
            raise ConfigError(f"no such setting: {', '.join(sorted(unknown))}; there are {', '.join(VARIABLES)}")
        given: dict[str, Any] = {}
        for name, (_, variable) in VARIABLES.items():
            raw = arguments.get(name)
            raw = environ.get(variable) if raw is None or raw in ("", [], ()) else raw
            if raw not in (None, ""):
                given[name] = _PARSERS[name](raw)
        return cls(**given)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    def but(self, **changes: Any) -> Self:
        """A copy with these settings changed."""
        return replace(self, **changes)


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine and nobody else."""
    bare = host.strip("[]").lower()
    if bare == "localhost":
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def check_key(key: str) -> str:
    """The key, if it can be one. Raises ConfigError, which never repeats it."""
    if len(key) < SHORTEST_KEY or not all("!" <= letter <= "~" for letter in key) or "," in key:
        raise _wrong(
            "api_keys", f"an API key needs {SHORTEST_KEY} characters or more of ASCII, without blanks or commas"
        )
    return key


# -- parsing -------------------------------------------------------------------------------------------------------


def _wrong(name: str, what: str) -> ConfigError:
    argument, variable = VARIABLES[name]
    return ConfigError(f"{what}; give it as {argument} or {variable}")


def _text(raw: Any) -> str:
    return str(raw).strip()


def _port(raw: Any) -> int:
    text = str(raw).strip()
    if not text.isdecimal() or int(text) > 65535:
        raise ConfigError(f"port {text!r} is no port: give 0 (any free one) to 65535 as --port or AGENTKIT_PORT")
    return int(text)


def _bytes(name: str, what: str) -> Callable[[Any], int]:
    def parse(raw: Any) -> int:
        text = str(raw).strip()
        if not text.isdecimal() or int(text) < 1024:
            raise _wrong(name, f"{what} {text!r} is no number of bytes from 1024 on")
        return int(text)

    return parse


def _memory(raw: Any) -> int:
    match = _SIZE.fullmatch(str(raw).strip().lower())
    size = int(float(match[1]) * 1024 ** " kmg".index(match[2] or " ")) if match else 0
    if size < SMALLEST_MEMORY:
        raise _wrong("worker_memory", f"the memory of a worker {raw!r} is no size from 64m on, such as 512m or 4g")
    return size


def _count(raw: Any) -> int:
    text = str(raw).strip()
    if not text.isdecimal() or not 1 <= int(text) <= MOST_WORKERS:
        raise _wrong("workers", f"{text!r} is no number of workers from 1 to {MOST_WORKERS}")
    return int(text)


def _seconds(raw: Any) -> float:
    text = str(raw).strip()
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < float("inf"):
        raise _wrong("task_timeout", f"{text!r} is no number of seconds above 0")
    return seconds


def _rates(raw: Any) -> RateLimits:
    if isinstance(raw, RateLimits):
        return raw
    try:
        return RateLimits.parse(str(raw))
    except ConfigError as error:
        raise _wrong("rate_limits", str(error)) from None


def _truth(name: str) -> Callable[[Any], bool]:
    def parse(raw: Any) -> bool:
        word = str(raw).strip().lower()
        if word not in _TRUTHS:
            raise _wrong(name, f"{name} {str(raw)!r} is none of {', '.join(_TRUTHS)}")
        return _TRUTHS[word]

    return parse


def _list(raw: Any) -> tuple[str, ...]:
    entries = raw.split(",") if isinstance(raw, str) else raw
    return tuple(each.strip() for each in entries if each.strip())


def _keys(raw: Any) -> tuple[str, ...]:
    return tuple(check_key(each) for each in _list(raw))


def _origins(raw: Any) -> tuple[str, ...]:
    for origin in (found := tuple(each.rstrip("/").lower() for each in _list(raw))):
        if not _ORIGIN.fullmatch(origin):
            raise _wrong(
                "cors_origins", f"{origin!r} is no origin: scheme, host and port, such as https://app.example.com"
            )
    return found


def _names(raw: Any) -> tuple[str, ...]:
    return tuple(each.lower() for each in _list(raw))


def _aliases(raw: Any) -> dict[str, str]:
    return dict(raw) if is_object(raw) else dict(_alias(each) for each in _list(raw))


def _alias(entry: str) -> tuple[str, str]:
    name, equals, ref = entry.partition("=")
    if not (equals and name.strip() and ref.strip()):
        raise _wrong(
            "aliases", f"alias {entry!r} is not NAME=REFERENCE, such as infsh/claude-sonnet-4=openai/gpt-5-mini"
        )
    return name.strip(), ref.strip()


def _mcp(raw: Any) -> dict[str, Any]:
    """`NAME=COMMAND` and `NAME=URL`, or the path of a JSON file `{"mcpServers": {name: {...}}}`."""
    found: dict[str, Any] = {}
    for entry in [raw] if isinstance(raw, str) else raw:
        name, equals, spec = entry.partition("=")
        if equals and name.strip() and spec.strip() and "/" not in name:
            found[name.strip()] = spec.strip()
        else:
            found |= _mcp_file(entry.strip())
    return found


def _mcp_file(path: str) -> dict[str, Any]:
    try:
        told: Any = from_json(Path(path).read_bytes())
    except OSError as error:
        what = f"{path!r} is neither NAME=COMMAND, NAME=URL nor a file that can be read ({error.strerror})"
        raise _wrong("mcp", what) from None
    except ValueError as error:
        raise _wrong("mcp", f"the file {path!r} is not JSON: {error}") from None
    servers = told.get("mcpServers", told) if is_object(told) else None
    if not is_object(servers):
        raise _wrong("mcp", f'the file {path!r} is no {{"mcpServers": {{"name": ...}}}}')
    return {name: _as_words(spec) for name, spec in servers.items() if not (is_object(spec) and spec.get("disabled"))}


def _as_words(spec: Any) -> Any:
    """An entry in the form that desktop programs share: the command and its `args` apart, and a `type` beside them."""
    if not is_object(spec):
        return spec
    fields = {name: value for name, value in spec.items() if name not in ("args", "type", "disabled")}
    if spec.get("args"):
        fields["command"] = [str(spec.get("command", "")), *map(str, spec["args"])]
    return fields


def _url(raw: Any) -> str:
    url = str(raw).strip().rstrip("/")
    if not re.fullmatch(r"https?://[^\s?#]+", url):
        raise _wrong("public_url", f"{url!r} is no URL of a server, such as https://agents.example.com")
    return url


def _webhooks(raw: Any) -> tuple[str, ...]:
    for number, url in enumerate(found := _list(raw), 1):  # not repeated: it may hold a token
        if not is_webhook(url):
            raise _wrong("approval_webhooks", f"approval webhook {number} is no http or https URL")
    return found


def _level(raw: Any) -> str:
    if (level := str(raw).strip().lower()) not in _LEVELS:
        raise _wrong("log_level", f"log level {level!r} is none of {', '.join(_LEVELS)}")
    return level


_PARSERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "host": _text,
    "port": _port,
    "db": _text,
    "api_keys": _keys,
    "model": _text,
    "aliases": _aliases,
    "cors_origins": _origins,
    "host_names": _names,
    "max_body_bytes": _bytes("max_body_bytes", "the largest body"),
    "max_upload_bytes": _bytes("max_upload_bytes", "the largest file"),
    "rate_limits": _rates,
    "console": _truth("console"),
    "secrets_file": _text,
    "integrations_file": _text,
    "mcp": _mcp,
    "allow_hosts": _list,
    "public_url": _url,
    "approval_webhooks": _webhooks,
    "approval_webhook_secret": _text,
    "workers": _count,
    "worker_memory": _memory,
    "task_timeout": _seconds,
    "log_level": _level,
}
