"""Who a document comes from: a label, the sender of a mail, the line on top, or "at X" in a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from agentkit.runtime.models.offline.document import Document, Line
from agentkit.runtime.models.offline.labels import is_label, named
from agentkit.runtime.models.offline.words import fold, has_phrase, sentences, tokens, word_set

__all__ = ["Mail", "vendor"]

_TOP_LINES: Final = 8
_COMPANY = re.compile(
    r"(?<![^\W_])(?:gmbh|ag|kg|ohg|ug|e\.?\s?k|mbh|ltd|limited|inc|llc|llp|plc|corp|"
    r"corporation|co|company|s\.?a\.?r\.?l|s\.?a\.?s|s\.?a|s\.?l|s\.?r\.?l|s\.?p\.?a|b\.?v|"
    r"n\.?v|oy|ab|aps|a/s|pty|"
    r"hotel|hotels|restaurant|cafe|caffe|coffee|bistro|bistrot|brasserie|trattoria|ristorante|"
    r"pizzeria|gasthaus|gasthof|bakery|boulangerie|backerei|bar|grill|diner|airlines|airways|"
    r"air|taxi|cab|cabs|bahn|"
    r"store|shop|market|supermarkt|pharmacy|apotheke|burobedarf|papeterie|papeleria|inn|"
    r"resort|kitchen|books|cloud|software|labs|services|group|parking|parkhaus|tankstelle|"
    r"librairie|libreria|hostal)(?![^\W_])\.?"
)
_TITLES: Final = word_set(
    """
    receipt invoice bill billed from to von an de para sold ship tax folio rechnung quittung beleg kassenbon bon
    kassenbeleg facture recu ticket de caisse factura recibo simplificada fattura ricevuta scontrino fiscale factuur
    kassabon boarding pass bordkarte e-ticket eticket itinerary confirmation order booking statement copy customer
    original duplicate kopie bewirtungsbeleg guest payment your paid sales purchase summary details the of and for thank
    you thanks welcome bedankt merci danke gracias grazie willkommen bienvenue vielen dank page nr no hello dear hi
    online pro forma proforma final simplified cash vat kundenbeleg handlerbeleg carte d'embarquement embarquement train
    description qty quantity price amount item items hours rate unit total menge bezeichnung einzelpreis gesamtpreis
    betrag designation montant cantidad precio importe descrizione prezzo electronic reservation addition l'addition la
    cuenta il conto note nota reiseverbindung fahrkarte online-ticket document commerciale documento rit trip ride
    journey parking parkschein newsletter weekly monthly commande client
    """
)
_NAME_END = re.compile(
    r"\s{2,}|\s[|–—]\s|\s-\s|;\s|\s\(|,\s(?!(?i:inc|ltd|llc|s\.?\s?l|s\.?\s?a|s\.?\s?r|gmbh|"
    r"co|corp|b\.?\s?v|n\.?\s?v)\b)"
)
_FROM_WHOM = re.compile(
    r"(?i)^(?:(?:your|ihre?|votre|su|la tua)\s+)?(?:e-?)?(?:receipt|invoice|order|booking|"
    r"bill|payment|purchase|reservation|trip|quittung|rechnung|bestellung|buchung|beleg|"
    r"facture|re[cç]u|commande|factura|recibo|pedido|fattura|ricevuta|"
    r"factuur|bestelling)\s+(?:from|at|with|by|von|bei|de|chez|da|van|bij|en)\s+"
)
_THANKS = re.compile(
    r"(?i:\b(?:choosing|shopping (?:at|with)|flying(?: with)?|riding with|staying (?:at|with)|"
    r"visiting|dining (?:at|with)|purchase (?:at|from)|einkauf bei|bestellung bei|buchung bei|"
    r"visite chez|achat chez|compra en|acquisto (?:da|"
    r"presso))\s+)(?P<name>[A-ZÀ-Þ][\w&'’.-]*\w(?:\s+[A-ZÀ-Þ&][\w&'’.-]*\w)*)"
)
_ADDRESS = re.compile(
    r"(?i)\b\d{4,5}\b.*[^\W\d]|(?:\w*str\.|\w*stra(?:ß|ss)e|\bstreet|avenue|ave|road|rd|blvd|"
    r"boulevard|lane|rue|calle|via|piazza|plaza|platz|weg|allee|gasse|laan|straat|suite|floor|"
    r"quai|place)\b.*\d"
    r"|\d+\s+\S+.*\b(?:street|st|avenue|ave|road|rd|blvd|lane|rue|drive|dr|quai|place)\b|\b[A-Z]{2}\s\d{5}\b"
)
_CONTACT = re.compile(
    r"(?i)\b(?:tel|phone|fax|www\.|https?:|email|e-mail|vat|ust|siret|iban|steuer|p\.?\s?iva|"
    r"nif|cif|btw|abn)\b|@|\+\d{2}|^\(?\d[\d\s()/-]{6,}$"
)
_GREETING = re.compile(
    r"(?i)^(?:please|bitte|thanks?|danke|vielen dank|merci|gracias|grazie|bedankt|hi|hello|"
    r"hey|dear|hallo|liebe|sehr geehrte|bonjour|hola|ciao|"
    r"gentile|beste|can you|could you|here|anbei|voici|i |we |from:|to:|subject:|date:|\[|<|"
    r"begin|attach|file\b)"
)
_FILENAME = re.compile(
    r"^[^\s:]+\.(?:txt|md|pdf|eml|html?|csv|json|png|jpe?g)\b[:\])]*$|(?i:^(?:attachment|file|"
    r"datei|document)\b.*\.\w{2,4})"
)
_SENDER = re.compile(r"^(?:from|von|de|da|van)\s*:\s*(.+)$", re.I)
_SUBJECT = re.compile(r"^(?:subject|betreff|objet|asunto|oggetto|onderwerp)\s*:\s*(.+)$", re.I)
_ADDRESS_PART = re.compile(r"[<\[(]?([\w.+-]+@([\w.-]+))[>\])]?")
_ROLE_WORDS: Final = word_set(
    """
    receipts receipt billing noreply no-reply do-not-reply team support notifications notification invoice invoices
    rechnung rechnungen info via accounts orders order service kundenservice customer care reservations booking bookings
    sales hello payments payment accounting buchhaltung newsletter news mailer from the facturation ventas ordini
    """
)
_FREE_MAIL: Final = ("gmail.", "outlook.", "hotmail.", "yahoo.", "gmx.", "web.de", "icloud.", "proton")
_IN_PROSE = re.compile(
    r"(?:\b(?P<preposition>at|from|bei|beim|chez|with|by|via|to|en|da|bij|im|in)\s+(?:the\s+|"
    r"der\s+|dem\s+|la\s+|le\s+|el\s+)?)"
    r"(?P<name>(?:[A-ZÀ-Þ][\w&'’.-]*\w|[A-ZÀ-Þ])(?:\s+(?:[A-ZÀ-Þ&][\w&'’.-]*\w|[A-ZÀ-Þ&]|de|du|la|le|and|und)){0,4})"
)
_PAID = re.compile(
    r"(?i)\b(?:paid|pay|bought|spent|parked|stayed|ate|refuel\w*|filled up|flew|rode|rented|"
    r"lunch|dinner|breakfast|coffee|ordered|booked|charged|"
    r"invoice|receipt|bill|stayed|taxi|meal|order|purchase|bestellung|commande|pedido|ticket|"
    r"fare|bezahlt|gekauft|gegessen|rechnung|quittung|pay[ée]|achet[ée]|facture|d[ée]jeun|"
    r"d[iî]n|pag[uéa]|cena|comida|almuerzo)"
)
_CALENDAR: Final = word_set(
    """
    january february march april may june july august september october november december monday tuesday wednesday
    thursday friday saturday sunday januar februar marz mai juni juli oktober dezember montag dienstag mittwoch
    donnerstag freitag samstag sonntag eur usd gbp chf q1 q2 q3 q4 i visa mastercard maestro amex paypal american
    express card cash apple google pay karte
    """
)


class Mail:
    """The header of a mail, if the text has one; of a forwarded mail the innermost, which is the sender's own."""

    def __init__(self, document: Document) -> None:
        self.senders = [
            match[1].strip() for line in document.lines if (match := _SENDER.match(line.text)) and "@" in line.text
        ]
        subjects = [match[1].strip() for line in document.lines if (match := _SUBJECT.match(line.text))]
        self.subject = re.sub(r"(?i)^(?:(?:fwd?|wg|re|aw|tr|i)\s*:\s*)+", "", subjects[-1]) if subjects else None

    @property
    def is_mail(self) -> bool:
        """Whether there is a header."""
        return bool(self.senders) or self.subject is not None

    @property
    def company(self) -> str | None:
        """The sender, where it is a company: its name and its domain agree."""
        return next((name for sender in reversed(self.senders) if (name := _company_of(sender))), None)

    @property
    def domains(self) -> list[str]:
        """The senders' domains without their endings, innermost first; those of mail providers left out."""
        found = [match[2] for sender in reversed(self.senders) if (match := _ADDRESS_PART.search(sender))]
        return [fold(domain.split(".")[-2]) for domain in found if not any(free in domain for free in _FREE_MAIL)]

    @property
    def person(self) -> str | None:
        """The sender's name, whoever it is."""
        return _display(self.senders[-1]) if self.senders else None


