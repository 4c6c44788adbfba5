"""The least that an app can do: what is left is the price of calling it."""

from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput


class AppInput(BaseAppInput):
    text: str


class AppOutput(BaseAppOutput):
    text: str


class App(BaseApp):
    async def run(self, input_data: AppInput) -> AppOutput:
        return AppOutput(text=input_data.text)
