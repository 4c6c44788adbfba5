"""The catalogue of what can be connected: well-known providers, and those that the operator adds or changes.

    {"google": {"client_id": "123.apps.googleusercontent.com"},
     "acme": {"authorize_url": "https://acme.example/authorize", "token_url": "https://acme.example/token",
              "client_id": "agentkit", "scopes": ["read"]},
     "stash": {"takes_api_key": true, "api_key_header": "X-Stash-Key", "api_key_prefix": ""}}

A provider's client id and client secret are the secrets `<NAME>_CLIENT_ID` and `<NAME>_CLIENT_SECRET`, unless it says
otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from agentkit.apps.yaml import read_yaml
from agentkit.errors import AppDefinitionError, ConfigError

__all__ = ["BUILT_IN", "Provider", "parse_providers", "read_providers"]

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
TAKEN: Final = (
    "available",
    "callback",
    "capabilities",
    "check",
    "configs",
    "list",
)  # paths beside /integrations/{name}


def _url(text: str) -> str:
    if text and not re.match(r"https?://[^/\s@]+(/\S*)?$", text):
        raise ValueError("not an http or https URL")
    return text


def _header(text: str) -> str:
    if not _HEADER.fullmatch(text):
        raise ValueError("not the name of a header")
    return text


Url = Annotated[str, AfterValidator(_url)]
HeaderName = Annotated[str, AfterValidator(_header)]


class Provider(BaseModel):
    """Whom one can be connected with, by OAuth 2 (where it has URLs for it), by an API key (`takes_api_key`), or both.

    `capabilities` name sets of scopes: an app that requires `google.sheets` needs those of `sheets`. `headers` go with
    every request beside the credential. `client_secret` is the name of a secret, never the value.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    display_name: str = ""
    description: str = ""
    docs_url: Url = ""
    icon_url: Url = ""
    authorize_url: Url = ""
    token_url: Url = ""
    client_id: str = ""
    client_secret: str = ""
    client_auth: Literal["post", "basic"] = "post"
    scopes: tuple[str, ...] = ()
    scope_separator: str = " "
    parameters: Mapping[str, str] = Field(default_factory=dict[str, str])  # more of the authorize URL's
    uses_pkce: bool = True
    sends_json: bool = False  # to the token URL, instead of a form
    capabilities: Mapping[str, tuple[str, ...]] = Field(default_factory=dict[str, tuple[str, ...]])
    takes_api_key: bool = False
    api_key_header: HeaderName = "Authorization"
    api_key_prefix: str = "Bearer "
    headers: Mapping[HeaderName, str] = Field(default_factory=dict[str, str])

    @model_validator(mode="after")
    def _is_of_use(self) -> Provider:
        if bool(self.authorize_url) is not bool(self.token_url):
            raise ValueError("authorize_url and token_url go together")
        if not (self.authorize_url or self.takes_api_key):
            raise ValueError("give authorize_url and token_url (OAuth 2), or takes_api_key")
        return self

    @property
    def has_oauth(self) -> bool:
        """Whether it can be connected in a browser."""
        return bool(self.authorize_url)

    @property
    def id_name(self) -> str:
        """The secret that holds the client id."""
        return f"{self._prefix}_CLIENT_ID"

    @property
    def secret_name(self) -> str:
        """The secret that holds the client secret."""
        return self.client_secret or f"{self._prefix}_CLIENT_SECRET"

    @property
    def _prefix(self) -> str:
        return self.name.upper().replace("-", "_")

    def scopes_of(self, wanted: Iterable[str]) -> list[str]:
        """The scopes, where a capability's name stands for its own."""
        found = [scope for each in wanted for scope in self.capabilities.get(each, (each,))]
        return list(dict.fromkeys(found))


