"""`client.apps`: the apps of the platform, their versions, and deploying one's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import Any, TypeAlias, TypeVar

import anyio.from_thread
import anyio.to_thread
from pydantic import ValidationError

from agentkit.client import deploying
from agentkit.client.deploying import Progress
from agentkit.client.listing import AsyncPages, list_request, pages
from agentkit.client.transport import AsyncTransport, Transport
from agentkit.errors import UsageError
from agentkit.protocol import api
from agentkit.protocol.endpoint import Call
from agentkit.protocol.flows import Flow, once
from agentkit.protocol.refs import Reference
from agentkit.wire import App, AppVersion, CreateAppRequest, Page, SetVisibility

__all__ = ["Apps", "AsyncApps"]

T = TypeVar("T")

Filters: TypeAlias = "list[Mapping[str, Any]] | None"


class Apps:
    """`client.apps`. An app is named by its id, by `namespace/name`, or by a reference `namespace/name@version`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, app: Mapping[str, Any] | CreateAppRequest) -> App:
        """Stores an app, or with an `id` a new version of it (POST /apps). To deploy a folder see `deploy`."""
        return self._transport.send(api.CREATE_APP.call(_request(app)))

    def deploy(
        self,
        folder: str | PathLike[str],
        *,
        stage: bool = False,
        namespace: str | None = None,
        on_progress: Progress | None = None,
    ) -> App:
        """Deploys an app folder: a new version of the app that its inf.yml names, current unless `stage`.

        `namespace` goes before that of inf.yml; without any it is the caller's own. Nothing is stored where the
        current version has the same files. Raises AppDefinitionError with what is wrong in the folder.
        `on_progress(step, done, total)`: bundle, describe, upload, register or unchanged.
        """
        return self._transport.run(deploying.prepare(folder, on_progress, namespace=namespace).flow(stage=stage))

    def get(self, app: str) -> App:
        """The app with its current version, or with the version that the reference names."""
        return self._transport.run(_get(app))

    def list(self, *, cursor: str | None = None, limit: int | None = None, search: str | None = None) -> Page[App]:
        """A page of the apps, newest first."""
        return self._transport.send(api.LIST_APPS.call(list_request(cursor, limit, search=search)))

    def iterate(self, *, limit: int | None = None, search: str | None = None) -> Iterator[App]:
        """All apps, newest first; `limit` is the size of a page."""
        return pages(lambda cursor: self.list(cursor=cursor, limit=limit, search=search))

    def versions(self, app: str, *, cursor: str | None = None, limit: int | None = None) -> Page[AppVersion]:
        """A page of the app's versions, newest first."""
        return self._transport.run(_versions(app, cursor, limit))

    def version(self, app: str, version_id: str | None = None) -> AppVersion:
        """One version: `version("acme/resize", "k3v9x2ab")`, or `version("acme/resize@k3v9x2ab")`."""
        return self._transport.run(_version(app, version_id))

    def set_current(self, app: str, version_id: str) -> App:
        """Makes a version the one that runs where a reference names none."""
        return self._transport.run(
            _of_app(app, lambda id: api.SET_CURRENT_VERSION.call(app_id=id, version_id=version_id))
        )

    def update(self, app: str, changes: Mapping[str, Any] | CreateAppRequest) -> App:
        """Changes what `changes` names: description, category, images, or with `version` a new version."""
        return self._transport.run(_of_app(app, lambda id: api.UPDATE_APP.call(_request(changes), app_id=id)))

    def delete(self, app: str) -> None:
        """Deletes an app; its tasks stay."""
        self._transport.run(_of_app(app, lambda id: api.DELETE_APP.call(app_id=id)))

    def set_visibility(self, app: str, visibility: str) -> App:
        """Who may see and run the app: private, public, unlisted."""
        body = SetVisibility(visibility=visibility)
        return self._transport.run(_of_app(app, lambda id: api.SET_APP_VISIBILITY.call(body, app_id=id)))


