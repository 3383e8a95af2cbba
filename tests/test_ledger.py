"""The ledger on a real PostgreSQL: of one address in one account there is one create at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from structlog.testing import CapturingLogger

from app import ledger
from app.autotask.models import Contact
from app.db import Sessions, db_now, make_engine, make_sessions
from app.ledger import Claim, Created, Pending
from app.models import Ledger
from app.states import LedgerState

EMAIL = "nina@radiology.example"
ACCOUNT, TICKET = 174, 7
SETTLE = timedelta(seconds=330)
SECOND = timedelta(seconds=1)
CONTACT = 30_001


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    """A database with an empty ledger."""
    engine = make_engine(database_url)
    yield make_sessions(engine)
    await engine.dispose()


async def now(sessions: Sessions) -> datetime:
    """Read the database's clock."""
    async with sessions() as session:
        return await db_now(session)


async def claim(
    sessions: Sessions,
    *,
    read_at: datetime | None = None,
    ticket: int = TICKET,
    account: int = ACCOUNT,
    email: str = EMAIL,
) -> Claim | Created | Pending:
    """Claim the address, as one whose contacts were read just now."""
    read_at = read_at or await now(sessions)
    async with sessions() as session, session.begin():
        return await ledger.claim(session, account, email, ticket, settle=SETTLE, read_at=read_at)


async def first_claim(sessions: Sessions) -> Claim:
    """Claim the address as the first."""
    claimed = await claim(sessions)
    assert isinstance(claimed, Claim)
    return claimed


async def settle(sessions: Sessions, one: Claim, state: LedgerState) -> None:
    """Record what became of a request."""
    async with sessions() as session, session.begin():
        if state is LedgerState.CREATED:
            await ledger.created(session, one, CONTACT)
        elif state is LedgerState.REFUSED:
            await ledger.refused(session, one, "Autotask said no")
        elif state is LedgerState.UNSURE:
            await ledger.unsure(session, one, "no answer")


async def ledger_rows(sessions: Sessions) -> list[Ledger]:
    """Read the ledger."""
    async with sessions() as session:
        return list((await session.execute(select(Ledger).order_by(Ledger.id))).scalars())


def contact(note: str, n: int = 0) -> Contact:
    """Give a contact that carries the address and this note."""
    return Contact.model_validate(
        {"id": CONTACT + n, "companyID": ACCOUNT, "isActive": 1, "emailAddress": EMAIL}
        | {"note": note}
    )


async def recognise(sessions: Sessions, *notes: str, read_at: datetime | None = None) -> Ledger:
    """Read contacts with these notes, and let the ledger's one row be settled by them."""
    found = [contact(note, n) for n, note in enumerate(notes)]
    read_at = read_at or await now(sessions)
    async with sessions() as session, session.begin():
        await ledger.recognise(session, ACCOUNT, {EMAIL: found}, settle=SETTLE, read_at=read_at)
    [row] = await ledger_rows(sessions)
    return row


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
        await ledger.claim(first, ACCOUNT, EMAIL, 1, settle=SETTLE, read_at=read_at)
        second = asyncio.create_task(claim(sessions, read_at=read_at))
        done, _ = await asyncio.wait([second], timeout=0.2)
        assert not done
    assert isinstance(await second, Pending)


