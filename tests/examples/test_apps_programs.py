"""The programs around the example apps as their reader runs them: in one process, on a server, and interrupted."""

from __future__ import annotations

import importlib
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import pytest
from PIL import Image

from agentkit.cli.main import main as agentkit_command
from examples.apps.samples import draw_pictures
from tests.examples.desk_process import ROOT, environment

pytestmark = pytest.mark.timeout(90)

PROGRAMS = ("resize_folder", "session_notes", "stream_story")
NOTES = """\
text 1: 12 words, 10 of them new
text 2: 16 words, 10 of them new
text 3: 8 words, 6 of them new
36 words, 26 different, 5 sentences
readability 29.4: very easy; longest: extraordinary, unfortunately, redecoration
session: active, 4 calls
"""
GONE_SECONDS = 15.0


def command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", f"examples.{name}", *arguments]


def run(name: str, *arguments: str, code: int | str | None = None) -> tuple[str, str]:
    """What the program prints on stdout and on stderr, run in this process; `code` as it is given to `sys.exit`."""
    module, ended = importlib.import_module(f"examples.{name}"), None
    with (
        mock.patch.object(sys, "argv", [f"examples.{name}", *arguments]),
        redirect_stdout(io.StringIO()) as out,
        redirect_stderr(io.StringIO()) as errors,
    ):
        try:
            module.main()
        except SystemExit as end:
            ended = end.code
    told = f"{ended}\n" if isinstance(ended, str) else ""  # as the interpreter does at its end
    assert (1 if told else ended) == code, f"{ended}\n{out.getvalue()}{errors.getvalue()}"
    return out.getvalue(), f"{errors.getvalue()}{told}"


