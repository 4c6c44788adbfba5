"""`agentkit app run`: a folder run once on this machine, and nothing left of it."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from contextlib import AbstractContextManager

import pytest

from tests.cli.console import SLOW, Console, code_of, wait_for_line
from tests.examples.terminal import Terminal, at_a_terminal

pytestmark = pytest.mark.timeout(120)
Capture = pytest.CaptureFixture[str]

ECHO = """
import os
from pathlib import Path
from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput, File

class AppInput(BaseAppInput):
    text: str
    size: dict = {}
    document: File | None = None

class AppOutput(BaseAppOutput):
    text: str
    size: dict
    words: int = 0
    secret: str = ""

class App(BaseApp):
    async def run(self, input_data: AppInput) -> AppOutput:
        print("to the log")
        words = len(Path(input_data.document.path).read_text().split()) if input_data.document else 0
        return AppOutput(text=input_data.text, size=input_data.size, words=words, secret=os.environ.get("TOKEN", ""))

    async def broken(self, input_data: AppInput) -> AppOutput:
        raise ValueError("bad size")
"""

COMPAT = """
from inferencesh import BaseApp, BaseAppInput, BaseAppOutput, File
from inferencesh.models.file import File as SameFile

assert File is SameFile

class AppInput(BaseAppInput):
    prompt: str

class AppOutput(BaseAppOutput):
    text: str

class App(BaseApp):
    async def setup(self, metadata):
        self.prefix = ">"

    async def run(self, input_data: AppInput, metadata) -> AppOutput:
        return AppOutput(text=f"{self.prefix} {input_data.prompt}")
