"""The public names of the author side, and the examples in its docstrings."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

from agentkit import apps

MODULES = sorted(each.name for each in pkgutil.iter_modules(apps.__path__, "agentkit.apps."))


def test_all_public_names_are_there() -> None:
    assert [name for name in apps.__all__ if not hasattr(apps, name)] == []
    assert set(apps.__all__) <= set(dir(apps))
    with pytest.raises(AttributeError, match="no attribute 'Teleporter'"):
        apps.Teleporter  # noqa: B018  reading it is the test


def test_the_names_for_type_checkers_are_those_at_run_time() -> None:
    block = inspect.getsource(apps).partition("if TYPE_CHECKING:")[2].partition("\n_HOMES")[0]
    assert {line.rpartition(" as ")[2].strip() for line in block.splitlines() if " as " in line} == set(apps.__all__)


@pytest.mark.parametrize("name", apps.__all__)
def test_every_public_name_has_a_docstring(name: str) -> None:
    assert (getattr(apps, name).__doc__ or "").strip()


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_run(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def test_importing_the_author_side_loads_no_client_and_no_runtime() -> None:
    code = (
        "import sys; from agentkit.apps import BaseApp, File, Metadata, Hosted, LLMInput, discover\n"
        "print([name for name in sys.modules if name.startswith(('agentkit.client', 'agentkit.runtime', 'yaml'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "[]\n"
