"""`run` returns an object of your type, validated; the model sees its schema and is sent back until it fits."""

import datetime

from pydantic import BaseModel, Field

from agentkit import Runtime


class Receipt(BaseModel):
    vendor: str
    date: datetime.date
    currency: str = Field(pattern="^[A-Z]{3}$")
    total: float = Field(gt=0)


TEXT = """\
Buchladen am Kanal
12.08.2025
Lexikon der Vögel      34,00
Postkarten 3 x 1,50     4,50
SUMME EUR              38,50
"""


def main() -> None:
    with Runtime() as runtime:
        agent = runtime.client().agent({"system_prompt": "Read the receipt."}, output_type=Receipt)
        receipt = agent.run(TEXT)
        assert receipt is not None  # a Receipt, for the type checker too
        print(f"{receipt.vendor}, {receipt.date:%d %B %Y}: {receipt.total:.2f} {receipt.currency}")


if __name__ == "__main__":
    main()
