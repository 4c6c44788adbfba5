"""Where what is made for apps is kept, and apps whose use of the official SDK does not show."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentkit import Runtime
from agentkit.errors import ConfigError
from tests.runtime.deploying import FILES, write_app

pytestmark = [pytest.mark.timeout(60), pytest.mark.heavy]  # each describes in a process of its own

SLY = """
import importlib
from pathlib import Path

sdk = importlib.import_module("inferencesh")

class AppInput(sdk.BaseAppInput):
    text: str

class AppOutput(sdk.BaseAppOutput):
    texts: str

class App(sdk.BaseApp):
    async def run(self, given: AppInput) -> AppOutput:
        with (Path.home() / "texts").open("a+") as file:
            file.write(given.text)
            file.seek(0)
            return AppOutput(texts=file.read())
"""


def told(db: Path | str, folder: Path, kept: Path) -> tuple[str, str]:
    """The app's id, and what it remembers."""
    with (
        Runtime(db, apps={"me/sly": folder}, apps_folder=kept, compat=True, workers=1) as runtime,
        runtime.client() as client,
    ):
        task = client.tasks.run({"app": "me/sly", "input": {"text": "a"}})
        return client.apps.get("me/sly").id, task.output["texts"]


def test_a_folder_is_the_same_app_in_every_database_and_finds_its_home_in_the_shared_place(tmp_path: Path) -> None:
    folder, kept = write_app(tmp_path / "sly", {**FILES, "inference.py": SLY}), tmp_path / "kept"
    first, second = told(":memory:", folder, kept), told(tmp_path / "a.db", folder, kept)
    assert first[0] == second[0] and (first[1], second[1]) == ("a", "aa")
    assert not (tmp_path / "a.db.apps").exists()


def test_without_compat_an_import_that_does_not_show_is_none_of_the_sdk(tmp_path: Path) -> None:
    folder = write_app(tmp_path / "sly", {**FILES, "inference.py": SLY})
    with pytest.raises(ConfigError, match=r"me/sly.*inferencesh"), Runtime(apps={"me/sly": folder}):
        pass


def test_an_app_is_described_again_when_only_compat_changed(tmp_path: Path) -> None:
    folder, db = write_app(tmp_path / "sly", {**FILES, "inference.py": SLY}), tmp_path / "a.db"
    assert told(db, folder, tmp_path / "kept")[1] == "a"
    with pytest.raises(ConfigError, match="inferencesh"), Runtime(db, apps={"me/sly": folder}):
        pass
