"""Counts the words of a text file and writes a report."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import Field

from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput, File


class AppInput(BaseAppInput):
    """What a task is given. A file arrives downloaded: `document.path` is on this machine."""

    document: File = Field(description="a text", json_schema_extra={"contentMediaType": "text/*"})
    most: int = Field(default=10, ge=1, le=1000, description="how many words the report lists")


class AppOutput(BaseAppOutput):
    """What a task gives. A file that lies here is uploaded before the task ends."""

    words: int
    report: File = Field(
        description="the most frequent words", json_schema_extra={"contentMediaType": "application/json"}
    )


class App(BaseApp):
    """A folder of its own for what it writes, made in `setup` and removed in `unload`."""

    async def setup(self) -> None:
        """Runs once, before the first task."""
        self.folder = TemporaryDirectory(prefix="report-")

    async def run(self, input_data: AppInput) -> AppOutput:
        """Count the words."""
        text = Path(input_data.document.path or "").read_text(encoding="utf-8")
        words = Counter(text.lower().split())
        report = Path(self.folder.name) / "report.json"
        report.write_text(json.dumps(dict(words.most_common(input_data.most)), indent=2), encoding="utf-8")
        return AppOutput(words=words.total(), report=File(report))

    async def unload(self) -> None:
        """Runs when the worker ends."""
        self.folder.cleanup()
