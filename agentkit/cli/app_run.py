"""`agentkit app run`: an app folder run once, here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from agentkit.cli.commands import AsJson, Folder
from agentkit.cli.foreground import filled, run_to_end
from agentkit.cli.inputs import Asked, FileOption, InputOption, SetOption, SetupOption, read_value
from agentkit.cli.local_app import opened
from agentkit.cli.samples import Sample, samples_in
from agentkit.cli.screen import Screen

__all__ = ["CompatOption", "FunctionOption", "OutOption", "SecretsOption", "run"]

FunctionOption = Annotated[str | None, typer.Option("--function", help="Which function. [default: the app's own]")]
OutOption = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Save the files it makes there.")]
CompatOption = Annotated[
    bool,
    typer.Option(
        "--compat", help="`import inferencesh` means agentkit, also where no line `import inferencesh` shows it."
    ),
]
SecretsOption = Annotated[
    Path | None,
    typer.Option(
        "--secrets", metavar="FILE", help="KEY=VALUE lines. What inf.yml names is taken from the environment too."
    ),
]


def run(
    folder: Folder = Path(),
    input: InputOption = None,
    sets: SetOption = None,
    files: FileOption = None,
    function: FunctionOption = None,
    setup: SetupOption = None,
    out: OutOption = None,
    secrets: SecretsOption = None,
    compat: CompatOption = False,
    as_json: AsJson = False,
) -> int:
    """Runs the app in a worker process of this machine and prints its output. No server is needed.

    Status and log go to stderr, the output as JSON to stdout. Without an input the first sample of the folder is taken
    (*.input.json, examples/*.json). Ctrl-C cancels the task.

    \b
    agentkit app run --set text=hello --set times=3
    agentkit app run thumbs --file image=cat.png --set width=200 --out made
    echo '{"text": "hi"}' | agentkit app run --input - --json
    """
    screen = Screen(as_json)
    asked = Asked.parse(input, sets=sets, files=files)
    params: dict[str, Any] = {"function": function, "setup": read_value(setup, option="--setup") if setup else None}
    if not asked.is_given and (sample := _sample(folder, function)):
        screen.say(f"no input given: running the sample {sample.path}")
        asked, params = sample.asked, {**params, **sample.params}
    with opened(folder, screen=screen, secrets_file=secrets, compat=compat) as app:
        told = {name: value for name, value in params.items() if value is not None}
        body = {"app": app.reference, "input": filled(app.client, asked, screen=screen), **told}
        return run_to_end(app.client, body, screen=screen, out=out)


def _sample(folder: Path, function: str | None) -> Sample | None:
    """The first sample, of the function where one was named."""
    found: Sequence[Sample] = samples_in(folder)
    return next((each for each in found if function in (None, each.function or function)), None)
