from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.examples.desk_process import DeskFolder
from tests.forked import Programs, programs

__all__ = ["desk", "finished", "finished_run", "programs"]


@pytest.fixture
def desk(tmp_path: Path, programs: Programs) -> DeskFolder:
    """An empty folder for a desk that reads the documents of the example."""
    return DeskFolder(tmp_path / "out", programs=programs)


@pytest.fixture(scope="session")
def finished_run(
    tmp_path_factory: pytest.TempPathFactory, programs: Programs
) -> tuple[DeskFolder, subprocess.CompletedProcess[str]]:
    """A desk that ran to its end at once, with everything approved, and what it printed. Only to look at."""
    desk = DeskFolder(tmp_path_factory.mktemp("finished"), programs=programs)
    run = desk.run("--yes", "--json")
    assert run.returncode == 0, run.stdout + run.stderr
    return desk, run


@pytest.fixture(scope="session")
def finished(finished_run: tuple[DeskFolder, subprocess.CompletedProcess[str]]) -> DeskFolder:
    """The same desk."""
    return finished_run[0]
