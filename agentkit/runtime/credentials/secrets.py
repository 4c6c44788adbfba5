"""The secrets of apps: configured once, given to an app only where it names them, shown nowhere.

>>> Secrets({"HF_TOKEN": "hf_1"})
Secrets(HF_TOKEN)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from agentkit.errors import ConfigError

__all__ = ["FILE_VARIABLE", "Hidden", "Secrets", "parse_secrets"]

FILE_VARIABLE: Final = "AGENTKIT_SECRETS_FILE"
_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LINE: Final = re.compile(r"(?:export\s+)?(?P<key>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)")
_ESCAPES: Final = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}


class Hidden(dict[str, str]):
    """Variables whose values are not shown where the object is: logs, tracebacks, test reports."""

    def __repr__(self) -> str:
        return f"Hidden({', '.join(sorted(self))})"

    __str__ = __repr__


class Secrets(Mapping[str, str]):
    """Secrets by name."""

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self._known = Hidden(given or {})
        for key, value in self._known.items():
            if not _KEY.fullmatch(key) or "\x00" in value:
                raise ConfigError(f"secret {key!r}: a name has letters, digits and _, a value no NUL character")

    @classmethod
    def collect(
        cls, given: Mapping[str, str] | None, *, environ: Mapping[str, str], file: str | Path | None = None
    ) -> Self:
        """The secrets of a file, `AGENTKIT_SECRETS_FILE` unless it is named, and over them the given ones.

        Raises ConfigError.
        """
        path = file or environ.get(FILE_VARIABLE)
        return cls({**(_read(Path(path)) if path else {}), **(given or {})})

    def __getitem__(self, key: str) -> str:
        return self._known[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self._known))})"

    def only(self, keys: Iterator[str] | list[str]) -> Hidden:
        """Those of these names that there are."""
        return Hidden({key: self._known[key] for key in keys if key in self._known})


def parse_secrets(text: str, *, name: str) -> dict[str, str]:
    """The `KEY=VALUE` lines of a file; blank lines and `# comments` do not count. Raises ConfigError with the line.

    A value may stand in quotes; in double ones, `\\n`, `\\"` and `\\\\` have their meaning.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ConfigError(f"{name}, line {number}: not KEY=VALUE (a key has letters, digits and _)")
        found[match["key"]] = _unquoted(match["value"])
    return found


def _read(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"the secrets file {str(path)!r} cannot be read: {error.strerror}; see --secrets, {FILE_VARIABLE}"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"the secrets file {str(path)!r} is not UTF-8 text") from None
    return parse_secrets(text, name=str(path))


def _unquoted(value: str) -> str:
    match value[:1], value[-1:]:
        case ("'", "'") if len(value) > 1:
            return value[1:-1]
        case ('"', '"') if len(value) > 1:
            return re.sub(r"\\[n\"\\]", lambda found: _ESCAPES[found[0]], value[1:-1])
        case _:
            return value
