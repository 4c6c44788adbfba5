"""What the runtime tells an app about the task it runs (protocol.md 5.3)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["Metadata"]


class Metadata(BaseModel):
    """The app, the worker and the task; fields that a newer runtime adds are attributes too.

    `idempotency_key` is the same whenever this very work is begun anew, after a crash or in another task, and different
    for all other work: hand it to services that take such a key. None where whoever asked for the task gave none.
    """

    model_config = ConfigDict(extra="allow")

    app_id: str | None = None
    app_version_id: str | None = None
    app_variant: str | None = None
    worker_id: str | None = None
    gpu_ids: list[Any] | None = None
    task_id: str | None = None
    idempotency_key: str | None = None
    session_id: str | None = None  # None outside a session: such a task should leave nothing behind
    team_id: str | None = None
    user_id: str | None = None

    def update(self, other: Mapping[str, Any] | BaseModel | None = None, /, **fields: Any) -> None:
        """Sets the fields of a mapping or of what a model was given, then those given by name."""
        match other:
            case None:
                found = dict[str, Any]()
            case BaseModel():
                found = {name: getattr(other, name) for name in other.model_fields_set}
            case _:
                found = dict(other)
        for name, value in {**found, **fields}.items():
            setattr(self, name, value)

    def log(self, text: Any) -> None:
        """Writes a line to the task's log."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
