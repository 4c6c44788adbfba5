"""What agentkit promises about tasks, sessions, files, apps and workers; see `requirements`."""

from __future__ import annotations

from collections.abc import Sequence

from tests.conformance.requirement import Requirement

__all__ = ["TASK_REQUIREMENTS"]

RUNNING = (
    Requirement(
        "run:one-terminal",
        "Each run and each accepted task ends exactly once.",
        "design.md 5",
    ),
    Requirement(
        "run:advance-twice",
        "A wake-up that is delivered twice has one effect.",
        "design.md 5",
    ),
    Requirement(
        "run:unknown-outcome",
        "A task that was running when its server was killed, and that may not run twice, fails saying so.",
        "design.md 5",
    ),
    Requirement(
        "task:returns-at-once",
        "`POST /apps/run` answers at once with a status that is not terminal; `/run` waits.",
        "protocol.md 2.1, 10 row 6, appendix A 4",
    ),
    Requirement(
        "task:wait-query",
        "`wait` in the query wins over `wait` in the body.",
        "protocol.md 10 row 7",
    ),
    Requirement(
        "task:failed-is-422",
        "A waited-for task that fails or is cancelled is answered 422 with the task in it.",
        "protocol.md 2.1",
    ),
    Requirement(
        "task:run-at-once",
        "A task for later is received until its time comes, also over a restart, and then runs once.",
        "protocol.md 2.1",
    ),
    Requirement(
        "task:idempotency-key",
        "Requests with the same key run one task.",
        "design.md 5",
    ),
    Requirement(
        "task:one-status-word",
        "A task tells its status as a number and as a word, and every one it went through.",
        "protocol.md 2.3, 2.4",
    ),
    Requirement(
        "task:cancel",
        "A task is cancelled wherever it is; one that is over stays as it is.",
        "seeds/002, protocol.md 2.5, 10 row 5",
    ),
    Requirement(
        "task:list",
        "Tasks are listed by page, filtered, searched and sorted.",
        "protocol.md 1.5, 2.5",
    ),
    Requirement(
        "task:logs",
        "What an app prints is kept by phase, to the last line, up to a limit.",
        "protocol.md 2.3",
    ),
    Requirement(
        "task:timings",
        "A task tells where its time went.",
        "protocol.md 2.5",
    ),
    Requirement(
        "task:updates",
        "Updates tell every status; partial ones what changed, each with the whole task.",
        "seeds/001, protocol.md 10 row 15",
    ),
    Requirement(
        "task:private",
        "A task is its owner's alone until it is shown.",
        "protocol.md 0.2",
    ),
    Requirement(
        "task:bad-input",
        "Bad input of every kind is refused by name, loses nothing and leaks no worker.",
        "protocol.md 2.1, 3.4, 4",
    ),
    Requirement(
        "task:soak",
        "Many tasks through kills of workers and servers each end once; what may run again completes.",
        "design.md 1.4",
    ),
)

STREAMED = (
    Requirement(
        "task-stream:snapshot-first",
        "A task's stream begins with the whole task, also when it is over.",
        "protocol.md 2.6 rule 1",
    ),
    Requirement(
        "task-stream:whole",
        "Every line holds the whole current task; transitions are bare, what lies between names its fields.",
        "protocol.md 2.6 rules 2, 3",
    ),
    Requirement(
        "task-stream:end-last",
        "The end is the last line, complete, and the answer closes a moment after it.",
        "protocol.md 2.6 rules 4, 5, 1.7 rule 7",
    ),
    Requirement(
        "task-stream:short-lines",
        "A line stays below 512 KiB; logs go first.",
        "protocol.md 2.6 rule 7",
    ),
    Requirement(
        "task-stream:repeats",
        "A quiet task beats, and repeats its snapshot before the official client gives up.",
        "protocol.md 2.6 rule 9",
    ),
    Requirement(
        "task-stream:sse",
        "A browser gets named events with growing ids.",
        "protocol.md 2.6, 10 row 34",
    ),
    Requirement(
        "task-stream:cuts",
        "A client's watch that is cut at any line comes to the same result.",
        "design.md 4 LINK",
    ),
)

HOOKS = (
    Requirement(
        "task:webhook",
        "The end of a task is posted to its webhook with the seven fields of the page.",
        "seeds/002, protocol.md 2.7, appendix A 12",
    ),
    Requirement(
        "webhook:retries",
        "A webhook is delivered at least once, is tried again for hours, and holds nobody up.",
        "protocol.md 2.7",
    ),
)

