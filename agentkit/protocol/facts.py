"""What is known of a turn so far: whose run it is, how its messages stand, and what it waits for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from agentkit.protocol.calls import Call, Calls
from agentkit.protocol.news import Accepted, Invocation, Message, Object, Phase, Reading
from agentkit.protocol.verdicts import Verdicts

__all__ = ["Facts"]


@dataclass
class Facts:
    """Facts only grow: a stale copy of a message does not make it unfinished again.

    `follows`: the chat had turns before, so an idle reading may be theirs. `attached`: we sent nothing; whatever the
    chat does is ours. `proof`: the first fetch that knows whether the run is over, once we saw it begin or answer.
    `verdicts`: what the program's own rules say of what is asked; no person is waited for while they do.
    """

    follows: bool = False
    attached: bool = False
    run_id: str | None = None
    user_message_id: str | None = None
    assistant_id: str | None = None
    last: Reading | None = None  # the latest that was about this turn's run
    was_busy: bool = False
    was_busy_on_stream: bool = False
    proof: int | None = None
    messages: dict[str, Message] = field(default_factory=dict[str, Message])
    invocations: dict[str, Invocation] = field(default_factory=dict[str, Invocation])
    below: dict[str, dict[str, Invocation]] = field(default_factory=dict[str, dict[str, Invocation]])  # by their chat
    interrupts: Sequence[Object] = ()
    verdicts: Verdicts = field(default_factory=Verdicts)
    _from_order: int | None = None

    # -- learning ----------------------------------------------------------------------------------------------------

    def learn_accepted(self, accepted: Accepted) -> None:
        """The answer of the POST: the message we wait for, and maybe the run. What the stream said of it is newer."""
        self.run_id = self.run_id or accepted.run_id
        self.user_message_id = accepted.user.id if accepted.user else None
        self.assistant_id = accepted.assistant.id if accepted.assistant else None
        self._from_order = next((each.order for each in (accepted.assistant, accepted.user) if each), None)
        if accepted.assistant:
            self.messages.setdefault(accepted.assistant.id, accepted.assistant)
        for message in self.messages.values():
            self._learn_run_of(message)

    def learn_message(self, message: Message) -> None:
        """A message as heard, whole or in part."""
        known = self.messages.get(message.id)
        if known is not None:
            message = replace(
                message,
                role=message.role or known.role,
                status=known.status if known.is_over or not message.status else message.status,
                order=known.order if message.order is None else message.order,
                run_id=message.run_id or known.run_id,
            )
        self.messages[message.id] = replace(message, invocations=())
        self._learn_run_of(message)

    def learn_invocation(self, invocation: Invocation) -> Invocation:
        """An invocation as heard; returns what is known of it now."""
        known = self.invocations.get(invocation.id)
        if known is None or not known.is_over:
            self.invocations[invocation.id] = invocation
        return self.invocations[invocation.id]

    def learn_below(self, chat_id: str, invocation: Invocation) -> None:
        """An invocation in the chat of an agent below, as heard."""
        known = self.below.setdefault(chat_id, {})
        if invocation.id not in known or not known[invocation.id].is_over:
            known[invocation.id] = invocation

    def learn_reading(self, reading: Reading, *, by_stream: bool, is_stale: bool, next_fetch: int) -> None:
        """Which run is ours, where that can be told for certain, and that it was seen at work.

        From then on an idle reading means something: on the stream, or by a fetch sent from now on. One that is older
        than what was heard says no more than that.
        """
        if self.run_id is None and reading.run_id and (self._is_asked_for(reading) or self._is_attached_to(reading)):
            self.run_id = reading.run_id
        if reading.phase is None or self.is_another(reading) or self.is_over(reading):
            return
        self.last = self.last if is_stale else reading
        self.was_busy = True
        self.was_busy_on_stream = self.was_busy_on_stream or by_stream
        self.learn_proof(next_fetch)

    def learn_interrupts(self, reading: Reading) -> None:
        """What waits for a person, by the chat; a run that works has nothing waiting."""
        if reading.interrupts is not None:
            self.interrupts = reading.interrupts
        elif reading.phase is Phase.ACTIVE:
            self.interrupts = ()

    def learn_proof(self, next_fetch: int) -> None:
        """A fetch sent from now on can tell whether the run is over."""
        self.proof = next_fetch if self.proof is None else self.proof

    def _learn_run_of(self, message: Message) -> None:
        if self.run_id is None and message.run_id and message.id in (self.assistant_id, self.user_message_id):
            self.run_id = message.run_id

    def _is_asked_for(self, reading: Reading) -> bool:
        return self.user_message_id is not None and reading.user_message_id == self.user_message_id

    def _is_attached_to(self, reading: Reading) -> bool:
        return self.attached and reading.phase in (Phase.ACTIVE, Phase.WAITS)

    # -- questions ---------------------------------------------------------------------------------------------------

    def is_named(self, reading: Reading) -> bool:
        """Whether the reading is about our run for certain."""
        return self.run_id is not None and reading.run_id == self.run_id

    def is_another(self, reading: Reading) -> bool:
        """Whether the reading is about some other run for certain."""
        if self.run_id and reading.run_id:
            return reading.run_id != self.run_id
        return bool(
            self.user_message_id and reading.user_message_id and reading.user_message_id != self.user_message_id
        )

    def is_over(self, reading: Reading) -> bool:
        """Whether the reading says that a run is over which may be ours."""
        return reading.phase is Phase.OVER and (self.is_named(reading) or not reading.is_queued)

    @property
    def answer(self) -> Message | None:
        """This turn's last assistant message as far as we heard."""
        return max(filter(self._is_ours, self.messages.values()), key=_order, default=None)

    def is_invocation_over(self, id_: str) -> bool:
        """Whether a call is known to have its result."""
        known = self.invocations.get(id_)
        return known is not None and known.is_over

    def is_message_over(self, id_: str) -> bool:
        """Whether that message is known to be finished."""
        message = self.messages.get(id_)
        return message is not None and message.is_over

    @property
    def is_answer_pending(self) -> bool:
        """Whether that message is known to be unfinished."""
        answer = self.answer
        return answer is not None and answer.status == "pending"

    @property
    def is_answer_over(self) -> bool:
        """Whether that message is known to be finished."""
        answer = self.answer
        return answer is not None and answer.is_over

    def _is_ours(self, message: Message) -> bool:
        if message.id == self.assistant_id:
            return True
        if message.role != "assistant":
            return False
        if self.run_id and message.run_id:
            return message.run_id == self.run_id
        return self.attached or self._is_in_turn(message.order)

    def _is_in_turn(self, order: int | None) -> bool:
        """Whether a message of that order comes after ours and before the next question."""
        if self._from_order is None or order is None or order < self._from_order:
            return False
        asked = (each.order for each in self.messages.values() if each.role == "user" and each.order is not None)
        return not any(self._from_order < each <= order for each in asked)

    def is_person_needed(self, calls: Calls) -> bool:
        """Whether something waits that neither the platform nor a handler here moves on."""
        return bool(self.waiting_interrupts() or self.waiting_invocations(calls))

    def has_answered(self, calls: Calls) -> bool:
        """Whether a handler here answered a call of this turn, or could not, or a rule here allowed one."""
        below = (id_ for invocations in self.below.values() for id_ in invocations)
        return any(calls.get(id_) in (Call.ANSWERED, Call.REPORTED) for id_ in self.invocations) or any(
            self.verdicts.has_allowed_on(id_) for id_ in (*self.invocations, *below)
        )

    def is_all_left(self, calls: Calls) -> bool:
        """Whether a client tool that nobody here handles waits, here or below, and nothing else is under way.

        The platform calls such a run working (protocol.md 7.2 rule 6).
        """
        waiting = [*self.waiting_invocations(calls), *self.waiting_below(calls)]
        is_left = any(calls.get(each.id) is Call.LEFT for each in waiting)
        return is_left and self._is_stuck(self.invocations, {each.id for each in waiting})

    def _is_stuck(self, invocations: Mapping[str, Invocation], waiting: Collection[str]) -> bool:
        """Whether all that is unfinished in a chat waits, or asked an agent whose chat is stuck; something is."""
        unfinished = [each for each in invocations.values() if not each.is_over]
        return bool(unfinished) and all(
            each.id in waiting or self._is_stuck(self.below.get(str(each.raw.get("execution_id")), {}), waiting)
            for each in unfinished
        )

    def waiting_interrupts(self) -> list[Object]:
        """The interrupts that wait, but those about an invocation that is known to have moved on."""
        return [
            each
            for each in self.interrupts
            if not self._has_moved_on(each.get("resource_id")) and not self.verdicts.is_ours(each.get("id"))
        ]

    def waiting_invocations(self, calls: Calls) -> list[Invocation]:
        """The invocations that wait for a person, or for a client that is not us."""
        return [each for each in self.invocations.values() if self._is_waiting(each, calls)]

    def waiting_below(self, calls: Calls) -> list[Invocation]:
        """The same in the chats of agents below."""
        heard = [each for invocations in self.below.values() for each in invocations.values()]
        return [each for each in heard if self._is_waiting(each, calls)]

    def _is_waiting(self, invocation: Invocation, calls: Calls) -> bool:
        if invocation.is_for_person:
            return not self.verdicts.is_ours_on(invocation.id)
        return invocation.is_for_client and calls.get(invocation.id) is Call.LEFT

    def caller_of(self, chat_path: Collection[str]) -> Invocation | None:
        """The call that led from this chat to one of these, which lie below it."""
        calls = (each for each in self.invocations.values() if each.type == "agent")
        return next((each for each in calls if each.raw.get("execution_id") in chat_path), None)

    def _has_moved_on(self, invocation_id: object) -> bool:
        invocation = self.invocations.get(invocation_id) if isinstance(invocation_id, str) else None
        return invocation is not None and not invocation.is_for_person and not invocation.is_for_client


def _order(message: Message) -> int:
    return -1 if message.order is None else message.order
