"""What an app is, as JSON, for those who deploy, list or call it.

`python -m agentkit.apps.describe FOLDER [--compat]` prints it from a process of its own, so that describing an app runs
its imports elsewhere: an `AppDescription` and exit code 0, or `{"error": "..."}` and exit code 1. What the app prints
while it is imported goes to stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, Field

from agentkit.apps.discovery import AppInterface, discover
from agentkit.apps.loading import load_app
from agentkit.apps.manifest import FILE_NAME, Manifest
from agentkit.errors import AgentKitError, AppDefinitionError
from agentkit.wire import AppFunction, AppVersionInput

__all__ = ["AppDescription", "describe", "main", "write_schemas"]

INPUT_FILE: Final = "input_schema.json"
OUTPUT_FILE: Final = "output_schema.json"
FUNCTIONS_FILE: Final = "functions_schema.json"


class AppDescription(BaseModel):
    """An app folder: its inf.yml, its interface, and the version that a deployer would send.

    `manifest` is inf.yml with sizes in bytes; `warnings` are sentences about methods that are no functions but look
    like ones.
    """

    manifest: dict[str, Any]
    setup_schema: dict[str, Any] | None
    functions: dict[str, AppFunction]
    default_function: str | None
    input_schema: dict[str, Any] | None
    output_schema: dict[str, Any] | None
    version: AppVersionInput
    warnings: list[str] = Field(default_factory=list[str])


def describe(folder: str | Path, *, compat: bool = False) -> AppDescription:
    """The description of an app folder, which is imported for it. Raises AppDefinitionError."""
    manifest, interface = _read(folder, compat=compat)
    version = manifest.to_version_input(interface)
    return AppDescription(
        manifest=manifest.model_dump(mode="json"),
        setup_schema=interface.setup_schema,
        functions=version.functions,
        default_function=interface.default_function,
        input_schema=version.input_schema,
        output_schema=version.output_schema,
        version=version,
        warnings=list(interface.almost.values()),
    )


def write_schemas(folder: str | Path, *, compat: bool = False) -> list[Path]:
    """Writes the schemas next to the code (protocol.md 5.4) and returns the files.

    An app whose only function is `run` gets `input_schema.json` and `output_schema.json`, any other one
    `functions_schema.json`; those of the other kind, from before, are removed.
    """
    folder = Path(folder)
    manifest, interface = _read(folder, compat=compat)
    functions = manifest.functions_of(interface)
    if list(functions) == ["run"]:
        run = functions["run"]
        wanted: dict[str, Any] = {INPUT_FILE: run.input_schema, OUTPUT_FILE: run.output_schema}
    else:
        wanted = {FUNCTIONS_FILE: {name: _entry(each) for name, each in functions.items()}}
    for name in {INPUT_FILE, OUTPUT_FILE, FUNCTIONS_FILE} - wanted.keys():
        (folder / name).unlink(missing_ok=True)
    return [_write_json(folder / name, content) for name, content in wanted.items()]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m agentkit.apps.describe", description="describes an app as JSON")
    parser.add_argument("folder", help=f"holds {FILE_NAME} and inference.py")
    parser.add_argument("--compat", action="store_true", help="let `import inferencesh` mean agentkit")
    options = parser.parse_args(arguments)
    answer = _own_stdout()
    try:
        text = describe(options.folder, compat=options.compat).model_dump_json()
    except AgentKitError as error:
        text = json.dumps({"error": str(error)})
    with os.fdopen(answer, "w", encoding="utf-8") as out:
        out.write(text + "\n")
    return 1 if text.startswith('{"error":') else 0


def _read(folder: str | Path, *, compat: bool) -> tuple[Manifest, AppInterface]:
    loaded = load_app(folder, compat=compat)
    if loaded.manifest is None:
        raise AppDefinitionError(f"{str(folder)!r} has no {FILE_NAME}; write one that begins with `name: my-app`")
    return loaded.manifest, discover(loaded.app, default_function=loaded.manifest.default_function)


def _entry(function: AppFunction) -> dict[str, Any]:
    return function.model_dump(mode="json", exclude={"name"})


def _write_json(path: Path, content: Any) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)
    return path


def _own_stdout() -> int:
    """A descriptor of stdout for the answer alone: from now on everybody else's output goes to stderr."""
    sys.stdout.flush()
    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answer


if __name__ == "__main__":
    sys.exit(main())
