"""Secrets, integrations and API keys (protocol.md 8.5). No answer carries a value, but for a new API key, once."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from agentkit.wire._base import Open, Owned, Whole, Wire
from agentkit.wire.apps import RequiredIntegration, RequiredSecret
from agentkit.wire.workspace import IntegrationAuthType, IntegrationProvider, IntegrationStatus

__all__ = [
    "ApiKey",
    "AvailableIntegration",
    "CheckRequirements",
    "ConnectIntegration",
    "Connecting",
    "CreateApiKey",
    "CreateSecret",
    "Integration",
    "ScopeDefinition",
    "ScopeGroupDefinition",
    "Scopes",
    "Secret",
    "UpdateSecret",
]


class Secret(Owned):
    """A stored secret (`SecretDTO`): never its value; `masked_value` shows four characters of a long one."""

    key: str = ""
    masked_value: str = ""
    description: str = ""
    scope: str = "team"


_HIDDEN = ConfigDict(hide_input_in_errors=True)


class CreateSecret(Wire):
    """A secret to store."""

    model_config = _HIDDEN

    key: str = ""
    value: str = Field(default="", repr=False)
    description: str = ""


class UpdateSecret(Wire):
    """What is new about a secret; what is absent stays."""

    model_config = _HIDDEN

    value: str | None = Field(default=None, repr=False)
    description: str | None = None


class Integration(Owned):
    """A connection to a provider (`IntegrationDTO`), never its tokens. `expires_at`: of the token that is held now."""

    provider: Open[IntegrationProvider] = ""
    type: Open[IntegrationAuthType] = ""
    auth: Open[IntegrationAuthType] = ""
    status: Open[IntegrationStatus] = ""
    display_name: str = ""
    icon_url: str = ""
    scopes: list[str] = Field(default_factory=list[str])
    expires_at: str | None = None
    service_account_email: str = ""
    metadata: dict[str, Any] = Field(default_factory=dict[str, Any])
    account_identifier: str = ""
    account_name: str = ""
    is_primary: bool = True
    error_message: str = ""


class ConnectIntegration(Wire):
    """Connect a provider: by `api_key`, or by OAuth with further `scopes`.

    `redirect_uri` (agentkit's own): where the provider sends the browser, instead of to this server.
    """

    model_config = _HIDDEN

    provider: str = ""
    type: Open[IntegrationAuthType] | None = None
    scopes: list[str] = Field(default_factory=list[str])
    api_key: str = Field(default="", repr=False)
    metadata: dict[str, Any] = Field(default_factory=dict[str, Any])
    redirect_uri: str = ""


class Connecting(Whole):
    """A connection that is made, or, with an `auth_url`, one that a person has to finish in a browser."""

    integration: Integration | None = None
    auth_url: str = ""
    state: str = Field(default="", repr=False)
    code_verifier: str = Field(default="", repr=False)
    instructions: str = ""
    requires_confirmation: bool = False
    confirmation_type: str = ""
    message: str = ""


class AvailableIntegration(Whole):
    """A provider that can be connected (`IntegrationConfigDTO`). `available`: nothing is missing on the server."""

    provider: str = ""
    type: Open[IntegrationAuthType] = ""
    auth: Open[IntegrationAuthType] = ""
    name: str = ""
    short_name: str = ""
    description: str = ""
    icon_url: str = ""
    how_it_works: list[str] = Field(default_factory=list[str])
    docs_url: str = ""
    secret_fields: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    allows_byok: bool = True
    available: bool = False
    has_managed: bool = False
    integration: Integration | None = None


class CheckRequirements(Wire):
    """Secrets and integrations to look for, written as in an app's version."""

    secrets: list[RequiredSecret] = Field(default_factory=list[RequiredSecret])
    integrations: list[RequiredIntegration] = Field(default_factory=list[RequiredIntegration])


class ApiKey(Owned):
    """An API key. `key` is whole in the answer that makes it, and masked ever after; no `scopes`: everything.

    `groups` (ours) are those whose questions its holder may answer.
    """

    name: str = ""
    key: str = Field(default="", repr=False)
    last_used_at: str | None = None
    expires_at: str | None = None
    scopes: list[str] = Field(default_factory=list[str])
    groups: list[str] = Field(default_factory=list[str])
    source: str = ""


class CreateApiKey(Wire):
    """An API key to make. `expires_at` is RFC 3339; no `scopes`: everything; `groups` (ours) as in `ApiKey`."""

    name: str = ""
    expires_at: str | None = None
    scopes: list[str] = Field(default_factory=list[str])
    groups: list[str] = Field(default_factory=list[str])


class ScopeDefinition(Whole):
    """One thing that a key may be allowed."""

    value: str = ""
    label: str = ""
    description: str = ""
    group: str = ""


class ScopeGroupDefinition(Whole):
    """What several scopes are about; its id is a scope too, and means all of them."""

    id: str = ""
    label: str = ""
    description: str = ""


class Scopes(Whole):
    """The scopes of this server (GET /scopes)."""

    scopes: list[ScopeDefinition] = Field(default_factory=list[ScopeDefinition])
    groups: list[ScopeGroupDefinition] = Field(default_factory=list[ScopeGroupDefinition])
    presets: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
