"""Which model a reference means.

    >>> models = Models(environ={}, aliases={"infsh/claude-sonnet-4": "offline/extract"})
    >>> provider, model = models.pick("infsh/claude-sonnet-4@abc123")
    >>> provider.name, model
    ('offline', 'extract')

A reference is `provider/model`. Aliases come first: the whole reference, the reference without its `@version`, then
`"*"`, which catches every reference that has no alias of its own and whose provider was not handed in. So a program
with `{"*": "offline/extract"}` never leaves the machine, whatever keys lie in the environment. An alias leads to a
reference and not to another alias.

Without a reference the environment decides, the first of these rows that holds:

| set | reference |
|---|---|
| `AGENTKIT_MODEL` with a provider that is known here | `$AGENTKIT_MODEL` |
| `OPENAI_API_KEY` or `OPENAI_BASE_URL` | `openai/$AGENTKIT_MODEL`, or `openai/gpt-5-mini` |
| `OLLAMA_BASE_URL` | `ollama/$AGENTKIT_MODEL`, or `ollama/llama3.2` |
| nothing | `offline/extract` |
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType, TracebackType
from typing import Any, Final, Protocol, Self, runtime_checkable

from agentkit.errors import ConfigError, ModelNotFoundError
from agentkit.runtime import models
from agentkit.runtime.ports import ModelProvider

__all__ = ["CATCH_ALL", "DEFAULT_MODELS", "ENTRY_POINTS", "OFFLINE", "Models", "Provide", "pick"]

CATCH_ALL: Final = "*"
ENTRY_POINTS: Final = "agentkit.models"
OFFLINE: Final = "offline/extract"
DEFAULT_MODELS: Final[Mapping[str, str]] = MappingProxyType({"openai": "gpt-5-mini", "ollama": "llama3.2"})
_OFFERS: Final = (("openai", ("OPENAI_API_KEY", "OPENAI_BASE_URL")), ("ollama", ("OLLAMA_BASE_URL",)))

Provide = Callable[[Mapping[str, str]], ModelProvider]


@runtime_checkable
class _Closable(Protocol):
    async def aclose(self) -> None: ...


class Models:
    """The models of one runtime. Providers are made at the first reference to them and kept until `aclose`.

    `providers` are used as they are and stay their maker's to close. `environ` is copied here and never read again.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        aliases: Mapping[str, str] | None = None,
        providers: Mapping[str, ModelProvider] | None = None,
    ) -> None:
        self._environ = dict(environ)
        self._aliases = dict(aliases or {})
        self._given = dict(providers or {})
        self._made: dict[str, ModelProvider] = {}

    def __repr__(self) -> str:
        return f"Models(providers={sorted(self.known())}, aliases={self._aliases})"

    def pick(self, ref: str | None) -> tuple[ModelProvider, str]:
        """The provider, and the model's name there. Raises ModelNotFoundError; ConfigError where a key is missing."""
        meant = self.resolve(ref)
        name, _, model = meant.partition("/")
        if not model:
            raise self._unknown(ref, meant)
        provider = self._given.get(name) or self._made.get(name) or self._make(name)
        if provider is None:
            raise self._unknown(ref, meant)
        return provider, model

    def resolve(self, ref: str | None) -> str:
        """The reference behind an alias, or the one the environment offers where there is none."""
        named = (ref or "").strip()
        plain = named.partition("@")[0]
        for alias in (named, plain):
            if alias and alias in self._aliases:
                return self._aliases[alias]
        if CATCH_ALL in self._aliases and plain.partition("/")[0] not in self._given:
            return self._aliases[CATCH_ALL]
        return named or self._offered()

    def known(self) -> set[str]:
        """The names of the providers that a reference may begin with."""
        return {*self._given, *_builtin(), *_installed()}

    async def aclose(self) -> None:
        """Closes the providers that were made here."""
        made, self._made = self._made, {}
        for provider in made.values():
            if isinstance(provider, _Closable):
                await provider.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _offered(self) -> str:
        model = self._environ.get("AGENTKIT_MODEL", "")
        if "/" in model and model.partition("/")[0] in self.known():
            return model
        for provider, variables in _OFFERS:
            if any(self._environ.get(variable) for variable in variables):
                return f"{provider}/{model or DEFAULT_MODELS[provider]}"
        return OFFLINE

    def _make(self, name: str) -> ModelProvider | None:
        provide = _builtin().get(name) or _installed().get(name)
        if provide is None:
            return None
        self._made[name] = provide(self._environ)
        return self._made[name]

    def _unknown(self, ref: str | None, meant: str) -> ModelNotFoundError:
        through = f" (an alias of {ref!r})" if ref and meant != ref.strip() else ""
        return ModelNotFoundError(
            f"no model here answers to {meant!r}{through}; known providers: {', '.join(sorted(self.known()))}. "
            f"Either map the reference, with Runtime(aliases={{{ref or meant!r}: 'offline/extract'}}) or "
            f"agentkit serve --alias {ref or meant}=offline/extract, or leave it out and set OPENAI_API_KEY, "
            "OPENAI_BASE_URL or OLLAMA_BASE_URL in the environment"
        )


def pick(
    ref: str | None,
    *,
    environ: Mapping[str, str],
    aliases: Mapping[str, str] | None = None,
    providers: Mapping[str, ModelProvider] | None = None,
) -> tuple[ModelProvider, str]:
    """One look into `Models`, for a caller that asks once; a provider made for it is the caller's to close."""
    return Models(environ=environ, aliases=aliases, providers=providers).pick(ref)


def _builtin() -> dict[str, Provide]:
    """The providers of this folder; a module whose name begins with `_` or that has no `provide` is none."""
    names = [module.name for module in pkgutil.iter_modules(models.__path__) if not module.name.startswith("_")]
    found = {name: getattr(import_module(f"{models.__name__}.{name}"), "provide", None) for name in names}
    return {name.replace("_", "-"): provide for name, provide in found.items() if provide is not None}


def _installed() -> dict[str, Provide]:
    return {entry.name: _loader(entry) for entry in entry_points(group=ENTRY_POINTS)}


def _loader(entry: EntryPoint) -> Provide:
    def provide(environ: Mapping[str, str]) -> ModelProvider:
        try:
            make: Any = entry.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"model provider {entry.name!r} (entry point {entry.value!r}) cannot be loaded: {error}; "
                "update or uninstall the package that declares it"
            ) from error
        provider: ModelProvider = make(environ)
        return provider

    return provide
