"""`python -m bench [--quick] [--json] [--rows turn,stream,runtime,call,import]`"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from typing import Any

from agentkit import __version__
from bench.measure import HEADER
from bench.rows import FULL, QUICK, ROWS


def main() -> None:
    """Measures the rows asked for; prints each as soon as it is known, or all of them as JSON."""
    asked = arguments()
    size = QUICK if asked.quick else FULL
    told = machine()
    if not asked.json:
        print(", ".join(f"{name} {value}" for name, value in told.items()))
        print(HEADER)
    rows: list[dict[str, Any]] = []
    for group in asked.rows:
        for row in ROWS[group](size):
            rows.append(row.as_json() | {"group": group})
            if not asked.json:
                print(row.as_text(), flush=True)
    if asked.json:
        json.dump({"machine": told, "quick": asked.quick, "rows": rows}, sys.stdout, indent=1)
        print()


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="What agentkit costs. See bench/README.md.")
    parser.add_argument("--json", action="store_true", help="one JSON document in place of the table")
    parser.add_argument("--quick", action="store_true", help="hardly any repetitions: whether it runs, not how fast")
    parser.add_argument("--rows", type=_rows, default=list(ROWS), help=f"some of {','.join(ROWS)}")
    return parser.parse_args()


def _rows(text: str) -> list[str]:
    asked = text.split(",")
    if unknown := sorted(set(asked) - set(ROWS)):
        raise argparse.ArgumentTypeError(f"no such rows: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    return asked


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "agentkit": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


if __name__ == "__main__":
    main()
