"""What we know of people on tickets, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from app.db.database import Sessions, db_now, make_engine, make_sessions
from app.db.states import Origin, Outcome
from app.db.tables import LinkRecord, Mapping, Participant, TicketContact
from app.decide import Decision, Reason, Verdict
from app.records import forgotten, links, mappings, participants
from app.records.ledger.common import Pending
from app.records.links import Intent

NINA = "nina@radiology.example"
TICKET, ACCOUNT, CONTACT = 7, 174, 30_001
SETTLE = timedelta(seconds=330)
SECOND = timedelta(seconds=1)
CREATE = Decision(NINA, "Nina", Verdict.CREATE, Reason.OUTSIDE)


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    """A database that knows nobody."""
    engine = make_engine(database_url)
    yield make_sessions(engine)
    await engine.dispose()


async def decided(
    sessions: Sessions, *decisions: Decision, account: int = ACCOUNT, ours: Collection[int] = ()
) -> list[Participant]:
    """Record decisions, and give the ticket's participants."""
    async with sessions() as session, session.begin():
        await participants.record_decisions(session, TICKET, account, decisions, ours)
        await session.flush()
        return await participants.of_ticket(session, TICKET)


async def fail(sessions: Sessions, contact: int | None = None) -> datetime | None:
    """Let Autotask refuse Nina."""
    async with sessions() as session, session.begin():
        return await participants.record_failure(session, TICKET, NINA, "No, thanks.", contact)


async def finish(sessions: Sessions, outcome: Outcome) -> None:
    """Record what came of Nina."""
    async with sessions() as session, session.begin():
        await participants.record_outcome(session, TICKET, NINA, outcome, CONTACT)


async def retry_failures(sessions: Sessions) -> None:
    """Let it be tried again."""
    async with sessions() as session, session.begin():
        await participants.retry_failures(session, TICKET)


async def nina(sessions: Sessions) -> Participant:
    """Read Nina's row."""
    async with sessions() as session:
        rows = await session.execute(select(Participant).where(Participant.key == NINA))
        return rows.scalar_one()


# --- decisions and outcomes ----------------------------------------------------------------------


async def test_people_are_listed_as_they_stood_in_the_list(sessions: Sessions) -> None:
    """Those who came later stand behind, and nobody twice."""
    names = ["c@x.example", "a@x.example", "b@x.example"]
    some = [Decision(name, "", Verdict.CREATE, Reason.OUTSIDE) for name in names]
    await decided(sessions, *some)
    rows = await decided(sessions, *some)
    assert [row.key for row in rows] == names


async def test_the_same_decision_keeps_what_came_of_it(sessions: Sessions) -> None:
    """A second look decides the same: outcome, contact and time stay."""
    [before] = await decided(sessions, CREATE)
    await finish(sessions, Outcome.CREATED_AND_LINKED)
    await decided(sessions, CREATE)
    row = await nina(sessions)
    assert (row.outcome, row.contact_id) == ("created_and_linked", CONTACT)
    assert row.decided_at == before.decided_at


@pytest.mark.parametrize(
    ("decision", "account"),
    [
        (Decision(NINA, "Nina", Verdict.HOLD, Reason.OVER_LIMIT), ACCOUNT),
        (Decision(NINA, "Nina", Verdict.CREATE, Reason.INSIDE), ACCOUNT),
        (CREATE, ACCOUNT + 1),
    ],
    ids=["decision", "reason", "account"],
)
async def test_another_decision_starts_anew(
    sessions: Sessions, decision: Decision, account: int
) -> None:
    """Decided otherwise, or for another account: failures and outcome were of the old one."""
    await decided(sessions, CREATE)
    await fail(sessions)
    await finish(sessions, Outcome.FAILED)

    [row] = await decided(sessions, decision, account=account)

    assert (row.outcome, row.detail, row.failures, row.retry_at) == (None, None, 0, None)
    assert (row.decision, row.reason, row.account_id) == (
        decision.verdict,
        decision.reason,
        account,
    )


