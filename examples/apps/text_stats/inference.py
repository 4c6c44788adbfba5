"""Collects texts in a session and tells about all of them.

The session is the memory: what is on `self` stays for the next call, and is gone when the session ends. Outside a
session calls of different people may share a worker, so there each call begins with nothing.
"""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, Field, model_validator

from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput, File, Metadata

from .tally import Tally, count_text

LARGEST: Final = 50_000_000  # bytes of a text
MARKS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class Cancelled(Exception):
    """Somebody asked to stop."""


class AddInput(BaseAppInput):
    text: str | None = Field(default=None, description="the text itself")
    file: File | None = Field(
        default=None,
        description="or a file of it, in UTF-8 or UTF-16",
        json_schema_extra={"contentMediaType": "text/*"},
    )
    name: str = Field(default="", max_length=200, description="what to call it; a file has a name already")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.text is None) == (self.file is None):
            raise ValueError("give either text or file")
        return self


class AddOutput(BaseAppOutput):
    name: str
    words: int
    sentences: int
    new_words: int = Field(description="words that no text before it had")
    texts: int = Field(description="how many texts there are now")


class ReportInput(BaseAppInput):
    top: int = Field(default=5, ge=0, le=100, description="how many words to list")


class Text(BaseModel):
    name: str
    words: int
    sentences: int


class ReportOutput(BaseAppOutput):
    texts: list[Text]
    characters: int
    words: int
    different_words: int
    sentences: int
    paragraphs: int
    type_token_ratio: float | None = Field(description="different words over words; null where there are none")
    mean_word_length: float | None = Field(description="in characters")
    mean_sentence_length: float | None = Field(description="in words")
    lix: float | None = Field(description="readability: below 30 very easy, above 60 very difficult")
    reading: str | None = Field(description="what that means")
    longest_words: list[str]
    most_frequent: dict[str, int]


class App(BaseApp):
    """`add` is a plain method, so the worker calls it in a thread: `on_cancel` can come in while it counts."""

    async def setup(self) -> None:
        self.is_cancelled = False
        self._forget()

    def add(self, input_data: AddInput, metadata: Metadata) -> AddOutput:
        """Add a text, or a text file, to what this session has collected."""
        self._begin(metadata)
        text = input_data.text if input_data.file is None else _read(input_data.file)
        counted = count_text(text or "", self._check)
        fresh = len(counted.types.keys() - self.total.types.keys())
        named = input_data.name or (input_data.file.filename if input_data.file else None)
        added = Text(name=named or f"text {len(self.texts) + 1}", words=counted.words, sentences=counted.sentences)
        self.total.add(counted)
        self.texts.append(added)
        metadata.log(f"{added.name}: {added.words} words, {fresh} of them new")
        return AddOutput(
            name=added.name, words=added.words, sentences=added.sentences, new_words=fresh, texts=len(self.texts)
        )

    async def report(self, input_data: ReportInput, metadata: Metadata) -> ReportOutput:
        """Tell about everything that this session has collected."""
        self._begin(metadata)
        if not self.texts:
            raise ValueError("there is no text yet; call add first, in the same session")
        total = self.total
        return ReportOutput(
            texts=self.texts,
            characters=total.characters,
            words=total.words,
            different_words=len(total.types),
            sentences=total.sentences,
            paragraphs=total.paragraphs,
            type_token_ratio=total.type_token_ratio,
            mean_word_length=round(total.letters / total.words, 2) if total.words else None,
            mean_sentence_length=round(total.words / total.sentences, 2) if total.sentences else None,
            lix=total.lix,
            reading=total.reading,
            longest_words=total.longest(input_data.top),
            most_frequent=total.most_frequent(input_data.top),
        )

    def on_cancel(self) -> bool:
        """Counting stops at the next paragraph, and what was counted of that text is dropped."""
        self.is_cancelled = True
        return True

    def _begin(self, metadata: Metadata) -> None:
        self.is_cancelled = False
        if getattr(metadata, "session_id", "unknown") is None:  # older runtimes do not say
            self._forget()

    def _forget(self) -> None:
        self.total = Tally()
        self.texts: list[Text] = []

    def _check(self) -> None:
        if self.is_cancelled:
            raise Cancelled("cancelled; nothing of this text was added")


def _read(file: File) -> str:
    """The text in a file. Raises ValueError in words for its sender."""
    path, name = Path(file), file.filename or "the file"
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{name!r} has {path.stat().st_size:,} bytes; this app takes {LARGEST:,}")
    data = path.read_bytes()
    encoding = next((each for mark, each in MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        why = f"byte {error.start:,} cannot be read"
        raise ValueError(f"{name!r} is no text in {encoding.removesuffix('-sig').upper()}: {why}") from None
