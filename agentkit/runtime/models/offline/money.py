"""Amounts of money in the forms that people print: 1.234,56 €, $1,234.56, EUR 12.50, CHF 1'234.50, 45.-"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from agentkit.runtime.models.offline.words import word_set

__all__ = ["CURRENCIES", "Amount", "currency_mentions", "find_amounts", "home_currency", "parse_number"]

CURRENCIES: Final = word_set(
    """
    AED ARS AUD BGN BRL CAD CHF CLP CNY COP CZK DKK EGP EUR GBP HKD HUF IDR ILS INR ISK JPY KRW MAD MXN MYR NOK NZD PHP
    PLN RON RSD SAR SEK SGD THB TRY TWD UAH USD VND ZAR
    """
)
# A sign that several currencies share means the first of its codes, unless the text speaks of another one.
SIGNS: Final[Mapping[str, tuple[str, ...]]] = {
    "€": ("EUR",),
    "£": ("GBP",),
    "US$": ("USD",),
    "CA$": ("CAD",),
    "C$": ("CAD",),
    "AU$": ("AUD",),
    "A$": ("AUD",),
    "NZ$": ("NZD",),
    "HK$": ("HKD",),
    "S$": ("SGD",),
    "R$": ("BRL",),
    "$": ("USD", "CAD", "AUD", "NZD", "SGD", "HKD", "MXN"),
    "¥": ("JPY", "CNY"),
    "₹": ("INR",),
    "₺": ("TRY",),
    "₩": ("KRW",),
    "₪": ("ILS",),
    "₴": ("UAH",),
    "zł": ("PLN",),
    "Kč": ("CZK",),
    "kr": ("SEK", "NOK", "DKK", "ISK"),
    "Kr": ("SEK", "NOK", "DKK", "ISK"),
    "SFr": ("CHF",),
    "Fr": ("CHF",),
    "euros": ("EUR",),
    "euro": ("EUR",),
    "Euros": ("EUR",),
    "Euro": ("EUR",),
    "dollars": ("USD", "CAD", "AUD", "NZD", "SGD", "HKD"),
    "pounds": ("GBP",),
    "Franken": ("CHF",),
    "francs": ("CHF",),
    "yen": ("JPY",),
}
# Where a shared sign stands without any code, these words of the text tell the country.
_HOMES: Final[Mapping[str, str]] = {
    "NOK": r"\bmva\b|\bnorge\b|\bnorway\b|\boslo\b|\.no\b",
    "DKK": r"\bdanmark\b|\bdenmark\b|\bkøbenhavn\b|\bcopenhagen\b|\.dk\b",
    "CAD": r"\bcanada\b|\bontario\b|\bquebec\b|\btoronto\b|\bvancouver\b|\bmontr[eé]al\b|\b[gh]st/[hq]st\b|\.ca\b",
    "AUD": r"\baustralia\b|\bsydney\b|\bmelbourne\b|\bABN\b|\.com\.au\b",
    "NZD": r"\bnew zealand\b|\bauckland\b|\.co\.nz\b",
    "SGD": r"\bsingapore\b|\.com\.sg\b",
    "CNY": r"\bchina\b|\bbeijing\b|\bshanghai\b|\bRMB\b|元",
}
# What stands in the papers of one currency's countries alone; the last resort of a text without any sign.
_PAPERS: Final[Mapping[str, str]] = {
    "USD": r"\b[A-Z]{2},?\s\d{5}(?:-\d{4})?\b",
    "GBP": r"\b[A-Z]{1,2}\d[A-Z\d]?\s\d[A-Z]{2}\b|\bUnited Kingdom\b",
    "CHF": r"\bCHE-?\d|\bSchweiz\b|\bSuisse\b|\bSwitzerland\b",
    "EUR": r"(?i)\bSIRET\b|\bP\.?\s?IVA\b|\b[CN]IF\b|\bUSt-?Id|\bBTW\b|\bUID ATU|\bDeutschland\b|"
    r"\bFrance\b|\bMwSt\b|\bTVA\b",
}
_CODE = "|".join(sorted(CURRENCIES))
_SIGN = "|".join(re.escape(sign) for sign in sorted(SIGNS, key=len, reverse=True))
_DIGITS = r"""(?:
      \d{1,3}(?:[.,'’\u00a0\u202f]\d{3})+(?:[.,]\d{1,2})?(?![\d])
    | \d{1,3}(?:[ ]\d{3})+,\d{2}(?!\d)
    | \d+[.,]\d{1,2}(?!\d)
    | \d+(?=[.,][-–—])
    | \d+(?!\d)
)"""
_UNIT = (
    "[cm]?l|L|kg|g|km|mi|miles?|h|hrs?|hours?|[Mm]in|minutes?|kWh|[GMT]B|m²|"
    "[Ll]it(?:er|re)s?|gal|gallons?|people|Personen"
)
_AMOUNT = re.compile(
    rf"""(?<![\w.,/\#:])
    (?:(?P<before>{_CODE}|{_SIGN})\.?[ \u00a0\u202f]?)?
    (?P<sign>[-–−](?=[\d$€£]))?
    (?:(?P<inside>[$€£])\ ?)?
    (?P<number>(?<![\d.,]){_DIGITS})
    (?:[.,][-–—]{{1,2}})?
    (?:[ \u00a0\u202f]?(?P<after>{_CODE}|{_SIGN})(?![^\W\d_]))?
    (?P<minus>-(?!\w))?
    (?![\w/]|[.,:]\d|\s?[%‰]|-\d|°|\ ?(?:{_UNIT})(?![^\W_]))""",
    re.VERBOSE,
)
_MENTION = re.compile(rf"(?<![^\W\d_])(?P<code>{_CODE})(?![^\W\d_])|(?P<sign>{_SIGN})(?![^\W\d_])")


@dataclass(frozen=True, slots=True)
class Amount:
    """A number that may be money. `is_exact`: with cents or a currency, so hardly a count, a house number or a year."""

    value: Decimal
    currency: str | None
    start: int
    end: int
    is_exact: bool


def parse_number(text: str) -> Decimal:
    """The number of digits in any national form; the last separator is the decimal one unless three digits follow."""
    plain = re.sub(r"['’\s\u00a0\u202f]", "", text)
    last = max(plain.rfind("."), plain.rfind(","))
    if last < 0:
        return Decimal(plain)
    whole, rest = re.sub(r"[.,]", "", plain[:last]), plain[last + 1 :]
    both = "." in plain and "," in plain
    groups = len(rest) == 3 and not whole.startswith("0") and not both
    if both and plain.count(plain[last]) > 1:
        groups = True
    return Decimal(whole + rest) if groups else Decimal(f"{whole or '0'}.{rest or '0'}")


def find_amounts(text: str, *, context: str = "") -> list[Amount]:
    """Every number of the text that could be an amount, in order. `context` settles signs that currencies share."""
    return [_amount(match, context or text) for match in _AMOUNT.finditer(text)]


def _amount(match: re.Match[str], context: str) -> Amount:
    mark = match["before"] or match["inside"] or match["after"]
    digits, start = match["number"], match.start()
    if " " in digits and not mark:  # "2 450,00" is as likely a quantity and a price: the price is what counts
        digits = digits.rpartition(" ")[2] if len(digits.split()[0]) < 3 else digits
        start = match.end("number") - len(digits)
    value = parse_number(digits)
    negative = match["sign"] or match["minus"]
    has_cents = bool(re.search(r"[.,]\d{1,2}$", digits)) or bool(re.search(r"[.,][-–—]", match[0]))
    currency = _code(mark, context) if mark else None
    return Amount(-value if negative else value, currency, start, match.end(), has_cents or mark is not None)


def _code(mark: str, context: str) -> str:
    codes = SIGNS.get(mark, (mark,))
    if len(codes) == 1:
        return codes[0]
    mentioned = next((code for code in codes if re.search(rf"(?<![^\W_]){code}(?![^\W_])", context)), None)
    if mentioned:
        return mentioned
    return next((code for code in codes if code in _HOMES and re.search(_HOMES[code], context, re.I)), codes[0])


def home_currency(text: str) -> str | None:
    """The currency of the country that the text's papers belong to, as far as they tell."""
    everywhere = {**_HOMES, **_PAPERS}
    return next((code for code, pattern in everywhere.items() if re.search(pattern, text)), None)


def currency_mentions(text: str) -> list[str]:
    """The currencies that codes and signs of the text stand for, in order, repeated as often as they appear."""
    return [match["code"] or _code(match["sign"], text) for match in _MENTION.finditer(text)]
