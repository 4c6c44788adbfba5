"""The browser, and that tests marked `browser` run on its thread."""

from __future__ import annotations

import os
from collections.abc import Generator
from functools import partial

import pytest

from tests.console.stage import Stage, missing


@pytest.fixture(scope="session")
def stage() -> Generator[Stage]:
    """The browser of this test process, started by the first test that needs it."""
    why = missing()
    if why is not None:
        (pytest.fail if os.environ.get("AGENTKIT_REQUIRE_BROWSER") else pytest.skip)(why)
    with Stage() as found:
        yield found


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs the body of a browser test where the browser is; its fixtures stay where they are."""
    if pyfuncitem.get_closest_marker("browser") is None:
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    pyfuncitem.funcargs["stage"].run(partial(pyfuncitem.obj, **arguments))
    return True
