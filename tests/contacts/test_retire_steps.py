"""The next step in ending a contact, out of every state that it can be found in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.autotask.models import ContactLink, TicketState, WholeContact
from app.contacts.retire_steps import Action, AtAutotask, OurRecord, next_step
from app.db.states import EndedBy

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SENT = {"firstName": "Nina", "lastName": "Osei", "emailAddress": "nina@x.example"}
OURS = OurRecord(
    account_id=174,
    why=EndedBy.LIFETIME,
    sent=SENT,
    begun=False,
    links={10: 501},
    grace=7 * DAY,
    over_at=NOW - 30 * DAY,
)
LINK = ContactLink.model_validate({"id": 501, "ticketID": 10})
COMPLETE = (5,)


def whole(**fields: Any) -> WholeContact:
    """Make a contact as Autotask gives it."""
    known = {"id": 1, "companyID": 174, "isActive": 1, **SENT}
    return WholeContact.model_validate(known | fields)


def ticket(status: int = 5, days_ago: float = 30, number: int = 10) -> dict[int, TicketState]:
    """Make the state of a ticket."""
    done = f"{NOW - timedelta(days=days_ago):%Y-%m-%dT%H:%M:%SZ}" if status == 5 else None
    told = {"id": number, "companyID": 174, "status": status, "completedDate": done}
    return {number: TicketState.model_validate(told)}


LINKED = AtAutotask(whole(), [LINK], states=ticket())
BEGUN = replace(OURS, begun=True)
CLEARED = whole(emailAddress="")


@pytest.mark.parametrize(
    ("ours", "there", "action"),
    [
        (OURS, LINKED, Action.UNLINK),
        (OURS, replace(LINKED, stuck={501}), Action.CLEAR),
        (OURS, AtAutotask(whole()), Action.CLEAR),
        (BEGUN, AtAutotask(CLEARED), Action.DEACTIVATE),
        (BEGUN, AtAutotask(whole(emailAddress=None)), Action.DEACTIVATE),
        (BEGUN, AtAutotask(whole(isActive=0, emailAddress="", companyID=0)), Action.RETIRED),
        (OURS, AtAutotask(None), Action.GONE),
        (BEGUN, AtAutotask(None), Action.GONE),
        # not yet
        (OURS, replace(LINKED, states=ticket(status=8)), Action.LATER),
        (OURS, replace(LINKED, states=ticket(days_ago=6.9)), Action.LATER),
        (replace(OURS, over_at=NOW - 6 * DAY), LINKED, Action.LATER),
        (replace(OURS, grace=0 * DAY, over_at=NOW), LINKED, Action.UNLINK),
        (OURS, replace(LINKED, states={}), Action.UNLINK),  # the ticket was deleted
        # dates that lie ahead: ours counts
        (OURS, replace(LINKED, states=ticket(days_ago=-0.01)), Action.UNLINK),
        (OURS, replace(LINKED, states=ticket(days_ago=-400)), Action.UNLINK),
        (replace(OURS, over_at=None), replace(LINKED, states=ticket(days_ago=-400)), Action.LATER),
        # a person's
        (OURS, AtAutotask(whole(isActive=0)), Action.KEEP),
        (BEGUN, AtAutotask(whole(isActive=0)), Action.KEEP),
        (OURS, AtAutotask(whole(emailAddress="")), Action.KEEP),  # not we who took it away
        (OURS, AtAutotask(whole(lastName="Other")), Action.KEEP),
        (OURS, AtAutotask(whole(phone="1")), Action.KEEP),
        (OURS, AtAutotask(whole(companyID=175)), Action.KEEP),
        (OURS, replace(LINKED, portal=True), Action.KEEP),
        (OURS, replace(LINKED, own_tickets={77}), Action.KEEP),
        (replace(OURS, links={}), LINKED, Action.KEEP),
        (replace(OURS, links={10: 502}), LINKED, Action.KEEP),
        (replace(OURS, links={10: None}), LINKED, Action.UNLINK),
        (replace(OURS, by_person="mapped"), LINKED, Action.KEEP),
        (replace(OURS, sent=None), LINKED, Action.KEEP),
        # in the middle of it
        (BEGUN, AtAutotask(whole(emailAddress="", lastName="Other")), Action.PUT_BACK),
        (BEGUN, AtAutotask(CLEARED, portal=True), Action.PUT_BACK),
        (BEGUN, AtAutotask(CLEARED, own_tickets={77}), Action.PUT_BACK),
        (replace(BEGUN, links={}), AtAutotask(CLEARED, [LINK], states=ticket()), Action.PUT_BACK),
        (BEGUN, AtAutotask(CLEARED, [LINK], states=ticket(status=8)), Action.PUT_BACK),
        (BEGUN, AtAutotask(CLEARED, [LINK], states=ticket()), Action.DEACTIVATE),
        (BEGUN, AtAutotask(whole(emailAddress="new@x.example")), Action.KEEP),
    ],
)
def test_the_next_step(ours: OurRecord, there: AtAutotask, action: Action) -> None:
    """A line for each thing that can be so."""
    assert next_step(ours, there, COMPLETE, NOW).action == action


def test_a_grace_that_is_not_over_says_when() -> None:
    """The later of when Autotask says and when we noticed."""
    step = next_step(replace(OURS, over_at=NOW - 2 * DAY), LINKED, COMPLETE, NOW)
    assert step.until == NOW + 5 * DAY


def test_any_status_that_is_named_ends_a_ticket() -> None:
    """Not only Complete."""
    there = replace(LINKED, states=ticket(status=8))
    assert next_step(OURS, there, (5, 8), NOW).action == Action.UNLINK


@given(
    active=st.booleans(),
    email=st.sampled_from([None, "", "nina@x.example", "other@x.example"]),
    name=st.sampled_from(["Osei", "Other"]),
    begun=st.booleans(),
    portal=st.booleans(),
    known=st.sampled_from([None, 501, 502]),
    status=st.sampled_from([None, 5, 8]),
)
def test_nobody_is_left_inactive_with_an_address(
    active: bool,
    email: str | None,
    name: str,
    begun: bool,
    portal: bool,
    known: int | None,
    status: int | None,
) -> None:
    """Whatever is found, no step leads there; what a person touched is neither cut nor ended."""
    contact = whole(isActive=int(active), emailAddress=email, lastName=name)
    states = ticket(status) if status else {}
    there = AtAutotask(contact, [LINK] if status else [], portal=portal, states=states)
    ours = replace(OURS, begun=begun, links={10: known})
    action = next_step(ours, there, COMPLETE, NOW).action
    if action is Action.DEACTIVATE:
        assert begun
        assert not email
    if name == "Other" or portal or (status and known == 502):
        assert action in (Action.KEEP, Action.PUT_BACK, Action.RETIRED)
    if status == 8:
        assert action not in (Action.UNLINK, Action.CLEAR, Action.DEACTIVATE)


@pytest.mark.parametrize(
    ("value", "default", "action"),
    [
        (None, None, Action.CLEAR),
        ("", None, Action.CLEAR),
        ("Gold", "Gold", Action.CLEAR),
        ("Gold", None, Action.KEEP),
        ("", "Gold", Action.KEEP),
    ],
)
def test_a_user_defined_field_that_a_person_filled_keeps_it(
    value: str | None, default: str | None, action: Action
) -> None:
    """What a new contact has in it by itself is nobody's word."""
    contact = whole(userDefinedFields=[{"name": "Tier", "value": value}])
    ours = replace(OURS, udf_defaults={"Tier": default})
    assert next_step(ours, AtAutotask(contact), COMPLETE, NOW).action == action
