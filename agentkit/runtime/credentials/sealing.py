"""Secrets at rest: sealed with AES-256-GCM under a key that lies outside the database, for one row and no other.

>>> key = SecretKey(bytes(32))
>>> sealer = Sealer([key])
>>> sealed = sealer.seal("hunter2", row=("secret", "local", "A"))
>>> sealer.open(sealed, row=("secret", "local", "A"))
'hunter2'
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from agentkit.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["BadSeal", "Sealer", "SecretKey", "parse_keys"]

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12  # NIST SP 800-38D 8.2: what GCM is made for
FORM: Final = "v1"


class BadSeal(Exception):
    """What was sealed cannot be opened. `key_id` names the key it takes, where none of ours is it; else it changed."""

    def __init__(self, key_id: str | None = None) -> None:
        super().__init__(f"sealed with the key {key_id}" if key_id else "changed since it was sealed")
        self.key_id = key_id


@dataclass(frozen=True, slots=True)
class SecretKey:
    """32 bytes, shown nowhere; `id` tells keys apart and gives nothing away."""

    data: bytes = field(repr=False)

    @classmethod
    def new(cls) -> Self:
        """A random key."""
        return cls(os.urandom(KEY_BYTES))

    @property
    def id(self) -> str:
        """Eight characters, the same for the same key."""
        return hashlib.sha256(b"agentkit secret key\0" + self.data).hexdigest()[:8]

    @property
    def text(self) -> str:
        """The key as a file or a variable holds it."""
        return base64.b64encode(self.data).decode()


def parse_keys(text: str, *, name: str) -> tuple[SecretKey, ...]:
    """The keys in a variable or a file, separated by commas or lines, the one to seal with first.

    Raises ConfigError, which names where it stands and never repeats it.
    """
    entries = [each.strip() for line in text.splitlines() for each in line.split(",") if each.strip()]
    keys = tuple(_key(each, name=name) for each in entries)
    if not keys:
        raise ConfigError(f"{name} holds no key; `openssl rand -base64 32` makes one")
    return keys


class Sealer:
    """Seals with the first of its keys, and opens what any of them sealed.

    A `row` says where the sealed text belongs, such as ("secret", owner, key): elsewhere it does not open.
    """

    def __init__(self, keys: Sequence[SecretKey]) -> None:
        self._keys = {key.id: key for key in reversed(keys)}
        self._first = keys[0]

    def __repr__(self) -> str:
        return f"Sealer({', '.join(self.key_ids)})"

    @property
    def key_ids(self) -> list[str]:
        """The keys' ids, the one that seals first."""
        return [*dict.fromkeys([self._first.id, *self._keys])]

    def seal(self, value: str, *, row: Sequence[str]) -> str:
        """The value as it may lie in a database. Raises MissingExtraError."""
        nonce = os.urandom(NONCE_BYTES)
        box = nonce + self._ciphers[self._first.id].encrypt(nonce, value.encode("utf-8", "surrogatepass"), _bound(row))
        return f"{FORM}.{self._first.id}.{base64.urlsafe_b64encode(box).decode()}"

    def open(self, sealed: str, *, row: Sequence[str]) -> str:
        """The value that was sealed for this row. Raises BadSeal, MissingExtraError."""
        key_id = _key_id(sealed)
        if key_id not in self._keys:
            raise BadSeal(key_id)
        cipher = self._ciphers[key_id]
        try:
            box = base64.b64decode(sealed.rpartition(".")[2], altchars=b"-_", validate=True)
            return bytes(cipher.decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], _bound(row))).decode(
                "utf-8", "surrogatepass"
            )
        except (_package().invalid, ValueError):
            raise BadSeal from None

    def knows(self, sealed: str) -> bool:
        """Whether one of these keys sealed it."""
        return _key_id(sealed) in self._keys

    def is_current(self, sealed: str) -> bool:
        """Whether the key that seals now sealed it."""
        return _key_id(sealed) == self._first.id

    @cached_property
    def _ciphers(self) -> dict[str, AESGCM]:
        return {id: _package().cipher(key.data) for id, key in self._keys.items()}


# -- parts ---------------------------------------------------------------------------------------------------------


class _Package(NamedTuple):
    """What we need of the cryptography package."""

    cipher: type[AESGCM]
    invalid: type[Exception]


def _package() -> _Package:
    """Raises MissingExtraError."""
    try:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # an extra
    except ImportError:
        raise MissingExtraError("storing secrets", extra="secrets") from None
    return _Package(AESGCM, InvalidTag)


def _key(text: str, *, name: str) -> SecretKey:
    try:
        data = base64.b64decode(text.rstrip("=").translate(_PLAIN) + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except (ValueError, binascii.Error):
        data = b""
    if len(data) != KEY_BYTES:
        raise ConfigError(
            f"{name} holds no key: it takes {KEY_BYTES} bytes as base64, such as `openssl rand -base64 32` makes"
        )
    return SecretKey(data)


_PLAIN: Final = str.maketrans("-_", "+/")


def _key_id(sealed: str) -> str:
    """The key that sealed it. Raises BadSeal for what was sealed by nobody."""
    form, _, rest = sealed.partition(".")
    key_id, dot, _ = rest.partition(".")
    if form != FORM or not dot:
        raise BadSeal
    return key_id


def _bound(row: Sequence[str]) -> bytes:
    return json.dumps(list(row)).encode()
