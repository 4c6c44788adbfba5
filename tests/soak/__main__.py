"""`python -m tests.soak --tasks 2000 --workers 4 --seed 1`: prints the figures as JSON; exit 1 where it fails."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.soak.tasks import Plan, soak


def main() -> int:
    """Runs one soak."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--tasks", type=int, default=2000, help="how many short tasks [2000]")
    parser.add_argument("--workers", type=int, default=4, help="worker processes [4]")
    parser.add_argument("--server-kills", type=int, default=2, help="how often the server is killed [2]")
    parser.add_argument("--worker-pause", type=float, default=1.5, help="seconds between kills of workers, mean [1.5]")
    parser.add_argument("--seed", type=int, default=None, help="of the order of things [a random one, printed]")
    given = parser.parse_args()
    seed = random.randrange(1 << 30) if given.seed is None else given.seed
    plan = Plan(given.tasks, given.workers, given.server_kills, given.worker_pause, seed)
    print(f"soak: seed {seed}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="agentkit-soak-") as folder:
        try:
            report = soak(plan, Path(folder).resolve())
        except AssertionError as error:
            print(f"soak: seed {seed} FAILED: {error}", file=sys.stderr)
            print((Path(folder) / "server.log").read_text(), file=sys.stderr)
            return 1
    print(json.dumps(asdict(report), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