@pytest.mark.parametrize(
    ("ours", "reason", "outcome"),
    [
        ([CONTACT], Reason.OUTSIDE, Outcome.CREATED_AND_LINKED),
        ([], Reason.ALREADY_LINKED, None),
    ],
    ids=["by us", "by somebody else"],
)
async def test_that_we_linked_somebody_is_no_new_decision(
    sessions: Sessions, ours: list[int], reason: Reason, outcome: Outcome | None
) -> None:
    """Why we brought somebody stays said, although they are already linked by now."""
    await decided(sessions, CREATE)
    await finish(sessions, Outcome.CREATED_AND_LINKED)
    linked = Decision(NINA, "Nina", Verdict.LINK, Reason.ALREADY_LINKED, CONTACT)

    [row] = await decided(sessions, linked, ours=ours)

    assert (row.reason, row.outcome, row.contact_id) == (reason, outcome, CONTACT)


@pytest.mark.parametrize(
    ("contact", "outcome"),
    [(None, Outcome.FAILED), (CONTACT, Outcome.CREATED_NOT_LINKED)],
    ids=["create refused", "link refused"],
)
async def test_a_refused_person_is_tried_three_times_within_an_hour(
    sessions: Sessions, contact: int | None, outcome: Outcome
) -> None:
    """After 5 minutes, after 30 more, then never; Autotask's words are kept."""
    await decided(sessions, CREATE)
    async with sessions() as session:
        began = await db_now(session)

    first, second, third = [await fail(sessions, contact) for _ in range(3)]

    assert first is not None
    assert second is not None
    assert [round((at - began) / timedelta(minutes=1)) for at in (first, second)] == [5, 30]
    assert third is None
    row = await nina(sessions)
    assert (row.outcome, row.detail, row.failures, row.retry_at, row.contact_id) == (
        outcome,
        "No, thanks.",
        3,
        None,
        contact,
    )


@pytest.mark.parametrize(
    ("outcome", "after"),
    [
        (Outcome.FAILED, None),
        (Outcome.CREATED_NOT_LINKED, None),
        (None, None),
        (Outcome.LINKED, Outcome.LINKED),
        (Outcome.HELD, Outcome.HELD),
    ],
)
async def test_forgiving_frees_what_failed_and_nothing_else(
    sessions: Sessions, outcome: Outcome | None, after: Outcome | None
) -> None:
    """What has failed or waits for its next try is tried at once; what is done stays done."""
    await decided(sessions, CREATE)
    retry_at = await fail(sessions)
    async with sessions() as session, session.begin():
        await session.execute(update(Participant).values(outcome=outcome, retry_at=retry_at))

    await retry_failures(sessions)

    row = await nina(sessions)
    freed = after is None
    assert row.outcome == after
    assert (row.failures, row.retry_at) == ((0, None) if freed else (1, retry_at))


async def test_after_forgiving_there_are_three_tries_again(sessions: Sessions) -> None:
    """The count begins anew."""
    await decided(sessions, CREATE)
    for _ in range(3):
        await fail(sessions)
    await retry_failures(sessions)
    assert [await fail(sessions) is None for _ in range(3)] == [False, False, True]


async def test_forgiving_one_ticket_leaves_the_others(sessions: Sessions) -> None:
    """A person asked for this ticket."""
    await decided(sessions, CREATE)
    for _ in range(3):
        await fail(sessions)
    async with sessions() as session, session.begin():
        await participants.retry_failures(session, TICKET + 1)
    assert (await nina(sessions)).outcome == Outcome.FAILED


# --- links ---------------------------------------------------------------------------------------


async def intend(sessions: Sessions, read_at: datetime | None = None) -> Intent | Pending:
    """Intend to link the contact, on a reading of just now."""
    async with sessions() as session, session.begin():
        return await links.intend_link(
            session,
            TICKET,
            ACCOUNT,
            CONTACT,
            settle=SETTLE,
            read_at=read_at or await db_now(session),
        )


async def saw(sessions: Sessions, *contacts: int) -> None:
    """See contacts on the ticket."""
    async with sessions() as session, session.begin():
        await links.saw_linked(session, TICKET, ACCOUNT, contacts)


async def refuse(sessions: Sessions, intent: Intent) -> None:
    """Let Autotask refuse the link."""
    async with sessions() as session, session.begin():
        await links.link_refused(session, intent)


async def link(sessions: Sessions, contact: int = CONTACT) -> LinkRecord:
    """Read a link's row."""
    async with sessions() as session:
        return await session.get_one(LinkRecord, (TICKET, contact))


