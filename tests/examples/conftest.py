from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.desk_process import DeskFolder


@pytest.fixture
def desk(tmp_path: Path) -> DeskFolder:
    """An empty folder for a desk that reads the documents of the example."""
    return DeskFolder(tmp_path / "out")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> DeskFolder:
    """A desk that ran to its end at once, with everything approved. Only to look at."""
    desk = DeskFolder(tmp_path_factory.mktemp("finished"))
    run = desk.run("--yes")
    assert run.returncode == 0, run.stdout + run.stderr
    return desk
