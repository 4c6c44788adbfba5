"""The secrets of apps: where they come from, and that nobody sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentkit.errors import ConfigError
from agentkit.runtime.credentials.secrets import Hidden, Secrets, parse_secrets

TEXT = """\ufeff# keys
HF_TOKEN=hf_1
  export OTHER = two words  # all of it

SINGLE='a "b" \\n'
DOUBLE="a \\"b\\"\\nc \\\\"
EMPTY=
EQUALS=a=b=c
"""


def test_a_file_has_lines_of_key_and_value() -> None:
    assert parse_secrets(TEXT, name="keys") == {
        "HF_TOKEN": "hf_1",
        "OTHER": "two words  # all of it",
        "SINGLE": 'a "b" \\n',
        "DOUBLE": 'a "b"\nc \\',
        "EMPTY": "",
        "EQUALS": "a=b=c",
    }


@pytest.mark.parametrize("line", ["hunter2", "=hunter2", "A B=hunter2", "1A=hunter2", "export hunter2"])
def test_a_line_that_is_wrong_is_named_by_its_number_and_not_repeated(line: str) -> None:
    with pytest.raises(ConfigError, match=r"keys, line 2") as caught:
        parse_secrets(f"A=1\n{line}\n", name="keys")
    assert "hunter2" not in str(caught.value)


def test_what_is_given_goes_before_the_file_and_the_named_file_before_the_environments(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"A={name}\nB={name}\n")
    environ = {"AGENTKIT_SECRETS_FILE": str(tmp_path / "one")}
    assert dict(Secrets.collect({"B": "given"}, environ=environ)) == {"A": "one", "B": "given"}
    assert Secrets.collect(None, environ=environ, file=tmp_path / "two")["A"] == "two"
    assert dict(Secrets.collect(None, environ={})) == {}


def test_a_file_that_cannot_be_read_says_who_named_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such file.*AGENTKIT_SECRETS_FILE"):
        Secrets.collect(None, environ={"AGENTKIT_SECRETS_FILE": str(tmp_path / "none")})
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        Secrets.collect(None, environ={}, file=tmp_path / "binary")


@pytest.mark.parametrize("secrets", [{"A=B": "x"}, {"": "x"}, {"A": "x\x00y"}])
def test_what_cannot_be_a_variable_is_refused_without_its_value(secrets: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Secrets(secrets)
    assert "x" not in str(caught.value).partition(":")[0]


def test_values_are_not_shown() -> None:
    secrets = Secrets({"A": "hunter2", "B": "hunter2"})
    assert (repr(secrets), str(secrets.only(["A", "C"]))) == ("Secrets(A, B)", "Hidden(A)")
    assert "hunter2" not in f"{Hidden({'A': 'hunter2'})!r} {Hidden({'A': 'hunter2'})}"
