"""App versions made ready to run on this machine: unpacked, with an environment, once each.

Each app has a home folder, which its versions share and no other app has: what it downloads is there the next time.
"""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final, TypeAlias

import anyio
import anyio.to_thread

from agentkit.errors import AppError, StoreError
from agentkit.runtime import bundles
from agentkit.runtime.builds import Log
from agentkit.runtime.credentials.secrets import Hidden
from agentkit.runtime.environments import Environments
from agentkit.runtime.faults import Fault
from agentkit.runtime.ports import Source, Store
from agentkit.runtime.records import AppVersionRecord
from agentkit.runtime.store.blobs import Blobs
from agentkit.wire import AppVersionInput

__all__ = ["Preparing", "Variables", "Workshop", "apps_beside"]

Preparing: TypeAlias = Callable[[], Awaitable[object]]
"""Called once, before the first piece of work that takes time."""
Variables: TypeAlias = Callable[[str, AppVersionInput], Awaitable[Hidden]]
"""What an owner's workers of a version find in their environment, of the secrets it asks for. May raise Fault."""
ENVIRONMENTS: Final = ".environments"
HOMES: Final = "homes"


def apps_beside(db: str | Path) -> Path | None:
    """The folder for unpacked apps: `<db>.apps`; None, a temporary one, for a database in memory."""
    return None if str(db) == ":memory:" else Path(f"{db}.apps").absolute()


class Workshop:
    """A folder of unpacked apps and their environments. `folder` None: a temporary one, removed on close."""

    def __init__(self, store: Store, *, blobs: Blobs, variables: Variables, folder: Path | None) -> None:
        self._store = store
        self._blobs = blobs
        self._variables = variables
        self._given = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._seen: set[str] = set()  # versions whose folder was looked through by this process
        self._turns: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)
        self.environments = Environments(lambda: self.folder / ENVIRONMENTS)

    @property
    def folder(self) -> Path:
        """Where the apps lie; made when the first is."""
        if self._given is not None:
            return self._given
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="agentkit-apps-")
        return Path(self._temporary.name)

    def close(self) -> None:
        """Removes the folder where it was a temporary one."""
        if self._temporary is not None:
            for each in self.folder.iterdir():
                bundles.remove(each)
            self._temporary.cleanup()
            self._temporary = None

    async def source(self, version_id: str, *, owner: str, log: Log, preparing: Preparing) -> Source:
        """The version, ready to be run for an owner; `log` gets what building it printed. Raises AppError.

        Who asks for one that is being made waits for it.
        """
        version = await self._store.read(lambda tx: tx.get(AppVersionRecord, version_id))
        if version is None:
            raise AppError(f"the app version {version_id!r} was deleted")
        once = _Once(preparing)
        folder = await self._folder_of(version, once)
        python = await self.environments.python_for(
            folder, kernel=version.config.kernel, identity=version.checksum or version.id, is_compat=version.is_compat,
            log=log, preparing=once,
        )  # fmt: skip
        config = version.config
        env = Hidden({name: str(value) for name, value in config.env.items() if value is not None})
        try:
            env |= await self._variables(owner, config)
        except Fault as error:
            raise AppError(error.detail) from None
        # `resources.ram` says what the app needs, not what it may have: a limit below it would break what maps a lot.
        home = await anyio.to_thread.run_sync(_made_home, self.folder / HOMES / version.app_id)
        return Source(folder, python, env, is_compat=version.is_compat, home=home)

    async def forget(self, version_ids: Iterable[str], *, app_id: str | None = None) -> None:
        """Removes what was unpacked of these versions, which are deleted; with `app_id` the app's home too."""
        if app_id is not None and (self._given is not None or self._temporary is not None):
            await anyio.to_thread.run_sync(bundles.remove, self.folder / HOMES / app_id)
        for version_id in version_ids:
            self._seen.discard(version_id)
            if self._given is not None or self._temporary is not None:
                await anyio.to_thread.run_sync(bundles.remove, self.folder / version_id)

    async def _folder_of(self, version: AppVersionRecord, preparing: Preparing) -> Path:
        if version.folder is not None:
            return await anyio.to_thread.run_sync(_given_folder, version.folder)
        if version.bundle_sha256 is None:
            raise AppError(f"the app version {version.id!r} has no code; deploy it again")
        target, zipped = self.folder / version.id, self._blobs.path(version.bundle_sha256)
        async with self._turns[version.id]:
            if version.id in self._seen and target.is_dir():
                return target
            try:
                if not await anyio.to_thread.run_sync(bundles.is_unpacked, zipped, target):
                    await preparing()
                    await anyio.to_thread.run_sync(bundles.unpack, zipped, target)
            except FileNotFoundError:
                raise AppError(f"the code of app version {version.id!r} is gone from this machine; deploy it") from None
            except OSError as error:
                raise StoreError(f"the app cannot be unpacked in {str(self.folder)!r}: {error.strerror}") from None
            self._seen.add(version.id)
        return target


class _Once:
    """Calls through the first time only."""

    def __init__(self, call: Preparing) -> None:
        self._call: Preparing | None = call

    async def __call__(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            await call()


def _made_home(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chmod(folder, 0o700)
    except OSError as error:
        raise StoreError(f"the app's home {str(folder)!r} cannot be made: {error.strerror}") from None
    return folder


def _given_folder(text: str) -> Path:
    folder = Path(text)
    if not folder.is_dir():
        raise AppError(f"the app's folder {text!r} is gone")
    return folder
