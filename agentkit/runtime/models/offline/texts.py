"""Candidates for properties that are text: codes, names, dates, currencies, descriptions, matches of a pattern."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import time
from typing import TYPE_CHECKING, Any, Final

from agentkit.runtime.models.offline.amounts import labelled_amount, spent
from agentkit.runtime.models.offline.dates import find_times
from agentkit.runtime.models.offline.document import Document, Labelled
from agentkit.runtime.models.offline.labels import Concept, named
from agentkit.runtime.models.offline.letterhead import Mail, vendor
from agentkit.runtime.models.offline.money import CURRENCIES, home_currency
from agentkit.runtime.models.offline.numbers import labels_of
from agentkit.runtime.models.offline.shapes import Shape
from agentkit.runtime.models.offline.summary import gist, told
from agentkit.runtime.models.offline.vocabulary import TOPICS
from agentkit.runtime.models.offline.words import has_phrase, phrase_pattern, sentences, word_set

if TYPE_CHECKING:
    from agentkit.runtime.models.offline.filling import Reading

__all__ = ["candidates", "lists"]

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_URL = re.compile(r"https?://[^\s<>\"')]+[^\s<>\"').,]|\bwww\.[\w.-]+\.\w+(?:/[^\s<>\"')]*)?")
_UUID = re.compile(r"(?i)\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:\s?[A-Z0-9]{4}){3,7}(?:\s?[A-Z0-9]{1,3})?\b")
_PHONE = re.compile(r"(?<![\w.])\+?\(?\d[\d\s()/.-]{6,}\d")
_CODE = re.compile(
    r"^(?:(?:no|nr|n[°º])\.?\s*)?#?\s*((?:[A-Z]{1,4}[ "
    r"-])?(?=[A-Za-z0-9./_-]*\d)[A-Z0-9][A-Za-z0-9./_-]*[A-Za-z0-9]|\d|[A-Z]{5,8}(?![a-z]))",
    re.ASCII,
)
_PLACE = re.compile(r"\b(?:in|at|for|to|near|nach|à|en|di|bei)\s+((?:[A-ZÀ-Þ][\w'’-]+)(?:\s+(?:[A-ZÀ-Þ][\w'’-]+))*)")
_ROUTE: Final = (
    re.compile(
        r"(?i:\b(?:from|von|de|da|van)\b)\s+(?P<origin>[A-ZÀ-Þ][\w'’. -]{1,30}?)\s+(?i:to|nach|à|"
        r"a|naar|→)\s+(?P<destination>[A-ZÀ-Þ][\w'’-]+(?:\s+[A-ZÀ-Þ][\w'’-]+)*)"
    ),
    re.compile(
        r"(?P<origin>[A-ZÀ-Þ][\w'’.()-]*(?:[ ][A-ZÀ-Þ(][\w'’.()-]*)*)\s*(?:→|->|–>|=>|—|"
        r">)\s*(?P<destination>[A-ZÀ-Þ][\w'’.()-]*(?:[ ][A-ZÀ-Þ(][\w'’.()-]*)*)"
    ),
)
_CALCULATION = re.compile(r"[-(\d.][\d\s.()+\-*/×÷^%]*[+\-*/×÷^%][\d\s.()+\-*/×÷^%]*[\d)]")
_PLACE_WORDS: Final = word_set("city location place town country region address")
_WHOLE_WORDS: Final = word_set("text document content input message prompt task body instructions request")
_QUERY_WORDS: Final = word_set("query question search term keywords q topic")
_GIST_WORDS: Final = word_set("summary summarize gist overview abstract result answer conclusion")
_TARGET_WORDS: Final = word_set("to target base home into dest destination quote reporting")
_NOT_THE_DATE: Final = re.compile(
    r"\b(?:due|fallig|echeance|vencimiento|scadenza|vervaldatum|valid|gultig|until|expir\w*|"
    r"birth|geboren|since|seit|bis|before|avant|antes|ablauf|delivery|liefer\w*)\b"
)


def candidates(shape: Shape, reading: Reading) -> Iterator[Any]:
    """The texts that a property may mean, the likeliest first."""
    form = shape.schema.get("format")
    if form in _FORMATS:
        yield from _FORMATS[form](shape, reading)
        return
    if shape.says("currency", "iso") or (shape.title in ("code",) and "currency" in shape.description):
        yield from _currency(shape, reading)
        return
    if shape.says("email", "mail"):
        yield from _emails(shape, reading)
    if shape.says("language", "lang", "locale"):
        yield reading.document.language
    if shape.says("date", "datum", "day") or (shape.concept("date") and not shape.concept("name", "code", "text")):
        yield from _dates(shape, reading)
        yield from (labelled.value for labelled in reading.document.at_labels(labels_of(shape)) if labelled.value)
        return
    if shape.says("time"):
        yield from (f"{each:%H:%M}" for each, _ in _times(shape, reading))
    yield from _by_concept(shape, reading)
    yield from _by_pattern(shape, reading)
    yield from _by_name(shape, reading)


def lists(shape: Shape, inner: Shape, reading: Reading) -> Iterator[Any]:
    """The lists of texts that an array may mean."""
    document = reading.document
    if "enum" in inner.schema:
        yield [
            member for member in inner.schema["enum"] if has_phrase(document.folded, (str(member).replace("_", " "),))
        ] or None
    if inner.schema.get("format") == "email" or shape.says("emails", "mails"):
        yield list(dict.fromkeys(_EMAIL.findall(document.text))) or None
    if inner.schema.get("format") in ("uri", "url") or shape.says("urls", "links"):
        yield list(dict.fromkeys(_URL.findall(document.text))) or None
    if inner.schema.get("format") == "date" or shape.says("dates"):
        yield [dated.value.isoformat() for dated in document.dates] or None
    if shape.says("items", "lines", "products", "articles"):
        yield [item.description for item in reading.items] or None
    for labelled in document.at_labels(
        [*labels_of(shape), *((label.rstrip("s"), rank) for label, rank in labels_of(shape))]
    ):
        parts = [part.strip() for part in re.split(r"[,;]|\s(?:and|und|et|y|e|en)\s", labelled.rest) if part.strip()]
        yield parts or None


# -- by concept ----------------------------------------------------------------------------------------------------


def _by_concept(shape: Shape, reading: Reading) -> Iterator[Any]:
    if set(shape.words) & _GIST_WORDS:
        yield _cut(told(reading.turn) or gist(reading.document), shape)
    concept = shape.concept("code", "name", "text", "money")
    if concept is None:
        return
    document = reading.document
    if concept.kind == "money":
        yield from _money(concept, document)
        return
    if concept.kind == "name" and shape.says("id", "number", "no", "code"):
        return  # the number of somebody is no name
    if concept.name == "vendor":
        yield from (_cut(name, shape) for name in vendor(document))
        return
    if concept.name in ("origin", "destination"):
        yield from _routes(concept.name, document)
    if concept.kind == "code":
        yield from _codes(concept, reading)
        return
    for labelled in document.at(concept):
        if value := _name(labelled):
            yield _cut(value, shape)
    if concept.name in _FALLBACKS:
        yield from (_cut(value, shape) for value in _FALLBACKS[concept.name](reading))


def _codes(concept: Concept, reading: Reading) -> Iterator[str]:
    """The codes of a form of their own, then those at the concept's labels, then those behind one in a sentence."""
    document = reading.document
    if concept.name in _FALLBACKS:
        yield from _FALLBACKS[concept.name](reading)
    yield from (code for labelled in document.at(concept) if (code := _code(labelled.value)))
    for label, rank in concept.ranked:
        for line in document.lines if rank > 1 else ():
            for match in phrase_pattern(label).finditer(line.folded):
                code = _code(line.text[match.end() : match.end() + 60].strip(" :#"))
                if code and len(code) > 3 and any(char.isdigit() for char in code):
                    yield code


