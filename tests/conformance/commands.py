"""The `curl` commands of the REST pages, as data and as they run.

`seed_commands/` holds them word for word, one file per example, without the line numbers that the page's paste put
into them. Only what a loopback server cannot have is replaced, by the table that the test gives: the address, the key
where the server refuses a short one, and ids.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["COMMANDS", "SEEDS", "Answer", "commands_of", "curl"]

COMMANDS = Path(__file__).parent / "seed_commands"
_SEEDS = Path(__file__).resolve().parents[3] / "shared" / "seeds"
SEEDS = {"tasks": _SEEDS / "002-rest-tasks.txt", "apps": _SEEDS / "004-rest-apps.txt"}
PLATFORM = "https://api.inference.sh"
_SECONDS = 60
_HEADINGS = {  # what stands before an example, and the name of its file
    "Get task status and output.": "get_task",
    "Run and wait": "run_and_wait",
    "Run without waiting": "run_without_waiting",
    "Run with session": "run_with_session",
    "Run with custom session timeout": "run_with_custom_session_timeout",
    "Run with webhook": "run_with_webhook",
    "Requires the apps:write scope.": "set_current_version",
    "The previous endpoint accepted": "removed_current_version",
}


@dataclass(frozen=True)
class Answer:
    """What a command printed."""

    status: int
    content_type: str
    body: Any

    @property
    def data(self) -> Any:
        """The object itself: these commands ask for no version, and get the envelope (protocol.md 1.2)."""
        return self.body["data"]


def commands_of(document: str) -> Iterator[tuple[str, str]]:
    """The examples of a page that begin with `curl`: name and text."""
    heading, lines = "", iter(document.splitlines())
    for line in lines:
        heading = next((name for start, name in _HEADINGS.items() if line.startswith(start)), heading)
        if line == "bash":
            yield heading, unnumbered(next(lines))


def unnumbered(line: str) -> str:
    """The text of an example whose lines were pasted as one, each after its number."""
    found, rest, number = list[str](), line.removeprefix("1"), 2
    while match := re.search(rf"{number}(?=  |curl|#|\d+#)", rest):
        found.append(rest[: match.start()])
        rest, number = rest[match.end() :], number + 1
    return "".join(f"{part}\n" for part in [*found, rest])


def curl(name: str, *, url: str, replaced: Mapping[str, str] | None = None, headers: str = "") -> list[Answer]:
    """Runs an example in a shell, as it is written; what each of its commands answered.

    `headers` go to each command on top of its own.
    """
    text = (COMMANDS / f"{name}.txt").read_text(encoding="utf-8")
    for placeholder, value in {PLATFORM: url, **(replaced or {})}.items():
        text = text.replace(placeholder, value)
    return [_run(each, headers) for each in re.split(r"\n(?=curl )", f"\n{text}") if each.startswith("curl ")]


def _run(command: str, headers: str) -> Answer:
    """Runs one command; what follows it, an empty line or a comment, is left out."""
    command = re.split(r"\n+(?=#|$)", command)[0]
    script = f"{command} --silent --show-error --write-out '\\n%{{http_code}} %{{content_type}}' {headers}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    body, _, end = done.stdout.rpartition("\n")
    status, _, content_type = end.partition(" ")
    return Answer(int(status), content_type, json.loads(body) if body else None)
