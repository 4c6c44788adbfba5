"""What holds for every test: no network, no threads left behind, asyncio and trio alike, reproducible randomness.

An async test needs no marker and runs once on asyncio and once on trio; `@pytest.mark.asyncio_only` and `trio_only`
keep it to one.
"""

from __future__ import annotations

import gc
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

BACKENDS = ("asyncio", "trio")
THREAD_PREFIX = "agentkit-"
THREAD_GRACE_SECONDS = 2.0

pytest_plugins = ["pytester"]  # test_conftest.py runs pytest on tests of its own

# -- randomness ----------------------------------------------------------------------------------------------------
# No deadline and no complaint about slow generation: the machines that run the tests share their cores.

settings.register_profile("local", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


# -- asyncio and trio ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The event loop an async test runs on; overridden by the two markers, and by modules that need more options."""
    return str(request.param)


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Keeps a test marked `asyncio_only` or `trio_only` to that one."""
    only = [backend for backend in BACKENDS if metafunc.definition.get_closest_marker(f"{backend}_only")]
    if only and "anyio_backend" in metafunc.fixturenames:
        # as a mark, because only a mark takes precedence over the parameters of the fixture
        metafunc.definition.add_marker(pytest.mark.parametrize("anyio_backend", only, scope="module"))


# -- the thorough run ----------------------------------------------------------------------------------------------
# What starts processes all the time, or asks the same of the event loop as others do, is `heavy`: it runs without trio
# unless `--thorough` asks for it too. An async client behind a socket is the thorough run's for most tests: async
# clients and servers behind sockets are met apart anyway, and together in `ASYNC_BEHIND_SOCKETS`.

ASYNC_BEHIND_SOCKETS = ("test_turns", "test_approvals", "test_interrupts")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--thorough`: leave nothing out (`make thorough`)."""
    parser.addoption("--thorough", action="store_true", help="run the heavy tests on trio too, and the `thorough` ones")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what only the thorough run does."""
    if config.getoption("--thorough"):
        return
    left_out = [item for item in items if _is_thorough(item)]
    items[:] = [item for item in items if item not in set(left_out)]
    config.hook.pytest_deselected(items=left_out)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Takes the modules of all tests out of the garbage collector's rounds, which would walk them again and again."""
    gc.collect()
    gc.freeze()


def _is_thorough(item: pytest.Item) -> bool:
    if item.get_closest_marker("thorough"):
        return True
    parameters: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    chosen = {value for value in parameters.values() if isinstance(value, str)}
    is_heavy = item.get_closest_marker("heavy") is not None
    is_far = "socket-asyncio" in chosen and item.path.stem not in ASYNC_BEHIND_SOCKETS
    return is_far or "socket-trio" in chosen or (is_heavy and not chosen.isdisjoint({"trio", "memory-trio"}))


# -- no network ----------------------------------------------------------------------------------------------------
# Subprocesses are beyond this guard. Every touch is also recorded, because the code under test may well turn the
# exception into one of its own and carry on.


class NetworkTouched(OSError):
    """A test tried to reach another machine."""


_touches: list[str] = []
_genuine: dict[str, Callable[..., Any]] = {}


def _is_loopback(host: str) -> bool:
    if host in ("", "localhost") or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _refuse(what: str) -> NetworkTouched:
    _touches.append(what)
    return NetworkTouched(
        f"the tests may not leave this machine, but one tried to {what}; use a loopback server or respx"
    )


def _guard_address(sock: socket.socket, verb: str, address: Any) -> None:
    is_internet = sock.family in (socket.AF_INET, socket.AF_INET6)
    if is_internet and not _is_loopback(str(address[0])):
        raise _refuse(f"{verb} {address[0]}:{address[1]}")


def _connect(self: socket.socket, address: Any) -> None:
    _guard_address(self, "connect to", address)
    _genuine["connect"](self, address)


def _connect_ex(self: socket.socket, address: Any) -> int:
    _guard_address(self, "connect to", address)
    return int(_genuine["connect_ex"](self, address))


def _sendto(self: socket.socket, data: Any, *flags_and_address: Any) -> int:
    _guard_address(self, "send a datagram to", flags_and_address[-1])
    return int(_genuine["sendto"](self, data, *flags_and_address))


def _getaddrinfo(host: str | bytes | None, *args: Any, **more: Any) -> Any:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host or ""
    if name.endswith(".invalid"):  # RFC 6761: never exists, and nobody need be asked to know it
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    if not _is_loopback(name) and not _is_literal(name):
        raise _refuse(f"look up {name}")
    return _genuine["getaddrinfo"](host, *args, **more)


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return False
    return True


def pytest_configure() -> None:
    """Puts the guard in place before a test module is imported."""
    guards = {"connect": _connect, "connect_ex": _connect_ex, "sendto": _sendto}
    for name, guard in guards.items():
        _genuine[name] = getattr(socket.socket, name)
        setattr(socket.socket, name, guard)
    _genuine["getaddrinfo"] = socket.getaddrinfo
    socket.getaddrinfo = _getaddrinfo


def pytest_unconfigure() -> None:
    """Takes the guard away, for a pytest that runs inside a program."""
    if _genuine:
        socket.getaddrinfo = _genuine.pop("getaddrinfo")
    for name in list(_genuine):
        setattr(socket.socket, name, _genuine.pop(name))


@pytest.fixture(autouse=True)
def stays_on_this_machine() -> Iterator[None]:
    """Fails a test during which anything tried to reach another machine, whatever became of the exception."""
    _touches.clear()
    yield
    if _touches:
        pytest.fail(f"the test tried to {', then to '.join(_touches)}; use a loopback server or respx", pytrace=False)


# -- no threads left behind ----------------------------------------------------------------------------------------


def _our_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith(THREAD_PREFIX)}


@pytest.fixture(autouse=True)
def leaves_no_threads() -> Iterator[None]:
    """Fails a test that leaves `agentkit-*` threads running: something was not closed, or its close does not join."""
    before = _our_threads()
    yield
    until = time.monotonic() + THREAD_GRACE_SECONDS
    for thread in _our_threads() - before:
        thread.join(max(0.0, until - time.monotonic()))
    left = sorted(thread.name for thread in _our_threads() - before)
    if left:
        pytest.fail(f"threads left running: {', '.join(left)}; close what started them", pytrace=False)
