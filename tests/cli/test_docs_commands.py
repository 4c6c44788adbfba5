"""The commands in docs/apps.md and docs/tasks.md run, in their order, as they are written there."""

from __future__ import annotations

import re
import shlex
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.cli.console import ROOT, Console

COMMAND = re.compile(r"^    agentkit (.+)$", re.MULTILINE)
SERVER_WORDS = ("app deploy", "app list", "app get", "app versions", "app logs", "task", "session", "fleet")


def _commands(page: str) -> list[str]:
    return COMMAND.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("page", ["apps.md", "tasks.md"])
def test_every_command_of_the_page_goes_well(page: str, console: Console, tmp_path: Path) -> None:
    commands = _commands(page)
    assert len(commands) >= 7
    if page == "tasks.md":
        console.ok("app", "init", "hello")
    with console.serving() if any(each.startswith(SERVER_WORDS) for each in commands) else nullcontext(console) as at:
        if page == "tasks.md":
            at.ok("app", "deploy", "hello")
        for each in commands:
            if each == "app logs hello":
                at.ok("task", "run", "hello", "--set", "text=hi")
            at.ok(*shlex.split(each))


def test_the_exit_codes_of_the_page_are_those_of_the_code() -> None:
    from agentkit.cli import exits

    table = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    told = {int(number) for number in re.findall(r"^\| ([0-9]+) \|", table, re.MULTILINE)}
    known = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    assert told == known
