"""One request and its answer, without the waiting: what both transports send, and how they read what comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Generic, TypeVar

import httpx
from pydantic_core import PydanticSerializationError, to_json
from tenacity import RetryCallState

from agentkit.client.config import ClientConfig
from agentkit.client.sources import AsyncChunks, chunks_of
from agentkit.errors import AgentKitError, ConnectError, SessionError, TimeoutError, UsageError
from agentkit.protocol.dialects import unwrap
from agentkit.protocol.endpoint import Call
from agentkit.protocol.flows import PutFile
from agentkit.protocol.retry import Failure, FailureKind, GiveUp, Retry, decide

__all__ = ["Exchange", "Failed", "should_stop", "wait_seconds"]

T = TypeVar("T")

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class Failed(Exception):
    """One try failed; `error` is what the caller gets to see if there is no other."""

    def __init__(self, error: AgentKitError, verdict: Callable[[int], Retry | GiveUp]) -> None:
        super().__init__(str(error))
        self.error = error
        self._verdict = verdict
        self._decided: dict[int, Retry | GiveUp] = {}

    def verdict(self, attempt: int) -> Retry | GiveUp:
        """Whether to try again after this attempt; decided once, though it is asked twice."""
        return self._decided.setdefault(attempt, self._verdict(attempt))


@dataclass
class Meter:
    """How much of an answer has come."""

    total: int | None
    request: httpx.Request
    come: int = 0

    def count(self, chunk: bytes) -> bytes:
        """The same piece, counted."""
        self.come += len(chunk)
        return chunk

    def check(self) -> None:
        """Raises httpx's RemoteProtocolError where something is missing."""
        if self.total is not None and self.come != self.total:
            why = f"{self.come} of {self.total} bytes came"
            raise httpx.RemoteProtocolError(why, request=self.request)


@dataclass(frozen=True)
class Exchange(Generic[T]):
    """A call on its way. `send` belongs to the transport; everything before and after it is here."""

    config: ClientConfig
    call: Call[T]
    rng: Random

    def request(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """The HTTP request; a call with its own URL carries neither key nor version (protocol.md 4.1).

        Raises UsageError for a body that JSON cannot carry.
        """
        call = self.call
        if call.url is not None:
            return self._upload(http, call.url)
        headers = {**self.config.headers, **call.headers}
        content = call.content
        if content is None and call.body is not None:
            content, headers["Content-Type"] = self._json(call.body), "application/json"
        if call.idempotency_key is not None:
            headers["Idempotency-Key"] = call.idempotency_key
        return http.build_request(
            call.method,
            self.config.base_url + call.path,
            content=content,
            params=dict(call.query) or None,
            headers=headers,
            timeout=httpx.Timeout(self.config.timeout_seconds, connect=self.config.connect_seconds),
        )

    def download(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """The GET of a file's bytes; a call with its own URL carries just the headers it came with."""
        call = self.call
        headers = dict(call.headers) if call.url is not None else {**self.config.headers, **call.headers}
        headers |= {"Accept": "*/*", "Accept-Encoding": "identity"}
        timeout = httpx.Timeout(self.config.timeout_seconds, connect=self.config.connect_seconds)
        url = call.url if call.url is not None else self.config.base_url + call.path
        return http.build_request(call.method, url, headers=headers, timeout=timeout)

    def meter(self, response: httpx.Response) -> Meter:
        """Counts the bytes of an answer against its Content-Length."""
        told = response.headers.get("Content-Length", "")
        is_plain = response.headers.get("Content-Encoding", "identity") == "identity"
        return Meter(int(told) if told.isdecimal() and is_plain else None, response.request)

    def read(self, response: httpx.Response) -> T:
        """The reply. Raises Failed for an answer that is not 2xx, RemoteProtocolError for one that makes no sense."""
        try:
            if self.call.url is not None and response.is_success:
                return self.call.read(None)
            data, _ = unwrap(response.status_code, response.content, response.headers, now=time.time())
        except AgentKitError as error:
            if response.is_success:
                raise
            is_final = isinstance(error, SessionError)  # a worker that is lost does not come back
            raise self._failed(
                error,
                "status",
                status=None if is_final else response.status_code,
                retry_after=response.headers.get("Retry-After"),
            ) from None
        return self.call.read(data)

    def broke(self, error: httpx.HTTPError) -> Failed:
        """What a failure to send or to receive means."""
        where = self.call.url or f"{self.config.base_url}{self.call.path}"
        what = f"{self.call.method} {where.split('?')[0]}"
        if isinstance(error, _NOT_SENT):
            reason = str(error) or type(error).__name__
            return self._failed(ConnectError(f"{what}: cannot reach it: {reason}"), "not_sent")
        if isinstance(error, httpx.TimeoutException):
            seconds = self.config.timeout_seconds
            return self._failed(TimeoutError(f"{what}: no answer within {seconds:g} s", maybe_sent=True), "timeout")
        reason = str(error) or type(error).__name__
        return self._failed(ConnectError(f"{what}: the connection broke: {reason}", maybe_sent=True), "broken")

    def _failed(
        self, error: AgentKitError, kind: FailureKind, *, status: int | None = None, retry_after: str | None = None
    ) -> Failed:
        failure = Failure(
            kind,
            self.call.method,
            status=status,
            retry_after=retry_after,
            now=time.time(),
            has_idempotency_key=self.call.idempotency_key is not None,
        )
        return Failed(error, lambda attempt: decide(failure, attempt=attempt, policy=self.config.retry, rng=self.rng))

    def _json(self, body: Any) -> bytes:
        try:
            return to_json(body)
        except PydanticSerializationError as error:  # half a surrogate pair, most of all
            raise UsageError(f"{self.call.method} {self.call.path}: JSON cannot carry this: {error}") from None

    def _upload(self, http: httpx.Client | httpx.AsyncClient, url: str) -> httpx.Request:
        """A PUT with a length, because storage takes no chunked bodies; its time-out grows with its size."""
        call, headers = self.call, dict(self.call.headers)
        content: Any = call.content
        size = len(call.content or b"")
        if isinstance(call, PutFile) and call.source is not None:
            size = call.source.size
            headers["Content-Length"] = str(size)
            pieces = chunks_of if isinstance(http, httpx.Client) else AsyncChunks
            content = pieces(call.source, call.on_progress)
        seconds = self.config.timeout_seconds + size / self.config.upload_bytes_per_second
        timeout = httpx.Timeout(seconds, connect=self.config.connect_seconds)
        request = http.build_request(call.method, url, content=content, headers=headers, timeout=timeout)
        if isinstance(content, AsyncChunks):
            request.stream = content  # as it is, not in a generator of httpx's
        return request


def should_stop(state: RetryCallState) -> bool:
    """Whether the last failure is final (for tenacity)."""
    return isinstance(_verdict(state), GiveUp)


def wait_seconds(state: RetryCallState) -> float:
    """How long until the next try (for tenacity)."""
    verdict = _verdict(state)
    return verdict.after_seconds if isinstance(verdict, Retry) else 0.0


def _verdict(state: RetryCallState) -> Retry | GiveUp:
    error: Any = state.outcome.exception() if state.outcome else None
    return error.verdict(state.attempt_number) if isinstance(error, Failed) else GiveUp("final")
