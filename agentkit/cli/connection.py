"""The server that a command speaks to."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from agentkit.cli.exits import Mistake
from agentkit.client.config import configure
from agentkit.client.inference import Inference
from agentkit.errors import AuthenticationError, ConfigError

__all__ = ["connect"]


@contextmanager
def connect(base_url: str | None, api_key: str | None) -> Generator[Inference]:
    """The server of these options, else of AGENTKIT_BASE_URL and INFERENCE_API_KEY, as for `inference()`."""
    try:
        config = configure(api_key, base_url)
    except ConfigError as error:
        raise Mistake(f"{error}") from None
    with Inference(config=config) as client:
        try:
            yield client
        except AuthenticationError as error:
            hint = "set INFERENCE_API_KEY, or pass --api-key"
            raise AuthenticationError(error.status_code, f"{error.message}; {hint}", code=error.code) from None