def _money(concept: Concept, document: Document) -> Iterator[str]:
    amount = spent(document) if concept.name == "total" else labelled_amount(document, concept)
    if amount is not None:
        yield f"{amount.value:.2f}"
        yield f"{amount.value:.2f} {amount.currency or ''}".strip()


def _code(text: str) -> str | None:
    match = _CODE.match(text)
    return (
        match[1]
        if match and not re.fullmatch(r"\d{1,2}[./]\d{1,2}[./]\d{2,4}|\d{4}-\d\d-\d\d|\d+[.,]\d\d", match[1])
        else None
    )


def _name(labelled: Labelled) -> str | None:
    value = labelled.value.strip(" .,;:\"'")
    return value if any(char.isalnum() for char in value) else None


def _routes(which: str, document: Document) -> Iterator[str]:
    for pattern in _ROUTE:
        for match in pattern.finditer(document.text):
            yield match[which].strip()


def _description(reading: Reading) -> Iterator[str]:
    mail = Mail(reading.document)
    if mail.subject:
        yield mail.subject
    if reading.items:
        yield ", ".join(item.description for item in reading.items[:4])
    yield gist(reading.document)


def _payment(reading: Reading) -> Iterator[str]:
    for name in (
        "visa",
        "mastercard",
        "amex",
        "american express",
        "paypal",
        "girocard",
        "apple pay",
        "cash",
        "bar",
        "carte bancaire",
    ):
        match = re.search(rf"\b{name}\b", reading.document.folded)
        if match:
            yield reading.document.text[match.start() : match.end()]


