"""Sealing: what is sealed opens with its key, in its row, unchanged, and in no other way."""

from __future__ import annotations

import base64
import os
import stat
import sys
from pathlib import Path

import anyio
import pytest

from agentkit.errors import ConfigError, MissingExtraError
from agentkit.runtime.credentials.keyring import Keyring
from agentkit.runtime.credentials.sealing import BadSeal, Sealer, SecretKey, parse_keys

ROW = ("secret", "local", "TOKEN")
OLD, NEW = SecretKey(b"o" * 32), SecretKey(b"n" * 32)


@pytest.mark.parametrize("value", ["a", "hunter2" * 1000, "ü\n\ud800", "-----BEGIN\nKEY-----\n"], ids=range(4))
def test_what_is_sealed_opens_and_never_looks_the_same_twice(value: str) -> None:
    sealer = Sealer([OLD])
    one, two = sealer.seal(value, row=ROW), sealer.seal(value, row=ROW)
    assert one != two
    if len(plain := value.encode("utf-8", "surrogatepass")) > 4:  # a single letter is in one of nine random texts
        assert plain not in base64.urlsafe_b64decode(one.split(".")[2])
    assert sealer.open(one, row=ROW) == sealer.open(two, row=ROW) == value


@pytest.mark.requirement("secret:bound-to-its-row")
@pytest.mark.parametrize(
    "row",
    [
        ("secret", "local", "OTHER"),
        ("secret", "eve", "TOKEN"),
        ("integration", "local", "TOKEN"),
        ("secret", "localT", "OKEN"),
    ],
    ids="-".join,
)
def test_what_was_moved_to_another_row_does_not_open(row: tuple[str, ...]) -> None:
    sealer = Sealer([OLD])
    with pytest.raises(BadSeal) as caught:
        sealer.open(sealer.seal("v", row=ROW), row=row)
    assert caught.value.key_id is None


def test_not_a_byte_of_it_can_be_changed() -> None:
    sealer = Sealer([OLD])
    form, key_id, box = sealer.seal("value", row=ROW).split(".")
    raw = base64.urlsafe_b64decode(box)
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        with pytest.raises(BadSeal):
            sealer.open(f"{form}.{key_id}.{base64.urlsafe_b64encode(changed).decode()}", row=ROW)


@pytest.mark.parametrize("sealed", ["", "v1", "v1.x", "v2.ab.cd", "plain text", "v1..", "v1.{id}.", "v1.{id}.%%%"])
def test_what_nobody_sealed_does_not_open(sealed: str) -> None:
    with pytest.raises(BadSeal):
        Sealer([OLD]).open(sealed.format(id=OLD.id), row=ROW)


def test_another_key_does_not_open_it_and_the_error_names_the_one_that_would() -> None:
    with pytest.raises(BadSeal) as caught:
        Sealer([NEW]).open(Sealer([OLD]).seal("v", row=ROW), row=ROW)
    assert caught.value.key_id == OLD.id


def test_older_keys_open_and_the_first_one_seals() -> None:
    sealed = Sealer([OLD]).seal("v", row=ROW)
    both = Sealer([NEW, OLD])
    assert both.open(sealed, row=ROW) == "v" and both.knows(sealed) and not both.is_current(sealed)
    anew = both.seal("v", row=ROW)
    assert both.is_current(anew) and Sealer([NEW]).open(anew, row=ROW) == "v"


def test_keys_are_not_shown() -> None:
    key = SecretKey.new()
    shown = f"{key!r} {Sealer([key])!r} {Keyring([key])!r} {key.id}"
    assert key.text not in shown and repr(key.data) not in shown


def test_keys_are_read_in_every_spelling_of_base64() -> None:
    data = bytes(range(224, 256))
    plain, url = base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()
    assert plain != url
    found = parse_keys(f"{plain},{url.rstrip('=')}\n\n{plain}\n", name="X")
    assert [each.data for each in found] == [data] * 3


@pytest.mark.parametrize(
    "text", ["", " \n,", "hunter2", "hunter2" * 10, base64.b64encode(b"x" * 31).decode(), "ü" * 43], ids=range(6)
)
def test_what_is_no_key_is_refused_by_the_name_of_its_place_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match=r"AGENTKIT_SECRET_KEY holds no key.*openssl rand") as caught:
        Keyring.of({"AGENTKIT_SECRET_KEY": text or ","}, db=":memory:")
    assert not text.strip(" \n,") or text not in str(caught.value)


# -- the key file --------------------------------------------------------------------------------------------------


async def test_the_key_file_is_made_when_it_is_first_needed_for_its_owner_alone(tmp_path: Path) -> None:
    db, file = tmp_path / "a.db", tmp_path / "a.db.key"
    ring = Keyring.of({}, db=db)
    assert await ring.sealer(may_make=False) is None and not file.exists()
    sealer = await ring.sealer(may_make=True)
    assert sealer is not None and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["a.db.key"]
    again = await Keyring.of({}, db=db).sealer(may_make=False)
    assert again is not None and again.open(sealer.seal("v", row=ROW), row=ROW) == "v"


async def test_many_who_make_the_key_file_at_once_have_the_same_key(tmp_path: Path) -> None:
    rings = [Keyring(file=tmp_path / "key") for _ in range(8)]
    found: list[Sealer] = []

    async def take(ring: Keyring) -> None:
        sealer = await ring.sealer(may_make=True)
        assert sealer is not None
        found.append(sealer)

    async with anyio.create_task_group() as group:
        for ring in rings:
            group.start_soon(take, ring)
    assert len({each.key_ids[0] for each in found}) == 1 and len(found) == 8


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777], ids=oct)
async def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "key"
    file.write_text(OLD.text)
    file.chmod(mode)
    with pytest.raises(ConfigError, match=rf"chmod 600 {file}"):
        await Keyring.of({"AGENTKIT_SECRET_KEY_FILE": str(file)}, db=":memory:").sealer(may_make=True)


async def test_a_key_file_that_cannot_be_had_names_both_variables(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"AGENTKIT_SECRET_KEY_FILE.*AGENTKIT_SECRET_KEY") as caught:
        await Keyring(file=tmp_path / "none" / "key").sealer(may_make=True)
    assert "No such file" in str(caught.value)


async def test_a_key_in_the_environment_goes_before_every_file(tmp_path: Path) -> None:
    environ = {"AGENTKIT_SECRET_KEY": OLD.text, "AGENTKIT_SECRET_KEY_FILE": str(tmp_path / "key")}
    sealer = await Keyring.of(environ, db=tmp_path / "a.db").sealer(may_make=True)
    assert sealer is not None and sealer.key_ids == [OLD.id] and os.listdir(tmp_path) == []


def test_without_the_package_the_error_is_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'agentkit\[secrets\]'"):
        Sealer([OLD]).seal("v", row=ROW)
