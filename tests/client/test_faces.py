"""What a program sees first: a quick import, names that are there, docstrings whose examples run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from typing import Any, get_origin

import pytest

import agentkit

HEAVY = ("httpx", "starlette", "pydantic", "jsonschema", "tenacity", "anyio", "asyncio", "sqlite3", "uvicorn")


def test_import_agentkit_loads_nothing_heavy() -> None:
    program = f"import sys, agentkit; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_building_tools_needs_no_network_library() -> None:
    program = "import sys; from agentkit import tool, string; print('httpx' in sys.modules, 'starlette' in sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.stdout.strip(), done.stderr) == ("False False", "")


def test_every_public_name_is_there_and_listed() -> None:
    assert list(agentkit.__all__) == ["__version__", *sorted(set(agentkit.__all__) - {"__version__"})]
    for name in agentkit.__all__:
        assert getattr(agentkit, name) is not None
    assert set(agentkit.__all__) <= set(dir(agentkit))
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        _ = agentkit.nothing_of_that_name  # type: ignore[attr-defined]


def test_the_names_for_type_checkers_are_those_at_run_time() -> None:
    source = inspect.getsource(agentkit)
    block = source.partition("if TYPE_CHECKING:")[2].partition("\n_HOMES")[0]
    imported = {line.rpartition(" as ")[2].strip() for line in block.splitlines() if " as " in line}
    assert imported == set(agentkit.__all__) - {"__version__"}


@pytest.mark.parametrize("name", sorted(set(agentkit.__all__) - {"__version__"}))
def test_every_public_name_has_a_docstring(name: str) -> None:
    thing = getattr(agentkit, name)
    if get_origin(thing) is not None or not (inspect.isclass(thing) or inspect.isfunction(thing)):
        return  # a type alias; its text stands under it
    assert (thing.__doc__ or "").strip(), f"agentkit.{name} has no docstring"
    if not inspect.isclass(thing) or not thing.__module__.startswith("agentkit.client"):
        return
    for member, value in vars(thing).items():
        if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
            assert inspect.getdoc(value), f"{name}.{member} has no docstring"


def modules() -> list[str]:
    found: list[str] = []
    for package in ("agentkit.client", "agentkit.protocol", "agentkit.tools", "agentkit.wire", "agentkit.testing"):
        path: Any = importlib.import_module(package).__path__
        found += [package, *(each.name for each in pkgutil.walk_packages(path, f"{package}."))]
    return [*found, "agentkit.errors", "agentkit.local"]


@pytest.mark.parametrize("name", modules())
def test_the_examples_in_docstrings_run(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert failed == 0


def test_there_are_examples_to_run() -> None:
    finder = doctest.DocTestFinder()
    with_examples = [
        name for name in modules() if any(each.examples for each in finder.find(importlib.import_module(name)))
    ]
    assert len(with_examples) > 10
