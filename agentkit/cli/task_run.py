"""`agentkit task run` and `task watch`: a task on a server, and somebody who waits for it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from agentkit.cli.app_run import FunctionOption, OutOption
from agentkit.cli.commands import ApiKey, AsJson, BaseUrl
from agentkit.cli.connection import connect
from agentkit.cli.display import display_of, status_name
from agentkit.cli.foreground import end, filled, run_to_end
from agentkit.cli.inputs import Asked, FileOption, InputOption, SetOption, SetupOption, read_value
from agentkit.cli.screen import Screen

__all__ = ["TaskId", "run", "watch"]

TaskId = Annotated[str, typer.Argument(metavar="TASK_ID", help="As task run and task list print it.")]


def run(
    ref: Annotated[str, typer.Argument(metavar="REF", help="namespace/name[@version][:function].")],
    input: InputOption = None,
    sets: SetOption = None,
    files: FileOption = None,
    function: FunctionOption = None,
    setup: SetupOption = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end, or only print the id.")] = True,
    session: Annotated[str | None, typer.Option(metavar="new|ID", help="Begin a session, or go on in one.")] = None,
    session_timeout: Annotated[int | None, typer.Option(help="Idle seconds of a new session, 1 to 3600.")] = None,
    webhook: Annotated[str | None, typer.Option(metavar="URL", help="Told when the task is over.")] = None,
    run_at: Annotated[str | None, typer.Option(metavar="TIME", help="Not before, as 2026-01-31T08:00:00Z.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Runs of one key are one: safe to repeat.")
    ] = None,
    out: OutOption = None,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> int:
    """Runs an app on a server, shows how it goes, and prints its output as JSON.

    Ctrl-C cancels the task and waits for its end; a second Ctrl-C leaves at once.

    \b
    agentkit task run acme/thumbs --file image=cat.png --set width=200 --out made
    agentkit task run acme/notes:add --set text=milk --session new
    agentkit task run acme/thumbs --input @job.json --no-wait
    """
    screen = Screen(as_json)
    asked = Asked.parse(input, sets=sets, files=files)
    told: dict[str, Any] = {
        "function": function,
        "setup": read_value(setup, option="--setup") if setup else None,
        "session": session,
        "session_timeout": session_timeout,
        "webhook": webhook,
        "run_at": run_at,
    }
    with connect(base_url, api_key) as client:
        given = {name: value for name, value in told.items() if value is not None}
        body = {"app": ref, "input": filled(client, asked, screen=screen), **given}
        if wait:
            return run_to_end(client, body, screen=screen, out=out, idempotency_key=idempotency_key)
        task = client.tasks.run(body, wait=False, idempotency_key=idempotency_key)
    if as_json:
        screen.result(task.to_wire())
        return 0
    screen.text(f"{task.id}\n")
    screen.say(f"{status_name(task.status)}; agentkit task watch {task.id}")
    return 0


def watch(
    task_id: TaskId, out: OutOption = None, base_url: BaseUrl = None, api_key: ApiKey = None, as_json: AsJson = False
) -> int:
    """Shows how a task goes, to its end, and prints its output. With --json, each update as a line.

    Ctrl-C only stops watching; `agentkit task cancel` ends the task.

    \b
    agentkit task watch 2khet8d1p6z26krbtvn9d7rkth
    """
    screen = Screen(as_json)
    with connect(base_url, api_key) as client:
        stream = client.tasks.stream(task_id)
        try:
            with display_of(screen, is_stream=True) as display, stream:
                for task in stream:
                    display.tell(task)
        except KeyboardInterrupt:
            screen.say(f"the task goes on; agentkit task cancel {task_id} ends it")
            raise
        return end(client, stream.result or stream.wait(), screen=screen, out=out, is_told=as_json)
