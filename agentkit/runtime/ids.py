"""New identifiers in the platform's form: 26 lower-case characters of a base-32 alphabet (protocol.md 0.1)."""

from __future__ import annotations

import hashlib
import secrets

__all__ = ["SHORT", "derived_id", "hashed", "new_id", "new_secret"]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 26
SHORT = 8  # a short id is this long a prefix


def new_id() -> str:
    """A random id of 130 bits: its first eight characters tell two records of one owner apart as well."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


def derived_id(origin: str) -> str:
    """The id that belongs to this text: the same one every time, so what has it can be made only once.

    >>> derived_id("a") == derived_id("a") != derived_id("b")
    True
    """
    number = int.from_bytes(hashlib.sha256(origin.encode()).digest())
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in range(_LENGTH))


def new_secret(prefix: str = "") -> str:
    """A secret that may stand in a URL or a header, 256 bits."""
    return prefix + secrets.token_urlsafe(32)


def hashed(secret: str) -> str:
    """What is kept of a secret: its SHA-256. Secrets here are random, so no salt is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()
