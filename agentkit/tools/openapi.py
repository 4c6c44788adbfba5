"""An OpenAPI document as HTTP tools: one per operation, its parameters and its body as the tool's arguments.

    tools = openapi_tools(document, auth={"apiKey": "PETSTORE_KEY"}, only=["listPets", "getPet"])
    agent = client.agent({"tools": [each.build() for each in tools]})

OpenAPI 3.0 and 3.1, as a dict, JSON or YAML (extra `apps`). Nothing is fetched.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from agentkit.errors import MissingExtraError, SchemaError, ToolDefinitionError
from agentkit.tools.http import HttpToolBuilder, http_tool
from agentkit.tools.jsonable import is_array, is_object
from agentkit.tools.openapi_schemas import Unsupported, Vocabulary

__all__ = ["Auth", "openapi_tools"]

Auth: TypeAlias = Mapping[str, str | Mapping[str, str]]
"""By the name of a security scheme: the name of the secret that it takes, or the keywords of `.auth()`."""

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
WITHOUT_BODY: Final = ("get", "head", "delete", "options")
OURS: Final = frozenset({"accept", "content-type", "authorization"})  # header parameters that mean nothing (OpenAPI 3)
LONGEST_NAME: Final = 64
_JSON: Final = re.compile(r"application/(?:[\w.+-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)
_BRACED: Final = re.compile(r"\{([^{}]+)\}")
_ARGUMENT: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def openapi_tools(
    document: Mapping[str, Any] | str,
    *,
    server: str | None = None,
    only: Iterable[str] | None = None,
    auth: Auth | None = None,
    prefix: str = "",
) -> list[HttpToolBuilder]:
    """The tools of a document, in its order.

    Args:
        document: a dict, or its text.
        server: the base URL, instead of the document's first; it may hold `{{context.X}}`.
        only: the `operationId`s that are wanted, `get_pets_id` where `GET /pets/{id}` has none; all unless given.
        auth: what the security schemes take; an operation that needs one needs it here. Of scheme `http basic` the
            secret is the Base64 of `user:password`.
        prefix: put before every tool's name.

    Raises ToolDefinitionError, which names every operation that cannot be a tool and says why.

    >>> document = {"openapi": "3.1.0", "servers": [{"url": "https://api.example.com"}], "paths": {"/pets/{id}": {"get":
    ...     {"operationId": "getPet", "parameters": [{"name": "id", "in": "path", "required": True,
    ...      "schema": {"type": "string"}}]}}}}
    >>> [pet] = openapi_tools(document)
    >>> pet.url
    'https://api.example.com/pets/{{args.id}}'
    """
    root = _read(document)
    operations = _chosen(list(_operations(root)), only)
    tools: list[HttpToolBuilder] = []
    problems: list[str] = []
    for operation in operations:
        try:
            tools.append(_Tool(operation, _name(operation, prefix, tools), server, auth or {}).build())
        except (Unsupported, ToolDefinitionError, SchemaError) as problem:
            problems.append(f"{operation.label}: {problem}")
        except RecursionError:
            problems.append(f"{operation.label}: it contains itself")
    if problems:
        raise ToolDefinitionError(
            "operations that cannot be tools (leave them out with only=[...]):\n  " + "\n  ".join(problems)
        )
    return tools


# -- the document --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Operation:
    """One method of one path. `vocabulary` follows the references of the document."""

    method: str
    path: str
    id: str
    shared: Mapping[str, Any]  # the path item
    own: Mapping[str, Any]
    vocabulary: Vocabulary

    @property
    def label(self) -> str:
        return f"{self.id} ({self.method.upper()} {self.path})"


def _read(document: Mapping[str, Any] | str) -> Mapping[str, Any]:
    root: Any = _parse(document) if isinstance(document, str) else document
    if not is_object(root) or not str(root.get("openapi", "")).startswith("3."):
        found = root.get("swagger") if is_object(root) else None
        raise ToolDefinitionError(
            f"Swagger {found} is not read; convert the document to OpenAPI 3"
            if found
            else "this is no OpenAPI 3 document: it has no member `openapi: 3.x`"
        )
    return root


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        yaml: Any = importlib.import_module("yaml")
    except ModuleNotFoundError:
        raise MissingExtraError("reading an OpenAPI document in YAML", extra="apps") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ToolDefinitionError(f"the OpenAPI document is neither JSON nor YAML: {error}") from None


def _operations(root: Mapping[str, Any]) -> Iterator[_Operation]:
    for path, item in _object(root, "paths").items():
        vocabulary = Vocabulary(root)
        shared = vocabulary.resolve(item)
        for method, own in shared.items():
            if method in METHODS and is_object(own):
                unnamed = re.sub(r"[^A-Za-z0-9]+", "_", f"{method}{path}").strip("_")
                id = str(own.get("operationId") or unnamed)
                yield _Operation(method, str(path), id, shared, own, Vocabulary(root))


def _object(holder: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A member that is an object; empty where it is absent."""
    found = holder.get(name)
    return found if is_object(found) else {}


