"""The official SDKs as fixtures; installing one for the first time takes longer than a test may."""

from __future__ import annotations

import pytest

from tests.conformance import official
from tests.conformance.official import NEWEST, PUBLISHED, Sdk

SDKS = {"published", "newest", "wheel", "package"}
TIMEOUT_SECONDS = 300


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives the tests that use an SDK the time its installation takes."""
    for item in items:
        if SDKS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))


@pytest.fixture(scope="session")
def published() -> Sdk:
    """The wheel of seeds/003."""
    return official.install_wheel(PUBLISHED)


@pytest.fixture(scope="session")
def newest() -> Sdk:
    """The newest wheel."""
    return official.install_wheel(NEWEST)


@pytest.fixture(params=["published", "newest"])
def wheel(request: pytest.FixtureRequest) -> Sdk:
    """Either wheel."""
    sdk = request.getfixturevalue(request.param)
    assert isinstance(sdk, Sdk)
    return sdk


@pytest.fixture(scope="session")
def package() -> Sdk:
    """The JavaScript SDK."""
    return official.install_package()
