"""`agentkit task`: the words about tasks."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

import typer

from agentkit.cli.commands import ApiKey, AsJson, BaseUrl, Limit, add, group
from agentkit.cli.connection import connect
from agentkit.cli.display import status_name
from agentkit.cli.exits import Mistake
from agentkit.cli.foreground import end
from agentkit.cli.screen import Screen
from agentkit.cli.task_logs import task_logs
from agentkit.cli.task_run import TaskId, run, watch
from agentkit.wire import Task, TaskStatus, is_terminal_status, parse_status

__all__ = ["add_to"]

HELP = """Run apps on a server, watch them, cancel them.

\b
  agentkit task run acme/thumbs --file image=cat.png --out made
  agentkit task run acme/thumbs --input @job.json --no-wait
  agentkit task watch TASK_ID
  agentkit task list --status running

The server and the key: AGENTKIT_BASE_URL, INFERENCE_API_KEY.
"""


def add_to(root: typer.Typer) -> None:
    """Puts the words on the command line."""
    words = group(HELP)
    add(words, "run", run)
    add(words, "watch", watch)
    add(words, "get", get)
    add(words, "list", list_tasks)
    add(words, "cancel", cancel)
    add(words, "logs", task_logs)
    root.add_typer(words, name="task")


def get(task_id: TaskId, base_url: BaseUrl = None, api_key: ApiKey = None, as_json: AsJson = False) -> int:
    """Prints the output of a task that is over, or says how far it is. Exit code 1 where it failed."""
    screen = Screen(as_json)
    with connect(base_url, api_key) as client:
        task = client.tasks.get(task_id)
        if is_terminal_status(task.status):
            return end(client, task, screen=screen)
    if as_json:
        screen.result(task.to_wire())
    else:
        screen.say(f"task {task.id} {status_name(task.status)}")
    return 0


def list_tasks(
    app: Annotated[str | None, typer.Option(metavar="REF", help="Only tasks of this app.")] = None,
    status: Annotated[str | None, typer.Option(help="Only these: queued, running, completed, failed, ...")] = None,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Only calls of this session.")] = None,
    limit: Limit = 20,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Lists tasks, newest first."""
    wanted: list[tuple[str, Any]] = [("status", _status(status)), ("session_id", session)]
    with connect(base_url, api_key) as client:
        if app is not None:
            wanted.append(("app_id", client.apps.get(app).id))
        filters = [{"field": name, "operator": "eq", "value": value} for name, value in wanted if value is not None]
        tasks = list(islice(client.tasks.iterate(limit=min(limit, 100), filters=filters or None), limit))
    columns = ("task", "status", "app", "function", "created", "error")
    Screen(as_json).table(columns, [_row(task) for task in tasks], records=[task.to_wire() for task in tasks])


def cancel(
    task_id: TaskId,
    force: Annotated[bool, typer.Option("--force", help="Kill it at once; the app is not asked.")] = False,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="How long the app has after it was asked.")
    ] = None,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Cancels a task: its app is asked first, then told, then killed. One that is over stays as it is."""
    with connect(base_url, api_key) as client:
        task = client.tasks.cancel(task_id, force=force, timeout=timeout)
    screen = Screen(as_json)
    if as_json:
        screen.result(task.to_wire())
    else:
        screen.say(f"task {task.id} {status_name(task.status or TaskStatus.CANCELLING)}")


def _status(name: str | None) -> int | None:
    """The number of a status. Raises Mistake naming those that there are."""
    if name is None:
        return None
    found = parse_status(name.replace("-", "_").replace(" ", "_"))
    if found in (None, TaskStatus.UNKNOWN):
        known = ", ".join(each.name.lower() for each in TaskStatus if each)
        raise Mistake(f"--status {name!r}: there is no such status; there are {known}")
    return int(found)


def _row(task: Task) -> tuple[Any, ...]:
    app = f"{task.app.namespace}/{task.app.name}" if task.app else task.app_id
    return task.id, status_name(task.status), app, task.function, task.created_at, task.error
