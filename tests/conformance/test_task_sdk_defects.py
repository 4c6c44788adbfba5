"""What the official SDK 0.7.8 gets wrong about tasks and files (protocol.md 11.2), and that ours does not: in pairs.

Not shown, because it would take minutes or is about nothing that can be seen: quiet streams that count as lost after
30 s, the 60 s that an asynchronous stream may take, uploads without a time limit, options that do nothing.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agentkit import (
    AsyncInference,
    Inference,
    SessionExpiredError,
    UploadFileOptions,
    array,
    async_inference,
    inference,
    is_message_ready,
    is_terminal_status,
    obj,
    optional,
    string,
    tool,
)
from agentkit.errors import AuthenticationError, TaskTimeoutError
from agentkit.types import TaskStatus
from tests.conformance.crooked import Crooked, Lines, Reply, crooked
from tests.conformance.official import KEY, Sdk

RUN = "POST /apps/run"
STREAM = "GET /tasks/t1/stream"
TASK = "GET /tasks/t1"
FILES = "POST /files"
PUT = "PUT /put/f1"


def task(status: Any, **more: Any) -> dict[str, Any]:
    """The task t1."""
    return {"id": "t1", "status": status, "input": {}, "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z", **more}  # fmt: skip


DONE = task(10, output={"text": "done"})
QUICK = {RUN: Reply(task(1)), STREAM: Lines(DONE, closes=True), TASK: Reply(DONE)}


def client_of(platform: Crooked) -> Inference:
    return inference(api_key=KEY, base_url=platform.url)


def async_client_of(platform: Crooked) -> AsyncInference:
    return async_inference(api_key=KEY, base_url=platform.url)


@contextmanager
def taking_files(**more: Any) -> Generator[Crooked]:
    """A platform that takes files too; `more` routes, too."""
    with crooked({}) as platform:
        record = {"id": "f1", "uri": "inf://files/f1/x", "upload_url": f"{platform.url}/put/f1", "filename": "x"}
        platform.routes = {**QUICK, FILES: Reply([record]), PUT: Reply(None, 204), **more}
        yield platform


# -- statuses ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("better:rejected-ends")
def test_the_wheel_does_not_know_that_a_rejected_task_is_over(published: Sdk) -> None:
    (told,) = published.run(
        "tell(over=inferencesh.is_terminal_status(13), ready=inferencesh.is_message_ready('queued'))",
        url="http://unused",
    )
    assert told == {"over": False, "ready": True}


@pytest.mark.requirement("better:rejected-ends")
def test_ours_knows_and_ends() -> None:
    assert is_terminal_status(13) and not is_message_ready("queued")
    with (
        crooked({**QUICK, STREAM: Lines(task(13, error="no room"))}) as platform,
        client_of(platform) as client,
        pytest.raises(RuntimeError, match="no room"),
    ):
        client.run({"app": "a/b", "input": {}}, timeout=10)


@pytest.mark.requirement("better:whole-task")
def test_the_wheels_unwaited_run_drops_most_of_the_task(published: Sdk) -> None:
    begun = task(1, error=None, app_id="a1", status_text="received", session_timeout=60)
    with crooked({RUN: Reply(begun)}) as platform:
        (told,) = published.run('tell(**client.run({"app": "a/b", "input": {}}, wait=False))', url=platform.url)
    assert {"app_id", "status_text", "session_timeout", "error"} & set(told) == set()


@pytest.mark.requirement("better:whole-task")
def test_ours_returns_all_of_it() -> None:
    begun = task(1, error=None, app_id="a1", status_text="received", session_timeout=60)
    with crooked({RUN: Reply(begun)}) as platform, client_of(platform) as client:
        found = client.run({"app": "a/b", "input": {}}, wait=False)
    assert (found["app_id"], found["status_text"], found["session_timeout"]) == ("a1", "received", 60)


# -- streams -----------------------------------------------------------------------------------------------------------

PARTS = Lines(
    task(7, output={"text": "a"}, logs=["one"]),
    {"data": {"id": "t1", "status": 7, "output": {"text": "ab"}}, "fields": ["output"]},
    {"data": {"id": "t1", "status": 7, "logs": ["one", "two"]}, "fields": ["logs"]},
    task(10, output={"text": "abc"}, logs=["one", "two"]),
    closes=True,
)


@pytest.mark.requirement("better:merged-updates")
def test_the_wheels_updates_forget_what_they_do_not_name(published: Sdk) -> None:
    with crooked({**QUICK, STREAM: PARTS}) as platform:
        (told,) = published.run(
            'tell(outputs=[u["output"] for u in client.run({"app": "a/b", "input": {}}, stream=True)])',
            url=platform.url,
        )
    assert told["outputs"] == [{"text": "a"}, {"text": "ab"}, None, {"text": "abc"}]


@pytest.mark.requirement("better:merged-updates")
def test_ours_are_the_whole_task_each_time() -> None:
    with crooked({**QUICK, STREAM: PARTS}) as platform, client_of(platform) as client:
        outputs = [each.output["text"] for each in client.run({"app": "a/b", "input": {}}, stream=True) if each.output]
    assert outputs == sorted(outputs, key=len) and outputs[-1] == "abc" and "ab" in outputs


@pytest.mark.requirement("better:task-permanent-errors")
def test_the_wheel_hides_a_refusal_behind_an_ended_stream(published: Sdk) -> None:
    program = """
    tell(error=cut(lambda: list(client.run({"app": "a/b", "input": {}}, stream=True, max_reconnects=1,
                                           reconnect_delay_ms=10))))
    """
    routes = {**QUICK, STREAM: Lines(task(7), closes=True), TASK: Reply({"detail": "the key was revoked"}, 401)}
    with crooked(routes) as platform:
        (told,) = published.run(program, url=platform.url)
    assert told["error"] is None  # and no result either


@pytest.mark.requirement("better:task-permanent-errors")
def test_ours_says_that_the_key_was_revoked() -> None:
    revoked = Reply({"detail": "the key was revoked"}, 401)
    with (
        crooked({**QUICK, STREAM: revoked, TASK: revoked}) as platform,
        client_of(platform) as client,
        pytest.raises((AuthenticationError, RuntimeError), match="revoked"),
    ):
        client.run({"app": "a/b", "input": {}}, timeout=10)


@pytest.mark.requirement("better:deadline")
def test_the_wheels_timeout_waits_for_an_update(published: Sdk) -> None:
    """The deadline is looked at when an update comes, and `tasks.wait_for_completion` takes none at all."""
    program = """
    import inspect
    tell(takes="timeout" in inspect.signature(client.tasks.wait_for_completion).parameters)
    begin = time.monotonic()
    def wait():
        cut(lambda: client.wait_for_completion("t1", timeout=0.3))
    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()
    waiter.join(2.0)
    tell(waits=waiter.is_alive())
    os._exit(0)
    """
    with crooked({TASK: Reply(task(7)), STREAM: Lines(task(7))}) as platform:
        takes, waits = published.run(program, url=platform.url)
    assert (takes, waits) == ({"takes": False}, {"waits": True})


@pytest.mark.requirement("better:deadline")
def test_ours_is_over_when_the_time_is() -> None:
    with crooked({TASK: Reply(task(7)), STREAM: Lines(task(7))}) as platform, client_of(platform) as client:
        began = time.monotonic()
        with pytest.raises(TaskTimeoutError):
            client.tasks.wait_for_completion("t1", timeout=0.3)
        assert time.monotonic() - began < 2.0


LONG = "x" * 600_000


@pytest.mark.requirement("better:long-lines")
def test_the_wheels_asynchronous_stream_breaks_at_a_long_line(published: Sdk) -> None:
    program = """
    import asyncio
    async def main():
        client = async_inference(api_key=KEY, base_url=URL)
        try:
            async for update in await client.run({"app": "a/b", "input": {}}, stream=True, auto_reconnect=False):
                pass
        except Exception as error:
            tell(error=type(error).__name__)
    asyncio.run(main())
    """
    with crooked({**QUICK, STREAM: Lines(task(10, output={"text": LONG}), closes=True)}) as platform:
        (told,) = published.run(program, url=platform.url)
    assert told == {"error": "LineTooLong"}


@pytest.mark.requirement("better:long-lines")
async def test_ours_reads_it() -> None:
    with crooked({**QUICK, STREAM: Lines(task(10, output={"text": LONG}), closes=True)}) as platform:
        async with async_client_of(platform) as client:
            found = await client.run({"app": "a/b", "input": {}})
    assert found["output"]["text"] == LONG


# -- requests ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("better:retries")
def test_the_wheel_gives_up_where_it_is_asked_to_wait(published: Sdk) -> None:
    with crooked({TASK: [Reply({"detail": "slow down"}, 429), Reply(DONE)]}) as platform:
        (told,) = published.run('tell(error=cut(lambda: client.get_task("t1")))', url=platform.url)
    assert told["error"][0] == "APIError"


@pytest.mark.requirement("better:retries")
def test_ours_asks_again() -> None:
    with crooked({TASK: [Reply({"detail": "slow down"}, 429), Reply(DONE)]}) as platform, client_of(platform) as client:
        assert client.get_task("t1")["status"] == TaskStatus.COMPLETED


@pytest.mark.requirement("better:run-once-key")
def test_the_wheels_run_carries_no_key_and_ours_carries_the_callers(published: Sdk) -> None:
    with crooked(QUICK) as platform:
        published.run('client.run({"app": "a/b", "input": {}})', url=platform.url)
        with client_of(platform) as client:
            client.run({"app": "a/b", "input": {}}, idempotency_key="order-7")
        theirs, ours = platform.asked(RUN)
    assert "idempotency-key" not in theirs.headers
    assert ours.headers["idempotency-key"] == "order-7"


EXPIRED = Reply(
    {"type": "https://api.inference.sh/errors/SESSION_EXPIRED", "title": "Gone", "status": 410, "detail": "expired"},
    status=410,
)


@pytest.mark.requirement("better:session-errors")
def test_the_wheel_never_raises_its_session_errors(published: Sdk) -> None:
    with crooked({RUN: EXPIRED}) as platform:
        (told,) = published.run(
            'tell(error=cut(lambda: client.run({"app": "a/b", "input": {}, "session": "s1"})))', url=platform.url
        )
    assert told["error"][0] == "APIError"


@pytest.mark.requirement("better:session-errors")
def test_ours_raises_them_with_the_session() -> None:
    with (
        crooked({RUN: EXPIRED}) as platform,
        client_of(platform) as client,
        pytest.raises(SessionExpiredError) as caught,
    ):
        client.run({"app": "a/b", "input": {}, "session": "s1"})
    assert caught.value.session_id == "s1"


@pytest.mark.requirement("better:session-options")
def test_the_wheels_session_drops_its_options(published: Sdk) -> None:
    begun = task(10, session_id="s1")
    routes = {
        RUN: Reply(begun),
        TASK: Reply(begun),
        STREAM: Lines(begun, closes=True),
        "DELETE /sessions/s1": Reply(None, 204),
    }
    with crooked(routes) as platform:
        published.run('client.session("a/b", session_timeout=300, setup={"m": 1}).end()', url=platform.url)
        theirs = platform.asked(RUN)[0].json
        with client_of(platform) as client, client.session("a/b", session_timeout=300, setup={"m": 1}):
            pass
        ours = platform.asked(RUN)[1].json
    assert "session_timeout" not in theirs and "setup" not in theirs
    assert (ours["session"], ours["session_timeout"], ours["setup"]) == ("new", 300, {"m": 1})


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("better:strings-stay")
def test_the_wheel_uploads_what_only_looks_like_a_file(published: Sdk, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("private")
    given = {"prompt": str(secret), "word": "abcdefghijklmnop"}
    with taking_files() as platform:
        published.run(f'client.run({{"app": "a/b", "input": {given!r}}})', url=platform.url)
        sent = platform.asked(RUN)[0].json["input"]
        bodies = [each.body for each in platform.asked(PUT)]
    assert sent == {"prompt": "inf://files/f1/x", "word": "inf://files/f1/x"}
    assert b"private" in bodies


@pytest.mark.requirement("better:strings-stay")
def test_ours_sends_text_as_text_and_a_directory_too(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("private")
    given = {"prompt": str(secret), "word": "abcdefghijklmnop", "folder": str(tmp_path)}
    with taking_files() as platform, client_of(platform) as client:
        client.run({"app": "a/b", "input": given})
        assert platform.asked(RUN)[0].json["input"] == given
        assert platform.asked(FILES) == []


@pytest.mark.requirement("better:strings-stay")
def test_the_wheel_trips_over_the_name_of_a_directory(published: Sdk, tmp_path: Path) -> None:
    program = f'tell(error=cut(lambda: client.run({{"app": "a/b", "input": {{"prompt": {str(tmp_path)!r}}}}})))'
    with taking_files() as platform:
        (told,) = published.run(program, url=platform.url)
    assert told["error"][0] == "IsADirectoryError"


URIS = {
    "data:text/plain;charset=utf-8;base64,aGk=": b"hi",
    "data:,hello%20there": b"hello there",
    "data:text/plain,plain": b"plain",
}


@pytest.mark.requirement("better:data-uris")
def test_the_wheel_knows_one_form_of_data_uri(published: Sdk) -> None:
    program = f"""
    for uri in {list(URIS)!r}:
        tell(error=(cut(lambda: client.files.upload(uri)) or [None])[0])
    """
    with taking_files() as platform:
        told = published.run(program, url=platform.url)
    assert [each["error"] for each in told] == ["ValueError"] * 3


@pytest.mark.requirement("better:data-uris")
@pytest.mark.parametrize("uri", URIS)
def test_ours_knows_them_all(uri: str) -> None:
    with taking_files() as platform, client_of(platform) as client:
        client.files.upload(uri)
        assert platform.asked(PUT)[0].body == URIS[uri]


@pytest.mark.requirement("better:options-untouched")
def test_the_wheel_changes_the_callers_options_and_ours_does_not(published: Sdk, tmp_path: Path) -> None:
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_text("1")
    second.write_text("2")
    program = f"""
    options = inferencesh.UploadFileOptions(public=True)
    for path in ({str(first)!r}, {str(second)!r}):
        client.files.upload(path, options)
    """
    with taking_files() as platform:
        published.run(program, url=platform.url)
        theirs = [each.json["files"][0]["filename"] for each in platform.asked(FILES)]
        with client_of(platform) as client:
            options = UploadFileOptions(public=True)
            for path in (first, second):
                client.files.upload(str(path), options)
        ours = [each.json["files"][0]["filename"] for each in platform.asked(FILES)[2:]]
    assert theirs == ["first.txt", "first.txt"]
    assert ours == ["first.txt", "second.txt"]


@pytest.mark.requirement("better:async-paths")
def test_the_wheels_asynchronous_upload_of_a_path_fails(published: Sdk, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("hi")
    program = f"""
    import asyncio
    client = async_inference(api_key=KEY, base_url=URL)
    tell(error=cut(lambda: asyncio.run(client.files.upload({str(path)!r}))))
    """
    with taking_files() as platform:
        (told,) = published.run(program, url=platform.url)
    assert told["error"][0] == "TypeError"


@pytest.mark.requirement("better:async-paths")
async def test_ours_uploads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("hi")
    with taking_files() as platform:
        async with async_client_of(platform) as client:
            assert (await client.files.upload(str(path)))["uri"] == "inf://files/f1/x"
        assert platform.asked(PUT)[0].body == b"hi"


@pytest.mark.requirement("better:remote-files")
def test_the_wheel_fetches_a_remote_file_and_sends_it_again_where_ours_sends_its_address(
    published: Sdk, tmp_path: Path
) -> None:
    program = f"""
    sys.stdout = sys.stderr  # it says what it downloads
    os.environ["FILE_CACHE_DIR"] = {str(tmp_path)!r}
    client.run({{"app": "a/b", "input": {{"image": inferencesh.File(URL + "/photo.png")}}}})
    """
    with taking_files(**{"GET /photo.png": Reply("image", content_type="image/png")}) as platform:
        published.run(program, url=platform.url)
        with client_of(platform) as client:
            client.run({"app": "a/b", "input": {"image": {"uri": f"{platform.url}/photo.png"}}})
        theirs, ours = [each.json["input"]["image"] for each in platform.asked(RUN)]
        assert [each.body for each in platform.asked(PUT)] == [b"image"]
    assert theirs == "inf://files/f1/x"
    assert ours in (f"{platform.url}/photo.png", {"uri": f"{platform.url}/photo.png"})


# -- tools -------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("better:clean-schemas")
def test_the_wheel_leaks_its_marks_into_a_schema_and_ours_does_not(published: Sdk) -> None:
    program = """
    from inferencesh import tool, array, obj, optional, string
    built = tool("t").param("rows", array(obj({"a": optional(string("A"))}), "Rows")).build()
    tell(text=json.dumps(built))
    """
    (told,) = published.run(program, url="http://unused")
    assert '"optional"' in told["text"]
    ours = tool("t").param("rows", array(obj({"a": optional(string("A"))}), "Rows")).build()
    assert '"optional"' not in str(dict(ours)).replace("'", '"')
