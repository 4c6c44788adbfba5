"""Apps given in code, as folders of this machine: described by a process of their own, then stored like others.

The folder is the code: when it changes, the app's version changes with it at the next start.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.lowlevel
import anyio.to_thread
from pydantic import ValidationError
from pydantic_core import from_json

import agentkit
from agentkit.apps.manifest import Manifest
from agentkit.errors import AgentKitError, AppError, ConfigError, ReferenceSyntaxError
from agentkit.protocol.refs import Reference
from agentkit.runtime.appversions import Code, add_version, check_name, check_version
from agentkit.runtime.builds import build_variables
from agentkit.runtime.bundles import IMPORT
from agentkit.runtime.faults import Fault
from agentkit.runtime.ids import hashed
from agentkit.runtime.ports import Reading, Store, Writing
from agentkit.runtime.records import AppRecord, AppVersionRecord
from agentkit.runtime.service import LOCAL
from agentkit.runtime.workshop import Workshop
from agentkit.wire import AppVersionInput

__all__ = ["Described", "describe_folders", "predefine_app"]

logger = logging.getLogger("agentkit.apps")

AT_ONCE: Final = 4
DESCRIBE_SECONDS: Final = 300.0
ID_LENGTH: Final = 26  # the same folder is the same app in every database: what is kept for it is found again
READ_BYTES: Final = 1 << 20  # a larger file is told apart by its size and time
_LEFT_OUT: Final = ("__pycache__", "node_modules", "venv")
_TEXTS: Final = ("description", "agent_description", "category")


@dataclass(frozen=True, slots=True)
class Described:
    """An app folder as it is now."""

    code: Code
    version: AppVersionInput
    manifest: Mapping[str, Any]


async def describe_folders(
    apps: Mapping[str, str | Path], *, store: Store, workshop: Workshop, compat: bool = False
) -> dict[str, Described | None]:
    """What these folders hold, by reference, several at a time; None where the stored version is up to date.

    `compat`: `import inferencesh` means agentkit in all of them, also where no line of theirs shows it. Requirements of
    theirs are installed first, as they are before a run. Raises ConfigError naming the app.
    """
    found: dict[str, Described | None] = {}
    limit = anyio.CapacityLimiter(AT_ONCE)

    async def describe(ref: str, folder: str | Path) -> None:
        async with limit:
            try:
                found[ref] = await _described(ref, Path(folder), store=store, workshop=workshop, compat=compat)
            except AppError as error:
                failures.append(ConfigError(f"app {ref!r}: {error}"))
            except AgentKitError as error:
                failures.append(error)

    failures: list[AgentKitError] = []
    async with anyio.create_task_group() as group:
        for ref, folder in apps.items():
            group.start_soon(describe, ref, folder)
    if failures:
        raise failures[0]
    return found


def predefine_app(tx: Writing, ref: str, described: Described | None) -> None:
    """Stores an app given in code under its reference; the version in the reference becomes the version's id.

    Raises ConfigError where it could not run here.
    """
    if described is None:
        return
    parsed = _parsed(ref)
    namespace = parsed.namespace or LOCAL
    try:
        check_name(namespace, parsed.name)
        check_version(described.version)
    except Fault as error:
        raise ConfigError(f"app {ref!r}: {error.detail}") from None
    about = {name: str(described.manifest.get(name) or "") for name in _TEXTS}
    app = _stored(tx, namespace, parsed.name)
    if app is None:
        app_id = hashed(f"{namespace}/{parsed.name}\0{described.code.folder}")[:ID_LENGTH]
        app = tx.insert(AppRecord(id=app_id, owner=LOCAL, namespace=namespace, name=parsed.name))
    taken = tx.get(AppVersionRecord, parsed.version) if parsed.version else None
    if taken is not None and taken.app_id != app.id:
        raise ConfigError(f"app {ref!r}: another app has the version {parsed.version!r}; give this one another")
    version = _version(tx, app, described, version_id=parsed.version)
    tx.update(app.but(**about, version_id=version.id, images=dict(described.manifest.get("images") or {})))


# -- describing ----------------------------------------------------------------------------------------------------


async def _described(ref: str, folder: Path, *, store: Store, workshop: Workshop, compat: bool) -> Described | None:
    folder = await anyio.to_thread.run_sync(folder.absolute)
    code = await anyio.to_thread.run_sync(_looked_through, folder)
    code = replace(code, is_compat=code.is_compat or compat)
    parsed = _parsed(ref)

    def is_known(tx: Reading) -> bool:
        app = _stored(tx, parsed.namespace or LOCAL, parsed.name)
        version = tx.get(AppVersionRecord, app.version_id) if app and app.version_id else None
        if app is None or version is None or parsed.version not in (None, version.id):
            return False
        return (version.folder, version.checksum, version.is_compat) == (code.folder, code.checksum, code.is_compat)

    if await store.read(is_known):
        return None
    manifest = await anyio.to_thread.run_sync(Manifest.read, folder)
    python = await workshop.environments.python_for(
        folder, kernel=manifest.kernel, identity=code.checksum, is_compat=code.is_compat,
        log=lambda text: logger.info("app %s: %s", ref, text.rstrip()), preparing=anyio.lowlevel.checkpoint,
    )  # fmt: skip
    told = await _describe(folder, python=python, is_compat=code.is_compat)
    try:
        return Described(code, AppVersionInput.parse(told.get("version")), told.get("manifest") or {})
    except ValidationError as error:
        raise AppError(f"its description does not fit: {error.errors(include_url=False)[0]['msg']}") from None


async def _describe(folder: Path, *, python: Path, is_compat: bool) -> dict[str, Any]:
    command = [str(python), "-P", "-m", "agentkit.apps.describe", str(folder), *(["--compat"] if is_compat else [])]
    env = {**build_variables(), "PYTHONDONTWRITEBYTECODE": "1"}
    if str(python) == sys.executable:
        env["PYTHONPATH"] = str(Path(agentkit.__file__).resolve().parent.parent)  # where we are not installed
    with anyio.move_on_after(DESCRIBE_SECONDS):
        done = await anyio.run_process(command, stdin=subprocess.DEVNULL, check=False, env=env, cwd=folder)
        try:
            told = from_json(done.stdout)
        except ValueError:
            last = done.stderr.decode(errors="replace").strip().splitlines()
            raise AppError(f"it cannot be described: {last[-1] if last else f'exit code {done.returncode}'}") from None
        if "error" in told:
            raise AppError(str(told["error"]))
        return dict(told)
    raise AppError(f"it cannot be described: importing it took longer than {DESCRIBE_SECONDS:g} s")


def _looked_through(folder: Path) -> Code:
    """Blocks. Raises AppError where there is no such folder, or something in it cannot be read."""
    if not folder.is_dir():
        raise AppError(f"{str(folder)!r} is no folder; give the one that holds inf.yml and inference.py")
    try:
        return _read_through(folder)
    except OSError as error:
        raise AppError(f"{error.filename!r} cannot be read: {error.strerror}") from None


def _read_through(folder: Path) -> Code:
    digest, is_compat = hashlib.sha256(f"{agentkit.__version__}\0{folder}\0".encode()), False
    for path in sorted(_files(folder)):
        found = path.stat()
        digest.update(f"{path.relative_to(folder)}\0{found.st_size}\0".encode("utf-8", "surrogateescape"))
        if found.st_size > READ_BYTES:
            digest.update(f"{found.st_mtime_ns}\0".encode())
            continue
        content = path.read_bytes()
        digest.update(content)
        is_compat = is_compat or (path.suffix == ".py" and IMPORT.search(content) is not None)
    return Code(folder=str(folder), is_compat=is_compat, checksum=digest.hexdigest())


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _LEFT_OUT]
        yield from (path for name in files if (path := Path(root, name)).is_file())


# -- storing -------------------------------------------------------------------------------------------------------


def _parsed(ref: str) -> Reference:
    try:
        parsed = Reference.parse(ref)
    except ReferenceSyntaxError as error:
        raise ConfigError(str(error)) from None
    if parsed.function is not None or parsed.type not in (None, "app"):
        raise ConfigError(f"app {ref!r}: give it as namespace/name, without a type or function")
    return parsed


def _stored(tx: Reading, namespace: str, name: str) -> AppRecord | None:
    return next(iter(tx.find(AppRecord, owner=LOCAL, namespace=namespace, name=name, limit=1)), None)


def _version(tx: Writing, app: AppRecord, described: Described, *, version_id: str | None) -> AppVersionRecord:
    """The version of the folder: changed where it is, for the code that it had before is there no more."""
    code = described.code
    known = tx.find(AppVersionRecord, app_id=app.id, descending=True)
    same = next((each for each in known if each.folder == code.folder and version_id in (None, each.id)), None)
    if same is None:
        return add_version(tx, app, described.version, code=code, version_id=version_id)
    changed: AppVersionRecord = same.but(config=described.version, checksum=code.checksum, is_compat=code.is_compat)
    return tx.update(changed)
