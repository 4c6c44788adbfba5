"""`ask_user`: a question to the person, answered freely, with a choice, or with a form (agentkit's own).

Clients that know only widgets show it as one and answer with its action; others answer the question itself, with a
value that fits its schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic_core import to_json

from agentkit.errors import SchemaError
from agentkit.protocol.lines import is_array, is_object
from agentkit.runtime.executors.internal import Answered, Category, Effect, InternalTool, widget
from agentkit.runtime.faults import Fault
from agentkit.runtime.patterns import misses
from agentkit.runtime.records import ChatRecord
from agentkit.tools.forms import ANSWER, FieldKind, FormError, FormField, fields, filled_in
from agentkit.tools.schema import check_schema
from agentkit.wire import InterruptReason

__all__ = ["CATEGORY", "DECLINE", "DECLINED", "NAME", "answer"]

NAME: Final = "ask_user"
DECLINED: Final = "the user declined to answer"
SEND: Final = "answer"  # the types of the form's two actions
DECLINE: Final = "decline"
MOST_SCHEMA_CHARS: Final = 20_000
MOST_RADIOS: Final = 6  # choices beyond are a list to select from
LONG_ROWS: Final = 5


def answer(arguments: Mapping[str, Any], given: Any) -> Answered:
    """What a person answered: a value that fits, the same as JSON text, or an action of the form.

    Raises Fault `validation_error` with paths.
    """
    schema = answer_schema(arguments)
    if (action := _action(given)) == DECLINE:
        return Answered(DECLINED, is_declined=True)
    value = _filled(schema, given.get("form_data")) if action == SEND else _direct(schema, given)
    if problems := misses(schema, value):
        raise _misfit(problems)
    text = value if isinstance(value, str) else to_json(value).decode()
    if len(text) > widget.MOST_CHARS:
        raise _misfit([{"path": "", "message": f"it has {len(text):,} characters; {widget.MOST_CHARS:,} at most"}])
    return Answered(text, value)


def answer_schema(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an answer to these arguments has to fit."""
    schema: Mapping[str, Any] | None = arguments.get("schema")
    if schema is not None:
        return schema
    if not (choices := arguments.get("choices")):
        return {"type": "string", "minLength": 1}
    if not arguments.get("multiple"):
        return {"type": "string", "enum": choices}
    return {"type": "array", "items": {"type": "string", "enum": choices}, "minItems": 1, "uniqueItems": True}


def _ask(chat: ChatRecord, arguments: Mapping[str, Any]) -> Effect:
    problems = list(_problems(arguments))
    if problems:
        return Effect(f"the question cannot be asked: {'; '.join(problems[:10])}", failed=True)
    shown = _widget(arguments)
    if too_much := list(widget.problems(shown)):
        return Effect(f"the question cannot be asked, its form is too large: {too_much[0]}", failed=True)
    asked = {name: arguments[name] for name in ("question", "choices") if arguments.get(name)}
    return Effect(
        widget=shown, waits_for=InterruptReason.WIDGET, asked=asked, answer_schema=answer_schema(arguments)
    )  # fmt: skip


# -- what may be asked ---------------------------------------------------------------------------------------------


def _problems(arguments: Mapping[str, Any]) -> Iterator[str]:
    """Why nobody could answer it, with paths."""
    schema, choices = arguments.get("schema"), arguments.get("choices")
    if not arguments["question"].strip():
        yield "question: it is empty"
    if schema is not None and choices:
        yield "schema: give `choices` or `schema`, not both"
    if arguments.get("multiple") and not choices:
        yield "multiple: there are no `choices`"
    if schema is not None:
        yield from _schema_problems(schema)


def _schema_problems(schema: Mapping[str, Any]) -> Iterator[str]:
    size = len(to_json(schema))
    if size > MOST_SCHEMA_CHARS:
        yield f"schema: it has {size:,} characters; {MOST_SCHEMA_CHARS:,} at most"
        return
    try:
        check_schema(schema)
    except SchemaError as error:
        yield str(error)
        return
    if schema.get("type") != "object" or not schema.get("properties"):
        yield "schema: it is of type 'object', with the fields of the form as its properties"


# -- the form ------------------------------------------------------------------------------------------------------


