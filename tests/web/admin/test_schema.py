"""The HTTP API keeps to the OpenAPI document that it publishes, whatever it is asked."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck
from hypothesis import settings as examples
from schemathesis.checks import positive_data_acceptance
from schemathesis.core import NOT_SET
from schemathesis.specs.openapi.checks import allow_header_conformance, negative_data_rejection

from app.cli.demo import serving
from app.due import backlog
from app.services import Services, open_services
from app.settings.settings import Settings
from app.web.app import create_app
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.conftest import WRITE_KEY
from tests.support.helpers import look_at, want
from tests.web.admin.test_tickets import ALPINE, NINA, delivery, mapping, store

schema = schemathesis.openapi.from_dict(create_app(cast(Services, None)).openapi())
Case = schemathesis.Case[Any]

UNCHECKED = [
    positive_data_acceptance,  # no schema can say which cursors are ours, or what is an address
    negative_data_rejection,  # `since=0.5` is a time to pydantic; every answer is one we document
    allow_header_conformance,  # FastAPI has a route for each method and lists that of one
]


@pytest.fixture
def service(settings: Settings, tenant: Tenant, people: Seed) -> Iterator[str]:
    """The product on a socket, in a thread of its own, with a little of everything stored."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, cc=f"{NINA}, a(b@c")
    started, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    origin = ""

    async def serve() -> None:
        nonlocal origin
        assert settings.database_url
        async with open_services(settings, settings.database_url) as services:
            await look_at(services, ticket)
            await store(services, delivery(ticket), *(mapping(f"m{n}@x.example") for n in range(3)))
            await want(services, 1, 2)
            async with services.sessions() as session, session.begin():
                await backlog.sign_of_life(session, "a worker that is elsewhere")
            async with serving(services) as origin:
                started.set()
                await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    try:
        assert started.wait(30)
        yield origin
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()


def ask(service: str, case: Case) -> int:
    """Make a request with a valid key and hold its answer against the document."""
    headers = {"Authorization": f"Bearer {WRITE_KEY}"}
    return case.call_and_validate(service, headers=headers, excluded_checks=UNCHECKED).status_code


def test_schema_names_do_not_name_modules() -> None:
    """Moving a class renames no schema: two of one name would get the paths of their modules."""
    names = list(schema.raw_schema["components"]["schemas"])
    assert "ParticipantDetails" in names
    assert [name for name in names if "__" in name or name.startswith("app")] == []


# The fixture serves all of a test's examples; what one leaves behind, the next one meets.
@schema.parametrize()
@examples(
    max_examples=60,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_answer_is_one_that_is_documented(case: Case, service: str) -> None:
    """No 5xx; statuses, content types, headers and bodies are as the document says."""
    ask(service, case)


ADDRESSES = [
    "\0",
    f"{NINA}\0",
    "\ufeff\u202e@x.example",
    "é@x.example",
    "a@ﬀ.example",
    "a@" + "x" * 64 + ".example",
    "a" * 65 + "@x.example",
    "a" * 320,
    "a/b@x.example",
    "../../tickets@x.example",
    "%2e%00%ff@x.example",
    "'; DROP TABLE mappings; --@x.example",
    '"a b"@x.example',
    "a@[127.0.0.1]",
    " ",
    "@",
    NINA.upper(),
]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_address_in_a_path_can_be_any_text(method: str, service: str) -> None:
    """Controls, other scripts, slashes, quotes, overlong parts: found, unknown or refused."""
    operation = schema["/admin/accounts/{account_id}/contacts/{email}"][method]
    for address in ADDRESSES:
        path = {"account_id": ALPINE, "email": address}
        body = {"contact_id": 2**31 - 1} if method == "PUT" else NOT_SET
        case = operation.Case(path_parameters=path, body=cast(Any, body))
        assert ask(service, case) in (200, 204, 404, 422)
    spelled = {"account_id": ALPINE, "email": NINA.upper()}
    read = schema["/admin/accounts/{account_id}/contacts/{email}"]["GET"]
    assert ask(service, read.Case(path_parameters=spelled)) == (404 if method == "DELETE" else 200)


BODIES = ["", "null", "[]", "{", '{"contact_id": NaN}', '{"contact_id": 1e999}', "9" * 5000]
BODIES += ['{"contact_id": "\ud800"}', '{"contact_id": 0}', '{"a\\u0000": 1}', "[" * 100_000]


def test_a_body_can_be_any_bytes(service: str) -> None:
    """Neither JSON's corners nor bytes that are no text get further than a refusal."""
    operation = schema["/admin/accounts/{account_id}/contacts/{email}"]["PUT"]
    path = {"account_id": ALPINE, "email": NINA}
    for body in [b"\xff\xfe{}", *(text.encode("utf-8", "surrogatepass") for text in BODIES)]:
        case = operation.Case(path_parameters=path, body=body, media_type="application/json")
        assert ask(service, case) in (400, 422)


def cursor(text: str) -> str:
    """Write a cursor as pages do, around any text."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


NOT_OURS = ["", "null", "true", "[]", "{}", "NaN", "1e9", "-1", str(2**63), str(2**64), '"x']
NOT_OURS += ['"\\u0000"', '"\\ud800"', "9" * 700, "[" * 700, '"" 1']
CURSORS = ["", "x", "====", "ÿ", "\0", "a" * 1000, "a" * 1001, *map(cursor, NOT_OURS)]
LISTS = [
    "/admin/tickets",
    "/admin/deliveries",
    "/admin/audit",
    "/admin/accounts",
    "/admin/participants",
]
LISTS += ["/admin/accounts/{account_id}/contacts"]


@pytest.mark.parametrize("path", LISTS)
def test_a_wrong_cursor_is_refused(path: str, service: str) -> None:
    """One that was made up, of another list, or of a number that the database does not have."""
    operation = schema[path]["GET"]
    other = cursor("1" if "contacts" in path else '"a@x.example"')
    for wrong in [*CURSORS, other]:
        case = operation.Case(path_parameters={"account_id": ALPINE}, query={"cursor": wrong})
        assert (wrong, ask(service, case)) == (wrong, 422)


EXTREMES: list[tuple[str, dict[str, Any]]] = [
    ("/admin/tickets", {"since": since})
    for since in [
        "0001-01-01T00:00:00+14:00",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999-12:00",
        "-62135596800",
        "253402300799",
        "2026-11-23",
    ]
] + [
    ("/admin/tickets", {"limit": "200", "account": str(2**31 - 1)}),
    ("/admin/tickets", {"cursor": cursor(str(2**63 - 1))}),
    ("/admin/deliveries", {"ticket": str(2**63 - 1), "limit": "1"}),
    ("/admin/accounts/{account_id}/contacts", {"limit": "1", "cursor": cursor('"m0@x.example"')}),
    ("/admin/accounts/{account_id}/contacts", {"cursor": cursor('""')}),
]


def test_what_is_extreme_and_allowed_is_answered(service: str) -> None:
    """The first and the last of times, ids and pages."""
    for path, query in EXTREMES:
        case = schema[path]["GET"].Case(path_parameters={"account_id": ALPINE}, query=query)
        assert (path, query, ask(service, case)) == (path, query, 200)
