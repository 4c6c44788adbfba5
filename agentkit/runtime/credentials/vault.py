"""The secrets of owners: stored sealed, used by tools and apps, shown to nobody; behind them the configured ones."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Final

from agentkit.errors import ConfigError, MissingExtraError
from agentkit.runtime import dto, pages
from agentkit.runtime.credentials.keyring import FILE_VARIABLE, KEY_VARIABLE, Keyring
from agentkit.runtime.credentials.sealing import BadSeal, Sealer
from agentkit.runtime.credentials.secrets import Hidden
from agentkit.runtime.faults import Fault
from agentkit.runtime.ids import hashed
from agentkit.runtime.ports import Reading, Store, Writing
from agentkit.runtime.records import IntegrationRecord, SecretRecord
from agentkit.runtime.service import Service
from agentkit.wire import CreateSecret, CursorListRequest, UpdateSecret

__all__ = ["Vault", "row_id"]

logger = logging.getLogger("agentkit.vault")

LONGEST_KEY: Final = 128
LONGEST_VALUE: Final = 64 << 10  # characters
LONGEST_DESCRIPTION: Final = 2_000
ID_LENGTH: Final = 26
_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TAKEN: Final = ("list",)  # a path beside /secrets/{key}


class Vault(Service):
    """Everything about secrets. `configured` ones are everybody's, and nobody can read or change them from outside."""

    def __init__(
        self, store: Store, *, configured: Mapping[str, str] | None = None, keyring: Keyring | None = None
    ) -> None:
        super().__init__(store)
        self._configured = Hidden(configured or {})
        self._keyring = keyring or Keyring()

    def __repr__(self) -> str:
        return f"Vault({self._keyring!r})"

    async def start(self) -> None:
        """Seals anew what an older key sealed, and warns of what no key here opens. Raises ConfigError."""
        rows = await self._store.read(_sealed)
        sealer = await self._keyring.sealer(may_make=False)
        if sealer is None or not rows:
            if rows:
                logger.warning("%d stored secrets and integrations cannot be used: %s", len(rows), self._gone())
            return
        lost = [each for each in rows if not _knows(sealer, each.sealed)]
        if lost:
            logger.warning(
                "%d stored secrets and integrations cannot be used: they were sealed with another key than %s; give "
                "the old one too, behind the new one", len(lost), ", ".join(sealer.key_ids),
            )  # fmt: skip
        if len(lost) < len(rows) and not all(sealer.is_current(each.sealed) for each in rows if each not in lost):
            try:
                count = await self._write(lambda tx: _reseal(tx, sealer))
                logger.info("%d stored secrets and integrations are sealed with the key %s now", count, sealer)
            except MissingExtraError as error:
                logger.warning("nothing was sealed with the new key: %s", error)

    # -- requests --------------------------------------------------------------------------------------------------

    async def page(self, owner: str, request: CursorListRequest) -> dict[str, Any]:
        """POST /secrets/list."""
        return await self._store.read(lambda tx: pages.page(tx, SecretRecord, request, dto.secret, owner=owner))

    async def create(self, owner: str, request: CreateSecret) -> dict[str, Any]:
        """POST /secrets. Raises Fault `already_exists`, where PUT is for."""
        key = _checked_key(request.key)
        value, description = _checked_value(key, request.value), _checked_text(request.description)
        sealed = await self.seal(value, row=_row(owner, key))

        def change(tx: Writing) -> dict[str, Any]:
            if tx.get(SecretRecord, row_id("secret", owner, key)) is not None:
                raise Fault("already_exists", f"a secret {key!r} is stored already; PUT /secrets/{key} changes it")
            record = SecretRecord(
                id=row_id("secret", owner, key), owner=owner, key=key, sealed=sealed, masked=dto.masked(value),
                description=description,
            )  # fmt: skip
            return dto.secret(tx.insert(record))

        return await self._write(change)

    async def update(self, owner: str, key: str, request: UpdateSecret) -> dict[str, Any]:
        """PUT /secrets/{key}: what is given changes."""
        changes: dict[str, Any] = {}
        if request.value is not None:
            value = _checked_value(key, request.value)
            changes |= {"sealed": await self.seal(value, row=_row(owner, key)), "masked": dto.masked(value)}
        if request.description is not None:
            changes["description"] = _checked_text(request.description)

        def change(tx: Writing) -> dict[str, Any]:
            return dto.secret(tx.update(_stored(tx, owner, key).but(**changes)))

        return await self._write(change)

    async def delete(self, owner: str, key: str) -> None:
        """DELETE /secrets/{key}."""
        await self._write(lambda tx: tx.delete(_stored(tx, owner, key)))

    # -- using them ------------------------------------------------------------------------------------------------

    def names(self, tx: Reading, owner: str) -> Container[str]:
        """The names of the secrets that the owner's tools and apps find, while the transaction lasts."""
        return _Names(tx, owner, self._configured)

    async def secret(self, owner: str, name: str) -> str | None:
        """The value: the owner's own, else the configured one. Raises Fault where it is there and cannot be opened."""
        record = await self._store.read(lambda tx: tx.get(SecretRecord, row_id("secret", owner, name)))
        if record is None:
            return self._configured.get(name)
        return await self.open(record.sealed, row=_row(owner, name), what=f"secret {name!r}")

    async def only(self, owner: str, names: Iterable[str]) -> Hidden:
        """Those of these names that there are."""
        found = {name: await self.secret(owner, name) for name in dict.fromkeys(names)}
        return Hidden({name: value for name, value in found.items() if value is not None})

    # -- sealing ---------------------------------------------------------------------------------------------------

    async def seal(self, value: str, *, row: Sequence[str]) -> str:
        """The value as it may lie in the database. Raises Fault `not_configured`."""
        has_sealed = bool(await self._store.read(_sealed))
        try:
            sealer = await self._keyring.sealer(may_make=not has_sealed)
            if sealer is None:
                raise Fault("not_configured", self._gone())
            return sealer.seal(value, row=row)
        except (ConfigError, MissingExtraError) as error:
            raise Fault("not_configured", str(error)) from None

    async def open(self, sealed: str, *, row: Sequence[str], what: str) -> str:
        """What was sealed for this row. Raises Fault `not_configured`, which names `what`."""
        sealer: Sealer | None = None
        try:
            sealer = await self._keyring.sealer(may_make=False)
            if sealer is None:
                raise Fault("not_configured", f"{what} cannot be opened: {self._gone()}")
            return sealer.open(sealed, row=row)
        except BadSeal as error:
            raise Fault("not_configured", f"{what} cannot be opened: {_why(error, sealer)}") from None
        except (ConfigError, MissingExtraError) as error:
            raise Fault("not_configured", str(error)) from None

    def _gone(self) -> str:
        return (
            f"{self._keyring.place} is not there, and the stored secrets were sealed with it; put it back, give the "
            f"key as {KEY_VARIABLE} or its file as {FILE_VARIABLE}, or delete the secrets and store them anew"
        )