def vendor(document: Document) -> Iterator[str]:
    """The names that the document's issuer may have, the likeliest first."""
    mail = Mail(document)
    for labelled in document.at(named("vendor"), least_rank=2):
        if _is_name(labelled.value):
            yield _clean(labelled.value)
    yield from _signed(document, mail)
    if mail.company:
        yield mail.company
    if not mail.is_mail and not document.is_short:
        yield from _on_top(document)
    yield from _in_prose(document)
    for labelled in document.at(named("vendor")):
        if _is_name(labelled.value):
            yield _clean(labelled.value)
    yield from _closing(document)
    if mail.person and has_phrase(document.folded, ("invoice", "rechnung", "facture", "factura", "fattura", "factuur")):
        yield mail.person


def _signed(document: Document, mail: Mail) -> Iterator[str]:
    """The sender's name as the mail itself writes it, with its legal form: the line that begins like the domain."""
    for domain in mail.domains:
        for line in document.lines:
            name = _clean(line.cells[0])
            squeezed = re.sub(r"[^a-z0-9]", "", fold(name))
            if (
                squeezed.startswith(domain)
                and _COMPANY.search(fold(name))
                and _is_name(name)
                and len(name.split()) <= 6
            ):
                yield name


def _on_top(document: Document) -> Iterator[str]:
    names = [name for line in document.lines[:_TOP_LINES] if (name := _heading(line))]
    surely = [name for name in names if _COMPANY.search(fold(name))]
    if surely and surely[0] != names[0] and _looks_like_person(names[0]):
        yield surely[0]
    yield from names


