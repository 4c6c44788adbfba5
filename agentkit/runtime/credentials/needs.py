"""What is asked of an owner before something runs for them: secrets, integrations, scopes (protocol.md 1.3, 412)."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentkit.runtime.credentials.providers import BUILT_IN, Provider
from agentkit.runtime.faults import Fault
from agentkit.runtime.records import IntegrationRecord
from agentkit.wire import IntegrationAuthType, IntegrationStatus, RequiredIntegration, RequiredSecret

__all__ = ["Holdings", "check_needs", "need", "unmet"]


@dataclass(frozen=True, slots=True)
class Holdings:
    """What an owner has: the names of secrets, and connections by provider. Looked up in the store as it is asked."""

    secrets: Container[str] = ()
    connection: Callable[[str], IntegrationRecord | None] = lambda _: None
    providers: Mapping[str, Provider] = field(default_factory=lambda: BUILT_IN)


def check_needs(
    have: Holdings, *, secrets: Iterable[RequiredSecret], integrations: Iterable[RequiredIntegration]
) -> None:
    """Raises Fault `requirements_not_met` with all that is missing and not optional."""
    if missing := unmet(have, secrets=secrets, integrations=integrations):
        raise Fault("requirements_not_met", missing[0]["message"], errors=missing)


def unmet(
    have: Holdings, *, secrets: Iterable[RequiredSecret], integrations: Iterable[RequiredIntegration]
) -> list[dict[str, Any]]:
    """What is missing and not optional, as entries of a 412."""
    found = [
        need("secret", each.key, f"{each.key} is not set", type="add_secret")
        for each in secrets
        if each.key not in have.secrets and not each.optional
    ]
    looked_at = (_integration(have, each.key) for each in integrations if not each.optional)
    return [*found, *(each for each in looked_at if each is not None)]


def need(kind: str, key: str, message: str, **action: Any) -> dict[str, Any]:
    """One entry of a 412."""
    return {"type": kind, "key": key, "message": message, "action": action}


def _integration(have: Holdings, key: str) -> dict[str, Any] | None:
    """None where `google` or `google.sheets` is met."""
    name, _, capability = key.partition(".")
    provider, connection = have.providers.get(name), have.connection(name)
    shown = provider.display_name if provider else name
    if provider is None:
        return need("integration", key, f"{key} is not connected: this server knows no {name!r}; see "
                    "agentkit serve --integrations", type="connect", provider=name)  # fmt: skip
    if connection is None or connection.status is not IntegrationStatus.CONNECTED:
        why = f"{key} is not connected; connect {shown}"
        if connection is not None and connection.error_message:
            why = f"{why} again: {connection.error_message}"
        return need("integration", key, why, type="connect", provider=name)
    missing = [each for each in provider.capabilities.get(capability, ()) if each not in connection.scopes]
    if missing and connection.auth is IntegrationAuthType.O_AUTH:
        return need("scope", key, f"Missing {shown} scopes", type="add_scopes", provider=name, scopes=missing)
    return None
