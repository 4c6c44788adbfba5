"""Tasks in a real browser: what went in, what came out, and what was printed meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.console.stage import Stage, expect
from tests.console.stories import post
from tests.runtime.serving import served

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

APP = """
from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput

class AppInput(BaseAppInput):
    text: str

class AppOutput(BaseAppOutput):
    text: str

class App(BaseApp):
    async def run(self, input_data: AppInput) -> AppOutput:
        print("weighing <b>every</b> word", flush=True)
        return AppOutput(text=input_data.text.upper())
"""


def test_a_task_shows_its_input_output_and_log(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "inf.yml").write_text("name: loud\n")
    (tmp_path / "inference.py").write_text(APP)
    with served(apps={"acme/loud": tmp_path}) as server, stage.visiting(server.url) as ann:
        ann.goto("/console/tasks", ready="tasks")
        post(server.url, "/apps/run", {"app": "acme/loud", "input": {"text": "a quiet word"}})
        ann.page.reload()
        ann.ready("tasks")
        expect(ann.by("task-row")).to_contain_text("loud")
        ann.by("task-row").click()
        ann.ready("task")
        for text in ("a quiet word", "A QUIET WORD", "weighing <b>every</b> word", "completed"):
            expect(ann.page.get_by_role("main")).to_contain_text(text)
