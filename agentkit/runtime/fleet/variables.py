"""What a worker process finds in its environment: little of the server's, nothing secret, a home of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["worker_variables"]

PASSED: Final = frozenset(
    {
        "PATH",
        "LANG",
        "LANGUAGE",
        "TZ",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "LD_LIBRARY_PATH",  # where CUDA is
        "CUDA_VISIBLE_DEVICES",
        "NVIDIA_VISIBLE_DEVICES",
        "SYSTEMROOT",  # Windows cannot start a process without it
    }
)


def worker_variables(
    own: Mapping[str, str], *, home: Path, scratch: Path, server: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The variables of a worker: the server's that are passed on, then `own` (the app's and its secrets)."""
    passed = {name: value for name, value in server.items() if name in PASSED or name.startswith("LC_")}
    return {
        "PATH": os.defpath,
        **passed,
        "HOME": str(home),
        "TMPDIR": str(scratch / "tmp"),
        "PYTHONNOUSERSITE": "1",
        **own,
    }
