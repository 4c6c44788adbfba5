"""An app as a worker holds it: setup, input, outputs, cancel, unload, on both event loops."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit.apps import Hosted, Metadata
from agentkit.errors import AppDefinitionError, AppError, AppInputError, AppOutputError
from tests.apps.folders import write_app

Write = Callable[..., Hosted]


@pytest.fixture
def hosted(tmp_path: Path) -> Write:
    def load(code: str, **options: Any) -> Hosted:
        return Hosted.load(write_app(tmp_path / "app", code), **options)

    return load


async def outputs(hosted: Hosted, value: Any = None, function: str | None = None, **more: Any) -> list[Any]:
    """The `text` of everything a call gives."""
    input = hosted.check_input(function, value)
    return [getattr(output, "text", output) async for output in hosted.stream(function, input, **more)]


# -- calling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    [
        "async def run(self, it: In) -> Out:\n        return Out(text=it.text * 2)",
        "def run(self, it: In) -> Out:\n        return Out(text=it.text * 2)",
        "def run(self, it: In, /) -> Out:\n        return Out(text=it.text * 2)",
        "def run(self, *, it: In, metadata=None) -> Out:\n        return Out(text=it.text * 2)",
        "def run(self, it: In) -> Out:\n        return {'text': it.text * 2}",
        "async def _go(self, it):\n        return Out(text=it.text * 2)\n"
        "    def run(self, it: In) -> Out:\n        return self._go(it)",
    ],
)
async def test_a_function_gives_one_output_however_it_is_written(hosted: Write, method: str) -> None:
    assert await outputs(hosted(f"class App(BaseApp):\n    {method}"), {"text": "ha"}) == ["haha"]


@pytest.mark.parametrize(
    "method",
    [
        "async def run(self, it: In) -> AsyncGenerator[Out, None]:",
        "async def run(self, it: In) -> AsyncIterator[Out]:",
        "def run(self, it: In) -> Iterator[Out]:",
        "async def run(self, it: In) -> Out:",
    ],
)
async def test_a_generator_gives_each_output_as_it_comes(hosted: Write, method: str) -> None:
    app = hosted(f"""
class App(BaseApp):
    {method}
        for size in range(len(it.text)):
            yield Out(text=it.text[:size + 1])
    """)
    assert await outputs(app, {"text": "abc"}) == ["a", "ab", "abc"]


async def test_everything_is_handed_to_those_who_take_it(hosted: Write) -> None:
    app = hosted("""
class Setup(BaseAppSetup):
    model: str = "small"

class App(BaseApp):
    async def setup(self, config: Setup, metadata):
        self.seen = [config.model, metadata.worker_id]
    async def run(self, it: In, about: Metadata, settings: Setup) -> Out:
        return Out(text=" ".join([*self.seen, settings.model, about.task_id, it.text]))
    def bare(self, it: In) -> Out:
        return Out(text="bare")
    """)
    await app.setup(app.check_setup({"model": "large"}), Metadata(worker_id="w1"))
    assert await outputs(app, {"text": "x"}, metadata=Metadata(task_id="t1")) == ["large w1 large t1 x"]
    assert await outputs(app, {}, "bare") == ["bare"]
    await app.setup(app.check_setup({"model": "tiny"}), Metadata(worker_id="w1"))
    assert await outputs(app, {"text": "x"}, metadata=Metadata(task_id="t2")) == ["tiny w1 tiny t2 x"]


async def test_an_app_of_several_functions_keeps_its_state_between_them(hosted: Write) -> None:
    app = hosted("""
class App(BaseApp):
    pages: list[str] = []
    async def open(self, it: In) -> Out:
        self.pages.append(it.text)
        return Out(text=str(len(self.pages)))
    async def close(self, it: In) -> Out:
        return Out(text=self.pages.pop())
    """)
    assert await outputs(app, {"text": "a"}, "open") == ["1"]
    assert await outputs(app, {"text": "b"}, "open") == ["2"]
    assert await outputs(app, {}, "close") == ["b"]
    with pytest.raises(AppDefinitionError, match="name one of open, close"):
        app.check_input(None, {})


async def test_blocking_code_runs_where_it_is_told_to_and_asynchronous_code_on_the_loop(hosted: Write) -> None:
    code = """
