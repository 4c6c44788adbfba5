"""Every default and environment variable of the client.

| argument | variable | default |
|---|---|---|
| `api_key` | `INFERENCE_API_KEY` | none: needed for the hosted platform, and for a server that asks for one |
| `base_url` | `AGENTKIT_BASE_URL` | `https://api.inference.sh` (seeds/001, seeds/003) |
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from agentkit import __version__
from agentkit.errors import ConfigError
from agentkit.protocol.lines import MAX_LINE_BYTES
from agentkit.protocol.retry import RetryPolicy

__all__ = ["ClientConfig", "configure"]

BASE_URL = "https://api.inference.sh"
USER_AGENT = f"agentkit/{__version__} python/{sys.version_info.major}.{sys.version_info.minor}"
_LOOPBACK = ("localhost", "127.0.0.1", "::1", "agentkit.local")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """How a client reaches its platform. Never printed with its key."""

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    timeout_seconds: float = 30.0  # of one JSON answer, as in the SDK (protocol.md 1.1)
    connect_seconds: float = 10.0
    upload_bytes_per_second: float = 100_000.0  # an upload may take as long as this rate needs
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    stream: bool = True
    poll_seconds: float = 2.0  # seeds/001, "pollIntervalMs"
    quiet_seconds: float = 30.0  # protocol.md 1.8
    stop_grace_seconds: float = 10.0
    max_line_bytes: int = MAX_LINE_BYTES
    honours_keys: bool = False  # whether POST /agents/run may be repeated with its Idempotency-Key: ours does

    @property
    def headers(self) -> dict[str, str]:
        """What every request to the platform carries."""
        told = {"X-API-Version": "2", "User-Agent": USER_AGENT, "Accept": "application/json"}
        return told | ({"Authorization": f"Bearer {self.api_key}"} if self.api_key else {})


def configure(
    api_key: str | None = None,
    base_url: str | None = None,
    *,
    stream: bool = True,
    poll_interval_ms: float | None = None,
    timeout_seconds: float | None = None,
    environ: Mapping[str, str] | None = None,
) -> ClientConfig:
    """The configuration of these arguments, then of the environment. Raises ConfigError with the way out."""
    env = os.environ if environ is None else environ
    key = api_key or env.get("INFERENCE_API_KEY") or None
    url = _checked_url(base_url or env.get("AGENTKIT_BASE_URL") or BASE_URL)
    if key is None and urlsplit(url).hostname not in _LOOPBACK:
        raise ConfigError(
            f"{url} needs a key: pass api_key=, or set INFERENCE_API_KEY. "
            "Without a key, run the platform here: agentkit.Runtime().client()"
        )
    if key is not None and (key != key.strip() or not key.isascii() or not key.isprintable()):
        raise ConfigError("api_key holds blanks or characters that no header can carry; copy it again")
    hosted = urlsplit(url).hostname or ""
    is_hosted = hosted == "inference.sh" or hosted.endswith(".inference.sh")
    config = ClientConfig(base_url=url, api_key=key, stream=stream, honours_keys=not is_hosted)
    if poll_interval_ms is not None:
        config = replace(config, poll_seconds=_positive("poll_interval_ms", poll_interval_ms) / 1000)
    if timeout_seconds is not None:
        config = replace(config, timeout_seconds=_positive("timeout_seconds", timeout_seconds))
    return config


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without end, a port that is none
        parts, is_url = None, False
    if parts is None or not is_url:
        raise ConfigError(f"base_url {url!r} is no URL; it looks like {BASE_URL!r} or 'http://127.0.0.1:8787'")
    if parts.username is not None or parts.password is not None:
        raise ConfigError("base_url holds a user or a password; write it without, and pass the key as api_key=")
    if parts.query or parts.fragment:
        raise ConfigError(f"base_url {url!r} must end before '?' and '#'")
    return url.rstrip("/")


def _positive(name: str, value: float) -> float:
    if not value > 0:
        raise ConfigError(f"{name} is {value!r}; give a number above 0")
    return value
