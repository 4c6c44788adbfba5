"""The server that a command talks to."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from agentkit.cli.exits import Mistake
from agentkit.client.config import ClientConfig, configure
from agentkit.client.inference import Inference
from agentkit.client.transport import Transport
from agentkit.errors import AuthenticationError, ConfigError

__all__ = ["Connection", "connect"]


@dataclass(frozen=True)
class Connection:
    """A client, and the transport for what a client has no method for."""

    config: ClientConfig
    client: Inference
    transport: Transport


@contextmanager
def connect(base_url: str | None, api_key: str | None) -> Generator[Connection]:
    """The server of these options, else of AGENTKIT_BASE_URL and INFERENCE_API_KEY, as for `inference()`."""
    try:
        config = configure(api_key, base_url)
    except ConfigError as error:
        raise Mistake(f"{error}") from None
    client, transport = Inference(config=config), Transport(config)
    try:
        yield Connection(config, client, transport)
    except AuthenticationError as error:
        hint = "set INFERENCE_API_KEY, or pass --api-key"
        raise AuthenticationError(error.status_code, f"{error.message}; {hint}", code=error.code) from None
    finally:
        transport.close()
        client.close()
