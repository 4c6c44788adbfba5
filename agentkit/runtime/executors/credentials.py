"""What tools prove themselves with: where it comes from, and how it is kept out of what they say."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import quote, quote_plus

from agentkit.protocol.lines import is_array, is_object

__all__ = ["HIDDEN", "Credential", "Redaction", "SecretSource"]

HIDDEN: Final = "***"
SHORTEST: Final = 4  # characters: a shorter one is in every second text by chance


@dataclass(frozen=True, slots=True)
class Credential:
    """What a connected integration adds to a request, fresh when it was asked for."""

    headers: Mapping[str, str] = field(repr=False)


class SecretSource(Protocol):
    """An owner's secrets and integrations. What it gives is shown to nobody."""

    async def secret(self, owner: str, name: str) -> str | None:
        """The value of a secret; None where it is not set."""
        ...

    async def credential(self, owner: str, *, provider: str, integration_id: str | None) -> Credential | None:
        """What the integration adds to a request, refreshed where it has expired; None where it is not connected."""
        ...


class Redaction:
    """Takes secrets out of what is told: as they are, and as URLs, JSON and Basic authentication spell them.

    >>> Redaction(["s3cret/key"]).text("GET /?key=s3cret%2Fkey: no such key s3cret/key")
    'GET /?key=***: no such key ***'
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        found = {spelt for secret in secrets if len(secret) >= SHORTEST for spelt in _spellings(secret)}
        self._spellings = sorted(found, key=lambda each: (-len(each), each))  # the longest first

    def __repr__(self) -> str:
        return "Redaction()"

    def text(self, text: str) -> str:
        """The text without them."""
        for spelt in self._spellings:
            text = text.replace(spelt, HIDDEN)
        return text

    def content(self, data: bytes) -> bytes:
        """The bytes without them."""
        for spelt in self._spellings:
            data = data.replace(spelt.encode(), HIDDEN.encode())
        return data

    def value(self, value: Any) -> Any:
        """The JSON value without them, names included."""
        if isinstance(value, str):
            return self.text(value)
        if is_object(value):
            return {self.text(name): self.value(each) for name, each in value.items()}
        return [self.value(each) for each in value] if is_array(value) else value


def _spellings(secret: str) -> Iterable[str]:
    yield secret
    yield quote(secret, safe="")
    yield quote(secret, safe="").lower() if "%" in quote(secret, safe="") else secret
    yield quote(secret)
    yield quote_plus(secret)
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield base64.b64encode(secret.encode()).decode().rstrip("=")
