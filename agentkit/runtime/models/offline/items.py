"""The lines of a document that are sold things: in a table with a heading, or on a receipt without one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from agentkit.runtime.models.offline.document import Document, Line
from agentkit.runtime.models.offline.labels import named
from agentkit.runtime.models.offline.money import Amount, find_amounts, parse_number
from agentkit.runtime.models.offline.words import fold, has_phrase, listed

__all__ = ["Item", "items"]


_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "quantity": listed(
        """
            qty, quantity, menge, anzahl, anz, stk, qte, quantite, cantidad, cant, quantita, q.ta, qta, aantal,
            hours, nights, std, units, pcs, nuits
        """
    ),
    "unit_price": listed(
        """
            unit price, price each, each, einzelpreis, preis/einheit, einzel, p.u, prix unitaire, pu, pu ht, precio
            unitario, precio, prezzo unitario, prezzo, prijs, stuksprijs, rate, unit, price, preis, prix, e-preis
        """
    ),
    "description": listed(
        """
            description, item, items, product, service, article, beschreibung, bezeichnung, artikel, leistung,
            position, pos, designation, libelle, descripcion, concepto, articulo, producto, descrizione, articolo,
            omschrijving, details, charge, charges, produkt, activity
        """
    ),
    "amount": listed(
        """
            amount, total, line total, betrag, gesamt, gesamtpreis, summe, montant, total ht, importe, importo,
            totale, bedrag, totaal, g-preis, eur, usd, gbp, chf, debit, charges
        """
    ),
}
_SUMMARY: Final = listed(
    """
            total, subtotal, sub total, grand total, vat, tax, sales tax, mwst, ust, umsatzsteuer, tva, iva, btw,
            netto, net, brutto, gross, summe, zwischensumme, gesamt, gesamtbetrag, gesamtsumme, rechnungsbetrag,
            tip, gratuity, trinkgeld, cash, change, card, visa, mastercard, amex, paid, payment, balance, amount
            due, total due, bar, gegeben, ruckgeld, ec karte, karte, carte, especes, rendu, a payer, sous total, ht,
            ttc, base, base imponible, efectivo, tarjeta, cambio, a pagar, imponibile, contanti, resto, carta,
            totale, totaal, subtotaal, subtotale, te betalen, contant, pin, wisselgeld, amount, betrag, montant,
            importe, rounding, deposit, kreditkarte, girocard, zu zahlen, taxable, gst, hst, pst, kartenzahlung,
            importo, pourboire, propina, mancia, you saved, points, zahlung, shipping, delivery, versand,
            versandkosten, porto, frais de port, envio, spedizione, verzendkosten, item subtotal, order total,
            amount paid, amount charged, discount, rabatt, remise, descuento, sconto, korting, taxes, steuer,
            enthaltene, davon, dont, di cui, bezahlt, net a payer, total amount, credit, prepaid, anzahlung
        """
)
_STOP: Final = listed(
    """
            total, grand total, total due, amount due, total amount, summe, gesamt, gesamtbetrag, gesamtsumme,
            rechnungsbetrag, zu zahlen, total ttc, total ht, montant total, net a payer, totale, totale complessivo,
            totaal, te betalen, subtotal, sub total, zwischensumme, sous total, subtotaal, subtotale, base
            imponible, imponibile, nettobetrag, endbetrag, importe total, total a pagar
        """
)
_LEADING_COUNT = re.compile(
    r"^(?:\d{1,2}[.)]\s+)?(?P<count>\d{1,4}(?:[.,]\d{1,2})?)\s*(?:x|×|\*|stk\.?|st\.?|pcs\.?|ea\.?)?\s+(?=[^\W\d_])",
    re.I,
)
_LEADING_DATE = re.compile(r"^\s*(?:\d{4}-\d\d-\d\d|\d{1,2}[./-]\d{1,2}(?:[./-]\d{2,4})?\.?)\s+")
_PERCENT = re.compile(r"\s*\d{1,2}(?:[.,]\d)?\s?%")
_TRAILING_COUNT = re.compile(
    r"\s+(?:x\s?|×\s?|@\s?)?(?P<count>\d{1,4}(?:[.,]\d{1,2})?)\s*(?:x|×|\*|@|stk\.?|st\.?|"
    r"pcs\.?|ea\.?|à|a|nights?|h|hrs?|hours?|std\.?|seats?|users?)?\s*$",
    re.I,
)
_TRAILING_MARK = re.compile(r"(?:\s+(?:[A-Z]\d?|\*|\d{1,2}(?:[.,]\d)?\s?%))+$")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing sold."""

    description: str
    quantity: Decimal | None
    unit_price: Decimal | None
    amount: Decimal


