"""What a task is given, against what the app's version asks for: input, setup, secrets, and a runtime that fits.

The app itself checks again, with its own models, in its own process; what fails here needs no worker.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from pydantic_core import from_json, to_json

from agentkit.protocol.lines import is_object
from agentkit.runtime.apprefs import functions_of
from agentkit.runtime.credentials.needs import Holdings, check_needs
from agentkit.runtime.faults import Fault
from agentkit.runtime.patterns import PatientSchema
from agentkit.runtime.records import AppVersionRecord
from agentkit.tools.schema import subschemas

__all__ = ["check_given", "check_input", "check_requirements", "check_runnable", "check_setup", "is_python"]

SHOWN: Final = 3  # misses in the sentence; `errors` has them all
FILE: Final = "file"  # protocol.md 5.3: `{"type": "string", "format": "file"}`
_OF_MEMBERS: Final = ("type", "properties", "patternProperties", "additionalProperties", "$defs", "definitions")
_FILE_OBJECT: Final = {  # protocol.md 4.3: an object is as good as its URI; {} means none, where none is allowed
    "if": {"type": "object"},
    "then": {"anyOf": [{"required": ["uri"]}, {"required": ["path"]}, {"maxProperties": 0}]},
}


def check_input(version: AppVersionRecord, function: str | None, value: Any) -> None:
    """Raises Fault `validation_error` where the function does not take this input; absent input counts as {}."""
    described = functions_of(version).get(function or "")
    schema = described.input_schema if described else version.config.input_schema
    _check(schema, {} if value is None else value, what="input")


def check_given(version: AppVersionRecord, function: str | None, value: Mapping[str, Any]) -> None:
    """Raises Fault `validation_error` where a part of the input, given beforehand, can belong to no input."""
    described = functions_of(version).get(function or "")
    schema = described.input_schema if described else version.config.input_schema
    if value and is_object(schema):
        _check({name: schema[name] for name in _OF_MEMBERS if name in schema}, value, what="input")


def check_setup(version: AppVersionRecord, value: Any) -> None:
    """Raises Fault `validation_error` where the app's setup does not take this value; absent setup counts as {}."""
    _check(version.config.setup_schema, {} if value is None else value, what="setup")


def check_requirements(version: AppVersionRecord, have: Holdings) -> None:
    """Raises Fault `requirements_not_met` with all that is missing and not optional (protocol.md 1.3)."""
    check_needs(have, secrets=version.config.required_secrets, integrations=version.config.required_integrations)


def check_runnable(version: AppVersionRecord) -> None:
    """Raises Fault `not_configured` where this runtime could never run the version, however long one waits."""
    kernel = version.config.kernel
    if not is_python(kernel):
        raise Fault("not_configured", f"the app's kernel is {kernel!r}, and this runtime runs Python apps only")
    if version.bundle_sha256 is None and version.folder is None:
        raise Fault(
            "not_configured",
            "this version has no code here: deploy it with `agentkit app deploy`, or send `version.repository` as the "
            "inf://files/... URI of a zip",
        )


def is_python(kernel: str) -> bool:
    """Whether the kernel names a Python: `python-3.11`, a bare `3.11`, or nothing (protocol.md 5.4)."""
    return kernel == "" or kernel.startswith("python") or kernel[:1].isdigit()


# -- parts ---------------------------------------------------------------------------------------------------------


def _check(schema: Any, value: Any, *, what: str) -> None:
    if schema is None:
        return
    misses = _ready(to_json(schema)).check(value)
    if misses:
        told = "; ".join(": ".join(filter(None, (each["path"], each["message"]))) for each in misses[:SHOWN])
        more = f"; and {len(misses) - SHOWN} more" if len(misses) > SHOWN else ""
        raise Fault("validation_error", f"{what}: {told}{more}", errors=misses)


@lru_cache(maxsize=256)
def _ready(schema: bytes) -> PatientSchema:
    """The schema made ready: a version's is the same for every task. Nothing that it refers to is fetched."""
    return PatientSchema(_with_file_objects(from_json(schema)))


def _with_file_objects(schema: dict[str, Any]) -> dict[str, Any]:
    loosened = copy.deepcopy(schema)
    for part in subschemas(loosened):
        if part.get("format") == FILE and part.get("type") == "string":
            part["type"] = ["string", "object"]
            part["allOf"] = [*part.get("allOf", []), _FILE_OBJECT]
    return loosened
