"""The note on a ticket, against the sandbox: what it says, when, and who sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.autotask.models import Choice
from app.db.states import Result
from app.db.tables import Note
from app.looks import note as notes
from app.services import Services
from app.settings.environment import SettingsError, load_settings
from app.web.app import create_app
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.support.helpers import due_of, look_at, notes_on, rows

CARLA = "carla.mendes@alpine-dental.example"
NINA = "nina@radiology.example"
GUARDED = "dora.lind@alpine-dental.example"  # inactive, so she is held
INSIDE = 2
MakeServices = Callable[..., Any]


@pytest.fixture
async def noting(make_services: MakeServices) -> Services:
    """A process that writes a note on every ticket."""
    services: Services = await make_services(
        ticket_note="internal", ticket_note_publish=INSIDE, create_settle=1.0
    )
    return services


async def test_one_note_says_who_was_added_and_who_is_held(
    noting: Services, tenant: Tenant, people: Seed
) -> None:
    """For those inside only, under a title by which we find it again."""
    ticket = tenant.new_ticket(people.alpine, cc=f"{CARLA}, {NINA}, {GUARDED}")
    assert await look_at(noting, ticket) == Result.DONE

    [note] = notes_on(tenant, ticket)
    [row] = await rows(noting, Note)
    assert note["title"] == f"autotask-cc {row.id}: people in Cc"
    assert (note["publish"], note["noteType"]) == (INSIDE, 1)
    assert all(key in note["description"] for key in (CARLA, NINA, GUARDED))
    assert (row.state, row.note_id) == ("created", note["id"])


async def test_nothing_is_said_twice(noting: Services, tenant: Tenant, people: Seed) -> None:
    """A second look that changes nothing has nothing to tell."""
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    for _ in range(3):
        assert await look_at(noting, ticket) == Result.DONE
    assert len(notes_on(tenant, ticket)) == 1


async def test_what_changes_later_makes_one_further_note(
    noting: Services, tenant: Tenant, people: Seed
) -> None:
    """Somebody else is in the list by then."""
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    await look_at(noting, ticket)
    tenant.update_ticket(ticket, cc=f"{CARLA}, {NINA}")
    for _ in range(2):
        await look_at(noting, ticket)
    first, second = notes_on(tenant, ticket)
    assert NINA not in first["description"]
    assert NINA in second["description"]


async def test_our_own_note_makes_nothing_due(
    noting: Services, tenant: Tenant, people: Seed
) -> None:
    """Autotask tells of it as of a change of the ticket; nobody looks at that."""
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    await look_at(noting, ticket)
    due = await due_of(noting, ticket)
    assert (due.due_at, due.wanted) == (None, 1)


async def test_exceptions_are_told_and_nothing_else(
    make_services: MakeServices, tenant: Tenant, people: Seed
) -> None:
    """Held people are one; a ticket without has no note."""
    services = await make_services(ticket_note="exceptions", ticket_note_publish=INSIDE)
    plain, held = (tenant.new_ticket(people.alpine, cc=cc) for cc in (CARLA, f"{CARLA}, {GUARDED}"))
    for ticket in (plain, held):
        await look_at(services, ticket)
    assert [len(notes_on(tenant, one)) for one in (plain, held)] == [0, 1]


async def test_there_is_no_note_unless_it_is_wanted(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Off is the default."""
    ticket = tenant.new_ticket(people.alpine, cc=f"{CARLA}, {GUARDED}")
    await look_at(services, ticket)
    assert notes_on(tenant, ticket) == []


async def test_in_observe_mode_there_is_none(
    make_services: MakeServices, tenant: Tenant, people: Seed, services: Services
) -> None:
    """Nothing is written to Autotask, the note included, also not once it goes live."""
    policy = services.settings.default_policy.model_copy(update={"act": "observe"})
    on = {"ticket_note": "internal", "ticket_note_publish": INSIDE}
    ticket = tenant.new_ticket(people.alpine, cc=f"{CARLA}, {GUARDED}")
    await look_at(await make_services(**on, default_policy=policy), ticket)
    await look_at(await make_services(**on), ticket)
    assert notes_on(tenant, ticket) == []


@pytest.mark.parametrize("publish", [9, 77], ids=["inactive", "unknown"])
async def test_an_unknown_circle_of_readers_gets_no_note(
    make_services: MakeServices, tenant: Tenant, people: Seed, publish: int
) -> None:
    """Nothing internal may reach the portal: no note, a problem in health, until it is mended."""
    wrong = await make_services(ticket_note="internal", ticket_note_publish=publish)
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    assert await look_at(wrong, ticket) == Result.DONE
    assert await look_at(wrong, ticket) == Result.DONE
    assert notes_on(tenant, ticket) == []
    assert "note_publish" in await problems(wrong)
    asked = [c for c in tenant.calls if "TicketNotes/entityInformation" in c.path]
    assert len(asked) == 1

    right = await make_services(ticket_note="internal", ticket_note_publish=INSIDE)
    assert await look_at(right, ticket) == Result.DONE
    assert len(notes_on(tenant, ticket)) == 1
    assert "note_publish" not in await problems(right)


async def problems(services: Services) -> set[str]:
    """Name what health complains of."""
    transport = httpx.ASGITransport(create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        answer = (await client.get("/health/work")).json()
    return {one["code"] for one in answer["problems"]}


@pytest.mark.parametrize(("values", "expected"), [([3, 1, 2], 1), ([3, 2], 2), ([], None)], ids=str)
def test_the_type_is_the_vendors_or_the_lowest(values: list[int], expected: int | None) -> None:
    """Inactive ones do not count."""
    choices = [Choice.model_validate({"value": v, "label": "x"}) for v in values]
    off = Choice.model_validate({"value": 0, "label": "old", "isActive": False})
    assert notes.note_type_of((off, *choices)) == expected


@pytest.mark.parametrize("mode", ["exceptions", "internal"])
def test_a_note_needs_to_be_told_who_sees_it(environ: dict[str, str], mode: str) -> None:
    """Nobody guesses what the tenant's numbers mean."""
    with pytest.raises(SettingsError, match="TICKET_NOTE_PUBLISH"):
        load_settings(environ | {"TICKET_NOTE": mode})
    chosen = load_settings(environ | {"TICKET_NOTE": mode, "TICKET_NOTE_PUBLISH": "2"})
    assert (chosen.ticket_note, chosen.ticket_note_publish) == (mode, 2)
    assert load_settings(environ).ticket_note == "off"
