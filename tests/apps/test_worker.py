"""The worker process by itself, over its pipes: what it answers to each message, and how it ends."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.apps.control import MARK
from agentkit.apps.messages import (
    Asked,
    BadMessage,
    Cancel,
    Canceled,
    Done,
    Failed,
    Hello,
    Kept,
    Lines,
    Load,
    Message,
    Output,
    Ping,
    Pong,
    Ready,
    Run,
    Settled,
    SetUp,
    Stop,
    decode,
    encode,
)

SECONDS = 10  # how long a test waits for what must happen
TOKEN = "0123456789abcdef"

ECHO = """
from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput, File

class Words(BaseAppInput):
    text: str = ""
    file: File | None = None

class Answer(BaseAppOutput):
    text: str = ""
    file: File | None = None

class App(BaseApp):
    async def setup(self, metadata):
        print("set up on", metadata.worker_id)

    async def run(self, words: Words, metadata) -> Answer:
        print("hears", words.text)
        return Answer(text=words.text.upper())

    async def unload(self):
        print("unloads")
"""


class Pipes:
    """A worker process and its three pipes."""

    def __init__(self, scratch: Path) -> None:
        command = [sys.executable, "-u", "-m", "agentkit.apps.worker", str(scratch)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=scratch
        )
        self._lines = Lines()
        self._received: list[Message] = []

    def send(self, *messages: Message) -> None:
        assert self.process.stdin is not None
        for message in messages:
            self.process.stdin.write(encode(message))
        self.process.stdin.flush()

    def receive(self) -> Message:
        assert self.process.stdout is not None
        until = time.monotonic() + SECONDS
        while not self._received:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, until - time.monotonic()))
            assert ready, "no answer in time"
            chunk = os.read(self.process.stdout.fileno(), 1 << 16)
            assert chunk, f"the worker is gone: {self.log()}"
            self._received.extend(map(decode, self._lines.feed(chunk)))
        return self._received.pop(0)

    def ask(self, message: Message) -> Message:
        self.send(message)
        return self.receive()

    def log(self) -> str:
        assert self.process.stderr is not None
        self.process.wait(SECONDS)
        return self.process.stderr.read().decode()

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self.process.wait(SECONDS)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Pipes]]:
    """Starts a worker and says hello; with a source it loads that app and sets it up."""
    started: list[Pipes] = []

    def starting(source: str | None = None, **more: Any) -> Pipes:
        scratch = tmp_path / f"scratch{len(started)}"
        scratch.mkdir()
        pipes = Pipes(scratch)
        started.append(pipes)
        assert isinstance(pipes.receive(), Hello)
        if source is not None:
            folder = tmp_path / f"app{len(started)}"
            folder.mkdir()
            (folder / "inference.py").write_text(textwrap.dedent(source))
            ready = pipes.ask(Load(str(folder), TOKEN, **more))
            assert isinstance(ready, Ready), ready
            settled = pipes.ask(SetUp(None, {"worker_id": "w1"}))
            assert isinstance(settled, Settled), settled
        return pipes

    yield starting
    for pipes in started:
        pipes.close()


# -- messages ------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=10,
)
MESSAGES = st.one_of(
    st.builds(Load, TEXT, TEXT, st.booleans(), st.none() | st.integers()),
    st.builds(SetUp, JSON, st.dictionaries(TEXT, JSON)),
    st.builds(Run, TEXT, st.none() | TEXT, JSON, st.just({"u": {"path": "/p"}}), st.dictionaries(TEXT, JSON)),
    st.builds(Output, TEXT, JSON, st.lists(st.dictionaries(TEXT, TEXT)), st.booleans()),
    st.builds(Failed, st.none() | TEXT, TEXT, st.integers(), st.booleans()),
    st.sampled_from([Stop(), Ping(), Pong(), Kept("t"), Done("t", 1), Canceled("t", 2), Asked("t", True), Hello(3)]),
)


@given(st.lists(MESSAGES, max_size=5), st.integers(1, 50))
def test_every_message_survives_its_line_however_it_is_cut(messages: list[Message], size: int) -> None:
    stream = b"".join(map(encode, messages))
    lines = Lines()
    found = [line for at in range(0, len(stream), size) for line in lines.feed(stream[at : at + size])]
    assert [decode(line) for line in found] == messages


@pytest.mark.parametrize(
    "line", [b"", b"x", b"[]", b"{}", b'{"type":"No"}', b'{"type":"Kept"}', b'{"type":"Stop","more":1}', b"\xff"]
)
def test_a_line_that_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(BadMessage):
        decode(line)


# -- a life --------------------------------------------------------------------------------------------------------


def test_a_worker_loads_sets_up_runs_and_stops(start: Callable[..., Pipes]) -> None:
    worker = start(ECHO)
    worker.send(Run("t1", None, {"text": "hi"}))
    output, done = worker.receive(), worker.receive()
    assert isinstance(output, Output)
    assert (output.task_id, output.value["text"], output.files, output.is_last) == ("t1", "HI", [], True)
    assert done == Done("t1", mark=3)
    worker.send(Stop())
    assert worker.process.wait(SECONDS) == 0
    mark = (MARK + TOKEN.encode()).decode()
    assert worker.log().split("\n") == [
        f"{mark}:1", "set up on w1", f"{mark}:2", "hears hi", f"{mark}:3", "unloads", f"{mark}:4", "",
    ]  # fmt: skip


def test_a_worker_answers_while_it_is_idle(start: Callable[..., Pipes]) -> None:
    assert start().ask(Ping()) == Pong()


def test_a_worker_imports_nothing_that_most_apps_do_without() -> None:
    heavy = ("httpx", "tenacity", "agentkit.wire", "agentkit.client", "agentkit.runtime", "urllib.request")
    code = f"import sys, agentkit.apps.hosting; print([name for name in {heavy!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_a_worker_is_ready_soon(start: Callable[..., Pipes]) -> None:
    began = time.monotonic()
    start(ECHO)
    assert time.monotonic() - began < 5, "it takes about half a second on an idle machine"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import no_such", "ModuleNotFoundError: No module named 'no_such'"),
        ("x = (", "SyntaxError"),
        ("x = 1", "defines no app"),
        ("import sys; sys.exit(2)", "SystemExit: 2"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_an_app_that_cannot_be_loaded_is_told(
    start: Callable[..., Pipes], tmp_path: Path, source: str, error: str
) -> None:
    (tmp_path / "inference.py").write_text(source)
    worker = start()
    failed = worker.ask(Load(str(tmp_path), TOKEN))
    assert isinstance(failed, Failed)
    assert error in failed.error
    assert worker.ask(Ping()) == Pong(), "the process is still there, to be stopped in good order"


def test_two_workers_in_one_folder_do_not_share_a_file(start: Callable[..., Pipes]) -> None:
    source = """
    from pathlib import Path
    from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput
    class In(BaseAppInput): ...
    class Out(BaseAppOutput):
        was_there: bool
    class App(BaseApp):
        def run(self, input: In) -> Out:
            was_there = Path("mine").exists()
            Path("mine").touch()
            return Out(was_there=was_there)
    """
    for worker in (start(source), start(source)):
        output = worker.ask(Run("t1", None, {}))
        assert isinstance(output, Output)
        assert output.value["was_there"] is False


def test_an_app_s_own_exceptions_are_told_by_their_names_and_others_whole(start: Callable[..., Pipes]) -> None:
    worker = start(
        """
        import json
        from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput

        class PictureError(Exception): ...

        class Shape:
            class TooLarge(PictureError): ...

        class App(BaseApp):
            def own(self, given: BaseAppInput) -> BaseAppOutput: raise PictureError("no picture: 12.5")
            def nested(self, given: BaseAppInput) -> BaseAppOutput: raise Shape.TooLarge("9")
            def noted(self, given: BaseAppInput) -> BaseAppOutput: raise RuntimeError(f"{App.__module__}.App has none")
            def foreign(self, given: BaseAppInput) -> BaseAppOutput: json.loads("{")
            def plain(self, given: BaseAppInput) -> BaseAppOutput: raise ValueError("bad size")
        """
    )
    errors: list[str] = []
    for function in ("own", "nested", "noted", "foreign", "plain"):
        failed = worker.ask(Run("t1", function, {}))
        assert isinstance(failed, Failed)
        errors.append(failed.error)
    assert errors == [
        "PictureError: no picture: 12.5",
        "Shape.TooLarge: 9",
        "RuntimeError: inference.App has none",
        "json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        "ValueError: bad size",
    ]


def test_an_output_has_its_meta_only_where_the_app_gives_one(start: Callable[..., Pipes]) -> None:
    worker = start(
        """
        from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput, OutputMeta, TextMeta

        class Answer(BaseAppOutput):
            text: str | None = None

        class App(BaseApp):
            def bare(self, given: BaseAppInput) -> Answer: return Answer()
            def priced(self, given: BaseAppInput) -> Answer:
                return Answer(output_meta=OutputMeta(inputs=[TextMeta(tokens=3)]))
        """
    )
    bare = worker.ask(Run("t1", "bare", {}))
    assert isinstance(bare, Output) and bare.value == {"text": None}
    assert isinstance(worker.receive(), Done)
    priced = worker.ask(Run("t2", "priced", {}))
    assert isinstance(priced, Output) and priced.value["output_meta"]["inputs"][0]["tokens"] == 3


def test_an_output_with_a_file_waits_until_it_is_kept(start: Callable[..., Pipes]) -> None:
    worker = start("""
    from pathlib import Path
    from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput, File
    class In(BaseAppInput): ...
    class Out(BaseAppOutput):
        file: File
        nested: dict[str, list[File]] = {}
    class App(BaseApp):
        async def run(self, input: In) -> Out:
            Path("a.txt").write_text("one")
            return Out(file=File(path="a.txt"), nested={"x": [File(path="a.txt")]})
    """)
    output = worker.ask(Run("t1", None, {}))
    assert isinstance(output, Output)
    assert output.value["file"] == {TOKEN: 0}
    assert output.value["nested"] == {"x": [{TOKEN: 1}]}
    assert [Path(file["path"]).read_text() for file in output.files] == ["one", "one"]
    assert worker.ask(Kept("t1")) == Done("t1", mark=3)


def test_a_cancel_for_another_task_is_ignored(start: Callable[..., Pipes]) -> None:
    worker = start(ECHO)
    worker.send(Cancel("t0"), Kept("t0"), Run("t1", None, {"text": "hi"}))
    assert isinstance(worker.receive(), Output)
    assert isinstance(worker.receive(), Done)


def test_a_cancelled_app_is_asked_first(start: Callable[..., Pipes]) -> None:
    worker = start("""
    import asyncio
    from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput
    class In(BaseAppInput): ...
    class Out(BaseAppOutput): ...
    class App(BaseApp):
        async def setup(self): self.stopping = asyncio.Event()
        async def on_cancel(self):
            self.stopping.set()
            return True
        async def run(self, input: In) -> Out:
            print("runs", flush=True)
            await self.stopping.wait()
            return Out()
    """)
    worker.send(Run("t1", None, {}))
    assert worker.process.stderr is not None
    while b"runs" not in worker.process.stderr.readline():
        pass
    worker.send(Cancel("t1"))
    answers = [worker.receive() for _ in range(3)]
    assert Asked("t1", is_acknowledged=True) in answers
    assert Done("t1", mark=3) in answers, "it ended by itself"


def test_a_cancel_that_comes_with_the_task_stops_it(start: Callable[..., Pipes]) -> None:
    worker = start(ECHO.replace('print("hears", words.text)', "import asyncio; await asyncio.sleep(600)"))
    for number in range(20):
        worker.send(Run(f"t{number}", None, {}), Cancel(f"t{number}"))
        answers = {type(worker.receive()) for _ in range(2)}
        assert answers == {Asked, Canceled}


def test_sigterm_lets_the_app_clean_up(start: Callable[..., Pipes], tmp_path: Path) -> None:
    worker = start(f"""
    import time
    from pathlib import Path
    from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput
    class In(BaseAppInput): ...
    class Out(BaseAppOutput): ...
    class App(BaseApp):
        async def run(self, input: In) -> Out:
            try:
                print("runs", flush=True)
                time.sleep(600)
            finally:
                Path({str(tmp_path / "cleaned")!r}).touch()
    """)
    worker.send(Run("t1", None, {}))
    assert worker.process.stderr is not None
    while b"runs" not in worker.process.stderr.readline():
        pass
    worker.process.terminate()
    assert worker.process.wait(SECONDS) == 128 + signal.SIGTERM
    assert (tmp_path / "cleaned").exists()


def test_a_server_that_hangs_up_ends_the_worker_and_its_folder_goes(
    start: Callable[..., Pipes], tmp_path: Path
) -> None:
    worker = start(ECHO)
    assert (tmp_path / "scratch0").exists()
    assert worker.process.stdin is not None
    worker.process.stdin.close()
    worker.process.wait(SECONDS)
    assert not (tmp_path / "scratch0").exists()


def test_what_the_app_s_children_print_is_in_the_log(start: Callable[..., Pipes]) -> None:
    worker = start("""
    import subprocess, sys
    from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput
    class In(BaseAppInput): ...
    class Out(BaseAppOutput): ...
    class App(BaseApp):
        def run(self, input: In) -> Out:
            subprocess.run(["echo", "from a child"], check=True)
            print("\\ud800 is no letter")
            return Out()
    """)
    worker.send(Run("t1", None, {}))
    assert isinstance(worker.receive(), Output)
    assert isinstance(worker.receive(), Done)
    worker.send(Stop())
    assert "from a child\n\\ud800 is no letter\n" in worker.log()


def test_an_app_of_the_official_sdk_runs_unchanged(start: Callable[..., Pipes]) -> None:
    worker = start(
        """
        from inferencesh import BaseApp, BaseAppInput, BaseAppOutput
        class AppInput(BaseAppInput):
            name: str
        class AppOutput(BaseAppOutput):
            greeting: str
        class App(BaseApp):
            async def setup(self, metadata): ...
            async def run(self, input_data: AppInput, metadata) -> AppOutput:
                return AppOutput(greeting=f"hello {input_data.name}")
        """,
        is_compat=True,
    )
    output = worker.ask(Run("t1", None, {"name": "ann"}))
    assert isinstance(output, Output)
    assert output.value["greeting"] == "hello ann"
