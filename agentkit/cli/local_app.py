"""An app folder on a runtime of its own: for as long as one command takes. Its environment and its home are kept."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from agentkit.apps.manifest import FILE_NAME, Manifest
from agentkit.cli.scratch import scratch_folder
from agentkit.cli.screen import Screen
from agentkit.client.inference import Inference
from agentkit.errors import AppDefinitionError
from agentkit.local import Runtime
from agentkit.runtime.credentials.secrets import Secrets
from agentkit.runtime.open import FleetConfig

__all__ = ["LocalApp", "opened", "read_manifest"]

WORKERS = FleetConfig(size=1, kill_seconds=1)  # whoever typed Ctrl-C twice waits for nothing else
LOGGER = "agentkit.apps"  # says what is installed for an app before its first task


@dataclass(frozen=True, slots=True)
class LocalApp:
    """The app, and a client of the runtime that has it."""

    client: Inference
    reference: str
    manifest: Manifest


@contextmanager
def opened(
    folder: Path, *, screen: Screen, secrets_file: Path | None = None, compat: bool = False
) -> Generator[LocalApp]:
    """While entered, the app can be run. Raises AppDefinitionError, ConfigError with what is wrong with the folder."""
    manifest = read_manifest(folder)
    reference = f"{manifest.namespace or 'local'}/{manifest.name}"
    with scratch_folder() as scratch, ExitStack() as stack:
        runtime = Runtime(
            scratch / "run.db", apps={reference: folder}, apps_folder=_apps_folder(), compat=compat, workers=WORKERS,
            secrets=_secrets(manifest, secrets_file),
        )  # fmt: skip
        with _said(screen):
            stack.enter_context(runtime)
        yield LocalApp(stack.enter_context(runtime.client()), reference, manifest)


def read_manifest(folder: Path) -> Manifest:
    """The inf.yml of an app folder. Raises AppDefinitionError with what to do."""
    if not (folder / FILE_NAME).is_file():
        where = "this folder" if folder == Path() else f"{str(folder)!r}"
        raise AppDefinitionError(f"{where} is no app: it has no {FILE_NAME}; agentkit app init makes one")
    return Manifest.read(folder)


def _secrets(manifest: Manifest, file: Path | None) -> Mapping[str, str]:
    """What the app names, from the environment, and from the file where one is given."""
    named = {each.key: os.environ[each.key] for each in manifest.secrets if each.key in os.environ}
    return {**named, **Secrets.collect(None, environ=os.environ, file=file)}


def _apps_folder() -> Path | None:
    """Where the next run finds what this one installed and downloaded; None where there is no such place."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agentkit" / "apps"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # no home
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


class _Said(logging.Handler):
    """Says what is logged."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.INFO)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        self._screen.say(record.getMessage())


@contextmanager
def _said(screen: Screen) -> Generator[None]:
    logger, handler = logging.getLogger(LOGGER), _Said(screen)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
