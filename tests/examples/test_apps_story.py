"""The story writer: the same story for a seed, grown word by word, and stopped when asked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agentkit.apps import Metadata
from agentkit.errors import AppInputError
from tests.examples.app_host import APPS, Held, held

ROOT = APPS.parents[1]


@pytest.fixture
async def story() -> AsyncIterator[Held]:
    async with held("story_stream") as app:
        yield app


async def test_each_update_is_all_of_the_story_so_far_and_the_last_one_is_the_result(story: Held) -> None:
    updates = await story.every("run", seed=4, words=60, delay=0)
    texts = [each.text for each in updates]
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
    assert len(set(texts)) == len(texts) - 1, "only the last one repeats, as the result"
    assert [each.is_finished for each in updates] == [False] * (len(updates) - 1) + [True]
    last = updates[-1]
    assert last.words == len(last.text.split()) == last.output_meta.outputs[0].tokens
    assert last.words >= 60 and last.text[-1] in ".!?"


async def test_the_same_seed_writes_the_same_story_and_another_one_another(story: Held) -> None:
    stories = [(await story.call("run", seed=seed, delay=0)).text for seed in (1, 1, 2)]
    assert stories[0] == stories[1] != stories[2]


@pytest.mark.timeout(60)
def test_the_story_does_not_depend_on_the_process() -> None:
    program = (
        "import anyio\nfrom tests.examples.app_host import held\n"
        "async def main():\n    async with held('story_stream') as app:\n"
        "        print((await app.call('run', seed=7, delay=0)).text)\nanyio.run(main)"
    )

    def told(hash_seed: str) -> str:
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert told("1") == told("2")


async def test_an_opening_is_kept_and_gone_on_from(story: Held) -> None:
    known = (await story.call("run", opening="The baker", delay=0, words=20)).text
    assert known.startswith("The baker ") and "." not in known[:12]
    unknown = (await story.call("run", opening="Zebras dance", delay=0, words=20)).text
    assert unknown.startswith("Zebras dance. ")


async def test_a_text_in_the_input_is_learnt_for_that_story_only(story: Held) -> None:
    text = "Zebras dance on tables every evening. "
    assert "on tables" in (await story.call("run", opening="Zebras dance", text=text, delay=0, words=5)).text
    assert "on tables" not in (await story.call("run", opening="Zebras dance", delay=0, words=5)).text


async def test_setup_decides_what_is_read_and_how_closely_it_is_followed(tmp_path: Path) -> None:
    corpus = tmp_path / "line.txt"
    corpus.write_text("Only this one sentence is known here. ", encoding="utf-8")
    async with held("story_stream", {"corpus": str(corpus), "order": 3}) as app:
        written = await app.call("run", words=20, delay=0)
    assert set(written.text.replace("\n\n", " ").split(". ")) == {
        "Only this one sentence is known here",
        "Only this one sentence is known here.",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Too short", "there is no sentence of more than 2 words to learn from; give a longer text"),
        (b"caf\xe9", "'c.txt' is no UTF-8 text"),
    ],
)
async def test_a_corpus_that_teaches_nothing_is_refused_in_words(tmp_path: Path, content: bytes, message: str) -> None:
    corpus = tmp_path / "c.txt"
    corpus.write_bytes(content)
    with pytest.raises(ValueError) as refused:
        async with held("story_stream", {"corpus": str(corpus)}) as app:
            await app.call("run", delay=0)
    assert str(refused.value) == message


async def test_a_story_that_finds_no_end_is_broken_off(tmp_path: Path) -> None:
    corpus = tmp_path / "c.txt"
    corpus.write_text("round and round and round and round and", encoding="utf-8")
    async with held("story_stream", {"corpus": str(corpus)}) as app:
        written = await app.call("run", words=10, delay=0)
    assert written.text.endswith(" …") or written.text.endswith("…")
    assert written.words < 90


async def test_the_story_stops_after_the_word_when_it_is_cancelled(story: Held) -> None:
    value = story.hosted.check_input("run", {"words": 2000, "delay": 0})
    seen = 0
    update: Any
    async for update in story.hosted.stream("run", value, Metadata()):
        seen += 1
        if seen == 3:
            assert await story.hosted.cancel() is True
        assert not update.is_finished
    assert seen == 3
    assert (await story.call("run", words=5, delay=0)).is_finished, "the next story is written to its end"


@pytest.mark.parametrize("value", [{"words": 0}, {"delay": -1}, {"delay": 11}, {"seed": "x"}])
async def test_an_input_that_makes_no_sense_is_refused(story: Held, value: dict[str, object]) -> None:
    with pytest.raises(AppInputError, match=next(iter(value))):
        await story.call("run", **value)
