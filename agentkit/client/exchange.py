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
from agentkit.errors import AgentKitError, ConnectError, TimeoutError, UsageError
from agentkit.protocol.dialects import unwrap
from agentkit.protocol.endpoint import Call
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
            return http.build_request(
                call.method, call.url, content=call.content, headers=dict(call.headers), timeout=self._upload_timeout()
            )
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

    def read(self, response: httpx.Response) -> T:
        """The reply. Raises Failed for an answer that is not 2xx, RemoteProtocolError for one that makes no sense."""
        try:
            if self.call.url is not None and response.is_success:
                return self.call.read(None)
            data, _ = unwrap(response.status_code, response.content, response.headers, now=time.time())
        except AgentKitError as error:
            if response.is_success:
                raise
            raise self._failed(
                error, "status", status=response.status_code, retry_after=response.headers.get("Retry-After")
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

    def _upload_timeout(self) -> httpx.Timeout:
        size = len(self.call.content or b"")
        seconds = self.config.timeout_seconds + size / self.config.upload_bytes_per_second
        return httpx.Timeout(seconds, connect=self.config.connect_seconds)


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
