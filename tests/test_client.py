"""The HTTP client against the sandbox: what each call finds, and what each failure means."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from math import inf
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from app.autotask import client as client_module
from app.autotask.client import PERMIT_SECONDS, Autotask, Credentials, discover_zone, http_client
from app.autotask.errors import (
    AutotaskError,
    Busy,
    Forbidden,
    NotSent,
    Overloaded,
    Refused,
    TooLate,
    Unanswered,
    Unauthorized,
)
from app.autotask.models import NewContact
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault, FaultKind
from sandbox.tenant import Tenant

NIA = NewContact("Nia", "Obi", "nia@alpine-dental.example", "a note", {"title": "via e-mail"})
SECRETS = ("secret-of-tests", "CODEOFTESTS")


class Door:
    """A throttle that lets all through, and tells who went in and who is inside."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.writes = 0
        self.inside = 0

    @asynccontextmanager
    async def __call__(self, entity: str, *, write: bool) -> AsyncIterator[None]:
        self.entered.append(entity)
        self.writes += write
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with http_client() as pool:
        yield pool


@pytest.fixture
def credentials(tenant: Tenant) -> Credentials:
    tenant.secret, tenant.integration_code = SECRETS
    return Credentials(tenant.username, *SECRETS)


@pytest.fixture
def autotask(
    http: httpx.AsyncClient, server: SandboxServer, credentials: Credentials, door: Door
) -> Autotask:
    return Autotask(http, server.api_url, credentials, door)


Answer = Callable[[httpx.Request], httpx.Response]


@asynccontextmanager
async def answered_by(answer: Answer) -> AsyncIterator[Autotask]:
    """Give a client to whom any server answers, also with what the contract does not allow."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as pool:
        yield Autotask(pool, "https://api.example/x", Credentials("user", *SECRETS), Door())


@asynccontextmanager
async def raw_server(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Serve the same bytes to every request; give the address, and what was asked."""
    asked: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", asked
    for writer in writers:  # a client that has gone leaves its connection to us
        writer.close()
    await asyncio.gather(*(w.wait_closed() for w in writers), return_exceptions=True)


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
    """Every method raises an AutotaskError, or the look is taken for a defect of ours."""
    async with answered_by(lambda _: page(url)) as autotask:
        with pytest.raises(AutotaskError):
            await autotask.active_resources()


# --- writing -------------------------------------------------------------------------------------


async def test_a_contact_is_created_and_linked(
    autotask: Autotask, tenant: Tenant, people: Seed, door: Door
) -> None:
    """The ids that Autotask gave, each write once, below the parent's path."""
    ticket = tenant.new_ticket(people.alpine)
    contact_id = await autotask.create_contact(people.alpine, NIA, inf)
    link_id = await autotask.link_contact(ticket, contact_id, time.monotonic() + 5)

    assert tenant.contacts[contact_id]["emailAddress"] == NIA.email
    assert tenant.contacts[contact_id]["title"] == "via e-mail"
    assert tenant.links[link_id]["contactID"] == contact_id
    assert door.entered == ["Contacts", "TicketAdditionalContacts"]
    assert door.writes == 2
    assert autotask.asked_at <= time.monotonic()


@pytest.mark.parametrize("item_id", [None, 0, -1, True, "5", 5.0, [5]])
async def test_a_create_that_names_no_record_is_unanswered(item_id: object) -> None:
    """It may have taken effect: the caller has to look."""
    answer = httpx.Response(200, json={"itemId": item_id})
    async with answered_by(lambda _: answer) as autotask:
        with pytest.raises(Unanswered):
            await autotask.create_contact(1, NIA, inf)


