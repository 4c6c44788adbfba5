"""What agentkit promises, one sentence each, with its source. The tests that prove a promise name it:

    @pytest.mark.requirement("turn:late-ack")
    async def test_a_run_that_ends_before_its_post_answers_still_ends_the_turn(platform): ...

`test_requirements.py` fails for a requirement that no test proves, and for a test that names one not listed here.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.conformance.requirement import Requirement
from tests.conformance.task_requirements import TASK_REQUIREMENTS
from tests.conformance.tool_requirements import TOOL_REQUIREMENTS

__all__ = ["REQUIREMENTS", "Requirement"]

DIALECTS = (
    Requirement(
        "dialect:bare",
        "A request with `X-API-Version: 2` is answered with the bare object or array.",
        "protocol.md 1.2 rule 1, seeds/000",
    ),
    Requirement(
        "dialect:superset",
        "A request without the header is answered 200 with success, status, data and messages together.",
        "protocol.md 1.2 rule 2",
    ),
    Requirement(
        "dialect:error-superset",
        "An error without the header carries success, status, error.code, error.message, type, title and detail.",
        "protocol.md 1.2 rule 2",
    ),
    Requirement(
        "dialect:problem", "An error with the header is `application/problem+json` as in RFC 9457.", "protocol.md 1.2"
    ),
    Requirement(
        "dialect:requirements", "A 412 keeps `errors` at the top level in every dialect.", "protocol.md 1.2 rule 3"
    ),
    Requirement(
        "dialect:never-empty",
        "A request without the header is never answered with 204 or an empty body.",
        "protocol.md 1.2 rule 4",
    ),
    Requirement(
        "dialect:media-type",
        "JSON is answered as exactly `application/json` without the header.",
        "protocol.md 1.2 rule 5",
    ),
    Requirement(
        "dialect:client-unwraps",
        "The client asks for version 2 and understands all three dialects.",
        "protocol.md 1.2 client rule",
    ),
    Requirement("route:v1-prefix", "A path may start with `/v1` or not.", "protocol.md 10 row 11, appendix A 1"),
    Requirement(
        "auth:bearer", "A missing or wrong key is answered 401 in the caller's dialect.", "protocol.md appendix A 1"
    ),
)

STREAMS = (
    Requirement(
        "stream:chunk-per-line",
        "A stream is sent chunked, each line with its line end in one chunk.",
        "protocol.md 1.7 rules 1, 3",
    ),
    Requirement("stream:no-charset", "NDJSON is `application/x-ndjson` without a charset.", "protocol.md 1.7 rule 2"),
    Requirement("stream:ascii", "What is not ASCII is escaped on a stream.", "protocol.md 1.7 rule 2"),
    Requirement(
        "stream:first-bytes", "A stream answers 200 and sends its first bytes at once.", "protocol.md 1.7 rule 5"
    ),
    Requirement(
        "stream:heartbeat", "A quiet stream sends a heartbeat at least every 10 s.", "protocol.md 1.8, 7.2 rule 11"
    ),
    Requirement(
        "stream:error-one-line", "An error instead of a stream has a body of one line.", "protocol.md 1.7 rule 6"
    ),
    Requirement(
        "stream:linger",
        "The response of a stream stays open for a moment after its terminal event.",
        "protocol.md 1.7 rule 7",
    ),
    Requirement(
        "stream:cursor", "A stream that is taken up at a cursor neither loses nor repeats an event.", "design.md 5"
    ),
    Requirement("stream:old-cursor", "A cursor that is too old is answered with a snapshot.", "design.md 5"),
)

SERVER_TURN = (
    Requirement(
        "serve:busy-inside-post", "The chat is busy before POST /agents/run answers.", "protocol.md 7.2 rule 1"
    ),
    Requirement("serve:no-user-replay", "A snapshot never replays user messages.", "protocol.md 7.2 rule 2"),
    Requirement(
        "serve:snapshot-grace",
        "A stream opened on an idle chat waits for a new run before it says idle.",
        "protocol.md 7.2 rule 2",
    ),
    Requirement(
        "serve:snapshots-cumulative",
        "During a turn a change of the assistant message is sent as the whole message.",
        "protocol.md 7.2 rule 3",
    ),
    Requirement(
        "serve:order-at-end",
        "The last message comes before the idle chat, and nothing of the turn after it.",
        "protocol.md 7.2 rule 4",
    ),
    Requirement("serve:chats-complete", "Every `chats` event carries status and active_run.", "protocol.md 7.2 rule 5"),
    Requirement(
        "serve:client-tool-busy",
        "While a client tool waits the stream keeps the chat busy and its run working.",
        "protocol.md 7.2 rule 6",
    ),
    Requirement(
        "serve:client-tool-status",
        "While a client tool waits `/status` says awaiting_input and the chat says busy.",
        "protocol.md 7.2 rule 7",
    ),
    Requirement(
        "serve:human-wait",
        "While a person is awaited the chat says awaiting_input and lists the interrupt.",
        "protocol.md 7.2 rule 8",
    ),
    Requirement(
        "serve:failure",
        "A failed turn ends with a failed message that says why, an idle chat and a failed run.",
        "protocol.md 7.2 rule 10",
    ),
    Requirement(
        "serve:stop",
        "A stopped turn ends with cancelled messages and invocations, an idle chat and a canceled run.",
        "protocol.md 7.2 rule 10",
    ),
    Requirement("serve:stream-stays", "The stream stays open after the turn.", "protocol.md 7.2 rule 11"),
    Requirement(
        "serve:status-grace",
        "Only the first idle reading of `/status` after a turn is answered at once.",
        "protocol.md 7.2 rule 13",
    ),
    Requirement(
        "serve:idle-not-completed",
        "A chat that can take more messages is idle after a turn, not completed.",
        "protocol.md 7.2 rule 14",
    ),
    Requirement(
        "serve:tool-bodies",
        "`POST /tools/{id}` takes a result, or an action with form data.",
        "protocol.md 10 row 36, appendix A 9",
    ),
    Requirement(
        "serve:finish", "`finish` sets the chat's output, and the next run clears it.", "protocol.md appendix A 11"
    ),
    Requirement(
        "serve:next-message",
        "Between a tool's result and the next words the chat stays busy, and they are a message of their own.",
        "protocol.md 7.2 rule 9",
    ),
    Requirement(
        "serve:always-allow",
        "Always-allow approves a call and asks no more for its tool in that chat.",
        "protocol.md 6.2, appendix A 10",
    ),
)

CLIENT_TURN = (
    Requirement("turn:stale-idle", "The idle snapshot of the previous turn does not end this one.", "design.md 4"),
    Requirement("turn:late-ack", "A run that ends before its POST answers still ends the turn.", "design.md 4 (1)"),
    Requirement(
        "turn:listen-first",
        "For a known chat the message is posted once the stream's response headers are there, not before.",
        "design.md 4 invariants",
    ),
    Requirement("turn:settle-once", "A turn settles once, and nothing is told after that.", "design.md 4 invariants"),
    Requirement(
        "turn:handler-once", "A handler runs at most once per invocation id in a chat.", "design.md 4 invariants"
    ),
    Requirement(
        "turn:reconnect",
        "A lost stream is opened again and the chat fetched, so that the turn ends all the same.",
        "protocol.md 7.4, design.md 4",
    ),
    Requirement("turn:poll-fallback", "When the stream cannot be had the turn goes on by polling.", "design.md 4 LINK"),
    Requirement(
        "turn:no-blind-retry",
        "POST /agents/run is not repeated blindly: an unanswered one settles as refused, maybe sent.",
        "design.md 4, protocol.md 1.8",
    ),
    Requirement(
        "turn:stop-early",
        "A stop before the POST answers is remembered and sent as soon as there is a chat.",
        "design.md 4 (2)",
    ),
    Requirement(
        "turn:leave-is-not-stop",
        "Leaving a turn, by break, Ctrl-C, cancel or reset, stops nothing on the server.",
        "design.md 4",
    ),
    Requirement("turn:fold", "`run()` returns what folding `stream()` returns.", "design.md 1.5"),
    Requirement(
        "turn:handler-error",
        "A handler's exception becomes a result the model can read, and its siblings go on.",
        "design.md 3, protocol.md 7.4",
    ),
)

RUNTIME = (
    Requirement(
        "run:effect-once",
        "A side effect starts at most once per idempotency key, across retries and restarts.",
        "design.md 1.4",
    ),
    Requirement(
        "fault:cuts",
        "A turn whose stream is cut after or inside any line ends as if nothing had been.",
        "design.md 1.4, 4 LINK",
    ),
    Requirement(
        "fault:lost-answers",
        "A request or an answer that is lost on the way costs no message, no result and no second effect.",
        "design.md 1.4, 4",
    ),
    Requirement(
        "fault:server-kills",
        "A server that is killed at any moment goes on from what it acknowledged.",
        "design.md 1.4, 5",
    ),
    Requirement(
        "fault:client-kills",
        "Another process takes up the turn of a client that was killed, and repeats no answered tool.",
        "design.md 3, 5",
    ),
)

TASKS = (
    Requirement(
        "task:status-numbers",
        "Statuses are 0 to 12 as published, 10, 11 and 12 being terminal.",
        "seeds/000, seeds/003, protocol.md 10 row 1",
    ),
    Requirement(
        "file:upload",
        "`POST /files` takes and answers an array, with an absolute upload URL that needs no key.",
        "protocol.md 4.1, appendix A 6",
    ),
)

SDKS = (
    Requirement(
        "sdk:streams",
        "The official Python SDK streams several turns of one chat, each to its own end.",
        "protocol.md 7.1, 7.2",
    ),
    Requirement(
        "sdk:seed-loop",
        "The document's loop over stream_messages ends at the agent's ready message.",
        "seeds/003, protocol.md 7.2 rule 2",
    ),
    Requirement("sdk:deltas", "The newest SDK merges the deltas of a message to its final text.", "protocol.md 6.10"),
    Requirement(
        "sdk:client-tools",
        "A client tool is called once and its result reaches the model, from each official SDK.",
        "protocol.md 6.5, 7.2 rule 6",
    ),
    Requirement("sdk:widget-answers", "An answer in the form of a widget action is taken.", "protocol.md 6.5"),
    Requirement(
        "sdk:approvals",
        "An approval parks the official SDKs as they expect, and the run goes on after the answer.",
        "protocol.md 7.2 rule 8",
    ),
    Requirement(
        "sdk:output",
        "A finished run's output is read by run(), and cleared by the next run.",
        "protocol.md 6.9, appendix A 11",
    ),
    Requirement(
        "sdk:stop",
        "stop_chat ends a turn with a cancelled message that keeps what was said.",
        "protocol.md 7.2 rule 10",
    ),
    Requirement("sdk:reset", "reset starts a new chat.", "seeds/003"),
    Requirement(
        "sdk:failure",
        "A failed model ends the turn of an official SDK with a message that says why.",
        "protocol.md 7.2 rule 10",
    ),
    Requirement(
        "sdk:refusals", "A refusal is a readable sentence in every layer of the official SDK.", "protocol.md 1.2, 1.3"
    ),
    Requirement(
        "sdk:files",
        "Files of every form are uploaded by the official SDK and reach the model.",
        "protocol.md 4.1, 4.2, appendix A 6",
    ),
    Requirement(
        "sdk:async",
        "The official asynchronous client and agent work as the synchronous ones.",
        "protocol.md 1.2 rule 5, 7.1",
    ),
    Requirement("sdk:command-line", "The official SDKs work against `agentkit serve`.", "design.md, the four homes"),
    Requirement(
        "js:streams",
        "The JavaScript SDK streams several turns of one chat, each to its own end.",
        "protocol.md 7.1, 7.2 rule 2",
    ),
    Requirement(
        "js:client-tools", "The JavaScript SDK's client tools are called once and answered.", "protocol.md 6.5"
    ),
    Requirement(
        "js:run-polls",
        "The JavaScript SDK's polling run() dispatches tools and returns its own turn's output.",
        "protocol.md 7.2 rules 7, 13",
    ),
    Requirement(
        "js:stop", "The JavaScript SDK stops a turn and begins another chat.", "seeds/001, protocol.md 7.2 rule 10"
    ),
    Requirement("js:files", "The JavaScript SDK's blobs and uploads are attached.", "seeds/001, protocol.md 6.1"),
    Requirement("js:refusals", "The JavaScript SDK's errors carry the status and the sentence.", "protocol.md 1.3"),
)

SEEDS = (
    Requirement("seed:blocks", "Every Python block of the document runs with only its import changed.", "seeds/003"),
    Requirement("seed:javascript", "The agent examples of the JavaScript document work in Python.", "seeds/001"),
    Requirement(
        "client:twins",
        "The asynchronous client has the same names and signatures as the synchronous one.",
        "design.md 3, protocol.md appendix B",
    ),
)

BETTER = (
    Requirement(
        "better:listen-first",
        "For a known chat the client listens before it sends, where the official one sends first.",
        "protocol.md 11.1, agent.py:120",
    ),
    Requirement(
        "better:stale-idle", "The end of the previous turn does not end this one.", "protocol.md 11.1, agent.py:324"
    ),
    Requirement("better:run-waits", "run() waits for the agent's answer.", "protocol.md 11.1, agent.py:346"),
    Requirement("better:streams-end", "A stream of messages ends with the turn.", "protocol.md 11.1, agent.py:178"),
    Requirement(
        "better:says-who-it-is",
        "Every request names its API version and its program.",
        "protocol.md 11.1, agent.py:523",
    ),
    Requirement(
        "better:handlers-run",
        "A tool with a handler can be given to an agent; the schema travels, the handler runs here.",
        "protocol.md 11.1, agent.py:532",
    ),
    Requirement(
        "better:empty-success",
        "A success without a body, or with a bare one, is a success.",
        "protocol.md 11.1, agent.py:537",
    ),
    Requirement(
        "better:typed-errors",
        "A refusal keeps its status and, at 412, what is missing.",
        "protocol.md 11.1, agent.py:537",
    ),
    Requirement(
        "better:problem-details",
        "A problem document's sentence is told, in the asynchronous client too.",
        "protocol.md 11.1, agent.py:688",
    ),
    Requirement(
        "better:stream-status", "A stream that is refused is not the end of a turn.", "protocol.md 11.1, agent.py:432"
    ),
    Requirement(
        "better:broken-lines",
        "A line that cannot be read is told of, and its content fetched.",
        "protocol.md 11.1, agent.py:442",
    ),
    Requirement(
        "better:line-ends",
        "A line of a stream ends at its line end alone, whatever the content type says.",
        "protocol.md 11.1, agent.py:466",
    ),
    Requirement(
        "better:tools-in-parallel",
        "Handlers run side by side, and not on the reader.",
        "protocol.md 11.1, agent.py:333",
    ),
    Requirement(
        "better:tool-errors",
        "A handler's exception becomes a result, and the turn goes on.",
        "protocol.md 11.1, agent.py:340",
    ),
    Requirement(
        "better:arguments-decoded",
        "Arguments that came as JSON text reach the handler decoded.",
        "protocol.md 11.1, agent.py:343",
    ),
    Requirement(
        "better:tools-once",
        "A call that the server shows again in a later turn is not run again.",
        "protocol.md 11.1, agent.py:102",
    ),
    Requirement(
        "better:chat-id", "What the document shows with a chat's id takes one.", "protocol.md 11.1, agent.py:142"
    ),
    Requirement(
        "better:content-types",
        "Uploaded bytes are described by their beginning or their name.",
        "protocol.md 11.1, agent.py:363",
    ),
    Requirement(
        "better:async-parity",
        "The asynchronous agent takes files and callbacks, and uploads.",
        "protocol.md 11.1, agent.py:592",
    ),
)

APPROVALS = (
    Requirement(
        "approval:first-wins",
        "The first answer to an approval wins; a later one gets 409 already_resolved naming the winner.",
        "design.md 5 INTERRUPT",
    ),
    Requirement(
        "approval:bound-to-arguments",
        "An approval holds for exactly the arguments shown; edited ones are validated again.",
        "design.md 5 INTERRUPT",
    ),
    Requirement("approval:expires-denied", "An approval nobody answers expires to denied.", "design.md 1.6"),
    Requirement(
        "approval:before-executor", "A tool that requires approval does not start before it is given.", "design.md 6"
    ),
    Requirement("approval:any-process", "A parked turn can be approved and resumed in another process.", "design.md 3"),
    Requirement(
        "run:restart-parked", "What was parked before a restart is parked after it, and can be answered.", "design.md 5"
    ),
)

REQUIREMENTS: Sequence[Requirement] = (
    *APPROVALS,
    *DIALECTS,
    *STREAMS,
    *SERVER_TURN,
    *CLIENT_TURN,
    *RUNTIME,
    *TASKS,
    *TASK_REQUIREMENTS,
    *TOOL_REQUIREMENTS,
    *SDKS,
    *SEEDS,
    *BETTER,
)
