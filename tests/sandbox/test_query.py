"""The query grammar: what matches, what is refused, how pages follow each other."""

import json
from typing import Any

import httpx
import pytest

from sandbox.model import CONTACTS, TICKETS, RefusedError
from sandbox.query import TOO_MANY_OR, parse_query
from sandbox.seed import VENDOR, Seed
from sandbox.switches import Switches
from sandbox.tenant import Tenant


def found(tenant: Tenant, *filters: dict[str, Any]) -> list[int]:
    query = parse_query(CONTACTS, {"filter": list(filters)}, tenant.switches)
    return [contact["id"] for contact in tenant.contacts.values() if query.matches(contact)]


def refusal(filters: list[Any], **more: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        parse_query(CONTACTS, {"filter": filters, **more}, Switches())
    return str(caught.value.texts[0])


def test_entries_of_the_filter_are_joined_by_and(tenant: Tenant, ids: Seed) -> None:
    """Only the contact of the asked company is found for an address in two companies."""
    address = {"op": "eq", "field": "emailAddress", "value": VENDOR}
    company = {"op": "eq", "field": "companyID", "value": ids.harbour}

    assert found(tenant, address, company) == [ids.vendor_at_harbour]


def test_an_or_group_searches_every_email_field(tenant: Tenant, ids: Seed) -> None:
    """A third address is found by an or group of in lists."""
    fields = ("emailAddress", "emailAddress2", "emailAddress3")
    items = [{"op": "in", "field": name, "value": ["BRUNO.KELLER@mail.test"]} for name in fields]

    assert found(tenant, {"op": "or", "items": items}) == [ids.bruno]


def test_field_names_are_compared_without_case(tenant: Tenant, ids: Seed) -> None:
    """PascalCase field names work as camelCase ones do."""
    assert found(tenant, {"op": "eq", "field": "LASTNAME", "value": "keller"}) == [ids.bruno]


def test_the_collation_switch_makes_strings_case_sensitive(tenant: Tenant, ids: Seed) -> None:
    """With the switch on, only the stored spelling matches."""
    tenant.switches.case_sensitive = True

    assert found(tenant, {"op": "eq", "field": "lastName", "value": "keller"}) == []
    assert found(tenant, {"op": "eq", "field": "lastName", "value": "Keller"}) == [ids.bruno]


def test_null_is_in_no_comparison_not_even_a_negative_one(tenant: Tenant, ids: Seed) -> None:
    """A contact without a second address is not "not equal" to one."""
    found_ids = found(tenant, {"op": "noteq", "field": "emailAddress2", "value": "x@y.test"})

    assert found_ids == [ids.bruno]


@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        ("beginsWith", "BRUNO", True),
        ("endsWith", "alpine-dental.example", True),
        ("contains", "keller@", True),
        ("contains", "@mail.test", False),
        ("exist", None, True),
        ("notExist", None, False),
    ],
)
def test_text_operators_match(
    tenant: Tenant, ids: Seed, op: str, value: str | None, expected: bool
) -> None:
    """Each text operator finds or misses the main address of one contact."""
    condition = {"op": op, "field": "emailAddress"} | ({} if value is None else {"value": value})

    assert (ids.bruno in found(tenant, condition)) is expected


def test_dates_compare_as_points_in_time(tenant: Tenant, ids: Seed) -> None:
    """A date without an offset is UTC, and later tickets are after it."""
    query = {"filter": [{"op": "gte", "field": "createDate", "value": "2020-01-01T00:00:00"}]}

    parsed = parse_query(TICKETS, query, tenant.switches)

    assert parsed.matches(tenant.tickets[ids.open_ticket])


def test_a_user_defined_field_needs_its_mark(tenant: Tenant) -> None:
    """With udf true the CC field is searched; without, it is unknown."""
    ticket = tenant.new_ticket(tenant.add_company("A"), cc="a@b.test")
    condition = {"op": "contains", "field": "CC", "value": "A@B"}

    marked = parse_query(TICKETS, {"filter": [{**condition, "udf": True}]}, tenant.switches, ["CC"])

    assert marked.matches(tenant.tickets[ticket])
    with pytest.raises(RefusedError, match="Unable to find CC in the Ticket Entity"):
        parse_query(TICKETS, {"filter": [condition]}, tenant.switches, ["CC"])


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        ({"op": "eq", "field": "companyName", "value": "A"}, "Unable to find companyName in the"),
        ({"op": "eq", "field": "surveyOptOut", "value": True}, "not queryable"),
        ({"op": "eq", "field": "companyID", "value": "x"}, "converting varchar 'x' to data type"),
        ({"op": "eq", "field": "companyID", "value": True}, "Conversion failed"),
        ({"op": "eq", "field": "isActive", "value": True}, "isActive has the wrong type"),
        ({"op": "eq", "field": "companyID", "value": None}, "must not be null"),
        ({"op": "in", "field": "companyID", "value": [1, None]}, "must not be null"),
        ({"op": "in", "field": "companyID", "value": 1}, "needs a list"),
        ({"op": "gt", "field": "createDate", "value": "soon"}, "converting date"),
        ({"op": "equals", "field": "id", "value": 1}, "not a valid query operator"),
        ({"op": "or", "items": []}, "needs items"),
        ({"op": "and", "items": [{"op": "exist", "field": "id"}], "value": 1}, "neither field"),
        ("id eq 1", "must be a JSON object"),
    ],
)
def test_a_filter_autotask_would_refuse_is_refused(condition: Any, text: str) -> None:
    """Unknown fields, wrong values and malformed groups are errors, not empty results."""
    assert text in refusal([condition])


