"""What a recording checks is what the decision knew: no kind of person blocks a ticket."""

from __future__ import annotations

import pytest

from app.db.states import Result
from app.db.tables import Ledger, Mapping, TicketContact
from app.records import forgetting, forgotten, participants
from app.services import Services
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.support.helpers import look_at, outcomes, people_of, rows
from tests.support.judges import say

CARLA = "carla.mendes@alpine-dental.example"
BRUNO = "bruno.keller@alpine-dental.example"
NINA = "nina@radiology.example"

KINDS = {
    "a stranger": NINA,
    "a colleague": "new@alpine-dental.example",
    "another customer's": "someone@harbour-soehne.example",
    "a contact": BRUNO,
    "an inactive contact": "dora.lind@alpine-dental.example",
    "the ticket's contact": "ana.ruiz@alpine-dental.example",
    "a technician": "omar.haddad@mail.test",
    "our own mailbox": "help@northwind-msp.example",
    "our own by its tag": "help+t1@northwind-msp.example",
    "our own domain": "someone@northwind-msp.example",
    "Autotask's own": "x@eu.autotask.net",
    "a machine": "noreply@vendor.example",
    "a bouncing machine": "bounce+1@vendor.example",
    "beyond ASCII": "jörg@radiology.example",
    "a domain beyond ASCII": "info@xn--mller-kva.example",
}


async def forget(services: Services, *keys: str) -> None:
    """Forget addresses, as an administrator does."""
    async with services.sessions() as session, session.begin():
        for key in keys:
            await forgetting.forget(session, key)


def numbered(count: int) -> str:
    """Return a list of entries that are no addresses, which take places in the list."""
    return ", ".join(f"word{n}" for n in range(count))


@pytest.mark.parametrize("place", ["first", "twice", "after 100", "at an earlier look"])
async def test_a_forgotten_address_of_any_kind_lets_the_others_be_brought(
    services: Services, tenant: Tenant, people: Seed, place: str
) -> None:
    """In one look: each forgotten one is ignored, and Carla is on the ticket."""
    keys = ", ".join(KINDS.values())
    lists = {
        "first": f"{keys}, {CARLA}",
        "twice": f"{keys}, {CARLA}, {keys}",
        "after 100": f"{CARLA}, {numbered(100)}, {keys}",
        "at an earlier look": keys,
    }
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, cc=lists[place])
    if place == "at an earlier look":
        await look_at(services, ticket)
        tenant.update_ticket(ticket, cc=CARLA, callout=False)
    await forget(services, *KINDS.values())

    assert await look_at(services, ticket) == Result.DONE

    found = await outcomes(services, ticket)
    assert found.pop(CARLA) == ("known", "linked")
    aliases = {kind: forgotten.alias(key) for kind, key in KINDS.items()}
    assert {kind: found[alias][0] for kind, alias in aliases.items()} == dict.fromkeys(
        KINDS, "forgotten"
    )
    assert not any("@" in key for key in found)


@pytest.mark.parametrize("word", ["approved_by", "rejected_by"])
async def test_who_was_approved_or_rejected_can_be_forgotten(
    services: Services, tenant: Tenant, people: Seed, word: str
) -> None:
    """The alias keeps the word, which then is about no address of any list."""
    await say(services, outside="hold")
    ticket = tenant.new_ticket(people.alpine, cc=f"{numbered(100)}, {NINA}, {CARLA}")
    await look_at(services, ticket)
    async with services.sessions() as session, session.begin():
        for row in await participants.of_ticket(session, ticket):
            setattr(row, word, "test")
            row.judged_at, row.judged_account = row.decided_at, row.account_id
    await forget(services, NINA)
    assert await look_at(services, ticket) == Result.DONE
    found = await outcomes(services, ticket)
    assert found[forgotten.alias(NINA)] == ("forgotten", "ignored")


