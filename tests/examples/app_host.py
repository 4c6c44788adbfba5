"""An example app as its worker holds it, without the worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread

from agentkit.apps import Hosted, Metadata

APPS = Path(__file__).parents[2] / "examples" / "apps"


@dataclass
class Held:
    """An app that is set up."""

    hosted: Hosted

    async def call(self, function: str, **value: Any) -> Any:
        """The last output of a function."""
        return (await self.every(function, **value))[-1]

    async def every(self, function: str, **value: Any) -> list[Any]:
        """All outputs of a function."""
        input_data = self.hosted.check_input(function, value)
        return [each async for each in self.hosted.stream(function, input_data, metadata_of("s"))]


def metadata_of(session_id: str | None) -> Metadata:
    """What a runtime tells of a call in that session, or in none."""
    return Metadata.model_validate({"session_id": session_id})


@asynccontextmanager
async def held(name: str, setup: Any = None) -> AsyncIterator[Held]:
    """The app of that folder; plain methods run in threads, as in a worker."""
    hosted = Hosted.load(APPS / name, in_thread=anyio.to_thread.run_sync)
    await hosted.setup(hosted.check_setup(setup), Metadata())
    try:
        yield Held(hosted)
    finally:
        await hosted.unload()
