"""Downloads of the cache; imported when there is one, for httpx takes long to import."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import tenacity

from agentkit.errors import FileError

__all__ = ["fetch", "shown"]

ATTEMPTS: Final = 3
TIMEOUT: Final = httpx.Timeout(120.0, connect=20.0)  # of silence, not of the whole download


def fetch(url: str, target: Path) -> None:
    """Writes the URL's bytes into the file. Raises FileError naming the URL."""
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_exponential(multiplier=0.2, max=5.0),
        retry=tenacity.retry_if_exception(_may_pass),
        reraise=True,
    )
    try:
        retrying(_fetch_once, url, target)
    except httpx.HTTPStatusError as error:
        raise FileError(f"cannot download {shown(url)}: HTTP {error.response.status_code}") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FileError(f"cannot download {shown(url)}: {str(error) or type(error).__name__}") from None


def shown(url: str) -> str:
    """The URL without what gives access: its password, and a query that may be a signature."""
    parts = urlsplit(url)
    return repr(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="...").geturl() if parts.query else url)


def _fetch_once(url: str, target: Path) -> None:
    with httpx.stream("GET", url, timeout=TIMEOUT, follow_redirects=True) as response:
        response.raise_for_status()
        with target.open("wb") as file:
            for chunk in response.iter_bytes():
                file.write(chunk)


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500 or error.response.status_code == 429
    return isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol)