class _Names(Container[str]):
    """Names of secrets, looked up one by one."""

    def __init__(self, tx: Reading, owner: str, configured: Container[str]) -> None:
        self._tx = tx
        self._owner = owner
        self._configured = configured

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        stored = row_id("secret", self._owner, name)
        return name in self._configured or self._tx.get(SecretRecord, stored) is not None


def row_id(kind: str, owner: str, name: str) -> str:
    """The id of an owner's row of this name: the same for the same, so that there is one of each."""
    return hashed(json.dumps([kind, owner, name]))[:ID_LENGTH]


# -- parts ---------------------------------------------------------------------------------------------------------


def _row(owner: str, key: str) -> tuple[str, ...]:
    return "secret", owner, key


def _stored(tx: Reading, owner: str, key: str) -> SecretRecord:
    record = tx.get(SecretRecord, row_id("secret", owner, key))
    if record is None:
        raise Fault("not_found", f"no secret {key!r} is stored; POST /secrets stores one")
    return record


def _checked_key(key: str) -> str:
    if not _KEY.fullmatch(key) or len(key) > LONGEST_KEY or key in _TAKEN:
        raise _invalid("key", f"{key[:LONGEST_KEY]!r} is no name of a secret: letters, digits and _, {LONGEST_KEY} at "
                       "most, no digit first, and not `list`")  # fmt: skip
    return key


def _checked_value(key: str, value: str) -> str:
    if not value.strip() or "\x00" in value or len(value) > LONGEST_VALUE:
        raise _invalid(
            "value", f"secret {key!r}: a value is 1 to {LONGEST_VALUE:,} characters, not all blank, without NUL"
        )
    return value


def _checked_text(description: str) -> str:
    if len(description) > LONGEST_DESCRIPTION:
        raise _invalid("description", f"description: {LONGEST_DESCRIPTION:,} characters at most")
    return description


def _invalid(path: str, message: str) -> Fault:
    return Fault("validation_error", message, errors=[{"path": path, "message": message}])


def _sealed(tx: Reading) -> list[SecretRecord | IntegrationRecord]:
    return [*tx.find(SecretRecord), *(each for each in tx.find(IntegrationRecord) if each.sealed)]


def _knows(sealer: Sealer, sealed: str) -> bool:
    try:
        return sealer.knows(sealed)
    except BadSeal:
        return False


def _why(error: BadSeal, sealer: Sealer | None) -> str:
    if error.key_id is None or sealer is None:
        return "its row was changed from outside; store it anew"
    return (
        f"it was sealed with the key {error.key_id}, and here is {', '.join(sealer.key_ids)}; give the old key too, "
        f"behind the new one ({KEY_VARIABLE}=new,old, or a second line of the key file), or store it anew"
    )


def _reseal(tx: Writing, sealer: Sealer) -> int:
    count = 0
    for record in _sealed(tx):
        name = record.key if isinstance(record, SecretRecord) else record.provider
        if _knows(sealer, record.sealed) and not sealer.is_current(record.sealed):
            row = (record.KIND, record.owner, name)
            try:
                value = sealer.open(record.sealed, row=row)
            except BadSeal:
                continue  # told when it is used
            tx.update(record.but(sealed=sealer.seal(value, row=row)))
            count += 1
    return count
