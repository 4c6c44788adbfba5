"""Writes a text, word by word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from pydantic import Field

from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput


class AppInput(BaseAppInput):
    """What a task is given."""

    text: str = Field(default="the quick brown fox jumps over the lazy dog", description="what to write")
    pause_seconds: float = Field(default=0.1, ge=0, le=10, description="between two words")


class AppOutput(BaseAppOutput):
    """Each output is all of it so far; the last one is the result."""

    text: str
    is_whole: bool = True


class App(BaseApp):
    """A method that yields is a streaming function."""

    async def setup(self) -> None:
        """Runs once, before the first task."""
        self.is_cancelled = False

    async def run(self, input_data: AppInput) -> AsyncIterator[AppOutput]:
        """Write it."""
        self.is_cancelled = False
        words = input_data.text.split()
        for count in range(1, len(words) + 1):
            if self.is_cancelled:
                return
            yield AppOutput(text=" ".join(words[:count]), is_whole=count == len(words))
            await asyncio.sleep(input_data.pause_seconds)

    async def on_cancel(self) -> bool:
        """Ends the text after the word it is at; True says that this is enough."""
        self.is_cancelled = True
        return True
