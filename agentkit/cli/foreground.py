"""A task that somebody waits for: started, shown, cancelled by Ctrl-C, its result printed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from agentkit.cli.display import display_of, status_name
from agentkit.cli.exits import DONE, FAILED
from agentkit.cli.inputs import Asked
from agentkit.cli.interrupts import Interrupts
from agentkit.cli.screen import Screen
from agentkit.cli.transfers import save_files, upload
from agentkit.client.inference import Inference
from agentkit.errors import TaskLostError
from agentkit.wire import Task, TaskStatus

__all__ = ["end", "filled", "run_to_end"]

NOTICE: Final = "cancelling; Ctrl-C again leaves at once"


def filled(client: Inference, asked: Asked, *, screen: Screen) -> Any:
    """The input, its files uploaded."""
    return asked.filled(lambda file: upload(client, file, screen=screen))


def run_to_end(
    client: Inference, params: Mapping[str, Any], *, screen: Screen, out: Path | None = None, **options: Any
) -> int:
    """Runs the task and prints its result; the exit code.

    The first Ctrl-C cancels the task and waits for its end; it does so too while the request is under way.
    """
    with Interrupts(notice="" if screen.is_live and not screen.is_json else NOTICE) as interrupts:
        display = display_of(screen)
        with display:
            stream = client.tasks.run(params, stream=True, **options)

            def stop() -> None:
                display.stopping()
                stream.cancel()

            interrupts.then(stop)
            try:
                for task in stream:
                    display.tell(task)
                task = stream.result or stream.wait()  # which raises what became of it
            except TaskLostError:
                screen.say(f"the task may be going on: agentkit task watch {stream.task_id}")
                raise
    code = end(client, task, screen=screen, out=out)
    return interrupts.exit_code or code


def end(client: Inference, task: Task, *, screen: Screen, out: Path | None = None, is_told: bool = False) -> int:
    """Saves and prints what came of a task that is over; the exit code. `is_told`: its JSON is out already."""
    is_good = task.status is TaskStatus.COMPLETED
    output = save_files(client, task, out, screen=screen) if is_good and out is not None else task.output
    if screen.is_json:
        if not is_told:
            screen.result({**task.to_wire(), "output": output})
    elif is_good:
        screen.result(output)
        if task.session_id:
            screen.say(f"session {task.session_id}; the next call of it: --session {task.session_id}")
    if not is_good:
        screen.say(f"agentkit: task {task.id} {status_name(task.status)}{': ' if task.error else ''}{task.error or ''}")
    return DONE if is_good else FAILED
