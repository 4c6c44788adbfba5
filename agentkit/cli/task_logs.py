"""`agentkit task logs`, `agentkit app logs`: what tasks printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import typer

from agentkit.cli.commands import ApiKey, AsJson, BaseUrl
from agentkit.cli.connection import connect
from agentkit.cli.display import status_name
from agentkit.cli.exits import Mistake
from agentkit.cli.logs import Growing
from agentkit.cli.screen import Screen
from agentkit.client.inference import Inference
from agentkit.errors import NotFoundError
from agentkit.wire import TaskLog, is_terminal_status

__all__ = ["Follow", "app_logs", "task_logs"]

Follow = Annotated[bool, typer.Option("--follow", help="Go on as long as the task does.")]
Logs: TypeAlias = str | Sequence[TaskLog | str]


def task_logs(
    task_id: Annotated[str, typer.Argument(metavar="TASK_ID")],
    follow: Follow = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Prints what a task printed: its build, its setup and its run."""
    with connect(base_url, api_key) as client:
        _tell(client, task_id, Screen(as_json), is_followed=follow)


def app_logs(
    target: Annotated[str, typer.Argument(metavar="TASK_ID|REF", help="A task, or an app: its newest task is taken.")],
    follow: Follow = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Prints what a task printed, or the newest task of an app.

    \b
    agentkit app logs acme/thumbs --follow
    """
    with connect(base_url, api_key) as client:
        _tell(client, _task_of(client, target), Screen(as_json), is_followed=follow)


def _tell(client: Inference, task_id: str, screen: Screen, *, is_followed: bool) -> None:
    told = _Told(screen)
    if not is_followed:
        told.logs(client.tasks.logs(task_id).logs)
        return
    for task in client.tasks.stream(task_id):
        told.logs(task.logs)
        if is_terminal_status(task.status):
            told.logs(client.tasks.logs(task_id).logs)  # a stream leaves out the beginning of a long log
            screen.say(f"task {task.id} {status_name(task.status)}{': ' if task.error else ''}{task.error or ''}")


class _Told:
    """Prints each line once."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._growing = Growing()

    def logs(self, logs: Logs) -> None:
        for label, text in self._growing.new(logs):
            if self._screen.is_json:
                self._screen.line({"phase": label or "task", "text": text})
            else:
                self._screen.text(text if text.endswith("\n") else f"{text}\n")


def _task_of(client: Inference, target: str) -> str:
    """The task, or the newest one of the app of that name. Raises NotFoundError, Mistake."""
    if "/" not in target:
        try:
            return client.tasks.get(target).id
        except NotFoundError:
            pass  # a bare name of an app, then
    app = client.apps.get(target)
    found = client.tasks.list(limit=1, filters=[{"field": "app_id", "operator": "eq", "value": app.id}])
    if not found.items:
        raise Mistake(f"no task of {app.namespace}/{app.name} has run yet")
    return found.items[0].id
