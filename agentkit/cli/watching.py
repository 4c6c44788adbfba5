"""`agentkit approvals watch`: questions as they come and go, and answers to them at the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Final

import anyio
import typer

from agentkit.cli import question
from agentkit.cli.commands import ApiKey, AsJson, BaseUrl
from agentkit.cli.connection import connect, connect_async
from agentkit.cli.dialogue import Reply, Word, answer
from agentkit.cli.exits import DENIED, DONE, Mistake, code_of, text_of
from agentkit.cli.keyboard import Keyboard
from agentkit.cli.screen import Screen
from agentkit.cli.visible import visible_json
from agentkit.client.inference import AsyncInference
from agentkit.errors import AgentKitError, AlreadyResolvedError, APIError, NotFoundError, TransportError
from agentkit.wire import Interrupt, InterruptStatus

__all__ = ["watch"]

WIDTH: Final = 100
AGAIN_SECONDS: Final = 2.0  # until a server that was not reached is asked again
WAITING: Final = "waiting for questions; Ctrl-C ends"


def watch(
    prompt: Annotated[bool, typer.Option("--prompt", help="Ask at this terminal for an answer to each.")] = False,
    by: Annotated[str | None, typer.Option("--as", metavar="NAME", help="Who you are, where no key says it.")] = None,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> int:
    """Shows what waits for an answer, then every question and answer as it comes; a lost connection is made again.

    With --prompt each question is asked here. Who answers elsewhere meanwhile is told to you, and the next one comes.

    \b
    agentkit approvals watch
    agentkit approvals watch --json | jq .tool_name
    agentkit approvals watch --prompt --as ada
    """
    screen = Screen(as_json)
    if prompt:
        if as_json or not sys.stdin.isatty():
            raise Mistake("--prompt asks a person at a terminal; leave out --json, and let stdin be the terminal")
        return anyio.run(_asked_here, screen, by, base_url, api_key)
    with connect(base_url, api_key) as client, client.interrupts.stream() as stream:
        for each in stream:
            if as_json:
                sys.stdout.write(visible_json(each.to_wire()) + "\n")
            else:
                question.show(screen, [_news(each)])
            sys.stdout.flush()
    return DONE


# -- parts ---------------------------------------------------------------------------------------------------------


def _news(each: Interrupt) -> question.Line:
    """A change of a question, on one line."""
    at = datetime.now(UTC).strftime("%H:%M:%S")
    what = question.outcome(each)
    if each.status == InterruptStatus.PENDING:
        what = "escalated" if each.is_escalated else "reminded" if each.reminders else "asks"
    said = question.argument_line(each, width=WIDTH)
    return (
        (f"{at}  ", "dim"),
        (f"{each.id[: question.SHORT]}  ", "dim"),
        (question.name_of(each), "bold"),
        (f"  {said}  ", ""),
        (what, "yellow" if each.status == InterruptStatus.PENDING else "green"),
    )  # fmt: skip


async def _asked_here(screen: Screen, by: str | None, base_url: str | None, api_key: str | None) -> int:
    async with connect_async(base_url, api_key) as client:
        await _Desk(client, screen, by).run()
    return DONE


class _Desk:
    """A person at a terminal who is asked one question after the other."""

    def __init__(self, client: AsyncInference, screen: Screen, by: str | None) -> None:
        self._interrupts = client.interrupts
        self._screen = screen
        self._by = by
        self._known: dict[str, Interrupt] = {}  # what waits, what waits longest first
        self._passed: set[tuple[str, int, bool]] = set()  # skipped, as they were then
        self._news = anyio.Event()
        self._scope = anyio.CancelScope()
        self._error: AgentKitError | None = None

    async def run(self) -> None:
        """Until the person leaves. Raises what ended the stream."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._follow)
            with self._scope:
                await self._ask_all()
            group.cancel_scope.cancel()
        if self._error is not None:
            raise self._error

    async def _follow(self) -> None:
        try:
            async with self._interrupts.stream() as stream:
                async for each in stream:
                    self._note(each)
        except AgentKitError as error:
            self._error = error
            self._scope.cancel()

    def _note(self, each: Interrupt) -> None:
        """A question as it is now."""
        if each.status == InterruptStatus.PENDING:
            self._known[each.id] = each
        else:
            self._known.pop(each.id, None)
        self._news.set()
        self._news = anyio.Event()

    async def _ask_all(self) -> None:
        keyboard = Keyboard(self._screen)
        try:
            while await self._asked(keyboard, await self._next()):
                pass
        except AgentKitError as error:
            self._error = error

    async def _next(self) -> Interrupt:
        """What waits longest; the next that comes, where nothing waits."""
        if next(self._waiting(), None) is None:
            self._screen.say(WAITING)
        while (each := next(self._waiting(), None)) is None:
            await self._news.wait()
        return each

    def _waiting(self) -> Iterator[Interrupt]:
        return (each for each in self._known.values() if _as_it_is(each) not in self._passed)

    async def _asked(self, keyboard: Keyboard, each: Interrupt) -> bool:
        """The same as `_ask`; what is gone is not asked, and a server that is away is waited for."""
        try:
            return await self._ask(keyboard, each)
        except NotFoundError:
            self._known.pop(each.id, None)
        except TransportError as error:
            self._screen.say(text_of(error))
            await anyio.sleep(AGAIN_SECONDS)
        return True

    async def _ask(self, keyboard: Keyboard, each: Interrupt) -> bool:
        """One question. False: the person leaves."""
        asked = await self._interrupts.get(each.id)
        if asked.status != InterruptStatus.PENDING:
            self._known.pop(each.id, None)
            return True
        lines = question.told(asked, now=datetime.now(UTC), width=WIDTH, is_whole=False)
        question.show(self._screen, [(), *lines, ()], is_error=True)
        keyboard.forget()
        reply = await self._reply(keyboard, asked)
        if reply is None:
            now = await self._interrupts.get(asked.id)
            self._screen.say(f"\nmeanwhile {question.outcome(now)}")
            return True
        if reply.word is Word.QUIT:
            return False
        if reply.word is Word.SKIP:
            self._passed.add(_as_it_is(each))
            return True
        await self._send(asked, reply)
        return True

    async def _reply(self, keyboard: Keyboard, asked: Interrupt) -> Reply | None:
        """What the person decided; None where somebody else answered before."""
        found: list[Reply] = []
        async with anyio.create_task_group() as group:

            async def hold() -> None:
                found.append(await keyboard.hold(answer(asked)))
                group.cancel_scope.cancel()

            group.start_soon(hold)
            while asked.id in self._known:
                await self._news.wait()
            group.cancel_scope.cancel()
        return found[0] if found else None

    async def _send(self, asked: Interrupt, reply: Reply) -> None:
        """Sends the answer; what the server refuses is told, and the question comes again."""
        try:
            done = await self._sent(asked, reply)
        except AlreadyResolvedError as lost:
            winner = Interrupt.parse(dict(lost.winner))
            self._screen.say(f"already {question.outcome(winner)}")
        except APIError as error:
            self._screen.say(text_of(error))
            if code_of(error) == DENIED:
                self._passed.add(_as_it_is(asked))
            return
        else:
            self._screen.say(question.outcome(done))
        self._known.pop(asked.id, None)

    async def _sent(self, asked: Interrupt, reply: Reply) -> Interrupt:
        shown = asked.arguments_hash or None
        match reply.word:
            case Word.APPROVE:
                return await self._interrupts.approve(
                    asked.id, reply.arguments, by=self._by, always=reply.always, arguments_hash=shown
                )
            case Word.REJECT:
                return await self._interrupts.reject(asked.id, reply.text, by=self._by, arguments_hash=shown)
            case _:
                return await self._interrupts.respond(asked.id, reply.data, by=self._by, arguments_hash=shown)


def _as_it_is(each: Interrupt) -> tuple[str, int, bool]:
    """A question, as often as it was told: one that was skipped comes again with a reminder."""
    return each.id, each.reminders, each.is_escalated
