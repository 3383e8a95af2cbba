"""Whose a domain is, as companies' web addresses say, and which statuses end a ticket."""

from __future__ import annotations

from typing import Any

import pytest

from app.autotask.models import Choice, Company
from app.outbound.clients import Clients, web_domain, which_are_customers, which_end


@pytest.mark.parametrize(
    ("web_address", "domain"),
    [
        ("client.com", "client.com"),
        ("www.client.com", "client.com"),
        ("  http://www.client.com/contact?x=1 ", "client.com"),
        ("HTTPS://WWW.Client.COM:8443/", "client.com"),
        ("client.com/about", "client.com"),
        ("client.com.", "client.com"),
        ("mail.client.co.uk", "mail.client.co.uk"),
        ("wwwclient.com", "wwwclient.com"),
        ("info@client.com", "client.com"),
        ("http://www.bücher.de", "xn--bcher-kva.de"),
        (None, None),
        ("", None),
        ("n/a", None),
        ("none", None),
        ("www.com", None),
        ("localhost", None),
        ("192.168.1.10", None),
        ("http://[::1]/", None),
        ("http://[bad", None),
        ("http://http://client.com", None),
        ("client.com, client.net", None),
        ("client com", None),
        ("https://a℀.com", None),
    ],
)
def test_the_domain_of_a_web_address(web_address: str | None, domain: str | None) -> None:
    """People typed it: scheme, path and port do not count, and what is no domain is none."""
    assert web_domain(web_address) == domain


CHOICES = [
    Choice(value=value, label=label, isActive=value != 9)
    for value, label in ((1, "New"), (5, "Complete"), (8, "In Progress"), (9, "Closed"), (12, "ok"))
]


@pytest.mark.parametrize(
    ("named", "ends", "unknown"),
    [
        ((), {5}, []),
        (("Closed",), {5, 9}, []),
        ((" closed ", "12"), {5, 9, 12}, []),
        (("Gone", "77"), {5}, ["Gone", "77"]),
    ],
)
def test_labels_and_ids_are_found(named: tuple[str, ...], ends: set[int], unknown: Any) -> None:
    """In any casing, inactive ones too, as old tickets have them; Complete always."""
    found, not_found = which_end(CHOICES, named)
    assert (set(found), not_found) == (ends, unknown)


def test_the_systems_complete_ends_a_ticket_whatever_it_is_called() -> None:
    """Renamed, or in another language; and another one that is called so."""
    choices = [Choice(value=5, label="Fertig"), Choice(value=20, label="complete")]
    assert which_end(choices, ())[0] == {5, 20}
    assert which_end([], ())[0] == {5}


@pytest.mark.parametrize(
    ("named", "ends", "unknown"),
    [
        ((), {5}, []),
        (("12", "Closed"), {5, 12}, ["Closed"]),
        ((" 9 ", "5"), {5, 9}, []),
        (("-1", "1.5", "²"), {5}, ["-1", "1.5", "²"]),
    ],
)
def test_without_the_picklist_ids_count(
    named: tuple[str, ...], ends: set[int], unknown: Any
) -> None:
    """A label could mean any of them."""
    found, not_found = which_end((), named)
    assert (set(found), not_found) == (ends, unknown)


# --- whose domains count as another customer's ---------------------------------------------------

TYPES = [
    (1, "Customer"),
    (2, "Lead"),
    (3, "Prospect"),
    (4, "Dead"),
    (6, "Cancelation"),
    (7, "Vendor"),
    (8, "Partner"),
]


def choices(types: list[tuple[int, str]]) -> list[Choice]:
    """Give a picklist as Autotask tells it."""
    return [Choice(value=value, label=label) for value, label in types]


@pytest.mark.parametrize(
    ("types", "customers"),
    [
        pytest.param(TYPES, {1}, id="as usual"),
        pytest.param([(1, "Lead"), (5, "Customer")], {5}, id="numbered otherwise"),
        pytest.param([(1, " CUSTOMER "), (7, "Vendor")], {1}, id="in any casing"),
        pytest.param([(1, "Kunde"), (7, "Lieferant")], {1}, id="renamed"),
        pytest.param([(1, "Customer"), (9, "customer")], {1, 9}, id="twice"),
        pytest.param([(7, "Customer Vendor"), (1, "Client")], {1}, id="a longer label"),
        pytest.param([], {1}, id="no picklist"),
    ],
)
def test_customers_are_known_by_the_label(
    types: list[tuple[int, str]], customers: set[int]
) -> None:
    """The numbers are the system's, and no page gives them; without the label the usual one."""
    assert which_are_customers(choices(types)) == customers


def company(number: int, web: str | None, type_: object = 1, parent: int | None = None) -> Company:
    """Give a company as Autotask does."""
    told = {"id": number, "webAddress": web, "companyType": type_, "parentCompanyID": parent}
    return Company.model_validate(told)


OURS = company(1, "alpine.example")


@pytest.mark.parametrize(
    ("others", "is_one"),
    [
        *(([company(2, "x.example", number)], number == 1) for number, _ in TYPES),
        ([company(2, "x.example", "1")], True),
        ([company(2, "x.example", None)], True),
        ([company(2, "x.example", "nonsense")], True),
        ([company(2, "x.example", 99)], False),
        ([company(2, "x.example", 7), company(3, "x.example", 1)], True),
        ([company(2, "x.example", 7), company(3, "x.example", 1, parent=1)], False),
        ([company(2, "x.example", 1), company(3, "x.example", 2, parent=1)], False),
        ([company(0, "x.example", 1)], False),
        ([], False),
    ],
)
def test_only_customers_are_other_clients(others: list[Company], is_one: bool) -> None:
    """Vendors, leads and dead ones are nobody's competitors; a type not shown is a customer's."""
    found = Clients([OURS, *others]).others(1, ["x.example", "alpine.example"], {1})
    assert found == ({"x.example"} if is_one else set())


def test_a_family_is_a_parent_or_a_child() -> None:
    """In either direction; of a company that is not shown it is unknown."""
    clients = Clients([OURS, company(2, None, parent=1), company(3, None), company(4, None, 1, 9)])
    assert [clients.has_family(number) for number in (1, 2, 3, 4, 9, 77)] == [
        *(True, True, False, True, True, True)
    ]
