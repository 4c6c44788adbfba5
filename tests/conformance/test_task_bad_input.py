"""Bad input of every kind, through the public client, in process and served: refused by name, nothing is leaked."""

from __future__ import annotations

import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentkit import (
    APIError,
    Inference,
    Runtime,
    SessionEndedError,
    SessionError,
    SessionExpiredError,
    SessionNotFoundError,
    TaskStatus,
    UsageError,
)
from agentkit.errors import (
    BadRequestError,
    ConfigError,
    InvalidInputError,
    NotFoundError,
    TaskFailedError,
)
from agentkit.protocol import api
from agentkit.runtime.open import FleetConfig
from tests.conformance.home import Home, home
from tests.conformance.seed_apps import HEAD, write_app, write_apps

BARE = {"X-API-Version": "2"}
APPS = ("my-app", "my-stateful-app", "image-app", "infsh/echo")
FINE = {"app": "infsh/echo", "input": {"message": "still here"}}
STATEFUL = {"app": "my-stateful-app", "input": {"prompt": "hello"}}

pytestmark = [pytest.mark.requirement("task:bad-input"), pytest.mark.timeout(60), pytest.mark.heavy]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Generator[Home]:
    """The server behind a socket."""
    with home(apps=write_apps(tmp_path_factory.mktemp("apps"), *APPS), fleet=FleetConfig(size=3)) as server:
        yield server


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Generator[Runtime]:
    """The same in this process."""
    apps = {name: str(path) for name, path in write_apps(tmp_path_factory.mktemp("apps"), *APPS).items()}
    with Runtime(apps=apps, workers=3) as opened:
        yield opened


@pytest.fixture(params=["in process", pytest.param("served", marks=pytest.mark.thorough)])
def client(request: pytest.FixtureRequest, runtime: Runtime, there: Home) -> Generator[Inference]:
    """A client of either; afterwards it has no open task, no session and no busy worker, and runs what is right."""
    given = runtime if request.param == "in process" else there
    with given.client() as client:
        yield client
        assert client.run(FINE)["output"]["message"] == "still here"
        assert client.sessions.list() == []
        unfinished = [{"field": "status", "operator": "lt", "value": int(TaskStatus.COMPLETED)}]
        assert client.tasks.list(filters=unfinished).items == []
        _until_nobody_works(client)


EITHER = pytest.mark.parametrize("client", ["in process", "served"], indirect=True)  # in every run


@contextmanager
def ended(client: Inference, session_id: str | None) -> Generator[str]:
    """A session that is ended in any case."""
    assert session_id
    try:
        yield session_id
    finally:
        client.sessions.end(session_id)


def begun(client: Inference, **more: Any) -> str | None:
    """The id of a new session."""
    return client.tasks.run({**STATEFUL, "session": "new", **more}).session_id


# -- apps that are none ----------------------------------------------------------------------------------------------

GOOD = """
class In(BaseAppInput):
    text: str

class Out(BaseAppOutput):
    text: str
"""
RUN = "    async def run(self, app_input: In) -> Out: return Out(text=app_input.text)\n"
BAD_APPS = {
    "does not import": ("import a_module_that_nobody_has\n", "a_module_that_nobody_has"),
    "is no Python": ("class App(BaseApp:\n", "SyntaxError"),
    "has no class": (GOOD, "App"),
    "has no function": (f"{GOOD}\nclass App(BaseApp):\n    pass\n", "function"),
    "has two candidates": (f"{GOOD}\nclass One(BaseApp):\n{RUN}\nclass Two(BaseApp):\n{RUN}", "One"),
    "is typed half-way": (
        f"{GOOD}\nclass App(BaseApp):\n    async def run(self, app_input: In): return Out(text='')\n",
        "run",
    ),
}


@pytest.mark.parametrize("kind", BAD_APPS)
def test_an_app_that_is_none_is_not_deployed_and_says_why(client: Inference, tmp_path: Path, kind: str) -> None:
    code, reason = BAD_APPS[kind]
    folder = write_app(tmp_path / "bad", code, name="bad")
    with pytest.raises(UsageError, match=reason):
        client.apps.deploy(folder)
    with pytest.raises(NotFoundError):
        client.apps.get("local/bad")


