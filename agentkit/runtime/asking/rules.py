"""What a person allowed once and for later calls too: rules of a chat, checked when a call would be asked about.

A rule given in a sub-agent's chat is kept in the chat that people talk to, with the agent tools by which the sub-agent
was asked (`via`): it holds for the next sub-agent that is asked in the same way, and for no other tool of that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from agentkit.runtime import lineage
from agentkit.runtime.asking.approvers import Approver
from agentkit.runtime.asking.policies import LONGEST_SECONDS, policy_of
from agentkit.runtime.faults import Fault
from agentkit.runtime.moments import later, to_come
from agentkit.runtime.ports import Reading
from agentkit.runtime.records import ChatRecord, InterruptRecord, InvocationRecord
from agentkit.runtime.work import Work
from agentkit.wire import Always, AlwaysAllowScope, InterruptReason, InterruptStatus

__all__ = ["Allowed", "add", "allowing", "begins_with", "may_be_added", "options"]

MOST_RULES: Final = 1000  # of one chat
LONGEST_PREFIX: Final = 2_000  # characters, with its argument's name: every event of the chat has its rules in it
SHOWN: Final = 60  # characters of a prefix in a label
HOUR: Final = 3600.0
_COMMANDS: Final = re.compile(r"[;&|$`><()\r\n\0]")  # what makes a shell do more than it begins with
_UPWARDS: Final = re.compile(r"(?:^|[/\\]|%2f|%5c)(?:\.|%2e){2}(?=[/\\?#\s]|%2f|%5c|$)", re.IGNORECASE)
_HOST: Final = re.compile(r"://[^/?#\s]+\Z")  # ends in the midst of a URL's user, host and port
_GOES_ON: Final = re.compile(r"[\w.\-@:+%~]")  # after a word: the same name goes on
_WORD_END: Final = re.compile(r"\w\Z")


@dataclass(frozen=True, slots=True)
class Allowed:
    """A call needs no approval any more; `by` is who said so, None where that was not kept."""

    by: str | None


def allowing(work: Work, invocation: InvocationRecord) -> Allowed | None:
    """The rule that this call needs no approval by, now; None where a person has to be asked.

    One that was not given by who has to approve the tool now (another agent's of that name, after a hand-off) is none.
    """
    approvers = _approvers(work, invocation.name)
    if approvers is None and invocation.name in work.chat.always_allowed_tools:
        return Allowed(None)
    for chat, via in _chats(work.tx, work.chat):
        for rule in chat.allow_rules:
            is_theirs = approvers is None or rule.get("approvers") == approvers
            if is_theirs and rule.get("via", []) == via and _fits(rule, invocation, now=work.tx.now):
                return Allowed(rule.get("by"))
    return None


def add(work: Work, invocation: InvocationRecord, always: Always, *, by: Approver) -> None:
    """Allows later calls like this one. Raises Fault `invalid_request` for what is no rule, or does not fit the call.

    The whole tool for as long as the chat is there is an entry of `always_allowed_tools`, as on every server, unless
    only some may approve it.
    """
    rule = _rule(invocation, always, now=work.tx.now)
    if (approvers := _approvers(work, invocation.name)) is not None:
        rule["approvers"] = approvers
    if not _fits(rule, invocation, now=work.tx.now):
        raise Fault(
            "invalid_request",
            f"always: this very call would not be allowed by it; {rule['argument']!r} has to begin with the whole "
            f"words of the prefix {rule['prefix'][:100]!r}, with nothing after or at their end that a shell acts on",
        )
    is_plain = rule == {"tool_name": invocation.name, "scope": AlwaysAllowScope.TOOL.value, "expires_at": None}
    if is_plain:
        allowed = dict.fromkeys([*work.chat.always_allowed_tools, invocation.name])
        work.save_chat(always_allowed_tools=list(allowed))
    *_, (top, via) = _chats(work.tx, work.chat)
    if is_plain and not via:
        return
    _keep(work if top.id == work.chat.id else Work(work.tx, top), {**rule, "by": by.name}, via)


def options(invocation: InvocationRecord) -> list[dict[str, Any]]:
    """The rules that make sense for this call, the narrowest first: `option` is an `Always`, `label` says it."""
    name = invocation.name
    found: list[tuple[dict[str, Any], str]] = [({"scope": "exact"}, f"{name} with exactly these arguments")]
    for argument, value in invocation.arguments.items():
        for prefix in _prefixes(value):
            if len(argument) + len(prefix) > LONGEST_PREFIX:
                continue
            shown = prefix if len(prefix) <= SHOWN else f"{prefix[:SHOWN]}..."
            option = {"scope": "prefix", "argument": argument, "prefix": prefix}
            found.append((option, f"{name} where {argument} begins with {shown!r}"))
    found.append(({"scope": "tool", "seconds": HOUR}, f"every call of {name} for an hour"))
    found.append(({"scope": "tool"}, f"every call of {name} in this chat"))
    return [{"option": option, "label": label} for option, label in found]


def may_be_added(interrupt: InterruptRecord) -> bool:
    """Whether the answer to this question may allow later calls as well."""
    is_approval = interrupt.reason is InterruptReason.TOOL_APPROVAL and not interrupt.meta.get("unknown_outcome")
    return is_approval and interrupt.status is InterruptStatus.PENDING


def begins_with(text: str, prefix: str) -> bool:
    """Whether the text begins with the prefix as whole words, and does nothing after it that a shell would act on.

    >>> begins_with("git push", "git"), begins_with("gitevil", "git"), begins_with("git push; rm -r .", "git push")
    (True, False, False)
    >>> begins_with("/data/a/b", "/data/a"), begins_with("/data/a/../b", "/data/a/"), begins_with("/data.b", "/data")
    (True, False, False)
    >>> begins_with("https://a.com/b", "https://a.com"), begins_with("https://a.com,@evil.com", "https://a.com")
    (True, False)
    """
    words = prefix.rstrip()
    if not words or not text.startswith(prefix):
        return False
    rest = text[len(prefix) :]
    if _COMMANDS.search(prefix[len(words) - 1 :] + rest) or _climbs(text, prefix, rest):
        return False
    after = text[len(words) :]
    if after and _HOST.search(words) and after[0] not in "/?#":  # what follows may make it another host's
        return after[0] == " " and " " in words.strip()  # the next word of a command
    return not (_WORD_END.search(prefix) and _GOES_ON.match(rest))


# -- parts ---------------------------------------------------------------------------------------------------------


def _approvers(work: Work, tool_name: str) -> list[str] | None:
    """The groups that approve the tool's calls; None: whoever may approve."""
    tool = next((each for each in work.chat.agent.tools or () if each.name == tool_name), None)
    return policy_of(work.chat.agent, tool).approvers


def _climbs(text: str, prefix: str, rest: str) -> bool:
    """Whether the text goes further up than the prefix, plainly or percent-encoded."""
    return bool(_UPWARDS.search(rest)) or len(_UPWARDS.findall(text)) > len(_UPWARDS.findall(prefix))


def _chats(tx: Reading, chat: ChatRecord) -> Iterator[tuple[ChatRecord, list[str]]]:
    """The chats whose rules count here, each with the agent tools between it and this chat; the topmost comes last."""
    yield chat, []
    askers = lineage.above(tx, chat.id)
    top = tx.get(ChatRecord, askers[-1].chat_id) if askers else None
    if top is not None:
        calls = [tx.get(InvocationRecord, each.invocation_id) for each in reversed(askers)]
        yield top, [call.name for call in calls if call is not None]


def _fits(rule: Mapping[str, Any], invocation: InvocationRecord, *, now: str) -> bool:
    if rule["tool_name"] != invocation.name or (rule["expires_at"] is not None and rule["expires_at"] <= now):
        return False
    match rule["scope"]:
        case AlwaysAllowScope.TOOL:
            return True
        case AlwaysAllowScope.EXACT:
            return bool(rule["arguments_hash"] == invocation.arguments_hash)
        case AlwaysAllowScope.PREFIX:
            text = invocation.arguments.get(rule["argument"])
            return isinstance(text, str) and begins_with(text, rule["prefix"])
        case _:
            return False  # of a newer version


def _rule(invocation: InvocationRecord, always: Always, *, now: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"tool_name": invocation.name, "scope": str(always.scope)}
    match always.scope:
        case AlwaysAllowScope.TOOL | AlwaysAllowScope.EXACT if always.argument is not None or always.prefix is not None:
            raise Fault("invalid_request", "always: `argument` and `prefix` go with the scope 'prefix'")
        case AlwaysAllowScope.TOOL:
            pass
        case AlwaysAllowScope.EXACT:
            rule["arguments_hash"] = invocation.arguments_hash
        case AlwaysAllowScope.PREFIX if len(always.argument or "") + len(always.prefix or "") > LONGEST_PREFIX:
            raise Fault("invalid_request", f"always: the prefix has more than {LONGEST_PREFIX} characters; take a part")
        case AlwaysAllowScope.PREFIX if always.argument and always.prefix:
            rule |= {"argument": always.argument, "prefix": always.prefix}
        case AlwaysAllowScope.PREFIX:
            raise Fault(
                "invalid_request", "always: the scope 'prefix' needs `argument`, its name, and `prefix`, a text"
            )
        case _:
            raise Fault(
                "invalid_request", f"always: the scope is tool, exact or prefix here, not {str(always.scope)!r}"
            )
    return {**rule, "expires_at": _end(always, now=now)}


def _end(always: Always, *, now: str) -> str | None:
    if always.expires_at is not None and always.seconds is not None:
        raise Fault("invalid_request", "always: send `expires_at` or `seconds`, not both")
    if always.seconds is not None:
        if not 0 < always.seconds <= LONGEST_SECONDS:
            raise Fault("invalid_request", f"always: `seconds` is more than 0, not {always.seconds!r}")
        return later(now, always.seconds)
    if always.expires_at is None:
        return None
    if (moment := to_come(always.expires_at, now=now)) is None:
        raise Fault("invalid_request", f"always: expires_at {always.expires_at[:100]!r} is no moment to come")
    return moment


def _keep(work: Work, rule: dict[str, Any], via: list[str]) -> None:
    """Adds the rule; those that are over, or say the same, go."""
    rule = {**rule, "via": via} if via else rule
    kept = [each for each in work.chat.allow_rules if _is_kept(each, rule, now=work.tx.now)]
    if len(kept) >= MOST_RULES:
        raise Fault("conflict", f"this chat has {MOST_RULES} rules already; allow more with one of them")
    work.save_chat(allow_rules=[*kept, rule])


def _is_kept(old: Mapping[str, Any], new: Mapping[str, Any], *, now: str) -> bool:
    is_over = old["expires_at"] is not None and old["expires_at"] <= now
    when_and_who = ("expires_at", "by")
    said = [{key: value for key, value in rule.items() if key not in when_and_who} for rule in (old, new)]
    return not is_over and said[0] != said[1]


def _prefixes(value: Any) -> Iterator[str]:
    """Beginnings of a text that are worth a rule: a site, a folder, the first words of a command."""
    if not isinstance(value, str):
        return
    found: list[str] = []
    if "://" in value:
        parts = urlsplit(value) if "[" not in value else None
        found = [f"{parts.scheme}://{parts.netloc}/"] if parts and parts.netloc else []
    elif value.startswith("/"):
        found = [value[: value.rindex("/") + 1]] if value.count("/") > 1 else []
    else:
        words = value.split(" ")
        found = [" ".join(words[:count]) for count in (2, 1) if len(words) > count]
    yield from (each for each in dict.fromkeys(found) if each != value and begins_with(value, each))
