"""The apps that the documents name, as real little apps: folders that a runtime is given or that are deployed.

    folders = write_apps(tmp_path, "your-app", "my-stateful-app@abc123")
    with home(apps=folders) as there: ...

A version that a document writes (`@abc123`) is the version's real id where the folder is given to the runtime.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

__all__ = ["APPS", "HEAD", "write_app", "write_apps"]

HEAD = """\
import asyncio, os, time
from collections.abc import AsyncIterator
from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput, BaseAppSetup, File

"""

ANSWERING = """
class Setup(BaseAppSetup):
    model: str = "dev"

class Input(BaseAppInput):
    prompt: str = ""
    key: str = ""

class Output(BaseAppOutput):
    text: str
    model: str
    pid: int

class App(BaseApp):
    async def setup(self, config: Setup):
        self.model = config.model

    async def run(self, app_input: Input) -> Output:
        print("answering", flush=True)
        return Output(text=(app_input.prompt or app_input.key).upper(), model=self.model, pid=os.getpid())
"""

WRITING = """
class Setup(BaseAppSetup):
    model: str = "dev"

class Input(BaseAppInput):
    prompt: str = ""
    action: str = ""
    start: bool = False

class Output(BaseAppOutput):
    text: str
    model: str
    calls: int

class Step(BaseAppInput):
    x: int

class App(BaseApp):
    async def setup(self, config: Setup):
        self.model, self.calls, self.steps = config.model, 0, []

    async def run(self, app_input: Input) -> AsyncIterator[Output]:
        self.calls += 1
        words = (app_input.prompt or app_input.action or "nothing").split()
        print("writing", len(words), "words", flush=True)
        for count in range(1, len(words) + 1):
            yield Output(text=" ".join(words[:count]), model=self.model, calls=self.calls)
            await asyncio.sleep(0.15)

    async def step(self, step: Step) -> Output:
        self.steps.append(step.x)
        return Output(text=str(self.steps), model=self.model, calls=self.calls)
"""

STATEFUL = """
class Input(BaseAppInput):
    prompt: str

class Step(BaseAppInput):
    step: int

class Output(BaseAppOutput):
    heard: list[str]
    pid: int

class App(BaseApp):
    async def setup(self):
        self.heard = []

    async def run(self, app_input: Input) -> Output:
        return self.hear(app_input.prompt)

    async def process(self, step: Step) -> Output:
        return self.hear(f"step {step.step}")

    def hear(self, text):
        self.heard.append(text)
        return Output(heard=list(self.heard), pid=os.getpid())
"""

PAINTING = """
class Setup(BaseAppSetup):
    model: str = "dev"

class Input(BaseAppInput):
    prompt: str

class Output(BaseAppOutput):
    image: File

class App(BaseApp):
    async def setup(self, config: Setup):
        self.model = config.model

    async def run(self, app_input: Input) -> Output:
        with open("painting.png", "wb") as file:
            file.write(b"\\x89PNG\\r\\n\\x1a\\n" + f"{self.model}: {app_input.prompt}".encode())
        return Output(image=File(path="painting.png"))
"""

LOOKING = """
class Input(BaseAppInput):
    image: File

class Output(BaseAppOutput):
    size: int
    content_type: str
    first: str

class App(BaseApp):
    async def run(self, app_input: Input) -> Output:
        image = app_input.image
        with open(image.path, "rb") as file:
            return Output(size=image.size, content_type=image.content_type, first=file.read(8).hex())
"""

LONG_RUNNING = """
class Input(BaseAppInput):
    pass

class Output(BaseAppOutput):
    text: str

class App(BaseApp):
    async def run(self, app_input: Input) -> Output:
        print("it will take long", flush=True)
        await asyncio.sleep(3600)
        return Output(text="done")
"""

ECHO = """
class Input(BaseAppInput):
    message: str

class Output(BaseAppOutput):
    message: str

class App(BaseApp):
    async def run(self, app_input: Input) -> Output:
        return Output(message=app_input.message)
"""

APPS = {
    "your-app": ANSWERING,
    "my-app": WRITING,
    "my-stateful-app": STATEFUL,
    "image-processor": LOOKING,
    "image-app": LOOKING,
    "long-running-app": LONG_RUNNING,
    "infsh/flux": PAINTING,
    "infsh/echo": ECHO,
    "myteam/my-app": ANSWERING,
}


def write_app(folder: Path, code: str, *, name: str = "probe", head: str = HEAD, manifest: str = "") -> Path:
    """An app's folder; `manifest` is more of its inf.yml, as YAML."""
    folder.mkdir(parents=True)
    (folder / "inf.yml").write_text(f"name: {name}\n" + dedent(manifest), encoding="utf-8")
    (folder / "inference.py").write_text(head + dedent(code), encoding="utf-8")
    (folder / "__init__.py").touch()
    return folder


def write_apps(root: Path, *references: str) -> dict[str, Path]:
    """The folders of the documents' apps by the references they are written with; all of them without any."""
    return {each: _folder(root, each) for each in references or APPS}


def _folder(root: Path, reference: str) -> Path:
    path = reference.partition("@")[0]
    namespace, _, name = path.rpartition("/")
    manifest = f"namespace: {namespace}\n" if namespace else ""
    return write_app(root / path.replace("/", "-"), APPS[path], name=name, manifest=manifest)