def _tax_ids(reading: Reading) -> Iterator[str]:
    """The whole of what stands at the label, blanks and all, as it is long and hardly anything else."""
    for labelled in reading.document.at(named("tax_id")):
        value = re.match(r"[A-Z]{0,3}[ -]?[\dA-Z./ -]*\d[\dA-Z]*", labelled.value)
        if value and sum(char.isdigit() for char in value[0]) >= 6:
            yield value[0].strip()


def _first(pattern: re.Pattern[str]) -> Callable[[Reading], Iterator[str]]:
    def find(reading: Reading) -> Iterator[str]:
        return (match[0].strip() for match in pattern.finditer(reading.document.text))

    return find


_FALLBACKS: Final[Mapping[str, Callable[[Reading], Iterator[str]]]] = {
    "description": _description,
    "payment_method": _payment,
    "iban": _first(_IBAN),
    "tax_id": _tax_ids,
    "phone": _first(_PHONE),
    "flight_number": _first(re.compile(r"\b[A-Z][A-Z0-9]\s?\d{2,4}\b")),
}


# -- by format -----------------------------------------------------------------------------------------------------


def _dates(shape: Shape, reading: Reading) -> Iterator[str]:
    document = reading.document
    concept = shape.concept("date") or named("date")
    labels = [] if concept.name == "date" and len(shape.words) < 2 else labels_of(shape)
    for labelled in [*document.at_labels([pair for pair in labels if pair[1] > 1]), *document.at(concept)]:
        near = document.dates_in(labelled.rest[:60])
        if near:
            yield near[0].value.isoformat()
    if concept.name == "date":
        yield from (dated for dated in _unlabelled_dates(document))


def _unlabelled_dates(document: Document) -> Iterator[str]:
    """The dates that no label turns into another kind of date, in order."""
    for line in document.lines:
        for dated in document.dates_in(line.text):
            if not _NOT_THE_DATE.search(line.folded[max(0, dated.start - 25) : dated.start]):
                yield dated.value.isoformat()


def _moments(shape: Shape, reading: Reading) -> Iterator[str]:
    """Date and time; RFC 3339 wants a zone, so one that is not in the text is taken to be UTC."""
    for day in _dates(shape, reading):
        lines = [
            line
            for line in reading.document.lines
            if any(each.value.isoformat() == day for each in reading.document.dates_in(line.text))
        ]
        found = [moment for line in lines for moment in find_times(line.text)] or list(_times(shape, reading))
        moment, zone = found[0] if found else (time(0), "")
        yield f"{day}T{moment:%H:%M:%S}{zone or 'Z'}"


def _times(shape: Shape, reading: Reading) -> Iterator[tuple[time, str]]:
    labels = [*labels_of(shape), *((label, 1) for label in shape.words if label != "time")]
    for labelled in reading.document.at_labels(labels):
        yield from find_times(labelled.rest)[:1]
    yield from find_times(reading.document.text)[:1]


def _clock(shape: Shape, reading: Reading) -> Iterator[str]:
    return (f"{moment:%H:%M:%S}{zone or 'Z'}" for moment, zone in _times(shape, reading))


