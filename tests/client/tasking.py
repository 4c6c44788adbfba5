"""A platform with tasks, files and sessions: true to the protocol, but for what a test decides.

    platform = Platform(RUNNING, DONE)
    with hostile(platform) as server, client_of("sync", server.url) as client:
        client.tasks.run({"app": "acme/echo", "input": {}})

A task goes through `states`, each a patch of it: the stream begins with a snapshot and then tells one state per line,
and what it has told is the truth that a GET answers. `cut(wire, stream, line)` is called before each line of the
stream (line 0 is the snapshot) and may break it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from tests.client.hostile import Hostile, Request, Wire, hostile
from tests.client.ways import client_of

QUEUED: dict[str, Any] = {"status": 2}
RUNNING: dict[str, Any] = {"status": 7}
DONE: dict[str, Any] = {"status": 10, "output": {"text": "done"}}
HEARTBEAT = {"type": "heartbeat"}
ERRORS = "https://api.inference.sh/errors/"

Answer = Callable[[Request, Wire], None]


def partial(**changes: Any) -> dict[str, Any]:
    """A state that is told as `{data, fields}`."""
    return {"_fields": list(changes), **changes}


def told_as(form: str, **changes: Any) -> dict[str, Any]:
    """A state that is told as `data` (no fields), or as an `event: update`."""
    return {"_form": form, **changes}


def problem(code: str, status: int, detail: str = "no", **more: Any) -> dict[str, Any]:
    """An RFC 9457 body."""
    return {"type": ERRORS + code, "title": code, "status": status, "detail": detail, **more}


@dataclass
class Live:
    """One task, and how far it is."""

    states: list[dict[str, Any]]
    task: dict[str, Any]
    place: int = 0
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def is_over(self) -> bool:
        """Whether its status is terminal."""
        status = self.task["status"]
        return status in ("completed", "failed", "cancelled", "rejected") or (isinstance(status, int) and status >= 10)

    def step(self) -> dict[str, Any]:
        """Goes on by one state; the line that tells of it."""
        state = dict(self.states[self.place])
        self.place += 1
        fields, form = state.pop("_fields", None), state.pop("_form", None)
        self.task |= {**state, "updated_at": f"2026-01-01T00:00:{self.place:02}Z"}
        if fields:
            return {"data": deepcopy(self.task), "fields": fields}
        if form == "data":
            return {"data": deepcopy(self.task)}
        return {"event": form, "data": deepcopy(self.task)} if form else deepcopy(self.task)

    def finish(self) -> None:
        """Goes on to its end, telling nobody."""
        while self.place < len(self.states):
            self.step()


class Platform:
    """See above. `answers` replaces what is answered to `"METHOD /path"`."""

    def __init__(self, *states: dict[str, Any], cut: Callable[[Wire, int, int], None] | None = None) -> None:
        self.states = list(states) or [RUNNING, DONE]
        self.cut = cut
        self.tasks: dict[str, Live] = {}
        self.answers: dict[str, Answer] = {}
        self.streams = 0
        self.bodies: list[dict[str, Any]] = []
        self.keys: dict[str, dict[str, Any]] = {}
        self.uploads: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.sessions: dict[str, dict[str, Any]] = {}
        self.first: dict[str, Any] = {"status": 1}
        self.pauses = threading.Event()  # a stream stays at its first state until this is set
        self.pauses.set()
        self.was_begun = threading.Event()  # a stream told its first line
        self.url = ""
        self._lock = threading.Lock()

    # -- what is asked ---------------------------------------------------------------------------------------------

    def __call__(self, request: Request, wire: Wire) -> None:
        if (answer := self.answers.get(f"{request.method} {request.path}")) is not None:
            answer(request, wire)
            return
        match request.method, request.path.strip("/").split("/"):
            case "POST", ["apps", "run"]:
                self.run(request, wire)
            case "GET", ["tasks", id, "stream"]:
                self.stream(wire, self.tasks[id])
            case "GET", ["tasks", id]:
                self.get(wire, id)
            case "GET", ["tasks", id, "status"]:
                self.poll(wire, id)
            case "POST", ["tasks", id, "cancel"]:
                self.cancel(wire, id)
            case "POST", ["files"]:
                self.announce(request, wire)
            case "PUT", ["put", id]:
                self.contents[id] = request.body
                wire.answer()
            case "GET", ["files", id, "content"] if id in self.contents:
                wire.answer(body=self.contents[id], content_type="application/octet-stream")
            case method, ["sessions", *rest]:
                self.session(method, rest, wire)
            case _:
                wire.json(problem("not_found", 404, f"{request.method} {request.path}"), 404)

    def run(self, request: Request, wire: Wire) -> None:
        """POST /apps/run; the same key is the same task."""
        body = request.json
        key = request.headers.get("idempotency-key")
        with self._lock:
            if key is None or key not in self.keys:
                self.bodies.append(body)
                live = self.begin(body)
                if key is not None:
                    self.keys[key] = deepcopy(live.task)
                answer = deepcopy(live.task)
            else:
                answer = self.keys[key]
        wire.json(answer)

    def begin(self, body: dict[str, Any]) -> Live:
        """A new task of these params."""
        id = f"t{len(self.tasks) + 1}"
        task = {
            "id": id,
            "input": body.get("input"),
            "output": None,
            "updated_at": "2026-01-01T00:00:00Z",
            **self.first,
        }
        if body.get("session") == "new":
            sid = f"s{len(self.sessions) + 1}"
            self.sessions[sid] = {
                "id": sid,
                "status": "active",
                "call_count": 0,
                "idle_timeout": body.get("session_timeout"),
            }
        else:
            sid = body.get("session")
        if sid:
            self.sessions[sid]["call_count"] += 1
            task["session_id"] = sid
        live = self.tasks[id] = Live(deepcopy(self.states), task)
        return live

    def stream(self, wire: Wire, live: Live) -> None:
        """GET /tasks/{id}/stream."""
        with self._lock:
            self.streams += 1
            number = self.streams
        wire.begin()
        line, told = 0, deepcopy(live.task)
        while True:
            if self.cut is not None:
                self.cut(wire, number, line)
            wire.line(told)
            self.was_begun.set()
            if live.is_over:
                break
            while not self.pauses.wait(0.01) and not live.cancelled.is_set():
                pass
            with self._lock:
                if live.cancelled.is_set():
                    live.task |= {"status": 12}
                    told = deepcopy(live.task)
                elif live.place < len(live.states):
                    told = live.step()
                elif live.is_over:  # another stream told it first
                    told = deepcopy(live.task)
                else:
                    break
            line += 1
        wire.end()

    def get(self, wire: Wire, id: str) -> None:
        """GET /tasks/{id}."""
        if id not in self.tasks:
            wire.json(problem("not_found", 404, f"no task {id}"), 404)
            return
        wire.json(self.tasks[id].task)

    def poll(self, wire: Wire, id: str) -> None:
        """GET /tasks/{id}/status: each asking goes on by one state."""
        live = self.tasks[id]
        if live.place < len(live.states) and self.pauses.is_set():
            live.step()
        wire.json({"id": id, "status": live.task["status"], "updated_at": ""})

    def cancel(self, wire: Wire, id: str) -> None:
        """POST /tasks/{id}/cancel."""
        live = self.tasks[id]
        live.cancelled.set()
        wire.json({"id": id, "status": 8, "cancelled": True})

    def announce(self, request: Request, wire: Wire) -> None:
        """POST /files."""
        records: list[dict[str, Any]] = []
        with self._lock:
            for each in request.json["files"]:
                id = f"f{len(self.uploads) + 1}"
                uri = f"inf://files/{id}/{each['filename']}"
                record = {**each, "id": id, "uri": uri, "upload_url": f"{self.url}/put/{id}"}
                self.uploads[id] = record
                records.append(record)
        wire.json(records)

    def session(self, method: str, rest: list[str], wire: Wire) -> None:
        """/sessions, /sessions/{id}, /sessions/{id}/keepalive."""
        if not rest:
            wire.json([each for each in self.sessions.values() if each["status"] == "active"] or None)
            return
        record = self.sessions.get(rest[0])
        if record is None:
            wire.json(problem("SESSION_NOT_FOUND", 404), 404)
        elif record["status"] == "ended" and method != "GET":
            wire.json(problem("SESSION_ENDED", 410), 410)
        elif method == "DELETE":
            record["status"] = "ended"
            wire.answer(204)
        else:
            wire.json(record)

    # -- what a test looks at --------------------------------------------------------------------------------------

    def file_of(self, uri: str) -> tuple[dict[str, Any], bytes]:
        """How a file was announced, and its bytes."""
        id = uri.removeprefix("inf://files/").partition("/")[0]
        return self.uploads[id], self.contents[id]


@contextmanager
def meeting(kind: str, platform: Any, **settings: Any) -> Iterator[tuple[Any, Hostile]]:
    """A client (`sync`, `asyncio`, `trio`) and the server that plays."""
    with hostile(platform) as server:
        if isinstance(platform, Platform):
            platform.url = server.url
        with client_of(kind, server.url, **settings) as client:
            yield client, server


def as_json(value: Any) -> Any:
    """What a value is once it has travelled."""
    return json.loads(json.dumps(value))
