"""The task, session and file examples of the JavaScript SDK's document, said in Python (seeds/001)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from agentkit import (
    Inference,
    RequirementsNotMetError,
    SessionEndedError,
    SessionExpiredError,
    SessionNotFoundError,
    TaskStatus,
    UploadFileOptions,
    inference,
)
from agentkit.runtime.open import FleetConfig
from tests.conformance.home import Home, home
from tests.conformance.seed_apps import WRITING, write_app, write_apps

KEY = "your-api-key"  # as the document writes it
PNG = "data:image/png;base64,iVBORw0KGgo="
FIRST_BYTES = "89504e470d0a1a0a"
SECRET = "secrets: [{key: HF_TOKEN}]"

pytestmark = [pytest.mark.requirement("seed:javascript-tasks"), pytest.mark.timeout(60), pytest.mark.heavy]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Generator[Home]:
    """A server with the apps that the document names."""
    folder = tmp_path_factory.mktemp("apps")
    apps = write_apps(
        folder, "your-app", "my-app", "my-stateful-app", "image-processor", "image-app", "long-running-app"
    )
    apps["needs-a-secret"] = write_app(folder / "secret", WRITING, name="needs-a-secret", manifest=SECRET)
    with home(key=KEY, apps=apps, fleet=FleetConfig(size=2)) as server:
        yield server


@pytest.fixture
def client(there: Home) -> Generator[Inference]:
    with inference(api_key=KEY, base_url=there.url) as client:
        yield client


# -- running ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("app", ["your-app", "my-app"])
def test_a_run_waits_for_the_result(client: Inference, app: str) -> None:
    result = client.tasks.run({"app": app, "input": {"prompt": "Hello, world!"}})
    assert result.status == TaskStatus.COMPLETED
    assert result.output["text"].lower() == "hello, world!"


def test_setup_configures_the_app(client: Inference) -> None:
    result = client.tasks.run({"app": "my-app", "setup": {"model": "schnell"}, "input": {"prompt": "hello"}})
    assert result.output["model"] == "schnell"


def test_fire_and_forget_tells_the_id_at_once(client: Inference) -> None:
    task = client.tasks.run({"app": "my-app", "input": {"prompt": "hello"}}, wait=False)
    assert task.id and task.status in (TaskStatus.RECEIVED, TaskStatus.QUEUED)
    assert client.tasks.wait_for_completion(task.id).output["text"] == "hello"


@pytest.mark.requirement("task:updates")
def test_updates_tell_the_status_and_the_logs_and_partial_ones_what_changed(client: Inference) -> None:
    updates: list[Any] = []
    partial: list[tuple[Any, list[str]]] = []
    result = client.run(
        {"app": "my-app", "input": {"prompt": "one two three four"}},
        on_update=updates.append,
        on_partial_update=lambda task, fields: partial.append((task, fields)),
    )
    statuses = [each.status for each in updates]
    assert statuses == sorted(statuses) and statuses[-1] == TaskStatus.COMPLETED
    assert any(each.logs for each in updates)
    outputs = [task.output["text"] for task, fields in partial if "output" in fields]
    assert outputs and all("one two three four".startswith(each) for each in outputs)
    assert result.output["text"] == "one two three four"
    assert {name for _, fields in partial for name in fields} <= set(result.keys())


@pytest.mark.parametrize("polls", ["client", "call"])
def test_polling_sees_the_same_result_where_no_stream_can_be_held(there: Home, polls: str) -> None:
    seen: list[Any] = []
    options: dict[str, Any] = {"poll": True, "poll_interval_ms": 20} if polls == "call" else {"poll_interval_ms": 20}
    with inference(api_key=KEY, base_url=there.url, stream=polls == "call") as client:
        result = client.run(
            {"app": "my-app", "input": {"prompt": "hello there"}}, on_update=lambda u: seen.append(u.status), **options
        )
    assert result.output["text"] == "hello there"
    assert seen[-1] == TaskStatus.COMPLETED and seen == sorted(seen)


def test_a_batch_is_processed_in_order(client: Inference) -> None:
    told: list[str] = []

    def process(images: list[str]) -> list[Any]:
        return [
            client.tasks.run(
                {"app": "image-processor", "input": {"image": image}},
                on_update=lambda update: told.append(f"Processing: {update.status}"),
            )
            for image in images
        ]

    results = process([PNG, PNG])
    assert [each.output["first"] for each in results] == [FIRST_BYTES] * 2
    assert told.count(f"Processing: {int(TaskStatus.COMPLETED)}") == 2
    mapped = client.tasks.map([{"image": PNG}, {"image": PNG}], "image-processor", concurrency=2)
    assert [each.output["size"] for each in mapped] == [8, 8]


def test_a_cancelled_task_ends_cancelled(client: Inference) -> None:
    task = client.tasks.run({"app": "long-running-app", "input": {}}, wait=False)
    client.tasks.cancel(task.id)
    (*_, last) = client.tasks.stream(task.id)
    assert last.status == TaskStatus.CANCELLED


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("file:to-app")
def test_an_uploaded_file_is_used_in_a_task(client: Inference) -> None:
    file = client.files.upload(PNG, UploadFileOptions(filename="image.png", content_type="image/png"))
    result = client.tasks.run({"app": "image-app", "input": {"image": file.uri}})
    assert (file.filename, file.content_type) == ("image.png", "image/png")
    assert result.output["first"] == FIRST_BYTES
    assert (result.output["size"], result.output["content_type"]) == (8, "image/png")


# -- sessions --------------------------------------------------------------------------------------------------------


def test_a_session_remembers(client: Inference) -> None:
    result = client.tasks.run({"app": "my-stateful-app", "input": {"prompt": "hello"}, "session": "new"})
    session_id = result.session_id
    assert session_id
    again = client.tasks.run(
        {"app": "my-stateful-app", "input": {"prompt": "remember what I said?"}, "session": session_id}
    )
    assert again.output == {**result.output, "heard": ["hello", "remember what I said?"]}
    client.sessions.end(session_id)


def test_sessions_are_managed_without_a_task(client: Inference) -> None:
    begun = {"app": "my-stateful-app", "input": {"prompt": "hello"}, "session": "new", "session_timeout": 300}
    session_id = client.tasks.run(begun).session_id or ""
    info = client.sessions.get(session_id)
    assert (info.status, info.call_count, info.idle_timeout) == ("active", 1, 300)
    assert session_id in [each.id for each in client.sessions.list()]
    kept = client.sessions.keepalive(session_id)
    assert (kept.expires_at or "") > (info.expires_at or "")
    client.sessions.end(session_id)
    assert session_id not in [each.id for each in client.sessions.list()]


@pytest.mark.parametrize("kind", ["unknown", "ended", "expired"])
def test_a_session_that_is_gone_is_begun_anew_as_the_document_does(client: Inference, kind: str) -> None:
    def run(session: str, **more: Any) -> Any:
        return client.tasks.run({"app": "my-stateful-app", "input": {"prompt": "hello"}, "session": session, **more})

    session_id = "sess_abc123"
    if kind == "ended":
        session_id = run("new").session_id
        client.sessions.end(session_id)
    if kind == "expired":
        session_id = run("new", session_timeout=1).session_id
        _wait_until_over(client, session_id)
    expected = {"unknown": SessionNotFoundError, "ended": SessionEndedError, "expired": SessionExpiredError}[kind]
    try:
        run(session_id)
        raise AssertionError("a session that is gone took a call")
    except (SessionNotFoundError, SessionExpiredError, SessionEndedError) as error:
        assert type(error) is expected and error.session_id == session_id
        result = run("new")
    assert result.output["heard"] == ["hello"]
    client.sessions.end(result.session_id)


# -- requirements ----------------------------------------------------------------------------------------------------


def test_missing_requirements_are_listed_with_what_would_meet_them(client: Inference) -> None:
    with pytest.raises(RequirementsNotMetError) as caught:
        client.run({"app": "needs-a-secret", "input": {}})
    (requirement,) = caught.value.errors
    assert (requirement.type, requirement.key) == ("secret", "HF_TOKEN")
    assert requirement.action is not None and requirement.action.type == "add_secret"


def _wait_until_over(client: Inference, session_id: str) -> None:
    import time

    until = time.monotonic() + 15
    while client.sessions.get(session_id).status == "active":
        assert time.monotonic() < until, "the session does not expire"
        time.sleep(0.05)
