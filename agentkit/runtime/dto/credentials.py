"""Secrets, integrations and API keys as a client sees them: without the values."""

from __future__ import annotations

from typing import Any, Final

from agentkit.runtime.credentials.providers import Provider
from agentkit.runtime.dto._common import common
from agentkit.runtime.records import IntegrationRecord, KeyRecord, SecretRecord
from agentkit.wire import ApiKey, Integration, Secret

__all__ = ["api_key", "integration", "masked", "secret"]

SHOWN: Final = 4  # characters, of what is long enough for them to give nothing away
LONG_ENOUGH: Final = 16


def masked(value: str) -> str:
    """What tells a person which value it is.

    >>> masked("sk-0123456789abcdef"), masked("hunter2")
    ('...cdef', '...')
    """
    end = value.strip()[-SHOWN:]
    return f"...{end}" if len(value.strip()) >= LONG_ENOUGH and end.isascii() and end.isalnum() else "..."


def secret(record: SecretRecord) -> dict[str, Any]:
    """The SecretDTO."""
    told = {"key": record.key, "masked_value": record.masked, "description": record.description}
    return Secret.parse({**common(record), **told}).to_wire()


def integration(record: IntegrationRecord, provider: Provider | None) -> dict[str, Any]:
    """The IntegrationDTO; of a provider that the catalogue has no longer, too."""
    return Integration.parse(
        {
            **common(record),
            "provider": record.provider,
            "type": record.auth,
            "auth": record.auth,
            "status": record.status,
            "display_name": provider.display_name if provider else record.provider,
            "icon_url": provider.icon_url if provider else "",
            "scopes": record.scopes,
            "expires_at": record.expires_at,
            "metadata": record.metadata,
            "account_identifier": record.account_identifier,
            "account_name": record.account_name,
            "error_message": record.error_message,
        }
    ).to_wire()


def api_key(record: KeyRecord, *, key: str = "", source: str = "") -> dict[str, Any]:
    """The ApiKeyDTO; `key` is the whole key, where it was made just now."""
    told = {"name": record.name, "key": key or record.masked, "expires_at": record.expires_at, "scopes": record.scopes}
    return ApiKey.parse({**common(record), **told, "groups": record.groups, "source": source}).to_wire()
