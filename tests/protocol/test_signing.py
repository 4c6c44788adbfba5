"""Signatures of webhooks: whoever has the secret knows ours from others'."""

from __future__ import annotations

import pytest

from agentkit.protocol.signing import signature, verify_signature

BODY = b'{"id":"1"}'
GOOD = signature("s3cret", BODY)


@pytest.mark.parametrize("name", ["X-Webhook-Signature", "x-webhook-signature", "X-WEBHOOK-SIGNATURE"])
def test_ours_is_known_however_the_header_is_written(name: str) -> None:
    assert verify_signature(BODY, {"Host": "x", name: GOOD}, "s3cret")


@pytest.mark.parametrize(
    ("body", "value", "secret"),
    [
        (BODY + b" ", GOOD, "s3cret"),
        (BODY, GOOD, "another"),
        (BODY, GOOD.removeprefix("sha256="), "s3cret"),
        (BODY, GOOD.upper(), "s3cret"),
        (BODY, "", "s3cret"),
        (BODY, "sha256=é", "s3cret"),
        (BODY, "\udcff", "s3cret"),
    ],
    ids=["body", "secret", "prefix", "case", "empty", "letters", "surrogate"],
)
def test_another_is_not(body: bytes, value: str, secret: str) -> None:
    assert not verify_signature(body, {"X-Webhook-Signature": value}, secret)


def test_a_request_without_a_signature_is_not_ours() -> None:
    assert not verify_signature(BODY, {}, "s3cret")


def test_an_empty_secret_is_a_mistake_and_no_answer() -> None:
    with pytest.raises(ValueError, match="secret"):
        verify_signature(BODY, {"X-Webhook-Signature": signature("", BODY)}, "")
