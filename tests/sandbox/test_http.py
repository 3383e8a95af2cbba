"""The API over the wire: routes, credentials, limits, latency."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.support.contract import ContractChecker


@pytest.fixture
def api(tenant: Tenant, server: SandboxServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.api_url, headers=tenant.credentials) as client:
        yield client


@pytest.mark.parametrize(
    "path",
    [
        "/V1.0/Tickets/entityInformation",
        "/V1.0/Tickets/entityInformation/fields",
        "/V1.0/Tickets/entityInformation/userDefinedFields",
        "/V1.0/Contacts/entityInformation/fields",
        "/V1.0/ThresholdInformation",
        "/V1.0/Version",
        "/VersionInformation",
        "/V1.0/Companies/174/Contacts",
        "/v1.0/tickets/351181/additionalcontacts",
        "/v1.0/resources/29682885",
        "/v1.0/companies/0",
        "/v1.0/contacts/1",
    ],
)
def test_a_read_route_answers_by_the_contract(
    ids: Seed, api: httpx.Client, checker: ContractChecker, path: str
) -> None:
    """Every plain read answers 200 in the published shape, in any casing of the path."""
    response = api.get(path)

    assert response.status_code == 200
    assert checker.violations == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PATCH", "/V1.0/Contacts", 404),
        ("POST", "/V1.0/Contacts", 404),
        ("PATCH", "/V1.0/Tickets/1", 405),
        ("POST", "/V1.0/TicketAdditionalContacts", 404),
        ("DELETE", "/V1.0/TicketAdditionalContacts/1", 405),
        ("PATCH", "/V1.0/Tickets/1/AdditionalContacts", 405),
        ("PUT", "/V1.0/Tickets/1/AdditionalContacts/1", 405),
        ("POST", "/V1.0/TicketNotes", 404),
        ("GET", "/V2.0/Tickets/1", 404),
    ],
)
def test_what_is_not_published_has_no_route(
    api: httpx.Client, checker: ContractChecker, method: str, path: str, status: int
) -> None:
    """Unpublished operations answer 404 or 405 with the framework's Message."""
    response = api.request(method, path)
    assert [each.endswith("not in the contract") for each in checker.violations] == [True]
    checker.violations.clear()

    assert response.status_code == status
    assert list(response.json()) == ["Message"]


def test_the_zone_is_told_without_credentials(tenant: Tenant, server: SandboxServer) -> None:
    """The look-up names this server, and an unknown user is a 500 with a text."""
    known = httpx.get(server.zone_url, params={"user": tenant.username.upper()})
    unknown = httpx.get(server.zone_url, params={"user": "nobody"})

    assert known.json()["url"] == f"{server.api_url}/"
    assert unknown.status_code == 500
    assert unknown.json() == {"errors": ["Zone information could not be determined"]}


def test_a_missing_record_is_null_or_404(tenant: Tenant, ids: Seed, api: httpx.Client) -> None:
    """A missing id answers 200 with null, unless the switch says 404."""
    first = api.get("/v1.0/Tickets/1")
    tenant.switches.missing_item = "404"
    second = api.get("/v1.0/Tickets/1")

    assert (first.status_code, first.json()) == (200, {"item": None})
    assert second.status_code == 404


def test_an_inactive_contact_hides_its_company_on_get_only(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """The GET says company 0; a query still tells the truth."""
    query = {"filter": [{"op": "eq", "field": "id", "value": ids.dora}]}

    assert api.get(f"/v1.0/Contacts/{ids.dora}").json()["item"]["companyID"] == 0
    (item,) = api.post("/v1.0/Contacts/query", json=query).json()["items"]
    assert item["companyID"] == ids.alpine


@pytest.mark.parametrize("header", ["UserName", "Secret", "ApiIntegrationCode"])
def test_a_missing_header_is_unauthorized(
    tenant: Tenant, server: SandboxServer, header: str
) -> None:
    """Without one of the three headers the answer is an empty 401."""
    headers = {name: value for name, value in tenant.credentials.items() if name != header}

    response = httpx.get(f"{server.api_url}/v1.0/ThresholdInformation", headers=headers)

    assert (response.status_code, response.content) == (401, b"")
    assert response.headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    ("header", "status"), [("Secret", 401), ("UserName", 500), ("ApiIntegrationCode", 500)]
)
def test_wrong_credentials_are_refused_in_the_reported_ways(
    tenant: Tenant, ids: Seed, server: SandboxServer, header: str, status: int
) -> None:
    """A wrong secret is a 401, a wrong user or integration code a 500, and nothing is counted."""
    headers = {**tenant.credentials, header: "wrong"}

    response = httpx.get(f"{server.api_url}/v1.0/Tickets/1", headers=headers)

    assert response.status_code == status
    assert tenant.requests_used() == 0
    assert tenant.calls[-1].status == status


