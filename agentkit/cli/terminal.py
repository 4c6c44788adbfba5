"""For programs that run an agent themselves: the person at the terminal answers what it asks (`agentkit[cli]`)."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from typing import Any, Final

from agentkit.client.agent import Agent
from agentkit.errors import AlreadyResolvedError, APIError, MissingExtraError, UsageError
from agentkit.wire import Interrupt

try:
    from agentkit.cli import question
    from agentkit.cli.dialogue import Reply, Word, answer
    from agentkit.cli.exits import text_of
    from agentkit.cli.keyboard import held
    from agentkit.cli.screen import Screen
except ImportError:
    raise MissingExtraError("asking at the terminal", extra="cli") from None

__all__ = ["ask_at_terminal"]

PLAIN_WIDTH: Final = 100


def ask_at_terminal(agent: Agent[Any], interrupt: Interrupt, *, by: str | None = None) -> bool:
    """Shows a question, reads the answer from stdin and sends it, as `agentkit approvals watch --prompt` does.

    For `ApprovalRequested` events, and for what `agent.pending()` lists. True once it is answered, here or elsewhere;
    False where the person skips it, leaves, or the input ends: it goes on waiting.
    """
    screen = Screen()
    width = shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns if sys.stderr.isatty() else PLAIN_WIDTH
    question.show(screen, [(), *question.told(interrupt, now=datetime.now(UTC), width=width), ()], is_error=True)
    while (reply := held(answer(interrupt), screen)).word not in (Word.SKIP, Word.QUIT):
        try:
            _send(agent, interrupt, reply, by)
        except AlreadyResolvedError as lost:
            screen.say(f"already {question.outcome(Interrupt.parse(dict(lost.winner)))}")
        except UsageError as error:  # nothing is asked about the call any more
            screen.say(str(error))
        except APIError as error:  # other arguments, or an answer, that do not fit: it is asked again
            screen.say(text_of(error))
            continue
        return True
    return False


# -- parts ---------------------------------------------------------------------------------------------------------


def _send(agent: Agent[Any], interrupt: Interrupt, reply: Reply, by: str | None) -> None:
    call, shown = interrupt.resource_id, interrupt.arguments_hash or None
    match reply.word:
        case Word.APPROVE:
            agent.approve(call, reply.arguments, by=by, always=reply.always, arguments_hash=shown)
        case Word.REJECT:
            agent.reject(call, reply.text, by=by, arguments_hash=shown)
        case _:
            agent.answer(call, reply.data, by=by)
