"""Describing an app, here and in a process of its own, and the schema files next to its code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentkit.apps.describe import describe, write_schemas
from agentkit.errors import AppDefinitionError
from tests.apps.folders import write_app

APP = """
print("importing")
import os; os.write(1, b"from below\\n")

class App(BaseApp):
    async def run(self, it: In) -> Out:
        \"\"\"Answers.\"\"\"
    def odd(self, it: In): ...
"""
MANY = """
class App(BaseApp):
    async def open(self, it: In) -> Out: ...
    async def watch(self, it: In) -> AsyncGenerator[Out, None]:
        yield Out(text="")
"""


def described(folder: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, answer and stderr of the command."""
    command = [sys.executable, "-m", "agentkit.apps.describe", str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.mark.timeout(60)
def test_another_process_prints_the_description_and_nothing_else(tmp_path: Path) -> None:
    code, answer, noise = described(write_app(tmp_path / "app", APP))
    assert code == 0
    assert answer["manifest"]["name"] == "probe"
    assert answer["default_function"] == "run" and answer["setup_schema"] is None
    assert answer["functions"]["run"]["kind"] == "run" and answer["functions"]["run"]["description"] == "Answers."
    assert answer["input_schema"] == answer["functions"]["run"]["input_schema"] == answer["version"]["input_schema"]
    assert list(answer["output_schema"]["properties"]) == ["text", "output_meta"]
    assert answer["warnings"] == ["App.odd: the return type is missing; write `-> AppOutput` with "
                                  "`class AppOutput(BaseAppOutput)`"]  # fmt: skip
    assert "importing" in noise and "from below" in noise


@pytest.mark.timeout(60)
def test_another_process_tells_an_error_as_json(tmp_path: Path) -> None:
    code, answer, _ = described(write_app(tmp_path / "app", "raise RuntimeError('no \"GPU\"')"))
    assert code == 1
    assert answer["error"].endswith('inference.py: RuntimeError: no "GPU" (line 12 of inference.py)')


@pytest.mark.timeout(60)
def test_another_process_describes_an_app_of_the_official_sdk(tmp_path: Path) -> None:
    app = "class App(BaseApp):\n    async def run(self, it: BaseAppInput) -> BaseAppOutput: ...\n"
    head = "from inferencesh import BaseApp, BaseAppInput, BaseAppOutput\n"
    code, answer, _ = described(write_app(tmp_path / "app", app, head=head), "--compat")
    assert (code, answer["default_function"]) == (0, "run")


def test_an_app_without_a_manifest_cannot_be_described(tmp_path: Path) -> None:
    with pytest.raises(AppDefinitionError, match=r"has no inf\.yml; write one that begins with `name: my-app`"):
        describe(write_app(tmp_path / "app", MANY, manifest=None))


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("class App(BaseApp):\n    async def run(self, it: Odd) -> Out: ...", "the input of 'run'"),
        ("class App(BaseApp):\n    async def run(self, it: In) -> Odd: ...", "the output of 'run'"),
        (
            "class App(BaseApp):\n    async def setup(self, it: Odd): ...\n    async def run(self, it: In) -> Out: ...",
            "the setup",
        ),
    ],
)
def test_a_type_that_json_does_not_have_is_an_error_that_says_where(tmp_path: Path, code: str, what: str) -> None:
    odd = "from collections.abc import Callable\nclass Odd(BaseAppOutput):\n    call: Callable[[], int]\n"
    with pytest.raises(AppDefinitionError, match=rf"^{what} cannot be described as JSON: .*CallableSchema"):
        describe(write_app(tmp_path / "app", odd + code))


def test_an_app_of_several_functions_without_a_default_has_no_schemas_of_its_own(tmp_path: Path) -> None:
    description = describe(write_app(tmp_path / "app", MANY))
    assert (description.default_function, description.input_schema, description.output_schema) == (None, None, None)
    assert {name: each.kind for name, each in description.functions.items()} == {"open": "run", "watch": "stream"}


def test_schema_files_are_written_for_one_function_or_for_many(tmp_path: Path) -> None:
    folder = write_app(tmp_path / "app", APP)
    assert [path.name for path in write_schemas(folder)] == ["input_schema.json", "output_schema.json"]
    assert json.loads((folder / "input_schema.json").read_text())["properties"]["text"]["default"] == "?"
    write_app(folder, MANY)
    assert [path.name for path in write_schemas(folder)] == ["functions_schema.json"]
    functions = json.loads((folder / "functions_schema.json").read_text())
    assert list(functions) == ["open", "watch"]
    assert set(functions["watch"]) == {"description", "input_schema", "output_schema", "kind"}
    assert not (folder / "input_schema.json").exists()
