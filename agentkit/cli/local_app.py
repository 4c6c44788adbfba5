"""An app folder on a runtime of its own: for as long as one command takes, and nothing is left but its environment."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from agentkit.apps.manifest import FILE_NAME, Manifest
from agentkit.cli.screen import Screen
from agentkit.client.inference import Inference
from agentkit.errors import AppDefinitionError
from agentkit.local import Runtime
from agentkit.runtime.secrets import Secrets
from agentkit.runtime.workshop import ENVIRONMENTS

__all__ = ["LocalApp", "opened", "read_manifest"]

LOGGER = "agentkit.apps"  # says what is installed for an app before its first task


@dataclass(frozen=True, slots=True)
class LocalApp:
    """The app, and a client of the runtime that has it."""

    client: Inference
    reference: str
    manifest: Manifest


@contextmanager
def opened(folder: Path, *, screen: Screen, secrets_file: Path | None = None) -> Generator[LocalApp]:
    """While entered, the app can be run. Raises AppDefinitionError, ConfigError with what is wrong with the folder."""
    manifest = read_manifest(folder)
    reference = f"{manifest.namespace or 'local'}/{manifest.name}"
    with tempfile.TemporaryDirectory(prefix="agentkit-run-", ignore_cleanup_errors=True) as temporary:
        db = Path(temporary) / "run.db"
        _keep_environments(Path(f"{db}.apps"))
        runtime = Runtime(db, apps={reference: folder}, workers=1, secrets=_secrets(manifest, secrets_file))
        with ExitStack() as stack:
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


def _keep_environments(folder: Path) -> None:
    """Lets the runtime find the environments that were made for apps before: installing packages takes a while."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agentkit" / "environments"
    cache.mkdir(parents=True, exist_ok=True)
    folder.mkdir()
    (folder / ENVIRONMENTS).symlink_to(cache, target_is_directory=True)


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
