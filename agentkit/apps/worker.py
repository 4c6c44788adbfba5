"""The process that hosts one app: `python -u -m agentkit.apps.worker`, started by a fleet with its pipes (control.py).

    python -u -m agentkit.apps.worker SCRATCH

SCRATCH is the folder it works in, which is removed when the server is gone. Only a few modules are imported before it
forks, so that its guardian stays small.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import NoReturn

from agentkit.apps.control import Control
from agentkit.apps.guardian import guard

__all__ = ["main"]


def main() -> NoReturn:
    """Hosts an app until the server says stop, hangs up, or ends the process."""
    scratch = os.path.abspath(sys.argv[1])
    guard(0, scratch=scratch)
    control = Control.take_over()
    sys.argv[:] = [""]  # an app that parses arguments finds none
    os._exit(importlib.import_module("agentkit.apps.hosting").host(control, scratch=scratch))


if __name__ == "__main__":
    main()
