"""What the model says when it answers in words: what the tools told, or the gist of the text. Never more than that."""

from __future__ import annotations

import re
from typing import Any, Final

from agentkit.runtime.models._json import is_list, is_object
from agentkit.runtime.models.offline.document import Document
from agentkit.runtime.models.offline.turn import Called, Turn
from agentkit.runtime.models.offline.words import name_words, sentences

__all__ = ["answer", "gist", "told"]

MAX_GIST: Final = 240
MAX_PAIRS: Final = 6
NOTHING: Final = "There is nothing to read: the message is empty."
NO_KNOWLEDGE: Final = (
    "I am offline/extract: I read texts, fill in forms and call tools by their descriptions, and have no knowledge of "
    "my own. No tool here fits this message:"
)
_PAIR = re.compile(r"^([^\W\d_][\w /.'-]{1,28}?)\s*:\s+(\S.*)$")


def answer(document: Document, turn: Turn) -> str:
    """The answer in words."""
    results = told(turn)
    if results:
        return results
    if not document.text.strip():
        return "There are only images, which this model cannot see." if turn.images else NOTHING
    if document.is_short:
        return f"{NO_KNOWLEDGE} {' '.join(document.text.split())}"
    return gist(document)


def told(turn: Turn) -> str:
    """What the turn's tools answered, a sentence each; "" without any."""
    said = [_sentence(called) for called in turn.calls if called.text is not None and called.name != "finish"]
    return " ".join(said)


def _sentence(called: Called) -> str:
    subject = " ".join(name_words(called.name)).capitalize()
    result = _flat(called.data).strip().rstrip(".") or "done"
    return f"{subject} failed: {result}." if called.failed else f"{subject}: {result}."


def _flat(value: Any) -> str:
    if is_object(value):
        return ", ".join(f"{' '.join(name_words(key))} {_flat(inner)}" for key, inner in value.items())
    if is_list(value):
        return "; ".join(map(_flat, value))
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)


def gist(document: Document) -> str:
    """The first sentences of a prose text; of a form its labels and values."""
    pairs = [
        " ".join(match[0].split()) for line in document.lines for cell in line.cells if (match := _PAIR.match(cell))
    ]
    if len(pairs) >= 3 and len(pairs) * 2 >= len(document.lines) - 2:
        return "; ".join(pairs[:MAX_PAIRS])
    text = ""
    for sentence in sentences(document.text):
        if text and len(text) + len(sentence) > MAX_GIST:
            break
        text = f"{text} {sentence}".strip()
    return text if len(text) <= MAX_GIST else text[:MAX_GIST].rsplit(" ", 1)[0] + " ..."