def _heading(line: Line) -> str | None:
    """The line's first cell that can be a name, if it is no title, address, contact, date or sentence."""
    if _issued := _SENDER.match(line.text):
        return _clean(_issued[1]) if _is_name(_clean(_issued[1])) else None
    if (
        _GREETING.match(line.text)
        or _FILENAME.search(line.text)
        or (len(line.cells) > 3 and not _COMPANY.search(fold(_clean(line.cells[0]))))
        or re.search(r"\d[.,]\d\d\b", line.text)
    ):
        return None
    for cell in line.cells:
        name = _clean(cell)
        if _is_name(name) and not _is_title(name) and not cell.rstrip().endswith((":", "?")) and len(name.split()) <= 7:
            return name
        if ":" in cell:
            return None
    return None


def _is_name(text: str) -> bool:
    letters = sum(char.isalpha() for char in text)
    if re.search(r"[:{}\[\]\"=<>|]", text):
        return False
    if letters < 2 or letters < len(text) / 2 or len(text) > 60:
        return False
    return not (
        _ADDRESS.search(text)
        or _CONTACT.search(text)
        or re.search(r"\d{3,}|\d[.,]\d\d", text)
        or (text.endswith((".", "!")) and len(text.split()) > 4 and not _COMPANY.search(fold(text.split()[-1])))
    )


