"""Hooks of type `webhook`: the payload is POSTed, what comes back is the answer (protocol.md 6.11).

`Idempotency-Key` is the same whenever the same moment is told again. With a secret the request carries
`X-Webhook-Signature`, as that of a webhook tool does.
"""

from __future__ import annotations

from typing import ClassVar

import httpx
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from agentkit.protocol.lines import is_object
from agentkit.protocol.signing import SIGNATURE, signature
from agentkit.runtime.executors.credentials import SecretSource
from agentkit.runtime.executors.http import requirements
from agentkit.runtime.hooks import HookCall, HookFailure
from agentkit.runtime.hooks.definition import TIMEOUT_SECONDS, target
from agentkit.runtime.outbound.egress import Guard, Refused
from agentkit.runtime.outbound.fetching import Answer, Fetcher, Outgoing, Oversized, Unreadable
from agentkit.wire import AgentHook, HookHandlerType, HookResponse

__all__ = ["WebhookHandler", "understood"]

MAX_BYTES = 1_000_000  # of an answer


class WebhookHandler:
    """Posts payloads to where the guard lets them."""

    type: ClassVar[HookHandlerType] = HookHandlerType.WEBHOOK

    def __init__(self, secrets: SecretSource, *, guard: Guard) -> None:
        self._secrets = secrets
        self._fetcher = Fetcher(guard, max_bytes=MAX_BYTES)

    async def require(self, hook: AgentHook, *, owner: str) -> None:
        """Raises Fault `requirements_not_met` where its secret is not set."""
        _, secret = target(hook)
        await requirements(self._secrets, owner, secrets=[secret] if secret else [], what=f"hook on {hook.event}")

    async def ask(self, call: HookCall) -> HookResponse:
        """What the webhook says. Raises HookFailure for every answer that is not 2xx, and for what means nothing."""
        url, name = target(call.hook)
        body = to_json(call.payload)
        headers = {"Content-Type": "application/json", "Idempotency-Key": call.id}
        if name is not None:
            headers[SIGNATURE] = signature(await self._secret(call.owner, name), body)
        seconds = call.hook.timeout or TIMEOUT_SECONDS
        answer = await self._send(
            Outgoing("POST", httpx.URL(url), headers, body, read_seconds=seconds, max_redirects=0)
        )
        if not answer.is_success:
            raise HookFailure(f"it answered HTTP {answer.status}")
        return understood(answer.content)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._fetcher.aclose()

    async def _secret(self, owner: str, name: str) -> str:
        secret = await self._secrets.secret(owner, name)
        if secret is None:
            raise HookFailure(f"the secret {name!r} is not set")
        return secret

    async def _send(self, request: Outgoing) -> Answer:
        try:
            return await self._fetcher.send(request)
        except Refused as refused:
            raise HookFailure(str(refused)) from None
        except httpx.ConnectError:
            raise HookFailure("it cannot be reached") from None
        except httpx.TimeoutException:
            raise HookFailure("it did not answer in time") from None
        except httpx.TransportError:
            raise HookFailure("the connection broke") from None
        except (Oversized, Unreadable) as problem:
            raise HookFailure(str(problem)) from None


def understood(content: bytes | str) -> HookResponse:
    """The answer in this JSON; nothing at all allows. Raises HookFailure."""
    if not content.strip():
        return HookResponse()
    try:
        value = from_json(content, allow_inf_nan=False)
    except ValueError:
        raise HookFailure("it answered with what is no JSON") from None
    if not is_object(value):
        raise HookFailure("it answered with JSON that is no object; write {'decision': 'allow'}")
    try:
        return HookResponse.parse(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise HookFailure(f"its answer is wrong at {where!r}: {first['msg']}") from None
