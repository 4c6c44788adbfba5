"""The server that a command speaks to."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from agentkit.cli.exits import Mistake
from agentkit.client.config import ClientConfig, configure
from agentkit.client.inference import AsyncInference, Inference
from agentkit.errors import AuthenticationError, ConfigError

__all__ = ["connect", "connect_async"]


@contextmanager
def connect(base_url: str | None, api_key: str | None) -> Generator[Inference]:
    """The server of these options, else of AGENTKIT_BASE_URL and INFERENCE_API_KEY, as for `inference()`."""
    with Inference(config=_config(base_url, api_key)) as client:
        try:
            yield client
        except AuthenticationError as error:
            raise _hinted(error) from None


@asynccontextmanager
async def connect_async(base_url: str | None, api_key: str | None) -> AsyncGenerator[AsyncInference]:
    """The same for what waits for several things at once."""
    async with AsyncInference(config=_config(base_url, api_key)) as client:
        try:
            yield client
        except AuthenticationError as error:
            raise _hinted(error) from None


# -- parts ---------------------------------------------------------------------------------------------------------


def _config(base_url: str | None, api_key: str | None) -> ClientConfig:
    try:
        return configure(api_key, base_url)
    except ConfigError as error:
        is_named = base_url or os.environ.get("AGENTKIT_BASE_URL")
        raise Mistake(f"{error}" if is_named else f"{error}; for a server of yours set AGENTKIT_BASE_URL") from None


def _hinted(error: AuthenticationError) -> AuthenticationError:
    hint = "set INFERENCE_API_KEY, or pass --api-key"
    return AuthenticationError(error.status_code, f"{error.message}; {hint}", code=error.code)
