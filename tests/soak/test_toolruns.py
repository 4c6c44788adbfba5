"""A few runs of parallel tools in every run of the tests; `make soak` has a thousand."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from tests.soak.toolruns import PARALLEL, soak


@pytest.mark.requirement("tool:one-terminal")
@pytest.mark.heavy
@pytest.mark.timeout(120)
@pytest.mark.skipif(sys.platform != "linux", reason="it looks for processes in /proc")
async def test_every_invocation_ends_once_through_kills_of_the_mcp_server(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    report = await soak(30, seed=seed, folder=tmp_path, kill_pause=0.2)
    assert sum(report.invocations.values()) == 30 * PARALLEL
