"""Writes a story word by word, in the manner of what it has read: small, offline, and always the same for a seed.

Reading happens in `setup`, once per worker; a second story from the same worker begins at once.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

import anyio
from pydantic import Field

from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput, BaseAppSetup, File, Metadata, OutputMeta, TextMeta

from .chain import Chain, written

CORPUS: Final = Path(__file__).with_name("corpus.txt")
LARGEST: Final = 5_000_000  # bytes


class AppSetup(BaseAppSetup):
    corpus: File | None = Field(
        default=None,
        description="a text to learn from, UTF-8; left out, a short tale comes with the app",
        json_schema_extra={"contentMediaType": "text/plain"},
    )
    order: int = Field(
        default=2, ge=1, le=5, description="how many words decide about the next one: 1 wild, 5 faithful"
    )


class StoryInput(BaseAppInput):
    seed: int = Field(default=0, description="another seed, another story")
    words: int = Field(default=80, ge=1, le=2000, description="how long, at least; it ends with a sentence")
    opening: str = Field(default="", max_length=500, description="how it begins; in words that it has read, best")
    text: str = Field(default="", max_length=1_000_000, description="more to learn from, for this story only")
    delay: float = Field(default=0.05, ge=0, le=10, description="seconds between two words")


class StoryOutput(BaseAppOutput):
    text: str = Field(description="the story so far")
    words: int
    is_finished: bool = False


class App(BaseApp):
    """An asynchronous generator: each output is all of the story so far, and the last one is the result."""

    async def setup(self, config: AppSetup, metadata: Metadata) -> None:
        self.is_cancelled = False
        corpus = Path(config.corpus) if config.corpus else CORPUS
        name = (config.corpus.filename if config.corpus else None) or corpus.name
        self.chain = Chain(config.order)
        read = self.chain.read(_text(corpus, name))
        metadata.log(f"read {read} words and marks of {name!r}, order {config.order}")

    async def run(self, input_data: StoryInput) -> AsyncGenerator[StoryOutput, None]:
        """Write a story."""
        self.is_cancelled = False
        chain = Chain(self.chain.order, beside=self.chain)
        chain.read(input_data.text)
        tokens = chain.walk(random.Random(input_data.seed), words=input_data.words, opening=input_data.opening)
        text = ""
        for text in written(tokens, sentences_per_paragraph=5):
            yield StoryOutput(text=text, words=_count(text))
            if self.is_cancelled:
                return
            await anyio.sleep(input_data.delay)
        count = _count(text)
        yield StoryOutput(
            text=text, words=count, is_finished=True, output_meta=OutputMeta(outputs=[TextMeta(tokens=count)])
        )

    async def on_cancel(self) -> bool:
        """The story stops after the word that is being written."""
        self.is_cancelled = True
        return True


def _text(path: Path, name: str) -> str:
    """The text in a file. Raises ValueError in words for its sender."""
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{name!r} has {path.stat().st_size:,} bytes; this app reads {LARGEST:,}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{name!r} is no UTF-8 text") from None


def _count(text: str) -> int:
    return len(text.split())