async def test_an_unanswered_link_is_waited_for(sessions: Sessions) -> None:
    """The second look may not send while the first request may still take effect."""
    assert isinstance(await intend(sessions), Intent)
    assert isinstance(await intend(sessions), Pending)


async def test_an_unanswered_link_is_sent_again_on_a_reading_after_it_settled(
    sessions: Sessions,
) -> None:
    """When it can come no more and was not there, it never will be."""
    first = await intend(sessions)
    assert isinstance(first, Intent)
    settled_at = first.sent_at + SETTLE
    assert isinstance(await intend(sessions, settled_at), Pending)
    assert isinstance(await intend(sessions, settled_at + SECOND), Intent)


async def test_only_one_of_two_looks_at_once_may_link(sessions: Sessions) -> None:
    """Two intents for a link whose row stands: one waits for the other."""
    first = await intend(sessions)
    assert isinstance(first, Intent)
    await refuse(sessions, first)
    answers = await asyncio.gather(*(intend(sessions) for _ in range(5)))
    assert [type(a) for a in answers].count(Intent) == 1


async def test_a_link_that_took_effect_is_ours_and_one_of_others_is_not(
    sessions: Sessions,
) -> None:
    """Seen on the ticket after our intent: ours. Without one: somebody else's."""
    await intend(sessions)
    await saw(sessions, CONTACT, CONTACT + 1)
    assert ((await link(sessions)).ours, (await link(sessions, CONTACT + 1)).ours) == (True, False)


async def test_when_it_was_first_seen_is_never_overwritten(sessions: Sessions) -> None:
    """A fact of the past, kept through later readings."""
    await saw(sessions, CONTACT)
    first = (await link(sessions)).first_seen_linked_at
    await saw(sessions, CONTACT)
    assert (await link(sessions)).first_seen_linked_at == first is not None


async def test_a_refused_link_may_be_tried_again_at_once(sessions: Sessions) -> None:
    """A definite no left nothing behind."""
    intent = await intend(sessions)
    assert isinstance(intent, Intent)
    await refuse(sessions, intent)
    assert isinstance(await intend(sessions), Intent)


async def test_a_refused_link_does_not_make_somebody_elses_ours(sessions: Sessions) -> None:
    """Autotask refused ours, then a person added the contact."""
    intent = await intend(sessions)
    assert isinstance(intent, Intent)
    await refuse(sessions, intent)
    await saw(sessions, CONTACT)
    assert not (await link(sessions)).ours
    await refuse(
        sessions, Intent(TICKET, CONTACT, (await link(sessions)).sent_at or intent.sent_at)
    )
    await saw(sessions, CONTACT)
    assert not (await link(sessions)).ours


async def test_a_late_refusal_does_not_clear_a_later_intent(sessions: Sessions) -> None:
    """The refusal of an old request says nothing about the one that is on its way now."""
    old = await intend(sessions)
    assert isinstance(old, Intent)
    later = await intend(sessions, old.sent_at + 2 * SETTLE)
    assert isinstance(later, Intent)
    await refuse(sessions, old)
    assert (await link(sessions)).sent_at == later.sent_at


async def test_removal_is_recorded_once(sessions: Sessions) -> None:
    """The first time that it was seen counts; nobody else's row is touched."""
    await saw(sessions, CONTACT, CONTACT + 1)
    times = []
    for _ in range(2):
        async with sessions() as session, session.begin():
            await links.saw_removed(session, TICKET, [CONTACT])
        times.append((await link(sessions)).removed_seen_at)
    assert times[0] == times[1] is not None
    assert (await link(sessions, CONTACT + 1)).removed_seen_at is None


# --- mappings ------------------------------------------------------------------------------------


async def remember(sessions: Sessions, contact: int, origin: Origin = Origin.FOUND) -> Mapping:
    """Store what Nina's address means, and read it."""
    async with sessions() as session, session.begin():
        await mappings.remember(session, ACCOUNT, {NINA: contact}, origin)
    async with sessions() as session:
        return await session.get_one(Mapping, (ACCOUNT, NINA))


