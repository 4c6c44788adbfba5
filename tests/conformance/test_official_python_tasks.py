"""The official Python SDK, published and newest, runs tasks, sessions and files of the server."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from agentkit.runtime.open import FleetConfig
from tests.conformance.home import Home, home
from tests.conformance.official import Sdk
from tests.conformance.seed_apps import WRITING, write_app, write_apps

PNG = "data:image/png;base64,iVBORw0KGgo="
IMAGE = {"size": 8, "first": "89504e470d0a1a0a", "content_type": "image/png"}
FAILING = """
class In(BaseAppInput):
    pass

class Out(BaseAppOutput):
    text: str

class App(BaseApp):
    async def run(self, app_input: In) -> Out:
        raise ValueError("bad size")
"""


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Generator[Home]:
    """A server with the apps that the document names, and one that fails."""
    folder = tmp_path_factory.mktemp("apps")
    apps = write_apps(folder, "your-app", "my-app", "my-stateful-app@abc123", "image-app", "long-running-app")
    apps["failing"] = write_app(folder / "failing", FAILING, name="failing")
    apps["secret"] = write_app(folder / "secret", WRITING, name="needs-a-secret", manifest="secrets: [{key: HF_TOKEN}]")
    with home(apps=apps, fleet=FleetConfig(size=2)) as server:
        yield server


def only(facts: list[dict[str, Any]]) -> dict[str, Any]:
    """The one thing a program told."""
    assert len(facts) == 1, facts
    return facts[0]


# -- running ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("sdk:tasks")
def test_a_run_is_waited_for_as_the_document_shows(wheel: Sdk, there: Home) -> None:
    program = """
    for setup in ({}, {"model": "schnell"}):
        result = client.tasks.run({"app": "your-app", "input": {"key": "value"}, "setup": setup, "infra": "cloud",
                                   "variant": "default"})
        tell(status=result["status"], text=result["output"]["text"], model=result["output"]["model"])
    """
    assert wheel.run(program, url=there.url) == [
        {"status": 10, "text": "VALUE", "model": "dev"},
        {"status": 10, "text": "VALUE", "model": "schnell"},
    ]


@pytest.mark.requirement("sdk:tasks")
def test_a_run_is_streamed_status_by_status_to_its_output(wheel: Sdk, there: Home) -> None:
    program = """
    from inferencesh import parse_status, is_terminal_status
    updates = list(client.tasks.run({"app": "my-app", "input": {"prompt": "one two three four"}}, stream=True))
    tell(statuses=[int(u["status"]) for u in updates], texts=[(u.get("output") or {}).get("text") for u in updates],
         last=parse_status(updates[-1]["status"]).name, over=[is_terminal_status(u["status"]) for u in updates])
    """
    told = only(wheel.run(program, url=there.url))
    assert told["statuses"] == sorted(told["statuses"]) and told["last"] == "COMPLETED"
    assert told["over"][-1] and not any(told["over"][:-1])
    texts = [text for text in told["texts"] if text]
    assert texts[-1] == "one two three four" and all(texts[-1].startswith(text) for text in texts)
    assert len(texts) > 1  # what was yielded on the way arrived on the way


@pytest.mark.requirement("sdk:tasks")
def test_a_task_is_begun_read_waited_for_and_streamed_again(wheel: Sdk, there: Home) -> None:
    program = """
    bare = lambda answer: getattr(answer, "data", answer)  # the newest hands out the envelope
    task = client.tasks.run({"app": "my-app", "input": {"prompt": "a b c"}}, wait=False)
    tell(open=task["status"] in (1, 2), input=task["input"])
    result = client.tasks.wait_for_completion(task["id"])
    tell(text=result["output"]["text"], status=bare(client.tasks.get(task["id"]))["status"])
    with client.tasks.stream(task["id"]) as stream:
        for update in stream:
            last = update["status"]
    tell(last=last, result=stream.result["output"]["text"])
    """
    begun, done, streamed = wheel.run(program, url=there.url)
    assert begun == {"open": True, "input": {"prompt": "a b c"}}
    assert (done, streamed) == ({"text": "a b c", "status": 10}, {"last": 10, "result": "a b c"})


@pytest.mark.requirement("sdk:tasks")
def test_a_running_task_is_cancelled_and_everybody_hears_of_it(wheel: Sdk, there: Home) -> None:
    program = """
    bare = lambda answer: getattr(answer, "data", answer)  # the newest hands out the envelope
    task = client.tasks.run({"app": "long-running-app", "input": {}}, wait=False)
    heard = []
    def watch():
        heard.append(cut(lambda: client.tasks.wait_for_completion(task["id"])))
    watcher = threading.Thread(target=watch)
    watcher.start()
    while bare(client.tasks.get(task["id"]))["status"] != 7:
        time.sleep(0.02)
    client.tasks.cancel(task["id"])
    watcher.join(20)
    tell(heard=heard[0], status=bare(client.tasks.get(task["id"]))["status"])
    client.tasks.cancel(task["id"])
    """
    told = only(wheel.run(program, url=there.url))
    assert told["status"] == 12
    assert told["heard"][0] == "RuntimeError" and "cancelled" in told["heard"][1].lower()


@pytest.mark.requirement("sdk:tasks")
def test_a_failed_task_raises_its_error(wheel: Sdk, there: Home) -> None:
    program = """
    for stream in (False, True):
        tell(error=cut(lambda: list(client.tasks.run({"app": "failing", "input": {}}, stream=stream))))
    """
    for told in wheel.run(program, url=there.url):
        assert told["error"] == ["RuntimeError", "ValueError: bad size"]


@pytest.mark.requirement("sdk:task-refusals")
def test_refused_runs_are_told_apart(wheel: Sdk, there: Home) -> None:
    program = """
    for app, input in (("nobody/nothing", {}), ("my-app", {"prompt": 7}), ("needs-a-secret", {})):
        try:
            client.run({"app": app, "input": input})
        except inferencesh.RequirementsNotMetError as error:
            tell(kind="requirements", keys=[each.key for each in error.errors])
        except inferencesh.APIError as error:
            tell(kind="api", status=error.status_code, message=error.message)
    """
    unknown, invalid, missing = wheel.run(program, url=there.url)
    assert unknown["status"] == 404 and "nobody/nothing" in unknown["message"]
    assert invalid["status"] == 422 and "prompt" in invalid["message"]
    assert missing == {"kind": "requirements", "keys": ["HF_TOKEN"]}


# -- sessions --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("sdk:sessions")
def test_the_session_of_the_document_calls_functions_and_ends(wheel: Sdk, there: Home) -> None:
    program = """
    with client.session("my-stateful-app@abc123", input={"prompt": "hello"}) as session:
        session.call("process", {"step": 1})
        session.call("process", {"step": 2}, wait=False)
        for update in session.call("run", {"prompt": "..."}, stream=True):
            last = update
        info = session.info()
        session.keepalive()
        listed = session.session_id in [each["id"] for each in client.sessions.list()]
        tell(heard=last["output"]["heard"], calls=info["call_count"], status=info["status"], listed=listed)
    tell(after=client.sessions.get(session.session_id)["status"])
    """
    told, after = wheel.run(program, url=there.url)
    assert told == {"heard": ["hello", "step 1", "step 2", "..."], "calls": 4, "status": "active", "listed": True}
    assert after == {"after": "ended"}


@pytest.mark.requirement("sdk:sessions")
def test_a_session_by_hand_remembers_and_its_end_is_final(wheel: Sdk, there: Home) -> None:
    program = """
    run = lambda session, prompt: client.tasks.run(
        {"app": "my-stateful-app", "input": {"prompt": prompt}, "session": session})
    first = run("new", "hello")
    second = run(first["session_id"], "remember?")
    tell(heard=second["output"]["heard"], same=first["session_id"] == second["session_id"])
    client.sessions.end(first["session_id"])
    try:
        run(first["session_id"], "again?")
    except inferencesh.APIError as error:
        tell(status=error.status_code, said="SESSION_ENDED" in (error.response_body or ""))
    """
    told, refused = wheel.run(program, url=there.url)
    assert told == {"heard": ["hello", "remember?"], "same": True}
    assert refused == {"status": 410, "said": True}


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("sdk:task-files")
def test_files_of_every_form_are_uploaded_and_reach_the_app(wheel: Sdk, there: Home, tmp_path: Path) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n")
    program = f"""
    from inferencesh import UploadFileOptions
    options = UploadFileOptions(filename="custom.png", content_type="image/png", public=True)
    uploaded = [
        client.files.upload({str(image)!r}),
        client.files.upload(b"\\x89PNG\\r\\n\\x1a\\n", UploadFileOptions(filename="raw.png", content_type="image/png")),
        client.files.upload({PNG!r}),
        client.files.upload({str(image)!r}, options),
    ]
    tell(names=[each["filename"] for each in uploaded], types=[each["content_type"] for each in uploaded])
    for given in (*[each["uri"] for each in uploaded], {str(image)!r}, {PNG!r}):
        output = client.tasks.run({{"app": "image-app", "input": {{"image": given}}}})["output"]
        tell(**{{name: output[name] for name in ("size", "first", "content_type")}})
    """
    named, *outputs = wheel.run(program, url=there.url)
    assert [named["names"][0], named["names"][1], named["names"][3]] == ["image.png", "raw.png", "custom.png"]
    assert named["types"] == ["image/png"] * 4
    assert outputs == [IMAGE] * 6


# -- the asynchronous client -----------------------------------------------------------------------------------------


@pytest.mark.requirement("sdk:tasks-async")
def test_the_asynchronous_client_does_the_documents_block(wheel: Sdk, there: Home) -> None:
    program = """
    bare = lambda answer: getattr(answer, "data", answer)  # the newest hands out the envelope
    import asyncio
    from inferencesh import parse_status

    async def main():
        client = async_inference(api_key=KEY, base_url=URL)
        result = await client.tasks.run({"app": "your-app", "input": {"key": "value"}, "infra": "cloud"})
        tell(text=result["output"]["text"])
        task = await client.tasks.run({"app": "my-app", "input": {"prompt": "a b"}}, wait=False)
        texts = []
        async for update in await client.tasks.run({"app": "my-app", "input": {"prompt": "a b"}}, stream=True):
            last = parse_status(update.get("status")).name
        tell(last=last, text=update["output"]["text"])
        result = await client.tasks.wait_for_completion(task["id"])
        tell(status=bare(await client.tasks.get(task["id"]))["status"], text=result["output"]["text"])
        await client.tasks.cancel(task["id"])
        async with client.tasks.stream(task["id"]) as stream:
            async for update in stream:
                pass
        tell(status=update["status"])
        async with await client.session("my-stateful-app@abc123", input={"prompt": "hello"}) as session:
            await session.call("process", {"step": 1})
            async for update in await session.call("run", {"prompt": "..."}, stream=True):
                pass
            tell(heard=update["output"]["heard"])
        file = await client.files.upload(b"\\x89PNG\\r\\n\\x1a\\n")
        output = (await client.tasks.run({"app": "image-app", "input": {"image": file["uri"]}}))["output"]
        tell(size=output["size"])

    asyncio.run(main())
    """
    assert wheel.run(program, url=there.url) == [
        {"text": "VALUE"},
        {"last": "COMPLETED", "text": "a b"},
        {"status": 10, "text": "a b"},
        {"status": 10},
        {"heard": ["hello", "step 1", "..."]},
        {"size": 8},
    ]
