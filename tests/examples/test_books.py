"""The books and the vendor register of the expense desk."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from examples.expense_desk.books import Booking, Books, Refused

TAXI: dict[str, Any] = {
    "vendor": "Taxi Krause & Sohn",
    "vendor_id": "V-1002",
    "date": "2025-09-22",
    "currency": "EUR",
    "amount": Decimal("17.8"),
}


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(tmp_path / "expenses.db")


def booked(books: Books, key: str, document: str = "document-1", **other: Any) -> Booking:
    return books.book(key, document, **{**TAXI, **other})


def test_the_second_try_of_a_call_gets_the_booking_of_the_first(books: Books) -> None:
    assert booked(books, "call-1") == booked(books, "call-1") == books.booking_of("document-1")
    assert len(books.bookings()) == 1


def test_another_call_for_the_same_document_books_nothing_more(books: Books) -> None:
    first = booked(books, "call-1")
    assert booked(books, "call-2") == first
    with pytest.raises(Refused, match=r"there is booking 1 over 17\.80 EUR already"):
        booked(books, "call-3", amount=Decimal("71.80"))
    assert books.bookings() == [first]


def test_a_call_books_for_one_document_only(books: Books) -> None:
    booked(books, "call-1")
    with pytest.raises(Refused, match="another document"):
        booked(books, "call-1", document="document-2")
    assert len(books.bookings()) == 1


def test_a_vendor_that_the_register_does_not_have_is_refused(books: Books) -> None:
    with pytest.raises(Refused, match="no vendor 'V-1' in the register"):
        booked(books, "call-1", vendor_id="V-1")
    assert books.bookings() == []


@pytest.mark.parametrize(
    ("name", "tax_id", "found"),
    [
        ("PEDALKURIER NORD eG", "", "V-1015"),
        ("Kaffeerosterei Elbgold & Partner", "", "V-1014"),
        ("Stratuspeak Cloud", "", "V-1003"),
        ("somebody else", "IE 339 0217 MH", "V-1003"),
        ("Meridian", "", None),  # one word of two vendors is no vendor
        ("", "", None),
        ("GmbH", "n/a", None),
    ],
)
def test_a_vendor_is_found_however_it_is_written(books: Books, name: str, tax_id: str, found: str | None) -> None:
    vendor = books.find_vendor(name, tax_id)
    assert (vendor.id if vendor else None) == found


def test_opening_the_books_again_keeps_what_is_in_them(books: Books) -> None:
    booking = booked(books, "call-1")
    assert Books(books.path).bookings() == [booking]
