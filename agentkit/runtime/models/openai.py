"""`openai/...`: OpenAI, and every server that speaks its chat-completions dialect, at `OPENAI_BASE_URL`.

| variable | meaning |
|---|---|
| `OPENAI_API_KEY` | the key; may be missing where a base URL is given |
| `OPENAI_BASE_URL` | another server, with its `/v1` |
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import anyio
import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

from agentkit.errors import ConfigError, ModelError, ModelNotFoundError, ModelRefusedError
from agentkit.protocol.lines import BadLine, decode_json
from agentkit.protocol.retry import RetryPolicy, backoff_seconds, is_retryable_status, parse_retry_after
from agentkit.protocol.sse import EventReader, ServerEvent
from agentkit.runtime.models._completions import Chunks, Quirks, error_message, request_body
from agentkit.runtime.models._json import is_object
from agentkit.runtime.ports import ModelProvider, ModelRequest
from agentkit.wire import LLMDelta

__all__ = ["DEFAULT_BASE_URL", "QUIRKS", "OpenAI", "provide"]

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
TIMEOUT: Final = httpx.Timeout(120, connect=10)  # silence, not length: a long answer may take as long as it likes
CLOSE_SECONDS: Final = 2.0
DRAIN_SECONDS: Final = 1.0

QUIRKS: Final[Mapping[str, Quirks]] = {
    "openai": Quirks(max_tokens="max_completion_tokens", file_parts=True, no_sampling=("gpt-5", "o1", "o3", "o4")),
    "compatible": Quirks(),
    "ollama": Quirks(),
}
_FINAL_CODES: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached"})  # 429s that waiting does not mend
_REFUSALS: Final = frozenset({"content_filter", "content_policy_violation"})
_KEYS: Final = re.compile(r"\b(?:sk|pk|key)-[\w*-]{4,}|(?i:\bbearer\s+)\S+")


def provide(environ: Mapping[str, str]) -> ModelProvider:
    """The provider of this environment. Raises ConfigError without a key for OpenAI itself."""
    api_key, base_url = environ.get("OPENAI_API_KEY"), environ.get("OPENAI_BASE_URL")
    if not api_key and not base_url:
        raise ConfigError(
            "openai: OPENAI_API_KEY is not set; set it, or OPENAI_BASE_URL for a server that needs none, "
            "or map the reference, with Runtime(aliases={...}) or agentkit serve --alias"
        )
    is_openai = not base_url or httpx.URL(base_url).host.endswith("openai.com")
    return OpenAI(
        base_url=base_url or DEFAULT_BASE_URL, api_key=api_key, quirks=QUIRKS["openai" if is_openai else "compatible"]
    )


class _Again(Exception):
    """A failure before the first token, after which the same request may be sent once more."""

    def __init__(self, error: ModelError, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class _Opened:
    """An answer that has begun: its first delta, and the rest."""

    first: LLMDelta
    rest: AsyncGenerator[LLMDelta, None]
    body: _Body


class OpenAI:
    """A chat-completions server as a model provider, on asyncio and trio.

    A request is sent again only while no token has come: after a refused or broken connection, 408, 429 and 5xx, up to
    the policy's attempts. A `Retry-After` is honoured up to the policy's `max_wait_seconds`; beyond that the error is
    raised at once, still `retryable`. `client` is a client to use and not to close.
    """

    def __init__(
        self,
        *,
        base_url: str = DEFAULT_BASE_URL,
        api_key: str | None = None,
        name: str = "openai",
        quirks: Quirks | None = None,
        retry: RetryPolicy | None = None,
        timeout: httpx.Timeout = TIMEOUT,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        if not re.match(r"https?://[^/]", base_url):
            raise ConfigError(f"{name}: the base URL {base_url!r} is none; write it as http://host:port/v1")
        self.name = name
        self.base_url = base_url.rstrip("/")
        self._key = (api_key or "").strip()
        if not all("!" <= letter <= "~" for letter in self._key):  # httpx would fail with the key in its message
            raise ConfigError(f"{name}: the API key holds a blank, a line break or a non-ASCII letter; copy it again")
        self._quirks = quirks or QUIRKS["compatible"]
        self._policy = retry or RetryPolicy()
        self._random = Random()
        self._timeout = timeout
        self._client = client
        self._own: httpx.AsyncClient | None = None

    def __repr__(self) -> str:
        return f"OpenAI({self.name!r}, base_url={self.base_url!r}, key={'set' if self._key else 'none'})"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[LLMDelta]:
        """The answer. Raises ModelError and its leaves; after the first delta never with `retryable`."""
        opened = await self._opened(request)
        try:
            yield opened.first
            async for delta in opened.rest:
                yield delta
        except httpx.HTTPError as error:
            raise ModelError(
                self._masked(f"{self.name}: the answer broke off ({type(error).__name__}: {error})")
            ) from error
        finally:
            await _close(opened.rest, opened.body)

    async def aclose(self) -> None:
        """Closes the connections made here."""
        client, self._own = self._own, None
        if client is not None:
            await client.aclose()

    # -- until the first token -------------------------------------------------------------------------------------

    async def _opened(self, request: ModelRequest) -> _Opened:
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(_Again),
            stop=stop_after_attempt(self._policy.max_attempts),
            wait=self._pause,
            sleep=anyio.sleep,
            reraise=True,
        )
        try:
            return await attempts(self._attempt, request)
        except _Again as again:
            raise again.error from again.__cause__

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_seconds if isinstance(error, _Again) else None
        return (
            asked if asked is not None else backoff_seconds(state.attempt_number, policy=self._policy, rng=self._random)
        )

    async def _attempt(self, request: ModelRequest) -> _Opened:
        response = await self._send(request)
        body = _Body(response)
        deltas = self._deltas(body)
        try:
            if response.status_code != 200:
                raise await self._failure(response, request)
            first = await self._first(deltas)
        except BaseException:
            await _close(deltas, body)
            raise
        return _Opened(first, deltas, body)

    async def _send(self, request: ModelRequest) -> httpx.Response:
        headers = {"Accept": "text/event-stream, application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        body = request_body(request, self._quirks)
        client = self._client or self._made()
        message = client.build_request(
            "POST", f"{self.base_url}/chat/completions", json=body, headers=headers, timeout=self._timeout
        )
        try:
            return await client.send(message, stream=True)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _made(self) -> httpx.AsyncClient:
        self._own = self._own or httpx.AsyncClient()
        return self._own

    def _unreachable(self, error: httpx.HTTPError) -> Exception:
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        failure = ModelError(self._masked(f"{self.name}: no answer from {self.base_url} ({what})"), retryable=True)
        # an answer that only takes long may be under way: asking twice would pay twice
        return failure if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout) else _Again(failure)

    async def _first(self, deltas: AsyncGenerator[LLMDelta, None]) -> LLMDelta:
        try:
            return await anext(deltas)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        except _Cut as cut:
            raise _Again(ModelError(f"{self.name}: {cut}", retryable=True)) from cut

    async def _failure(self, response: httpx.Response, request: ModelRequest) -> Exception:
        """The error of an answer that is not 200."""
        status = response.status_code
        try:
            text = await response.aread()
        except httpx.HTTPError:
            text = b""
        body = decode_json(text)
        body = text.decode(errors="replace") if isinstance(body, BadLine) else body
        code = _code(body)
        said = self._masked(
            f"{self.name}: HTTP {status}: {error_message(body) or response.reason_phrase}{_hint(status)}"
        )
        if status == 404:
            return ModelNotFoundError(f"{said} (model {request.model!r} at {self.base_url})", status_code=status)
        if code in _REFUSALS:
            return ModelRefusedError(said, status_code=status)
        error = ModelError(said, status_code=status, retryable=is_retryable_status(status) and code not in _FINAL_CODES)
        wait = _wait_asked(response.headers)
        if not error.retryable or (wait or 0) > self._policy.max_wait_seconds:
            return error
        return _Again(error, retry_after_seconds=wait)

    # -- the answer ------------------------------------------------------------------------------------------------

    async def _deltas(self, body: _Body) -> AsyncGenerator[LLMDelta, None]:
        kind = body.response.headers.get("content-type", "").partition(";")[0].strip().lower()
        chunks = Chunks()
        try:
            if kind == "text/event-stream":
                async with aclosing(_events(body)) as events:
                    async for chunk in events:
                        for delta in chunks.take(chunk):
                            yield delta
                if chunks.stop_reason is None:
                    raise _Cut("the answer broke off")
            else:
                for delta in chunks.take(await _whole(body.response, kind)):
                    yield delta
            yield chunks.end()
        except ModelError as error:
            raise type(error)(self._masked(f"{self.name}: {error}"), status_code=body.response.status_code) from error

    def _masked(self, text: str) -> str:
        if self._key:
            text = text.replace(self._key, "***")
        return _KEYS.sub("***", text)


class _Cut(ModelError):
    """The stream ended before the answer did."""


class _Body:
    """The bytes of a response as they come. To be closed: what httpx is still in the middle of has to end too.

    httpx reads through generators inside generators; closing the outer one leaves the inner ones to the garbage
    collector, about which trio complains. Reading on from a closed connection ends them all.
    """

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._bytes: AsyncIterator[bytes] | None = None

    async def read(self) -> bytes | None:
        """The next bytes; None at the end."""
        if self._bytes is None:
            self._bytes = self.response.aiter_bytes()
        return await anext(self._bytes, None)

    async def drain(self) -> None:
        """Reads what is left, which should be nothing, so that the connection can be used again."""
        with anyio.move_on_after(DRAIN_SECONDS):
            while await self.read() is not None:
                pass

    async def aclose(self) -> None:
        """Closes the response and ends the reading of it."""
        await self.response.aclose()
        with suppress(httpx.HTTPError, httpx.StreamError):
            while self._bytes is not None and await self.read() is not None:
                pass


async def _events(body: _Body) -> AsyncGenerator[Any, None]:
    """The chunks of an event stream, until `[DONE]` or its end."""
    reader = EventReader()
    while True:
        data = await body.read()
        for item in reader.end() if data is None else reader.feed(data):
            match item:
                case ServerEvent(data="[DONE]"):
                    await body.drain()
                    return
                case ServerEvent(data=text):
                    yield _chunk(text)
                case BadLine(reason=reason, message=message) if reason != "cut":
                    raise ModelError(f"a chunk that cannot be read: {message}")
                case _:  # a comment: the server is still there; or the end inside an event, which the caller notices
                    pass
        if data is None:
            return


def _chunk(text: str) -> Any:
    chunk = decode_json(text.encode())
    if isinstance(chunk, BadLine):
        raise ModelError(f"a chunk that cannot be read: {chunk.message}")
    return chunk


async def _whole(response: httpx.Response, kind: str) -> Any:
    """The answer of a server that does not stream."""
    text = await response.aread()
    body = decode_json(text)
    if not is_object(body) or not ("choices" in body or "error" in body):
        shown = error_message(text.decode(errors="replace"))
        raise ModelError(f"expected an event stream or JSON with choices, got {kind or 'no content type'}: {shown!r}")
    return body


async def _close(deltas: AsyncGenerator[LLMDelta, None], body: _Body) -> None:
    """Closes also while being cancelled, in bounded time."""
    with anyio.move_on_after(CLOSE_SECONDS, shield=True):
        await deltas.aclose()
        await body.aclose()


def _code(body: Any) -> str:
    match body:
        case {"error": {"code": str() as code}} | {"error": {"type": str() as code}} | {"code": str() as code}:
            return code
        case _:
            return ""


def _hint(status: int) -> str:
    return {401: "; check OPENAI_API_KEY", 403: "; the key may not use this model"}.get(status, "")


def _wait_asked(headers: httpx.Headers) -> float | None:
    milliseconds = headers.get("retry-after-ms", "")
    if milliseconds.isdigit():
        return int(milliseconds) / 1000
    return parse_retry_after(headers.get("retry-after", ""), now=time.time())
