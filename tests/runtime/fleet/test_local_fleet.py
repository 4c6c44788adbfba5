"""The fleet of this machine does what every fleet must."""

from __future__ import annotations

import pytest

from agentkit.runtime.fleet.local import LocalFleet
from tests.runtime.fleet.fleet_conformance import FleetConformance, MakeFleet

pytestmark = pytest.mark.heavy  # real processes


class TestLocalFleet(FleetConformance):
    @pytest.fixture
    def make_fleet(self) -> MakeFleet:
        return lambda size, **limits: LocalFleet(size, **limits)
