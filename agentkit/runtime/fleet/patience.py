"""The platform's desk, asked again while its store is out of order: a worker does not lose what it has to tell."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from agentkit.errors import AppError

__all__ = ["DESK_ATTEMPTS", "insist"]

logger = logging.getLogger("agentkit.fleet")

T = TypeVar("T")

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 15.0
DESK_ATTEMPTS = 5  # for what is not the store's: files and environments


async def insist(what: str, call: Callable[[], Awaitable[T]], *, attempts: int | None = None) -> T:
    """What the call returns, in the end. It is repeated after 0.1 s, 0.2 s ... 15 s; desk methods allow that.

    An AppError is an answer, and raised. With `attempts` the last failure is raised as an AppError.
    """
    seconds = FIRST_SECONDS
    tried = 0
    while True:
        try:
            return await call()
        except AppError:
            raise
        except Exception as error:
            tried += 1
            if tried == attempts:
                logger.exception("%s failed %d times", what, tried)
                raise AppError(f"{what} failed: {type(error).__name__}: {error}") from error
            logger.warning("%s failed (%d in a row); next try in %g s", what, tried, seconds, exc_info=True)
        await anyio.sleep(seconds)
        seconds = min(seconds * 2, LONGEST_SECONDS)
