"""`agentkit app test`: an app's schemas looked at and its samples run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jsonschema

from agentkit.cli.app_run import CompatOption, SecretsOption
from agentkit.cli.commands import AsJson, Folder
from agentkit.cli.display import status_name
from agentkit.cli.exits import DONE, FAILED
from agentkit.cli.foreground import filled
from agentkit.cli.interrupts import Interrupts
from agentkit.cli.local_app import LocalApp, opened
from agentkit.cli.samples import MISSING, Sample, differences, samples_in
from agentkit.cli.screen import Screen
from agentkit.errors import AgentKitError
from agentkit.wire import AppVersion, Task, TaskStatus

__all__ = ["test"]


@dataclass(frozen=True, slots=True)
class Check:
    """What came of one thing that was tried."""

    name: str
    is_good: bool
    seconds: float = 0.0
    remark: str = ""

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Its line in the table."""
        return "ok" if self.is_good else "FAILED", self.name, f"{self.seconds:.2f}s", self.remark


def test(
    folder: Folder = Path(), secrets: SecretsOption = None, compat: CompatOption = False, as_json: AsJson = False
) -> int:
    """Describes the app, checks its schemas and runs every sample; exit code 1 where one of them fails.

    A sample is a file *.input.json or examples/*.json: an input, or {"input": ..., "files": {"image": "cat.png"},
    "function": ..., "setup": ..., "expected": ..., "expected_error": ...}. What is expected must be in the output;
    the output may have more.

    \b
    agentkit app test
    agentkit app test thumbs --json
    """
    screen = Screen(as_json)
    samples = samples_in(folder)
    with opened(folder, screen=screen, secrets_file=secrets, compat=compat) as app:
        version = app.client.apps.get(app.reference).version
        checks = list(_schemas(version)) if version is not None else []
        with Interrupts() as interrupts:
            for sample in samples:
                screen.say(f"running {sample.name} ...")
                checks.append(_tried(app, sample, screen, interrupts))
                if interrupts.exit_code:
                    return interrupts.exit_code
    if not samples:
        screen.say(f"no samples: write one as {folder / 'hello.input.json'}")
    records = [{**asdict(each), "seconds": round(each.seconds, 3)} for each in checks]
    screen.table(("", "check", "time", ""), [each.row for each in checks], records=records)
    return DONE if all(each.is_good for each in checks) else FAILED


def _schemas(version: AppVersion) -> Iterator[Check]:
    """Every schema of the app, as JSON Schema."""
    yield _schema("setup", version.setup_schema)
    for name, function in version.functions.items():
        yield _schema(f"{name} input", function.input_schema)
        yield _schema(f"{name} output", function.output_schema)


def _schema(name: str, schema: Any) -> Check:
    try:
        jsonschema.Draft202012Validator.check_schema({} if schema is None else schema)
    except jsonschema.SchemaError as error:
        return Check(f"schema of {name}", False, remark=error.message)
    return Check(f"schema of {name}", True)


def _tried(app: LocalApp, sample: Sample, screen: Screen, interrupts: Interrupts) -> Check:
    began = time.monotonic()
    try:
        body = {"app": app.reference, "input": filled(app.client, sample.asked, screen=screen), **sample.params}
        stream = app.client.tasks.run(body, stream=True)
        interrupts.then(stream.cancel)
        for _ in stream:
            pass
        wrong = list(_wrong(sample, stream.result or stream.wait()))
    except AgentKitError as error:
        is_meant = sample.expected_error is not None and sample.expected_error in str(error)
        wrong = [] if is_meant else [str(error)]
    return Check(sample.name, not wrong, time.monotonic() - began, "; ".join(wrong))


def _wrong(sample: Sample, task: Task) -> Iterator[str]:
    if sample.expected_error is not None:
        if sample.expected_error not in (task.error or ""):
            yield f"{status_name(task.status)} with error {task.error!r}, not {sample.expected_error!r}"
    elif task.status is not TaskStatus.COMPLETED:
        yield f"{status_name(task.status)}: {task.error or 'no reason given'}"
    elif sample.expected is not MISSING:
        yield from differences(sample.expected, task.output)
