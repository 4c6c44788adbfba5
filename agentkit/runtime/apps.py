"""Apps on the platform: stored with their versions, found by reference, shown to those who may see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from agentkit.runtime import dto, pages
from agentkit.runtime.apprefs import owned_app, readable_app, version_of
from agentkit.runtime.appversions import BUNDLES, Code, change_app, check_name, check_version, create_app
from agentkit.runtime.bundles import check_bundle
from agentkit.runtime.faults import Fault
from agentkit.runtime.files import OURS, Files
from agentkit.runtime.ports import Reading, Store, Writing
from agentkit.runtime.records import AppRecord, AppVersionRecord, SessionRecord, StoredFile, TaskRecord
from agentkit.runtime.service import Service
from agentkit.runtime.states import TASK
from agentkit.runtime.workshop import Workshop
from agentkit.wire import AppSessionStatus, CreateAppRequest, CursorListRequest, Visibility

__all__ = ["Apps"]

VISIBILITIES: Final = (Visibility.PRIVATE, Visibility.PUBLIC, Visibility.UNLISTED)


class Apps(Service):
    """Everything about stored apps. What may be seen is the owner's own, and what others made public or unlisted."""

    def __init__(self, store: Store, *, files: Files, workshop: Workshop) -> None:
        super().__init__(store)
        self._files = files
        self._workshop = workshop

    # -- storing ---------------------------------------------------------------------------------------------------

    async def create(self, owner: str, request: CreateAppRequest) -> dict[str, Any]:
        """POST /apps; the `version` of the answer is the one that came, current or staged."""
        if not request.id:
            if not request.name:
                raise Fault("invalid_request", "an app needs a name")
            check_name(request.namespace or owner, request.name)
        code = await self._code(owner, request)
        return await self._write(lambda tx: create_app(tx, request, owner=owner, code=code))

    async def update(self, owner: str, app_id: str, request: CreateAppRequest) -> dict[str, Any]:
        """POST /apps/{id}: description, images, category, and a new version where one comes along."""
        code = await self._code(owner, request)
        return await self._write(
            lambda tx: change_app(tx, owned_app(tx, app_id, owner=owner), request, code=code),
        )

    async def set_current(self, owner: str, app_id: str, version_id: str) -> dict[str, Any]:
        """PUT /apps/{id}/versions/{id}/current; nothing changes the second time."""
        if not version_id:
            raise Fault("invalid_request", "say which version shall be current: `version_id`")

        def change(tx: Writing, record: AppRecord) -> AppRecord:
            version = version_of(tx, record, version_id)
            return record if record.version_id == version.id else tx.update(record.but(version_id=version.id))

        return await self._change(owner, app_id, change)

    async def set_visibility(self, owner: str, app_id: str, visibility: str) -> dict[str, Any]:
        """POST /apps/{id}/visibility."""
        if visibility not in VISIBILITIES:
            raise Fault("invalid_request", f"visibility is one of {', '.join(VISIBILITIES)}, not {visibility!r}")
        return await self._change(owner, app_id, lambda tx, record: tx.update(record.but(visibility=visibility)))

    async def delete(self, owner: str, app_id: str) -> None:
        """DELETE /apps/{id}: its versions and their code go, its tasks stay.

        Raises Fault while one of them is open, or a session holds a worker.
        """
        gone: list[str] = []
        full_ids: list[str] = []

        def change(tx: Writing) -> list[str]:
            record = owned_app(tx, app_id, owner=owner)
            full_ids[:] = [record.id]  # what was asked for may be a short one
            if waiting := len(tx.find(TaskRecord, app_id=record.id, status=tuple(TASK))):
                raise Fault(
                    "conflict",
                    f"app {record.namespace}/{record.name} has {waiting} task{'s' if waiting > 1 else ''} that "
                    "wait or run; cancel them, or let them end, and delete the app then",
                )
            active = tx.find(SessionRecord, status=AppSessionStatus.ACTIVE)
            if held := len([each for each in active if each.app_id == record.id]):
                raise Fault(
                    "conflict",
                    f"app {record.namespace}/{record.name} has {held} active "
                    f"session{'s' if held > 1 else ''}; end them, or let them expire, and delete the app then",
                )
            versions = tx.find(AppVersionRecord, app_id=record.id)
            bundles = tx.find(StoredFile, owner=f"{BUNDLES}{record.id}")
            for each in (*versions, *bundles, record):
                tx.delete(each)
            gone[:] = [each.id for each in versions]
            return [each.sha256 for each in bundles if each.sha256]

        await self._files.release(change)
        await self._workshop.forget(gone, app_id=full_ids[0])

    # -- reading ---------------------------------------------------------------------------------------------------

    async def get(self, owner: str, app_id: str) -> dict[str, Any]:
        """GET /apps/{id}, where a name will do too."""
        return await self._store.read(lambda tx: dto.app(tx, readable_app(tx, app_id, owner=owner), reader=owner))

    async def page(self, owner: str, request: CursorListRequest) -> dict[str, Any]:
        """POST /apps/list: the owner's own."""
        return await self._store.read(
            lambda tx: pages.page(tx, AppRecord, request, lambda each: dto.app(tx, each, reader=owner), owner=owner)
        )

    async def versions(self, owner: str, app_id: str, request: CursorListRequest) -> dict[str, Any]:
        """POST /apps/{id}/versions/list, newest first."""

        def look(tx: Reading) -> dict[str, Any]:
            record = readable_app(tx, app_id, owner=owner)
            is_owner = record.owner == owner
            return pages.page(
                tx,
                AppVersionRecord,
                request,
                lambda each: dto.app_version(each, is_owner=is_owner),
                app_id=record.id,
            )

        return await self._store.read(look)

    async def version(self, owner: str, app_id: str, version_id: str) -> dict[str, Any]:
        """GET /apps/{id}/versions/{id}."""

        def look(tx: Reading) -> dict[str, Any]:
            record = readable_app(tx, app_id, owner=owner)
            return dto.app_version(version_of(tx, record, version_id), is_owner=record.owner == owner)

        return await self._store.read(look)

    # -- parts -----------------------------------------------------------------------------------------------------

    async def _change(
        self, owner: str, app_id: str, change: Callable[[Writing, AppRecord], AppRecord]
    ) -> dict[str, Any]:
        def whole(tx: Writing) -> dict[str, Any]:
            return dto.app(tx, change(tx, owned_app(tx, app_id, owner=owner)), reader=owner)

        return await self._write(whole)

    async def _code(self, owner: str, request: CreateAppRequest) -> Code:
        """The code of the version that came, looked through. Raises Fault."""
        version = request.version
        if version is None:
            return Code()
        check_version(version)
        compat = version.metadata.get("compat")
        if not version.repository.startswith(OURS):
            return Code(is_compat=bool(compat))
        file, path = await self._files.whole(owner, version.repository)
        bundle = await check_bundle(path, name=file.filename)
        return Code(file=file, is_compat=bundle.imports_inferencesh if compat is None else bool(compat))
