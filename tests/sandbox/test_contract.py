"""The contract checker sees what it must, and the double's own tables agree with the contract."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from sandbox.model import ENTITIES, Entity, parse_utc, utc_text
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.contract import ContractChecker, contract

SCHEMAS = contract()["components"]["schemas"]


@pytest.fixture
def api(tenant: Tenant, checker: ContractChecker) -> Iterator[httpx.Client]:
    with (
        SandboxServer(tenant, wrap=checker) as server,
        httpx.Client(base_url=f"{server.api_url}/V1.0", headers=tenant.credentials) as client,
    ):
        yield client


def kind_of(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return "datetime"
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    (name,) = [name for name in types if name != "null"]
    if name == "integer":
        return "long" if schema["format"] == "int64" else "int"
    return {"string": "str", "number": "float", "boolean": "bool", "array": "udfs"}[name]


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=list(ENTITIES))
def test_the_fields_of_an_entity_are_those_of_the_contract(entity: Entity) -> None:
    """Names and types of every property agree."""
    name = "Company" if entity.name == "Companies" else entity.singular
    published = SCHEMAS[f"{name}Model"]["properties"]

    assert {field.name: field.kind for field in entity.fields.values()} == {
        field: kind_of(schema) for field, schema in published.items()
    }


def test_a_correct_conversation_breaks_nothing(
    ids: Seed, api: httpx.Client, checker: ContractChecker
) -> None:
    """Queries in both spellings, creates and deletes pass."""
    exists = [{"op": "exist", "field": "id"}]
    api.post("/Tickets/query", json={"Filter": exists, "MaxRecords": 1, "IncludeFields": ["id"]})
    api.post("/Contacts/query/count", json={"filter": exists})
    api.get("/Companies/query", params={"search": json.dumps({"filter": exists})})
    row = api.post(
        f"/Tickets/{ids.open_ticket}/AdditionalContacts",
        json={"id": 0, "ticketID": ids.open_ticket, "contactID": ids.carla},
    ).json()["itemId"]
    api.delete(f"/Tickets/{ids.open_ticket}/AdditionalContacts/{row}")

    assert checker.violations == []


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/Companies/174/Contacts", {"emialAddress": "x"}, "Unevaluated properties"),
        ("POST", "/Companies/174/Contacts", {"phone": None, "title": "T"}, ""),
        ("POST", "/Contacts/query", {"pageSize": 5}, "Additional properties"),
        ("GET", "/Contacts/1?fields=id", None, "query parameter fields is unknown"),
        ("GET", "/Companies/entityInformation", None, "not in the contract"),
        ("PATCH", "/Tickets/351181", {"id": 351181}, "not in the contract"),
    ],
)
def test_a_wrong_request_is_noticed(
    ids: Seed,
    api: httpx.Client,
    checker: ContractChecker,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    expected: str,
) -> None:
    """What the server lets pass and the contract does not is a violation."""
    valid: dict[str, dict[str, Any]] = {
        "/Companies/174/Contacts": {"firstName": "A", "lastName": "B", "isActive": 1},
        "/Contacts/query": {"filter": [{"op": "exist", "field": "id"}]},
    }

    api.request(method, path, json=None if body is None else valid.get(path, {}) | body)

    assert [expected in violation for violation in checker.violations] == [True] * bool(expected)


def test_a_refused_request_may_be_wrong(
    ids: Seed, api: httpx.Client, checker: ContractChecker
) -> None:
    """A body that the sandbox refuses is no violation."""
    response = api.post("/Companies/174/Contacts", json={"firstName": 1})

    assert response.status_code == 500
    assert checker.violations == []


def test_a_request_that_got_no_answer_is_checked_too(
    tenant: Tenant, ids: Seed, checker: ContractChecker
) -> None:
    """A reset does not hide a misspelt property; it is known when the server has stopped."""
    tenant.faults.add(Fault("reset_after"))

    with SandboxServer(tenant, wrap=checker) as server, pytest.raises(httpx.ReadError):
        httpx.post(
            f"{server.api_url}/V1.0/Companies/174/Contacts",
            json={"firstname": "A"},
            headers=tenant.credentials,
        )

    assert any("Unevaluated" in violation for violation in checker.violations)


def test_an_answer_that_breaks_the_contract_is_noticed(
    tenant: Tenant, ids: Seed, api: httpx.Client, checker: ContractChecker
) -> None:
    """A field of the wrong type in a record is a violation, with its place."""
    tenant.tickets[ids.open_ticket]["status"] = "New"

    api.get(f"/Tickets/{ids.open_ticket}")

    (violation,) = checker.violations
    assert "answer $.item" in violation


def test_answers_that_are_meant_to_be_wrong_are_not_checked(
    tenant: Tenant, ids: Seed, api: httpx.Client, checker: ContractChecker
) -> None:
    """A fault's garbage and the object form of errors are no violations."""
    tenant.switches.error_style = "objects"
    tenant.faults.add(Fault("garbage"))

    api.get(f"/Tickets/{ids.open_ticket}")
    objects = api.post("/Contacts/query", json={}).json()

    assert list(objects["errors"][0]) == ["message"]
    assert checker.violations == []


@pytest.mark.parametrize(
    ("microsecond", "text"),
    [(0, "T10:00:05Z"), (100_000, "T10:00:05.1Z"), (33_999, "T10:00:05.033Z")],
)
def test_times_have_no_to_three_decimals(microsecond: int, text: str) -> None:
    """Responses drop trailing zeros, so their form varies from record to record."""
    moment = datetime(2026, 11, 23, 10, 0, 5, microsecond, tzinfo=UTC)

    assert utc_text(moment).endswith(text)
    assert abs((parse_utc(utc_text(moment)) - moment).total_seconds()) < 0.001
