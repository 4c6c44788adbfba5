"""Text statistics: what is counted in which script, what a session remembers, and what a cancelled text leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit.apps import Metadata
from agentkit.errors import AppInputError
from tests.examples.app_host import Held, held, metadata_of


@pytest.fixture
async def stats() -> AsyncIterator[Held]:
    async with held("text_stats") as app:
        yield app


async def counted(stats: Held, text: str) -> tuple[int, int]:
    """Words and sentences."""
    added = await stats.call("add", text=text)
    return added.words, added.sentences


@pytest.mark.parametrize(
    ("text", "words", "sentences"),
    [
        ("", 0, 0),
        ("... !!! ---", 0, 0),
        ("One", 1, 1),
        ("Don't stop. It’s a mother-in-law’s e-mail!", 6, 2),
        ("Pay 1,000.50 at 3.14 % – now.", 5, 1),
        ("Dr. J. R. Smith met Mrs. Jones. They spoke.", 9, 2),
        ("Did you? No. So did I. Good", 7, 4),
        ("The U.S. economy, J.R.R. Tolkien.", 5, 1),
        ("see e.g. this, approx. five words", 6, 1),
        ('He said "Stop!" and left. "Why?" she asked.', 8, 2),
        ("Wait... what? Well… fine", 4, 2),
        ("A title\n\nA paragraph\nof two lines", 7, 2),
        ("Straße, Zürich und Ærø.", 4, 1),
        ("Cafe\u0301 cafe\u0301", 2, 1),  # the accent is a character of its own here
        ("नमस्ते दुनिया। कैसे हो?", 4, 2),
        ("Мир — дверь. Да!", 3, 2),
        ("我来到北京。你好！", 7, 2),
        ("مرحبا بالعالم؟ نعم", 3, 2),
        ("\U0001f600 happy \U0001f44d\U0001f3fd", 1, 1),
    ],
)
async def test_words_and_sentences_are_what_a_reader_would_count(
    stats: Held, text: str, words: int, sentences: int
) -> None:
    assert await counted(stats, text) == (words, sentences)


async def test_the_report_is_about_everything_that_was_added(stats: Held) -> None:
    first = await stats.call("add", text="The cat sat. The cat ran.", name="cats")
    second = await stats.call("add", text="The extraordinary dog barked.\n\nTwice.")
    assert (first.new_words, first.texts, first.name) == (4, 1, "cats")
    assert (second.new_words, second.texts, second.name) == (4, 2, "text 2")
    report = await stats.call("report", top=2)
    assert report.model_dump(exclude_none=True) == {
        "texts": [
            {"name": "cats", "words": 6, "sentences": 2},
            {"name": "text 2", "words": 5, "sentences": 2},
        ],
        "characters": 62,
        "words": 11,
        "different_words": 8,
        "sentences": 4,
        "paragraphs": 3,
        "type_token_ratio": 0.7273,
        "mean_word_length": 4.36,
        "mean_sentence_length": 2.75,
        "lix": 11.8,
        "reading": "very easy",
        "longest_words": ["extraordinary", "barked"],
        "most_frequent": {"the": 3, "cat": 2},
    }


async def test_difficult_text_is_called_so(stats: Held) -> None:
    await stats.call(
        "add", text="Notwithstanding aforementioned considerations, administrative responsibilities persist."
    )
    report = await stats.call("report")
    assert (report.reading, report.lix) == ("very difficult", 106.0)


async def test_a_report_of_wordless_texts_has_no_ratios(stats: Held) -> None:
    await stats.call("add", text="!?")
    report = await stats.call("report")
    assert (report.words, report.type_token_ratio, report.lix, report.reading) == (0, None, None, None)


async def test_a_report_about_nothing_says_what_to_do(stats: Held) -> None:
    with pytest.raises(ValueError, match="there is no text yet; call add first, in the same session"):
        await stats.call("report")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
async def test_a_file_counts_like_its_text_and_lends_its_name(stats: Held, tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "note.txt"
    path.write_text("Grüße aus Köln.\r\n\r\nBis bald", encoding=encoding)
    added = await stats.call("add", file=str(path))
    assert (added.name, added.words, added.sentences) == ("note.txt", 5, 2)


async def test_a_file_that_is_no_text_is_refused_by_name_and_adds_nothing(stats: Held, tmp_path: Path) -> None:
    path = tmp_path / "photo.txt"
    path.write_bytes(b"half a text \xff\xd8\xff")
    with pytest.raises(ValueError, match=r"'photo\.txt' is no text in UTF-8: byte 12 cannot be read"):
        await stats.call("add", file=str(path))
    assert (await stats.call("add", text="one")).texts == 1


@pytest.mark.parametrize("value", [{}, {"text": "a", "file": "data:,b"}, {"file": ""}])
async def test_a_text_or_a_file_is_needed_and_not_both(stats: Held, value: dict[str, Any]) -> None:
    with pytest.raises(AppInputError, match="give either text or file"):
        await stats.call("add", **value)


async def test_a_cancelled_text_is_not_added_not_even_in_part(stats: Held) -> None:
    await stats.call("add", text="one two")
    long = "word by word and on and on. " * 2_000_000
    acknowledged: list[bool] = []

    async def cancel() -> None:
        await anyio.sleep(0.2)  # it counts for many seconds
        acknowledged.append(await stats.hosted.cancel())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel)
        with pytest.raises(Exception, match="cancelled; nothing of this text was added") as stopped:
            await stats.call("add", text=long)
    assert type(stopped.value).__name__ == "Cancelled"
    assert acknowledged == [True]
    assert (await stats.call("report")).words == 2
    assert (await stats.call("add", text="three")).texts == 2, "the next text is counted again"


async def test_outside_a_session_each_call_begins_with_nothing(stats: Held) -> None:
    async def add(metadata: Metadata) -> Any:
        value = stats.hosted.check_input("add", {"text": "one"})
        return [each async for each in stats.hosted.stream("add", value, metadata)][-1]

    for metadata, texts in ((metadata_of("s"), [1, 2]), (metadata_of(None), [1, 1])):
        assert [(await add(metadata)).texts for _ in range(2)] == texts
