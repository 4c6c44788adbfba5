"""A real browser for the tests: Playwright on a thread of its own, driving the Chromium that is installed.

Playwright's synchronous interface keeps an event loop in the thread that it was started in, so that thread can be none
in which tests with event loops of their own run. Tests marked `browser` are run there (`conftest`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Playwright, Request

T = TypeVar("T")

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--no-default-browser-check",
)  # fmt: skip
WIDE = {"width": 1280, "height": 800}
PHONE = {"width": 375, "height": 812}
PATIENCE_MS = 10_000
HERE = ("127.0.0.1", "localhost")


def chromium() -> str | None:
    """The browser of this machine."""
    chosen = os.environ.get("AGENTKIT_CHROMIUM")
    return chosen or next((path for name in NAMES if (path := shutil.which(name))), None)


def missing() -> str | None:
    """Why there can be no browser; None where there can."""
    if find_spec("playwright") is None:
        return "no Playwright: pip install playwright"
    if chromium() is None:
        return (
            f"no browser: apt-get install chromium, or name one as AGENTKIT_CHROMIUM ({', '.join(NAMES)} are not here)"
        )
    return None


class Stage:
    """The thread, and the browser on it. What touches a page runs there, through `run`."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="browser-stage")
        self._playwright: Playwright
        self._browser: Browser

    def __enter__(self) -> Self:
        self.run(self._start)
        return self

    def __exit__(self, *exc: object) -> None:
        self.run(self._stop)
        self._thread.shutdown()

    def run(self, play: Callable[[], T]) -> T:
        """What `play` returns, or raises, on the browser's thread."""
        return self._thread.submit(play).result()

    @contextmanager
    def visiting(self, url: str, *, forgives: Sequence[str] = (), **options: Any) -> Generator[Visitor]:
        """A person with a browser of their own at this server, on the browser's thread.

        Fails for whatever the browser complains of, unless it has one of the texts that are forgiven in it, and for a
        request that leaves this machine. `options` are the context's.
        """
        context = self._browser.new_context(**{"viewport": WIDE, "base_url": url, **options})
        context.set_default_timeout(PATIENCE_MS)
        visitor = Visitor(context, context.new_page(), tuple(forgives))
        visitor.listen()
        try:
            yield visitor
        finally:
            context.close()
        assert not visitor.complaints, visitor.complaints

    def _start(self) -> None:
        from playwright.sync_api import expect, sync_playwright

        expect.set_options(timeout=PATIENCE_MS)
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))

    def _stop(self) -> None:
        self._browser.close()
        self._playwright.stop()


@dataclass
class Visitor:
    """A browser with cookies of its own, at one page."""

    context: BrowserContext
    page: Page
    forgives: tuple[str, ...]
    complaints: list[str] = field(default_factory=list)

    def listen(self) -> None:
        """Notes what the browser complains of from now on; violations of the content policy are among it."""
        self.context.on("console", self._said)
        self.context.on("weberror", lambda error: self._complain(f"uncaught: {error.error}"))
        self.context.on("request", self._asked)

    def goto(self, path: str = "/console", *, ready: str = "inbox") -> None:
        """Opens a page and waits until it is there."""
        self.page.goto(path)
        self.ready(ready)

    def ready(self, name: str) -> None:
        """Waits until this page has been rendered."""
        self.page.locator(f'html[data-ready="{name}"]').wait_for(state="attached")

    def by(self, test_id: str) -> Locator:
        """What is marked with this id."""
        return self.page.get_by_test_id(test_id)

    def sign_in(self, key: str, *, ready: str = "inbox") -> None:
        """Types the key."""
        self.by("api-key").fill(key)
        self.by("sign-in").click()
        self.ready(ready)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._complain(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in ("data", "blob") and url.hostname not in HERE:
            self._complain(f"a request to {request.url}")

    def _complain(self, text: str) -> None:
        if not any(each in text for each in self.forgives):
            self.complaints.append(text)


def expect(found: Any) -> Any:
    """Playwright's assertions, which wait."""
    from playwright.sync_api import expect as expects

    return expects(found)
