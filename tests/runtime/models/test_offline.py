"""`offline/extract`: which tools it calls, with what, and what it says when there is nothing to call."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agentkit.errors import ModelNotFoundError
from agentkit.runtime.models.offline import Offline
from agentkit.runtime.models.offline.dates import find_dates
from agentkit.runtime.models.offline.document import Document
from agentkit.runtime.models.offline.filling import Reading, fill
from agentkit.runtime.models.offline.money import find_amounts
from agentkit.runtime.models.offline.turn import Turn
from agentkit.runtime.ports import ModelMessage, ModelRequest
from tests.runtime.models.asking import after, ask, play, said, tool

pytestmark = pytest.mark.asyncio_only

STRING, NUMBER = {"type": "string"}, {"type": "number"}
MODEL = Offline()

RECEIPT = """
Café Lumière
12 rue des Lilas, 75011 Paris
Ticket n° 4471
05/03/2026 12:41

2 x Menu du jour      29,80
1 x Eau minérale       4,20

Total TTC             34,00 €
dont TVA 10 %          3,09 €
"""
HOTEL = RECEIPT.replace("34,00", "340,00").replace("Café Lumière", "Hôtel Lumière")
NEWSLETTER = """
Big spring sale! Save up to 40% on all shoes, now from $29.
Read more on our site. You get this newsletter because you signed up. Unsubscribe here.
"""


def booking(name: str, **bounds: Any) -> Any:
    return tool(
        name,
        "Book an expense",
        vendor={**STRING, "description": "Who was paid"},
        amount={**NUMBER, "description": "Total with tax", **bounds},
        currency={**STRING, "pattern": "^[A-Z]{3}$"},
    )


SMALL = booking("book_expense", exclusiveMinimum=0, maximum=250)
LARGE = booking("book_large_expense", exclusiveMinimum=250)
PROMPT = "If the text shows an expense, book it with book_expense or book_large_expense."
WEATHER = tool("get_weather", "Current weather", city={**STRING, "description": "City name"})


# -- which tool ----------------------------------------------------------------------------------------------------


async def test_a_tool_whose_words_are_in_the_question_is_called():
    answer = await said(MODEL, ask("What is the weather in Paris?", WEATHER))
    assert answer.calls == [("get_weather", {"city": "Paris"})]
    assert answer.usage["stop_reason"] == "tool_calls"


async def test_the_amount_decides_between_two_tools_that_shut_each_other_out():
    assert (await said(MODEL, ask(RECEIPT, SMALL, LARGE, prompt=PROMPT))).calls == [
        ("book_expense", {"vendor": "Café Lumière", "amount": 34, "currency": "EUR"})
    ]
    assert (await said(MODEL, ask(HOTEL, SMALL, LARGE, prompt=PROMPT))).calls == [
        ("book_large_expense", {"vendor": "Hôtel Lumière", "amount": 340, "currency": "EUR"})
    ]


async def test_a_newsletter_is_not_booked():
    answer = await said(MODEL, ask(NEWSLETTER, SMALL, LARGE, prompt=PROMPT))
    assert answer.calls == []
    assert answer.text


async def test_tools_are_called_in_the_order_of_the_instructions_once_each():
    look = tool("lookup_vendor", "Find a vendor", vendor=STRING)
    made = await play(
        MODEL,
        ask(RECEIPT, SMALL, look, prompt="First lookup_vendor, then book_expense."),
        {"lookup_vendor": {"vendor_id": "V-7"}, "book_expense": {"booked": True}},
    )
    assert [name for name, _ in made] == ["lookup_vendor", "book_expense", ""]


async def test_what_a_tool_answered_fills_the_next_ones_arguments():
    look = tool("lookup_vendor", "Find a vendor", vendor=STRING)
    book = tool("book_expense", "Book it", vendor_id={**STRING, "pattern": "^V-"}, amount=NUMBER)
    made = await play(
        MODEL,
        ask(RECEIPT, book, look, prompt="Use book_expense after lookup_vendor."),
        {"lookup_vendor": {"vendor_id": "V-7", "cost_centre": "4210 Travel"}, "book_expense": "ok"},
    )
    assert made[:2] == [
        ("lookup_vendor", {"vendor": "Café Lumière"}),
        ("book_expense", {"vendor_id": "V-7", "amount": 34}),
    ]


async def test_a_failed_tool_is_not_tried_again():
    request = ask(RECEIPT, SMALL, prompt=PROMPT)
    answer = await said(MODEL, after(request, "book_expense", {}, "rejected by anna: too expensive"))
    assert answer.calls == []
    assert answer.text == "Book expense failed: rejected by anna: too expensive."


@pytest.mark.parametrize("order", ["Never call book_expense.", "Do not use book_expense here!"])
async def test_a_tool_that_the_instructions_forbid_is_not_called(order: str):
    assert (await said(MODEL, ask(RECEIPT, SMALL, prompt=order))).calls == []


async def test_a_tool_without_its_required_arguments_is_passed_over():
    blood = tool("book_expense", "Book", blood_group={**STRING, "pattern": "^(A|B|AB|0)[+-]$"})
    assert (await said(MODEL, ask(RECEIPT, blood, prompt=PROMPT))).calls == []


async def test_the_platforms_own_tools_are_left_alone():
    plan = tool("plan_create", "Write the plan", steps={"type": "array"})
    memory = tool("memory_getall", "Read everything")
    assert (await said(MODEL, ask("Write the plan and read everything", plan, memory))).calls == []


async def test_a_conversion_of_a_currency_to_itself_is_no_work():
    convert = tool("convert", "Convert", amount=NUMBER, from_currency=STRING, to_currency=STRING)
    prompt = "Use convert to convert into {}."
    assert (await said(MODEL, ask(RECEIPT, convert, prompt=prompt.format("EUR")))).calls == []
    assert (await said(MODEL, ask(RECEIPT, convert, prompt=prompt.format("USD")))).calls == [
        ("convert", {"amount": 34, "from_currency": "EUR", "to_currency": "USD"})
    ]


async def test_the_numbers_of_a_short_question_are_taken_in_their_order():
    add = tool("add", "Add two numbers", a=NUMBER, b=NUMBER)
    assert (await said(MODEL, ask("Please add 2 and 3.5", add))).calls == [("add", {"a": 2, "b": 3.5})]


# -- the output ----------------------------------------------------------------------------------------------------


async def test_a_turn_ends_with_finish_filled_from_text_and_results():
    end = tool("finish", summary=STRING, temp_c=NUMBER)
    made = await play(MODEL, ask("What is the weather in Paris?", WEATHER, end), {"get_weather": {"temp_c": 18}})
    assert made[-1] == ("finish", {"summary": "Get weather: temp c 18.", "temp_c": 18})


async def test_what_is_not_there_is_null_or_the_emptiest_valid_value():
    end = tool(
        "finish",
        none={"anyOf": [STRING, {"type": "null"}]},
        iban=STRING,
        nights={"type": "integer", "minimum": 1},
        kind={"enum": ["hotel", "other"]},
        seats={"type": "array", "items": STRING},
        due_date={**STRING, "format": "date"},
    )
    [(_, output)] = (await said(MODEL, ask("Nothing to see.", end))).calls
    assert output == {"none": None, "iban": "", "nights": 1, "kind": "other", "seats": [], "due_date": "1970-01-01"}


async def test_an_optional_property_that_is_not_there_is_left_out():
    end = tool("finish", required=["total"], total=NUMBER, iban=STRING)
    [(_, output)] = (await said(MODEL, ask(RECEIPT, end))).calls
    assert output == {"total": 34}


async def test_what_became_of_the_calls_is_part_of_the_output():
    end = tool("finish", booked={"type": "boolean"}, status={"enum": ["booked", "rejected", "not_an_expense"]})
    ok = await play(MODEL, ask(RECEIPT, SMALL, end, prompt=PROMPT), {"book_expense": {"booking": 7}})
    assert ok[-1][1] == {"booked": True, "status": "booked"}
    no = await play(MODEL, ask(RECEIPT, SMALL, end, prompt=PROMPT), {"book_expense": {"error": "rejected"}})
    assert no[-1][1] == {"booked": False, "status": "rejected"}
    never = await play(MODEL, ask(NEWSLETTER, SMALL, end, prompt=PROMPT), {})
    assert never[-1][1] == {"booked": False, "status": "not_an_expense"}


async def test_a_finish_of_one_text_says_what_would_be_said():
    end = tool("finish", result=STRING)
    made = await play(MODEL, ask("What is the weather in Paris?", WEATHER, end), {"get_weather": "18 degrees, sunny"})
    assert made[-1] == ("finish", {"result": "Get weather: 18 degrees, sunny."})


async def test_a_schema_without_finish_is_answered_as_json():
    schema = {"type": "object", "properties": {"total": NUMBER}, "required": ["total"]}
    assert (await said(MODEL, ask(RECEIPT, output_schema=schema))).text == '{"total":34}'


async def test_a_schema_that_nothing_can_fill_is_said_so():
    end = tool("finish", code={**STRING, "pattern": "^Z{9}$"})
    answer = await said(MODEL, ask(RECEIPT, end, output_schema=end.parameters))
    assert answer.calls == []
    assert answer.text.startswith("I cannot fill the output's schema")


NESTED = {
    "type": "object",
    "$defs": {
        "Money": {"type": "object", "properties": {"amount": NUMBER, "currency": STRING}, "required": ["amount"]}
    },
    "properties": {
        "total": {"$ref": "#/$defs/Money"},
        "purchased_at": {"type": "string", "format": "date-time"},
        "total_text": {"type": "string", "description": "Total amount"},
        "amount_cents": {"type": "integer", "description": "Total in cents"},
        "vat_rate": {"type": "number"},
        "number_of_items": {"type": "integer"},
        "items": {"type": "array", "items": STRING},
        "paid": {"type": "boolean"},
        "language": {"type": "string"},
    },
}


def test_nested_objects_and_other_forms_of_the_same_value_are_filled():
    reading = Reading(Document(RECEIPT), Turn(RECEIPT))
    assert fill(NESTED, reading, with_blanks=False) == {
        "total": {"amount": 34, "currency": "EUR"},
        "purchased_at": "2026-03-05T12:41:00Z",
        "total_text": "34.00",
        "amount_cents": 3400,
        "vat_rate": 10,
        "number_of_items": 2,
        "items": ["Menu du jour", "Eau minérale"],
        "paid": False,
        "language": "fr",
    }


# -- words ---------------------------------------------------------------------------------------------------------


async def test_an_empty_message_is_said_to_be_empty():
    assert (await said(MODEL, ask("  \n "))).text == "There is nothing to read: the message is empty."


async def test_images_are_not_pretended_to_be_seen():
    request = ModelRequest("extract", "", [ModelMessage("user", "", images=["data:image/png;base64,AA=="])])
    assert (await said(MODEL, request)).text == "There are only images, which this model cannot see."


async def test_a_question_it_has_no_tool_for_is_not_answered():
    text = (await said(MODEL, ask("What is the capital of France?", WEATHER))).text
    assert "have no knowledge of my own" in text
    assert "What is the capital of France?" in text


async def test_a_long_text_is_answered_with_its_own_first_sentences():
    text = "The bridge was closed on Monday. " + "Engineers looked at the northern pillar for a while. " * 12
    answer = await said(MODEL, ask(text))
    assert answer.text.startswith("The bridge was closed on Monday. Engineers")
    assert all(sentence in text for sentence in answer.text.split(". "))


async def test_the_answer_comes_in_several_deltas_with_words_counted_as_tokens():
    answer = await said(MODEL, ask("What is the capital of France?", prompt="Be brief."))
    assert answer.deltas > 3
    assert answer.usage["prompt_tokens"] == 8
    assert answer.usage["completion_tokens"] == len(answer.text.split())
    assert answer.usage["stop_reason"] == "stop"


async def test_the_same_request_gets_the_same_answer_with_the_same_call_id():
    first, again = [await said(MODEL, ask(RECEIPT, SMALL, prompt=PROMPT)) for _ in range(2)]
    assert first == again
    other = await said(MODEL, ask(HOTEL, LARGE, prompt=PROMPT))
    assert first.ids != other.ids


async def test_nothing_is_opened(monkeypatch: pytest.MonkeyPatch):
    request = ask(RECEIPT, SMALL, prompt=PROMPT)
    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.setattr("builtins.open", None)
    assert (await said(MODEL, request)).calls


async def test_the_provider_has_one_model():
    with pytest.raises(ModelNotFoundError, match="'offline/gpt'; the offline provider has 'offline/extract' alone"):
        await said(MODEL, ask("hi", model="gpt"))


# -- forms ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1.234,56 €", ("1234.56", "EUR")),
        ("$1,234.56", ("1234.56", "USD")),
        ("EUR 12.50", ("12.50", "EUR")),
        ("12,50 EUR", ("12.50", "EUR")),
        ("CHF 1'234.50", ("1234.50", "CHF")),
        ("Fr. 45.-", ("45", "CHF")),
        ("1 234,56 €", ("1234.56", "EUR")),
        ("-$5.00", ("-5.00", "USD")),
        ("5.00-", ("-5.00", None)),
        ("CA$ 20", ("20", "CAD")),
        ("kr 149,00 (Oslo)", ("149.00", "NOK")),
        ("£3", ("3", "GBP")),
    ],
)
def test_an_amount_is_read_in_its_national_form(text: str, amount: tuple[str, str | None]):
    [found] = find_amounts(text)
    assert (str(found.value), found.currency) == amount


@pytest.mark.parametrize("text", ["VAT 19 %", "10:30", "Order #12345", "05.03.2026", "0,75 l", "12 km", "A4"])
def test_what_is_no_amount_is_none(text: str):
    assert [each for each in find_amounts(text) if each.is_exact] == []


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-05",
        "2026-03-05T10:00:00Z",
        "05.03.2026",
        "5.3.26",
        "5 March 2026",
        "March 5th, 2026",
        "5. März 2026",
        "5 mars 2026",
        "5 de marzo de 2026",
        "5 marzo 2026",
        "5 maart 2026",
        "05-Mar-2026",
        "05MAR26",
        "05/03/2026",
    ],
)
def test_a_date_is_read_in_six_languages(text: str):
    assert [str(each.value) for each in find_dates(f"on {text}.", order="dmy")] == ["2026-03-05"]


def test_a_date_with_slashes_is_read_as_its_neighbours_are():
    assert str(Document("from 03/05/2026 to 25/05/2026").dates[0].value) == "2026-05-03"
    assert str(Document("from 03/05/2026 to 05/25/2026").dates[0].value) == "2026-03-05"
    assert str(Document("Total $5.00 on 03/05/2026").dates[0].value) == "2026-03-05"
    assert str(Document("Total £5.00 on 03/05/2026").dates[0].value) == "2026-05-03"


@given(st.text(max_size=400))
def test_no_text_breaks_it_and_what_it_fills_is_valid(text: str):
    schema = {
        "type": "object",
        "properties": {
            "vendor": STRING,
            "date": {"type": "string", "format": "date"},
            "total": NUMBER,
            "tax_rate": NUMBER,
            "items": {"type": "array", "items": {"type": "object", "properties": {"name": STRING, "price": NUMBER}}},
            "category": {"enum": ["travel", "meals"]},
            "is_expense": {"type": "boolean"},
            "email": {"type": "string", "format": "email"},
        },
        "required": ["vendor", "total", "date"],
    }
    filled = fill(schema, Reading(Document(text), Turn(text)), with_blanks=True)
    assert Draft202012Validator(schema).is_valid(filled)


@pytest.mark.parametrize("piece", ["total ", "invoice no ", "paid from Aa Bb ", "1.1.", '{"', "a@"])
def test_a_long_monotonous_text_takes_no_longer_than_another(piece: str):
    schema = tool("finish", vendor=STRING, total=NUMBER, invoice_number=STRING, summary=STRING).parameters
    text = piece * (60_000 // len(piece))
    begun = time.process_time()
    fill(schema, Reading(Document(text), Turn(text)), with_blanks=True)
    assert time.process_time() - begun < 8  # seconds; one of them is usual, and 20 and more where a step is quadratic
