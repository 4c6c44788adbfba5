"""What an owner's tools and apps may use: secrets and connections together, and whether all that is needed is there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from agentkit.runtime.credentials.integrations import Integrations
from agentkit.runtime.credentials.keyring import Keyring
from agentkit.runtime.credentials.needs import Holdings, unmet
from agentkit.runtime.credentials.providers import BUILT_IN, Provider
from agentkit.runtime.credentials.secrets import Hidden
from agentkit.runtime.credentials.vault import Vault
from agentkit.runtime.executors.credentials import Credential
from agentkit.runtime.faults import Fault
from agentkit.runtime.ports import Reading, Store
from agentkit.wire import AppVersionInput, CheckRequirements

__all__ = ["Keychain"]


class Keychain:
    """The vault and the integrations of one store, together. It is the `SecretSource` of tools.

    `configured` are the secrets that come with the settings; `keyring` has the keys that stored ones are sealed with.
    """

    def __init__(
        self,
        store: Store,
        *,
        configured: Mapping[str, str] | None = None,
        keyring: Keyring | None = None,
        providers: Mapping[str, Provider] = BUILT_IN,
    ) -> None:
        self._store = store
        self.vault = Vault(store, configured=configured, keyring=keyring)
        self.integrations = Integrations(store, vault=self.vault, providers=providers)

    async def aclose(self) -> None:
        """Closes the connections to providers."""
        await self.integrations.aclose()

    async def secret(self, owner: str, name: str) -> str | None:
        """The secret's value: the owner's own, else the configured one. Raises Fault where it cannot be opened."""
        return await self.vault.secret(owner, name)

    async def credential(self, owner: str, *, provider: str, integration_id: str | None = None) -> Credential | None:
        """The headers of a connection, fresh; None where there is none. Raises Fault; see `Integrations.credential`."""
        return await self.integrations.credential(owner, provider=provider, integration_id=integration_id)

    def holdings(self, tx: Reading, owner: str) -> Holdings:
        """What the owner has, while the transaction lasts."""
        return Holdings(
            self.vault.names(tx, owner), partial(self.integrations.connection, tx, owner), self.integrations.providers
        )

    async def check(self, owner: str, request: CheckRequirements) -> dict[str, Any]:
        """POST /integrations/check: what is missing, in the shape of a 412."""
        missing = await self._store.read(
            lambda tx: unmet(self.holdings(tx, owner), secrets=request.secrets, integrations=request.integrations)
        )
        return {"satisfied": not missing, "errors": missing}

    async def variables(self, owner: str, config: AppVersionInput) -> Hidden:
        """What an app finds in its environment: the secrets it names, and `<PROVIDER>_ACCESS_TOKEN` of connections.

        Raises Fault where one that is not optional cannot be had.
        """
        found = await self.vault.only(owner, (each.key for each in config.required_secrets))
        for each in config.required_integrations:
            provider = each.key.partition(".")[0]
            try:
                credential = await self.credential(owner, provider=provider)
            except Fault:
                if each.optional:
                    continue
                raise
            known = self.integrations.providers.get(provider)
            if credential is None or known is None:
                continue
            value = credential.headers.get("Authorization") or credential.headers.get(known.api_key_header, "")
            found[f"{provider.upper().replace('-', '_')}_ACCESS_TOKEN"] = value.rpartition(" ")[2]
        return found
