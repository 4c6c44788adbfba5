"""Vendors and bookings, in one SQLite file."""

from __future__ import annotations

import csv
import re
import sqlite3
import unicodedata
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from agentkit.errors import ToolError

VENDORS = Path(__file__).with_name("vendors.csv")
SCHEMA = """
    CREATE TABLE IF NOT EXISTS vendor (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, tax_id TEXT NOT NULL, cost_centre TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS booking (
        number INTEGER PRIMARY KEY,
        call_key TEXT NOT NULL UNIQUE,  -- one call of the tool, however often it is tried
        document TEXT NOT NULL UNIQUE,  -- one document, whichever call it was
        vendor TEXT NOT NULL, vendor_id TEXT REFERENCES vendor, date TEXT NOT NULL,
        currency TEXT NOT NULL, amount TEXT NOT NULL
    ) STRICT;
"""
LEGAL_FORMS = {"ag", "co", "eg", "ek", "eu", "gmbh", "inc", "kg", "llc", "ltd", "sa", "sarl", "spa", "srl", "ug"}


@dataclass(frozen=True)
class Vendor:
    """A row of the register."""

    id: str
    name: str
    tax_id: str
    cost_centre: str


@dataclass(frozen=True)
class Booking:
    """A row of the books."""

    number: int
    call_key: str
    document: str
    vendor: str
    vendor_id: str | None
    date: str
    currency: str
    amount: Decimal


class Refused(ToolError):
    """A booking that the books do not take; the agent reads why."""


class Books:
    """The file. Every method opens it anew, so handlers may call from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as db:
            db.executescript(SCHEMA)
            with VENDORS.open(encoding="utf-8", newline="") as file:
                rows = [(row["id"], row["name"], row["tax_id"], row["cost_centre"]) for row in csv.DictReader(file)]
            db.executemany("INSERT OR IGNORE INTO vendor VALUES (?, ?, ?, ?)", rows)

    def find_vendor(self, name: str, tax_id: str = "") -> Vendor | None:
        """The vendor with this tax id, else with this name, whatever its legal form, case and accents."""
        with self._open() as db:
            vendors = [Vendor(*row) for row in db.execute("SELECT * FROM vendor ORDER BY id")]
        by_tax_id = [each for each in vendors if tax_id and _squeezed(each.tax_id) == _squeezed(tax_id)]
        by_name = [each for each in vendors if _words(name) and _words(each.name) == _words(name)]
        return next(iter(by_tax_id or by_name), None)

    def vendor(self, vendor_id: str | None) -> Vendor | None:
        """The vendor with this id."""
        with self._open() as db:
            row = db.execute("SELECT * FROM vendor WHERE id = ?", (vendor_id,)).fetchone()
        return Vendor(*row) if row else None

    def book(
        self,
        call_key: str,
        document: str,
        *,
        vendor: str,
        vendor_id: str | None,
        date: str,
        currency: str,
        amount: Decimal,
    ) -> Booking:
        """Books it once: the second try of a call gets the first one's booking. Raises Refused."""
        row = (call_key, document, vendor, vendor_id, date, currency, str(amount.quantize(Decimal("0.01"))))
        with self._open() as db:
            if vendor_id and not db.execute("SELECT 1 FROM vendor WHERE id = ?", (vendor_id,)).fetchone():
                raise Refused(f"no vendor {vendor_id!r} in the register; look the vendor up, or leave vendor_id out")
            db.execute(
                "INSERT INTO booking (call_key, document, vendor, vendor_id, date, currency, amount)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                row,
            )
        found = self.booking_of(document)
        if found is None or (found.currency, found.amount) != (currency, Decimal(row[-1])):
            what = f"booking {found.number} over {found.amount} {found.currency}" if found else "another document"
            raise Refused(f"nothing booked: there is {what} already")
        return found

    def booking_of(self, document: str) -> Booking | None:
        """What is booked for a document."""
        with self._open() as db:
            row = db.execute("SELECT * FROM booking WHERE document = ?", (document,)).fetchone()
        return _booking(row) if row else None

    def bookings(self) -> list[Booking]:
        """Everything booked, in that order."""
        with self._open() as db:
            rows = db.execute("SELECT * FROM booking ORDER BY number").fetchall()
        return [_booking(row) for row in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection; what was written in the block is committed at its end, or not at all."""
        with closing(sqlite3.connect(self.path, timeout=10)) as db, db:
            db.execute("PRAGMA foreign_keys = ON")
            yield db


def _booking(row: tuple[Any, ...]) -> Booking:
    number, call_key, document, vendor, vendor_id, date, currency, amount = row
    return Booking(number, call_key, document, vendor, vendor_id, date, currency, Decimal(amount))


def _squeezed(code: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", code.upper())


def _words(name: str) -> tuple[str, ...]:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower().replace(".", "")
    return tuple(word for word in re.findall(r"[a-z0-9]+", plain) if word not in LEGAL_FORMS)