async def test_a_forgotten_contact_of_the_ticket_is_not_stored_again(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Nor among the addresses of contacts; her other tickets' people are brought as ever."""
    ana = "ana.ruiz@alpine-dental.example"
    await forget(services, ana)
    for _ in range(2):
        ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, cc=f"{ana}, {CARLA}")
        assert await look_at(services, ticket) == Result.DONE
    assert ana not in [key for row in await rows(services, TicketContact) for key in row.addresses]
    assert ana not in [row.email for row in await rows(services, Mapping)]


# --- what looks like a record of ours ------------------------------------------------------------

TYPED = {
    "as an entry": "{alias}",
    "in quotation marks": '"{alias}"',
    "as a name": "{alias} <bruno.keller@alpine-dental.example>",
    "as a name of its own": '"{alias}" <bruno.keller@alpine-dental.example>',
    "as a comment": "bruno.keller@alpine-dental.example ({alias})",
}


@pytest.mark.parametrize("text", TYPED.values(), ids=TYPED)
async def test_an_alias_that_is_typed_is_no_record_of_a_forgotten_person(
    services: Services, tenant: Tenant, people: Seed, text: str
) -> None:
    """What was done about her stays on record as it is, beside what was typed."""
    await say(services, outside="create")
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, ticket) == Result.DONE
    await forget(services, NINA)
    alias = forgotten.alias(NINA)
    before = (await people_of(services, ticket))[alias]
    tenant.update_ticket(ticket, cc=f"{text.format(alias=alias)}, {CARLA}", callout=False)

    for _ in range(2):
        assert await look_at(services, ticket) == Result.DONE

    after = (await people_of(services, ticket))[alias]
    for name in ("id", "reason", "outcome", "contact_id", "decided_at", "name"):
        assert getattr(after, name) == getattr(before, name)
    assert (await outcomes(services, ticket))[CARLA] == ("known", "linked")


async def test_an_alias_that_was_typed_before_hides_no_record(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Anyone can compute an alias: what we did for the person is kept when it is forgotten."""
    alias = forgotten.alias(NINA)
    ticket = tenant.new_ticket(people.alpine, cc=f"{alias}, {NINA}")
    assert await look_at(services, ticket) == Result.DONE
    created = (await people_of(services, ticket))[NINA].contact_id
    await forget(services, NINA)

    for _ in range(2):
        found = await people_of(services, ticket)
        assert (found[alias].reason, found[alias].contact_id) == ("forgotten", created)
        assert found[f'"{alias}"'].reason == "invalid"
        assert await look_at(services, ticket) == Result.DONE


async def test_an_alias_that_an_earlier_version_stored_as_typed_gives_way(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Otherwise the person's own record would be deleted for it."""
    ticket = tenant.new_ticket(people.alpine, cc=f"word, {NINA}")
    assert await look_at(services, ticket) == Result.DONE
    async with services.sessions() as session, session.begin():
        rows_of_it = await participants.of_ticket(session, ticket)
        [typed] = [row for row in rows_of_it if row.key == "word"]
        typed.key = forgotten.alias(NINA)
    await forget(services, NINA)
    found = await outcomes(services, ticket)
    assert found == {forgotten.alias(NINA): ("forgotten", "created_and_linked")}


MARKS = ["autotask-cc {id}: Cc of T1", "autotask-cc {id}-0af3c1: Cc of T1"]


@pytest.mark.parametrize("mark", MARKS)
async def test_a_contact_on_which_a_person_typed_our_mark_is_a_persons(
    services: Services, tenant: Tenant, people: Seed, mark: str
) -> None:
    """It is linked like any contact, and never is one that we created."""
    typed = mark.format(id=1)
    tenant.contacts[people.carla] |= dict.fromkeys(("note", "firstName", "lastName"), typed)
    ticket = tenant.new_ticket(people.alpine, title=typed, cc=f'"{typed}" <{CARLA}>, {typed}')
    assert await look_at(services, ticket) == Result.DONE
    assert (await outcomes(services, ticket))[CARLA] == ("known", "linked")
    assert await rows(services, Ledger) == []
