"""What Autotask's documents leave open must not matter: an eventful hour under every switch.

I1: a callout that was accepted is never lost. I2: the service never creates a contact or a link
twice. I3: it never links a contact of another company, the ticket's own contact or a technician.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from app.cli.demo import serving
from app.db.states import Outcome
from app.decide.policy import PolicyDocument
from app.services import Services
from sandbox.calls import Call
from sandbox.seed import VENDOR, Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.conftest import SECRET
from tests.support.helpers import people_of, result_of

pytestmark = pytest.mark.wait

CREATE = {"method": "POST", "path_contains": "/Companies/"}
LINK = {"method": "POST", "path_contains": "AdditionalContacts"}
NEW = ("nina@radiology.example", "new@alpine-dental.example")

# These bear on what a link, a lost answer or a repeated callout does: each with each other.
COMBINED: dict[str, tuple[Any, ...]] = {
    "duplicate_link": ("refused", "no_op", "second_row"),
    "own_contact": ("refused", "clears"),
    "thread_limit": (429, 500),
    "retry_ids": ("same", "new"),
}
# The others, with the value that is not the default: one beside each combination.
SINGLE: tuple[dict[str, Any], ...] = (
    {"link_touches_ticket": False},
    {"parent_company_contact": "accepted"},
    {"reference_text": "old"},
    {"request_limit": 429},
    {"case_sensitive": True},
    {"contact_active_filter": "either"},
    {"page_count": "total"},
    {"missing_item": "404"},
    {"inactive_company_zero": False},
    {"notifications_default": True},
    {"unknown_property": "refused"},
    {"error_style": "objects"},
    {"fields_shape": "array"},
    {"fields_shape": "absent"},
    {"person_id_key": "PersonId"},
    {"mail_person_id": 7},
    {"sequence": "global"},
    {"sequence": "ticket"},
    {"late_commit_holds_thread": False},
)
# Other customers' people are created, too: they are in these lists to be kept apart.
OPEN = PolicyDocument(other_client="create")
MATRIX: list[dict[str, Any]] = [
    dict(zip(COMBINED, values, strict=True)) | other
    for values, other in itertools.zip_longest(
        itertools.product(*COMBINED.values()), SINGLE, fillvalue=dict[str, Any]()
    )
]


@pytest.mark.parametrize(
    "switches", MATRIX, ids=lambda s: ",".join(f"{k}={v}" for k, v in s.items())
)
async def test_an_eventful_hour(
    make_services: Callable[..., Any],
    tenant: Tenant,
    people: Seed,
    server: SandboxServer,
    switches: dict[str, Any],
) -> None:
    """Lost answers, late commits, repeated callouts, and a ticket that changes hands meanwhile."""
    for name, value in switches.items():
        setattr(tenant.switches, name, value)
    services: Services = await make_services(
        run_worker=True, create_settle=1.5, default_policy=OPEN
    )
    server.callouts.retry_after = 0.1
    tenant.before_call = change_hands(tenant, people)

    async with serving(services) as url:
        hook = f"{url}/webhooks/autotask"
        tenant.subscribe(hook, f"{hook}/deactivated", SECRET)
        tickets = tickets_of_an_hour(tenant, people)
        tenant.faults.add(
            Fault("reset_after", **CREATE),  # type: ignore[arg-type]
            Fault("late_commit", seconds=0.8, **CREATE),  # type: ignore[arg-type]
            Fault("reset_after", **LINK),  # type: ignore[arg-type]
            Fault("late_commit", seconds=0.8, **LINK),  # type: ignore[arg-type]
        )
        await asyncio.to_thread(server.callouts.wait_idle, 20)
        for ticket in tickets:  # once more, as a retry whose answer came too late
            tenant.emit("Create", ticket, None)
        await asyncio.to_thread(server.callouts.wait_idle, 20)
        async with asyncio.timeout(30):
            for ticket in tickets:
                while await result_of(services, ticket) is None:
                    await asyncio.sleep(0.05)

    for ticket in tickets:
        await hold_the_invariants(services, tenant, ticket)
    for email in (*NEW, VENDOR):
        of_companies = Counter(c["companyID"] for c in tenant.contacts_with(email))
        assert set(of_companies.values()) <= {1}, email


def tickets_of_an_hour(tenant: Tenant, people: Seed) -> list[int]:
    """Make four tickets of three companies whose lists overlap."""
    staff = "omar.haddad@mail.test, help@northwind-msp.example"
    cc = f"{NEW[0]}, {NEW[1]}, {VENDOR}, Carla.Mendes@alpine-dental.example, {staff}"
    return [
        tenant.new_ticket(people.alpine, contact_id=people.ana, cc=cc),
        tenant.new_ticket(
            people.alpine, contact_id=people.bruno, cc=f"{cc}, ana.ruiz@alpine-dental.example"
        ),
        tenant.new_ticket(people.alpine_west, contact_id=people.ana, cc=cc),
        tenant.new_ticket(people.harbour, contact_id=people.jurgen, cc=cc),
    ]


def change_hands(tenant: Tenant, people: Seed) -> Callable[[Call], None]:
    """Make Carla the contact of a ticket, once, while its contacts are read."""
    waiting = [True]

    def change(call: Call) -> None:
        if waiting and call.path.lower().endswith("contacts/query"):
            waiting.clear()
            first = min(
                t for t in tenant.tickets if t not in (people.open_ticket, people.complete_ticket)
            )
            tenant.update_ticket(first, callout=False, title="Now Carla's")

    return change


async def hold_the_invariants(services: Services, tenant: Tenant, ticket_id: int) -> None:
    """Compare a ticket as the sandbox has it with the invariants and with what we say."""
    ticket = tenant.tickets[ticket_id]
    linked = tenant.linked_contacts(ticket_id)
    assert await result_of(services, ticket_id) == "done"
    assert len(linked) == len(set(linked))
    assert ticket["contactID"] is not None
    assert ticket["contactID"] not in linked
    for contact_id in linked:
        contact = tenant.contacts[contact_id]
        assert contact["companyID"] == ticket["companyID"]
        assert contact["emailAddress"] not in (
            "omar.haddad@mail.test",
            "help@northwind-msp.example",
        )
    said = {
        one.contact_id
        for one in (await people_of(services, ticket_id)).values()
        if one.outcome in (Outcome.LINKED, Outcome.CREATED_AND_LINKED, Outcome.ALREADY_LINKED)
    }
    assert said == set(linked)
    assert set(NEW) <= {tenant.contacts[c]["emailAddress"] for c in linked}
