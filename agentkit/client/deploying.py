"""From a folder to a version of an app: described in another process, packed, uploaded, stored."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import agentkit
from agentkit.client.bundle import Bundle, pack
from agentkit.errors import APIError, AppDefinitionError, ConflictError, NotFoundError
from agentkit.protocol import api, flows
from agentkit.protocol.flows import Flow, Outgoing, once
from agentkit.protocol.lines import decode_json, is_object
from agentkit.wire import App, CreateAppRequest

__all__ = ["Deployment", "Progress", "nobody", "prepare"]

DESCRIBE_SECONDS: Final = 120.0
SHOWN_CHARACTERS: Final = 2000
_TEXTS: Final = ("description", "agent_description", "category")

Progress: TypeAlias = Callable[[str, int, int], Any]
"""Called with the step (bundle, describe, upload, register or unchanged), and how much of how much is done."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A folder that is ready to go."""

    bundle: Bundle
    manifest: Mapping[str, Any]
    version: Mapping[str, Any]
    on_progress: Progress

    @property
    def reference(self) -> str:
        """`namespace/name`, or the bare name of an app of one's own."""
        namespace, name = self.manifest.get("namespace") or "", str(self.manifest.get("name") or "")
        return f"{namespace}/{name}" if namespace else name

    def flow(self, *, stage: bool) -> Flow[App]:
        """Stores it as a new version, unless the current one is the same already."""
        found = yield from _find(self.manifest)
        if found is not None and _checksum(found) == self.bundle.sha256:
            self.on_progress("unchanged", 1, 1)
            return found
        file = Outgoing(self.bundle.source, f"{self.manifest.get('name')}.zip", "application/zip")
        record = yield from flows.upload(file, on_progress=functools.partial(self.on_progress, "upload"))
        self.on_progress("register", 0, 1)
        body = self._request(record.uri, stage=stage)
        try:
            app = yield from once(api.CREATE_APP.call(_of(body, found.id if found else None)))
        except ConflictError as error:  # it is there, and could not be found by its bare name
            if found is not None or (app_id := _app_id(error)) is None:
                raise
            app = yield from once(api.CREATE_APP.call(_of(body, app_id)))
        self.on_progress("register", 1, 1)
        return app

    def _request(self, uri: str, *, stage: bool) -> dict[str, Any]:
        given: Mapping[str, Any] = self.version.get("metadata") or {}
        metadata = {**given, "checksum": self.bundle.sha256}
        version: dict[str, Any] = {**self.version, "repository": uri, "metadata": metadata}
        told = {name: self.manifest[name] for name in (*_TEXTS, "images") if self.manifest.get(name)}
        names = {name: self.manifest.get(name) or "" for name in ("namespace", "name")}
        return {**told, **names, "version": version, "preserve_current_version": stage}


def prepare(
    folder: str | os.PathLike[str], on_progress: Progress | None, *, namespace: str | None = None
) -> Deployment:
    """Packs and describes a folder; `namespace` None: that of its inf.yml.

    Raises AppDefinitionError, UsageError with what is wrong in it. Blocks.
    """
    tell = on_progress or nobody
    bundle = pack(folder, on_progress=functools.partial(tell, "bundle"))
    tell("describe", 0, 1)
    told = _described(Path(folder), is_compat=bundle.imports_sdk)
    tell("describe", 1, 1)
    manifest = told["manifest"] if namespace is None else {**told["manifest"], "namespace": namespace}
    return Deployment(bundle, manifest, told["version"], tell)


def _described(folder: Path, *, is_compat: bool) -> dict[str, Any]:
    """What `python -m agentkit.apps.describe` says: the app's imports run there, not here."""
    command = [sys.executable, "-P", "-m", "agentkit.apps.describe", str(folder), *(["--compat"] if is_compat else [])]
    paths = [str(Path(agentkit.__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    try:
        done = subprocess.run(
            command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=DESCRIBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise AppDefinitionError(
            f"{str(folder)!r} could not be described within {DESCRIBE_SECONDS:g} s; what does it do on import?"
        ) from None
    told = decode_json(done.stdout)
    if is_object(told) and is_object(told.get("manifest")) and is_object(told.get("version")):
        return told
    if is_object(told) and told.get("error"):
        raise AppDefinitionError(f"{str(folder)!r} cannot be deployed: {told['error']}")
    said = done.stderr.decode("utf-8", "replace").strip()[-SHOWN_CHARACTERS:]
    why = said or "it said nothing; does it end the process while it is imported?"
    raise AppDefinitionError(f"{str(folder)!r} could not be described (exit code {done.returncode}): {why}")


def _find(manifest: Mapping[str, Any]) -> Flow[App | None]:
    namespace, name = manifest.get("namespace"), str(manifest.get("name") or "")
    call = api.GET_APP_BY_NAME.call(namespace=namespace, name=name) if namespace else api.GET_APP.call(app_id=name)
    try:
        found: App = yield from once(call)
    except NotFoundError:
        return None
    return found


def _checksum(app: App) -> str | None:
    """Of the version that is current."""
    if app.version is None:
        return None
    return app.version.checksum or app.version.metadata.get("checksum")


def _of(body: Mapping[str, Any], app_id: str | None) -> CreateAppRequest:
    return CreateAppRequest.parse(body if app_id is None else {**body, "id": app_id})


def _app_id(error: APIError) -> str | None:
    """Which app is in the way, where the platform says so."""
    try:
        told = json.loads(error.response_body or "")
    except ValueError:
        return None
    app_id = told.get("app_id") if is_object(told) else None
    return app_id if error.code == "already_exists" and isinstance(app_id, str) else None


def nobody(step: str, done: int, total: int) -> None:
    """Who is told where nobody asked."""