@pytest.mark.parametrize("kind", BAD_APPS)
def test_an_app_that_is_none_is_not_given_to_a_runtime(tmp_path: Path, kind: str) -> None:
    code, reason = BAD_APPS[kind]
    folder = write_app(tmp_path / "bad", code, name="bad")
    with pytest.raises(ConfigError, match=reason) as caught, Runtime(apps={"me/bad": str(folder)}):
        pass
    assert "me/bad" in str(caught.value)


@EITHER
@pytest.mark.parametrize(
    "schema",
    [{"type": "nothing"}, {"properties": {"a": {"type": 7}}}, {"$ref": "https://example.com/a.json"}, [1]],
    ids=["unknown type", "type that is a number", "schema of another machine", "list"],
)
def test_a_wrong_schema_is_refused_when_the_app_is_stored(client: Inference, schema: Any) -> None:
    version = {"kernel": "python-3.11", "functions": {"run": {"name": "run", "input_schema": schema}}}
    with pytest.raises((APIError, UsageError)) as caught:
        client.apps.create({"name": "wrong", "version": version})
    if isinstance(caught.value, APIError):
        assert caught.value.status_code in (400, 422), caught.value


def test_an_app_that_fails_in_its_worker_fails_its_task_with_the_reason(client: Inference, tmp_path: Path) -> None:
    code = HEAD + GOOD + f"\nclass App(BaseApp):\n    async def setup(self): raise OSError('no model')\n{RUN}"
    client.apps.deploy(write_app(tmp_path / "broken", code, name="broken", head=""))
    with pytest.raises(TaskFailedError, match="OSError: no model") as caught:
        client.run({"app": "broken", "input": {"text": ""}})
    assert caught.value.task is not None and caught.value.task.status == TaskStatus.FAILED


# -- input ---------------------------------------------------------------------------------------------------------


@EITHER
def test_input_that_does_not_fit_is_refused_with_its_paths(client: Inference) -> None:
    for bad, path in (({"prompt": 7}, "prompt"), ({"start": "maybe"}, "start")):
        with pytest.raises(InvalidInputError, match=path) as caught:
            client.run({"app": "my-app", "input": bad})
        assert caught.value.status_code == 422 and caught.value.code == "validation_error"
        assert [each["path"] for each in caught.value.errors] == [path]
        assert all(each["message"] for each in caught.value.errors)
    with pytest.raises(InvalidInputError) as caught:
        client.run({"app": "infsh/echo", "input": {}})
    assert "message" in str(caught.value)


def test_setup_that_does_not_fit_is_refused(client: Inference) -> None:
    with pytest.raises(InvalidInputError, match="model"):
        client.run({"app": "my-app", "input": {}, "setup": {"model": ["no", "name"]}})


@pytest.mark.parametrize("value", [7, "text", [1], None], ids=["number", "text", "list", "nothing"])
def test_input_that_is_no_object_is_refused(client: Inference, value: Any) -> None:
    with pytest.raises((InvalidInputError, BadRequestError, UsageError)):
        client.run({"app": "infsh/echo", "input": value})


@EITHER
def test_an_unknown_app_version_or_function_is_refused_with_what_there_is(client: Inference) -> None:
    for app, status, there_is in (
        ("nobody/nothing", 404, "nobody/nothing"),
        ("infsh/echo@nothing1", 404, "nothing1"),
        ("my-app:paint", 400, "step"),
    ):
        with pytest.raises(APIError, match=there_is) as caught:
            client.run({"app": app, "input": {}})
        assert caught.value.status_code == status
    with pytest.raises(APIError) as caught:
        client.run({**FINE, "infra": "the moon"})
    assert caught.value.status_code == 400


@EITHER
def test_a_task_that_there_is_not_is_not_found(client: Inference) -> None:
    for ask in (client.tasks.get, client.tasks.status, client.tasks.cancel, client.tasks.logs, client.tasks.delete):
        with pytest.raises(NotFoundError, match="task_abc123"):
            ask("task_abc123")
    with pytest.raises(NotFoundError, match="task_abc123"):
        client.tasks.wait_for_completion("task_abc123")


@pytest.mark.requirement("task:cancel")
def test_cancelling_a_finished_task_changes_nothing(client: Inference) -> None:
    task = client.run(FINE)
    client.tasks.cancel(task.id)
    again = client.tasks.get(task.id)
    assert (again.status, again.output, again.updated_at) == (task.status, task.output, task.updated_at)


# -- sessions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, 3601, -1, 1.5, True, "60"])
def test_a_session_timeout_out_of_range_is_refused_by_the_client(client: Inference, seconds: Any) -> None:
    with pytest.raises(UsageError, match="1 to 3600"):
        client.tasks.run({**STATEFUL, "session": "new", "session_timeout": seconds})