SESSIONS = (
    Requirement(
        "session:new",
        "`session: new` begins a session whose id the task carries; its calls share one worker's memory.",
        "seeds/002, seeds/003, protocol.md 3.1",
    ),
    Requirement(
        "session:timeout",
        "A session expires after its idle time, 60 s or 1 to 3600; every call begins it anew.",
        "seeds/003, protocol.md 3.1, 10 row 23",
    ),
    Requirement(
        "session:codes",
        "A session that is unknown, expired, ended, lost or another app's is refused by its code.",
        "protocol.md 3.4, 10 row 24",
    ),
    Requirement(
        "session:in-order",
        "Calls of a session run one after the other, in their order.",
        "protocol.md 3.1",
    ),
    Requirement(
        "session:leased",
        "Where every worker is leased a session is refused, and the others keep theirs.",
        "protocol.md 3.4",
    ),
    Requirement(
        "session:lost",
        "A session whose worker dies is lost, and its waiting calls fail saying so.",
        "protocol.md 3.4",
    ),
)

FILES = (
    Requirement(
        "file:streams",
        "Files of any size go both ways without being loaded.",
        "protocol.md 4, 11.2",
    ),
    Requirement(
        "file:cut",
        "An upload that is cut half-way is no file, and the same URL takes it again.",
        "protocol.md 4.1",
    ),
    Requirement(
        "file:to-app",
        "Files that an input names lie before the app, and what it makes is stored.",
        "protocol.md 4.3, 5.3",
    ),
)

APPS = (
    Requirement(
        "app:staged",
        "A staged version waits, is promoted, and an older one is put back.",
        "seeds/004",
    ),
    Requirement(
        "app:references",
        "A reference names app, version and function; a bare name is the caller's own.",
        "protocol.md 2.2, 10 rows 12, 13",
    ),
    Requirement(
        "app:same-code",
        "The same code deployed again makes no new version.",
        "protocol.md 5.4",
    ),
    Requirement(
        "app:bundles",
        "A bundle that is no app, or reaches elsewhere, is refused; one is unpacked once.",
        "protocol.md 5.3",
    ),
    Requirement(
        "app:environments",
        "What an app requires is installed once, in an environment of its own.",
        "protocol.md 5.3, 5.4",
    ),
    Requirement(
        "app:secrets",
        "An app gets the secrets it names and no others, and a missing one is a 412.",
        "protocol.md 1.3, 8.5",
    ),
    Requirement(
        "app:author",
        "Functions are found and bound by their types, in every style that real apps have.",
        "protocol.md 5.3, 10 rows 55, 56",
    ),
    Requirement(
        "app:compat",
        "Apps of the official SDK run unchanged.",
        "protocol.md 5.3",
    ),
    Requirement(
        "app:file-model",
        "A `File` is made of a path, URL, data URI or dict, and knows its type, size and name.",
        "seeds/003",
    ),
    Requirement(
        "app:manifest",
        "inf.yml is read and written back whole; what is wrong in it is named by line.",
        "protocol.md 5.4",
    ),
)

FLEET = (
    Requirement(
        "fleet:warm",
        "A worker that is set up as a task wants it runs it without loading or setup.",
        "seeds/003, protocol.md 2.1",
    ),
    Requirement(
        "fleet:isolated",
        "A worker sees nothing of the server: no variables, no files it holds open.",
        "design.md 8",
    ),
    Requirement(
        "fleet:deaths",
        "A worker's death is the task's error with its reason and last lines, and costs nobody else.",
        "design.md 8",
    ),
    Requirement(
        "fleet:limits",
        "A task that takes too much time or memory is ended and says so.",
        "design.md 8",
    ),
    Requirement(
        "fleet:cancel",
        "Cancelling asks the app, then its function, then its process, then kills it.",
        "protocol.md 5.5",
    ),
    Requirement(
        "fleet:fair",
        "Lines take turns, each keeps its order, and nobody starves.",
        "design.md 8",
    ),
    Requirement(
        "fleet:nothing-left",
        "When the server ends, however it ends, no worker and no child of one is left.",
        "design.md 8",
    ),
    Requirement(
        "fleet:recovery",
        "A server that is killed loses no accepted task and runs none twice that may not.",
        "design.md 5",
    ),
)

LIMITS = (
    Requirement(
        "limit:rates",
        "Runs, reads and uploads are limited per key as published, with headers and Retry-After.",
        "seeds/000, protocol.md 1.4",
    ),
)

