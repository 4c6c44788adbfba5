"""Importing app folders: as packages, next to each other, and what is said of those that cannot be imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agentkit.apps import load_app
from agentkit.errors import AppDefinitionError
from tests.apps.folders import MANIFEST, write_app

APP = """
class App(BaseApp):
    async def run(self, it: In) -> Out: ...
    def who(self):
        import helper
        return NAME, helper.NAME
"""


@pytest.mark.parametrize(
    "line",
    [
        "from .helper import NAME",
        "from helper import NAME",
        "import helper; NAME = helper.NAME",
        "from . import helper; NAME = helper.NAME",
        "from .inner.deep import NAME",
        "from inner.deep import NAME",
        "import inner.deep; NAME = inner.deep.NAME",
        "import inner.deep as deep; NAME = deep.NAME",
        "from loose.bits import NAME",
    ],
)
def test_files_next_to_the_app_are_imported_in_every_style(tmp_path: Path, line: str) -> None:
    folder = write_app(
        tmp_path / "my-app 2.0",
        f"{line}\n{APP}",
        helper__py="import json\nNAME = 'h'\n",
        inner__slash____init____py="",
        inner__slash__deep__py="from helper import NAME\n",
        loose__slash__bits__py="from ..helper import NAME\n",
    )
    loaded = load_app(folder)
    assert loaded.app().who() == ("h", "h")
    assert "helper" not in sys.modules and "inner" not in sys.modules
    assert str(folder) not in sys.path


def test_both_styles_mean_one_module(tmp_path: Path) -> None:
    code = f"import helper\nfrom . import helper as same\nassert helper is same\nNAME = ''\n{APP}"
    load_app(write_app(tmp_path / "app", code, helper__py="NAME = 'h'\n"))


def test_an_init_file_is_run_as_the_package(tmp_path: Path) -> None:
    folder = write_app(
        tmp_path / "app",
        f"from . import VALUE as NAME\n{APP}",
        __init____py="VALUE = 'from init'\n",
        helper__py="NAME = 1",
    )
    assert load_app(folder).app().who() == ("from init", 1)


def test_two_apps_do_not_see_each_others_files(tmp_path: Path) -> None:
    one = load_app(write_app(tmp_path / "one", f"from helper import NAME\n{APP}", helper__py="NAME = 'one'"))
    two = load_app(write_app(tmp_path / "two", f"from helper import NAME\n{APP}", helper__py="NAME = 'two'"))
    assert one.app().who() == ("one", "one")  # also what is imported only now
    assert two.app().who() == ("two", "two")
    with pytest.raises(AppDefinitionError, match="No module named 'helper'"):
        load_app(write_app(tmp_path / "three", f"from helper import NAME\n{APP}"))


def test_a_file_of_the_app_counts_before_a_package_but_not_before_the_standard_library(tmp_path: Path) -> None:
    code = f"import json, starlette\nNAME = [json.dumps(1), starlette.MINE]\n{APP}"
    files = {"json__py": "raise RuntimeError('not me')", "starlette__py": "MINE = True", "helper__py": "NAME = 1"}
    assert load_app(write_app(tmp_path / "app", code, **files)).app().who()[0] == ["1", True]


def test_loading_again_reads_what_has_changed(tmp_path: Path) -> None:
    folder = write_app(tmp_path / "app", f"from helper import NAME\n{APP}", helper__py="NAME = 'old'")
    assert load_app(folder).app().who()[0] == "old"
    (folder / "helper.py").write_text("NAME = 'newer'")
    assert load_app(folder).app().who()[0] == "newer"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "import missing_package",
            r"cannot import .*inference.py: ModuleNotFoundError: No module named 'missing_package' "
            r"\(line 12 of inference.py\); is it in requirements.txt, and installed here\?",
        ),
        ("raise RuntimeError('no GPU')", r"RuntimeError: no GPU \(line 12 of inference.py\)$"),
        (
            "class Odd(BaseModel):\n    x: object()",
            r"schema for <object.*fully support it\. \(line 12 of inference.py\)$",
        ),
        ("def (", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import inferencesh", "load it with compat=True"),
    ],
)
def test_an_import_that_fails_is_an_error_with_its_cause_and_leaves_no_module(
    tmp_path: Path, code: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "meta_path", [each for each in sys.meta_path if "compat" not in type(each).__module__])
    for name in [name for name in sys.modules if name.partition(".")[0] == "inferencesh"]:
        monkeypatch.delitem(sys.modules, name)
    before = set(sys.modules)
    with pytest.raises(AppDefinitionError, match=says) as caught:
        load_app(write_app(tmp_path / "app", code))
    assert caught.value.__cause__ is not None
    assert not [name for name in set(sys.modules) - before if name.startswith("agentkit_app_")]


def test_a_folder_that_is_no_python_app_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(AppDefinitionError, match="there is no app folder '/nowhere/at/all'"):
        load_app("/nowhere/at/all")
    (tmp_path / "empty").mkdir()
    with pytest.raises(AppDefinitionError, match=r"it has no inference\.py"):
        load_app(tmp_path / "empty")
    node = tmp_path / "node"
    (node / "src").mkdir(parents=True)
    (node / "src" / "inference.js").write_text("export class App {}")
    with pytest.raises(AppDefinitionError, match="Node app, and only Python apps run here"):
        load_app(node)
    (node / "inf.yml").write_text("name: n\nkernel: node-22\n")
    with pytest.raises(AppDefinitionError, match=r"inf\.yml: kernel: 'node-22' apps cannot run here"):
        load_app(node)


def test_an_app_needs_no_manifest_to_be_loaded(tmp_path: Path) -> None:
    code = f"NAME = 1\n{APP}"
    assert load_app(write_app(tmp_path / "bare", code, manifest=None)).manifest is None
    loaded = load_app(write_app(tmp_path / "full", code))
    assert loaded.manifest and loaded.manifest.to_yaml() == MANIFEST
