"""The command line: `python -m examples.expense_desk --help`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from agentkit import AgentKitError, Runtime, UsageError
from examples.expense_desk import report
from examples.expense_desk.approvals import approver
from examples.expense_desk.books import Books
from examples.expense_desk.desk import Desk
from examples.expense_desk.documents import Document, read_documents
from examples.expense_desk.ledger import Ledger, Outcome
from examples.expense_desk.progress import Progress

HERE = Path(__file__).parent
FAILED, WRONG, INTERRUPTED = 1, 2, 130
EPILOG = """\
what it does:
  Every file of the folder goes to an agent. It reads a typed expense out of it, looks the vendor up in a register
  (SQLite), and books the amount. Up to the limit it books by itself; above, and in another currency than EUR, it asks.
  Without a terminal and without --yes nobody can say yes: such bookings are rejected, and the table says so.

  The desk can be killed at any moment. Started again with the same --out it goes on where it was, and books nothing
  twice. A document that is done stays done: --fresh forgets everything and starts over.

the model:
  Without a key it is offline/extract, which reads by patterns and needs no network. With OPENAI_API_KEY,
  OPENAI_BASE_URL or OLLAMA_BASE_URL in the environment, or with --model, a real one does the same work.

examples:
  python -m examples.expense_desk                          asks you for the large ones
  python -m examples.expense_desk --yes --json | jq .booked
  python -m examples.expense_desk --model openai/gpt-5-mini --documents ~/receipts --out ~/expenses

exit status:
  0 every document was handled   1 some failed or are unreadable   2 nothing could be done   130 interrupted
"""


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m examples.expense_desk",
        description="Turns a folder of receipts, invoices and mails into typed, approved, booked expenses.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument(
        "--documents", type=Path, default=HERE / "documents", metavar="DIR", help="folder to read [the one beside]"
    )
    options.add_argument("--out", type=Path, default=Path("demo_out"), metavar="DIR", help="folder to write [demo_out]")
    options.add_argument("--limit", type=_limit, default=250, metavar="EUR", help="book alone up to this [250]")
    options.add_argument("--model", default="", metavar="REF", help="who reads, as in openai/gpt-5-mini [environment]")
    options.add_argument("--yes", action="store_true", help="approve everything, ask nothing")
    options.add_argument("--json", action="store_true", help="the result as JSON on stdout, the rest on stderr")
    options.add_argument("--fresh", action="store_true", help="forget what --out holds, bookings too, and start over")
    return options


def _limit(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no amount above 0")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the desk; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        return run(options)
    except KeyboardInterrupt:
        print(f"\nStopped. What is done is in {options.out}; start again to go on from here.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output left, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (AgentKitError, OSError, sqlite3.Error) as error:
        print(f"expense desk: {error}", file=sys.stderr)
        return WRONG


def run(options: argparse.Namespace) -> int:
    """All documents, then the report."""
    said = sys.stderr if options.json else sys.stdout
    documents = read_documents(options.documents)
    out: Path = options.out
    if options.fresh:
        start_over(out, yes=options.yes, said=said)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to {str(out)!r}: {error.strerror}; choose another --out") from None
    with Runtime(out / "agentkit.db", model=options.model) as runtime:
        progress = Progress(said)
        desk = Desk(
            runtime.client(),
            Books(out / "expenses.db"),
            Ledger(out / "expenses.db"),
            approver(yes=options.yes, tell=said),
            options.limit,
            progress.tell,
        )
        outcomes = work_through(desk, documents, progress)
    report.write_lines(outcomes, out / "expenses.jsonl")
    if options.json:
        print(json.dumps(report.as_data(outcomes), ensure_ascii=False, indent=2))
    else:
        print(f"\n{report.table(outcomes)}\nIn {out}: expenses.jsonl, and expenses.db with the bookings.")
    return status(outcomes)


def status(outcomes: Sequence[Outcome]) -> int:
    """The exit status. Raises AgentKitError where nothing came of any document: then it is not their fault."""
    failed = [each for each in outcomes if each.outcome == "failed"]
    if failed and not any(each.expense for each in outcomes):
        raise AgentKitError(f"no document could be handled: {failed[0].detail}")
    return FAILED if any(each.outcome in ("failed", "unreadable") for each in outcomes) else 0


def work_through(desk: Desk, documents: Sequence[Document], progress: Progress) -> list[Outcome]:
    """What came of each document."""
    outcomes: list[Outcome] = []
    for number, document in enumerate(documents, 1):
        progress.document(number, len(documents), document.name)
        outcomes.append(outcome := desk.handle(document))
        progress.outcome(outcome.outcome, outcome.detail)
    return outcomes


def start_over(out: Path, *, yes: bool, said: TextIO) -> None:
    """Removes what an earlier run left. Raises UsageError where nobody agrees."""
    old = [path for name in ("expenses.db", "expenses.jsonl", "agentkit.db") for path in out.glob(f"{name}*")]
    if not old:
        return
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"--fresh would delete the bookings in {out}; add --yes to agree")
        print(f"Delete the bookings and chats in {out}? [y/N] ", end="", file=said, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise UsageError(f"nothing deleted; leave --fresh out to go on with {out}")
    for path in old:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


if __name__ == "__main__":
    sys.exit(main())
