"""What a reference means: aliases first, then the provider; without a reference, what the environment offers."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Mapping
from importlib.metadata import EntryPoint

import pytest

from agentkit.errors import ConfigError, ModelNotFoundError
from agentkit.runtime.models import registry
from agentkit.runtime.models.registry import Models, pick
from agentkit.runtime.ports import ModelRequest
from agentkit.testing import Scripted
from agentkit.wire import LLMDelta

KEY = "sk-very-secret-0001"


def picked(ref: str | None, **environ: str) -> tuple[str, str, str]:
    provider, model = pick(ref, environ=environ)
    return provider.name, model, getattr(provider, "base_url", "")


@pytest.mark.parametrize(
    ("ref", "environ", "expected"),
    [
        ("openai/gpt-5-mini", {"OPENAI_API_KEY": KEY}, ("openai", "gpt-5-mini", "https://api.openai.com/v1")),
        ("openai/meta/llama-3", {"OPENAI_BASE_URL": "http://h:1/v1/"}, ("openai", "meta/llama-3", "http://h:1/v1")),
        ("ollama/llama3", {}, ("ollama", "llama3", "http://127.0.0.1:11434/v1")),
        ("ollama/llama3", {"OLLAMA_BASE_URL": "http://box:9"}, ("ollama", "llama3", "http://box:9/v1")),
        ("ollama/llama3", {"OLLAMA_BASE_URL": "http://box:9/v1/"}, ("ollama", "llama3", "http://box:9/v1")),
        ("offline/extract", {}, ("offline", "extract", "")),
        (None, {}, ("offline", "extract", "")),
        ("", {"OPENAI_API_KEY": KEY}, ("openai", "gpt-5-mini", "https://api.openai.com/v1")),
        (None, {"OPENAI_BASE_URL": "http://h/v1", "AGENTKIT_MODEL": "qwen3"}, ("openai", "qwen3", "http://h/v1")),
        (None, {"OLLAMA_BASE_URL": "http://box:9"}, ("ollama", "llama3.2", "http://box:9/v1")),
        (
            None,
            {"OLLAMA_BASE_URL": "http://b", "OPENAI_API_KEY": KEY},
            ("openai", "gpt-5-mini", "https://api.openai.com/v1"),
        ),
        (None, {"AGENTKIT_MODEL": "ollama/phi4"}, ("ollama", "phi4", "http://127.0.0.1:11434/v1")),
        (None, {"AGENTKIT_MODEL": "phi4"}, ("offline", "extract", "")),
    ],
)
def test_a_reference_and_the_environment_decide_who_answers(ref, environ, expected):
    assert picked(ref, **environ) == expected


def test_a_missing_key_is_named_and_so_is_the_way_out():
    with pytest.raises(ConfigError, match="OPENAI_API_KEY is not set; set it, or OPENAI_BASE_URL"):
        pick("openai/gpt-5-mini", environ={})


def test_an_unknown_reference_is_named_with_the_known_providers_and_the_two_ways_out():
    with pytest.raises(ModelNotFoundError) as caught:
        pick("infsh/claude-sonnet-4@abc", environ={"OPENAI_API_KEY": KEY})
    told = str(caught.value)
    assert "'infsh/claude-sonnet-4@abc'" in told
    assert "known providers: offline, ollama, openai" in told
    assert "Runtime(aliases={'infsh/claude-sonnet-4@abc': 'offline/extract'})" in told
    assert "OPENAI_API_KEY" in told
    assert KEY not in told


@pytest.mark.parametrize("ref", ["openai", "openai/", "registry/x", "_deltas/x", "../x/y", "scripted/any"])
def test_what_is_no_provider_is_not_found(ref: str):
    with pytest.raises(ModelNotFoundError):
        pick(ref, environ={"OPENAI_API_KEY": KEY})


@pytest.mark.parametrize(
    ("aliases", "ref", "meant"),
    [
        ({"infsh/claude@1": "offline/extract"}, "infsh/claude@1", "offline/extract"),
        ({"infsh/claude": "offline/extract"}, "infsh/claude@1", "offline/extract"),
        ({"infsh/claude@1": "ollama/a", "infsh/claude": "ollama/b"}, "infsh/claude@1", "ollama/a"),
        ({"*": "offline/extract"}, "openai/gpt-5", "offline/extract"),
        ({"*": "offline/extract"}, None, "offline/extract"),
        ({"*": "offline/extract", "a/b": "ollama/x"}, "a/b", "ollama/x"),
        ({"*": "offline/extract"}, "scripted/any", "scripted/any"),
        ({}, " openai/gpt-5 ", "openai/gpt-5"),
    ],
)
def test_an_alias_stands_for_its_reference(aliases: Mapping[str, str], ref: str | None, meant: str):
    models = Models(environ={"OPENAI_API_KEY": KEY}, aliases=aliases, providers={"scripted": Scripted([])})
    assert models.resolve(ref) == meant


def test_an_alias_that_leads_nowhere_is_told_with_both_names():
    with pytest.raises(ModelNotFoundError, match=r"'nobody/x' \(an alias of 'a/b'\)"):
        pick("a/b", environ={}, aliases={"a/b": "nobody/x"})


def test_a_provider_that_was_handed_in_wins_over_the_file_of_its_name():
    mine = Scripted([], name="openai")
    assert pick("openai/x", environ={}, providers={"openai": mine}) == (mine, "x")


def test_a_provider_is_made_once():
    models = Models(environ={})
    assert models.pick("ollama/a")[0] is models.pick("ollama/b")[0]


def test_the_environment_is_read_at_construction_only():
    environ = {"OPENAI_API_KEY": KEY}
    models = Models(environ=environ)
    environ.clear()
    assert models.pick(None)[0].name == "openai"


def test_no_key_is_shown():
    models = Models(environ={"OPENAI_API_KEY": KEY})
    provider, _ = models.pick("openai/x")
    assert KEY not in repr(models) + repr(provider)
    assert "key=set" in repr(provider)


class Foreign:
    """A provider as another package would bring it."""

    name = "foreign"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.greeting = environ.get("GREETING")
        self.closed = False

    async def stream(self, request: ModelRequest) -> AsyncGenerator[LLMDelta]:
        yield LLMDelta.parse({"response": "bonjour"})

    async def aclose(self) -> None:
        self.closed = True


async def test_a_package_brings_its_provider_by_entry_point(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "a_foreign_package", sys.modules[Foreign.__module__])
    entry = EntryPoint("foreign", "a_foreign_package:Foreign", registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    async with Models(environ={"GREETING": "salut"}) as models:
        provider, model = models.pick("foreign/parleur")
        assert isinstance(provider, Foreign)
        assert (model, provider.greeting) == ("parleur", "salut")
    assert provider.closed


def test_a_broken_entry_point_is_named(monkeypatch: pytest.MonkeyPatch):
    entry = EntryPoint("broken", "agentkit_no_such_package:make", registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    with pytest.raises(ConfigError, match=r"model provider 'broken' .*agentkit_no_such_package"):
        pick("broken/x", environ={})


async def test_closing_leaves_the_providers_of_others_alone():
    mine = Foreign({})
    async with Models(environ={}, providers={"foreign": mine}) as models:
        models.pick("foreign/x")
    assert not mine.closed
