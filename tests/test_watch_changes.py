"""Watching a ticket that changes, and contacts that are ended and brought back."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from app import inbox, watch
from app.autotask.callouts import Callout
from app.desk import Desk
from app.models import Ledger, TicketRecord
from app.states import LedgerState
from app.watch import Records, Told, news
from tests.test_watch import NINA, callout


@pytest.mark.parametrize("action", ["Update", "update"])
async def test_a_change_is_told_as_one(desk: Desk, action: str) -> None:
    """What came seconds after the ticket was changed says nothing about its creation."""
    await callout(desk, 7, ago=3600)
    at = datetime.now(UTC) - timedelta(seconds=4)
    one = Callout(action, "Ticket", 7, "guid", 2, f"{at:%Y-%m-%dT%H:%M:%SZ}")
    async with desk.sessions() as session, session.begin():
        await inbox.receive(session, one, b"{}", timedelta(0))
    async with desk.sessions() as session:
        records = await watch.read(session, 7)
    assert records is not None
    first, second = [event.text for event in news(records, Told())]
    assert re.fullmatch(r"callout of ticket 7, 36[0-9]+ s after the ticket was created", first)
    assert re.fullmatch(
        r"callout of a change of ticket 7, [4-9] s after the ticket was changed", second
    )


@pytest.mark.parametrize("state", LedgerState)
def test_every_state_of_a_contact_has_its_words(state: LedgerState) -> None:
    """Also while it is being ended, or brought back."""
    now = datetime.now(UTC)
    row = Ledger(id=1, email=NINA, ticket_id=7, state=state, contact_id=70, sent_at=now)
    ticket = TicketRecord(id=7, first_seen_at=now)
    said = [event.text for event in news(Records(ticket, None, created=(row,)), Told())]
    assert re.fullmatch(rf"{NINA}: [a-z].+ \(70\)", said[-1], re.IGNORECASE)