@pytest.mark.parametrize(
    ("before", "then", "expected"),
    [
        ((1, Origin.FOUND), (1, Origin.FOUND), (1, Origin.FOUND)),
        ((1, Origin.FOUND), (2, Origin.FOUND), (2, Origin.FOUND)),
        ((1, Origin.FOUND), (1, Origin.MANUAL), (1, Origin.MANUAL)),
        ((1, Origin.FOUND), (2, Origin.MANUAL), (2, Origin.MANUAL)),
        ((1, Origin.MANUAL), (1, Origin.FOUND), (1, Origin.MANUAL)),
        ((1, Origin.MANUAL), (2, Origin.MANUAL), (2, Origin.MANUAL)),
        ((1, Origin.MANUAL), (2, Origin.FOUND), (1, Origin.MANUAL)),
    ],
)
async def test_what_an_address_means(
    sessions: Sessions,
    before: tuple[int, Origin],
    then: tuple[int, Origin],
    expected: tuple[int, Origin],
) -> None:
    """What looks find is replaced by what they find later; what a person said stays said."""
    created_at = (await remember(sessions, *before)).created_at
    row = await remember(sessions, *then)
    assert (row.contact_id, row.origin) == expected
    assert row.created_at == created_at


async def test_two_looks_that_remember_the_same_people_do_not_deadlock(sessions: Sessions) -> None:
    """Rows are written in one order, whatever the order of the list."""
    people = {f"p{n}@x.example": n for n in range(30)}
    turned = dict(reversed(people.items()))

    async def store(contacts: dict[str, int]) -> None:
        async with sessions() as session, session.begin():
            await mappings.remember(session, ACCOUNT, contacts)

    await asyncio.gather(*(store(one) for one in (people, turned) * 4))
    async with sessions() as session:
        found = await mappings.of_addresses(session, ACCOUNT, people)
    assert {email: row.contact_id for email, row in found.items()} == people


async def test_a_mapping_to_somebody_gone_is_forgotten_unless_it_was_set_anew(
    sessions: Sessions,
) -> None:
    """While a look found the contact gone, an admin may have named another one."""
    for meanwhile, left in ((CONTACT, None), (CONTACT + 1, CONTACT + 1)):
        await remember(sessions, meanwhile, Origin.MANUAL)
        async with sessions() as session, session.begin():
            await mappings.remember(session, ACCOUNT + 1, {NINA: CONTACT})
            await mappings.forget(session, ACCOUNT, {NINA: CONTACT})
            here = await mappings.of_addresses(session, ACCOUNT, [NINA])
            there = await mappings.of_addresses(session, ACCOUNT + 1, [NINA])
        assert (here[NINA].contact_id if here else None) == left
        assert there[NINA].contact_id == CONTACT


async def test_an_admin_deletes_whatever_stands(sessions: Sessions) -> None:
    """And is told whether anything did."""
    await remember(sessions, CONTACT)
    for deleted in (True, False):
        async with sessions() as session, session.begin():
            assert await mappings.delete_one(session, ACCOUNT, NINA) is deleted


# --- the ticket's own contact --------------------------------------------------------------------


async def test_a_contacts_addresses_are_kept_for_an_hour(sessions: Sessions) -> None:
    """Read within the hour they are given, then they are asked for again."""
    async with sessions() as session, session.begin():
        await mappings.remember_contact(session, CONTACT, [NINA])
        fresh = await mappings.contact_addresses(session, CONTACT)
        hour = mappings.VERIFIED_FOR + SECOND
        await session.execute(update(TicketContact).values(read_at=TicketContact.read_at - hour))
        session.expire_all()
        late = await mappings.contact_addresses(session, CONTACT)
    assert (fresh, late) == (frozenset([NINA]), None)


async def test_a_text_that_is_a_forgotten_address_is_stored_as_its_alias(
    sessions: Sessions,
) -> None:
    """Such as the last entry of a list that was cut off: no usable address, but it names her."""
    cut = Decision(NINA, "", Verdict.IGNORE, Reason.INVALID, detail="cut_off")
    async with sessions() as session, session.begin():
        rows = await participants.record_decisions(session, TICKET, ACCOUNT, [cut], (), [NINA])
        assert rows[NINA].key == forgotten.alias(NINA)
    [row] = await decided(sessions)
    assert (row.key, row.reason) == (forgotten.alias(NINA), Reason.INVALID)
