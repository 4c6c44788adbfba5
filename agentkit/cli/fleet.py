"""`agentkit fleet`: the workers of a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from agentkit.cli.commands import ApiKey, AsJson, BaseUrl, add
from agentkit.cli.connection import connect
from agentkit.cli.screen import Screen
from agentkit.cli.transfers import size_text

__all__ = ["add_to"]

COLUMNS = ("worker", "pid", "state", "version", "task", "session", "calls", "memory")


def add_to(root: typer.Typer) -> None:
    """Puts the word on the command line."""
    add(root, "fleet", fleet)


def fleet(base_url: BaseUrl = None, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Shows the server's workers, how many tasks wait, and what became of those that ran.

    \b
    agentkit fleet --json
    """
    screen = Screen(as_json)
    with connect(base_url, api_key) as client:
        told = client.fleet()
    if as_json:
        screen.result(told)
        return
    workers: Sequence[Mapping[str, Any]] = told.get("workers") or ()
    screen.table(COLUMNS, [_row(each) for each in workers], records=workers)
    counters: Mapping[str, Any] = told.get("counters") or {}
    counted = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counters.items() if count)
    places = f"{len(workers)} of {told.get('size')} workers, {told.get('queued')} tasks wait"
    screen.say(f"{places}{'; ' if counted else ''}{counted}")


def _row(worker: Mapping[str, Any]) -> tuple[Any, ...]:
    memory = worker.get("rss_bytes")
    return (
        worker.get("id"), worker.get("pid"), worker.get("state"), worker.get("version_id"), worker.get("task_id"),
        worker.get("session_id"), worker.get("calls"), None if memory is None else size_text(memory),
    )  # fmt: skip
