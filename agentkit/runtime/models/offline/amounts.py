"""Which of a document's amounts is the one that is asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from agentkit.runtime.models.offline.document import Document, Labelled
from agentkit.runtime.models.offline.labels import Concept, named
from agentkit.runtime.models.offline.money import Amount, find_amounts

__all__ = ["labelled_amount", "spent", "tax_rate"]

_DUE_RANK: Final = 2
_SURE_RANK: Final = 2  # a bare "price" or "amount" proves nothing where advertising is read
_INCLUDED = re.compile(
    r"\b(?:incl|including|includes|inkl|enthalt|davon|darin|dont|of which|di cui|incluye|inclusief|waarvan)\.?\s*$"
)
_THEN_TAX = re.compile(r"\s*(?:\d+(?:[.,]\d+)?\s?%\s*)?(?:vat|tax|gst|mwst|ust|tva|iva|btw|moms)\b")
_PERCENT = re.compile(r"(\d{1,2}(?:[.,]\d{1,2})?)\s?%")
_ASIDE = re.compile(r"\([^()]*\)")
_PAYING = re.compile(
    r"(?i)\b(?:paid|pay|cost|costs|costing|charged|spent|price|total|for|was|came to|comes to|"
    r"is|kostete|kostet|bezahlt|zahlte|gezahlt|ausgegeben|betrug|co[uû]t[eé]|pay[ée]|"
    r"r[ée]gl[ée]|d[ée]pens[ée]|"
    r"pagu[eé]|pagado|costó|cuesta|pagato|speso|betaald|kostte)\b[^.\n\d]{0,40}$"
)


def labelled_amount(
    document: Document, concept: Concept | None, *, labels: Sequence[tuple[str, int]] = (), least_rank: int = 1
) -> Amount | None:
    """The amount at a concept's label, or at the given labels; one of zero only where there is no other."""
    if concept is named("tax") and (included := _included_tax(document)):
        return included
    found = document.at(concept, least_rank=least_rank) if concept else document.at_labels(labels)
    candidates: list[tuple[int, int, Amount]] = []
    for labelled in found:
        amount = _of(labelled, document)
        if amount is not None and (amount.is_exact or labelled.rank > 1 or concept is None):
            candidates.append(
                (labelled.score + 2 * amount.is_exact + (amount.currency is not None), labelled.line, amount)
            )
    weighty = [candidate for candidate in candidates if candidate[2].value != 0] or candidates
    return max(weighty, key=lambda each: each[:2])[2] if weighty else None


def _included_tax(document: Document) -> Amount | None:
    """The tax of "incl. € 19.22 VAT": its amount stands before its name."""
    for line in document.lines:
        for amount in find_amounts(line.text, context=document.text):
            around = line.folded[: amount.start], line.folded[amount.end :]
            if amount.is_exact and _INCLUDED.search(around[0]) and _THEN_TAX.match(around[1]):
                return amount
    return None


def _of(labelled: Labelled, document: Document) -> Amount | None:
    """The amount that a label speaks of: the one right behind it, else the last of its columns."""
    rest = labelled.rest
    outside = _ASIDE.sub(lambda aside: " " * len(aside[0]), rest)
    amounts = find_amounts(outside, context=document.text) or find_amounts(rest, context=document.text)
    dated = document.dates_in(rest)
    amounts = [each for each in amounts if not any(date.start <= each.start < date.end for date in dated)]
    if not amounts:
        return None
    first = amounts[0]
    if len(amounts) == 1 or re.search(r"[^\W\d_]{3,}|\(", labelled.rest[first.end : amounts[1].start]):
        return first
    rate = _PERCENT.search(labelled.rest)
    share = Decimal(rate[1].replace(",", ".")) / 100 if rate else None
    exact = [each for each in amounts if each.is_exact] or amounts
    if share:
        for each in exact:
            if any(abs(other.value * share - each.value) <= Decimal("0.02") for other in exact if other is not each):
                return each
    return exact[-1]


def spent(document: Document) -> Amount | None:
    """What the document says was paid: a labelled total, "paid 45 €" in a sentence, or a receipt's highest amount."""
    total = labelled_amount(document, named("total"), least_rank=_SURE_RANK)
    if total is not None and not (document.is_marketing and document.spending < 0):
        return total
    if document.is_marketing:
        return None
    return labelled_amount(document, named("total")) or _in_prose(document) or _highest(document)


def _in_prose(document: Document) -> Amount | None:
    candidates = [each for each in find_amounts(document.text) if each.is_exact]
    told = [each for each in candidates if _PAYING.search(document.text[max(0, each.start - 60) : each.start])]
    with_currency = [each for each in told if each.currency] or told
    return with_currency[0] if with_currency else None


def _highest(document: Document) -> Amount | None:
    amounts = [each for each in find_amounts(document.text) if each.is_exact and each.currency]
    enough = document.spending >= 2 or (document.is_short and len(amounts) == 1)
    return max(amounts, key=lambda each: each.value) if amounts and enough else None


def tax_rate(document: Document) -> Decimal | None:
    """The percentage at a tax label."""
    for labelled in document.at(named("tax_rate")):
        line = document.lines[labelled.line]
        match = _PERCENT.search(line.text)
        if match:
            return Decimal(match[1].replace(",", "."))
    return None
