"""What people, clients, clocks and crashes may do to approvals, at random, beside a model that says what must be true.

The model (`truth`) is plain Python and knows the rules alone; the platform is the real one (`lives`). After
each step the rows must be what the model says: of every chat the step touched, and of every one that waits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agentkit.runtime.asking.approvers import Approver
from agentkit.runtime.asking.inbox import Wanted
from agentkit.runtime.faults import Fault
from agentkit.runtime.ports import Reading
from agentkit.runtime.records import InvocationRecord
from agentkit.wire import Always, CursorListRequest, Decide, RejectTool, ResolveInterrupt, SubmitToolResult
from tests.trust.clock import Clock
from tests.trust.lives import Lives
from tests.trust.truth import AGENT, BOSS, FINANCE, KINDS, Call, Chat, Question, Rows, script, told
from tests.trust.world import OWNER, World

__all__ = ["Approving"]

MOST_CHATS: Final = 4
PICK: Final = st.integers(0, 7)
GROUPS: Final = st.sampled_from([FINANCE, FINANCE, BOSS, frozenset[str]()])
ACT = Callable[[World], Coroutine[Any, Any, Any]]


class Approving(RuleBasedStateMachine):
    """Chats, approvals, results, time, stops, restarts and crashes."""

    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="agentkit-trust-")
        self.clock = Clock()
        self.lives = Lives(Path(self.folder.name), self.clock, script)
        self.chats: list[Chat] = []
        self.answered: dict[str, dict[str, Any]] = {}
        self.count = 0

    def teardown(self) -> None:
        try:
            for chat in self.chats:
                self.expect(chat)
                self.lives.do(lambda world, chat=chat: self.check_log(world, chat))
        finally:
            self.lives.close()
            self.folder.cleanup()

    # -- rules: messages and results -------------------------------------------------------------------------------

    @rule(which=PICK, names=st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=3))
    def say(self, which: int, names: list[str]) -> None:
        idle = [each for each in self.chats if each.status == "idle"]
        if len(self.chats) < MOST_CHATS and (not idle or which == 0):
            self.chats.append(Chat())
            idle = self.chats[-1:]
        elif not idle:
            return
        chat = idle[which % len(idle)]
        self.count += 1
        chat.calls = [Call(name, f"n{self.count}_{place}") for place, name in enumerate(names)]
        chat.is_stopped = False
        text = " ".join(f"{each.name}:{each.amount}" for each in chat.calls)
        chat.id = self.lives.do(lambda world: world.say(AGENT, text, chat_id=chat.id or None))
        for each in chat.calls:
            if each.kind.asks and each.name not in chat.always:
                each.ask(self.clock.now)
            else:
                each.go_on()
        self.expect(chat)

    @precondition(lambda self: self.calls("out"))
    @rule(which=PICK, dies=st.booleans())
    def submit(self, which: int, dies: bool) -> None:
        chat, each = self.pick(which, self.calls("out"))
        self.act(lambda world: self.post(world, each, "found"), dies="commit" if dies else "", of=each)
        each.end("completed", "found")
        self.expect_all(chat)

    @precondition(lambda self: self.calls("completed"))
    @rule(which=PICK, same=st.booleans())
    def submit_late(self, which: int, same: bool) -> None:
        _, each = self.pick(which, self.calls("completed"))
        code = self.refusal(lambda world: self.post(world, each, each.result or "" if same else "something else"))
        assert code == ("" if same else "already_submitted")

    @precondition(lambda self: self.calls("asked"))
    @rule(which=PICK)
    def submit_early(self, which: int) -> None:
        _, each = self.pick(which, self.calls("asked"))
        assert self.refusal(lambda world: self.post(world, each, "sneaked in")) == "invalid_transition"

    @precondition(lambda self: self.calls("running"))
    @rule(which=PICK)
    def release(self, which: int) -> None:
        chat, each = self.pick(which, self.calls("running"))
        self.lives.release(each.id)
        each.end("completed", f"did {each.amount}")
        self.expect(chat)

    # -- rules: answers --------------------------------------------------------------------------------------------

    @precondition(lambda self: self.calls("asked"))
    @rule(
        which=PICK,
        groups=GROUPS,
        edits=st.booleans(),
        always=st.sampled_from(["", "", "", "tool"]),
        dies=st.sampled_from(["", "", "commit", "before", "after"]),
        by_call=st.booleans(),
    )
    def approve(self, which: int, groups: frozenset[str], edits: bool, always: str, dies: str, by_call: bool) -> None:
        chat, each = self.pick(which, self.calls("asked"))
        question = each.question
        is_sticky = bool(always) and not question.is_unknown
        body: dict[str, Any] = {"arguments": {"q": f"{each.amount}e"}} if edits and not question.is_unknown else {}
        body |= {"always": Always(scope=always)} if is_sticky else {}

        async def allow(world: World) -> None:
            person = Approver("ann", groups)
            if by_call:
                await world.platform.approvals.invoke(OWNER, each.id, Decide(**body), by=person)
            else:
                given = ResolveInterrupt(decision="allow", **body)
                await world.platform.approvals.resolve(OWNER, question.id, given, by=person)

        if by_call and question.is_unknown:  # a yes that names the call alone may be an earlier one, sent again
            assert self.refusal(allow) == "conflict"
            return
        if not question.may_answer(groups):
            assert self.refusal(allow) == "forbidden"
            return
        is_made_here = each.kind.type == "http"
        self.act(allow, dies=dies if is_made_here or dies == "commit" else "", of=each)
        is_edited = "arguments" in body
        each.amount = f"{each.amount}e" if is_edited else each.amount
        question.close("edited" if is_edited else "approved")
        chat.always |= {each.name} if is_sticky else set()
        if is_made_here and dies in ("before", "after"):
            each.attempt += 1
            each.made += [(each.attempt, each.amount)] * (dies == "after")
            each.ask(self.clock.now, is_unknown=True)
        else:
            each.go_on()
        self.expect_all(chat)

    @precondition(lambda self: self.calls("asked"))
    @rule(which=PICK, groups=GROUPS, dies=st.booleans())
    def reject(self, which: int, groups: frozenset[str], dies: bool) -> None:
        chat, each = self.pick(which, self.calls("asked"))
        question = each.question

        async def deny(world: World) -> None:
            body = RejectTool(reason="no")
            await world.platform.approvals.reject(OWNER, each.id, body, by=Approver("ben", groups))

        if not question.may_answer(groups):
            assert self.refusal(deny) == "forbidden"
            return
        self.act(deny, dies="commit" if dies else "", of=each)
        question.close("rejected")
        self.end_unmade(each, question)
        self.expect_all(chat)

    @precondition(lambda self: self.calls("asked"))
    @rule(which=PICK, groups=GROUPS, dies=st.booleans())
    def respond(self, which: int, groups: frozenset[str], dies: bool) -> None:
        chat, each = self.pick(which, self.calls("asked"))
        question = each.question

        async def answer(world: World) -> None:
            body = ResolveInterrupt(decision="respond", data="by hand")
            await world.platform.approvals.resolve(OWNER, question.id, body, by=Approver("eve", groups))

        if not question.may_answer(groups):
            assert self.refusal(answer) == "forbidden"
            return
        self.act(answer, dies="commit" if dies else "", of=each)
        question.close("responded")
        each.end("completed", "by hand")
        self.expect_all(chat)

    @precondition(lambda self: self.closed())
    @rule(which=st.integers(0, 63), decision=st.sampled_from(["allow", "deny", "respond"]))
    def answer_late(self, which: int, decision: str) -> None:
        closed = self.closed()
        question = closed[which % len(closed)]
        body = ResolveInterrupt(decision=decision, data="late" if decision == "respond" else None)

        async def answer(world: World) -> None:
            await world.platform.approvals.resolve(OWNER, question.id, body, by=Approver("late"))

        fault = self.fault(answer)
        assert fault is not None and fault.code == "already_resolved"
        assert fault.members["winner"]["decision"] == question.decision

    @precondition(lambda self: self.calls("asked"))
    @rule(which=PICK, decision=st.sampled_from(["allow", "deny", "respond"]))
    def answer_for_other_arguments(self, which: int, decision: str) -> None:
        _, each = self.pick(which, self.calls("asked"))
        body = ResolveInterrupt(decision=decision, data="x", arguments_hash="0" * 64)

        async def answer(world: World) -> None:
            await world.platform.approvals.resolve(OWNER, each.question.id, body, by=Approver("old"))

        assert self.refusal(answer) == "conflict"

    @precondition(lambda self: any(each.question.is_unknown for _, each in self.calls("asked")))
    @rule(which=PICK)
    def answer_unknown_with_the_old_yes(self, which: int) -> None:
        """A yes to the call as it was first shown is none to making it again."""
        _, each = self.pick(which, [found for found in self.calls("asked") if found[1].question.is_unknown])

        async def again(world: World) -> None:
            [call_] = await world.find(InvocationRecord, id=each.id)
            body = Decide(arguments_hash=call_.arguments_hash)
            await world.platform.approvals.invoke(OWNER, each.id, body, by=Approver("ann"))

        assert self.refusal(again) == "conflict"

    # -- rules: time, stops, ends ----------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 10, 29, 31, 45, 61, 101, 90_000]))
    def forward(self, seconds: int) -> None:
        self.lives.do(lambda world: self.pass_(seconds))
        self.meet()
        self.expect_all()

    @precondition(lambda self: self.chats)
    @rule(which=PICK, dies=st.booleans())
    def stop(self, which: int, dies: bool) -> None:
        chat = self.chats[which % len(self.chats)]
        is_idle = chat.status == "idle"

        async def halt(world: World) -> None:
            await world.platform.chats.stop(OWNER, chat.id)

        is_dead = dies and not is_idle
        if is_dead:
            self.lives.do_and_die(halt, at="commit", of=next(each.id for each in chat.calls if each.is_open))
        else:
            self.lives.do(halt)
        if not is_idle:
            chat.is_stopped = True
        for each in [each for each in chat.calls if each.is_open]:
            if each.status == "asked":
                each.question.close(None, "cancelled")
            each.end("cancelled", None)
        if is_dead:
            self.lose()
        self.expect_all(chat)

    @precondition(lambda self: self.chats)
    @rule(in_order=st.booleans(), seconds=st.sampled_from([0, 0, 40, 70, 90_000]))
    def restart(self, in_order: bool, seconds: int) -> None:
        self.lives.restart(in_order=in_order, after=lambda: self.clock.forward(seconds))
        self.lose()
        self.meet()
        self.expect_all()

    # -- invariants ------------------------------------------------------------------------------------------------

    @invariant()
    def the_inbox_is_what_waits(self) -> None:
        type(self).steps += 1
        pending = [each.question for _, each in self.calls("asked")]

        async def look(world: World) -> list[dict[str, Any]]:
            page = await world.platform.inbox.page(OWNER, CursorListRequest(limit=100), Wanted(), by=Approver("ann"))
            return list(page["items"])

        items = self.lives.do(look)
        assert sorted(each["id"] for each in items) == sorted(each.id for each in pending)
        assert [each["created_at"] for each in items] == sorted(each["created_at"] for each in items)

    @invariant()
    def every_call_was_carried_out_as_often_as_it_was_allowed(self) -> None:
        keys: dict[tuple[str, str], set[str]] = {}
        for each in self.lives.ledger:
            keys.setdefault((each.invocation_id, each.amount), set()).add(each.key)
        for chat in self.chats:
            for one in chat.calls:
                assert self.made(one.id) == one.made, one
        assert all(len(found) == 1 for found in keys.values()), "the key changed between two attempts"
        assert len({key for found in keys.values() for key in found}) == len(keys)

    # -- parts -----------------------------------------------------------------------------------------------------

    def calls(self, status: str) -> list[tuple[Chat, Call]]:
        return [(chat, each) for chat in self.chats for each in chat.calls if each.status == status]

    def closed(self) -> list[Question]:
        return [
            question
            for chat in self.chats
            for each in chat.calls
            for question in each.questions
            if not question.is_pending
        ]

    def pick(self, which: int, found: list[tuple[Chat, Call]]) -> tuple[Chat, Call]:
        return found[which % len(found)]

    def end_unmade(self, each: Call, question: Question, *, expired: bool = False) -> None:
        each.end("cancelled", None)

    async def pass_(self, seconds: float) -> None:
        self.clock.forward(seconds)

    async def post(self, world: World, each: Call, result: str) -> None:
        await world.platform.chats.submit_result(OWNER, each.id, SubmitToolResult(result=result))

    def act(self, act: ACT, *, dies: str, of: Call) -> None:
        """Does it; where the process dies of it, the calls under way are lost, and another one goes on."""
        if not dies:
            self.lives.do(act)
            return
        self.lives.do_and_die(act, at=dies, of=of.id)
        self.lose()

    def lose(self) -> None:
        """What a process that is gone had under way."""
        for _, each in self.calls("running"):
            each.lose(self.clock.now)

    def meet(self) -> None:
        """What is due by now."""
        now = self.clock.now
        for _, each in self.calls("asked"):
            question = each.question
            if question.is_over(now):
                question.close("expired", "expired")
                self.end_unmade(each, question, expired=True)
            else:
                question.meet(now)

    def fault(self, act: ACT) -> Fault | None:
        try:
            self.lives.do(act)
        except Fault as fault:
            return fault
        return None

    def refusal(self, act: ACT) -> str:
        found = self.fault(act)
        return found.code if found else ""

    def made(self, call_id: str) -> list[tuple[int, str]]:
        """How often a call was carried out, by the ledger: each attempt with its amount."""
        return [(each.attempt, each.amount) for each in self.lives.ledger if each.invocation_id == call_id]

    # -- comparing -------------------------------------------------------------------------------------------------

    def expect_all(self, *touched: Chat) -> None:
        """What was touched, and everything that waits, is as it must be."""
        self.expect(*(each for each in self.chats if each in touched or each.status != "idle" or not touched))

    def expect(self, *chats: Chat) -> None:
        """The rows are what the model says, soon."""
        known = [each for each in chats if each.id]

        def look(tx: Reading) -> list[Rows] | None:
            found: list[Rows] = []
            for chat in known:
                rows = Rows.of(tx, chat)
                is_made = [self.made(each.id) for each in rows.calls] == [each.made for each in chat.calls]
                if not (is_made and rows.said == told(chat)):
                    return None
                found.append(rows)
            return found

        async def wait(world: World) -> None:
            try:
                found = await world.until(look)
            except TimeoutError:
                raise AssertionError(await world.store.read(lambda tx: self.compared(tx, known))) from None
            for chat, rows in zip(known, found, strict=True):
                self.learn(chat, rows)

        if known:
            self.lives.do(wait)

    def compared(self, tx: Reading, chats: Sequence[Chat]) -> str:
        """What there is of these chats, beside what must be."""
        lines: list[str] = []
        for chat in chats:
            found = Rows.of(tx, chat)
            made = [self.made(each.id) for each in found.calls]
            must = [each.made for each in chat.calls]
            lines += [f"there is  {found.said} {made}", f"must be   {told(chat)} {must}"]
        return "\n".join(["", *lines])

    def learn(self, chat: Chat, rows: Rows) -> None:
        """The ids of calls and questions; an answered question never changes again."""
        for each, row in zip(chat.calls, rows.calls, strict=True):
            each.id = row.id
            assert len(row.journal) == row.attempt, row.journal
            for question, found in zip(each.questions, rows.about(row.id), strict=True):
                question.id = found.id
        for found in rows.asked:
            if found.status != "pending":
                body = found.model_dump(mode="json")
                assert self.answered.setdefault(found.id, body) == body

    async def check_log(self, world: World, chat: Chat) -> None:
        """The last thing that the chat's log tells of each row is what the row says."""
        log = await world.store.read(lambda tx: tx.events(chat.id, limit=100_000))
        assert [each.seq for each in log] == list(range(log[0].seq, log[0].seq + len(log)))
        [*_, last] = [each.data for each in log if each.name == "chats"]
        assert last["status"] == chat.status
        assert len(last["pending_interrupts"]) == sum(each.status == "asked" for each in chat.calls)
        invocations = {
            each["id"]: each["status"]
            for event in log
            if event.name == "chat_messages"
            for each in event.data["tool_invocations"]
        }
        rows = {each.id: each.status.value for each in await world.calls(chat.id)}
        assert invocations == rows