def test_calls_are_recorded_with_their_record_type(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """Child and root paths count for one record type; bodies are kept, and can be forgotten."""
    body = {"filter": [{"op": "exist", "field": "id"}]}
    api.post("/v1.0/TicketAdditionalContacts/query", json=body)
    api.get(f"/v1.0/Tickets/{ids.open_ticket}/AdditionalContacts")
    api.get("/v1.0/Contacts/entityInformation/fields")

    assert tenant.count(entity="TicketAdditionalContacts") == 2
    assert tenant.count("GET", "Contacts", "ENTITYinformation") == 1
    assert (tenant.calls[0].body, tenant.calls[0].status) == (body, 200)
    assert tenant.peak == {"TicketAdditionalContacts": 1, "Contacts": 1}
    tenant.forget_calls()
    assert (tenant.count(), tenant.peak) == (0, {})


async def test_a_fourth_request_at_once_is_refused(tenant: Tenant, server: SandboxServer) -> None:
    """Three threads for one record type, child and root path together; another type is free."""
    tenant.faults.latency = (0.2, 0.2)
    async with httpx.AsyncClient(base_url=server.api_url, headers=tenant.credentials) as client:
        paths = [
            "/v1.0/Contacts/1",
            "/v1.0/Companies/1/Contacts",
            "/v1.0/Contacts/entityInformation/fields",
            "/v1.0/Contacts/2",
            "/v1.0/Tickets/1",
        ]
        answers = await asyncio.gather(*(client.get(path) for path in paths))

    refused = [answer for answer in answers if answer.status_code != 200]
    assert [answer.status_code for answer in refused] == [500]
    assert "thread threshold of 3 threads" in refused[0].json()["errors"][0]
    assert (tenant.peak["Contacts"], tenant.thread_refusals) == (4, 1)


def test_the_rolling_hour_is_reported_enforced_and_passes(ids: Seed) -> None:
    """At the limit every request is refused until the oldest have left the window."""
    now = [datetime(2026, 11, 23, 12, tzinfo=UTC)]
    tenant = Tenant(clock=lambda: now[0])
    tenant.request_limit = 2
    with (
        SandboxServer(tenant) as server,
        httpx.Client(base_url=server.api_url, headers=tenant.credentials) as api,
    ):
        first = api.get("/v1.0/ThresholdInformation")
        api.get("/v1.0/Tickets/1")
        refused = api.get("/v1.0/ThresholdInformation")
        now[0] += timedelta(hours=1)
        again = api.get("/v1.0/ThresholdInformation")

    assert first.json()["currentTimeframeRequestCount"] == 1
    assert refused.status_code == 500
    assert again.json()["currentTimeframeRequestCount"] == 1


def test_a_body_that_is_not_json_is_refused(api: httpx.Client) -> None:
    """Broken JSON is a 500 with a text, another media type a 415."""
    broken = api.post(
        "/v1.0/Contacts/query", content=b'{"filter":', headers={"Content-Type": "application/json"}
    )
    text = api.post("/v1.0/Contacts/query", content=b"x", headers={"Content-Type": "text/plain"})

    assert (broken.status_code, list(broken.json())) == (500, ["errors"])
    assert text.status_code == 415


def test_a_person_can_drive_the_sandbox_by_hand(
    tenant: Tenant, ids: Seed, server: SandboxServer, api: httpx.Client
) -> None:
    """A ticket can be made and looked at without credentials."""
    given = {"company_id": ids.alpine, "title": "By hand", "cc": "x@y.test"}
    created = httpx.post(f"{server.url}/sandbox/tickets", json=given).json()
    tenant.link(created["id"], ids.bruno)
    api.get(f"/v1.0/Tickets/{created['id']}")

    shown = httpx.get(f"{server.url}/sandbox/tickets/{created['id']}").json()

    assert shown["ticket"]["userDefinedFields"] == [{"name": "CC", "value": "x@y.test"}]
    assert shown["additional_contacts"][0]["addresses"][0] == "bruno.keller@alpine-dental.example"
    assert shown["recent_calls"][-1]["entity"] == "Tickets"


@pytest.mark.parametrize("body", [{}, [], {"company_id": 99}])
def test_a_mistake_by_hand_is_told(server: SandboxServer, body: object) -> None:
    """A missing or unknown company is a 400."""
    assert httpx.post(f"{server.url}/sandbox/tickets", json=body).status_code == 400


def test_a_web_page_cannot_post_text_to_the_sandbox(server: SandboxServer) -> None:
    """Only JSON is taken, which a foreign page may not send unasked."""
    assert httpx.post(f"{server.url}/sandbox/webhooks", content="{}").status_code == 415
