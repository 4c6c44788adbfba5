"""Tools that are an HTTP request of the platform, with credentials put in on its side (`type: http`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final, Self

from agentkit.errors import ToolDefinitionError
from agentkit.tools._builder import ToolBuilder
from agentkit.tools.templates import PLACEHOLDER, placeholders

__all__ = ["HttpToolBuilder", "call_tool", "check_url", "http_tool"]

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
SAFE: Final = ("GET", "HEAD", "OPTIONS")  # RFC 9110, 9.2.1
RECONCILING: Final = ("GET", "HEAD")  # what may ask what came of a call
DEFAULT_METHOD: Final = "POST"  # and null on the wire (protocol.md 6.7)
DEFAULT_HEADER: Final = "X-API-Key"

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_URL: Final = re.compile(r"https?://\S*[^\s/]\S*", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, repr=False)
class HttpToolBuilder(ToolBuilder):
    """A request whose URL and headers may hold placeholders; the other arguments become query or JSON body."""

    KIND: ClassVar[str] = "http"

    url: str
    verb: str = DEFAULT_METHOD
    credential: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    asks: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_url(self.url, what=self._what)

    def method(self, method: str) -> Self:
        """GET, POST (the default), PUT, PATCH, DELETE, HEAD or OPTIONS."""
        if method.upper() not in METHODS:
            raise ToolDefinitionError(f"{self._what}: no HTTP method {method!r}; write one of {', '.join(METHODS)}")
        return replace(self, verb=method.upper())

    def auth(
        self,
        *,
        integration: str | None = None,
        integration_id: str | None = None,
        api_key: str | None = None,
        bearer: str | None = None,
        header: str | None = None,
    ) -> Self:
        """How the request proves who asks. Of several the first counts: integration, api_key, bearer.

        `api_key` and `bearer` are *names* in the team's secret store, never the secret. `header` goes with `api_key`.
        """
        if not (integration or api_key or bearer):
            raise ToolDefinitionError(
                f"{self._what}: .auth() needs integration='google', api_key='SECRET_NAME' or bearer='SECRET_NAME'"
            )
        if header and (integration or not api_key):
            raise ToolDefinitionError(f"{self._what}: .auth(header=...) goes with api_key=; for others use .header()")
        if integration_id and not integration:
            raise ToolDefinitionError(f"{self._what}: .auth(integration_id=...) needs integration= with the provider")
        return replace(self, credential=_credential(integration, integration_id, api_key, bearer, header))

    def header(self, name: str, value: str) -> Self:
        """A header; the value may hold `{{context.X}}`, `{{args.X}}` and `${{secrets.X}}`."""
        if not _HEADER_NAME.fullmatch(name):
            raise ToolDefinitionError(f"{self._what}: {name!r} is no header name; write .header('X-Tenant', '...')")
        if re.search(r"[\r\n\0]", value):
            raise ToolDefinitionError(f"{self._what}: the value of header {name!r} has a line break or NUL in it")
        return replace(self, headers={**self.headers, name: value})

    def reconcile(self, url: str, *, method: str = "GET") -> Self:
        """Where to ask what came of a call whose answer was lost: to a crash, a timeout, a broken connection.

        Asked with the tool's headers and credentials, and the call's `Idempotency-Key`, which may stand in the URL as
        `{{call.idempotency_key}}`. 2xx: it was done, and this is its answer. 404: it was not done, and is made again,
        so answer 404 only once the call cannot arrive any more. Anything else: a person is asked.
        """
        check_url(url, what=f"{self._what}: .reconcile()")
        if method.upper() not in RECONCILING:
            raise ToolDefinitionError(
                f"{self._what}: .reconcile(method={method!r}) may have no effect; write one of {', '.join(RECONCILING)}"
            )
        return replace(self, asks={"url": url, "method": method.upper()})

    def config(self) -> dict[str, Any]:
        """All five keys, null where nothing was set (protocol.md 6.7, the Python column); `reconcile` where it was."""
        self._check_placeholders("the URL", self.url)
        for name, value in self.headers.items():
            self._check_placeholders(f"header {name!r}", value)
        self._check_asks()
        return {
            "url": self.url,
            "method": None if self.verb == DEFAULT_METHOD else self.verb,
            "auth": None if self.credential is None else dict(self.credential),
            "headers": dict(self.headers) or None,
            **({"reconcile": dict(self.asks)} if self.asks else {}),
            "input_schema": self.inputs.to_schema(),
        }

    def _check_asks(self) -> None:
        """Here and not earlier: the method may be set after it."""
        if self.asks is None:
            return
        if self.verb in SAFE:
            raise ToolDefinitionError(
                f"{self._what}: .reconcile() asks what came of a call, and {self.verb} has no effect; leave it out"
            )
        self._check_placeholders("the URL of .reconcile()", self.asks["url"])

    def _check_placeholders(self, where: str, text: str) -> None:
        """Here and not earlier: parameters may be declared after the URL."""
        for placeholder in placeholders(text):
            if placeholder.problem:
                raise ToolDefinitionError(f"{self._what}: {placeholder.text} in {where} {placeholder.problem}")
            if placeholder.source == "args" and placeholder.name not in self.inputs.properties:
                raise ToolDefinitionError(
                    f"{self._what}: {placeholder.text} in {where} names no parameter; "
                    f"add .param({placeholder.name!r}, string())"
                )


def check_url(url: str, *, what: str) -> None:
    """Raises ToolDefinitionError for what is no http or https URL (or one whose beginning the chat's context holds)."""
    begin, rest = ("https://", url) if url.startswith("{{") else ("", url)  # the context may hold the host as well
    if not _URL.fullmatch(begin + PLACEHOLDER.sub("x", rest)):
        raise ToolDefinitionError(f"{what}: {url!r} is not a full URL; write 'https://api.example.com/...'")


def _credential(
    integration: str | None, integration_id: str | None, api_key: str | None, bearer: str | None, header: str | None
) -> dict[str, str]:
    if integration:
        chosen = {"integration_id": integration_id} if integration_id else {}
        return {"type": "integration", "provider": integration, **chosen}
    if api_key:
        return {"type": "api_key", "secret": api_key, "header": header or DEFAULT_HEADER}
    return {"type": "bearer", "secret": bearer or ""}


def http_tool(name: str, url: str) -> HttpToolBuilder:
    """A tool that is an HTTP request.

    >>> from agentkit.tools import string
    >>> get_user = http_tool("get_user", "https://api.example.com/u/{{args.id}}").method("GET").auth(bearer="API_TOKEN")
    >>> get_user.param("id", string()).build()["http"]["auth"]
    {'type': 'bearer', 'secret': 'API_TOKEN'}
    """
    return HttpToolBuilder(name=name, url=url)


def call_tool(name: str, url: str) -> HttpToolBuilder:
    """The same as `http_tool`: the SDK has both names."""
    return http_tool(name, url)
