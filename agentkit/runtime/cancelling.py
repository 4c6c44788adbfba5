"""Telling a cancellation that is meant for us from one that a library let escape."""

from __future__ import annotations

import asyncio
import math

import anyio

__all__ = ["is_cancelled"]


def is_cancelled() -> bool:
    """Whether this task is being cancelled, and not only something that it waited for."""
    if anyio.current_effective_deadline() == -math.inf:
        return True
    try:
        task = asyncio.current_task()
    except RuntimeError:  # trio, where nothing but a scope around us can cancel
        return True
    return task is not None and task.cancelling() > 0
