"""API keys: made, listed, deleted, and what each may do. Only a key's SHA-256 is kept."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from agentkit.runtime import dto, pages
from agentkit.runtime.faults import Fault
from agentkit.runtime.ids import hashed, new_id, new_secret
from agentkit.runtime.moments import to_come
from agentkit.runtime.ports import Reading, Writing
from agentkit.runtime.records import KeyRecord
from agentkit.runtime.service import Service
from agentkit.wire import CreateApiKey, CursorListRequest, Scope, ScopeDefinition, ScopeGroupDefinition, Scopes

__all__ = ["CONFIGURED", "ApiKeys", "allows", "catalogue", "counts", "find_key"]

CONFIGURED: Final = "configured"  # the name of keys that came with the settings
PREFIX: Final = "inf_"  # as the platform's keys begin
LONGEST_NAME: Final = 200
LONGEST_GROUP: Final = 200
EVERYTHING: Final = str(Scope.ALL)


class ApiKeys(Service):
    """Everything about API keys."""

    async def page(self, owner: str, request: CursorListRequest) -> dict[str, Any]:
        """POST /apikeys/list: those that count, or did until they expired."""
        return await self._store.read(
            lambda tx: pages.page(tx, KeyRecord, request, _shown, only=lambda each: not each.revoked, owner=owner)
        )

    async def create(self, owner: str, request: CreateApiKey, *, granted: Sequence[str]) -> dict[str, Any]:
        """POST /apikeys: the only answer that has the key. `granted` are the scopes of who asks; [] means all.

        Whoever may make keys may put them into any group of approvers: that is the administrator's.

        Raises Fault: `invalid_scope`, `insufficient_scope` where the new key could do more than the asker's.
        """
        scopes, groups = _known(request.scopes), _groups(request.groups)
        if granted and (not scopes or not all(allows(granted, each) for each in scopes)):
            raise Fault("insufficient_scope", f"a key makes no key that may do more than itself: {', '.join(granted)}")
        name, key = request.name.strip(), new_secret(PREFIX)
        if len(name) > LONGEST_NAME or name == CONFIGURED:
            raise Fault("invalid_request", f"name: {LONGEST_NAME} characters at most, and not {CONFIGURED!r}")

        def change(tx: Writing) -> dict[str, Any]:
            record = KeyRecord(
                id=new_id(), sha256=hashed(key), owner=owner, name=name, masked=dto.masked(key), scopes=scopes,
                groups=groups, expires_at=_moment(request.expires_at, now=tx.now) if request.expires_at else None,
            )  # fmt: skip
            return dto.api_key(tx.insert(record), key=key, source="api")

        return await self._write(change)

    async def delete(self, owner: str, key_id: str) -> None:
        """DELETE /apikeys/{id}: it stops working at once."""

        def change(tx: Writing) -> None:
            record = tx.get(KeyRecord, key_id)
            if record is None or record.owner != owner or record.revoked:
                raise Fault("not_found", f"API key {key_id!r} not found")
            if record.name == CONFIGURED:
                raise Fault(
                    "conflict", "this key comes from the server's settings (AGENTKIT_API_KEY): take it out there"
                )
            tx.delete(record)

        await self._write(change)


def find_key(tx: Reading, key: str) -> KeyRecord | None:
    """The record of a key that counts now."""
    digest = hashed(key)
    found = tx.find(KeyRecord, sha256=digest, limit=1)
    if not found or not hmac.compare_digest(found[0].sha256, digest):
        return None
    return found[0] if counts(found[0], tx.now) else None


def counts(key: KeyRecord, now: str) -> bool:
    """Whether the key is good for anything at this moment."""
    return not key.revoked and (key.expires_at is None or now < key.expires_at)


def allows(granted: Sequence[str], wanted: str) -> bool:
    """Whether these scopes include one: `agents:write` does `agents:read`, `agents` all of its kind, none everything.

    >>> allows([], "apps:read"), allows(["apps:write"], "apps:read"), allows(["apps:read"], "apps:write")
    (True, True, False)
    """
    group, _, verb = wanted.partition(":")
    implied = [EVERYTHING, group, wanted, *([f"{group}:write"] if verb == "read" else [])]
    return not granted or not wanted or any(each in granted for each in implied)


def catalogue(used: Iterable[str]) -> dict[str, Any]:
    """The ScopesResponse of a server that asks for these scopes."""
    scopes = sorted({*used} - {""})
    groups = sorted({each.partition(":")[0] for each in scopes})
    defined = [
        ScopeDefinition(
            value=each, label=each.replace(":", " "), description=_about(each), group=each.partition(":")[0]
        )
        for each in scopes
    ]
    return Scopes(
        scopes=defined,
        groups=[ScopeGroupDefinition(id=each, label=each, description=f"All of {each}") for each in groups],
    ).to_wire()


# -- parts ---------------------------------------------------------------------------------------------------------

_VERBS: Final[Mapping[str, str]] = {"read": "See", "write": "Make, change and delete", "execute": "Run"}


def _about(scope: str) -> str:
    group, _, verb = scope.partition(":")
    return f"{_VERBS.get(verb, verb)} {group}"


def _shown(record: KeyRecord) -> dict[str, Any]:
    return dto.api_key(record, source="settings" if record.name == CONFIGURED else "api")


def _known(scopes: Sequence[str]) -> list[str]:
    known = {str(each) for each in Scope} | {str(each).partition(":")[0] for each in Scope}
    if unknown := [each for each in scopes if each not in known]:
        raise Fault("invalid_scope", f"{unknown[0][:100]!r} is no scope; GET /scopes lists them")
    return list(dict.fromkeys(scopes))


def _groups(groups: Sequence[str]) -> list[str]:
    named = [each.strip() for each in groups]
    if wrong := [each for each in named if not 0 < len(each) <= LONGEST_GROUP]:
        raise Fault("invalid_request", f"groups: {wrong[0][:100]!r} is no group; write a name, such as 'finance'")
    return list(dict.fromkeys(named))


def _moment(text: str, *, now: str) -> str:
    if (moment := to_come(text, now=now)) is None:
        raise Fault("invalid_request", f"expires_at {text[:100]!r} is no moment to come, such as 2036-01-31T08:00:00Z")
    return moment