def _chosen(operations: Sequence[_Operation], only: Iterable[str] | None) -> Sequence[_Operation]:
    if only is None:
        return operations
    wanted = list(only)
    known = {operation.id for operation in operations}
    if missing := [each for each in wanted if each not in known]:
        raise ToolDefinitionError(
            f"only={missing!r}: the document has no such operations; it has {', '.join(sorted(known)) or 'none'}"
        )
    return [operation for operation in operations if operation.id in wanted]


def _name(operation: _Operation, prefix: str, tools: Sequence[HttpToolBuilder]) -> str:
    """A name that models take and no tool before has."""
    cleaned = re.sub(r"[^A-Za-z0-9_-]+", "_", prefix + operation.id).strip("_") or operation.method
    cleaned = cleaned if re.match(r"[A-Za-z_]", cleaned) else f"_{cleaned}"
    taken = {tool.name for tool in tools}
    name, number = cleaned[:LONGEST_NAME], 2
    while name in taken:
        name, number = f"{cleaned[: LONGEST_NAME - len(str(number)) - 1]}_{number}", number + 1
    return name


# -- one tool ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Tool:
    """A tool in the making: its arguments, and where each of them goes."""

    operation: _Operation
    name: str
    server: str | None
    auth: Auth
    properties: dict[str, Any] = field(default_factory=dict[str, Any])
    required: list[str] = field(default_factory=list[str])
    more: dict[str, Any] = field(default_factory=dict[str, Any])
    query: list[str] = field(default_factory=list[str])
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def build(self) -> HttpToolBuilder:
        operation = self.operation
        if operation.method == "trace":
            raise Unsupported("the method TRACE is no tool's")
        self._take_body()
        path = self._take_parameters()
        keywords = self._take_auth()
        url = self._base() + path + (f"?{'&'.join(self.query)}" if self.query else "")
        tool = http_tool(self.name, url).method(operation.method).describe(self._description())
        for name, value in self.headers.items():
            tool = tool.header(name, value)
        tool = tool.auth(**keywords) if keywords else tool
        definitions = operation.vocabulary.definitions
        schema = {"type": "object", "properties": self.properties, "required": self.required, **self.more}
        return tool.params({**schema, "$defs": definitions} if definitions else schema)

    def _description(self) -> str:
        own = self.operation.own
        said = [str(own[key]).strip() for key in ("summary", "description") if own.get(key)]
        return "\n\n".join(dict.fromkeys(said)) or f"{self.operation.method.upper()} {self.operation.path}"

    # -- body --

    def _take_body(self) -> None:
        """The members of a JSON body are arguments under their own names: they are sent as they are."""
        body = self.operation.vocabulary.resolve(self.operation.own.get("requestBody") or {})
        if not body:
            return
        if self.operation.method in WITHOUT_BODY:
            if body.get("required"):
                raise Unsupported(f"a {self.operation.method.upper()} with a body")
            return
        content: Mapping[str, Any] = body.get("content") or {}
        schema = next((each.get("schema", {}) for kind, each in content.items() if _JSON.fullmatch(kind)), None)
        if schema is None:
            raise Unsupported(f"a body of {', '.join(content) or 'no type'}; only JSON can be sent")
        whole = self.operation.vocabulary.object_schema(schema)
        self.properties |= whole.pop("properties", {})
        self.required += whole.pop("required", [])
        self.more = whole

    # -- parameters --

    def _take_parameters(self) -> str:
        """The path as a template; query and headers on the way."""
        in_path: dict[str, str] = {}
        for parameter in self._parameters():
            name, where = str(parameter["name"]), str(parameter["in"])
            if (where == "header" and name.lower() in OURS) or (where == "cookie" and not parameter.get("required")):
                continue
            if where == "cookie":
                raise Unsupported(f"the cookie {name!r} is required")
            reference = f"{{{{args.{self._argument(parameter, name, where)}}}}}"
            if where == "path":
                in_path[name] = reference
            elif where == "query":
                self.query.append(f"{quote(name, safe='')}={reference}")
            else:
                self.headers[name] = reference
        return _BRACED.sub(lambda found: self._in_path(in_path, found[1]), self.operation.path)

    def _parameters(self) -> Iterator[Mapping[str, Any]]:
        """Those of the operation, and those of its path that it does not redefine."""
        found: dict[tuple[str, str], Mapping[str, Any]] = {}
        for each in [*(self.operation.shared.get("parameters") or ()), *(self.operation.own.get("parameters") or ())]:
            parameter = self.operation.vocabulary.resolve(each)
            if not parameter.get("name") or parameter.get("in") not in ("path", "query", "header", "cookie"):
                raise Unsupported(f"a parameter without a name or a place: {dict(parameter)!r}"[:200])
            found[str(parameter["in"]), str(parameter["name"])] = parameter
        return iter(found.values())

    def _argument(self, parameter: Mapping[str, Any], name: str, where: str) -> str:
        """Adds the parameter to the arguments, under a name of its own; returns that name."""
        schema = self._parameter_schema(parameter, name, where)
        argument = (
            name if _ARGUMENT.fullmatch(name) else re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_")[:64] or where
        )
        candidates = [argument, f"{where}_{argument}", *(f"{where}_{argument}_{number}" for number in range(2, 1_000))]
        argument = next(each for each in candidates if each not in self.properties)
        description = str(parameter.get("description") or schema.get("description") or "")
        self.properties[argument] = {**schema, **({"description": description} if description else {})}
        if where == "path" or parameter.get("required"):
            self.required.append(argument)
        return argument

    def _parameter_schema(self, parameter: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
        vocabulary = self.operation.vocabulary
        if parameter.get("content"):  # its value is sent as JSON
            media = next(iter(parameter["content"].values()))
            return vocabulary.schema(media.get("schema") or {})
        schema = vocabulary.schema(parameter.get("schema") or {})
        kinds = vocabulary.kinds(schema)
        default = {"path": "simple", "header": "simple", "query": "form"}[where]
        is_plain = parameter.get("style", default) == default and parameter.get("explode", default == "form") is (
            default == "form"
        )
        if "object" in kinds or ("array" in kinds and not (where == "query" and is_plain)):
            kind = "object" if "object" in kinds else "array"
            raise Unsupported(f"the {where} parameter {name!r} is an {kind}, which cannot be sent this way")
        return schema

    def _in_path(self, references: Mapping[str, str], name: str) -> str:
        if name not in references:
            raise Unsupported(f"{{{name}}} in the path is no parameter")
        return references[name]

    # -- server and security --

    def _base(self) -> str:
        if self.server is not None:
            return self.server.rstrip("/")
        for holder in (self.operation.own, self.operation.shared, self.operation.vocabulary.root):
            servers = holder.get("servers")
            if is_array(servers) and servers and is_object(servers[0]):
                return _server_url(servers[0])
        raise Unsupported("the document names no server; give server='https://...'")

    def _take_auth(self) -> dict[str, str]:
        """The keywords of `.auth()`; schemes that it has no word for become headers and query."""
        own, root = self.operation.own, self.operation.vocabulary.root
        wanted: list[dict[str, Any]] = list(own.get("security", root.get("security")) or ())
        if not wanted or any(not each for each in wanted):
            return {}
        chosen = next((each for each in wanted if all(name in self.auth for name in each)), None)
        if chosen is None:
            needed = " or ".join(" and ".join(each) for each in wanted)
            example = next(iter(wanted[0]))
            raise Unsupported(f"it needs {needed}; give auth={{{example!r}: 'SECRET_NAME'}}")
        keywords: dict[str, str] = {}
        for name in chosen:
            keywords = self._prove(name, is_first=not keywords) or keywords
        return keywords

    def _prove(self, name: str, *, is_first: bool) -> dict[str, str]:
        given = self.auth[name]
        if not isinstance(given, str):
            return dict(given)
        scheme_of = _object(_object(self.operation.vocabulary.root, "components"), "securitySchemes")
        scheme = self.operation.vocabulary.resolve(scheme_of.get(name) or {})
        secret, key = f"${{{{secrets.{given}}}}}", str(scheme.get("name") or "")
        match scheme.get("type"), str(scheme.get("in") or scheme.get("scheme") or "").lower():
            case ("apiKey", "header") if is_first:
                return {"api_key": given, "header": key}
            case ("apiKey", "header"):
                self.headers[key] = secret
            case ("apiKey", "query"):
                self.query.append(f"{quote(key, safe='')}={secret}")
            case ("apiKey", "cookie"):
                self.headers["Cookie"] = f"{key}={secret}"
            case ("http", "basic"):
                self.headers["Authorization"] = f"Basic {secret}"
            case ("http", "bearer") | ("oauth2" | "openIdConnect", _) if is_first:
                return {"bearer": given}
            case ("http", "bearer") | ("oauth2" | "openIdConnect", _):
                self.headers["Authorization"] = f"Bearer {secret}"
            case (kind, _):
                raise Unsupported(
                    f"the security scheme {name!r} is of type {kind!r}; write .auth() or .header() yourself"
                )
        return {}


def _server_url(server: Mapping[str, Any]) -> str:
    variables: Mapping[str, Any] = server.get("variables") or {}

    def default(found: re.Match[str]) -> str:
        known = variables.get(found[1])
        if not is_object(known) or "default" not in known:
            raise Unsupported(f"the server's variable {found[1]!r} has no default; give server='https://...'")
        return str(known["default"])

    url = _BRACED.sub(default, str(server.get("url") or "")).rstrip("/")
    if not re.match(r"https?://", url):
        raise Unsupported(f"the server {url or '/'!r} is no full URL; give server='https://...'")
    return url
