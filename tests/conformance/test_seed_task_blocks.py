"""The task, session, file and app parts of the SDK's document, run with nothing but the import changed (seeds/003)."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import agentkit
from agentkit import AsyncInference, Inference, SessionEndedError, TaskStatus, inference
from agentkit.apps import File
from agentkit.errors import NotFoundError
from agentkit.runtime.open import FleetConfig
from tests.conformance.documents import play, program
from tests.conformance.home import Home, home
from tests.conformance.seed_apps import WRITING, write_app, write_apps

KEY = "your-api-key"  # as the document writes it
PARAMS = {"app": "your-app", "input": {"prompt": "hello"}}  # `params`, which the document never shows
PNG = b"\x89PNG\r\n\x1a\n"
ELLIPSIS = {"{...}": '{"prompt": "hello"}'}  # a placeholder of the document that is no JSON

pytestmark = [pytest.mark.requirement("seed:blocks"), pytest.mark.timeout(60), pytest.mark.heavy]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Generator[Home]:
    """A server with the apps that the blocks name, under the names they use."""
    apps = write_apps(tmp_path_factory.mktemp("apps"), "your-app", "my-stateful-app@abc123")
    with home(key=KEY, apps=apps, fleet=FleetConfig(size=4)) as server:
        yield server


@pytest.fixture(autouse=True)
def reaches_it(there: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the blocks' `inference(api_key="your-api-key")` reaches."""
    monkeypatch.setenv("AGENTKIT_BASE_URL", there.url)
    monkeypatch.delenv("INFERENCE_API_KEY", raising=False)


@contextmanager
def notebook(*blocks: str, **names: Any) -> Generator[dict[str, Any]]:
    """The names that blocks share, after these blocks; the client they made is closed at the end."""
    shared: dict[str, Any] = {"__name__": "__main__", "params": PARAMS, **names}
    try:
        for name in blocks:
            play(name, shared)
        yield shared
    finally:
        if isinstance(client := shared.get("client"), Inference):
            client.close()


def printed_after(capsys: pytest.CaptureFixture[str], name: str, names: dict[str, Any], **more: Any) -> list[str]:
    """The lines that a block prints."""
    capsys.readouterr()
    play(name, names, **more)
    return capsys.readouterr().out.splitlines()


# -- tasks ---------------------------------------------------------------------------------------------------------


def test_a_run_waits_for_its_output_and_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    with notebook("client_usage") as names:
        result = names["result"]
    told = capsys.readouterr().out.splitlines()
    assert told == [f"Task ID: {result['id']}", f"Output: {result['output']}"]
    assert (result["status"], result["output"]["text"]) == (TaskStatus.COMPLETED, "VALUE")


@pytest.mark.requirement("fleet:warm")
def test_equal_setup_finds_the_worker_warm() -> None:
    with notebook("client_usage", "with_setup_parameters") as names:
        cold = names["result"]
        play("with_setup_parameters", names)
        warm = names["result"]
    assert cold["output"]["model"] == warm["output"]["model"] == "schnell"
    assert cold["output"]["pid"] == warm["output"]["pid"]
    assert TaskStatus.SETTING_UP not in [event["status"] for event in warm["events"]]


def test_a_run_is_waited_for_or_not_or_streamed(capsys: pytest.CaptureFixture[str]) -> None:
    with notebook("client_usage") as names:
        told = printed_after(capsys, "run_options", names)
        assert names["result"]["status"] == TaskStatus.COMPLETED
        assert names["task"]["status"] in (TaskStatus.RECEIVED, TaskStatus.QUEUED)
        assert names["task_id"] == names["task"]["id"] != names["update"]["id"]
    statuses = [line.removeprefix("Status: ") for line in told if line.startswith("Status: ")]
    assert statuses[-1] == "COMPLETED" and "'text': 'HELLO'" in told[-1]
    numbers = [TaskStatus[each] for each in statuses]
    assert numbers == sorted(numbers)


