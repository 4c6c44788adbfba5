"""What agentkit promises about tools of every kind; see `requirements`."""

from __future__ import annotations

from collections.abc import Sequence

from tests.conformance.requirement import Requirement

__all__ = ["TOOL_REQUIREMENTS"]

TOOL_REQUIREMENTS: Sequence[Requirement] = (
    Requirement(
        "tool:kinds-alike",
        "Every kind of tool validates, waits for approval, times out, stops, fails and ends alike.",
        "design.md 6",
    ),
    Requirement(
        "tool:arguments-first",
        "Arguments that miss the schema are told to the model with paths, and nothing runs.",
        "peers.md 1.1",
    ),
    Requirement(
        "tool:siblings",
        "Calls of one answer run side by side up to a cap, and a failure touches no other.",
        "peers.md R12",
    ),
    Requirement(
        "tool:timeout",
        "A call that takes longer than its tool allows is cancelled and fails.",
        "peers.md 1.1",
    ),
    Requirement(
        "tool:retry-idempotent",
        "Only what does no harm is tried again, always with the same idempotency key.",
        "design.md 1 rule 4",
    ),
    Requirement(
        "tool:unknown-outcome",
        "A call that was running when the runtime died, and may not run twice, is asked about and not made again.",
        "design.md 5",
    ),
    Requirement(
        "tool:unknown-client",
        "A client that cannot tell what came of its call has a person asked; an attempt that is over is a conflict.",
        "peers.md 2 item 2",
    ),
    Requirement(
        "tool:journal",
        "Every attempt at a call is recorded before it begins, and how it ended.",
        "peers.md 2 item 2",
    ),
    Requirement(
        "tool:reconcile",
        "A tool that can be asked what came of a call is asked before the call is made again, and before a person is.",
        "peers.md 2 item 2",
    ),
    Requirement(
        "tool:result-cap",
        "A result too large for the model is cut, and its whole is a file that it can page through.",
        "peers.md 1.1",
    ),
    Requirement(
        "tool:repeats",
        "The same call made again and again is noticed, and refused in the end.",
        "peers.md 1.1",
    ),
    Requirement(
        "tool:budget",
        "Tool calls and model calls of a run have limits.",
        "design.md 5",
    ),
    Requirement(
        "tool:asks-a-person",
        "A tool may ask a person while it runs; the question is an interrupt of the chat.",
        "design.md 5",
    ),
    Requirement(
        "tool:one-terminal",
        "Through kills of its server every invocation has exactly one terminal event.",
        "design.md 1 rule 4",
    ),
    Requirement(
        "http:templates",
        "`{{args.X}}` in a URL is consumed from the body and cannot leave its place.",
        "protocol.md 6.11",
    ),
    Requirement(
        "http:rest-of-arguments",
        "GET and DELETE send the remaining arguments as query, others as JSON body.",
        "protocol.md 6.11",
    ),
    Requirement(
        "http:secrets-injected",
        "Credentials are put in at call time and are absent from what comes back.",
        "protocol.md 6.7, 6.11",
    ),
    Requirement(
        "http:ssrf",
        "Addresses that are not public are refused in every spelling, unless they are allowed.",
        "peers.md 1.7",
    ),
    Requirement(
        "http:rebinding",
        "A host is looked up once, and the connection goes to what was found.",
        "peers.md 1.7",
    ),
    Requirement(
        "http:redirects",
        "A redirect into a private address is refused.",
        "peers.md 1.7",
    ),
    Requirement(
        "http:body-cap",
        "A body of a gigabyte is not read.",
        "peers.md 1.1",
    ),
    Requirement(
        "hook:signed",
        "A webhook is signed with HMAC-SHA256 over the very bytes it gets.",
        "protocol.md 6.5",
    ),
    Requirement(
        "hook:callback-once",
        "A webhook may call back with a token that is good once.",
        "protocol.md 6.5",
    ),
    Requirement(
        "secret:at-rest",
        "No stored secret is in an answer, on disk or in a log.",
        "protocol.md 8.5",
    ),
    Requirement(
        "secret:bound-to-its-row",
        "A sealed value that was moved to another row does not open.",
        "protocol.md 8.5",
    ),
    Requirement(
        "integration:one-refresh",
        "Calls at once share one refresh of a token.",
        "protocol.md 8.5",
    ),
    Requirement(
        "integration:requirements",
        "What is missing is told in the shape of a 412.",
        "protocol.md 1.3, 8.5",
    ),
    Requirement(
        "mcp:real-server",
        "The official time server tells the time.",
        "protocol.md 6.7",
    ),
    Requirement(
        "mcp:annotations",
        "Annotations of MCP tools say which need an approval.",
        "peers.md 1.7",
    ),
    Requirement(
        "mcp:list-changed",
        "A list of tools that changed is bound anew.",
        "peers.md 1.7",
    ),
    Requirement(
        "mcp:nothing-left",
        "Leaving ends MCP servers and everything that they started.",
        "design.md 6",
    ),
    Requirement(
        "app-tool:merge",
        "The model's arguments go between the tool's defaults and what is fixed.",
        "design.md 6",
    ),
    Requirement(
        "app-tool:one-task",
        "One call makes one task, and its end is the call's.",
        "design.md 8",
    ),
    Requirement(
        "sub-agent:result",
        "The arguments are a child's first message, its output the call's result.",
        "protocol.md 6.11",
    ),
    Requirement(
        "sub-agent:depth",
        "An agent that asks itself ends at the depth limit.",
        "design.md 6",
    ),
    Requirement(
        "sub-agent:budget",
        "Model calls count for the whole tree of a run.",
        "design.md 6",
    ),
    Requirement(
        "sub-agent:approvals-surface",
        "An approval below parks the whole line and carries it on.",
        "design.md 6, peers.md 1.5",
    ),
    Requirement(
        "sub-agent:events",
        "Everything of a child is told on its parent's stream.",
        "peers.md 1.3",
    ),
    Requirement(
        "sub-agent:handoff",
        "An agent may hand the chat over to another one.",
        "peers.md 1.6",
    ),
    Requirement(
        "hooks:deny",
        "A lifecycle hook may deny a call, and the model reads why.",
        "protocol.md 6.11",
    ),
    Requirement(
        "hooks:fail-closed",
        "Without an answer of its hook, what guards stays closed.",
        "design.md 1 rule 6",
    ),
    Requirement(
        "hooks:gate",
        "A gate holds a run until somebody lets it through.",
        "protocol.md 6.11",
    ),
)
