"""`ollama/...`: a server on this machine or nearby that speaks the chat-completions dialect, without a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from agentkit.runtime.models.openai import QUIRKS, OpenAI
from agentkit.runtime.ports import ModelProvider

__all__ = ["DEFAULT_BASE_URL", "provide"]

DEFAULT_BASE_URL: Final = "http://127.0.0.1:11434/v1"


def provide(environ: Mapping[str, str]) -> ModelProvider:
    """The provider at `OLLAMA_BASE_URL`; `/v1` is added where the path lacks it."""
    base_url = (environ.get("OLLAMA_BASE_URL") or DEFAULT_BASE_URL).rstrip("/")
    if not base_url.endswith("/v1"):
        base_url = f"{base_url}/v1"
    return OpenAI(name="ollama", base_url=base_url, api_key=environ.get("OLLAMA_API_KEY"), quirks=QUIRKS["ollama"])
