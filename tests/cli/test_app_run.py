"""`agentkit app run`: a folder run once on this machine, and nothing left of it."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.cli.console import ECHO, SLOW, Console, code_of, wait_for_line

pytestmark = pytest.mark.timeout(120)
Capture = pytest.CaptureFixture[str]

OF_THE_SDK = """
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
COMPAT = f"""
from inferencesh import BaseApp, BaseAppInput, BaseAppOutput, File
from inferencesh.models.file import File as SameFile

assert File is SameFile
{OF_THE_SDK}"""
SLY = f"""
import importlib

sdk = importlib.import_module("inferencesh")
BaseApp, BaseAppInput, BaseAppOutput = sdk.BaseApp, sdk.BaseAppInput, sdk.BaseAppOutput
{OF_THE_SDK}"""


def test_stdout_has_the_output_alone_and_stderr_the_way_to_it(console: Console) -> None:
    console.app("echo", ECHO)
    done = console.run("app", "run", "echo", "--set", "text=hi", "--set", "size.width=3", "--set", "size.unit=px")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"text": "hi", "size": {"width": 3, "unit": "px"}, "words": 0, "secret": ""}
    assert "to the log" in done.stderr and "completed" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert console.temporary_files == []
    assert len(list(console.folder.parent.glob("home/.cache/agentkit/apps/homes/*"))) == 1  # the next run finds it
    console.wait_until_nothing_is_left()


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
    done = console.quick("app", "run", "bad", "--set", "text=a")
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr and "Traceback" not in done.stderr
    assert console.temporary_files == []


def test_a_folder_that_is_no_app_is_told_what_to_do(console: Console) -> None:
    done = console.quick("app", "run", "nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert "agentkit app init" in done.stderr and done.stderr.count("\n") == 1


def test_secrets_come_from_the_environment_and_from_a_file_where_inf_yml_names_them(console: Console) -> None:
    console.app("echo", ECHO, manifest="secrets: [{key: TOKEN}, {key: OTHER}]\n")
    run = ("app", "run", "echo", "--set", "text=a")
    missing = console.quick(*run)
    assert missing.returncode == 1 and "TOKEN" in missing.stderr and "Traceback" not in missing.stderr
    (console.folder / "apps.env").write_text("OTHER=by-file\n")
    told = console.with_(TOKEN="by-variable,").json(*run, "--secrets", "apps.env")
    assert told["output"]["secret"] == "by-variable,by-file"


def test_an_app_of_the_official_sdk_runs_unchanged(console: Console) -> None:
    console.app("old", COMPAT)
    assert console.json("app", "run", "old", "--set", "prompt=hi")["output"]["text"] == "> hi"


def test_compat_holds_where_no_line_of_the_app_shows_the_import(console: Console) -> None:
    console.app("sly", SLY)
    assert console.json("app", "run", "sly", "--set", "prompt=hi", "--compat")["output"]["text"] == "> hi"


def test_files_are_saved_beside_those_that_are_there(console: Console) -> None:
    console.ok("app", "init", "words", "--template", "files")
    (console.folder / "made").mkdir()
    (console.folder / "made" / "report.json").write_text("mine")
    done = console.quick("app", "run", "words", "--out", "made")
    assert done.returncode == 0 and "running the sample" in done.stderr
    output = json.loads(done.stdout)
    assert output["report"]["path"] == "made/report-2.json"
    assert json.loads((console.folder / "made" / "report-2.json").read_text())["a"] == 3
    assert (console.folder / "made" / "report.json").read_text() == "mine"


# -- Ctrl-C --------------------------------------------------------------------------------------------------------


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


def test_told_to_end_it_leaves_nothing_and_what_it_leaves_when_killed_is_removed_by_the_next(console: Console) -> None:
    console.app("slow", SLOW)
    with console.start("app", "run", "slow") as living, console.start("app", "run", "slow") as process:
        for each in (living, process):
            wait_for_line(each, "working")
        process.kill()
        process.communicate(timeout=10)
        assert len([name for name in console.temporary_files if name.startswith("agentkit-run-")]) == 2
        console.app("bad", "import nothing_of_that_name")
        assert console.quick("app", "run", "bad").returncode == 1
        [left] = [name for name in console.temporary_files if name.startswith("agentkit-run-")]
        living.send_signal(signal.SIGTERM)
        out, errors = living.communicate(timeout=30)
    assert (living.returncode, out) == (143, "")
    assert "cancelled" in errors and "Traceback" not in errors
    console.wait_until_nothing_is_left()
    assert console.temporary_files == [], f"{left} is of the one that was not killed, and gone with it"


# -- at a terminal -------------------------------------------------------------------------------------------------


def test_at_a_terminal_the_statuses_are_drawn_over_and_the_output_comes_last(console: Console) -> None:
    console.ok("app", "init", "stream", "--template", "stream")
    with console.terminal("app", "run", "stream") as terminal:
        terminal.wait_for("running")
        terminal.wait_for("one two")
        terminal.wait_for("completed in")
        terminal.wait_for("is_whole")
        assert terminal.end() == 0
    assert "\x1b[2K" in terminal.screen and "\x1b[?25h" in terminal.screen


def test_ctrl_c_at_a_terminal_cancels_and_gives_the_cursor_back(console: Console) -> None:
    console.app("slow", SLOW)
    with console.terminal("app", "run", "slow") as terminal:
        terminal.wait_for("working")
        terminal.type("\x03")
        terminal.wait_for("asked to cancel")
        terminal.wait_for("cancelled")
        assert terminal.end() == 130
    assert terminal.screen.rfind("\x1b[?25h") > terminal.screen.rfind("\x1b[?25l")
    console.wait_until_nothing_is_left()
    assert console.temporary_files == []


def test_a_missing_package_is_named_with_its_pip_command(console: Console) -> None:
    console.app("echo", ECHO)
    broken = console.folder / "broken"
    broken.mkdir()
    (broken / "yaml.py").write_text("raise ModuleNotFoundError('not installed')")
    path = f"{broken}{os.pathsep}{console.environ['PYTHONPATH']}"
    done = console.with_(PYTHONPATH=path).run("app", "run", "echo", "--set", "text=a")
    assert done.returncode == 1
    assert "pip install 'agentkit[" in done.stderr and "apps" in done.stderr.split("agentkit[")[1]
    assert "Traceback" not in done.stderr
