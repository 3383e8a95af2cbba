"""What health says of what waits too long: how much, for what, since when, and the cure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func

from app.contacts import retire_chore
from app.db.database import db_now
from app.db.states import PLANNED, Chore, LedgerState, Priority, WaitsFor
from app.db.tables import Due, Gate, Ledger, TicketRecord, Worker
from app.due import work
from app.ops.checks.waiting import REASONS
from app.services import Services
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.support.helpers import rows
from tests.support.mails import NINA

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
async def _working(services: Services) -> None:
    """A worker lives, and the tenant is known."""
    await services.tenancy.api_url()
    await store(services, Worker(id="one"))


async def store(services: Services, *records: Any) -> None:
    """Put rows into the database."""
    async with services.sessions() as session, session.begin():
        session.add_all(records)


def waiting(ref: int, **more: Any) -> Due:
    """Make a ticket that waits in vain for two hours, and is tried again in ten minutes."""
    values = {
        "priority": Priority.LIVE,
        "since": func.now() - 2 * HOUR,
        "due_at": func.now() + 10 * MINUTE,
        "waits_for": WaitsFor.ANSWER,
        "waits_since": func.now() - 2 * HOUR,
        "vain": 8,
    }
    return Due(kind="ticket", ref=ref, **(values | more))


async def problems(api: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
    """Return the problems by code."""
    answer = (await api.get("/health/work")).json()
    return {problem["code"]: problem for problem in answer["problems"]}


UNTOUCHED: dict[str, Any] = {"waits_for": None, "waits_since": None, "vain": 0}
STUCK: dict[str, dict[str, Any]] = {
    "an hour": {},
    "ten looks": {"waits_since": func.now() - MINUTE, "since": func.now() - MINUTE, "vain": 10},
    "being looked at now": {
        "due_at": None, "holder": "one", "lease_until": func.now() + MINUTE,
    },
    "left by a worker that died": {
        "due_at": None, "holder": "one", "lease_until": func.now() - MINUTE,
    },
    "from the backlog": {"priority": Priority.CATCH_UP},
    "never looked at": {**UNTOUCHED, "due_at": func.now() - 2 * HOUR},
    "handed back each time": {**UNTOUCHED, "due_at": func.now()},
    "for a reason of a later version": {"waits_for": "of_later"},
}  # fmt: skip
NOT_STUCK: dict[str, dict[str, Any]] = {
    "nine looks within an hour": {"waits_since": func.now() - 59 * MINUTE, "vain": 9},
    "its list is read again as planned": {"waits_for": WaitsFor.LIST, "vain": 10},
    "a person is tried again as planned": {"waits_for": WaitsFor.RETRY, "vain": 10},
    "done": {"due_at": None},
    "in the backlog, not looked at yet": {
        **UNTOUCHED, "priority": Priority.CATCH_UP, "due_at": func.now() - 2 * HOUR,
    },
    "due later for the first time": UNTOUCHED,
}  # fmt: skip


@pytest.mark.parametrize("row", STUCK.values(), ids=STUCK)
async def test_a_ticket_is_stuck(
    api: httpx.AsyncClient, services: Services, row: dict[str, Any]
) -> None:
    """After an hour, or ten looks in vain, whenever its next try is."""
    await store(services, waiting(1, **row))
    assert "stuck" in await problems(api)


@pytest.mark.parametrize("row", NOT_STUCK.values(), ids=NOT_STUCK)
async def test_a_ticket_is_not_stuck(
    api: httpx.AsyncClient, services: Services, row: dict[str, Any]
) -> None:
    """It has waited for less, or waits on purpose."""
    await store(services, waiting(1, **row))
    assert "stuck" not in await problems(api)


async def test_the_reason_that_most_share_is_told(
    api: httpx.AsyncClient, services: Services
) -> None:
    """With all of them counted, since the first, and with the cure of that reason."""
    reasons = [WaitsFor.MAILBOX, WaitsFor.ENDING, WaitsFor.ENDING]
    await store(services, *(waiting(n, waits_for=one) for n, one in enumerate(reasons)))
    told = (await problems(api))["stuck"]
    assert ": 3. " in told["detail"]
    assert "(2) wait for: contacts that are being retired" in told["detail"]
    assert "delayed_by" in told["cure"]
    since = datetime.fromisoformat(told["since"])
    async with services.sessions() as session:
        assert timedelta(0) < await db_now(session) - since - 2 * HOUR < MINUTE


def test_each_reason_has_words_and_a_cure() -> None:
    """In plain words, without an address."""
    assert set(REASONS) == {None, *WaitsFor}
    assert not [text for reason in REASONS.values() for text in reason if "@" in text or not text]
    assert not [reason for reason, _ in REASONS.values() if reason.endswith(".")]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"paused_at": func.now(), "paused_by": "writer"}, "the end of the pause"),
        (
            {"shut_until": func.now() + HOUR, "code": "away", "reason": "x", "since": func.now()},
            "Autotask, which may not be asked now",
        ),
    ],
)
async def test_what_nobody_takes_up_waits_for_what_keeps_the_workers(
    api: httpx.AsyncClient, services: Services, values: dict[str, Any], reason: str
) -> None:
    """More workers would not help."""
    await store(services, waiting(1, waits_for=None, due_at=func.now() - 2 * HOUR))
    async with services.sessions() as session, session.begin():
        row = await session.get_one(Gate, 1)
        for name, value in values.items():
            setattr(row, name, value)
    assert reason in (await problems(api))["stuck"]["detail"]


LATE: dict[str, tuple[dict[str, Any], bool]] = {
    "due in ten minutes, in vain": ({"since": func.now() - 6 * MINUTE}, True),
    "planned": ({"waits_for": WaitsFor.LIST}, False),
    "planned, and nobody comes": (
        {"waits_for": WaitsFor.LIST, "due_at": func.now() - 6 * MINUTE}, True,
    ),
    "planned, and just due": ({"waits_for": WaitsFor.RETRY, "due_at": func.now() - MINUTE}, False),
    "handed back just now": ({"waits_for": None, "due_at": func.now()}, True),
    "wanted four minutes ago": ({"since": func.now() - 4 * MINUTE}, False),
    "backlog": ({"priority": Priority.CATCH_UP}, False),
}  # fmt: skip


@pytest.mark.parametrize(("row", "late"), LATE.values(), ids=LATE)
async def test_lateness_counts_from_when_the_work_was_wanted(
    api: httpx.AsyncClient, services: Services, row: dict[str, Any], late: bool
) -> None:
    """A next try does not hide it, and what waits on purpose is not late."""
    await store(services, waiting(1, **row))
    assert ("late" in await problems(api)) is late


def unsettled(state: LedgerState, **more: Any) -> Ledger:
    """Make a create that was sent eleven minutes ago."""
    values = {"account_id": 174, "email": NINA, "ticket_id": 9, "sent_at": func.now() - 11 * MINUTE}
    return Ledger(state=state, **(values | more))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (unsettled(LedgerState.UNSURE), True),
        (unsettled(LedgerState.SENDING), True),
        (unsettled(LedgerState.UNSURE, sent_at=func.now() - 9 * MINUTE), False),
        (unsettled(LedgerState.UNSURE, sent_at=func.now() - MINUTE, sends=200), True),
        (unsettled(LedgerState.CREATED, contact_id=5), False),
        (unsettled(LedgerState.REFUSED), False),
    ],
    ids=["unsure", "sending", "young", "sent again and again", "created", "refused"],
)
async def test_creates_without_an_answer_are_told(
    api: httpx.AsyncClient, services: Services, row: Ledger, told: bool
) -> None:
    """After ten minutes, counted from the first request, with their tickets."""
    await store(services, row)
    found = await problems(api)
    assert ("unanswered_creates" in found) is told
    assert not told or "tickets 9" in found["unanswered_creates"]["detail"]


async def test_contacts_that_tickets_want_are_told_while_they_are_being_retired(
    api: httpx.AsyncClient, services: Services
) -> None:
    """After an hour."""
    young = unsettled(LedgerState.RETIRING, contact_id=6, needed_at=func.now() - 50 * MINUTE)
    unwanted = unsettled(LedgerState.RETIRING, contact_id=7)
    await store(services, young, unwanted)
    assert "contacts_wanted" not in await problems(api)
    await store(
        services, unsettled(LedgerState.RETIRING, contact_id=8, needed_at=func.now() - 2 * HOUR)
    )
    assert "contacts 8." in (await problems(api))["contacts_wanted"]["detail"]


async def test_a_create_whose_ticket_is_over_is_looked_up_all_the_same(
    api: httpx.AsyncClient, services: Services, tenant: Tenant, people: Seed
) -> None:
    """No look asks about it any more: the chore does, and the problem ends."""
    await store(
        services,
        unsettled(LedgerState.UNSURE, account_id=people.alpine),
        TicketRecord(id=9, account_id=people.alpine, over_at=func.now()),
    )
    assert "unanswered_creates" in await problems(api)
    async with services.sessions() as session, session.begin():
        await work.want(session, work.CHORE, Chore.RETIRE, timedelta(0), Priority.LIVE)
        [lease] = await work.claim(session, work.CHORE, "test", 1)
    await retire_chore.retire_due(services, lease)
    assert [row.state for row in await rows(services, Ledger)] == [LedgerState.REFUSED]
    assert "unanswered_creates" not in await problems(api)


def test_only_what_is_read_or_tried_again_is_planned() -> None:
    """All else is named when it lasts."""
    assert set(PLANNED) == {WaitsFor.LIST, WaitsFor.RETRY, WaitsFor.SHOWN}
