"""The console's cookie: which request may be believed to carry it, and how it is set and taken back.

A browser adds cookies by itself, whichever page makes it send a request. So the cookie counts only beside a header that
no page of another origin can send without asking first, and asking is answered with no.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

from agentkit.runtime.console.sessions import LONGEST_SECONDS
from agentkit.runtime.origins import is_from, is_https

__all__ = ["HEADER", "dropped", "is_console", "kept", "token_in"]

HEADER: Final = "x-agentkit-console"
_NAME: Final = "agentkit_console"
_RULES: Final = "Path=/; HttpOnly; SameSite=Strict"


def is_console(request: Request, *, origins: frozenset[str]) -> bool:
    """Whether a page of the console sent the request; `origins` are the server's own."""
    return request.headers.get(HEADER) == "1" and is_from(origins, request.headers)


def token_in(request: Request, *, origins: frozenset[str]) -> str | None:
    """The session's token, where it counts."""
    return request.cookies.get(_name(origins)) or None if is_console(request, origins=origins) else None


def kept(token: str, *, origins: frozenset[str]) -> str:
    """The `Set-Cookie` that keeps the token."""
    return f"{_name(origins)}={token}; Max-Age={LONGEST_SECONDS}; {_rules(origins)}"


def dropped(*, origins: frozenset[str]) -> str:
    """The `Set-Cookie` that takes it back."""
    return f"{_name(origins)}=; Max-Age=0; {_rules(origins)}"


def _name(origins: frozenset[str]) -> str:
    """Over TLS with the prefix by which a browser makes sure that this very host set it, and over TLS."""
    return f"__Host-{_NAME}" if is_https(origins) else _NAME


def _rules(origins: frozenset[str]) -> str:
    return f"{_RULES}; Secure" if is_https(origins) else _RULES