def started(name: str, *arguments: str) -> tuple[str, str]:
    """What the program prints in a process of its own, which ends well."""
    done = subprocess.run(
        command(name, *arguments),
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=80,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def server() -> Generator[str]:
    """The URL of an `agentkit serve`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "agentkit", "serve", "--port", "0", "--json"],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, "the server said nothing"
        yield json.loads(line)["url"]
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()
            process.communicate()


Program = Callable[..., tuple[str, str]]


@pytest.fixture(params=["here", "there"])
def program(request: pytest.FixtureRequest) -> Program:
    """Runs a program: in a process of its own with everything it needs, and in this process against a server."""
    if request.param == "here":
        return started
    url = request.getfixturevalue("server")
    return lambda name, *arguments: run(name, "--base-url", url, *arguments)


# What it takes to run "here" the notes show in every run.
EACH_WAY = pytest.mark.parametrize(
    "program", [pytest.param("here", marks=pytest.mark.thorough), "there"], indirect=True
)

# -- what they do --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_says_what_the_program_does_and_where_it_runs(name: str) -> None:
    out, err = run(name, "--help", code=0)
    assert f"python -m examples.{name}" in out and "--base-url" in out and "INFERENCE_API_KEY" in out
    assert err == ""


def test_the_notes_are_counted_over_the_whole_session(program: Program) -> None:
    assert program("session_notes") == (NOTES, "")


def test_notes_come_from_files_too(server: str, tmp_path: Path) -> None:
    for name, text in (("a.txt", "One two three."), ("b.txt", "Two more.")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    out, _ = run("session_notes", "--base-url", server, *(str(tmp_path / name) for name in ("a.txt", "b.txt")))
    assert out.startswith("a.txt: 3 words, 3 of them new\nb.txt: 2 words, 1 of them new\n5 words, 4 different")


@EACH_WAY
def test_a_story_is_printed_as_it_grows_and_whole(program: Program, tmp_path: Path) -> None:
    corpus = tmp_path / "line.txt"
    corpus.write_text("Only this one sentence is known here. ", encoding="utf-8")
    arguments = ["--corpus", str(corpus), "--words", "14", "--delay", "0.01", "--order", "3"]
    sentence = "Only this one sentence is known here."
    assert program("stream_story", *arguments) == (f"{sentence} {sentence}\n", "")


def test_a_story_ends_early_when_it_is_cancelled(server: str) -> None:
    out, err = run("stream_story", "--base-url", server, "--words", "2000", "--delay", "0.05", "--cancel-after", "5")
    told, _, end = out.partition("\n(")
    assert end == "Task cancelled)\n"
    assert 5 <= len(told.split()) < 100
    assert err == ""


@EACH_WAY
def test_every_picture_of_a_folder_is_resized_and_one_that_is_none_stops_nothing(
    program: Program, tmp_path: Path
) -> None:
    photos, small = tmp_path / "photos", tmp_path / "small"
    photos.mkdir()
    draw_pictures(photos)
    out, err = program("resize_folder", str(photos), "--out", str(small), "--width", "200")
    said = dict(line.split(": ", 1) for line in out.splitlines())
    assert said.pop("note.png").endswith(
        "'note.png' is no picture that this app can read (AVIF, BMP, GIF, JPEG, PNG, TIFF, WEBP)"
    )
    assert said == {"dance.gif": "dance-200x50.gif", "logo.png": "logo-200x200.png", "photo.jpg": "photo-200x300.jpg"}
    assert err.splitlines()[-1] == "4 done, 0 under way"
    found = {}
    for path in small.iterdir():
        with Image.open(path) as image:
            found[path.name] = (image.size, getattr(image, "n_frames", 1))
    assert found == {
        "dance-200x50.gif": ((200, 50), 8),
        "logo-200x200.png": ((200, 200), 1),
        "photo-200x300.jpg": ((200, 300), 1),
    }


def test_pictures_are_drawn_for_those_who_have_none(server: str, tmp_path: Path) -> None:
    run("resize_folder", "--base-url", server, "--out", str(tmp_path / "out"), "--format", "webp")
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".webp"}


@pytest.mark.parametrize("app", ["image_resizer", "text_stats", "story_stream"])
def test_the_samples_in_an_app_folder_come_out_as_they_say(
    app: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit) as end:
        agentkit_command(["app", "test", str(ROOT / "examples" / "apps" / app)])
    assert end.value.code == 0, out.getvalue()


# -- what goes wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("resize_folder", "{tmp}/none"), "No such file or directory"),
        (("session_notes", "{tmp}/none.txt"), "none.txt"),
        (("stream_story", "--words", "0"), "words"),
        (("stream_story", "--base-url", "http://127.0.0.1:9"), "127.0.0.1"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_1(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    filled = [each.replace("{tmp}", str(tmp_path)) for each in arguments]
    out, err = run(*filled, code=1)  # as the interpreter makes of a sentence
    assert (out.strip(), err.startswith("error: "), len(err.splitlines())) == ("", True, 1), err
    assert said in err


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes the way of Linux")
@pytest.mark.parametrize("name", ["stream_story", pytest.param("session_notes", marks=pytest.mark.thorough)])
def test_ctrl_c_ends_the_program_and_every_process_it_started(name: str, tmp_path: Path) -> None:
    arguments = ["--words", "2000", "--delay", "0.2"]
    if name == "session_notes":
        short, long = tmp_path / "short.txt", tmp_path / "long.txt"  # the long one takes longer than this test
        short.write_text("one", encoding="utf-8")
        long.write_text("word by word and on and on. " * 1_500_000, encoding="utf-8")
        arguments = [str(short), str(long)]
    with subprocess.Popen(
        command(name, *arguments),
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.read(4), "it is under way"
            below = _below(process.pid)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=40)
        finally:
            process.kill()
    assert below
    assert (process.returncode, errors) == (130, b"")
    until = time.monotonic() + GONE_SECONDS
    while left := [pid for pid in below if _is_alive(pid)]:
        assert time.monotonic() < until, f"processes left: {left}"
        time.sleep(0.05)


def _below(pid: int) -> list[int]:
    """The processes that this one started, and those that they did."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