import threading

class App(BaseApp):
    def setup(self):
        self.where = [threading.get_ident()]
    def run(self, it: In) -> Iterator[Out]:
        for _ in range(2):
            self.where.append(threading.get_ident())
            yield Out(text="")
    async def here(self, it: In) -> Out:
        self.where.append(threading.get_ident())
        return Out(text="")
    def unload(self):
        self.where.append(threading.get_ident())
    """
    app = hosted(code, in_thread=lambda call: anyio.to_thread.run_sync(call))
    await app.setup()
    await outputs(app, {}, "run")
    await outputs(app, {}, "here")
    await app.unload()
    home = threading.get_ident()
    assert [ident == home for ident in app.app.where] == [False, False, False, True, False]


async def test_leaving_early_closes_the_generator(hosted: Write) -> None:
    app = hosted("""
class App(BaseApp):
    closed: int = 0
    async def run(self, it: In) -> AsyncGenerator[Out, None]:
        try:
            while True:
                yield Out(text="more")
        finally:
            self.closed += 1
    def blocking(self, it: In) -> Iterator[Out]:
        try:
            while True:
                yield Out(text="more")
        finally:
            self.closed += 1
    """)
    for count, function in enumerate(("run", "blocking"), start=1):
        stream = app.stream(function, app.check_input(function, {}))
        assert (await anext(stream)).text == "more"
        await stream.aclose()
        assert app.app.closed == count


async def test_an_exception_of_the_app_comes_through_after_what_it_gave(hosted: Write) -> None:
    app = hosted("""
class App(BaseApp):
    async def run(self, it: In) -> AsyncGenerator[Out, None]:
        yield Out(text="first")
        raise KeyError("lost")
    """)
    seen = list[Any]()
    with pytest.raises(KeyError, match="lost"):
        async for output in app.stream("run", app.check_input("run", {})):
            seen.append(output)
    assert [output.text for output in seen] == ["first"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return None", "'run' gave None"),
        ("return {'text': 1}", "output of 'run': text: "),
        ("return {}", "output of 'run': text: Field required"),
        ("return 'text'", "output of 'run': "),
        ("return object()", "output of 'run': JSON cannot carry it"),
        ("return iter(())", "'run' ended without an output"),
    ],
)
async def test_what_is_no_output_is_an_error_that_says_why(hosted: Write, body: str, says: str) -> None:
    app = hosted(f"class App(BaseApp):\n    def run(self, it: In) -> Out:\n        {body}")
    with pytest.raises(AppOutputError, match=says):
        await outputs(app, {})


# -- input and setup -----------------------------------------------------------------------------------------------

STRICT = """
from datetime import date
from enum import Enum
from typing import Literal
from pydantic import ConfigDict

class Size(str, Enum):
    small = "s"

class Box(BaseModel):
    width: int
    picture: File

class Form(BaseAppInput):
    model_config = ConfigDict(strict=True)
    when: date
    size: Size
    mode: Literal["fast", "good"] = "fast"
    boxes: list[Box] = []

class App(BaseApp):
    async def run(self, it: Form) -> Out:
        return Out(text=f"{it.when.year} {it.size.value} {it.mode} {len(it.boxes)}")
"""


async def test_input_is_read_as_json_also_by_strict_models(hosted: Write) -> None:
    value = {"when": "2024-02-29", "size": "s", "boxes": [{"width": 1, "picture": "data:,x"}]}
    assert await outputs(hosted(STRICT), value) == ["2024 s fast 1"]


async def test_wrong_input_is_an_error_with_path_and_message_of_each_miss(hosted: Write) -> None:
    value = {"size": "xl", "mode": "fast", "boxes": [{"width": "1.5", "picture": "inf://files/f1/a.png"}]}
    with pytest.raises(AppInputError, match="input of 'run'") as caught:
        hosted(STRICT).check_input("run", value)
    messages = {error["path"]: error["message"] for error in caught.value.errors}
    assert list(messages) == ["when", "size", "boxes.0.width", "boxes.0.picture"]
    assert messages["when"] == "Field required"
    assert messages["boxes.0.picture"].startswith("'inf://files/f1/a.png' is a file of the platform")


@pytest.mark.parametrize("value", ["text", 7, ["a"], object()])
async def test_input_that_is_no_object_is_an_error(hosted: Write, value: Any) -> None:
    with pytest.raises(AppInputError, match="input of 'run'") as caught:
        hosted(STRICT).check_input("run", value)
    assert caught.value.errors[0]["path"] == ""


SETUP = """
class Setup(BaseAppSetup):
    model: str{default}

