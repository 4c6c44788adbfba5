"""`kill -9` around a payment: with a journal, the next process does what the tool promises, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentkit import Inference
from agentkit.testing import Scripted, call
from tests.faults import paying
from tests.faults.play import patient
from tests.runtime.serving import Served, served

pytestmark = [pytest.mark.requirement("fault:client-kills"), pytest.mark.timeout(60), pytest.mark.heavy]

PAYMENTS = {  # kind -> moment -> how often it was paid in the end
    "plain": {"before": 1, "after": 1, "journaled": 1, "posted": 1},
    "idempotent": {"before": 1, "after": 2, "journaled": 1, "posted": 1},  # again, with the same key
    "reconcile": {"before": 1, "after": 1, "journaled": 1, "posted": 1},
}
ASKED = ("before", "after")  # of the plain one: nobody but a person can know
ALIKE = ("journaled", "posted")  # moments at which all kinds do the same: the plain one shows it in every run
ROWS = [
    pytest.param(kind, moment, marks=[pytest.mark.thorough] if kind != "plain" and moment in ALIKE else [])
    for kind in paying.KINDS
    for moment in paying.MOMENTS
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    script = Scripted([call("pay", {"amount": 5}), "Paid."])
    with served(providers={"scripted": script}, db=tmp_path / "agentkit.db", synchronous="FULL") as found:
        yield found


@pytest.mark.parametrize(("kind", "moment"), ROWS)
def test_the_next_process_with_the_journal_pays_as_often_as_promised(
    server: Served, tmp_path: Path, kind: str, moment: str
) -> None:
    ledger, journal = tmp_path / "payments", tmp_path / "journal.db"
    chat_id = paying.run_until_killed(server.url, ledger, journal, kind, moment)
    was_paid = len(paying.payments(ledger))
    assert was_paid == (0 if moment == "before" else 1)
    with Inference(config=patient(server.url), journal=journal) as client:
        agent = client.agents.resume(chat_id, tools=[paying.payment(ledger, kind)])
        result = agent.resume(when_parked="return").result()
        if kind == "plain" and moment in ASKED:
            assert len(paying.payments(ledger)) == was_paid
            (asked,) = result.pending
            assert asked.meta["unknown_outcome"] is True
            if was_paid:
                agent.answer(asked.resource_id, "paid")
            else:
                agent.approve(asked.resource_id, arguments_hash=asked.arguments_hash)
            result = agent.resume(when_parked="return").result()
    assert (result.outcome, result.text) == ("completed", "Paid.")
    paid = paying.payments(ledger)
    assert len(paid) == PAYMENTS[kind][moment]
    assert len(set(paid)) == 1