async def test_a_claim_follows_one_that_was_rolled_back(sessions: Sessions) -> None:
    """A claim that never committed let no request out: the address is free."""
    read_at = await now(sessions)
    async with sessions() as first:
        await ledger.claim(first, ACCOUNT, EMAIL, 1, settle=SETTLE, read_at=read_at)
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
        answer = await ledger.claim(
            session, ACCOUNT, EMAIL, TICKET, settle=10 * SETTLE, read_at=read_at
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


# --- what came of it -----------------------------------------------------------------------------


async def test_what_is_sent_is_kept_with_its_own_request(sessions: Sessions) -> None:
    """The body belongs to one row, whatever else is under way."""
    one = await first_claim(sessions)
    await claim(sessions, email="other@radiology.example")
    async with sessions() as session, session.begin():
        await ledger.record_sent(session, one, {"lastName": "Berg"})
    assert [row.sent for row in await ledger_rows(sessions)] == [{"lastName": "Berg"}, None]


@pytest.mark.parametrize("settled", [LedgerState.CREATED, LedgerState.REFUSED, LedgerState.UNSURE])
async def test_an_answer_is_about_its_own_request(sessions: Sessions, settled: LedgerState) -> None:
    """A request for another person, sent as often, stays as it is."""
    one = await first_claim(sessions)
    await claim(sessions, email="other@radiology.example")
    await settle(sessions, one, settled)
    assert [row.state for row in await ledger_rows(sessions)] == [settled, LedgerState.SENDING]


@pytest.mark.parametrize("unsure", [False, True])
async def test_a_reason_is_kept_and_cut_to_its_column(sessions: Sessions, unsure: bool) -> None:
    """Autotask's texts may be long; only a refusal is the end of a request."""
    one = await first_claim(sessions)
    record = ledger.unsure if unsure else ledger.refused
    async with sessions() as session, session.begin():
        await record(session, one, "x" * 501)
    [row] = await ledger_rows(sessions)
    assert row.error == "x" * 500
    assert (row.settled_at is None) is unsure


async def test_an_answer_that_comes_after_the_take_over_changes_nothing(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The successor's request is the one that counts; the other contact is reported."""
    captured = CapturingLogger()
    monkeypatch.setattr(ledger, "log", captured)
    one = await first_claim(sessions)
    async with sessions() as session, session.begin():
        (await session.get_one(Ledger, one.id)).sent_at -= 2 * SETTLE
    assert isinstance(await claim(sessions, ticket=8), Claim)

    for state in (LedgerState.CREATED, LedgerState.REFUSED, LedgerState.UNSURE):
        await settle(sessions, one, state)

    [row] = await ledger_rows(sessions)
    assert (row.state, row.contact_id, row.sends) == (LedgerState.SENDING, None, 2)
    [alarm] = captured.calls
    assert alarm.args == ("created_after_it_was_given_up",)
    assert alarm.kwargs == {"ledger": one.id, "contact": CONTACT}


async def test_a_create_that_was_recognised_before_its_answer_came_is_no_alarm(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another ticket's look saw the contact first: same contact, nothing to report."""
    captured = CapturingLogger()
    monkeypatch.setattr(ledger, "log", captured)
    one = await first_claim(sessions)
    await recognise(sessions, one.mark("T1"))
    await settle(sessions, one, LedgerState.CREATED)
    assert captured.calls == []


async def test_a_late_doubt_does_not_undo_a_created_contact(sessions: Sessions) -> None:
    """A settled row stays settled."""
    one = await first_claim(sessions)
    await settle(sessions, one, LedgerState.CREATED)
    await settle(sessions, one, LedgerState.UNSURE)
    await settle(sessions, one, LedgerState.REFUSED)
    [row] = await ledger_rows(sessions)
    assert (row.state, row.contact_id) == (LedgerState.CREATED, CONTACT)


async def test_the_contacts_that_a_ticket_created_are_known(sessions: Sessions) -> None:
    """Only the ticket's own, and only those that exist."""
    await settle(sessions, await first_claim(sessions), LedgerState.CREATED)
    await claim(sessions, email="other@radiology.example")
    async with sessions() as session:
        assert await ledger.contacts_created_for(session, TICKET) == {CONTACT}
        assert await ledger.contacts_created_for(session, TICKET + 1) == set()


async def test_a_contact_that_is_gone_is_no_more_among_those_created(sessions: Sessions) -> None:
    """A person deleted it: it takes none of the ten that a ticket may create."""
    await settle(sessions, await first_claim(sessions), LedgerState.CREATED)
    await claim(sessions, read_at=await now(sessions) + 2 * SETTLE)
    async with sessions() as session:
        assert await ledger.contacts_created_for(session, TICKET) == set()


# --- recognising ---------------------------------------------------------------------------------


async def test_a_contact_with_our_mark_settles_the_request(sessions: Sessions) -> None:
    """Of several with our mark the lowest id is the one."""
    one = await first_claim(sessions)
    row = await recognise(sessions, "somebody's", one.mark("T1"), one.mark("T1") + " edited")
    assert (row.state, row.contact_id) == (LedgerState.CREATED, CONTACT + 1)
    assert row.settled_at is not None


@pytest.mark.parametrize("after", [False, True], ids=["too early to tell", "settled"])
async def test_a_contact_of_somebody_else_settles_it_only_in_time(
    sessions: Sessions, after: bool
) -> None:
    """A colleague made the contact by hand: our own request may still take effect, until then."""
    await first_claim(sessions)
    read_at = await now(sessions) + (SETTLE + SECOND if after else timedelta(0))
    row = await recognise(sessions, "made by hand", read_at=read_at)
    assert row.state == (LedgerState.REFUSED if after else LedgerState.SENDING)
    told = "the contact that carries the address is not of this request"
    assert row.error == (told if after else None)


async def test_a_contact_of_somebody_else_settles_nothing_at_the_last_moment(
    sessions: Sessions,
) -> None:
    """At the very end of its time the request may still take effect."""
    await first_claim(sessions)
    [sent] = await ledger_rows(sessions)
    row = await recognise(sessions, "made by hand", read_at=sent.sent_at + SETTLE)
    assert row.state == LedgerState.SENDING


async def test_a_contact_settles_no_request_but_its_own(sessions: Sessions) -> None:
    """Requests for other people, or in other accounts, stay open."""
    claims = [
        await claim(sessions, email="other@radiology.example"),
        await claim(sessions, account=ACCOUNT + 1),
    ]
    async with sessions() as session, session.begin():
        contacts = [contact(one.mark("T1")) for one in claims if isinstance(one, Claim)]
        later = await db_now(session) + 2 * SETTLE
        await ledger.recognise(session, ACCOUNT, {EMAIL: contacts}, settle=SETTLE, read_at=later)
    assert [row.state for row in await ledger_rows(sessions)] == [LedgerState.SENDING] * 2


async def test_a_contact_with_our_mark_does_not_reopen_what_was_refused(
    sessions: Sessions,
) -> None:
    """Only a request without an answer is settled by what is found."""
    one = await first_claim(sessions)
    await settle(sessions, one, LedgerState.REFUSED)
    row = await recognise(sessions, one.mark("T1"))
    assert (row.state, row.contact_id) == (LedgerState.REFUSED, None)


async def test_the_mark_of_another_request_is_not_ours(sessions: Sessions) -> None:
    """`1` is not `11`."""
    one = await first_claim(sessions)
    row = await recognise(sessions, one.mark("T1").replace(f"{one.id}:", f"{one.id}1:"))
    assert row.state == LedgerState.SENDING


async def test_nobody_found_settles_nothing(sessions: Sessions) -> None:
    """An address without contacts stays claimed; only a claim after that may take it over."""
    await first_claim(sessions)
    row = await recognise(sessions, read_at=await now(sessions) + 2 * SETTLE)
    assert row.state == LedgerState.SENDING


@pytest.mark.parametrize(
    ("number", "mark"),
    [
        ("T20260101.0042", "Cc of T20260101.0042"),
        (None, "Cc of a ticket"),
    ],
)
def test_the_mark_is_for_people_too(number: str | None, mark: str) -> None:
    """It fits Autotask's note of 50 characters, whatever the numbers."""
    assert Claim(7, 1).mark(number) == f"autotask-cc 7: {mark}"
    assert len(Claim(2**62, 1).mark("T20260101.0042")) == 50