class App(BaseApp):
    async def setup(self, {parameter}):
        self.got = config
    async def run(self, it: In) -> Out:
        return Out(text=repr(self.got))
"""


@pytest.mark.parametrize(
    ("default", "parameter", "value", "expected"),
    [
        ("", "config: Setup", {"model": "m"}, "Setup(model='m')"),
        (" = 'd'", "config: Setup", None, "Setup(model='d')"),
        (" = 'd'", "config: Setup = None", None, "Setup(model='d')"),
        ("", "config: Setup = None", None, "None"),
        ("", "config: Optional[Setup] = None, metadata=None", {"model": "m"}, "Setup(model='m')"),
        ("", "config", {"any": "thing"}, "{'any': 'thing'}"),
        ("", "config=None", None, "None"),
    ],
)
async def test_setup_gets_its_value_in_every_way_it_is_asked_for(
    hosted: Write, default: str, parameter: str, value: Any, expected: str
) -> None:
    app = hosted(SETUP.format(default=default, parameter=parameter))
    await app.setup(app.check_setup(value))
    assert await outputs(app, {}) == [expected]


async def test_a_setup_value_that_misses_its_model_is_an_error(hosted: Write) -> None:
    app = hosted(SETUP.format(default="", parameter="config: Setup"))
    with pytest.raises(AppInputError, match="setup: model: Field required"):
        app.check_setup(None)
    with pytest.raises(AppInputError, match="setup: model: "):
        app.check_setup({"model": 7})


# -- cancel and unload ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("async def on_cancel(self):\n        self.stopping = True\n        return True", True),
        ("def on_cancel(self) -> bool:\n        self.stopping = True\n        return True", True),
        ("async def on_cancel(self, metadata):\n        return False", False),
        ("async def on_cancel(self):\n        pass", False),
        ("pass", False),
    ],
)
async def test_cancelling_asks_the_app_and_says_whether_it_will_stop(
    hosted: Write, method: str, expected: bool
) -> None:
    app = hosted(f"""
class App(BaseApp):
    stopping: bool = False
    {method}
    async def run(self, it: In) -> AsyncGenerator[Out, None]:
        while not self.stopping:
            yield Out(text="on")
        yield Out(text="stopped")
    """)
    stream = app.stream("run", app.check_input("run", {}))
    assert (await anext(stream)).text == "on"
    assert await app.cancel() is expected
    if expected:
        assert (await anext(stream)).text == "stopped"
    await stream.aclose()


async def test_unloading_calls_the_app_once_and_needs_no_hook(hosted: Write) -> None:
    app = hosted("""
class App(BaseApp):
    async def run(self, it: In) -> Out:
        return Out(text="")
    async def unload(self):
        self.gone = True
    """)
    await app.unload()
    assert app.app.gone
    plain = hosted("class App:\n    async def run(self, it: In) -> Out:\n        return Out(text='plain class')")
    await plain.setup()
    assert await outputs(plain, {}) == ["plain class"]
    await plain.unload()


def test_an_app_that_cannot_be_made_says_why(hosted: Write) -> None:
    with pytest.raises(AppError, match=r"App\(\) failed: RuntimeError: no GPU") as caught:
        hosted("""
class App(BaseApp):
    def __init__(self):
        raise RuntimeError("no GPU")
    async def run(self, it: In) -> Out: ...
        """)
    assert isinstance(caught.value.__cause__, RuntimeError)