@pytest.mark.parametrize(("seconds", "status"), [(0, 400), (3601, 400), (-1, 400), (1.5, 422), ("soon", 422)])
@pytest.mark.parametrize("path", ["/run", "/apps/run"])
def test_a_session_timeout_out_of_range_is_refused_by_the_server(
    there: Home, path: str, seconds: Any, status: int
) -> None:
    answer = posted(there, path, {**STATEFUL, "session": "new", "session_timeout": seconds})
    assert (answer.status_code, "session_timeout" in answer.text) == (status, True)


def test_a_session_timeout_with_a_session_that_exists_is_refused(client: Inference, there: Home) -> None:
    with ended(client, begun(client)) as session_id, pytest.raises(UsageError, match="new"):
        client.tasks.run({**STATEFUL, "session": session_id, "session_timeout": 60})
    with there.client() as served, ended(served, begun(served)) as session_id:
        answer = posted(there, "/run", {**STATEFUL, "session": session_id, "session_timeout": 60})
        assert (answer.status_code, "session_timeout" in answer.json()["detail"]) == (400, True)
        assert served.sessions.get(session_id).call_count == 1
    assert posted(there, "/run", {**STATEFUL, "session_timeout": 60}).status_code == 400


@EITHER
@pytest.mark.requirement("session:codes")
def test_unknown_ended_and_expired_sessions_are_told_apart(client: Inference) -> None:
    with pytest.raises(SessionNotFoundError) as unknown:
        client.tasks.run({**STATEFUL, "session": "sess_abc123"})
    session_id = begun(client) or ""
    client.sessions.end(session_id)
    with pytest.raises(SessionEndedError) as over:
        client.tasks.run({**STATEFUL, "session": session_id})
    short = begun(client, session_timeout=1) or ""
    _until(lambda: client.sessions.get(short).status != "active")
    with pytest.raises(SessionExpiredError) as expired:
        client.tasks.run({**STATEFUL, "session": short})
    found = [(each.value.status_code, each.value.code, each.value.session_id) for each in (unknown, over, expired)]
    assert found == [
        (404, "SESSION_NOT_FOUND", "sess_abc123"),
        (410, "SESSION_ENDED", session_id),
        (410, "SESSION_EXPIRED", short),
    ]
    with pytest.raises(SessionNotFoundError):
        client.sessions.get("sess_abc123")
    with pytest.raises(SessionExpiredError):
        client.sessions.keepalive(short)


@pytest.mark.requirement("session:codes")
def test_a_session_of_another_app_setup_or_version_is_refused_and_lives_on(client: Inference) -> None:
    with ended(client, begun(client)) as session_id:
        with pytest.raises(SessionError) as caught:
            client.tasks.run({**FINE, "session": session_id})
        assert (caught.value.status_code, caught.value.code) == (400, "APP_MISMATCH")
        with pytest.raises(APIError) as pinned:
            client.tasks.run({**STATEFUL, "app": "my-stateful-app@nothing1", "session": session_id})
        assert pinned.value.status_code in (400, 404)
        again = client.tasks.run({**STATEFUL, "session": session_id})
        assert again.output["heard"] == ["hello", "hello"]


@pytest.mark.requirement("session:leased")
def test_more_sessions_than_workers_are_refused_and_the_first_keep_theirs(client: Inference) -> None:
    held = [begun(client) or "" for _ in range(3)]
    try:
        with pytest.raises(SessionError) as caught:
            begun(client)
        assert (caught.value.status_code, caught.value.code) == (409, "WORKER_LEASED")
        assert client.tasks.run({**STATEFUL, "session": held[0]}).output["heard"] == ["hello", "hello"]
    finally:
        for session_id in held:
            client.sessions.end(session_id)


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("uri", ["data:image/png;base64,%%%", "data:;base64,A"])
def test_a_data_uri_that_cannot_be_decoded_is_refused_before_anything_is_sent(client: Inference, uri: str) -> None:
    before = [each.id for each in client.tasks.list(limit=1).items]
    with pytest.raises(UsageError, match="data"):
        client.run({"app": "image-app", "input": {"image": uri}})
    with pytest.raises(UsageError):
        client.files.upload(uri)
    assert [each.id for each in client.tasks.list(limit=1).items] == before