def _emails(shape: Shape, reading: Reading) -> Iterator[str]:
    for labelled in reading.document.at_labels(labels_of(shape)):
        yield from _EMAIL.findall(labelled.rest)
    yield from _EMAIL.findall(reading.document.text)


def _urls(shape: Shape, reading: Reading) -> Iterator[str]:
    for found in _URL.findall(reading.document.text):
        yield found if found.startswith("http") else f"https://{found}"


_FORMATS: Final[Mapping[Any, Callable[[Shape, Reading], Iterator[str]]]] = {
    "date": _dates,
    "date-time": _moments,
    "time": _clock,
    "email": _emails,
    "uri": _urls,
    "url": _urls,
    "uuid": lambda shape, reading: iter(_UUID.findall(reading.document.text)),
}


def _currency(shape: Shape, reading: Reading) -> Iterator[str]:
    """The currency of the total, else the one mentioned most. One to convert to must be named as such."""
    document = reading.document
    for labelled in document.at_labels(
        [*labels_of(shape), ("currency", 2), ("wahrung", 2), ("devise", 2), ("moneda", 2), ("valuta", 2)]
    ):
        if labelled.value[:3] in CURRENCIES and not set(shape.words) & _TARGET_WORDS:
            yield labelled.value[:3]
    if set(shape.words) & _TARGET_WORDS:
        yield from _target_currency(document.text)
        yield from _target_currency(reading.system_prompt)
        return
    total = spent(document)
    at_home = home_currency(document.text) if total else None
    yield from (code for code in (total.currency if total else None, document.currency, at_home) if code)


def _target_currency(text: str) -> Iterator[str]:
    codes = "|".join(sorted(CURRENCIES))
    for match in re.finditer(
        rf"(?i:\b(?:in|to|into|nach|en|base currency|home currency|currency is|books? are kept in)\s+)({codes})\b", text
    ):
        yield match[1]
    if re.search(r"(?i)\b(?:in|to|into)\s+euros?\b", text):
        yield "EUR"


# -- by name and pattern -------------------------------------------------------------------------------------------


def _by_pattern(shape: Shape, reading: Reading) -> Iterator[str]:
    pattern = shape.schema.get("pattern")
    if not pattern:
        return
    for labelled in reading.document.at_labels(labels_of(shape)):
        yield labelled.value.split("  ")[0]
    try:
        inside = re.compile(str(pattern).removeprefix("^").removesuffix("$"))
    except re.error:
        return
    yield from (match[0] for match in inside.finditer(reading.document.text) if match[0])


def _by_name(shape: Shape, reading: Reading) -> Iterator[Any]:
    document, words = reading.document, set(shape.words)
    if words & _PLACE_WORDS:
        yield from (match[1] for match in _PLACE.finditer(document.text))
    if words & {"expression", "formula", "calculation"}:
        yield from (match[0].strip() for match in _CALCULATION.finditer(document.text))
    is_code = shape.concept("code") is not None or shape.says("id")
    for labelled in document.at_labels(labels_of(shape)):
        value = _code(labelled.value) if is_code else _name(labelled)
        if value:
            yield _cut(value, shape)
    if words & {"category", "type", "kind", "topic"}:
        yield from _topic(document)
    if words & _QUERY_WORDS:
        asked = [sentence for sentence in sentences(document.text) if sentence.endswith("?")]
        yield _cut((asked or [document.text.strip()])[0], shape)
    if words & _WHOLE_WORDS:
        yield _cut(document.text.strip(), shape)
    if words & {"place", "location", "city"} and document.is_short:
        yield document.text.strip(" ?!.") or None


def _topic(document: Document) -> Iterator[str]:
    counted = [(sum(has_phrase(document.folded, (word,)) for word in words), names[0]) for names, words in TOPICS[:18]]
    best = max(counted, key=lambda pair: pair[0])
    if best[0]:
        yield best[1]


def _cut(text: str, shape: Shape) -> str:
    """The text no longer than the schema allows, cut between words."""
    most = shape.schema.get("maxLength")
    if most is None or len(text) <= most:
        return text
    return text[:most].rsplit(" ", 1)[0] if " " in text[:most] else text[:most]
