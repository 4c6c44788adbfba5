"""One pending approval, resumed twice: `python -m bench.double_resume [--json] [--only NAME,NAME]`.

Every library plays the same steps (`bench/peers/`), each in an environment of its own under `.cache/peers`, with the
newest wheels that pip finds and a scripted model, so nothing leaves the machine. Every step is a process of its own;
how often the tool ran is what its ledger says.

| experiment | steps |
|---|---|
| twice | ask, resume, resume from the same saved state |
| at once | ask, then two processes resume at the same moment |
| edited | ask, then 10 EUR becomes 99 EUR wherever the library stored it, resume |
| killed | ask, resume with `kill -9` in the tool when it has paid, resume |
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.peers.stage import AMOUNT

__all__ = ["EXPERIMENTS", "LIBRARIES", "main"]

ROOT: Final = Path(__file__).parents[1]
ENVIRONMENTS: Final = ROOT / ".cache" / "peers"
EDITED: Final = "99 EUR"  # as long as the other
INSTALL_SECONDS: Final = 600
STEP_SECONDS: Final = 120
TIMES: Final = ("not at all", "once", "**twice**")


@dataclass(frozen=True, slots=True)
class Library:
    """How one library is played. `requires` is what pip installs; nothing: it runs in this environment."""

    name: str
    program: str
    requires: tuple[str, ...] = ()
    resume: str = "resume"


LIBRARIES: Final = (
    Library("agentkit", "bench.peers.with_agentkit"),
    Library("openai-agents", "bench.peers.with_openai", ("openai-agents",)),
    Library("pydantic-ai", "bench.peers.with_pydantic", ("pydantic-ai-slim",)),
    Library("langgraph, from a checkpoint", "bench.peers.with_langgraph", ("langgraph", "langgraph-checkpoint-sqlite")),
    Library(
        "langgraph, by thread",
        "bench.peers.with_langgraph",
        ("langgraph", "langgraph-checkpoint-sqlite"),
        resume="resume_thread",
    ),
)


class NotRun(Exception):
    """A library cannot be played here."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one experiment: the tool's ledger, and what each step said, or how it was refused."""

    payments: list[str]
    steps: list[dict[str, Any]]

    @property
    def refusals(self) -> list[str]:
        """How the steps were refused, that did not just go through."""
        told = (each.get("refused") or each.get("said", "") for each in self.steps)
        return [text.removeprefix("refused: ") for text in told if "Error: " in text or text.startswith("refused: ")]


@dataclass(frozen=True, slots=True)
class Row:
    """One library's findings."""

    library: str
    version: str = ""
    why: str = ""  # it was not run
    findings: dict[str, Finding] = field(default_factory=dict[str, Finding])


