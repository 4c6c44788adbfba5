"""Candidates for properties that are a choice: booleans, and members of an enum."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from agentkit.runtime.models.offline.amounts import spent
from agentkit.runtime.models.offline.document import Document
from agentkit.runtime.models.offline.letterhead import Mail
from agentkit.runtime.models.offline.numbers import labels_of
from agentkit.runtime.models.offline.shapes import Shape
from agentkit.runtime.models.offline.turn import Called
from agentkit.runtime.models.offline.vocabulary import NEUTRAL_MEMBERS, topic_of
from agentkit.runtime.models.offline.words import (
    content_stems,
    fold,
    has_phrase,
    name_words,
    phrase_pattern,
    stem,
    word_set,
)

if TYPE_CHECKING:
    from agentkit.runtime.models.offline.filling import Reading

__all__ = ["is_expense", "is_so", "members"]

_YES: Final = word_set("yes true ja oui si y x 1 on")
_NO: Final = word_set("no false nein non nee n 0 off")
_EXPENSE_STEMS: Final = {
    stem(word)
    for word in word_set(
        "expense receipt invoice reimbursable billable purchase spending bill refundable business payment"
    )
}
_NEGATION = re.compile(r"\b(?:no|not|non|without|never|kein\w*|nicht|ohne|sans|pas|sin|senza|geen|niet|un)[\s-]*$")
_UNPAID: Final = (
    "unpaid",
    "outstanding",
    "amount due",
    "balance due",
    "payment due",
    "due date",
    "zahlbar bis",
    "zu zahlen",
    "fallig",
    "a payer",
    "echeance",
    "vencimiento",
    "scadenza",
    "te betalen",
)
_PAID: Final = (
    "paid",
    "bezahlt",
    "paye",
    "payee",
    "pagado",
    "pagato",
    "betaald",
    "cash",
    "visa",
    "mastercard",
    "card",
    "charged",
    "karte",
    "girocard",
    "bar",
    "especes",
    "tarjeta",
    "contanti",
    "thank you for your payment",
)
_REFUSED_WORDS: Final = word_set("reject rejected denied deny declined failed fail failure error refused")
_NOTHING_WORDS: Final = word_set("not no none skipped skip ignored ignore nothing irrelevant")
_TITLE_WEIGHT: Final = 3


def is_expense(document: Document) -> bool:
    """Whether money was spent according to the document: an amount is there, in no advertisement."""
    amount = spent(document)
    return amount is not None and amount.value != 0 and document.spending >= 0


def is_so(shape: Shape, reading: Reading) -> bool | None:
    """Whether what the property says is so, as far as the words tell; words that are nowhere tell "no"."""
    document = reading.document
    for labelled in document.at_labels([pair for pair in labels_of(shape) if pair[1] > 1]):
        said = fold(labelled.value).strip(" .!").partition(" ")[0]
        if said in _YES | _NO:
            return said in _YES
    stems = content_stems(shape.words)
    if stems & _EXPENSE_STEMS:
        return is_expense(document)
    done = [called for called in reading.turn.calls if stems & content_stems(name_words(called.name))]
    if done:
        return any(called.succeeded for called in done)
    if shape.says("paid"):
        return has_phrase(document.folded, _PAID) and not has_phrase(document.folded, _UNPAID)
    return any(
        _is_affirmed(document, word)
        for word in shape.words
        if word not in ("is", "has", "was", "are", "contains", "needs", "should")
    )


def _is_affirmed(document: Document, word: str) -> bool:
    pattern = re.compile(rf"(?<![^\W_]){re.escape(stem(word))}\w{{0,4}}(?![^\W_])")
    matches = list(pattern.finditer(document.folded))
    return bool(matches) and not any(_NEGATION.search(document.folded[: match.start()][-20:]) for match in matches)


# -- members of an enum --------------------------------------------------------------------------------------------


def members(shape: Shape, reading: Reading) -> Iterator[Any]:
    """The members that the document or the turn speaks for, the likeliest first; at last the one for the rest."""
    offered: list[Any] = shape.schema["enum"]
    yield from _labelled(shape, offered, reading.document)
    yield from _of_outcome(offered, reading)
    currencies = _currency(offered, shape, reading)
    yield from currencies
    scores = {str(member): _score(str(member), reading.document) for member in offered}
    ranked = sorted(offered, key=lambda member: -scores[str(member)])
    yield from (member for member in ranked if scores[str(member)] > 0)
    if not any(scores.values()):
        yield from (member for member in offered if fold(str(member)) in NEUTRAL_MEMBERS)


def _labelled(shape: Shape, offered: list[Any], document: Document) -> Iterator[Any]:
    concept = shape.concept("text", "code")
    found = document.at_labels([pair for pair in labels_of(shape) if pair[1] > 1])
    found += document.at(concept) if concept and concept.name == "payment_method" else []
    for labelled in found:
        for member in offered:
            if has_phrase(fold(labelled.rest), (_words(member),)):
                yield member
        best = max(offered, key=lambda member: _vocabulary(str(member), fold(labelled.rest)))
        if _vocabulary(str(best), fold(labelled.rest)):
            yield best


def _words(member: Any) -> str:
    return str(member).replace("_", " ").replace("-", " ")


def _currency(offered: list[Any], shape: Shape, reading: Reading) -> Iterator[Any]:
    if shape.says("currency"):
        from agentkit.runtime.models.offline import texts

        plain = Shape(shape.name, {"type": "string"}, shape.root)
        yield from (code for code in texts.candidates(plain, reading) if code in offered)


def _of_outcome(offered: list[Any], reading: Reading) -> Iterator[Any]:
    """The member that names what became of the turn's calls: booked, rejected; or that nothing was to be done."""
    calls = reading.turn.calls
    by_words = {str(member): set(name_words(str(member))) for member in offered}
    succeeded = _stems_of([called for called in calls if called.succeeded])
    refused = [called for called in calls if called.failed]
    for member in offered:
        words = by_words[str(member)]
        if content_stems(words) & succeeded and not words & _NOTHING_WORDS and not refused:
            yield member
    yield from (member for member in offered if refused and by_words[str(member)] & _REFUSED_WORDS)
    if not is_expense(reading.document):
        about = (
            member
            for member in offered
            if by_words[str(member)] & _NOTHING_WORDS and content_stems(by_words[str(member)]) & _EXPENSE_STEMS
        )
        yield from about
        if any(words & _REFUSED_WORDS or words & {"booked"} for words in by_words.values()):
            yield from (member for member in offered if by_words[str(member)] & _NOTHING_WORDS)


def _stems_of(calls: list[Called]) -> set[str]:
    return {each for called in calls for each in content_stems(name_words(called.name))}


def _score(member: str, document: Document) -> float:
    """How much of the document speaks of the member: the distinct words for it, those of its head counting more."""
    heads = [fold(line.text) for line in document.lines[:4]]
    subject = Mail(document).subject
    heads += [fold(subject)] if subject else []
    score = _vocabulary(member, document.folded)
    return score + _TITLE_WEIGHT * min(2, sum(_vocabulary(member, head) > 0 for head in heads))


def _vocabulary(member: str, folded: str) -> float:
    words = {word for _, vocabulary in topic_of(member) for word in vocabulary} | {fold(_words(member))}
    return sum(1 + 0.25 * min(3, found - 1) for word in words if (found := len(phrase_pattern(word).findall(folded))))