_GOOGLE: Final = "https://www.googleapis.com/auth"
_GIVEN: Final[Mapping[str, Mapping[str, Any]]] = {  # the URLs are those of each provider's public documentation
    "google": {
        "display_name": "Google",
        "docs_url": "https://developers.google.com/identity/protocols/oauth2/web-server",
        "authorize_url": "https://accounts.google.com/o/oauth2/v2/auth",
        "token_url": "https://oauth2.googleapis.com/token",
        "scopes": ("openid", "email"),
        "parameters": {"access_type": "offline", "prompt": "consent", "include_granted_scopes": "true"},
        "capabilities": {
            "sheets": (f"{_GOOGLE}/spreadsheets",),
            "docs": (f"{_GOOGLE}/documents",),
            "drive": (f"{_GOOGLE}/drive",),
            "calendar": (f"{_GOOGLE}/calendar",),
            "gmail": (f"{_GOOGLE}/gmail.modify",),
            "youtube": (f"{_GOOGLE}/youtube",),
        },
    },
    "github": {
        "display_name": "GitHub",
        "docs_url": "https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps",
        "authorize_url": "https://github.com/login/oauth/authorize",
        "token_url": "https://github.com/login/oauth/access_token",
        "takes_api_key": True,
        "capabilities": {"repo": ("repo",), "gist": ("gist",)},
    },
    "slack": {
        "display_name": "Slack",
        "docs_url": "https://docs.slack.dev/authentication/installing-with-oauth",
        "authorize_url": "https://slack.com/oauth/v2/authorize",
        "token_url": "https://slack.com/api/oauth.v2.access",
        "scopes": ("chat:write",),
        "scope_separator": ",",
        "takes_api_key": True,
    },
    "notion": {
        "display_name": "Notion",
        "docs_url": "https://developers.notion.com/docs/authorization",
        "authorize_url": "https://api.notion.com/v1/oauth/authorize",
        "token_url": "https://api.notion.com/v1/oauth/token",
        "parameters": {"owner": "user"},
        "client_auth": "basic",
        "uses_pkce": False,
        "sends_json": True,
        "takes_api_key": True,
        "headers": {"Notion-Version": "2022-06-28"},
    },
    "microsoft": {
        "display_name": "Microsoft",
        "docs_url": "https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow",
        "authorize_url": "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
        "token_url": "https://login.microsoftonline.com/common/oauth2/v2.0/token",
        "scopes": ("offline_access", "User.Read"),
    },
    "discord": {
        "display_name": "Discord",
        "docs_url": "https://discord.com/developers/docs/topics/oauth2",
        "authorize_url": "https://discord.com/oauth2/authorize",
        "token_url": "https://discord.com/api/oauth2/token",
        "scopes": ("identify",),
        "takes_api_key": True,
        "api_key_prefix": "Bot ",
    },
}


def parse_providers(given: Mapping[str, Any] | None = None) -> dict[str, Provider]:
    """The catalogue with these on top, which change a known provider or add one. Raises ConfigError, naming it."""
    return {**BUILT_IN, **{name: _provider(name, told) for name, told in (given or {}).items()}}


def read_providers(path: str | Path) -> dict[str, Any]:
    """The providers in a file of JSON or YAML, as `parse_providers` takes them. Raises ConfigError."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        if str(path).endswith(".json"):
            found = json.loads(text)
        else:
            found = read_yaml(text, path=str(path), is_text=lambda _: False).data
    except OSError as error:
        raise ConfigError(f"the integrations file {str(path)!r} cannot be read: {error.strerror}") from None
    except (ValueError, AppDefinitionError) as error:
        raise ConfigError(f"the integrations file {str(path)!r}: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"the integrations file {str(path)!r} is no mapping of names to providers")
    return found  # pyright: ignore[reportUnknownVariableType] - checked by parse_providers


def _provider(name: str, told: Any) -> Provider:
    if not _NAME.fullmatch(name) or name in TAKEN:
        raise ConfigError(f"integration {name!r}: a name has small letters, digits, _ and -, and is not a path's")
    if not isinstance(told, Mapping):
        raise ConfigError(f"integration {name!r}: give an object with authorize_url and token_url, or takes_api_key")
    try:
        return Provider.model_validate({"display_name": name, **_GIVEN.get(name, {}), **told, "name": name})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"integration {name!r}: {f'{where}: ' if where else ''}{first['msg']}") from None


BUILT_IN: Final[Mapping[str, Provider]] = {name: _provider(name, told) for name, told in _GIVEN.items()}
