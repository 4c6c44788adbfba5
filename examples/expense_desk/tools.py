"""What the agent may do: look a vendor up, and book an amount."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from agentkit import ToolContext, enum_of, number, optional, string, tool
from examples.expense_desk.books import Books
from examples.expense_desk.documents import Document

HOME_CURRENCY = "EUR"
FOREIGN_CURRENCIES = ["AUD", "CAD", "CHF", "CZK", "DKK", "GBP", "JPY", "NOK", "PLN", "SEK", "USD"]


def desk_tools(books: Books, document: Document, *, limit: float) -> list[Any]:
    """The tools for one document.

    Three schemas that shut each other out, and one function: what needs a person's yes is decided by the arguments
    that fit, not by the model's mood. The limit is in EUR, so an amount in another currency is for a person, too.
    """

    def look_up(vendor: str, tax_id: str = "") -> dict[str, Any]:
        found = books.find_vendor(vendor, tax_id)
        if found is None:
            return {"found": False, "note": f"{vendor!r} is not in the register; book it without vendor_id"}
        return {"found": True, "vendor_id": found.id, "vendor": found.name, "cost_centre": found.cost_centre}

    def book(
        vendor: str, date: str, currency: str, amount: Decimal, vendor_id: str | None = None, *, ctx: ToolContext
    ) -> dict[str, Any]:
        booked = books.book(
            ctx.idempotency_key,  # the same when a killed desk runs this call again
            document.digest,
            vendor=vendor,
            vendor_id=vendor_id,
            date=date,
            currency=currency,
            amount=amount,
        )
        return {"booked": True, "booking": booked.number}

    def booking(name: str, description: str, *, amount: Any, currency: Any) -> Any:
        return (
            tool(name)
            .describe(description)
            .param("vendor", string("Who was paid"))
            .param("date", string("Date of the document, YYYY-MM-DD", format="date"))
            .param("currency", currency)
            .param("amount", amount)
            .param("vendor_id", optional(string("The vendor's id, as lookup_vendor gave it", pattern=r"^V-\d+$")))
            .handler(book)
        )

    euro = enum_of([HOME_CURRENCY], "Currency of the amount")
    foreign = enum_of(FOREIGN_CURRENCIES, "Currency of the amount")
    gross = "Total with tax"
    return [
        tool("lookup_vendor")
        .describe("Look a vendor up in our register")
        .param("vendor", string("Name as the document has it"))
        .param("tax_id", optional(string("The vendor's VAT or tax id, if the document has one")))
        .handler(look_up),
        booking(
            "book_expense",
            f"Book an expense of up to {limit:g} EUR",
            amount=number(gross, exclusive_minimum=0, maximum=limit),
            currency=euro,
        ),
        booking(
            "book_large_expense",
            f"Book an expense of more than {limit:g} EUR; a person is asked first",
            amount=number(gross, exclusive_minimum=limit),
            currency=euro,
        ).require_approval(),
        booking(
            "book_foreign_expense",
            "Book an expense in another currency than EUR; a person is asked first",
            amount=number(gross, exclusive_minimum=0),
            currency=foreign,
        ).require_approval(),
    ]