def items(document: Document) -> list[Item]:
    """The items of a document, in order; [] for one that lists none."""
    if document.is_short:
        return []
    heading = next((line.index for line in document.lines if _is_heading(line)), None)
    found: list[Item] = []
    before: Line | None = None
    for line in document.lines[0 if heading is None else heading + 1 :]:
        if found and _is_stop(line):
            break
        item = _item(line, before, under_heading=heading is not None, document=document)
        if item:
            found.append(item)
        before = line
    return found


def _is_heading(line: Line) -> bool:
    if re.search(r"\d", re.sub(r"\d{1,2}\s?%", "", line.text)):
        return False
    parts = [part for cell in line.cells for part in re.split(r"\s{1,}(?=[A-ZÄÖÜ])|[,;]", cell)]
    kinds = {kind for part in parts if (kind := _column(part))}
    return len(kinds) >= 2 and bool(kinds & {"amount", "unit_price"}) and len(line.text.split()) <= 12


def _column(cell: str) -> str | None:
    plain = re.sub(r"\(.*?\)", "", fold(cell)).strip(" .:")
    return next((kind for kind, words in _COLUMNS.items() if plain in words), None)


def _starts_with(folded: str, phrases: tuple[str, ...]) -> bool:
    head = re.split(r"\d|[:(€$£]|\s{2,}", folded, maxsplit=1)[0].strip(" .*-")
    return any(head == phrase or head.startswith(f"{phrase} ") for phrase in phrases)


def _is_stop(line: Line) -> bool:
    return _starts_with(line.folded, _STOP) and bool(find_amounts(line.text))


def _item(line: Line, before: Line | None, *, under_heading: bool, document: Document) -> Item | None:
    text = _TRAILING_MARK.sub("", "  ".join(line.cells))
    text = _LEADING_DATE.sub("", text)
    if len(line.cells) == 1 and _is_separated(text) and under_heading:
        text = re.sub(r"\s*[;,]\s*(?=\D|\d+(?:\.\d+)?(?:[;,]|$))", "  ", text)
    exact = [amount for amount in find_amounts(text, context=document.text) if amount.is_exact]
    if not exact and under_heading:
        exact = find_amounts(text, context=document.text)[-2:]
    if (
        not exact
        or text[exact[-1].end :].strip(" .*)")
        or _starts_with(fold(text), _SUMMARY)
        or _is_labelled_total(text)
    ):
        return None
    return _assembled(text, exact, before, under_heading=under_heading)


def _is_separated(text: str) -> bool:
    return text.count(";") >= 2 or (text.count(",") >= 2 and not re.search(r",\s", text))


def _is_labelled_total(text: str) -> bool:
    folded = fold(text)
    return any(
        has_phrase(folded, (label,))
        for label in ("total", "subtotal", "mwst", "vat", "tva", "iva", "btw")
        if label in folded
    ) and (":" in text or len(folded.split()) <= 4)


def _assembled(text: str, exact: list[Amount], before: Line | None, *, under_heading: bool) -> Item | None:
    left = text[: exact[0].start].strip(" .:-–@")
    quantity, left = _counted(_PERCENT.sub("", left))
    amount, unit = exact[-1].value, exact[0].value if len(exact) > 1 else None
    if len(exact) > 2 and quantity is None and exact[0].value * exact[1].value == amount:
        quantity, unit = exact[0].value, exact[1].value
    if sum(char.isalpha() for char in left) < 2 and before is not None and not find_amounts(before.text):
        quantity = quantity or _only_count(left)
        left = before.text
    if not _is_description(left, under_heading=under_heading, counted=quantity is not None):
        return None
    if quantity is None and unit and amount % unit == 0:
        quantity = amount / unit
    return Item(left, quantity, unit, amount)


def _counted(left: str) -> tuple[Decimal | None, str]:
    """The count at either end of a description, and the description without it."""
    for pattern in (_LEADING_COUNT, _TRAILING_COUNT):
        match = pattern.search(left)
        rest = (left[: match.start()] + left[match.end() :]).strip(" .:-–@") if match else ""
        if match and sum(char.isalpha() for char in rest) >= 2:
            return parse_number(match["count"]), rest
    return None, left


def _only_count(left: str) -> Decimal | None:
    match = re.match(r"^(\d{1,4})\b", left)
    return Decimal(match[1]) if match else None


def _is_description(left: str, *, under_heading: bool, counted: bool) -> bool:
    if sum(char.isalpha() for char in left) < 2 or len(left.split()) > 12:
        return False
    if under_heading or counted:
        return True
    is_label = ":" in left or any(
        fold(left) == label for concept in ("total", "subtotal", "tax", "tip") for label, _ in named(concept).ranked
    )
    return not is_label and not left.endswith((".", ",")) and len(left.split()) <= 8
