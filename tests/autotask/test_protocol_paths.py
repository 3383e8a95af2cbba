"""The API's addresses and queries, without I/O."""

from __future__ import annotations

from typing import Any

import pytest

from app.autotask import protocol
from app.autotask.protocol import contact_filter, entity_of, is_zone_url, same_origin
from sandbox import routes
from sandbox.model import CONTACTS
from sandbox.query import parse_query
from sandbox.switches import Switches


@pytest.mark.parametrize(
    "path",
    [
        "/Tickets/7",
        "/Tickets/query",
        "/Tickets/query/next",
        "/Tickets/7/AdditionalContacts",
        "/Tickets/7/AdditionalContacts/8",
        "/TicketAdditionalContacts/query",
        "/Companies/7",
        "/Companies/7/Contacts",
        "/Companies/7/Contacts/8",
        "/Contacts/7",
        "/Contacts/query",
        "/Resources/query",
    ],
)
def test_child_and_root_paths_are_one_entity(path: str) -> None:
    """The thread limit is per entity, and the double counts it by itself."""
    assert entity_of(path) == routes.entity_of(f"/ATServicesRest/v1.0{path}")


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        ("https://webservices5.autotask.net/ATServicesRest/", True),
        ("https://webservices.autotask.net/atservicesrest", True),
        ("https://WEBSERVICES29.Autotask.net/", True),
        ("https://prde.autotask.net/ATServicesRest/", True),
        ("https://pres.autotask.net/ATServicesRest/", True),
        ("http://webservices5.autotask.net/ATServicesRest/", False),
        ("https://webservices5.autotask.net.evil.example/", False),
        ("https://evilwebservices5.autotask.net/", False),
        ("https://webservices5.autotask.net@evil.example/", False),
        ("https://webservices5.autotask.net\\@evil.example/", False),
        ("https://evil.example/webservices5.autotask.net", False),
        ("https://evil.example#webservices5.autotask.net", False),
        ("https://webservices٥.autotask.net/", False),
        ("https://ww5.autotask.net/", False),
        ("https://127.0.0.1/", False),
        ("file:///etc/passwd", False),
        ("//webservices5.autotask.net/", False),
        ("", False),
    ],
)
def test_only_hosts_of_autotasks_are_zones(url: str, accepted: bool) -> None:
    """The credentials go there with every call."""
    assert is_zone_url(url) is accepted


API = "https://webservices5.autotask.net/ATServicesRest/v1.0"


@pytest.mark.parametrize(
    ("url", "same"),
    [
        (f"{API}/Contacts/query/next?paging=x", True),
        ("HTTPS://WEBSERVICES5.autotask.net/elsewhere", True),
        ("http://webservices5.autotask.net/ATServicesRest/v1.0", False),
        ("https://webservices6.autotask.net/ATServicesRest/v1.0", False),
        ("https://webservices5.autotask.net:8443/", False),
        ("https://webservices5.autotask.net.evil.example/", False),
        ("https://webservices5.autotask.net@evil.example/", False),
        ("//webservices5.autotask.net/", False),
        ("/ATServicesRest/v1.0/Contacts/query/next", False),
    ],
)
def test_a_page_is_on_the_apis_own_origin(url: str, same: bool) -> None:
    """Scheme, host and port; the path is free."""
    assert same_origin(url, API) is same


def test_a_default_port_may_be_written_out() -> None:
    """https://host:443 is https://host."""
    assert same_origin("https://webservices5.autotask.net:443/x", API)


@pytest.mark.parametrize("url", ["https://[bad", "https://webservices5.autotask.net:99999/"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """It comes from outside: return an answer, not an unexpected exception."""
    assert not same_origin(url, API)


def test_a_zone_that_is_no_address_is_refused() -> None:
    """The same."""
    assert not is_zone_url("https://[bad")


@pytest.mark.parametrize("tail", ["", "/", "//"])
def test_the_version_is_pinned(tail: str) -> None:
    """With a slash at the end, as zones give it, or without, as settings do."""
    assert protocol.api_root(f"https://x.example/ATServicesRest{tail}") == (
        "https://x.example/ATServicesRest/v1.0"
    )


def contact(contact_id: int, company_id: int, **fields: Any) -> dict[str, Any]:
    return CONTACTS.blank([]) | {
        "id": contact_id, "companyID": company_id, "isActive": 1, **fields
    }  # fmt: skip


def test_the_largest_lookup_is_within_autotasks_limit() -> None:
    """500 OR conditions, values of lists counted: 100 addresses in three fields, and 150 ids."""
    addresses = [f"p{n}@client.example" for n in range(protocol.LOOKUP_ADDRESSES)]
    wanted = contact_filter(174, addresses, range(1, 151))

    query = parse_query(CONTACTS, {"filter": wanted, "MaxRecords": 500}, Switches())

    last = contact(900, 174, emailAddress3="P99@Client.example")
    assert query.matches(last)


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (contact(1, 174, emailAddress="a@x.example"), True),
        (contact(1, 174, emailAddress2="b@x.example"), True),
        (contact(1, 174, emailAddress3="A@X.example", isActive=0), True),
        (contact(1, 175, emailAddress="a@x.example"), False),
        (contact(1, 174, emailAddress="other@x.example"), False),
        (contact(8, 175, emailAddress="other@x.example"), True),
        (contact(9, 174, isActive=0), True),
    ],
)
def test_a_lookup_finds_the_companys_own_and_those_asked_for_by_id(
    record: dict[str, Any], found: bool
) -> None:
    """Any e-mail field, inactive ones too; another company's only by its id."""
    wanted = contact_filter(174, ["a@x.example", "b@x.example"], [9, 8])
    assert parse_query(CONTACTS, {"filter": wanted}, Switches()).matches(record) is found


@pytest.mark.parametrize(
    ("addresses", "ids", "found"), [(["a@x.example"], [], {1}), ([], [8], {8})]
)
def test_a_lookup_of_one_kind_alone(addresses: list[str], ids: list[int], found: set[int]) -> None:
    """An empty list is an error at Autotask, so it is not sent."""
    records = [contact(1, 174, emailAddress="a@x.example"), contact(8, 175)]
    wanted = {"filter": contact_filter(174, addresses, ids)}
    query = parse_query(CONTACTS, wanted, Switches())
    assert {record["id"] for record in records if query.matches(record)} == found
