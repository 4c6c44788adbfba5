"""Storing apps and their versions: what is refused before, and what one transaction writes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from agentkit.errors import SchemaError
from agentkit.runtime import dto
from agentkit.runtime.apprefs import owned_app
from agentkit.runtime.faults import Fault
from agentkit.runtime.ids import new_id
from agentkit.runtime.ports import Reading, Writing
from agentkit.runtime.records import AppRecord, AppVersionRecord, StoredFile
from agentkit.tools.schema import check_schema
from agentkit.wire import AppVersionInput, CreateAppRequest

__all__ = ["BUNDLES", "RESERVED", "Code", "add_version", "change_app", "check_name", "check_version", "create_app"]

RESERVED: Final = ("versions", "license", "run", "list", "status", "current-version")  # words of our own paths
BUNDLES: Final = "app:"  # begins the owner of the file that keeps an app's code; the rest is the app's id
NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TEXTS: Final = ("description", "agent_description", "category")


@dataclass(frozen=True, slots=True)
class Code:
    """Where a version's code is: a checked zip among the owner's files, or a folder of this machine."""

    file: StoredFile | None = None
    folder: str | None = None
    is_compat: bool = False
    checksum: str = ""

    @property
    def bundle_sha256(self) -> str | None:
        """The hash that the zip is kept under."""
        return self.file.sha256 if self.file else None


# -- before the transaction ----------------------------------------------------------------------------------------


def check_name(namespace: str, name: str) -> None:
    """Raises Fault `invalid_request` for what could not be found again under its reference."""
    for what, text in (("namespace", namespace), ("name", name)):
        if not NAME.fullmatch(text):
            raise Fault(
                "invalid_request",
                f"{what} {text!r} cannot be one: 1 to 100 letters, digits, dots, - and _, no dot or - at the front",
            )
    if name in RESERVED:
        raise Fault("invalid_request", f"the name {name!r} is taken by a path of the API; choose another")


def check_version(config: AppVersionInput) -> None:
    """Raises Fault `validation_error` for schemas that are none, and what no task could be run with."""
    schemas = [(each, getattr(config, each)) for each in ("setup_schema", "input_schema", "output_schema")]
    for name, function in config.functions.items():
        schemas += [(f"functions.{name}.{each}", getattr(function, each)) for each in ("input_schema", "output_schema")]
    for what, schema in schemas:
        if schema is None:
            continue
        try:
            check_schema(schema, what=what)
        except SchemaError as error:
            raise _invalid(what, str(error)) from None
        except RecursionError:
            raise _invalid(what, f"{what}: nested too deeply") from None
    default = config.default_function
    if default and config.functions and default not in config.functions:
        there = ", ".join(config.functions)
        raise _invalid("default_function", f"default_function {default!r} is none of the functions: {there}")
    for name in [*config.env, *(each.key for each in config.required_secrets)]:
        if not VARIABLE.fullmatch(name):
            raise _invalid("env", f"{name!r} cannot be the name of an environment variable")
    for name, value in config.env.items():
        if "\x00" in str(value):
            raise _invalid("env", f"the value of {name!r} has a NUL character, which no environment variable can hold")


def _invalid(path: str, message: str) -> Fault:
    return Fault("validation_error", message, errors=[{"path": f"version.{path}", "message": message}])


# -- transactions --------------------------------------------------------------------------------------------------


def create_app(tx: Writing, request: CreateAppRequest, *, owner: str, code: Code) -> dict[str, Any]:
    """POST /apps: a new app with its first version, or with `id` another version. Its answer shows that version."""
    if request.id:
        return change_app(tx, owned_app(tx, request.id, owner=owner), request, code=code)
    namespace = request.namespace or owner
    _refuse_taken(tx, namespace, request.name, owner=owner)
    record = tx.insert(AppRecord(id=new_id(), owner=owner, namespace=namespace, name=request.name))
    return change_app(tx, record, request, code=code)


def change_app(tx: Writing, record: AppRecord, request: CreateAppRequest, *, code: Code) -> dict[str, Any]:
    """POST /apps/{id}: what is set changes; a version that comes along is current unless it is staged."""
    for what, given, kept in (
        ("namespace", request.namespace, record.namespace),
        ("name", request.name, record.name),
    ):
        if given and given != kept:
            raise Fault(
                "invalid_request", f"the {what} of an app cannot change: it is {kept!r}; store a new app as {given!r}"
            )
    changes: dict[str, Any] = {each: getattr(request, each) for each in _TEXTS if each in request.model_fields_set}
    if request.images is not None:
        changes["images"] = request.images.to_wire()
    version = None
    if request.version is not None:
        version = add_version(tx, record, request.version, code=code)
        if not request.preserve_current_version:
            changes["version_id"] = version.id
    if any(getattr(record, name) != value for name, value in changes.items()):
        record = tx.update(record.but(**changes))
    return dto.app(tx, record, reader=record.owner, version=version)


def add_version(
    tx: Writing, app: AppRecord, config: AppVersionInput, *, code: Code, version_id: str | None = None
) -> AppVersionRecord:
    """The version; one that is the same in code and description is not stored again."""
    checksum = str(config.metadata.get("checksum") or "") or code.checksum or code.bundle_sha256 or ""
    wanted = AppVersionRecord(
        id=version_id or new_id(),
        app_id=app.id,
        config=config,
        checksum=checksum,
        bundle_sha256=code.bundle_sha256,
        folder=code.folder,
        is_compat=code.is_compat,
    )
    same = _same(tx, wanted) if checksum else None
    if same is not None:
        return same
    if code.file is not None:
        _keep_bundle(tx, app, code.file)
    return tx.insert(wanted)


def _refuse_taken(tx: Reading, namespace: str, name: str, *, owner: str) -> None:
    taken = tx.find(AppRecord, namespace=namespace, name=name, limit=1)
    if not taken:
        return
    full = f"{namespace}/{name}"
    if taken[0].owner != owner:
        raise Fault("already_exists", f"an app {full} of somebody else exists; choose another name or namespace")
    raise Fault(
        "already_exists", f"app {full} exists; send its id {taken[0].id!r} for a new version", app_id=taken[0].id
    )


def _same(tx: Reading, wanted: AppVersionRecord) -> AppVersionRecord | None:
    """The version of the app that would run the same: a claimed checksum alone is not believed."""
    found = tx.find(AppVersionRecord, app_id=wanted.app_id, checksum=wanted.checksum, descending=True)
    return next((each for each in found if _essence(each) == _essence(wanted)), None)


def _essence(version: AppVersionRecord) -> tuple[Any, ...]:
    config = version.config.to_wire()
    config.pop("repository", None)  # each upload of the same bytes has a URI of its own
    config.pop("metadata", None)
    return config, version.bundle_sha256, version.folder, version.is_compat


def _keep_bundle(tx: Writing, app: AppRecord, file: StoredFile) -> None:
    """Names the zip once more, for the app alone: its version outlives the file that it was uploaded as."""
    current = tx.get(StoredFile, file.id)
    if current is None or current.sha256 != file.sha256:
        raise Fault("not_found", f"the file {file.id!r} was deleted meanwhile; upload the code again")
    if not tx.find(StoredFile, owner=f"{BUNDLES}{app.id}", sha256=file.sha256, limit=1):
        tx.insert(
            StoredFile(
                id=new_id(),
                owner=f"{BUNDLES}{app.id}",
                filename=file.filename,
                content_type=file.content_type,
                size=file.size,
                sha256=file.sha256,
            )
        )