async def test_what_goes_over_the_wire() -> None:
    """Three headers on every call, JSON with a length: a body in chunks is not for every proxy."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"itemId": 5, "item": None})

    async with answered_by(answer) as autotask:
        await autotask.create_contact(1, NIA, inf)
        await autotask.contact(1)
    for request in seen:
        assert request.headers["UserName"] == "user"
        assert (request.headers["Secret"], request.headers["ApiIntegrationCode"]) == SECRETS
        assert request.headers["Content-Type"] == "application/json"
    assert seen[0].headers["Content-Length"] == str(len(seen[0].content))
    assert "Transfer-Encoding" not in seen[0].headers
    assert seen[1].content == b""


@pytest.mark.parametrize("late", ["create", "link"])
async def test_a_write_whose_time_is_over_is_not_sent(
    autotask: Autotask, tenant: Tenant, people: Seed, door: Door, late: str
) -> None:
    """The reading that it was decided on is too old by now: Autotask never hears of it."""
    ticket = tenant.new_ticket(people.alpine)
    over = time.monotonic() - 0.001
    writes = {
        "create": lambda: autotask.create_contact(people.alpine, NIA, over),
        "link": lambda: autotask.link_contact(ticket, people.bruno, over),
    }
    with pytest.raises(TooLate):
        await writes[late]()

    assert tenant.calls == []
    assert tenant.linked_contacts(ticket) == []
    assert tenant.contacts_with(NIA.email) == []
    assert door.inside == 0
    await autotask.link_contact(ticket, people.bruno, time.monotonic() + 5)
    assert tenant.linked_contacts(ticket) == [people.bruno]


@pytest.mark.parametrize(("stopped", "sent"), [(PERMIT_SECONDS + 0.1, 0), (PERMIT_SECONDS, 1)])
async def test_a_process_that_was_stopped_before_sending_does_not_send(
    autotask: Autotask,
    tenant: Tenant,
    people: Seed,
    monkeypatch: pytest.MonkeyPatch,
    stopped: float,
    sent: int,
) -> None:
    """Stopped between permission and request: by now another has the slot and the lease."""
    await autotask.contact(people.ana)  # the connection stands
    tenant.forget_calls()
    times = iter([100.0, 100.0 + stopped])
    monkeypatch.setattr(client_module, "time", SimpleNamespace(monotonic=lambda: next(times)))

    if sent:
        await autotask.create_contact(people.alpine, NIA, inf)
    else:
        with pytest.raises(TooLate):
            await autotask.create_contact(people.alpine, NIA, inf)
    assert len(tenant.calls) == len(tenant.contacts_with(NIA.email)) == sent


# --- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "expected", "created"),
    [
        (Fault("error_500"), Unanswered, 0),
        (Fault("error_500_errors", text="No, thanks."), Refused, 0),
        (Fault("error_500_errors", text="Thread Threshold Exceeded"), Busy, 0),
        (Fault("error_500_errors", text="IntegrationCode is invalid."), Unauthorized, 0),
        (Fault("status_429", retry_after="17"), Overloaded, 0),
        (Fault("unauthorized"), Unauthorized, 0),
        (Fault("forbidden"), Forbidden, 0),
        (Fault("garbage"), Unanswered, 0),
        (Fault("reset_before"), Unanswered, 0),
        (Fault("reset_after"), Unanswered, 1),
        (Fault("hang_before"), Unanswered, 0),
        (Fault("hang_after"), Unanswered, 1),
        (Fault("late_commit"), Unanswered, 0),
        (Fault("late_commit", silent=True), Unanswered, 0),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else None,
)
async def test_what_each_failure_means(
    autotask: Autotask,
    tenant: Tenant,
    people: Seed,
    door: Door,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    expected: type[AutotaskError],
    created: int,
) -> None:
    """Sent once, its slot given back, no credential in the error, and the next call works."""
    if fault.kind.startswith("hang") or fault.silent:
        monkeypatch.setattr(client_module, "REQUEST_SECONDS", 1.0)
    tenant.faults.add(replace(fault))

    with pytest.raises(AutotaskError) as caught:
        await autotask.create_contact(people.alpine, NIA, inf)

    assert type(caught.value) is expected
    assert len(tenant.contacts_with(NIA.email)) == created
    assert tenant.count("POST") == 1
    assert door.inside == 0
    assert str(caught.value).startswith("POST Contacts: ")
    shown = "".join(traceback.format_exception(caught.value))
    assert not any(secret in shown for secret in SECRETS)
    assert await autotask.contact(people.ana)


async def test_busy_says_for_how_long(autotask: Autotask, tenant: Tenant) -> None:
    """What the header said, None without one."""
    tenant.faults.add(Fault("status_429", retry_after="17"), Fault("status_429"))
    for expected in (17.0, None):
        with pytest.raises(Overloaded) as caught:
            await autotask.contact(1)
        assert caught.value.retry_after == expected


@pytest.mark.parametrize("wrong", ["username", "secret", "integration_code"])
@pytest.mark.parametrize("status", [401, 500])
async def test_wrong_credentials_are_told_apart_from_anything_else(
    autotask: Autotask, tenant: Tenant, wrong: str, status: Any
) -> None:
    """Documented 401, seen 500 with a text."""
    tenant.switches.bad_user = tenant.switches.bad_integration_code = status
    setattr(tenant, wrong, "changed at Autotask")
    with pytest.raises(Unauthorized):
        await autotask.contact(1)


async def test_a_refused_connection_was_not_sent(
    http: httpx.AsyncClient, credentials: Credentials, door: Door
) -> None:
    """Nothing listens there: it may be sent again."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    autotask = Autotask(http, f"http://127.0.0.1:{port}/x", credentials, door)
    with pytest.raises(NotSent):
        await autotask.create_contact(1, NIA, inf)
    assert door.inside == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(
    http: httpx.AsyncClient, credentials: Credentials, status: int
) -> None:
    """The credentials stay with the host that they are for."""
    answer = f"HTTP/1.1 {status} Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(answer.encode()) as (url, asked):
        with pytest.raises(Unanswered):
            await Autotask(http, url, credentials, Door()).contact(1)
    assert len(asked) == 1


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"])
async def test_what_is_no_http_is_no_answer(
    http: httpx.AsyncClient, credentials: Credentials, answer: bytes
) -> None:
    """A connection that ends early, something else on the port."""
    async with raw_server(answer) as (url, _):
        with pytest.raises(Unanswered):
            await Autotask(http, url, credentials, Door()).contact(1)


