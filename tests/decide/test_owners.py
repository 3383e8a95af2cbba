"""Whose an address is: the help desk's, a machine's, a domain's; and which are looked up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.decide import (
    LIST_LIMIT,
    Candidate,
    Reason,
    belongs_to,
    decide,
    is_machine,
    is_own,
    needs_contacts,
    not_customer,
)
from app.decide.owners import is_technician
from app.mail.addresses import Address, Rejected
from tests.decide.test_table import facts, help_desk
from tests.decide.test_table_limits import numbered

# --- whose addresses are not customers' ----------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "own"),
    [
        ("help@msp.example", True),
        ("help+ticket@msp.example", True),
        ("help+a+b@msp.example", True),
        ("x+help@msp.example", False),
        ("help@people.example", False),
        ("helper@msp.example", False),
    ],
)
def test_a_tag_does_not_hide_an_own_address(key: str, own: bool) -> None:
    """Mail to `help+x@` arrives where mail to `help@` does; what stands after the + is no name."""
    assert is_own(key, help_desk("help@msp.example")) is own


@pytest.mark.parametrize(
    ("known", "key", "same"),
    [
        ("desk+vip@msp.example", "desk+vip@msp.example", True),
        ("desk+vip@msp.example", "desk@msp.example", True),
        ("desk+vip@msp.example", "desk+else@msp.example", True),
        ("desk@msp.example", "desk+@msp.example", True),
        ("desk@msp.example", "desk+a+b@msp.example", True),
        ("+desk@msp.example", "+desk@msp.example", True),
        ("+desk@msp.example", "+other@msp.example", False),
        ("desk@msp.example", "desk+vip@other.example", False),
        ("desk@msp.example", "des+k@msp.example", False),
        ("desk@msp.example", "desk-vip@msp.example", False),
    ],
)
def test_whoever_is_known_is_known_by_any_plus_form(known: str, key: str, same: bool) -> None:
    """Mail to all of them arrives in one mailbox: ours, a technician's, the ticket's contact's."""
    assert is_own(key, help_desk(known)) is same
    assert is_technician(key, help_desk(technicians=known)) is same
    assert (not_customer([key], help_desk(technicians=known)) is Reason.TECHNICIAN) is same
    [decision] = decide([Address(key)], facts(contact_keys=frozenset([known])))
    assert (decision.reason is Reason.TICKET_CONTACT) is same


def test_an_outsiders_plus_form_is_an_address_of_its_own() -> None:
    """And what is created has the address as it was copied."""
    key = "zoe+tickets@people.example"
    contact = Candidate(7)
    [decision] = decide(
        [Address(key)], replace(facts(), candidates={"zoe@people.example": [contact]})
    )
    assert (decision.key, decision.reason, decision.contact_id) == (key, Reason.OUTSIDE, None)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (["ana@people.example"], None),
        ([], None),
        (["ana@people.example", "help+1@msp.example"], Reason.OWN_ADDRESS),
        (["ana@people.example", "tech@home.example"], Reason.TECHNICIAN),
        (["tech@home.example", "help@msp.example"], Reason.OWN_ADDRESS),
    ],
)
def test_a_contact_with_an_address_of_ours_is_no_customer(
    keys: list[str], reason: Reason | None
) -> None:
    """One of a contact's addresses is enough: what is sent to it would come back to us."""
    ours = help_desk("help@msp.example", technicians="tech@home.example")
    assert not_customer(keys, ours) is reason


# --- which addresses are looked up ---------------------------------------------------------------


def test_only_those_who_may_be_somebody_are_looked_up() -> None:
    """Own addresses, machines, technicians, invalid entries, what follows a hundred: no query."""
    entries: list[Address | Rejected] = [
        Address("help@msp.example"),
        Address("noreply@people.example"),
        Address("tech@people.example"),
        Rejected("nonsense", "no_address"),
        *numbered(LIST_LIMIT),
    ]
    asked = needs_contacts(
        entries, help_desk("help@msp.example", technicians="tech@people.example")
    )
    assert asked == [entry.key for entry in numbered(LIST_LIMIT - 4)]


# --- machines and domains ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "local",
    """
    noreply no-reply no_reply no.reply donotreply do-not-reply mailer-daemon postmaster bounce
    bounces null noreply+7 no-reply-orders bounce+abc bounces-list prvs=12ab=ana srs0=x=y=z=ana
    """.split(),
)
def test_machines_are_known_by_name_or_prefix(local: str) -> None:
    """Exact names and prefixes of what no person reads."""
    assert is_machine(f"{local}@people.example")


@pytest.mark.parametrize(
    "local",
    """
    noreply.smith anoreply nor noreplyx mynoreply post postmaster.jones null.pointer bouncer
    bounce.house reply anoreply+1 ana-bounce-x donotreplyhere daemon ana+noreply ana-no-reply srs
    """.split(),
)
def test_a_name_within_a_name_is_a_person(local: str) -> None:
    """Never by substring: people are called Bouncer, too."""
    assert not is_machine(f"{local}@people.example")


def test_the_domain_does_not_make_a_machine() -> None:
    """Only the part before the @ counts."""
    assert not is_machine("ana@noreply.example")


@pytest.mark.parametrize(
    ("domain", "belongs"),
    [
        ("client.com", True),
        ("mail.client.com", True),
        ("a.b.client.com", True),
        ("notclient.com", False),
        ("client.com.evil.com", False),
        ("com", False),
        ("", False),
    ],
)
def test_a_domain_belongs_to_itself_and_its_parents(domain: str, belongs: bool) -> None:
    """Whole labels from the right, never a part of one."""
    assert belongs_to(domain, {"client.com"}) is belongs
