"""The services that apps need, over a store of their own, and little apps to put there."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentkit.runtime.appinputs import check_requirements, check_runnable
from agentkit.runtime.apprefs import ResolvedApp, resolve_app
from agentkit.runtime.apps import Apps
from agentkit.runtime.credentials.keychain import Keychain
from agentkit.runtime.credentials.needs import Holdings
from agentkit.runtime.credentials.secrets import Secrets
from agentkit.runtime.files import Files
from agentkit.runtime.open import files_beside
from agentkit.runtime.ports import Source
from agentkit.runtime.records import AppVersionRecord
from agentkit.runtime.store.blobs import Blobs
from agentkit.runtime.store.sqlite import SqliteStore
from agentkit.runtime.taskfiles import TaskFiles
from agentkit.runtime.workshop import Workshop, apps_beside
from agentkit.wire import CreateAppRequest, CreateFilesRequest, PartialFile

OWNER = "local"
INF = "name: echo\nkernel: python-3.11\n"
ECHO = """from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput


class In(BaseAppInput):
    text: str


class Out(BaseAppOutput):
    text: str


class App(BaseApp):
    async def run(self, given: In) -> Out:
        return Out(text=given.text)
"""
FILES: dict[str, str | bytes] = {"inf.yml": INF, "inference.py": ECHO}
TEXT_IN = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


def zip_of(files: Mapping[str, str | bytes] = FILES, *, top: str = "") -> bytes:
    """A zip of these files."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(f"{top}{name}"), content, zipfile.ZIP_DEFLATED)
    return held.getvalue()


def write_app(folder: Path, files: Mapping[str, str | bytes] = FILES) -> Path:
    """The files in a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


async def once(data: bytes) -> AsyncGenerator[bytes]:
    """The data in one piece."""
    yield data


@dataclass
class Shop:
    """The services."""

    store: SqliteStore
    blobs: Blobs
    files: Files
    apps: Apps
    workshop: Workshop
    task_files: TaskFiles
    secrets: Secrets
    built: list[str] = field(default_factory=list)
    prepared: int = 0

    async def upload(self, data: bytes, *, owner: str = OWNER, filename: str = "app.zip", **more: Any) -> str:
        """The URI of a file with these bytes."""
        request = CreateFilesRequest(files=[PartialFile(filename=filename, **more)])
        [made] = await self.files.create(owner, request, base_url="http://here")
        await self.files.put(made["id"], made["upload_url"].partition("token=")[2], once(data))
        return str(made["uri"])

    async def create(self, *, owner: str = OWNER, name: str = "echo", **more: Any) -> dict[str, Any]:
        """POST /apps; `version` and the rest as they are."""
        body = {"name": name, **({"version": {}} if "version" not in more else {}), **more}
        return await self.apps.create(owner, CreateAppRequest.parse(body))

    async def deploy(self, files: Mapping[str, str | bytes] = FILES, **more: Any) -> dict[str, Any]:
        """POST /apps with the code in a zip."""
        about = {"input_schema": TEXT_IN, "kernel": "python-3.11", **more.pop("version", {})}
        version = {"repository": await self.upload(zip_of(files)), **about}
        return await self.create(version=version, **more)

    async def resolve(self, ref: str | None = None, *, owner: str = OWNER, **more: Any) -> ResolvedApp:
        """What a run of this means."""
        return await self.store.read(lambda tx: resolve_app(tx, ref, owner=owner, **more))

    def check(self, version: AppVersionRecord) -> None:
        """What is asked of a version before it runs here."""
        check_runnable(version)
        check_requirements(version, Holdings(self.secrets))

    async def source(self, version_id: str) -> Source:
        """The version made ready; what was built is in `built`, `prepared` counts."""

        async def preparing() -> None:
            self.prepared += 1

        return await self.workshop.source(version_id, owner=OWNER, log=self.built.append, preparing=preparing)


@asynccontextmanager
async def deploying(
    db: str | Path = ":memory:", *, secrets: Mapping[str, str] | None = None, max_bytes: int = 1 << 30
) -> AsyncGenerator[Shop]:
    """The services, open."""
    store = SqliteStore(db, synchronous="OFF")
    blobs = Blobs(files_beside(db), max_bytes=max_bytes)
    known = Secrets(secrets)
    files = Files(store, blobs=blobs)
    variables = Keychain(store, configured=known).variables
    workshop = Workshop(store, blobs=blobs, variables=variables, folder=apps_beside(db))
    apps = Apps(store, files=files, workshop=workshop)
    await store.open()
    try:
        await blobs.open()
        yield Shop(store, blobs, files, apps, workshop, TaskFiles(files), known)
    finally:
        workshop.close()
        blobs.close()
        await store.close()