class AsyncApps:
    """The async twin of `Apps`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(self, app: Mapping[str, Any] | CreateAppRequest) -> App:
        """See `Apps.create`."""
        return await self._transport.send(api.CREATE_APP.call(_request(app)))

    async def deploy(
        self,
        folder: str | PathLike[str],
        *,
        stage: bool = False,
        namespace: str | None = None,
        on_progress: Progress | None = None,
    ) -> App:
        """See `Apps.deploy`. The folder is packed on a worker thread; the callback is called in the event loop."""

        def tell(step: str, done: int, total: int) -> None:
            if on_progress is not None:
                anyio.from_thread.run_sync(on_progress, step, done, total)

        ready = await anyio.to_thread.run_sync(partial(deploying.prepare, folder, tell, namespace=namespace))
        ready = replace(ready, on_progress=on_progress or deploying.nobody)
        return await self._transport.run(ready.flow(stage=stage))

    async def get(self, app: str) -> App:
        """See `Apps.get`."""
        return await self._transport.run(_get(app))

    async def list(
        self, *, cursor: str | None = None, limit: int | None = None, search: str | None = None
    ) -> Page[App]:
        """See `Apps.list`."""
        return await self._transport.send(api.LIST_APPS.call(list_request(cursor, limit, search=search)))

    def iterate(self, *, limit: int | None = None, search: str | None = None) -> AsyncIterator[App]:
        """See `Apps.iterate`. Not awaited."""
        return AsyncPages(lambda cursor: self.list(cursor=cursor, limit=limit, search=search))

    async def versions(self, app: str, *, cursor: str | None = None, limit: int | None = None) -> Page[AppVersion]:
        """See `Apps.versions`."""
        return await self._transport.run(_versions(app, cursor, limit))

    async def version(self, app: str, version_id: str | None = None) -> AppVersion:
        """See `Apps.version`."""
        return await self._transport.run(_version(app, version_id))

    async def set_current(self, app: str, version_id: str) -> App:
        """See `Apps.set_current`."""
        return await self._transport.run(
            _of_app(app, lambda id: api.SET_CURRENT_VERSION.call(app_id=id, version_id=version_id))
        )

    async def update(self, app: str, changes: Mapping[str, Any] | CreateAppRequest) -> App:
        """See `Apps.update`."""
        return await self._transport.run(_of_app(app, lambda id: api.UPDATE_APP.call(_request(changes), app_id=id)))

    async def delete(self, app: str) -> None:
        """See `Apps.delete`."""
        await self._transport.run(_of_app(app, lambda id: api.DELETE_APP.call(app_id=id)))

    async def set_visibility(self, app: str, visibility: str) -> App:
        """See `Apps.set_visibility`."""
        body = SetVisibility(visibility=visibility)
        return await self._transport.run(_of_app(app, lambda id: api.SET_APP_VISIBILITY.call(body, app_id=id)))


# -- what both send ------------------------------------------------------------------------------------------------


def _request(app: Mapping[str, Any] | CreateAppRequest) -> CreateAppRequest:
    try:
        return CreateAppRequest.parse(app if isinstance(app, CreateAppRequest) else dict(app))
    except ValidationError as error:
        problem = error.errors()[0]
        raise UsageError(f"this is no app: {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None


def _current(reference: Reference) -> Call[App]:
    """GET of the app; a name without a namespace may be an id, or one of the caller's own apps."""
    if reference.namespace is None:
        return api.GET_APP.call(app_id=reference.name)
    return api.GET_APP_BY_NAME.call(namespace=reference.namespace, name=reference.name)


def _get(app: str) -> Flow[App]:
    reference = Reference.parse(app)
    found: App = yield from once(_current(reference))
    if reference.version is None:
        return found
    version = yield from once(api.GET_APP_VERSION.call(app_id=found.id, version_id=reference.version))
    return found.model_copy(update={"version": version, "version_id": version.id})


def _versions(app: str, cursor: str | None, limit: int | None) -> Flow[Page[AppVersion]]:
    body = list_request(cursor, limit)
    page: Page[AppVersion] = yield from _of_app(app, lambda id: api.LIST_APP_VERSIONS.call(body, app_id=id))
    return page


def _version(app: str, version_id: str | None) -> Flow[AppVersion]:
    wanted = version_id or Reference.parse(app).version
    if wanted is None:
        found: App = yield from _get(app)
        if found.version is None:
            raise UsageError(f"app {app!r} has no current version; name one")
        return found.version
    version: AppVersion = yield from _of_app(app, lambda id: api.GET_APP_VERSION.call(app_id=id, version_id=wanted))
    return version


def _of_app(app: str, call: Callable[[str], Call[T]]) -> Flow[T]:
    """A call that needs the app's id, which a name has to be looked up for."""
    reference = Reference.parse(app)
    app_id = reference.name
    if reference.namespace is not None:
        found: App = yield from once(_current(reference))
        app_id = found.id
    reply: T = yield from once(call(app_id))
    return reply
