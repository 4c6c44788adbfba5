"""The signature by which whoever gets a webhook knows that it is ours: HMAC-SHA256 of the body as it is sent."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

__all__ = ["SIGNATURE", "signature", "verify_signature"]

SIGNATURE: Final = "X-Webhook-Signature"  # protocol.md 6.5
_PREFIX: Final = "sha256="


def signature(secret: str, body: bytes) -> str:
    """The value of `X-Webhook-Signature`.

    >>> signature("s", b"{}")
    'sha256=143ca8d517ba1b181025d732b1cf275d90104fca57bb02a565542978aa18c4b6'
    """
    return _PREFIX + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def verify_signature(body: bytes, headers: Mapping[str, str], secret: str) -> bool:
    """Whether a webhook came from who has the secret: a tool's, a hook's, or one about approvals.

    `body` is what came, byte for byte, before it was decoded; `headers` are the request's, however their names are
    written. The comparison takes equally long wherever the two differ. A signed request can be sent again by whoever
    saw it: take each `id` in the body once.

    >>> verify_signature(b"{}", {"x-webhook-signature": signature("s", b"{}")}, "s")
    True
    >>> verify_signature(b"{}", {}, "s")
    False
    """
    if not secret:
        raise ValueError("verify_signature needs the secret that the webhooks are signed with, and it is empty")
    given = next((value for name, value in headers.items() if name.lower() == SIGNATURE.lower()), "")
    return hmac.compare_digest(given.encode("utf-8", "replace"), signature(secret, body).encode())
