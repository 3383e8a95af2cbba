"""The ledger on a real PostgreSQL: what came of a create, by its answer or by what is found."""

from __future__ import annotations

from datetime import timedelta

import pytest
from structlog.testing import CapturingLogger

from app.db.database import Sessions, db_now, now
from app.db.states import LedgerState
from app.db.tables import Ledger
from app.records.ledger import creating
from app.records.ledger.creating import Claim
from tests.support.claims import (
    ACCOUNT,
    CONTACT,
    EMAIL,
    SECOND,
    SETTLE,
    TICKET,
    claim,
    contact,
    first_claim,
    ledger_rows,
    recognise,
    settle,
)

# --- what came of it -----------------------------------------------------------------------------


async def test_what_is_sent_is_kept_with_its_own_request(sessions: Sessions) -> None:
    """The body belongs to one row, whatever else is under way."""
    one = await first_claim(sessions)
    await claim(sessions, email="other@radiology.example")
    async with sessions() as session, session.begin():
        await creating.record_sent(session, one, {"lastName": "Berg"})
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
    record = creating.unsure if unsure else creating.refused
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
    monkeypatch.setattr(creating, "log", captured)
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
    monkeypatch.setattr(creating, "log", captured)
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
        assert await creating.contacts_created_for(session, TICKET) == {CONTACT}
        assert await creating.contacts_created_for(session, TICKET + 1) == set()


async def test_a_contact_that_is_gone_is_no_more_among_those_created(sessions: Sessions) -> None:
    """A person deleted it: it takes none of the ten that a ticket may create."""
    await settle(sessions, await first_claim(sessions), LedgerState.CREATED)
    await claim(sessions, read_at=await now(sessions) + 2 * SETTLE)
    async with sessions() as session:
        assert await creating.contacts_created_for(session, TICKET) == set()


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
        await creating.recognise(session, ACCOUNT, {EMAIL: contacts}, settle=SETTLE, read_at=later)
    assert [row.state for row in await ledger_rows(sessions)] == [LedgerState.SENDING] * 2


async def test_a_contact_with_our_mark_is_ours_though_its_request_was_refused(
    sessions: Sessions,
) -> None:
    """It took effect behind an error; a contact without the mark is not of that request."""
    one = await first_claim(sessions)
    await settle(sessions, one, LedgerState.REFUSED)
    row = await recognise(sessions, "another note")
    assert (row.state, row.contact_id) == (LedgerState.REFUSED, None)
    row = await recognise(sessions, one.mark("T1"))
    assert (row.state, row.contact_id) == (LedgerState.CREATED, CONTACT)


async def test_the_mark_of_another_request_is_not_ours(sessions: Sessions) -> None:
    """`1` is not `11`."""
    one = await first_claim(sessions)
    row = await recognise(sessions, one.mark("T1").replace(f" {one.id}-", f" {one.id}1-"))
    assert row.state == LedgerState.SENDING


@pytest.mark.parametrize(
    "typed",
    [
        "autotask-cc {id}: Cc of T1",
        "autotask-cc {id}-: Cc of T1",
        "autotask-cc {id}-None: Cc of T1",
        "autotask-cc {id}-000000: Cc of T1",
        "autotask-cc {id}-%: Cc of T1",
        "Copied: {mark}",
        " {mark}",
    ],
)
async def test_a_note_that_a_person_typed_is_not_our_mark(sessions: Sessions, typed: str) -> None:
    """The number of a request can be guessed; otherwise we would end a person's contact one day."""
    one = await first_claim(sessions)
    await settle(sessions, one, LedgerState.UNSURE)
    row = await recognise(sessions, typed.format(id=one.id, mark=one.mark("T1")))
    assert (row.state, row.contact_id) == (LedgerState.UNSURE, None)


async def test_a_request_that_is_sent_again_keeps_its_mark(sessions: Sessions) -> None:
    """The contact of the first request may appear very late: it is ours all the same."""
    one = await first_claim(sessions)
    again = await claim(sessions, read_at=await now(sessions) + 2 * SETTLE)
    assert isinstance(again, Claim)
    assert (again.sends, again.mark("T1")) == (2, one.mark("T1"))
    assert (await recognise(sessions, one.mark("T1"))).state == LedgerState.CREATED


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
    assert Claim(7, 1, "0af3c1").mark(number) == f"autotask-cc 7-0af3c1: {mark}"
    assert Claim(7, 1).mark(number) == f"autotask-cc 7: {mark}"  # of an earlier version
    assert len(Claim(2**62, 1, "0af3c1").mark("T20260101.0042")) == 50
