"""`agentkit approvals`: what runs on a server ask people, and the answers."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, Final

import typer

from agentkit.cli import edits, question
from agentkit.cli.commands import ApiKey, AsJson, BaseUrl, Limit, Sure, add, confirm, group
from agentkit.cli.connection import connect
from agentkit.cli.dialogue import form
from agentkit.cli.exits import DONE, FAILED, Mistake
from agentkit.cli.inputs import SetOption, read_value
from agentkit.cli.keyboard import held
from agentkit.cli.screen import Screen, is_interactive
from agentkit.cli.visible import visible, visible_json, width_of
from agentkit.cli.watching import watch
from agentkit.client.inference import Inference
from agentkit.errors import AlreadyResolvedError, NotFoundError
from agentkit.wire import Always, Interrupt, InterruptStatus

__all__ = ["add_to"]

HELP = """What agents ask people before they go on, and the answers. The first answer counts.

\b
  agentkit approvals list
  agentkit approvals show 3f8k
  agentkit approvals approve 3f8k --note "within budget"
  agentkit approvals approve 3f8k --set amount=90
  agentkit approvals approve 3f8k --always prefix:command="git log" --for 2h
  agentkit approvals reject 3f8k --reason "wrong vendor"
  agentkit approvals respond 3f8k --text "it is booked already"
  agentkit approvals watch --prompt

ID is the beginning of a question's id, or of its call's. The server and the key: AGENTKIT_BASE_URL, INFERENCE_API_KEY.
"""

COLUMNS: Final = ("id", "tool", "arguments", "chat", "answers", "waits", "expires")
PLAIN_WIDTH: Final = 100  # where there is no terminal to ask
NARROWEST: Final = 12  # that arguments are cut to
PAGE: Final = 100  # questions at a time
WHOLE: Final = 26  # characters of an id (protocol.md 0.1)
SEARCHED: Final = 2_000  # questions that a short id is looked for in
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

Id = Annotated[str, typer.Argument(metavar="ID", help="As `list` prints it; its first characters are enough.")]
Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="Kept with the answer.")]
As = Annotated[str | None, typer.Option("--as", metavar="NAME", help="Who you are, where no key says it.")]


def add_to(root: typer.Typer) -> None:
    """Puts the words on the command line."""
    words = group(HELP)
    add(words, "list", list_questions)
    add(words, "show", show)
    add(words, "approve", approve)
    add(words, "reject", reject)
    add(words, "respond", respond)
    add(words, "watch", watch)
    root.add_typer(words, name="approvals")


def list_questions(
    status: Annotated[str, typer.Option(help="pending, resolved, expired, cancelled or all.")] = "pending",
    reason: Annotated[str | None, typer.Option(help="tool_approval, widget, confirmation, hook_gate, ...")] = None,
    chat: Annotated[str | None, typer.Option(metavar="ID", help="Only of this chat.")] = None,
    tool: Annotated[str | None, typer.Option(metavar="NAME", help="Only about calls of this tool.")] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only those that your key may answer.")] = False,
    limit: Limit = 50,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Lists questions, what waits longest first. With --json a line of JSON for each.

    \b
    agentkit approvals list --tool transfer --mine
    agentkit approvals list --status all --json | jq -r .decision
    """
    with connect(base_url, api_key) as client:
        every = client.interrupts.iterate(
            status=status, reason=reason, chat_id=chat, tool=tool, mine=mine, limit=min(limit, PAGE)
        )
        found = list(islice(every, limit))
    if as_json:
        for each in found:
            _json_line(each)
        return
    columns = COLUMNS if status == InterruptStatus.PENDING else (*COLUMNS, "status")
    Screen().table(columns, _rows(found, columns), records=[])
    if not found:
        Screen().say("nothing waits for an answer" if columns is COLUMNS else "there is no such question")


