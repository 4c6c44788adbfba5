"""Texts that are added one by one, and a report about all of them: the session is what remembers."""

from pathlib import Path
from typing import Any

from examples.apps.place import app_at, parser

NOTES = [
    "The ferry was late. Nobody was surprised, least of all the ferryman.",
    "We had soup in the harbour. The soup was excellent, and there was plenty of it!",
    "Unfortunately the extraordinary lighthouse was closed for redecoration.",
]

cli = parser("examples.session_notes", __doc__)
cli.add_argument("files", nargs="*", type=Path, help="text files (default: three short notes)")


def main() -> None:
    asked = cli.parse_args()
    first, *others = [{"file": path} for path in asked.files] or [{"text": text} for text in NOTES]
    with (
        app_at("text_stats", asked.base_url, workers=1) as (client, app),
        client.session(app, first, "add", session_timeout=300) as session,  # its first call begins it
    ):
        show(session.result.output if session.result else {})
        for each in others:
            show(session.call("add", each).output)
        report = session.call("report", {"top": 3}).output
        print(f"{report['words']} words, {report['different_words']} different, {report['sentences']} sentences")
        print(f"readability {report['lix']}: {report['reading']}; longest: {', '.join(report['longest_words'])}")
        print(f"session: {session.info().status}, {session.info().call_count} calls")


def show(added: dict[str, Any]) -> None:
    print(f"{added['name']}: {added['words']} words, {added['new_words']} of them new")


if __name__ == "__main__":
    main()
