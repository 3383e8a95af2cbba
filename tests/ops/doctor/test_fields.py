"""What the doctor thinks of a tenant's fields, without asking one."""

from __future__ import annotations

from typing import Any

import pytest

from app.autotask.entity_info import Access, FieldFacts
from app.autotask.models import Choice
from app.ops.doctor.fields import (
    judge_contact_fields,
    judge_list_field,
    judge_publish,
    judge_ticket_sources,
)
from app.ops.doctor.findings import State


def field(name: str, **facts: Any) -> FieldFacts:
    """Describe a field as Autotask does."""
    return FieldFacts.model_validate({"name": name, "type": "string"} | facts)


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({"length": 8000}, State.OK),
        ({"length": None}, State.OK),
        ({"length": 0}, State.OK),
        ({"length": 1000}, State.OK),
        ({"length": 999}, State.WARNING),
        ({"length": 100}, State.WARNING),
        ({"type": "datetime", "length": 8000}, State.PROBLEM),
        ({"isPickList": True, "length": 8000}, State.PROBLEM),
    ],
)
def test_a_list_needs_a_long_text(facts: dict[str, Any], state: State) -> None:
    """Of a field that is too short it is said how many people fit."""
    found = judge_list_field("cc", [field("CC", **facts)], others=False)
    assert found.state is state
    if facts["length"] == 100:
        assert "single-line: about 2 people" in found.found


def test_what_defaults_must_not_have() -> None:
    """A name that contacts do not have, and more characters than fit."""
    told = [
        field("title", dataType="string", length=5),
        field("id", isRequired=True, isReadOnly=True),
    ]
    given = {"title": "too long", "titel": "x", "userDefinedFields": []}
    found = [one.found for one in judge_contact_fields(told, given)]
    assert len(found) == 2
    assert found[0].endswith("do not have: titel.")
    assert found[1].endswith("than fit: title.")


def test_ticket_sources_that_mean_mail() -> None:
    """One that does not exist is wrong; one that looks like mail and is not named may be."""
    choices = [
        {"value": str(value), "label": label, "isActive": value != 9}
        for value, label in ((2, "Phone"), (4, "E-Mail"), (9, "Old mail"))
    ]
    source = field("source", picklistValues=choices)
    assert judge_ticket_sources(source, (4, 7)).state is State.PROBLEM
    unnamed = judge_ticket_sources(source, ())
    assert (unnamed.state, "4 = E-Mail." in unnamed.found) == (State.WARNING, True)
    assert judge_ticket_sources(source, (4,)).found == "Ticket sources that mean mail: E-Mail."


PUBLISH = [
    Choice(value=1, label="All Autotask Users"),
    Choice(value=2, label="Internal Users Only"),
    Choice(value=4, label="Internal & Co-Managed"),
    Choice(value=6, label="Intern und co-managed"),
    Choice(value=7, label="Comanaging circle"),
    Choice(value=8, label="Interne Mitarbeiter"),
    Choice(value=9, label="Old Circle", isActive=False),
]


@pytest.mark.parametrize(
    ("wanted", "state", "says"),
    [
        (1, State.WARNING, "customers"),
        (2, State.OK, "Internal Users Only"),
        (4, State.WARNING, "customers' own people"),
        (6, State.WARNING, "customers' own people"),
        (7, State.WARNING, "customers' own people"),
        (8, State.OK, "Interne Mitarbeiter"),
        (9, State.PROBLEM, "not one of"),
        (77, State.PROBLEM, "not one of"),
        (None, State.PROBLEM, "not one of"),
    ],
)
def test_what_customers_see_is_warned_of(wanted: int | None, state: State, says: str) -> None:
    """By the number and by the label, whichever says so."""
    found = judge_publish(wanted, PUBLISH)
    assert (found.state, says in found.found) == (state, True)
    assert found.state is State.OK or "2 = Internal Users Only" in found.cure
    renamed = judge_publish(4, [Choice(value=4, label="Team")])
    assert renamed.state is State.WARNING


@pytest.mark.parametrize(
    ("told", "may"),
    [
        ({}, True),
        ({"canUpdate": True, "userAccessForUpdate": "All"}, True),
        ({"canUpdate": True, "userAccessForUpdate": 2}, True),
        ({"canUpdate": True, "userAccessForUpdate": 0}, False),
        ({"canUpdate": True, "userAccessForUpdate": "None"}, False),
        ({"canUpdate": False}, False),
    ],
)
def test_levels_come_as_names_or_numbers(told: dict[str, Any], may: bool) -> None:
    """What Autotask does not tell keeps nobody from anything."""
    assert Access.model_validate(told).may_update is may
