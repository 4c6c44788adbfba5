"""What is built from this tree has the console in it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from agentkit.runtime.console.pages import pages

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(60)
def test_the_wheel_has_every_file_of_the_console(tmp_path: Path) -> None:
    builder = pytest.importorskip("hatchling.builders.wheel", reason="pip install hatchling").WheelBuilder
    [wheel] = builder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as packed:
        found = {name: packed.read(f"agentkit/runtime/console/{name}") for name in pages()}
    assert found == {name: page.body for name, page in pages().items()}
    assert {"index.html", "console.css", "main.js"} <= set(found)