def test_a_task_is_read_cancelled_waited_for_and_streamed(capsys: pytest.CaptureFixture[str]) -> None:
    with notebook("client_usage", "run_options") as names:
        names["client"].tasks.wait_for_completion(names["task_id"])  # or the block's cancel() might come first
        told = printed_after(capsys, "task_management", names)
        assert names["stream"].result["id"] == names["result"]["id"] == names["task_id"]
    assert told[0] == "Status: COMPLETED"  # and cancelling what is over changes nothing
    assert told[1].startswith("Result: {") and "'text': 'HELLO'" in told[1]
    assert told[2].startswith("Final result: ")


@pytest.mark.requirement("app:secrets")
def test_an_app_that_misses_a_secret_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets = """
    secrets:
      - {key: HF_TOKEN, description: the hub}
      - {key: NICE_TO_HAVE, optional: true}
    """
    app = write_app(tmp_path / "my-app", WRITING, name="my-app", manifest=secrets)
    with home(key=KEY, apps={"my-app": app}) as without:
        monkeypatch.setenv("AGENTKIT_BASE_URL", without.url)
        with inference(api_key=KEY) as client:
            play("requirements_errors_http_412", {"client": client}, places=ELLIPSIS)
    assert capsys.readouterr().out == "secret: HF_TOKEN — HF_TOKEN is not set\n"
    with home(key=KEY, apps={"my-app": app}, secrets={"HF_TOKEN": "hf_1"}) as having:
        monkeypatch.setenv("AGENTKIT_BASE_URL", having.url)
        with inference(api_key=KEY) as client:
            names: dict[str, Any] = {"client": client}
            play("requirements_errors_http_412", names, places=ELLIPSIS)
    assert names["result"]["output"]["text"] == "hello"


# -- sessions ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("session:new")
def test_a_session_remembers_in_its_worker(capsys: pytest.CaptureFixture[str]) -> None:
    with notebook("client_usage") as names:
        told = printed_after(capsys, "sessions_stateful_execution", names)
        first, second = names["result"], names["result2"]
        names["client"].sessions.end(names["session_id"])
    assert told == [f"Session ID: {first['session_id']}"]
    assert second["session_id"] == first["session_id"] not in (None, "new")
    assert second["output"] == {
        **first["output"],
        "heard": ["hello", "remember what I said?"],
    }


def test_the_session_block_calls_functions_in_order_and_ends_the_session(capsys: pytest.CaptureFixture[str]) -> None:
    with notebook("client_usage") as names:
        told = printed_after(capsys, "session_context_manager", names)
        session_id, last = names["session"].session_id, names["update"]
        info = names["client"].sessions.get(session_id)
        with pytest.raises(SessionEndedError):
            names["client"].tasks.run({"app": "my-stateful-app", "input": {"prompt": "?"}, "session": session_id})
    assert told[-1] == session_id
    assert last["output"]["heard"] == ["hello", "step 1", "step 2", "..."]
    assert (info["status"], info["call_count"]) == ("ended", 4)


def test_sessions_are_read_listed_kept_and_ended() -> None:
    with notebook("client_usage", "sessions_stateful_execution", "session_management") as names:
        client, session_id = names["client"], names["session_id"]
        assert (names["info"]["status"], names["info"]["call_count"]) == ("active", 2)
        assert [each["id"] for each in names["sessions"]] == [session_id]
        assert client.sessions.get(session_id)["status"] == "ended"
        assert client.sessions.list() == []


@pytest.mark.requirement("session:timeout")
def test_a_session_keeps_the_timeout_it_began_with() -> None:
    with notebook("client_usage", "custom_session_timeout") as names:
        session_id = names["result"]["session_id"]
        info = names["client"].sessions.get(session_id)
        names["client"].sessions.end(session_id)
    assert (info["idle_timeout"], names["result"]["session_timeout"]) == (300, 300)


# -- the async client ----------------------------------------------------------------------------------------------