def _widget(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The question for clients that show widgets."""
    send = {"type": "button", "label": "Send", "submit": True, "action": {"type": SEND}}
    parts = [node for field in fields(answer_schema(arguments)) for node in _nodes(field)]
    return {
        "type": "ui",
        "children": [
            {"type": "text", "value": arguments["question"]},
            {"type": "form", "onSubmitAction": {"type": SEND}, "children": [*parts, send]},
        ],
        "actions": [{"label": "Decline", "action": {"type": DECLINE}}],
        "interactive": True,
    }


def _nodes(field: FormField) -> Iterator[dict[str, Any]]:
    """A field of the form, and what explains it."""
    if field.description:
        yield {"type": "caption", "value": field.description}
    named: dict[str, Any] = {"name": field.name} | ({"label": field.label} if field.name != ANSWER else {})
    match field.kind:
        case FieldKind.CHOICES:
            yield from _boxes(field)
            return
        case FieldKind.BOOLEAN:  # never `required`: an empty box is an answer
            yield {"type": "checkbox", **named, "defaultChecked": field.default is True}
            return
        case FieldKind.CHOICE:
            kind = "radio-group" if len(field.options) <= MOST_RADIOS else "select"
            yield _node(field, kind, named, options=[{"label": each, "value": each} for each, _ in field.options])
        case FieldKind.DATE:
            yield _node(field, "date-picker", named)
        case FieldKind.LONG_TEXT | FieldKind.LINES | FieldKind.JSON:
            yield _node(field, "textarea", named, rows=LONG_ROWS)
        case _:
            yield _node(field, "input", named)


def _node(field: FormField, kind: str, named: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    node = {"type": kind, **named, "required": field.is_required, **more}
    if field.hint:
        node["placeholder"] = field.hint
    if field.has_default and field.default is not None:
        node["defaultValue"] = _begins_with(field)
    return node


def _begins_with(field: FormField) -> str:
    if field.kind is FieldKind.CHOICE:
        return next((label for label, value in field.options if value == field.default), "")
    if field.kind is FieldKind.LINES and is_array(field.default):
        return "\n".join(map(str, field.default))
    return field.default if isinstance(field.default, str) else json.dumps(field.default, ensure_ascii=False)


def _boxes(field: FormField) -> Iterator[dict[str, Any]]:
    if field.name != ANSWER:
        yield {"type": "label", "value": field.label}
    chosen: Any = field.default if is_array(field.default) else []
    for place, (label, value) in enumerate(field.options):
        yield {"type": "checkbox", "name": field.part(place), "label": label, "defaultChecked": value in chosen}


# -- what may be answered ------------------------------------------------------------------------------------------


def _action(given: Any) -> str:
    """The type of the form's action, where the answer is one and no value."""
    if not is_object(given) or not given.keys() <= {"action", "form_data"}:
        return ""
    action = given.get("action")
    type_ = action if isinstance(action, str) else str(action.get("type") or "") if is_object(action) else ""
    is_whole = is_object(given.get("form_data")) if type_ == SEND else type_ == DECLINE and action != type_
    return type_ if is_whole or (type_ == DECLINE and "form_data" in given) else ""


def _filled(schema: Mapping[str, Any], form: Any) -> Any:
    try:
        return filled_in(schema, form)
    except FormError as error:
        problems = [{**each, "path": f"form_data.{each['path']}"} for each in error.errors]
        raise _misfit(problems) from None


def _direct(schema: Mapping[str, Any], given: Any) -> Any:
    """The value; of a text that is meant as JSON, what it says."""
    if not isinstance(given, str) or not misses(schema, given):
        return given
    try:
        return json.loads(given)
    except ValueError:
        return given


def _misfit(problems: list[dict[str, str]]) -> Fault:
    told = "; ".join(f"{each['path'] or '(answer)'}: {each['message']}" for each in problems)
    return Fault("validation_error", f"the answer does not fit the question: {told}", errors=problems)


_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "question": {"type": "string", "minLength": 1, "maxLength": 4000, "description": "In full, for the person"},
        "choices": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 500},
            "minItems": 1,
            "maxItems": 50,
            "uniqueItems": True,
            "description": "What they can answer, where that is known",
        },
        "multiple": {"type": "boolean", "description": "Whether several choices may be taken"},
        "schema": {
            "type": "object",
            "description": "Instead of choices, a form: a JSON Schema of type object with a property for each field "
            "(string, number, integer, boolean, enum; format date, email, uri or multi-line)",
        },
    },
    "required": ["question"],
    "additionalProperties": False,
}

CATEGORY = Category(
    id=NAME,
    description="Lets the agent ask the person a question, with choices or a form, and wait for the answer.",
    default_enabled=False,
    tools=(
        InternalTool(
            NAME,
            "Ask the user a question and wait for the answer: what they write, the choice they take, or the form they "
            "fill in. Ask only what you cannot find out, and everything at once.",
            _PARAMETERS,
            _ask,
            answer=answer,
            declined=DECLINED,
        ),
    ),
)
