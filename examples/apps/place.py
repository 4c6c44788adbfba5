"""Where an example program runs its app: on a platform in this process, or on a server that you name."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from agentkit import AgentKitError, Inference, Runtime, inference

__all__ = ["app_at", "parser"]

APPS = Path(__file__).parent


def parser(module: str, text: str | None) -> argparse.ArgumentParser:
    """A command line of `python -m <module>` that says where to run."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=text)
    made.add_argument(
        "--base-url",
        metavar="URL",
        help="a server, as of `agentkit serve`, to deploy the app to and run it there; the key, where it needs one, "
        "is INFERENCE_API_KEY. Without it everything runs in this process, offline",
    )
    return made


@contextmanager
def app_at(folder: str, base_url: str | None, *, workers: int | None = None) -> Generator[tuple[Inference, str]]:
    """A client, and how the app of that folder is called there.

    A server gets the app deployed, unless it has this very version. What goes wrong ends the program with a sentence.
    """
    try:
        if base_url is None:
            app = f"examples/{folder.replace('_', '-')}"
            with Runtime(apps={app: APPS / folder}, workers=workers) as runtime, runtime.client() as client:
                yield client, app
        else:
            with inference(base_url=base_url) as client:
                deployed = client.apps.deploy(APPS / folder)
                yield client, f"{deployed.namespace}/{deployed.name}"
    except (AgentKitError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
