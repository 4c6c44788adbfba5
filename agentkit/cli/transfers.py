"""Files on their way to and from the platform, with a bar at a terminal and a line elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from agentkit.cli.inputs import FileValue
from agentkit.cli.screen import Screen
from agentkit.client.inference import Inference
from agentkit.errors import APIError
from agentkit.wire import Task

__all__ = ["Tick", "bar", "save_files", "size_text", "upload"]

Tick: TypeAlias = Callable[[int, int], object]
"""Told how much of how much is done."""

OURS: Final = "inf://"


@contextmanager
def bar(screen: Screen, text: str) -> Generator[Tick]:
    """A bar, from the first tick until the work is done. Without a terminal nothing is drawn."""
    if screen.is_json or not screen.is_live:
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=screen.error, transient=True) as progress:
        row = progress.add_task(text, total=None, visible=False)
        yield lambda done, total: progress.update(row, completed=done, total=total, visible=True)


def upload(client: Inference, file: FileValue, *, screen: Screen) -> str:
    """Uploads a file; the URI that stands for it."""
    with bar(screen, f"uploading {file.path.name}") as tick:
        record = client.files.upload(file.path, on_progress=tick)
    screen.say(f"uploaded {file.path.name} ({size_text(record.size or 0)})")
    return record.uri


def save_files(client: Inference, task: Task, folder: Path, *, screen: Screen) -> Any:
    """Downloads what the task made into the folder; its output, with the `path` of each file beside its `uri`."""
    saved: dict[str, str] = {}
    for uri in _made(client, task):
        with bar(screen, f"downloading {uri.rpartition('/')[2]}") as tick:
            path = client.files.download(uri, _free(folder, uri), on_progress=tick)
        saved[uri] = str(path)
        screen.say(f"saved {path} ({size_text(path.stat().st_size)})")
    return _with_paths(task.output, saved)


def size_text(size: float) -> str:
    """A size for reading.

    >>> size_text(512), size_text(20_480)
    ('512 B', '20.5 kB')
    """
    if size < 1000:
        return f"{size:.0f} B"
    for unit in ("kB", "MB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} GB"


def _made(client: Inference, task: Task) -> list[str]:
    """The URIs of the files of an output: those that the platform lists, and those that are plainly files."""
    try:
        listed = [each.uri for each in client.tasks.files(task.id, role="output")]
    except APIError:  # platforms of before: no such list
        listed = []
    inside = list(_uris(task.output, known=set(listed)))
    return list(dict.fromkeys(inside))


def _uris(value: Any, *, known: set[str]) -> Generator[str]:
    match value:
        case str() if value in known or value.startswith(OURS):
            yield value
        case Mapping():
            members = cast("Mapping[str, Any]", value)
            if isinstance(uri := members.get("uri"), str) and uri:
                yield uri
            for each in members.values():
                yield from _uris(each, known=known)
        case list():
            for each in cast("Sequence[Any]", value):
                yield from _uris(each, known=known)
        case _:
            return


def _with_paths(value: Any, saved: Mapping[str, str]) -> Any:
    match value:
        case str() if value in saved:
            return {"uri": value, "path": saved[value]}
        case Mapping():
            members = cast("Mapping[str, Any]", value)
            uri = members.get("uri")
            if isinstance(uri, str) and uri in saved:
                return {**members, "path": saved[uri]}
            return {name: _with_paths(each, saved) for name, each in members.items()}
        case list():
            return [_with_paths(each, saved) for each in cast("Sequence[Any]", value)]
        case _:
            return value


def _free(folder: Path, uri: str) -> Path:
    """Where a file goes: its own name, or `name-2` where that is taken."""
    folder.mkdir(parents=True, exist_ok=True)
    name = Path(uri.rpartition("/")[2].partition("?")[0] or "file").name
    place = folder / name
    number = 2
    while place.exists():
        place = folder / f"{Path(name).stem}-{number}{Path(name).suffix}"
        number += 1
    return place
