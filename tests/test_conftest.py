"""The guards around every test do stop what they are there to stop."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
SETTINGS = """
[pytest]
anyio_mode = auto
timeout = 20
markers =
    asyncio_only
    trio_only
"""


@pytest.fixture
def guarded(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project of its own under our conftest."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # the others take seconds
    pytester.makeini(SETTINGS)
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    return pytester


def run(guarded: pytest.Pytester, source: str) -> pytest.RunResult:
    guarded.makepyfile(source)  # pyright: ignore[reportUnknownMemberType]  (pytest leaves its keyword arguments untyped)
    return guarded.runpytest_subprocess("-p", "no:cacheprovider", "-p", "anyio.pytest_plugin", "-p", "pytest_timeout")


def test_reaching_another_machine_fails_the_test_even_when_the_error_is_swallowed(guarded: pytest.Pytester) -> None:
    result = run(
        guarded,
        """
        import contextlib, pytest, socket
        from socket import AF_INET6, SOCK_DGRAM

        def connect():
            socket.create_connection(("203.0.113.7", 80), timeout=1)

        def look_up():
            socket.create_connection(("example.com", 80), timeout=1)

        def connect_ex():
            with socket.socket() as sock:
                sock.connect_ex(("203.0.113.8", 80))

        def send():
            with socket.socket(type=SOCK_DGRAM) as sock:
                sock.sendto(b"", ("203.0.113.7", 53))

        def connect_v6():
            with socket.socket(AF_INET6) as sock:
                sock.connect(("2001:db8::1", 80))

        @pytest.mark.parametrize("touch", [connect, look_up, connect_ex, send, connect_v6])
        def test_it(touch):
            with contextlib.suppress(OSError):
                touch()
        """,
    )
    result.assert_outcomes(passed=5, errors=5)
    touches = [
        "connect to 203.0.113.7:80",
        "look up example.com",
        "connect to 203.0.113.8:80",
        "send a datagram to 203.0.113.7:53",
        "connect to 2001:db8::1:80",
    ]
    result.stdout.fnmatch_lines([f"the test tried to {touch}; use a loopback server or respx" for touch in touches])


@pytest.mark.thorough
def test_loopback_and_unix_sockets_are_free_and_invalid_names_do_not_resolve(guarded: pytest.Pytester) -> None:
    result = run(
        guarded,
        """
        import pytest, socket

        @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
        def test_loopback(host):
            with socket.create_server(("127.0.0.1", 0)) as server:
                socket.create_connection((host, server.getsockname()[1])).close()

        def test_unix():
            near, far = socket.socketpair()
            with near, far, socket.socket(socket.AF_UNIX) as other:
                with pytest.raises(FileNotFoundError):
                    other.connect("nothing-here")

        def test_invalid():
            with pytest.raises(socket.gaierror):
                socket.getaddrinfo("nowhere.invalid", 80)
        """,
    )
    result.assert_outcomes(passed=4)


@pytest.mark.thorough
def test_a_thread_of_ours_left_running_fails_the_test_and_one_that_ends_does_not(guarded: pytest.Pytester) -> None:
    result = run(
        guarded,
        """
        import threading

        def test_leaves():
            threading.Thread(target=threading.Event().wait, name="agentkit-reader", daemon=True).start()

        def test_ends():
            threading.Thread(target=threading.Event().wait, args=(0.05,), name="agentkit-reader").start()
        """,
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*threads left running: agentkit-reader; close what started them*"])


def test_an_async_test_runs_on_asyncio_and_trio_unless_it_is_kept_to_one(guarded: pytest.Pytester) -> None:
    result = run(
        guarded,
        """
        import pytest, sniffio

        seen = []

        async def test_both():
            seen.append(sniffio.current_async_library())

        @pytest.mark.asyncio_only
        async def test_asyncio():
            assert sniffio.current_async_library() == "asyncio"

        @pytest.mark.trio_only
        async def test_trio():
            assert sniffio.current_async_library() == "trio"

        def test_the_first_ran_on_each():
            assert sorted(seen) == ["asyncio", "trio"]
        """,
    )
    result.assert_outcomes(passed=5)
