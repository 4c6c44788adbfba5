"""The example apps on a runtime, in worker processes: what is warm, what a picture may come as, what a failure says."""

from __future__ import annotations

import base64
import io
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from agentkit import Inference, Runtime, TaskStatus
from tests.examples.app_host import APPS

pytestmark = pytest.mark.timeout(90)

STORY, RESIZER, STATS = "examples/story", "examples/resizer", "examples/stats"


@pytest.fixture(scope="module")
def client() -> Generator[Inference]:
    folders = {STORY: "story_stream", RESIZER: "image_resizer", STATS: "text_stats"}
    apps = {name: APPS / folder for name, folder in folders.items()}
    with Runtime(apps=apps, workers=1, environ={}) as runtime, runtime.client() as client:
        yield client


def png(size: tuple[int, int] = (40, 20)) -> bytes:
    kept = io.BytesIO()
    Image.new("RGB", size, "teal").save(kept, format="PNG")
    return kept.getvalue()


def went_through(client: Inference, **params: Any) -> list[int]:
    """The statuses of a task, in order."""
    task = client.tasks.run({"app": STORY, "input": {"words": 5, "delay": 0}, **params})
    return [int(each.status) for each in client.tasks.get(task.id).events if isinstance(each.status, TaskStatus)]


def test_a_story_is_read_once_per_worker_and_again_for_another_setup(client: Inference) -> None:
    cold = went_through(client)
    warm = went_through(client)
    other = went_through(client, setup={"order": 3})
    assert TaskStatus.SERVING in cold and TaskStatus.SETTING_UP in cold
    assert TaskStatus.SERVING not in warm and TaskStatus.SETTING_UP not in warm
    assert TaskStatus.SERVING not in other and TaskStatus.SETTING_UP in other
    assert cold[-1] == warm[-1] == other[-1] == TaskStatus.COMPLETED


def test_the_same_story_comes_from_the_runtime_in_updates_and_at_once(client: Inference) -> None:
    params = {"app": STORY, "input": {"seed": 3, "words": 30, "delay": 0.01}}
    with client.tasks.run(params, stream=True) as stream:
        texts = [task.output["text"] for task in stream if task.output]
    assert texts[-1] == client.tasks.run(params).output["text"]
    assert all(texts[-1].startswith(text) for text in texts)
    assert len(set(texts)) > 5


@pytest.mark.parametrize("form", ["bytes", "path", "data URI", "uploaded"])
def test_a_picture_may_come_in_any_form_and_goes_back_as_a_file(client: Inference, tmp_path: Path, form: str) -> None:
    content = png()
    path = tmp_path / "teal.png"
    path.write_bytes(content)
    image: Any = {
        "bytes": content,
        "path": path,
        "data URI": "data:image/png;base64," + base64.b64encode(content).decode(),
        "uploaded": client.files.upload(str(path)).uri,
    }[form]
    task = client.tasks.run({"app": RESIZER, "input": {"image": image, "width": 10}})
    made = task.output["image"]
    assert made["uri"].startswith("inf://") and made["content_type"] == "image/png"
    assert "path" not in made
    with Image.open(io.BytesIO(client.files.download(made))) as small:
        assert small.size == (10, 5)
    told = client.tasks.run({"app": RESIZER, "function": "info", "input": {"image": made["uri"]}}).output
    assert (told["width"], told["height"], told["format"]) == (10, 5, "PNG")


def test_a_failure_says_what_the_app_said_and_the_next_picture_is_fine(client: Inference) -> None:
    with pytest.raises(RuntimeError, match=r"PictureError: '.*' is no picture that this app can read"):
        client.tasks.run({"app": RESIZER, "input": {"image": b"Dear Sir or Madam", "width": 10}})
    with pytest.raises(RuntimeError, match="nothing to do: give width, height or both, or another format"):
        client.tasks.run({"app": RESIZER, "input": {"image": png()}})
    assert client.tasks.run({"app": RESIZER, "input": {"image": png(), "width": 10}}).output["width"] == 10


def test_two_sessions_do_not_know_of_each_other(client: Inference) -> None:
    for _ in range(2):
        with client.session(STATS, {"text": "one two"}, "add") as session:
            assert session.call("add", {"text": "two three"}).output["new_words"] == 1
            assert session.call("report", {}).output["words"] == 4
