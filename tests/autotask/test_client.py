"""The HTTP client against the sandbox: what each reading call finds, page by page."""

from __future__ import annotations

import json
import traceback
from datetime import datetime
from typing import Any

import httpx
import pytest

from app.autotask.client import Autotask
from app.autotask.errors import AutotaskError, Unanswered
from app.autotask.models import Ticket
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.support.clients import Door, answered_by

# --- reading -------------------------------------------------------------------------------------


async def test_a_ticket_is_read_with_its_fields(
    autotask: Autotask, tenant: Tenant, people: Seed
) -> None:
    """What a look needs of it; a user-defined field by its name in any casing."""
    ticket_id = tenant.new_ticket(people.alpine, contact_id=people.ana, cc="x@y.example")
    ticket = await autotask.ticket(ticket_id)

    assert ticket is not None
    assert (ticket.id, ticket.company_id, ticket.contact_id) == (ticket_id, 174, people.ana)
    assert ticket.number == tenant.tickets[ticket_id]["ticketNumber"]
    assert (ticket.status, ticket.udf("cc"), ticket.udf("other")) == (1, "x@y.example", None)


async def test_a_ticket_says_how_it_came(autotask: Autotask, tenant: Tenant, people: Seed) -> None:
    """Title, description, source and time, as Autotask has them."""
    ticket_id = tenant.new_ticket(people.alpine, title="A & B", description="Cc: x@y.example")
    ticket = await autotask.ticket(ticket_id)

    assert ticket is not None
    assert (ticket.title, ticket.description, ticket.source) == ("A & B", "Cc: x@y.example", 4)
    assert ticket.created_at == datetime.fromisoformat(tenant.tickets[ticket_id]["createDate"])


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2026-11-23T10:00:05Z", "2026-11-23 10:00:05+00:00"),
        ("2026-11-23T10:00:05.307", "2026-11-23 10:00:05.307000+00:00"),
        ("2026-11-23T10:00:05.1234567Z", "2026-11-23 10:00:05.123456+00:00"),
        ("2026-11-23T10:00:05+02:00", "2026-11-23 08:00:05+00:00"),
        *((other, "None") for other in ("yesterday", "", None, 5, "0001-01-01T00:00:00+09:00")),
    ],
)
def test_a_ticket_without_a_readable_date_can_be_read(text: object, read: str) -> None:
    """UTC, which Autotask does not always say; nothing but a look-up by time depends on it."""
    ticket = Ticket.model_validate({"id": 1, "companyID": 174, "createDate": text})
    assert str(ticket.created_at) == read


async def test_people_and_companies_are_read(
    autotask: Autotask, tenant: Tenant, people: Seed, door: Door
) -> None:
    """Each by its id or by what is known of it, each under the entity that Autotask counts."""
    bruno = await autotask.contact(people.bruno)
    dora = await autotask.contact(people.dora)
    company = await autotask.company(people.alpine)
    [link] = await autotask.additional_contacts(people.open_ticket)
    found = await autotask.contacts(174, ["dora.lind@alpine-dental.example"], [people.paul])

    assert bruno is not None
    assert dora is not None
    assert company is not None
    assert len(bruno.emails) == 3
    assert (bruno.active, dora.active) == (True, False)
    assert company.web_address == "https://www.alpine-dental.example/"
    assert link.contact_id == people.bruno
    assert {contact.id for contact in found} == {people.dora, people.paul}
    links = "TicketAdditionalContacts"
    assert door.entered == ["Contacts", "Contacts", "Companies", links, "Contacts"]
    assert door.writes == 0


@pytest.mark.parametrize("missing", ["null", "404"])
async def test_what_does_not_exist_is_none(
    autotask: Autotask, tenant: Tenant, missing: Any
) -> None:
    """Autotask answers null; some have met 404."""
    tenant.switches.missing_item = missing
    assert await autotask.ticket(1) is None
    assert await autotask.contact(1) is None
    assert await autotask.company(1) is None


async def test_a_404_that_says_why_is_none_too() -> None:
    """The contract's Error answer can be an errors array."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(200, json={"items": [], "pageDetails": {}})
        return httpx.Response(404, json={"errors": ["The requested resource was not found."]})

    async with answered_by(answer) as autotask:
        assert await autotask.ticket(1) is None


async def test_a_404_of_everything_says_nothing() -> None:
    """A wrong address, a proxy: the ticket is not gone for that."""
    async with answered_by(lambda _: httpx.Response(404)) as autotask:
        with pytest.raises(Unanswered):
            await autotask.ticket(1)


async def test_all_pages_are_read(autotask: Autotask, tenant: Tenant, people: Seed) -> None:
    """Each page is a POST of the same body, and a permitted call of its own."""
    for n in range(1_100):
        tenant.add_resource(f"tech{n}@northwind-msp.example")
    resources = await autotask.active_resources()

    assert len({resource.id for resource in resources}) == len(resources) == 1_104
    assert people.former not in {resource.id for resource in resources}
    assert [(call.method, call.path.lower().endswith("next")) for call in tenant.calls] == [
        ("POST", False), ("POST", True), ("POST", True)
    ]  # fmt: skip
    assert len({json.dumps(call.body) for call in tenant.calls}) == 1


async def test_each_page_asks_for_permission(
    autotask: Autotask, tenant: Tenant, door: Door
) -> None:
    """The pages count against threads and budget as any call does."""
    for n in range(501):
        tenant.add_resource(f"tech{n}@northwind-msp.example")
    await autotask.active_resources()
    assert door.entered == ["Resources", "Resources"]


def page(url: object) -> httpx.Response:
    return httpx.Response(200, json={"items": [], "pageDetails": {"nextPageUrl": url}})


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x/v1.0/Resources/query/next",
        "http://api.example/x/v1.0/Resources/query/next",
        "https://api.example:8443/x/v1.0/Resources/query/next",
        "https://api.example@evil.example/x",
        "//evil.example/x",
        "/x/v1.0/Resources/query/next",
    ],
)
async def test_a_page_elsewhere_is_refused(url: str) -> None:
    """The credentials would go with it."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return page(url)

    async with answered_by(answer) as autotask:
        with pytest.raises(Unanswered, match="own origin"):
            await autotask.active_resources()
    assert asked == ["api.example"]


async def test_pages_without_end_come_to_an_end() -> None:
    """A loop on Autotask's side must not become one on ours."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return page("https://api.example/x/v1.0/Resources/query/next?paging=1")

    async with answered_by(answer) as autotask:
        with pytest.raises(Unanswered, match="pages"):
            await autotask.active_resources()
    assert len(asked) < 1_000


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"items": None},
        {"items": {}},
        {"items": [None]},
        {"items": [{"id": "x"}]},
        {"items": [{"email": "no id"}]},
    ],
)
async def test_rows_of_another_shape_are_no_answer(answer: dict[str, Any]) -> None:
    """And what is wrong is not quoted: it has addresses in it."""
    async with answered_by(lambda _: httpx.Response(200, json=answer)) as autotask:
        with pytest.raises(Unanswered) as caught:
            await autotask.active_resources()
    assert "no id" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example:99999/",
        "https://[bad/",
        pytest.param(
            "https://api.example/\0",
        ),
    ],
)
async def test_a_next_page_that_is_no_address_is_no_answer(url: str) -> None:
    """Every method raises an AutotaskError; anything else counts as our defect."""
    async with answered_by(lambda _: page(url)) as autotask:
        with pytest.raises(AutotaskError):
            await autotask.active_resources()
