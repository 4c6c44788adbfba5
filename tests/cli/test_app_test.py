"""`agentkit app test`: samples that hold, and samples that do not."""

from __future__ import annotations

import json

import pytest

from agentkit.cli.samples import differences
from tests.cli.console import Console

DOUBLE = """
from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput

class AppInput(BaseAppInput):
    number: float

class AppOutput(BaseAppOutput):
    number: float

class App(BaseApp):
    async def run(self, input_data: AppInput) -> AppOutput:
        if input_data.number < 0:
            raise ValueError("below zero")
        return AppOutput(number=2 * input_data.number)
"""


def _sample(console: Console, name: str, **members: object) -> None:
    (console.folder / "double" / f"{name}.input.json").write_text(json.dumps(members))


@pytest.mark.timeout(120)
def test_every_sample_is_a_row_and_one_that_fails_is_exit_code_1(console: Console) -> None:
    console.app("double", DOUBLE)
    _sample(console, "a-right", input={"number": 0.1}, expected={"number": 0.2})
    _sample(console, "b-bare", number=1)
    _sample(console, "c-meant", input={"number": -1}, expected_error="below zero")
    _sample(console, "d-wrong", input={"number": 3}, expected={"number": 7, "more": None})
    _sample(console, "e-fails", input={"number": -3})
    _sample(console, "f-refused", input={})
    _sample(console, "g-works", input={"number": 1}, expected_error="below zero")
    done = console.quick("app", "test", "double")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    rows = {line.split("\t")[1]: line.split("\t") for line in done.stdout.splitlines()}
    assert [name for name, row in rows.items() if row[0] == "FAILED"] == ["d-wrong", "e-fails", "f-refused", "g-works"]
    assert rows["d-wrong"][3] == "output.number is 6.0, not 7; output.more is missing"
    assert (
        "below zero" in rows["e-fails"][3] and "required" in rows["f-refused"][3] and "completed" in rows["g-works"][3]
    )


@pytest.mark.parametrize("text", ["{", '{"input": {}, "files": {"a": "nope.txt"}}', '{"input": {}, "files": ["a"]}'])
def test_a_sample_that_is_none_is_named(text: str, console: Console) -> None:
    console.app("double", DOUBLE)
    (console.folder / "double" / "bad.input.json").write_text(text)
    done = console.quick("app", "test", "double")
    assert (done.returncode, done.stdout) == (1, "")
    assert "bad.input.json" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("expected", "output", "said"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": [1, 2.0]}, {"a": [1.0, 2]}, []),
        ({"a": {"b": "x"}}, {"a": {"b": "y"}}, ['output.a.b is "y", not "x"']),
        ({"a": [1]}, {"a": [1, 2]}, ["output.a has 2 items, not 1"]),
        ({"a": True}, {"a": 1}, ["output.a is 1, not true"]),
        (None, {"a": 1}, ['output is {"a": 1}, not null']),
        ({"a": None}, {"a": None}, []),
    ],
)
def test_expected_members_have_to_be_there_and_others_may(expected: object, output: object, said: list[str]) -> None:
    assert list(differences(expected, output)) == said
