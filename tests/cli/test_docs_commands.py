"""The commands in docs/apps.md and docs/tasks.md run, in their order, as they are written there."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.cli.console import ROOT, Console

COMMAND = re.compile(r"^    agentkit (.+)$", re.MULTILINE)


def _commands(page: str) -> list[str]:
    return COMMAND.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("page", ["apps.md", "tasks.md"])
def test_every_command_of_the_page_goes_well(page: str, there: Console) -> None:
    commands = _commands(page)
    assert len(commands) >= 7
    if page == "tasks.md":
        there.ok("app", "init", "hello")
        there.ok("app", "deploy", "hello")
    for each in commands:
        if each == "app logs hello":
            there.ok("task", "run", "hello", "--set", "text=hi")
        there.ok(*shlex.split(each))


def test_the_exit_codes_of_the_page_are_those_of_the_code() -> None:
    from agentkit.cli import exits

    table = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    told = {int(number) for number in re.findall(r"^\| ([0-9]+) \|", table, re.MULTILINE)}
    known = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    assert told == known