# -- experiments -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Player:
    """Plays steps of a library in a folder."""

    library: Library
    python: Path
    folder: Path

    def ask(self) -> dict[str, Any]:
        """Up to the one pending approval."""
        told = self._end(self._begin("ask"))
        if told.get("said") != "1 pending":
            raise NotRun(f"it did not ask: {told}")
        return told

    def resume(self) -> dict[str, Any]:
        """From what `ask` saved."""
        return self._end(self._begin(self.library.resume))

    def die(self) -> dict[str, Any]:
        """The same; the tool kills the process."""
        return self._end(self._begin("die"))

    def at_once(self, count: int) -> list[dict[str, Any]]:
        """So many processes that are all loaded before any goes on."""
        processes = [self._begin(self.library.resume) for _ in range(count)]
        for each in processes:
            assert each.stdout is not None
            each.stdout.readline()
        return [self._end(each) for each in self._let_go(processes)]

    def _begin(self, step: str) -> subprocess.Popen[str]:
        environ = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
        return subprocess.Popen(
            [self.python, "-m", self.library.program, step, self.folder],
            cwd=ROOT,
            env={**environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _let_go(self, processes: Sequence[subprocess.Popen[str]]) -> Sequence[subprocess.Popen[str]]:
        for each in processes:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        return processes

    def _end(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        try:
            said, complaint = process.communicate("go\n", timeout=STEP_SECONDS)
        finally:
            process.kill()
        told = [line for line in said.splitlines() if line.startswith("{")]
        if process.returncode == -9:
            return {"said": "killed"}
        if not told:
            raise NotRun(f"it ended with {process.returncode}: {complaint.strip()[-300:]}")
        return dict(json.loads(told[-1]))


def twice(player: Player) -> list[dict[str, Any]]:
    """Resumed in a row, from the same saved state."""
    return [player.ask(), player.resume(), player.resume()]


def at_once(player: Player) -> list[dict[str, Any]]:
    """Resumed by two processes at the same moment."""
    return [player.ask(), *player.at_once(2)]


def edited(player: Player) -> list[dict[str, Any]]:
    """Resumed when somebody has edited what was stored."""
    asked = player.ask()
    for path in player.folder.iterdir():
        if path.is_file():
            edit(path)
    return [asked, player.resume()]


def killed(player: Player) -> list[dict[str, Any]]:
    """Killed when the tool has paid, and resumed."""
    return [player.ask(), player.die(), player.resume()]


EXPERIMENTS: Final[dict[str, Callable[[Player], list[dict[str, Any]]]]] = {
    "twice": twice,
    "at once": at_once,
    "edited": edited,
    "killed": killed,
}


def edit(path: Path) -> None:
    """Another amount, wherever this file has it: in any column of a SQLite database, or in a text."""
    if not path.read_bytes().startswith(b"SQLite format 3\0"):
        path.write_bytes(path.read_bytes().replace(AMOUNT.encode(), EDITED.encode()))
        return
    with closing(sqlite3.connect(path)) as db, db:
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for _, column, *_ in db.execute(f'PRAGMA table_info("{table}")').fetchall():
                _edit_column(db, table, column)


def _edit_column(db: sqlite3.Connection, table: str, column: str) -> None:
    for (value,) in db.execute(f'SELECT DISTINCT "{column}" FROM "{table}"').fetchall():
        if isinstance(value, str) and AMOUNT in value:
            changed: str | bytes = value.replace(AMOUNT, EDITED)
        elif isinstance(value, bytes) and AMOUNT.encode() in value:
            changed = value.replace(AMOUNT.encode(), EDITED.encode())
        else:
            continue
        db.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE "{column}" = ?', [changed, value])


# -- libraries ---------------------------------------------------------------------------------------------------------


def environment(library: Library) -> Path:
    """The Python that has the library, as new as pip finds it. Raises NotRun."""
    if not library.requires:
        return Path(sys.executable)
    folder = ENVIRONMENTS / library.requires[0]
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        venv.create(folder, with_pip=True, clear=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", *library.requires]
    done = subprocess.run(pip, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr.strip()[-200:]]
        raise NotRun(lines[0])
    return python


def play(library: Library) -> Row:
    """Every experiment with this library."""
    try:
        python = environment(library)
        findings: dict[str, Finding] = {}
        version = ""
        for name, experiment in EXPERIMENTS.items():
            with tempfile.TemporaryDirectory(prefix="agentkit-resume-") as folder:
                steps = experiment(Player(library, python, Path(folder)))
                version = steps[0]["version"]
                ledger = Path(folder) / "ledger"
                findings[name] = Finding(ledger.read_text().splitlines() if ledger.exists() else [], steps)
    except (NotRun, OSError, subprocess.SubprocessError) as error:
        return Row(library.name, why=str(error))
    return Row(library.name, version, findings=findings)


# -- telling -----------------------------------------------------------------------------------------------------------


def as_text(row: Row) -> str:
    """A row of the Markdown table."""
    if row.why:
        return f"| {row.library} | | not run: {row.why} | | | |"
    cells = [row.library, row.version, *(_cell(name, finding) for name, finding in row.findings.items())]
    return f"| {' | '.join(cells)} |"


def _cell(name: str, finding: Finding) -> str:
    count = len(finding.payments)
    said = f"ran {TIMES[count]}" if count < len(TIMES) else f"ran **{count} times**"
    if name == "edited" and finding.payments:
        said = f"ran with {'**' + EDITED + '**' if EDITED in finding.payments else AMOUNT}"
    elif asked := [each["said"] for each in finding.steps if "asks: " in each.get("said", "")]:
        return f"{said}, then asks a person" if asked else said
    refused = [each.partition(":")[0] for each in finding.refusals]
    return f"{said}; {', '.join(dict.fromkeys(refused))}" if refused else said


def main() -> None:
    """Plays the libraries asked for; prints a table, or everything as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.double_resume", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--json", action="store_true", help="what every step said, as JSON")
    parser.add_argument("--only", default="", help="libraries, by the beginnings of their names, with commas")
    asked = parser.parse_args()
    chosen = [each for each in LIBRARIES if not asked.only or each.name.startswith(tuple(asked.only.split(",")))]
    if not asked.json:
        print("| library | version | resumed twice | by two at once | edited while stored | killed in the tool |")
        print("|---|---|---|---|---|---|")
    rows: list[Row] = []
    for each in chosen:
        rows.append(play(each))
        if not asked.json:
            print(as_text(rows[-1]), flush=True)
    if asked.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
