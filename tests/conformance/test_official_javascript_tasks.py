"""The official JavaScript SDK runs tasks, sessions and files of the server under Node, as its document shows.

Where the document writes `client.tasks.run(params, options)` these say `client.run`: the first takes the options for
the input, in every published version (protocol.md 10 row 14); `test_seed_task_javascript` says all of it in Python.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

from agentkit.runtime.open import FleetConfig
from tests.conformance.home import Home, home
from tests.conformance.official import Sdk
from tests.conformance.seed_apps import WRITING, write_app, write_apps

BARE = "const bare = (answer) => answer.data;  // 0.6.54 hands out the envelope; the document's 0.6.10 did not"
SECRET = "secrets: [{key: HF_TOKEN}]"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Generator[Home]:
    """A server with the apps that the document names."""
    folder = tmp_path_factory.mktemp("apps")
    apps = write_apps(folder, "your-app", "my-app", "my-stateful-app", "image-app", "long-running-app")
    apps["needs-a-secret"] = write_app(folder / "secret", WRITING, name="needs-a-secret", manifest=SECRET)
    with home(apps=apps, fleet=FleetConfig(size=4)) as server:
        yield server


@pytest.mark.requirement("js:tasks")
def test_a_streamed_run_sees_every_change_and_its_result(package: Sdk, there: Home) -> None:
    program = """
    const statuses = [], partial = [];
    const result = await client.run({ app: 'my-app', input: { prompt: 'one two three four' } }, {
        onUpdate: (u) => statuses.push(u.status),
        onPartialUpdate: (u, fields) => partial.push([fields, u.status, u.output?.text ?? null]),
    });
    tell({ statuses, partial, status: result.status, done: result.status === sdk.TaskStatusCompleted,
           text: result.output.text });
    """
    (told,) = package.run(program, url=there.url)
    assert (told["status"], told["done"], told["text"]) == (10, True, "one two three four")
    assert told["statuses"] == sorted(told["statuses"]) and told["statuses"][-1] == 10
    texts = [text for fields, _, text in told["partial"] if "output" in fields and text]
    assert texts and all("one two three four".startswith(text) for text in texts)


@pytest.mark.requirement("js:tasks")
def test_a_polling_run_sees_the_same_result(package: Sdk, there: Home) -> None:
    program = """
    const statuses = [];
    for (const prompt of ['hello', 'hello again']) {
        const result = await client.run({ app: 'your-app', input: { prompt } },
            { stream: false, onUpdate: (u) => statuses.push(u.status) });
        tell({ text: result.output.text, last: statuses.at(-1) });
    }
    """
    assert package.run(program, url=there.url) == [{"text": "HELLO", "last": 10}, {"text": "HELLO AGAIN", "last": 10}]


@pytest.mark.requirement("js:tasks")
@pytest.mark.parametrize("stream", ["true", "false"], ids=["streaming", "polling"])
def test_the_readmes_example_with_setup_runs(package: Sdk, there: Home, stream: str) -> None:
    program = f"""
    const result = await client.run(
        {{ app: 'my-app', setup: {{ model: 'schnell' }}, input: {{ prompt: 'hello' }} }}, {{ stream: {stream} }});
    tell(result.output.model === 'schnell' ? {{ output: result.output.text }} : result);
    """
    assert package.run(program, url=there.url) == [{"output": "hello"}]


@pytest.mark.requirement("js:tasks")
def test_a_task_is_begun_without_waiting_read_and_cancelled(package: Sdk, there: Home) -> None:
    program = f"""{BARE}
    const task = await client.run({{ app: 'long-running-app', input: {{}} }}, {{ wait: false }});
    tell({{ id: typeof task.id, open: task.status < 10 }});
    await client.tasks.cancel(task.id);
    let now = bare(await client.tasks.get(task.id));
    while (now.status < 10) {{
        await new Promise((resolve) => setTimeout(resolve, 50));
        now = bare(await client.tasks.get(task.id));
    }}
    tell({{ status: now.status }});
    """
    assert package.run(program, url=there.url) == [{"id": "string", "open": True}, {"status": 12}]


@pytest.mark.requirement("js:tasks")
@pytest.mark.parametrize("stream", ["true", "false"], ids=["streaming", "polling"])
def test_a_failed_task_rejects_with_its_error(package: Sdk, there: Home, stream: str) -> None:
    program = f"""
    await client.run({{ app: 'image-app', input: {{ image: 'inf://files/nothing/x.png' }} }}, {{ stream: {stream} }})
        .catch((error) => tell({{ message: error.message }}));
    """
    (told,) = package.run(program, url=there.url)
    assert "nothing" in told["message"]


@pytest.mark.requirement("js:task-files")
def test_a_file_is_uploaded_and_used_and_a_data_uri_uploads_itself(package: Sdk, there: Home) -> None:
    program = """
    const png = 'data:image/png;base64,iVBORw0KGgo=';
    const file = await client.files.upload(png, { filename: 'image.png', contentType: 'image/png' });
    for (const image of [file.uri, png, new Blob([Buffer.from('iVBORw0KGgo=', 'base64')], { type: 'image/png' })]) {
        const result = await client.run({ app: 'image-app', input: { image } });
        tell({ size: result.output.size, first: result.output.first, type: result.output.content_type });
    }
    """
    expected = {"size": 8, "first": "89504e470d0a1a0a", "type": "image/png"}
    assert package.run(program, url=there.url) == [expected] * 3


@pytest.mark.requirement("js:sessions")
def test_a_session_remembers_and_is_managed(package: Sdk, there: Home) -> None:
    program = f"""{BARE}
    const run = (session, prompt, more = {{}}) =>
        client.run({{ app: 'my-stateful-app', input: {{ prompt }}, session, ...more }});
    const first = await run('new', 'hello', {{ session_timeout: 300 }}), id = first.session_id;
    const second = await run(id, 'remember what I said?');
    const listed = async () => bare(await client.sessions.list()).map((session) => session.id).includes(id);
    tell({{ same: id === second.session_id, heard: second.output.heard }});
    const info = bare(await client.sessions.get(id));
    tell({{ status: info.status, calls: info.call_count, idle: info.idle_timeout }});
    const kept = bare(await client.sessions.keepalive(id));
    tell({{ later: kept.expires_at > info.expires_at, listed: await listed() }});
    await client.sessions.end(id);
    tell({{ listed: await listed() }});
    await run(id, 'again?').catch((error) => tell({{ status: error.statusCode, message: error.message }}));
    """
    same, info, kept, ended, refused = package.run(program, url=there.url)
    assert same == {"same": True, "heard": ["hello", "remember what I said?"]}
    assert info == {"status": "active", "calls": 2, "idle": 300}
    assert (kept, ended) == ({"later": True, "listed": True}, {"listed": False})
    assert refused["status"] == 410 and "ended" in refused["message"]


@pytest.mark.requirement("js:refusals")
def test_refused_runs_carry_status_sentence_and_requirements(package: Sdk, there: Home) -> None:
    program = """
    for (const [app, input] of [['nobody/nothing', {}], ['my-app', { prompt: 7 }], ['needs-a-secret', {}]])
        await client.run({ app, input }).catch((e) => tell({
            status: e.statusCode, message: e.message,
            keys: sdk.isRequirementsNotMetException(e) ? e.errors.map((each) => each.key) : [] }));
    """
    unknown, invalid, missing = package.run(program, url=there.url)
    assert unknown["status"] == 404 and "nobody/nothing" in unknown["message"]
    assert invalid["status"] == 422 and "prompt" in invalid["message"]
    assert missing["status"] == 412 and missing["keys"] == ["HF_TOKEN"]
