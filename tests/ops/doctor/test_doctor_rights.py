"""The doctor on rights: what Autotask says of the level, and what the service was refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func

from app.autotask.entity_info import Access
from app.db.tables import RefusedCall
from app.ops.doctor import State
from app.services import Services
from sandbox.seed import Seed
from sandbox.switches import Denied, Fault
from sandbox.tenant import Tenant
from tests.ops.doctor.test_doctor import Examine, examined, states
from tests.support.helpers import look_at
from tests.web.test_health import store

__all__ = ["examined"]


@pytest.mark.parametrize(
    ("denied", "code", "state", "says"),
    [
        (Denied("create", "Contacts"), "create_Contacts", State.PROBLEM, "may not create"),
        (
            Denied("create", "Contacts", company_type=7),
            "create_Contacts",
            State.WARNING,
            "in some accounts only",
        ),
        (
            Denied("create", "TicketAdditionalContacts", company_id=174),
            "create_TicketAdditionalContacts",
            State.WARNING,
            "Restricted",
        ),
        (Denied("create", "TicketNotes"), "create_TicketNotes", State.PROBLEM, "None"),
        (Denied("update", "Contacts"), "update_Contacts", State.WARNING, "activated or retired"),
        (
            Denied("query", "Contacts", company_type=7),
            "query_Contacts",
            State.WARNING,
            "Restricted to query Contacts",
        ),
        (
            Denied("query", "TicketAdditionalContacts"),
            "query_TicketAdditionalContacts",
            State.PROBLEM,
            "None to query",
        ),
    ],
)
async def test_what_autotask_says_of_the_level(
    examined: Examine, tenant: Tenant, denied: Denied, code: str, state: State, says: str
) -> None:
    """Before anybody is refused: None is wrong, Restricted is a warning with what it means."""
    tenant.denied.append(denied)
    found = await examined(ticket_note="internal", ticket_note_publish=2)
    assert found[code].state == state
    assert says in found[code].found
    assert "type of organization" in found[code].cure


async def test_all_is_right(examined: Examine) -> None:
    """And says when one was created last, if one was."""
    found = await examined(ticket_note="internal", ticket_note_publish=2)
    for entity in ("Contacts", "TicketAdditionalContacts", "TicketNotes"):
        assert found[f"create_{entity}"].state == State.OK
        assert "Autotask says All" in found[f"create_{entity}"].found


async def test_an_autotask_that_does_not_say(examined: Examine, tenant: Tenant) -> None:
    """Refused or silent: nothing is claimed."""
    tenant.faults.add(Fault("garbage", path_contains="Contacts/entityInformation", times=None))
    found = await examined()
    assert found["create_Contacts"].state == State.SKIPPED
    assert "query_Contacts" not in states(found, State.PROBLEM, State.WARNING)


@pytest.mark.parametrize(
    ("said", "level"), [("All", "All"), (2, "Restricted"), (0, "None"), ("0", "None"), (None, None)]
)
def test_a_level_by_name_or_number(said: Any, level: str | None) -> None:
    """Both were seen."""
    assert Access(userAccessForCreate=said).level("create") == level


async def test_what_the_service_was_refused_is_named(
    examined: Examine, services: Services, tenant: Tenant, people: Seed
) -> None:
    """With account, right, since when and cure, whatever Autotask says of the level."""
    tenant.faults.add(
        Fault(
            "error_500_errors",
            "POST",
            path_contains=f"/Companies/{people.alpine}/Contacts",
            text="The logged in Resource does not have the adequate permissions to create this"
            " entity type.",
        )
    )
    await look_at(services, tenant.new_ticket(people.alpine, cc="nina@radiology.example"))
    found = await examined()
    create, waits = found["create_Contacts"], found["right_missing"]
    assert create.state == State.PROBLEM
    assert f"refused to create Contacts of account {people.alpine}" in create.found
    assert f"account {people.alpine}" in waits.found
    assert "within 15 minutes" in waits.cure


async def test_an_answer_from_in_between_is_named(examined: Examine, services: Services) -> None:
    """It works for others."""
    row = {"code": "intercepted", "call": "create Contacts", "about": "account 174"}
    now: Any = func.now()
    await store(
        services, RefusedCall(**row, since=now, last_at=now, reason="answered in its place (403)")
    )
    found = await examined()
    assert found["intercepted"].state == State.WARNING
    assert "create Contacts of account 174" in found["intercepted"].found
    assert "(403)" in found["intercepted"].found


def _ago(**by: float) -> Any:
    return func.now() - timedelta(**by)


async def test_what_is_over_is_not_named(examined: Examine, services: Services) -> None:
    """Nobody has waited for it within the last hour."""
    for code in ("right", "intercepted"):
        row = {"code": code, "call": "create Contacts", "about": "account 174", "reason": "x"}
        await store(services, RefusedCall(**row, since=_ago(days=3), last_at=_ago(days=2)))
    found = await examined()
    assert {"right_missing", "intercepted"}.isdisjoint(found)
    assert found["create_Contacts"].state == State.OK