def test_credentials_do_not_show(credentials: Credentials) -> None:
    """Not in a repr, which ends up in tracebacks of others."""
    assert not any(secret in f"{credentials!r} {credentials}" for secret in SECRETS)


@pytest.mark.parametrize("ending", ["\n", " "])
async def test_a_secret_that_is_no_header_does_not_show_either(
    http: httpx.AsyncClient, server: SandboxServer, ending: str
) -> None:
    """A secret file's last line end, a pasted blank: the request does not even leave."""
    credentials = Credentials("user", f"hunter2{ending}", "code")
    with pytest.raises(AutotaskError) as caught:
        await Autotask(http, server.api_url, credentials, Door()).contact(1)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


async def test_a_request_that_cannot_be_written_was_not_sent(
    http: httpx.AsyncClient, server: SandboxServer
) -> None:
    """h11 refuses it before a byte has left, so a create must not wait for its outcome."""
    credentials = Credentials("user", "hunter2\n", "code")
    with pytest.raises(NotSent):
        await Autotask(http, server.api_url, credentials, Door()).create_contact(1, NIA, inf)


# --- zones ---------------------------------------------------------------------------------------


@pytest.fixture
def zones(server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Autotask's place for zones be the sandbox."""
    monkeypatch.setattr(client_module, "_ZONES", server.api_url)


async def test_a_zone_is_found_by_the_user_alone(
    http: httpx.AsyncClient, tenant: Tenant, zones: None
) -> None:
    """No credentials are sent before it is known where to."""
    tenant.switches.zone_url = "https://webservices5.autotask.net/ATServicesRest/"
    zone = await discover_zone(http, tenant.username.upper())
    assert zone.url == "https://webservices5.autotask.net/ATServicesRest/"
    assert zone.web_url.startswith("http")


@pytest.mark.parametrize("url", ["https://evil.example/ATServicesRest/", None])
async def test_a_zone_elsewhere_is_refused(
    http: httpx.AsyncClient, tenant: Tenant, zones: None, url: str | None
) -> None:
    """Whoever answers for Autotask's name cannot send us and our credentials anywhere."""
    tenant.switches.zone_url = url
    with pytest.raises(Unanswered):
        await discover_zone(http, tenant.username)


async def test_an_unknown_user_has_no_zone(http: httpx.AsyncClient, zones: None) -> None:
    """Autotask says so with status 500."""
    with pytest.raises(Unauthorized):
        await discover_zone(http, "nobody@northwind-msp.example")


@pytest.mark.parametrize("kind", ["error_500", "garbage", "reset_before"])
async def test_a_zone_that_cannot_be_asked_is_unanswered(
    http: httpx.AsyncClient, tenant: Tenant, zones: None, kind: FaultKind
) -> None:
    """As any other call."""
    tenant.faults.add(Fault(kind))
    with pytest.raises(Unanswered):
        await discover_zone(http, tenant.username)
