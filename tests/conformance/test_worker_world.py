"""What an app can see of the server that runs it: nothing but what it was given."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.conformance.home import home
from tests.conformance.seed_apps import write_app

LOOKING_ROUND = """
class Input(BaseAppInput):
    pass

class Output(BaseAppOutput):
    variables: dict[str, str]
    files: list[str]
    folder: str
    group: int
    stdin: str

class App(BaseApp):
    async def run(self, app_input: Input) -> Output:
        links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
        return Output(variables=dict(os.environ), folder=os.getcwd(), group=os.getpgrp(), stdin=os.read(0, 10).decode(),
                      files=[os.readlink(link) for link in links if os.path.islink(link)])
"""


@pytest.mark.requirement("fleet:isolated")
@pytest.mark.timeout(60)
@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_an_app_sees_its_own_secrets_and_nothing_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-server")
    monkeypatch.setenv("AGENTKIT_API_KEY", "inf_of_the_server_000")
    manifest = "secrets: [{key: MINE}]\nenv: {SIZE: small}"
    app = write_app(tmp_path / "looking", LOOKING_ROUND, name="looking", manifest=manifest)
    with (
        home(db=tmp_path / "agentkit.db", apps={"looking": app}, secrets={"MINE": "m", "OTHERS": "o"}) as there,
        there.client() as client,
    ):
        seen = client.run({"app": "looking", "input": {}})["output"]
    variables = seen["variables"]
    assert (variables["MINE"], variables["SIZE"]) == ("m", "small")
    assert not {"OPENAI_API_KEY", "AGENTKIT_API_KEY", "OTHERS"} & set(variables)
    assert variables["HOME"] != os.environ.get("HOME")
    assert seen["group"] != os.getpgrp() and seen["stdin"] == ""
    assert not [
        name for name in seen["files"] if "agentkit.db" in name or ("socket:" in name and name in _our_sockets())
    ]
    assert str(tmp_path) not in seen["folder"] and not Path(seen["folder"]).is_relative_to(Path.cwd())


def _our_sockets() -> set[str]:
    """The sockets of this process, which is the server's."""
    found = set[str]()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
    return {each for each in found if each.startswith("socket:")}
