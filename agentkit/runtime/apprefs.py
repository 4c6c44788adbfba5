"""Which app, version and function a request means (protocol.md 2.2), and who may see an app. Transaction functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from agentkit.errors import ReferenceSyntaxError
from agentkit.protocol.refs import Reference
from agentkit.runtime.faults import Fault
from agentkit.runtime.ids import SHORT
from agentkit.runtime.ports import Reading
from agentkit.runtime.records import AppRecord, AppVersionRecord
from agentkit.wire import AppFunction, Visibility

__all__ = [
    "ResolvedApp",
    "choose_function",
    "functions_of",
    "owned_app",
    "readable_app",
    "resolve_app",
    "version_of",
]

DEFAULT_FUNCTION: Final = "run"
LATEST: Final = "latest"
SHOWN: Final = 10  # names in a message that says what there is


class ResolvedApp(NamedTuple):
    """What a reference means. `function` is None where the version does not say what it has and none was asked for."""

    app: AppRecord
    version: AppVersionRecord
    function: str | None


def resolve_app(
    tx: Reading,
    ref: str | None = None,
    *,
    owner: str,
    app_id: str | None = None,
    version_id: str | None = None,
    function: str | None = None,
) -> ResolvedApp:
    """The app behind `namespace/name[@version][:function]`, or behind an app id and a version id.

    The function of the reference goes before `function`, then comes the version's own default, then `run`. Raises
    Fault: `not_found` for an app or a version, `invalid_request` for a function or for what is no reference.
    """
    if bool(ref) is bool(app_id):
        raise Fault("invalid_request", "name the app to run as `app` (namespace/name) or as `app_id`, one of the two")
    parsed = _parsed(ref) if ref else None
    app = _app_named(tx, parsed, owner=owner) if parsed else readable_app(tx, app_id or "", owner=owner)
    version = version_of(tx, app, (parsed.version if parsed else None) or version_id)
    return ResolvedApp(app, version, choose_function(app, version, (parsed.function if parsed else None) or function))


def readable_app(tx: Reading, name: str, *, owner: str) -> AppRecord:
    """The app of this id, short id or name, if `owner` may see it: their own, and what is public or unlisted."""
    record = tx.get(AppRecord, name)
    if record is not None and _is_readable(record, owner):
        return record
    try:
        return _app_named(tx, Reference.parse(name), owner=owner)
    except ReferenceSyntaxError:
        raise _unknown(tx, name, owner) from None


def owned_app(tx: Reading, app_id: str, *, owner: str) -> AppRecord:
    """The owner's own app of this id, short id or name: who may only read it cannot change it."""
    record = readable_app(tx, app_id, owner=owner)
    if record.owner != owner:
        raise Fault("forbidden", f"app {record.namespace}/{record.name} belongs to somebody else; you may only run it")
    return record


def version_of(tx: Reading, app: AppRecord, wanted: str | None) -> AppVersionRecord:
    """The app's version of this id or short id; without one, or at `latest`, the current one."""
    is_pinned = bool(wanted) and wanted != LATEST
    version = tx.get(AppVersionRecord, (wanted if is_pinned else app.version_id) or "")
    if version is not None and version.app_id == app.id:
        return version
    found = tx.find(AppVersionRecord, app_id=app.id, descending=True, limit=SHOWN)
    there = _listed((each.id[:SHORT] for each in found), none="it has none")
    what = f"version {wanted!r}" if is_pinned else "current version"
    raise Fault("not_found", f"app {app.namespace}/{app.name} has no {what}; its versions, newest first: {there}")


def choose_function(app: AppRecord, version: AppVersionRecord, wanted: str | None) -> str | None:
    """The function to call: the wanted one, else the default, else `run`, else the only one."""
    known = functions_of(version)
    if not known:
        return wanted or version.config.default_function or None
    only = next(iter(known)) if len(known) == 1 else DEFAULT_FUNCTION
    chosen = wanted or version.config.default_function or only
    if chosen in known:
        return chosen
    there = _listed(known, none="none")
    if wanted:
        raise Fault("invalid_request", f"app {app.namespace}/{app.name} has no function {wanted!r}; it has: {there}")
    raise Fault(
        "invalid_request",
        f"app {app.namespace}/{app.name} has several functions and no default; name one of {there}: "
        f"{app.namespace}/{app.name}:{next(iter(known))}",
    )


def functions_of(version: AppVersionRecord) -> Mapping[str, AppFunction]:
    """The version's functions by name; the one of its top-level schemas where it lists none."""
    config = version.config
    if config.functions or (config.input_schema is None and config.output_schema is None):
        return config.functions
    name = config.default_function or DEFAULT_FUNCTION
    return {name: AppFunction(name=name, input_schema=config.input_schema, output_schema=config.output_schema)}


# -- parts ---------------------------------------------------------------------------------------------------------


def _parsed(ref: str) -> Reference:
    try:
        parsed = Reference.parse(ref)
    except ReferenceSyntaxError as error:
        raise Fault("invalid_request", str(error)) from None
    if parsed.type not in (None, "app"):
        raise Fault("invalid_request", f"{ref!r} names a thing of type {parsed.type}, which cannot be run as a task")
    return parsed


def _app_named(tx: Reading, parsed: Reference, *, owner: str) -> AppRecord:
    """The app of this name. A bare one means the caller's own namespace, else the only app of theirs that has it."""
    if parsed.namespace is not None:
        found = tx.find(AppRecord, namespace=parsed.namespace, name=parsed.name)
    else:
        own = tx.find(AppRecord, owner=owner, name=parsed.name)
        found = [each for each in own if each.namespace == owner] or own
    readable = [each for each in found if _is_readable(each, owner)]
    if len(readable) > 1:
        there = _listed(f"{each.namespace}/{each.name}" for each in readable)
        raise Fault("invalid_request", f"{parsed.path!r} could be any of {there}; write the namespace too")
    if not readable:
        raise _unknown(tx, parsed.path, owner)
    return readable[0]


def _is_readable(record: AppRecord, owner: str) -> bool:
    return record.owner == owner or record.visibility != Visibility.PRIVATE


def _unknown(tx: Reading, name: str, owner: str) -> Fault:
    own = tx.find(AppRecord, owner=owner, descending=True, limit=SHOWN)
    there = _listed((f"{each.namespace}/{each.name}" for each in own), none="none yet; store one with POST /apps")
    return Fault("not_found", f"app {name!r} not found; your apps: {there}")


def _listed(names: Iterable[str], *, none: str = "") -> str:
    return ", ".join(list(names)[:SHOWN]) or none
