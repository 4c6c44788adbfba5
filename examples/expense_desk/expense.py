"""What the agent hands in for a document."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, Field, WithJsonSchema

Category = Literal["travel", "lodging", "meals", "office", "software", "training", "services", "other"]
Money = Annotated[Decimal, WithJsonSchema({"type": "number"})]  # a plain number for the model, exact for us


class Expense(BaseModel):
    """An expense, or the word that a document is none. What the document does not say is null."""

    is_expense: bool = Field(description="Whether the document shows that money was spent or is owed")
    vendor: str | None = Field(description="Who was paid, as the document names them")
    vendor_id: str | None = Field(description="The vendor's id in our register, if lookup_vendor found one")
    invoice_number: str | None = Field(description="Number of the invoice or receipt")
    date: datetime.date | None = Field(description="Date of the invoice or receipt")
    currency: str | None = Field(description="ISO 4217 code of the total", pattern="^[A-Z]{3}$")
    total: Money | None = Field(description="What was paid in all, tax and shipping included")
    tax: Money | None = Field(description="Value added tax or sales tax in the total")
    category: Category = Field(description="What kind of expense it is")