def test_more_than_500_or_conditions_are_refused() -> None:
    """Values of in lists count as OR conditions, also across the members of an or group."""
    half = {"op": "in", "field": "emailAddress", "value": [f"{i}@x.test" for i in range(251)]}
    other = {**half, "field": "emailAddress2"}

    assert refusal([{"op": "or", "items": [half, other]}]) == TOO_MANY_OR
    parse_query(CONTACTS, {"filter": [half]}, Switches())


@pytest.mark.parametrize("size", [0, 501, True, "5"])
def test_a_page_size_out_of_range_is_refused(size: object) -> None:
    """MaxRecords is a number from 1 to 500."""
    assert "MaxRecords" in refusal([{"op": "exist", "field": "id"}], MaxRecords=size)


@pytest.mark.parametrize("body", [None, [], {}, {"filter": []}, {"filter": {"op": "exist"}}])
def test_a_query_without_a_filter_is_refused(api: httpx.Client, body: object) -> None:
    """The filter is mandatory, and the refusal is a 500 with texts."""
    response = api.post("/Contacts/query", json=body)

    assert response.status_code == 500
    assert len(response.json()["errors"]) == 1


def test_pages_are_followed_with_the_method_and_body_of_the_query(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """nextPageUrl leads through all rows in the order of their ids; the last page has none."""
    body = {"Filter": [{"op": "exist", "field": "id"}], "MaxRecords": 4, "IncludeFields": ["ID"]}
    seen: list[int] = []
    url: str | None = "/Contacts/query"

    while url:
        answer = api.post(url, json=body).json()
        assert answer["pageDetails"]["count"] == len(answer["items"]) <= 4
        seen += [item["id"] for item in answer["items"]]
        url = answer["pageDetails"]["nextPageUrl"]

    assert seen == sorted(tenant.contacts)


def test_a_get_of_a_posted_querys_page_is_not_allowed(ids: Seed, api: httpx.Client) -> None:
    """The next page of a POSTed query answers a GET with 405."""
    body = {"filter": [{"op": "exist", "field": "id"}], "MaxRecords": 1}
    url = api.post("/Contacts/query", json=body).json()["pageDetails"]["nextPageUrl"]

    assert api.get(url).status_code == 405


def test_a_query_by_get_pages_by_get(tenant: Tenant, ids: Seed, api: httpx.Client) -> None:
    """The search parameter works as a body does, and rides along in nextPageUrl."""
    search = json.dumps({"filter": [{"op": "gte", "field": "id", "value": 0}], "maxRecords": 3})

    first = api.get("/Companies/query", params={"search": search}).json()
    second = api.get(first["pageDetails"]["nextPageUrl"]).json()

    ids_found = [item["id"] for item in first["items"] + second["items"]]
    assert ids_found == [0, 174, 175, 176, 177]
    assert second["pageDetails"]["prevPageUrl"] is not None


def test_include_fields_leaves_the_others_out(ids: Seed, api: httpx.Client) -> None:
    """Only the asked fields come back, under their own spelling, and an empty list of UDFs."""
    body = {
        "filter": [{"op": "eq", "field": "id", "value": ids.ana}],
        "IncludeFields": ["Id", "EmailAddress"],
    }

    (item,) = api.post("/Contacts/query", json=body).json()["items"]

    assert item == {
        "id": ids.ana,
        "emailAddress": "ana.ruiz@alpine-dental.example",
        "userDefinedFields": [],
    }


def test_include_fields_adds_no_udfs_to_what_has_none(ids: Seed, api: httpx.Client) -> None:
    """A row of an additional contact has no user-defined fields, so none come unasked."""
    body = {
        "filter": [{"op": "eq", "field": "ticketID", "value": ids.open_ticket}],
        "IncludeFields": ["contactID"],
    }

    items = api.post("/TicketAdditionalContacts/query", json=body).json()["items"]

    assert items == [{"contactID": ids.bruno}]


def test_the_id_must_be_included_when_more_than_500_rows_match(
    tenant: Tenant, api: httpx.Client
) -> None:
    """IncludeFields without id is refused for a result of more than one full page."""
    company = tenant.add_company("Big")
    for number in range(501):
        tenant.add_contact(company, f"{number}@big.example")
    body = {
        "filter": [{"op": "eq", "field": "companyID", "value": company}],
        "IncludeFields": ["emailAddress"],
    }

    assert api.post("/Contacts/query", json=body).status_code == 500
    assert api.post("/Contacts/query/count", json=body).json() == {"queryCount": 501}
