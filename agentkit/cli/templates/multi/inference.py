"""Takes notes and finds them again. In a session the worker stays, and so do the notes."""

from __future__ import annotations

from pydantic import Field

from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput, BaseAppSetup

from .notes import Notebook


class AppSetup(BaseAppSetup):
    """What a worker is set up with; a task with another setup gets another worker."""

    most: int = Field(default=1000, ge=1, description="how many notes there can be")


class AddInput(BaseAppInput):
    """What `add` is given."""

    text: str = Field(min_length=1, description="the note")


class AddOutput(BaseAppOutput):
    """What `add` gives."""

    count: int = Field(description="how many notes there are now")


class SearchInput(BaseAppInput):
    """What `search` is given."""

    term: str = Field(default="", description="text to look for; nothing finds all notes")


class SearchOutput(BaseAppOutput):
    """What `search` gives."""

    notes: list[str]


class App(BaseApp):
    """Every public method between two models is a function."""

    async def setup(self, config: AppSetup) -> None:
        """Runs once, before the first task."""
        self.notebook = Notebook(most=config.most)

    async def add(self, input_data: AddInput) -> AddOutput:
        """Take a note."""
        return AddOutput(count=self.notebook.add(input_data.text))

    async def search(self, input_data: SearchInput) -> SearchOutput:
        """Find notes."""
        return SearchOutput(notes=self.notebook.search(input_data.term))