async def test_the_async_block_runs_streams_and_keeps_a_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[AsyncInference] = []  # the block leaves its client open

    def recorded(*args: Any, **more: Any) -> AsyncInference:
        made.append(agentkit.client.inference.async_inference(*args, **more))
        return made[-1]

    monkeypatch.setattr(agentkit, "async_inference", recorded)
    with home(key=KEY, apps=write_apps(tmp_path, "your-app", "my-app@abc123")) as server:
        monkeypatch.setenv("AGENTKIT_BASE_URL", server.url)
        await play_async_client(made, capsys)


async def play_async_client(made: list[AsyncInference], capsys: pytest.CaptureFixture[str]) -> None:
    """The block, and what it prints."""
    with notebook("client_usage", "run_options") as names:
        names["client"].tasks.wait_for_completion(names["task_id"])
        capsys.readouterr()
        play("async_client", names)
        try:
            await names["main"]()
        finally:
            for client in made:
                await client.close()
    told = capsys.readouterr().out.splitlines()
    outputs = [line for line in told if line.startswith("Output: ")]
    assert ["'text': 'VALUE'" in outputs[0], "'text': 'HELLO'" in outputs[1]] == [True, True]
    assert told[-1] == str(TaskStatus.COMPLETED.value)


# -- files ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def picture(tmp_path: Path) -> Mapping[str, str]:
    """A real path for the document's."""
    path = tmp_path / "file.png"
    path.write_bytes(PNG)
    return {"/path/to/file.png": str(path)}


def test_a_file_knows_its_name_type_and_size(picture: Mapping[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    told = printed_after(capsys, "file_handling", names, places=picture)
    assert told == ["image/png", "8", "file.png"]
    assert names["exists"] is True
    Path(picture["/path/to/file.png"]).write_bytes(PNG * 2)
    names["file"].refresh_metadata()
    assert names["file"].size == 16


def test_a_file_keeps_the_metadata_it_was_given(picture: Mapping[str, str]) -> None:
    block = program("file_handling", picture)
    explicit = re.search(r"file = File\(\n.*?\n\)", block, re.DOTALL)
    assert explicit
    names: dict[str, Any] = {"File": File}
    exec(explicit[0], names)
    file = names["file"]
    assert (file.content_type, file.filename, file.size) == ("image/png", "custom_name.png", 1024)


# -- creating an app -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_compat", [False, True], ids=["import changed", "import as written"])
@pytest.mark.requirement("app:compat")
def test_the_documents_app_runs_as_an_app(tmp_path: Path, is_compat: bool) -> None:
    result = tmp_path / "result.png"
    result.write_bytes(PNG)
    places = {"/tmp/result.png": str(result)}
    code = program("creating_an_app", places)
    code = code.replace("from agentkit import", "from inferencesh import") if is_compat else code
    folder = write_app(tmp_path / "app", code, name="my-app", head="")
    with home(key=KEY) as server, server.client() as client:
        deployed = client.apps.deploy(folder)
        task = client.tasks.run({"app": "my-app", "input": {"image": "a", "mask": "b"}})
        made = client.files.download(task["output"]["image"])
    assert deployed["version"]["functions"]["run"]["input_schema"]["required"] == ["image", "mask"]
    assert made == PNG


# -- the overview ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("seed:overview")
def test_the_overviews_first_app_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    block = """\
from agentkit import inference

client = inference(api_key="inf_your_key")

result = client.run({
    "app": "infsh/echo",
    "input": {"message": "Hello from the API!"}
})

print(result["output"])
"""
    with (
        home(key="inf_your_key", apps=write_apps(tmp_path, "infsh/echo")) as server,
        pytest.MonkeyPatch.context() as env,
    ):
        env.setenv("AGENTKIT_BASE_URL", server.url)
        names: dict[str, Any] = {}
        exec(block, names)
        names["client"].close()
    assert "'message': 'Hello from the API!'" in capsys.readouterr().out


def test_the_task_that_is_no_task_is_not_found(there: Home) -> None:
    with there.client() as client, pytest.raises(NotFoundError):
        client.tasks.get("task_abc123")