"""


def test_stdout_has_the_output_alone_and_stderr_the_way_to_it(console: Console) -> None:
    console.app("echo", ECHO)
    done = console.run("app", "run", "echo", "--set", "text=hi", "--set", "size.width=3", "--set", "size.unit=px")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "output_meta": None, "text": "hi", "size": {"width": 3, "unit": "px"}, "words": 0, "secret": "",
    }  # fmt: skip
    assert "to the log" in done.stderr and "completed" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert console.temporary_files == []
    console.wait_until_nothing_is_left()


def test_an_input_comes_from_text_a_file_or_stdin_and_files_go_along(console: Console) -> None:
    console.app("echo", ECHO)
    (console.folder / "in.json").write_text('{"text": "from a file"}')
    (console.folder / "note.txt").write_text("one two three")
    by_file = console.json("app", "run", "echo", "--input", "@in.json", "--file", "document=note.txt")
    assert (by_file["output"]["text"], by_file["output"]["words"], by_file["status"]) == ("from a file", 3, 10)
    by_stdin = console.json("app", "run", "echo", "--input", "-", stdin='{"text": "from stdin"}')
    assert by_stdin["output"]["text"] == "from stdin"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--input", "{"], "--input: this is no JSON"),
        (["--input", "@nope.json"], "--input @nope.json: No such file"),
        (["--set", "text"], "write it as KEY=VALUE"),
        (["--set", "a..b=1"], "write it as KEY=VALUE"),
        (["--input", "[]", "--set", "a=1"], "has no members"),
        (["--file", "image=nope.png"], "there is no such file"),
        (["--setup", "nope"], "--setup: this is no JSON"),
        (["--nope"], "--nope"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_a_command_line_without_sense_is_exit_code_2(arguments: list[str], said: str, capsys: Capture) -> None:
    assert code_of("app", "run", "echo", *arguments) == 2
    told = capsys.readouterr()
    assert told.out == "" and said in told.err and "Traceback" not in told.err


def test_an_input_that_misses_the_schema_is_told_by_its_paths(console: Console) -> None:
    console.app("echo", ECHO)
    done = console.quick("app", "run", "echo", "--set", "size=3")
    assert (done.returncode, done.stdout) == (1, "")
    assert "'text' is a required property" in done.stderr and "size" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_task_that_fails_is_exit_code_1_with_its_error_and_its_log(console: Console) -> None:
    console.app("echo", ECHO)
    done = console.quick("app", "run", "echo", "--set", "text=a", "--function", "broken")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].endswith("failed: ValueError: bad size")
    told = console.quick("app", "run", "echo", "--set", "text=a", "--function", "broken", "--json")
    assert told.returncode == 1
    assert (json.loads(told.stdout)["status"], json.loads(told.stdout)["error"]) == (11, "ValueError: bad size")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import nothing_of_that_name", "nothing_of_that_name"),
        ("x = 1", "no app"),
        ("def broken(:", "inference.py"),
    ],
    ids=["import", "no-class", "syntax"],
)
def test_an_app_that_cannot_be_read_is_one_message(code: str, said: str, console: Console) -> None:
    console.app("bad", code)
    done = console.run("app", "run", "bad", "--set", "text=a")
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr and "Traceback" not in done.stderr
    assert console.temporary_files == []


def test_a_folder_that_is_no_app_is_told_what_to_do(console: Console) -> None:
    done = console.quick("app", "run", "nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert "agentkit app init" in done.stderr and done.stderr.count("\n") == 1


def test_secrets_come_from_the_environment_and_from_a_file_where_inf_yml_names_them(console: Console) -> None:
    console.app("echo", ECHO, manifest="secrets: [{key: TOKEN}]\n")
    run = ("app", "run", "echo", "--set", "text=a")
    missing = console.quick(*run)
    assert missing.returncode == 1 and "TOKEN" in missing.stderr and "Traceback" not in missing.stderr
    assert console.with_(TOKEN="by-variable").json(*run)["output"]["secret"] == "by-variable"
    (console.folder / "apps.env").write_text("TOKEN=by-file\n")
    assert console.json(*run, "--secrets", "apps.env")["output"]["secret"] == "by-file"


def test_an_app_of_the_official_sdk_runs_unchanged(console: Console) -> None:
    console.app("old", COMPAT)
    assert console.json("app", "run", "old", "--compat", "--set", "prompt=hi")["output"]["text"] == "> hi"
    assert console.json("app", "run", "old", "--set", "prompt=hi")["output"]["text"] == "> hi"


def test_files_are_saved_beside_those_that_are_there(console: Console) -> None:
    console.ok("app", "init", "words", "--template", "files")
    for name in ("report.json", "report-2.json"):
        output = json.loads(console.ok("app", "run", "words", "--out", "made"))
        assert output["report"]["path"] == f"made/{name}"
        assert json.loads((console.folder / "made" / name).read_text())["a"] == 3


# -- Ctrl-C --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_the_task_and_leaves_nothing(number: signal.Signals, code: int, console: Console) -> None:
    console.app("slow", SLOW)
    with console.start("app", "run", "slow") as process:
        wait_for_line(process, "working")
        process.send_signal(number)
        out, errors = process.communicate(timeout=30)
    assert (process.returncode, out) == (code, "")
    assert "cancelled" in errors and "Traceback" not in errors
    console.wait_until_nothing_is_left()
    assert console.temporary_files == []


def test_a_second_ctrl_c_does_not_wait_for_an_app_that_does_not_end(console: Console) -> None:
    console.app("deaf", SLOW.replace("await asyncio.sleep(input_data.seconds)", "DEAF").replace(
        "DEAF", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "        for _ in range(600):\n"
        "            try: time.sleep(0.1)\n"
        "            except BaseException: pass",
    ))  # fmt: skip
    with console.start("app", "run", "deaf") as process:
        wait_for_line(process, "working")
        process.send_signal(signal.SIGINT)
        wait_for_line(process, "Ctrl-C again")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=40)
    assert process.returncode == 130
    console.wait_until_nothing_is_left()


def test_a_command_that_is_killed_takes_its_worker_along(console: Console) -> None:
    console.app("slow", SLOW)
    with console.start("app", "run", "slow") as process:
        wait_for_line(process, "working")
        process.kill()
        process.communicate(timeout=10)
        console.wait_until_nothing_is_left()


# -- at a terminal -------------------------------------------------------------------------------------------------


def _terminal(console: Console, *arguments: str, **environ: str) -> AbstractContextManager[Terminal]:
    env = {**console.environ, "TERM": "xterm-256color", **environ}
    return at_a_terminal([sys.executable, "-m", "agentkit", *arguments], cwd=console.folder, env=env)


def test_at_a_terminal_the_statuses_are_drawn_over_and_the_output_comes_last(console: Console) -> None:
    console.ok("app", "init", "stream", "--template", "stream")
    with _terminal(console, "app", "run", "stream") as terminal:
        terminal.wait_for("running")
        terminal.wait_for("one two")
        terminal.wait_for("completed in")
        terminal.wait_for("is_whole")
        assert terminal.end() == 0
    assert "\x1b[2K" in terminal.screen and "\x1b[?25h" in terminal.screen


def test_ctrl_c_at_a_terminal_cancels_and_gives_the_cursor_back(console: Console) -> None:
    console.app("slow", SLOW)
    with _terminal(console, "app", "run", "slow") as terminal:
        terminal.wait_for("working")
        terminal.type("\x03")
        terminal.wait_for("asked to cancel")
        terminal.wait_for("cancelled")
        assert terminal.end() == 130
    assert terminal.screen.rfind("\x1b[?25h") > terminal.screen.rfind("\x1b[?25l")
    console.wait_until_nothing_is_left()
    assert console.temporary_files == []


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["no-color", "dumb"])
def test_colours_are_off_where_they_are_not_wanted(environ: dict[str, str], console: Console) -> None:
    console.app("echo", ECHO)
    with _terminal(console, "app", "run", "echo", "--set", "text=hi", **environ) as terminal:
        assert terminal.end() == 0
    assert '"hi"' in terminal.screen
    assert not re.search(r"\x1b\[(?:[0-9]+;)*[349][0-9]", terminal.screen)


@pytest.mark.parametrize(("missing", "extra"), [("yaml", "apps"), ("typer", "cli")])
def test_a_missing_package_is_named_with_its_pip_command(missing: str, extra: str, console: Console) -> None:
    console.app("echo", ECHO)
    broken = console.folder / "broken"
    broken.mkdir()
    (broken / f"{missing}.py").write_text("raise ModuleNotFoundError('not installed')")
    path = f"{broken}{os.pathsep}{console.environ['PYTHONPATH']}"
    done = console.with_(PYTHONPATH=path).run("app", "run", "echo", "--set", "text=a")
    assert done.returncode == 1
    assert "pip install 'agentkit[" in done.stderr and extra in done.stderr.split("agentkit[")[1]
    assert "Traceback" not in done.stderr
