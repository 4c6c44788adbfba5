"""The server under test: the real one behind a socket, with keys and a scripted model in the test's own process."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from agentkit import Inference, inference
from agentkit.testing import Scripted
from tests.conformance.official import KEY
from tests.runtime.serving import Served, served

__all__ = ["Home", "home"]

AT_ONCE = 2  # apps that are described and deployed


@dataclass(frozen=True)
class Home:
    """A running server and its model."""

    server: Served
    model: Scripted
    key: str = KEY

    @property
    def url(self) -> str:
        """Its base URL."""
        return self.server.url

    def content(self, uri: str, *, public: bool = False) -> bytes:
        """The bytes of a file, as its owner or as the public gets them."""
        file_id = uri.removeprefix("inf://files/").split("/")[0]
        headers = {} if public else {"Authorization": f"Bearer {self.key}"}
        response = httpx.get(f"{self.url}/files/{file_id}/content", headers=headers)
        assert response.status_code == 200, response.text
        return response.content

    @contextmanager
    def client(self) -> Generator[Inference]:
        """A client of ours, over the socket."""
        with inference(api_key=self.key, base_url=self.url) as client:
            yield client


@contextmanager
def home(*steps: Any, key: str = KEY, apps: Mapping[str, Path] | None = None, **more: Any) -> Generator[Home]:
    """The server while it runs; `more` goes to `open_platform`. The model gives these answers, one per request.

    `apps` are folders by reference. Those whose version is named (`my-app@abc123`) are given to the runtime, which
    takes that for the version's id; the others are deployed, several at a time.
    """
    model = Scripted(steps)
    given = {reference: folder for reference, folder in (apps or {}).items() if "@" in reference}
    deployed = [folder for reference, folder in (apps or {}).items() if "@" not in reference]
    with served(**{"providers": {"scripted": model}, "keys": [key], "apps": given, **more}) as server:
        there = Home(server, model, key)
        with there.client() as client, ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(client.apps.deploy, deployed))
        yield there
