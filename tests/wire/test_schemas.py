"""The files in schemas/ are those of the models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from agentkit.schemas import documents, models
from agentkit.wire import Chat, ChatMessage, Task

SCHEMAS = Path(__file__).parents[2] / "schemas"
DOCUMENTS = documents()
REST = "openapi.json"  # of the endpoints, not of a model


def test_the_files_are_up_to_date() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in SCHEMAS.glob("*.json")}
    assert written == DOCUMENTS, "run `make schemas`"


def test_there_is_a_file_for_every_public_model() -> None:
    assert DOCUMENTS.keys() == {f"{model.__name__}.json" for model in models()} | {REST}
    assert {"Chat.json", "Task.json", "RunAgentRequest.json", "Page.json"} <= DOCUMENTS.keys()


@pytest.mark.parametrize("name", sorted(DOCUMENTS.keys() - {REST}))
def test_each_is_a_json_schema_with_sorted_keys_that_allows_unknown_fields(name: str) -> None:
    text = DOCUMENTS[name]
    schema = json.loads(text)
    Draft202012Validator.check_schema(schema)
    assert text == json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    root = schema["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    assert root["additionalProperties"] is True


@pytest.mark.parametrize("model", [Chat, ChatMessage, Task])
def test_what_a_model_writes_fits_its_schema(model: type[Chat | ChatMessage | Task]) -> None:
    schema = json.loads(DOCUMENTS[f"{model.__name__}.json"])
    Draft202012Validator(schema).validate(model(id="x").to_wire())


def test_the_module_writes_them_where_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "new" / "other.txt").parent.mkdir()
    (tmp_path / "new" / "other.txt").write_text("mine")
    command = [sys.executable, "-W", "error", "-m", "agentkit.schemas", str(tmp_path / "new")]
    done = subprocess.run(command, cwd=SCHEMAS.parent, capture_output=True, text=True, timeout=15, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "new").glob("*.json")}
    assert written.items() >= DOCUMENTS.items()
    assert (tmp_path / "new" / "other.txt").read_text() == "mine"