def _is_title(name: str) -> bool:
    words = tokens(name)
    return is_label(fold(name)) or all(word in _TITLES or word.isdigit() for word in words)


def _clean(text: str) -> str:
    name = _NAME_END.split(text.strip(), maxsplit=1)[0]
    name = _FROM_WHOM.sub("", re.sub(r"\s(?:#|Nr\.?|No\.?|Store)\s?\d+$", "", name.strip()))
    name = re.sub(r"^[^\w(]+|[\s:;,*=~\-]+$", "", name)
    return re.sub(r"(?<=\w{4})\.$", "", name)


def _looks_like_person(name: str) -> bool:
    words = name.split()
    return 2 <= len(words) <= 3 and all(word[:1].isupper() and word[1:].islower() for word in words)


def _display(sender: str) -> str | None:
    name = _ADDRESS_PART.sub("", sender).strip(" \"'<>()[],")
    return name or None


def _company_of(sender: str) -> str | None:
    address = _ADDRESS_PART.search(sender)
    if not address or any(free in address[2] for free in _FREE_MAIL):
        return None if not (name := _display(sender)) or not _COMPANY.search(fold(name)) else _without_roles(name)
    labels = re.sub(r"[^a-z0-9]", "", fold(address[2].rpartition(".")[0]))
    display = _display(sender)
    if not display:
        label = address[2].split(".")[-2]
        return label.capitalize()
    if all(fold(word).strip(".,") in _ROLE_WORDS for word in display.split()):
        return address[2].split(".")[-2].capitalize()
    name = _without_roles(display)
    words = [re.sub(r"[^a-z0-9]", "", word) for word in fold(name).split()]
    local = fold(address[1].partition("@")[0])
    speaks_for_itself = any(word and len(word) > 2 and word in labels for word in words)
    is_role = any(role in re.split(r"[._+-]", local) for role in _ROLE_WORDS) or "reply" in local
    return (
        name
        if name and (speaks_for_itself or is_role or _COMPANY.search(fold(name))) and not _named_in(words, local)
        else None
    )


def _named_in(words: list[str], local: str) -> bool:
    """Whether the local part of the address is the name itself (jane.doe@, jdoe@): then it is a person's."""
    return len(words) >= 2 and words[-1] in local and (words[0] in local or local.startswith(words[0][:1]))


def _without_roles(name: str) -> str:
    kept = [word for word in name.split() if fold(word).strip(".,") not in _ROLE_WORDS]
    return " ".join(kept) or name


def _in_prose(document: Document) -> Iterator[str]:
    """The names behind "at", "from" and the like in sentences about paying, those nearest behind the paying first."""
    yield from (match["name"] for match in _THANKS.finditer(document.text))
    found: list[tuple[int, str]] = []
    for sentence in (each[:500] for each in sentences(document.text)):
        paid = [match.start() for match in _PAID.finditer(sentence)]
        for match in _IN_PROSE.finditer(sentence):
            name = re.sub(r"(?:\s(?:and|und|de|du|la|le))+$", "", match["name"])
            before = [match.start() - at for at in paid if at < match.start()]
            if (
                paid
                and not set(tokens(name)) & _CALENDAR
                and not has_phrase(fold(name), ("euro", "invoice", "receipt"))
            ):
                is_place = fold(match["preposition"]) in ("to", "in", "im", "en", "da", "with", "by", "via")
                found.append((min(before, default=200) + 100 * is_place, name))
    yield from (name for _, name in sorted(found, key=lambda pair: pair[0]))


def _closing(document: Document) -> Iterator[str]:
    """The line on top of a short text, or the first that names a company by its form."""
    for line in document.lines:
        for cell in line.cells:
            name = _clean(cell)
            if _COMPANY.search(fold(name)) and _is_name(name) and not _is_title(name) and len(name.split()) <= 6:
                yield name
