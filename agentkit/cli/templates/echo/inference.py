"""Says what it was told."""

from __future__ import annotations

from pydantic import Field

from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput


class AppInput(BaseAppInput):
    """What a task is given."""

    text: str = Field(description="what to say", examples=["hello"])
    times: int = Field(default=1, ge=1, le=100, description="how often")


class AppOutput(BaseAppOutput):
    """What a task gives."""

    text: str = Field(description="what was said")
    characters: int


class App(BaseApp):
    """One public method between two models is a function that can be run."""

    async def run(self, input_data: AppInput) -> AppOutput:
        """Say it."""
        print(f"saying it {input_data.times} times")  # what is printed becomes the task's log
        text = " ".join([input_data.text] * input_data.times)
        return AppOutput(text=text, characters=len(text))
