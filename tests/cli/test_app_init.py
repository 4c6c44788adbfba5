"""`agentkit app init`: what it writes runs, and nothing is ever overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.console import Console, code_of

TEMPLATES = ("echo", "files", "stream", "multi")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("template", TEMPLATES)
def test_what_it_writes_passes_its_own_samples(template: str, console: Console) -> None:
    told = console.json("app", "init", "My App", "--template", template)
    assert told["name"] == "my-app" and "inf.yml" in told["files"] and "inference.py" in told["files"]
    tested = console.json("app", "test", "My App")
    assert {each["is_good"] for each in tested} == {True} and len(tested) > 3
    assert console.temporary_files == []


def test_a_file_that_is_there_stays_and_nothing_else_is_written(console: Console) -> None:
    folder = console.folder / "app"
    folder.mkdir()
    (folder / "inf.yml").write_text("mine")
    done = console.quick("app", "init", "app")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "agentkit: app/inf.yml: there already; nothing was written\n"
    assert [path.name for path in folder.iterdir()] == ["inf.yml"] and (folder / "inf.yml").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--name", "Not A Name"], "not-a-name"),
        (["--template", "nope"], "nope"),
        (["a-file"], "is a file"),
    ],
)
def test_what_cannot_be_made_is_said_with_exit_code_2(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a-file").touch()
    assert code_of("app", "init", *arguments) == 2
    assert said in capsys.readouterr().err


def test_the_present_folder_gives_the_name(console: Console) -> None:
    written = console.ok("app", "init")
    assert written.splitlines() == ["__init__.py", "hello.input.json", "inf.yml", "inference.py", "requirements.txt"]
    assert "name: work\n" in (console.folder / "inf.yml").read_text()
