"""The ledger on a real PostgreSQL: of one address in one account there is one create at a time."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from app.db.database import Sessions, db_now, now
from app.db.states import LedgerState
from app.db.tables import Ledger
from app.records.ledger import creating
from app.records.ledger.common import Pending, Wanted
from app.records.ledger.creating import Claim, Created
from tests.support.claims import (
    ACCOUNT,
    CONTACT,
    EMAIL,
    SECOND,
    SETTLE,
    TICKET,
    claim,
    first_claim,
    ledger_rows,
    settle,
)

# --- claim ---------------------------------------------------------------------------------------


async def test_the_first_claim_is_stored_as_sending(sessions: Sessions) -> None:
    """The row says that a request may be on its way, since when, and for which ticket."""
    before = await now(sessions)
    one = await first_claim(sessions)
    [row] = await ledger_rows(sessions)
    assert (row.id, row.state, row.ticket_id, row.sends) == (one.id, "sending", TICKET, 1)
    assert before <= row.sent_at <= await now(sessions)


async def test_of_twenty_claims_at_once_one_may_send(sessions: Sessions) -> None:
    """Twenty tickets with the same stranger: one claim, nineteen that wait."""
    answers = await asyncio.gather(*(claim(sessions, ticket=n) for n in range(20)))
    kinds = [type(answer) for answer in answers]
    assert (kinds.count(Claim), kinds.count(Pending)) == (1, 19)
    assert len(await ledger_rows(sessions)) == 1


async def test_a_claim_waits_for_one_that_is_not_committed(sessions: Sessions) -> None:
    """Two transactions at the same time: the second sees what the first has done."""
    read_at = await now(sessions)
    async with sessions() as first, first.begin():
        await creating.claim(first, Wanted(ACCOUNT, EMAIL, 1), settle=SETTLE, read_at=read_at)
        second = asyncio.create_task(claim(sessions, read_at=read_at))
        done, _ = await asyncio.wait([second], timeout=0.2)
        assert not done
    assert isinstance(await second, Pending)


async def test_a_claim_follows_one_that_was_rolled_back(sessions: Sessions) -> None:
    """A claim that never committed let no request out: the address is free."""
    read_at = await now(sessions)
    async with sessions() as first:
        await creating.claim(first, Wanted(ACCOUNT, EMAIL, 1), settle=SETTLE, read_at=read_at)
        second = asyncio.create_task(claim(sessions, read_at=read_at))
        await asyncio.wait([second], timeout=0.2)
        await first.rollback()
    assert isinstance(await second, Claim)


@pytest.mark.parametrize("other", [{"account": 175}, {"email": "other@radiology.example"}])
async def test_other_accounts_and_addresses_are_free(
    sessions: Sessions, other: dict[str, int | str]
) -> None:
    """A claim is about one address in one account."""
    await first_claim(sessions)
    assert isinstance(await claim(sessions, **other), Claim)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", [LedgerState.SENDING, LedgerState.UNSURE])
@pytest.mark.parametrize(
    ("asked", "read", "answer"),
    [
        (timedelta(0), timedelta(0), Pending),
        (SETTLE + SECOND, SETTLE - SECOND, Pending),
        (SETTLE + SECOND, SETTLE, Pending),
        (SETTLE + 2 * SECOND, SETTLE + SECOND, Claim),
    ],
    ids=["at once", "settled, but read before", "read at the last moment", "read after that"],
)
async def test_a_claim_is_taken_over_only_on_a_reading_after_it_settled(
    sessions: Sessions, state: LedgerState, asked: timedelta, read: timedelta, answer: type
) -> None:
    """Time alone is not enough: somebody must have looked when nothing could come any more."""
    one = await first_claim(sessions)
    await settle(sessions, one, state)
    sent_at = await now(sessions) - asked
    async with sessions() as session, session.begin():
        (await session.get_one(Ledger, one.id)).sent_at = sent_at

    second = await claim(sessions, read_at=sent_at + read, ticket=8)

    assert type(second) is answer
    [row] = await ledger_rows(sessions)
    if isinstance(second, Claim):
        assert (second.id, second.sends) == (one.id, 2)
        assert (row.state, row.ticket_id, row.sends) == (LedgerState.SENDING, 8, 2)
        assert row.sent_at > sent_at
    else:
        assert (row.state, row.ticket_id, row.sends) == (state, TICKET, 1)


async def test_a_taken_over_claim_is_protected_as_long_again(sessions: Sessions) -> None:
    """The second request may take effect late, too."""
    one = await first_claim(sessions)
    async with sessions() as session, session.begin():
        (await session.get_one(Ledger, one.id)).sent_at -= 2 * SETTLE
    assert isinstance(await claim(sessions), Claim)
    assert isinstance(await claim(sessions), Pending)


@pytest.mark.parametrize(
    ("ago", "least", "most"),
    [(0, 1, 3), (60, 55, 65), (200, 125, 135), (329, 0.5, 2), (400, 0, 0.5)],
)
def test_waiting_doubles_and_ends_when_it_is_settled(ago: int, least: float, most: float) -> None:
    """Seconds to wait for a request sent so long ago: as long again, not beyond its settling."""
    at = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    pending = Pending.since(at - timedelta(seconds=ago), at, SETTLE)
    assert least <= (pending.until - at).total_seconds() <= most


async def test_a_standing_request_is_found_among_others(sessions: Sessions) -> None:
    """Neither what was refused before, nor another person's request, nor another account's."""
    await settle(sessions, await first_claim(sessions), LedgerState.REFUSED)
    await claim(sessions, email="other@radiology.example")
    await claim(sessions, account=ACCOUNT + 1)
    await first_claim(sessions)
    assert isinstance(await claim(sessions), Pending)


async def test_a_claim_goes_by_the_row_as_it_is_now(sessions: Sessions) -> None:
    """What its transaction has read of the row before may be out of date."""
    one = await first_claim(sessions)
    async with sessions() as session, session.begin():
        before = await session.get_one(Ledger, one.id)
        await settle(sessions, one, LedgerState.CREATED)
        read_at = before.sent_at + 2 * SETTLE
        answer = await creating.claim(
            session, Wanted(ACCOUNT, EMAIL, TICKET), settle=10 * SETTLE, read_at=read_at
        )
    assert answer == Created(CONTACT)


async def test_what_another_look_created_meanwhile_is_taken(sessions: Sessions) -> None:
    """The contact did not exist when this look read; now it does."""
    read_at = await now(sessions)
    await settle(sessions, await first_claim(sessions), LedgerState.CREATED)
    assert await claim(sessions, read_at=read_at) == Created(CONTACT)


async def test_a_contact_that_is_gone_is_created_again(sessions: Sessions) -> None:
    """Merged or deleted; a reading soon after the create may show nobody for being late."""
    one = await first_claim(sessions)
    await settle(sessions, one, LedgerState.CREATED)
    settled_at = await now(sessions)
    assert await claim(sessions, read_at=settled_at + SETTLE - SECOND) == Created(CONTACT)

    second = await claim(sessions, read_at=settled_at + SETTLE + SECOND)

    assert isinstance(second, Claim)
    states = {row.id: row.state for row in await ledger_rows(sessions)}
    assert states == {one.id: LedgerState.GONE, second.id: LedgerState.SENDING}


async def test_a_reading_from_the_last_moment_of_the_wait_is_too_early(sessions: Sessions) -> None:
    """Up to that moment, it included, what was created is taken although the reading lacks it."""
    await settle(sessions, await first_claim(sessions), LedgerState.CREATED)
    [row] = await ledger_rows(sessions)
    assert row.settled_at
    assert await claim(sessions, read_at=row.settled_at + SETTLE) == Created(CONTACT)


async def test_a_refused_address_is_free(sessions: Sessions) -> None:
    """A definite no created nothing; the row stays as history."""
    one = await first_claim(sessions)
    await settle(sessions, one, LedgerState.REFUSED)

    second = await claim(sessions)

    assert isinstance(second, Claim)
    assert second.id != one.id
    assert [row.error for row in await ledger_rows(sessions)] == ["Autotask said no", None]


@pytest.mark.parametrize("state", [LedgerState.SENDING, LedgerState.UNSURE, LedgerState.CREATED])
async def test_the_database_itself_refuses_a_second_open_row(
    sessions: Sessions, state: LedgerState
) -> None:
    """Whatever code does: at most one row of an address stands, beside any number of past ones."""

    async def add(kind: LedgerState) -> None:
        async with sessions() as session, session.begin():
            session.add(
                Ledger(
                    account_id=ACCOUNT,
                    email=EMAIL,
                    ticket_id=TICKET,
                    state=kind,
                    contact_id=CONTACT,
                    sent_at=await db_now(session),
                )
            )

    for past in (LedgerState.REFUSED, LedgerState.GONE, LedgerState.GONE):
        await add(past)
    await add(state)
    with pytest.raises(IntegrityError):
        await add(LedgerState.SENDING)
