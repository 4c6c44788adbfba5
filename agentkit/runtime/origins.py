"""Which origins are this server's own, and whether one of its own pages sent a request."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.requests import Request

__all__ = ["is_from", "is_https", "own_origins"]


def own_origins(request: Request, *, public_url: str = "") -> frozenset[str]:
    """The origins of pages that were loaded the way this request came.

    They are made of `Host`, so they prove nothing where any `Host` is answered and no cookie is bound to it. The scheme
    is `public_url`'s too where its host is meant: a proxy in front of us may speak TLS.
    """
    host = request.headers.get("host", "").lower()
    public = urlsplit(public_url)
    schemes = [str(request.scope["scheme"]), *([public.scheme] if public.netloc.lower() == host else [])]
    return frozenset(f"{scheme}://{host}" for scheme in schemes)


def is_https(origins: frozenset[str]) -> bool:
    """Whether browsers reach us over TLS there."""
    return any(each.startswith("https://") for each in origins)


def is_from(origins: frozenset[str], headers: Mapping[str, str]) -> bool:
    """Whether a browser that sent these headers says that a page of these origins did; programs say nothing."""
    origin = headers.get("origin")
    if origin is not None and origin.lower() not in origins:
        return False
    return headers.get("sec-fetch-site") in (None, "same-origin")