DOCUMENTS = (
    Requirement(
        "seed:overview",
        "The overview's first app answers as it shows.",
        "seeds/000",
    ),
    Requirement(
        "seed:rest-tasks",
        "Every command of the REST page on tasks does what the page says, run by curl.",
        "seeds/002",
    ),
    Requirement(
        "seed:rest-apps",
        "Every endpoint and example of the REST page on apps does what the page says.",
        "seeds/004",
    ),
    Requirement(
        "seed:javascript-tasks",
        "The task, session and file examples of the JavaScript document work in Python.",
        "seeds/001",
    ),
)

SDK_TASKS = (
    Requirement(
        "sdk:tasks",
        "The official Python SDKs run, watch, read, cancel and wait for tasks.",
        "protocol.md 2.1, 2.6",
    ),
    Requirement(
        "sdk:tasks-async",
        "The official asynchronous clients do the same.",
        "protocol.md 2.1, 2.6",
    ),
    Requirement(
        "sdk:task-refusals",
        "Refused runs reach the official SDKs as the errors they know.",
        "protocol.md 1.3",
    ),
    Requirement(
        "sdk:sessions",
        "The official Python SDKs keep, read and end app sessions.",
        "protocol.md 3",
    ),
    Requirement(
        "sdk:task-files",
        "Files of every form that the official SDKs upload reach the app.",
        "protocol.md 4.2, 4.3",
    ),
    Requirement(
        "js:tasks",
        "The JavaScript SDK runs tasks, streaming and polling, and cancels them.",
        "seeds/001, protocol.md 2.6",
    ),
    Requirement(
        "js:sessions",
        "The JavaScript SDK keeps, reads and ends app sessions.",
        "seeds/001, protocol.md 3",
    ),
    Requirement(
        "js:task-files",
        "The JavaScript SDK's uploads, data URIs and blobs reach the app.",
        "seeds/001, protocol.md 4.2",
    ),
)

BETTER_TASKS = (
    Requirement(
        "better:rejected-ends",
        "A rejected task is over, and a queued message is not ready.",
        "protocol.md 11.2, client.py:37, 64",
    ),
    Requirement(
        "better:whole-task",
        "A run that is not waited for returns the whole task.",
        "protocol.md 11.2, client.py:711",
    ),
    Requirement(
        "better:merged-updates",
        "Every update is the whole task as merged so far.",
        "protocol.md 11.2, client.py:938",
    ),
    Requirement(
        "better:task-permanent-errors",
        "A refusal while watching is told, and not taken for a cut.",
        "protocol.md 11.2, client.py:150",
    ),
    Requirement(
        "better:deadline",
        "A timeout is kept whether updates come or not.",
        "protocol.md 11.2, client.py:767",
    ),
    Requirement(
        "better:long-lines",
        "The asynchronous client reads lines of any length.",
        "protocol.md 11.2, client.py:1519",
    ),
    Requirement(
        "better:retries",
        "A read that is asked to wait is repeated.",
        "protocol.md 11.2, client.py:602",
    ),
    Requirement(
        "better:run-once-key",
        "A run carries the caller's idempotency key.",
        "protocol.md 11.2, client.py:703",
    ),
    Requirement(
        "better:session-errors",
        "Session errors are raised as their classes, with the session's id.",
        "protocol.md 11.2, models/errors.py:129",
    ),
    Requirement(
        "better:session-options",
        "A session keeps the options it is begun with.",
        "protocol.md 11.2, client.py:1054",
    ),
    Requirement(
        "better:strings-stay",
        "Text is never taken for a file.",
        "protocol.md 11.2, client.py:1002, 1005",
    ),
    Requirement(
        "better:data-uris",
        "Data URIs of every form are read.",
        "protocol.md 11.2, client.py:803",
    ),
    Requirement(
        "better:options-untouched",
        "The caller's upload options stay as they are.",
        "protocol.md 11.2, client.py:783",
    ),
    Requirement(
        "better:async-paths",
        "The asynchronous client uploads from a path.",
        "protocol.md 11.2, client.py:1405",
    ),
    Requirement(
        "better:remote-files",
        "A file that lies elsewhere is sent by its address.",
        "protocol.md 11.2, client.py:1010",
    ),
    Requirement(
        "better:clean-schemas",
        "Marks of the builder stay out of schemas.",
        "protocol.md 11.2, tools.py:100",
    ),
)

TASK_REQUIREMENTS: Sequence[Requirement] = (
    *RUNNING,
    *STREAMED,
    *HOOKS,
    *SESSIONS,
    *FILES,
    *APPS,
    *FLEET,
    *LIMITS,
    *DOCUMENTS,
    *SDK_TASKS,
    *BETTER_TASKS,
)
