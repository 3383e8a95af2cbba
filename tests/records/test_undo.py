"""What our records say of what we did: links by their ids, and words of people that are kept."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from app.db.database import Sessions, db_now
from app.db.states import EndedBy, LedgerState, Outcome
from app.db.tables import Ledger, LinkRecord, Participant
from app.records import links, participants, undo
from app.records.ledger import ending
from tests.support.claims import (
    ACCOUNT,
    CONTACT,
    EMAIL,
    SETTLE,
    TICKET,
    first_claim,
    ledger_rows,
    settle,
)


async def intend(sessions: Sessions) -> links.Intent:
    """Intend to link the contact."""
    async with sessions() as session, session.begin():
        now = await db_now(session)
        intent = await links.intend_link(
            session, TICKET, ACCOUNT, CONTACT, settle=SETTLE, read_at=now
        )
    assert isinstance(intent, links.Intent)
    return intent


async def saw(sessions: Sessions, link_id: int) -> None:
    """See the contact on the ticket, by a link of this id."""
    async with sessions() as session, session.begin():
        ids = {CONTACT: link_id}
        await links.saw_linked(session, TICKET, ACCOUNT, ids, ids)


async def the_link(sessions: Sessions) -> LinkRecord:
    """Read the link's row."""
    async with sessions() as session:
        return await session.get_one(LinkRecord, (TICKET, CONTACT))


async def person(sessions: Sessions, approved_by: str | None = None) -> None:
    """Store somebody who was linked, and perhaps approved before."""
    async with sessions() as session, session.begin():
        now = await db_now(session)
        judged = {"approved_by": approved_by, "judged_at": now, "judged_account": ACCOUNT}
        session.add(
            Participant(
                ticket_id=TICKET,
                key=EMAIL,
                name="",
                position=0,
                account_id=ACCOUNT,
                decision="link",
                reason="known",
                outcome=Outcome.LINKED,
                contact_id=CONTACT,
                decided_at=now,
                **(judged if approved_by else {}),
            )
        )


async def test_the_first_id_that_is_seen_after_a_lost_answer_stays(sessions: Sessions) -> None:
    """That link is ours; a later one under another id is not, and does not take its place."""
    await intend(sessions)
    await saw(sessions, 501)
    await saw(sessions, 502)
    link = await the_link(sessions)
    assert (link.ours, link.link_id) == (True, 501)


async def test_a_reading_without_ids_leaves_the_id(sessions: Sessions) -> None:
    """It knows who is there, not by which link."""
    await intend(sessions)
    await saw(sessions, 501)
    async with sessions() as session, session.begin():
        await links.saw_linked(session, TICKET, ACCOUNT, [CONTACT])
    assert (await the_link(sessions)).link_id == 501


async def test_a_new_request_of_ours_has_a_link_of_its_own(sessions: Sessions) -> None:
    """The earlier one was seen to be gone; if this is refused, what is there is a person's."""
    await intend(sessions)
    await saw(sessions, 501)
    intent = await intend(sessions)
    async with sessions() as session, session.begin():
        await links.link_refused(session, intent)
    await saw(sessions, 502)
    link = await the_link(sessions)
    assert (link.ours, link.link_id) == (False, 502)


async def test_who_was_taken_off_by_us_has_no_link_of_ours(sessions: Sessions) -> None:
    """Neither the old one nor what a person makes afterwards."""
    await intend(sessions)
    await saw(sessions, 501)
    async with sessions() as session, session.begin():
        await links.unlinked(session, await the_link(sessions), "admin")
    assert (await the_link(sessions)).link_id is None
    await saw(sessions, 502)
    async with sessions() as session:
        assert (await undo.of_ticket(session, TICKET)).links == []


@pytest.mark.parametrize("approved_by", [None, "writer"])
async def test_an_unlink_that_was_refused_takes_back_no_earlier_approval(
    sessions: Sessions, approved_by: str | None
) -> None:
    """The rejection goes; that somebody was approved, and in which account, stays."""
    await person(sessions, approved_by)
    await intend(sessions)
    await saw(sessions, 501)
    link = await the_link(sessions)
    async with sessions() as session, session.begin():
        await links.intend_unlink(session, link, "admin")
    async with sessions() as session, session.begin():
        await links.keep(session, link, "admin")
    async with sessions() as session:
        row = (await session.execute(select(Participant))).scalar_one()
        approved, rejected = await participants.approved_and_rejected(session, TICKET, ACCOUNT)
    assert (row.approved_by, row.judged_at is not None) == (approved_by, approved_by is not None)
    assert (approved, rejected) == (frozenset([EMAIL] if approved_by else []), frozenset())
    assert (await the_link(sessions)).unlinked_at is None


async def unfinished(sessions: Sessions) -> Ledger:
    """Store somebody whose contact was created, and is known from the ledger only."""
    await person(sessions)
    async with sessions() as session, session.begin():
        await session.execute(update(Participant).values(contact_id=None, outcome=None))
    await settle(sessions, await first_claim(sessions), LedgerState.CREATED)
    [row] = await ledger_rows(sessions)
    return row


async def rejected(sessions: Sessions) -> str | None:
    """Read who rejected the person."""
    async with sessions() as session:
        return (await session.execute(select(Participant.rejected_by))).scalar_one()


async def test_who_is_about_to_be_taken_off_is_rejected_though_only_the_ledger_knows_them(
    sessions: Sessions,
) -> None:
    """Their link was not finished, so no contact stands beside their address."""
    await unfinished(sessions)
    await intend(sessions)
    async with sessions() as session, session.begin():
        await links.intend_unlink(session, await the_link(sessions), "admin")
    assert await rejected(sessions) == "admin"


async def test_whose_contact_is_about_to_be_ended_is_rejected_by_their_address(
    sessions: Sessions,
) -> None:
    """Also who was created and never linked."""
    row = await unfinished(sessions)
    async with sessions() as session, session.begin():
        on = await ending.intend(session, row, EndedBy.UNDO, set(), SETTLE, "admin")
        assert on == set()
    assert await rejected(sessions) == "admin"


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        ({"sent_at": LinkRecord.sent_at}, True),
        ({"sent_at": None}, False),
        ({"removed_seen_at": LinkRecord.sent_at}, False),
        ({"unlinked_at": LinkRecord.sent_at}, False),
        ({"sent_at": None, "first_seen_linked_at": LinkRecord.sent_at}, True),
    ],
    ids=["under way", "refused", "taken off by a person", "taken off by us", "somebody else's"],
)
async def test_a_contact_is_on_a_ticket_or_may_come_onto_it(
    sessions: Sessions, values: dict[str, object], counts: bool
) -> None:
    """A refused link is neither."""
    await intend(sessions)
    async with sessions() as session, session.begin():
        await session.execute(update(LinkRecord).values(values))
    async with sessions() as session:
        stand = await session.execute(select(LinkRecord.ticket_id).where(LinkRecord.stands()))
        assert list(stand.scalars()) == ([TICKET] if counts else [])
