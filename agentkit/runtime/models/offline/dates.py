"""Dates and times in the forms that people print, in six languages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Final, Literal

from agentkit.runtime.models.offline.words import fold

__all__ = ["DatedText", "Order", "find_dates", "find_times", "slash_order"]

Order = Literal["dmy", "mdy"]

_MONTH_NAMES: Final = (
    "january januar janvier enero gennaio januari jan janv ene gen janner",
    "february februar fevrier febrero febbraio februari feb fev fevr febr feber",
    "march marz mars marzo maart mar mrz mrt maerz",
    "april avril abril aprile apr avr abr",
    "may mai mayo maggio mei mag",
    "june juni juin junio giugno jun giu",
    "july juli juillet julio luglio jul juil lug",
    "august aout agosto augustus aug ago",
    "september septembre septiembre settembre sep sept set",
    "october oktober octobre octubre ottobre oct okt ott",
    "november novembre noviembre nov",
    "december dezember decembre diciembre dicembre dec dez dic",
)
_MONTHS: Final[Mapping[str, int]] = {
    name: number for number, names in enumerate(_MONTH_NAMES, start=1) for name in names.split()
}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_YEAR = r"(?:19|20)\d\d"
_FORMS: Final = (
    re.compile(rf"(?<!\d)(?P<y>{_YEAR})[-/.](?P<m>\d{{1,2}})[-/.](?P<d>\d{{1,2}})(?!\d)"),
    re.compile(
        rf"(?<!\d)(?P<d>\d{{1,2}})(?:st|nd|rd|th|er|o|\.|º)?[\s\-./]*(?:de\s+|"
        rf"of\s+)?(?P<mon>{_MONTH})\.?,?[\s\-./]*(?:de\s+|del\s+)?(?P<y>{_YEAR})(?!\d)"
    ),
    re.compile(rf"(?<![^\W_])(?P<mon>{_MONTH})\.?\s+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<y>{_YEAR})(?!\d)"),
    re.compile(rf"(?<![^\W_])(?P<d>\d{{1,2}})[\s\-]?(?P<mon>{_MONTH})[\s\-']?(?P<y>\d\d)(?!\d|:)"),
    re.compile(r"(?<![\d.])(?P<d>\d{1,2})\.\s?(?P<m>\d{1,2})\.\s?(?P<y>(?:19|20)?\d\d)(?![\d.]\d)"),
    re.compile(rf"(?<!\d)(?P<d>\d{{1,2}})-(?P<m>\d{{1,2}})-(?P<y>{_YEAR})(?!\d)"),
)
_SLASHED = re.compile(r"(?<![\d/])(?P<a>\d{1,2})/(?P<b>\d{1,2})/(?P<y>(?:19|20)?\d\d)(?![\d/])")
_TIME = re.compile(
    r"(?<![\d:.,/-])(?P<h>[01]?\d|"
    r"2[0-3])(?:[:h](?P<m>[0-5]\d)(?::(?P<s>[0-5]\d))?)(?:\.\d+)?\s?(?P<half>[ap]\.?m\b\.?)?"
    r"\s?(?P<zone>z(?![^\W_])|[+-]\d\d:\d\d)?",
)


@dataclass(frozen=True, slots=True)
class DatedText:
    """A date and where it stands."""

    value: date
    start: int
    end: int


def slash_order(text: str, *, default: Order) -> Order:
    """How 03/05/2026 is meant: as the dates of the text that leave no doubt are, else as the default says."""
    for match in _SLASHED.finditer(text):
        if int(match["a"]) > 12:
            return "dmy"
        if int(match["b"]) > 12:
            return "mdy"
    return default


def find_dates(text: str, *, order: Order) -> list[DatedText]:
    """The dates of a text, in the order they stand in it."""
    folded = fold(text)
    found: list[DatedText] = []
    for form in _FORMS:
        found += [dated for match in form.finditer(folded) if (dated := _dated(match, _month(match), int(match["d"])))]
    for match in _SLASHED.finditer(folded):
        day, month = int(match["a"]), int(match["b"])
        if (order == "mdy" and day <= 12) or month > 12:
            day, month = month, day
        if dated := _dated(match, month, day):
            found.append(dated)
    found.sort(key=lambda each: (each.start, -each.end))
    return [each for at, each in enumerate(found) if not any(other.end > each.start for other in found[:at])]


def _month(match: re.Match[str]) -> int:
    groups = match.groupdict()
    return _MONTHS[groups["mon"]] if groups.get("mon") else int(groups["m"])


def _dated(match: re.Match[str], month: int, day: int) -> DatedText | None:
    year = int(match["y"])
    try:
        return DatedText(date(year + 2000 if year < 100 else year, month, day), match.start(), match.end())
    except ValueError:  # 31.02., or a version number
        return None


def find_times(text: str) -> list[tuple[time, str]]:
    """The times of day, each with its zone as written, "" where none is."""
    found: list[tuple[time, str]] = []
    for match in _TIME.finditer(fold(text)):
        hour = int(match["h"])
        half = (match["half"] or "")[:1]
        if half and hour <= 12:
            hour = hour % 12 + (12 if half == "p" else 0)
        found.append((time(hour, int(match["m"]), int(match["s"] or 0)), (match["zone"] or "").upper()))
    return found
