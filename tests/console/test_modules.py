"""The console's modules that need no page, tested where they run: by Node's own test runner."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agentkit.runtime.console.pages import pages

PAGES = Path(__file__).parents[2] / "agentkit" / "runtime" / "console"
SUITES = Path(__file__).parent / "modules"
NODE = shutil.which("node")

IMPORT = re.compile(r"""(?:from|import)\s+"\./([\w.-]+)";""")


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """The modules, where a package says what they are; the console's own folder needs no such file."""
    (tmp_path / "package.json").write_text('{"type": "module"}')
    for each in PAGES.glob("*.js"):
        shutil.copy(each, tmp_path)
    return tmp_path


@pytest.mark.skipif(NODE is None, reason="no node on PATH")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("suite", ["conversation", "values"])
def test_the_modules_pass_their_own_tests(suite: str, copies: Path) -> None:
    shutil.copy(SUITES / f"{suite}.test.mjs", copies)
    environ = {"PATH": os.environ["PATH"], "HOME": str(copies), "CONSOLE_PAGES": copies.as_uri()}
    done = subprocess.run(
        [NODE or "node", "--test", f"{suite}.test.mjs"],
        env=environ, cwd=copies, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout and "# tests 0" not in done.stdout


def test_every_module_is_imported_and_every_import_is_there() -> None:
    asked = {each.name: set(IMPORT.findall(each.read_text())) for each in PAGES.glob("*.js")}
    reached, new = set[str](), {"main.js"}
    while new:
        reached |= new
        new = {each for name in new for each in asked[name]} - reached
    assert reached == set(asked) == {name for name in pages() if name.endswith(".js")}


@pytest.mark.parametrize("name", sorted(each.name for each in PAGES.glob("*.js")))
def test_a_module_makes_no_markup_and_runs_no_text(name: str) -> None:
    source = (PAGES / name).read_text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\.srcdoc", source
    )
    assert not re.search(r"""["'`]https?://""", source)  # nothing is asked of any other server