@pytest.mark.parametrize("uri", ["data:", "data:image/png;base64"])
def test_text_that_only_begins_like_a_data_uri_is_text_and_no_file(client: Inference, uri: str) -> None:
    with pytest.raises(TaskFailedError, match=r"image: 'data:.*data:image/png;base64,"):
        client.run({"app": "image-app", "input": {"image": uri}})
    with pytest.raises(UsageError):
        client.files.upload(uri)


@pytest.mark.parametrize(
    "uri", ["inf://files/nothing/x.png", "inf://elsewhere/x", "https://127.0.0.1:1/x.png", "/no/such"]
)
def test_a_file_that_cannot_be_had_fails_the_task_and_is_named(client: Inference, uri: str) -> None:
    with pytest.raises((TaskFailedError, APIError)) as caught:
        client.run({"app": "image-app", "input": {"image": uri}})
    assert uri.split("//")[-1].split("/")[0].split(":")[0] in str(caught.value) or uri in str(caught.value)


@pytest.mark.requirement("file:cut")
def test_an_upload_that_is_cut_half_way_is_no_file_and_can_be_made_up_for(there: Home) -> None:
    body = {"files": [{"uri": "", "filename": "a.png", "content_type": "image/png", "size": 8}]}
    (record,) = posted(there, "/files", body).json()
    path = record["upload_url"].removeprefix(there.url)
    head = f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{there.server.port}\r\nContent-Length: 8\r\n\r\n"
    with socket.create_connection(("127.0.0.1", there.server.port), timeout=10) as connection:
        connection.sendall(head.encode() + b"\x89PN")
    with there.client() as client:
        with pytest.raises((TaskFailedError, APIError)):
            client.run({"app": "image-app", "input": {"image": record["uri"]}})
        assert httpx.put(record["upload_url"], content=b"\x89PNG\r\n\x1a\n").is_success
        task = client.run({"app": "image-app", "input": {"image": record["uri"]}})
    assert task.output["size"] == 8


# -- webhooks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/hook", "http://nobody.invalid/hook"], ids=["dead port", "dead host"]
)
def test_a_webhook_to_a_dead_host_holds_nothing_up(client: Inference, url: str) -> None:
    began = time.monotonic()
    task = client.run({**FINE, "webhook": url})
    assert task.status == TaskStatus.COMPLETED and task.webhook == url
    assert time.monotonic() - began < 15


@EITHER
@pytest.mark.parametrize("url", ["not a url", "ftp://example.com/x", "file:///etc/passwd", "http://"])
def test_a_webhook_that_is_no_web_address_is_refused(client: Inference, url: str) -> None:
    with pytest.raises(APIError, match="webhook") as caught:
        client.run({**FINE, "webhook": url})
    assert caught.value.status_code == 400


# -- requests that are none --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'"run"', b"\xff", b'{"input": {}}', b'{"app": 7}'])
@pytest.mark.parametrize("path", ["/run", "/apps/run"])
def test_a_body_that_is_no_run_is_a_400_or_422_in_the_callers_dialect(there: Home, path: str, body: bytes) -> None:
    key = {"Authorization": f"Bearer {there.key}", "Content-Type": "application/json"}
    for headers in ({}, BARE):
        answer = httpx.post(f"{there.url}{path}", content=body, headers={**key, **headers})
        assert answer.status_code in (400, 422), answer.text
        assert answer.json()["detail"]
        assert ("success" in answer.json()) is (not headers)


def test_fields_that_nobody_knows_are_tolerated(there: Home) -> None:
    answer = posted(there, "/run", {**FINE, "worker_selection_mode": "any", "variant": "unheard of"})
    assert (answer.status_code, answer.json()["status"]) == (200, 10)


def posted(there: Home, path: str, body: Any) -> httpx.Response:
    """A plain POST, for what the client would not send."""
    headers = {"Authorization": f"Bearer {there.key}", **BARE}
    return httpx.post(f"{there.url}{path}", json=body, headers=headers, timeout=30)


def _until(is_true: Any) -> None:
    until = time.monotonic() + 15
    while not is_true():
        assert time.monotonic() < until
        time.sleep(0.02)


def _until_nobody_works(client: Inference) -> None:
    """GET /fleet, which the client has no method for."""

    def is_quiet() -> bool:
        state = client._transport.send(api.FLEET.call())
        return state["queued"] == 0 and all(each["state"] == "idle" for each in state["workers"])

    _until(is_quiet)