def show(id: Id, base_url: BaseUrl = None, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Shows a question: what would be done, with which arguments, what was said before, and how to answer.

    \b
    agentkit approvals show 3f8k
    """
    with connect(base_url, api_key) as client:
        found = _found(client, id)
    if as_json:
        sys.stdout.write(visible_json(found.to_wire(), indent=2) + "\n")
        return
    question.show(Screen(), question.told(found, now=datetime.now(UTC), width=_width()))
    if found.status == InterruptStatus.PENDING:
        question.show(Screen(), [(), *(((text, "dim"),) for text in _ways(found))])


def approve(
    id: Id,
    sets: SetOption = None,
    args: Annotated[
        str | None, typer.Option("--args", metavar="FILE|-|JSON", help="Other arguments, all of them.")
    ] = None,
    edit: Annotated[bool, typer.Option("--edit", help="Change the arguments in $EDITOR.")] = False,
    note: Note = "",
    by: As = None,
    always: Annotated[
        str | None,
        typer.Option(metavar="SCOPE", help="Do not ask again in this chat: tool, exact or prefix:ARGUMENT=TEXT."),
    ] = None,
    lasting: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="How long --always holds: 30m, 2h, 7d. [default: ever]")
    ] = None,
    yes: Sure = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> int:
    """Approves a call as it is, or with other arguments: they are checked, and shown beside the old ones first.

    The approval is for what this command saw: of a call that changed meanwhile the server refuses it.

    \b
    agentkit approvals approve 3f8k
    agentkit approvals approve 3f8k --set amount=90 --set to.name=Ada --yes
    agentkit approvals approve 3f8k --edit --note "typo in the name"
    agentkit approvals approve 3f8k --always tool --for 2h
    """
    rule = _rule(always, lasting)
    with connect(base_url, api_key) as client:
        found = _found(client, id)
        if question.is_form(found):
            raise Mistake(f"{found.id} is a question with an answer of its own: agentkit approvals respond {id}")
        if not _is_open(found):
            return FAILED
        if question.is_unknown(found) and (sets or args is not None or edit):
            raise Mistake(f"{found.id} may have run already: approving it runs it again with the arguments it had")
        arguments = edits.edited(found.arguments, sets=sets, args=args, by_editor=edit)
        edits.check_names(found.arguments, arguments, found.context.input_schema if found.context else None)
        changed = edits.diff(found.arguments, arguments)
        if changed:
            question.show(Screen(), changed, is_error=True)
            if not confirm("Approve with these arguments?", is_sure=yes):
                return FAILED
        return _answered(
            found,
            as_json,
            lambda: client.interrupts.approve(
                found.id,
                arguments if changed else None,
                note,
                by=by,
                always=rule,
                arguments_hash=found.arguments_hash or None,
            ),
        )


def reject(
    id: Id,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="The model reads it.")] = "",
    by: As = None,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> int:
    """Rejects a call, or declines a question. The model reads the reason.

    \b
    agentkit approvals reject 3f8k --reason "ask the customer first"
    """
    with connect(base_url, api_key) as client:
        found = _found(client, id)
        if not _is_open(found):
            return FAILED
        shown = found.arguments_hash or None
        return _answered(
            found, as_json, lambda: client.interrupts.reject(found.id, reason, by=by, arguments_hash=shown)
        )


def respond(
    id: Id,
    data: Annotated[str | None, typer.Option(metavar="JSON|@FILE|-", help="The answer.")] = None,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="The answer, where it is a text.")] = None,
    note: Note = "",
    by: As = None,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> int:
    """Answers a question, asking for each field at a terminal; or gives a call its result, so that it is not run.

    \b
    agentkit approvals respond 3f8k
    agentkit approvals respond 3f8k --data '{"city": "Rome", "nights": 2}'
    agentkit approvals respond 3f8k --text "it is booked already"
    """
    if data is not None and text is not None:
        raise Mistake("--data and --text are two answers; give one")
    with connect(base_url, api_key) as client:
        found = _found(client, id)
        if not _is_open(found):
            return FAILED
        value: Any = text
        if data is not None:
            value = read_value(data, option="--data")
        elif text is None:
            value = _typed(found)
        shown = found.arguments_hash or None
        return _answered(
            found, as_json, lambda: client.interrupts.respond(found.id, value, note, by=by, arguments_hash=shown)
        )


# -- parts ---------------------------------------------------------------------------------------------------------


def _found(client: Inference, id: str) -> Interrupt:
    """The one question whose id, or whose call's id, begins so. Raises NotFoundError, Mistake for several."""
    if len(id) == WHOLE:
        with suppress(NotFoundError):  # the call's, then
            return client.interrupts.get(id)
    for status in (InterruptStatus.PENDING.value, "all"):
        seen = islice(client.interrupts.iterate(status=status, limit=PAGE), SEARCHED)
        fitting = [each for each in seen if id and (each.id.startswith(id) or each.resource_id.startswith(id))]
        exact = [each for each in fitting if each.id == id]
        if len(fitting) > 1 and not exact:
            ids = ", ".join(each.id[: max(question.SHORT, len(id) + 2)] for each in fitting[:5])
            raise Mistake(f"{id!r} is the beginning of {len(fitting)} questions ({ids}, ...); type more of it")
        if fitting:
            return client.interrupts.get((exact or fitting)[0].id)
    if not id:
        raise NotFoundError(404, "there is no such question; agentkit approvals list shows what waits")
    return client.interrupts.get(id)


def _is_open(found: Interrupt) -> bool:
    if found.status != InterruptStatus.PENDING:
        Screen().say(f"already {question.outcome(found)}")
    return found.status == InterruptStatus.PENDING


def _answered(found: Interrupt, as_json: bool, send: Callable[[], Interrupt]) -> int:
    """Sends the answer, says what came of it; 1 where somebody was first."""
    try:
        done = send()
    except AlreadyResolvedError as lost:
        winner = Interrupt.parse(dict(lost.winner))
        Screen().say(f"already {question.outcome(winner)}" if winner.id else visible(lost.message))
        return FAILED
    if as_json:
        _json_line(done)
    else:
        Screen().say(f"{question.outcome(done)}: {question.name_of(found)} {question.argument_line(found, width=80)}")
    return DONE


def _typed(found: Interrupt) -> Any:
    """The answer that a person types at the terminal. Raises Mistake."""
    if not question.is_form(found):
        raise Mistake('say what the call\'s result is: --text "..." or --data JSON')
    if not sys.stdin.isatty():
        raise Mistake("nobody can be asked here; give the answer with --data JSON or --text TEXT")
    question.show(Screen(), question.told(found, now=datetime.now(UTC), width=_width()), is_error=True)
    reply = held(form(found), Screen())
    if reply is None:
        raise Mistake("no answer was sent")
    return reply.data


def _rule(scope: str | None, lasting: str | None) -> Always | None:
    """What `--always` and `--for` say. Raises Mistake."""
    if scope is None:
        if lasting is not None:
            raise Mistake("--for says how long --always holds; give --always too")
        return None
    told: dict[str, Any] = {"seconds": _seconds(lasting)} if lasting is not None else {}
    if scope in ("tool", "exact"):
        return Always.parse({"scope": scope, **told})
    kind, _, rest = scope.partition(":")
    argument, equals, prefix = rest.partition("=")
    if kind != "prefix" or not equals or not argument or not prefix:
        raise Mistake(f"--always {scope!r}: it is tool, exact or prefix:ARGUMENT=TEXT")
    return Always.parse({"scope": kind, "argument": argument, "prefix": prefix, **told})


def _seconds(text: str) -> float:
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isdecimal() or int(number) == 0:
        raise Mistake(f"--for {text!r}: write it as 30m, 2h or 7d")
    return float(int(number) * _UNITS[unit])


def _rows(found: list[Interrupt], columns: tuple[str, ...]) -> list[list[str]]:
    """The cells of the table; the arguments have what is left of the width."""
    now = datetime.now(UTC)
    rows = [_row(each, now)[: len(columns)] for each in found]
    if not is_interactive(sys.stdout):
        return rows
    place = columns.index("arguments")
    taken = [max(map(width_of, (name, *(row[at] for row in rows)))) for at, name in enumerate(columns) if at != place]
    left = _width() - sum(taken) - 2 * len(taken)
    for row, each in zip(rows, found, strict=True):
        row[place] = question.argument_line(each, width=max(NARROWEST, left))
    return rows


def _row(each: Interrupt, now: datetime) -> list[str]:
    expires = question.seconds_until(each.expires_at, now)
    return [
        each.id[: question.SHORT],
        question.name_of(each),
        question.argument_line(each),
        each.chat_id[: question.SHORT],
        visible(", ".join(each.approvers)) if each.approvers else "anyone",
        question.ago(each.created_at, now),
        "" if expires is None else question.duration(expires),
        str(each.status) if each.status == InterruptStatus.PENDING else question.outcome(each),
    ]


def _ways(found: Interrupt) -> list[str]:
    """How to answer it."""
    id = found.id[: question.SHORT]
    if question.is_form(found):
        ways = [f"respond {id}", f'reject {id} --reason "..."']
    elif question.is_unknown(found):
        ways = [
            f"approve {id}   runs it again", f"reject {id}    does not",
            f'respond {id} --text "..."   where you know what came of it',
        ]  # fmt: skip
    else:
        ways = [f"approve {id}", f"approve {id} --set KEY=VALUE", f'reject {id} --reason "..."',
                f'respond {id} --text "..."   instead of running it']  # fmt: skip
    return [f"agentkit approvals {each}" for each in ways]


def _width() -> int:
    return shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns if is_interactive(sys.stdout) else PLAIN_WIDTH


def _json_line(each: Interrupt) -> None:
    sys.stdout.write(visible_json(each.to_wire()) + "\n")
    sys.stdout.flush()
