"""Whose a domain is, as companies' web addresses say, and which statuses end a ticket."""

from __future__ import annotations

from typing import Any

import pytest

from app.autotask.models import Choice
from app.outbound.clients import web_domain, which_end


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
