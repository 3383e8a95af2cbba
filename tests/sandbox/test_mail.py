"""What the double's mail processing makes of a sender, and whose mail it refuses."""

from __future__ import annotations

import httpx
import pytest

from sandbox.graph import HELP_DESK
from sandbox.seed import VENDOR, Seed
from sandbox.tenant import MailRefusedError, Tenant

DORA = "dora.lind@alpine-dental.example"
OURS = "autotask-cc T20261123.0001 Cc"


def test_it_is_told_what_would_become_of_a_mail(tenant: Tenant, ids: Seed) -> None:
    """By any address of a contact, in any case, and in this company."""
    told = [
        tenant.who_mails(address, company)
        for address, company in (
            ("ANA.ruiz@alpine-dental.example", ids.alpine),
            ("bruno.keller@mail.test", ids.alpine),
            (DORA, ids.alpine),
            (DORA.upper(), ids.alpine),
            (DORA, ids.harbour),
            ("new@x.example", ids.alpine),
        )
    ]
    assert told == ["contact", "contact", "refused", "refused", "nobody", "nobody"]


def test_no_address_is_nobodys(tenant: Tenant, ids: Seed) -> None:
    """Though there are contacts without one."""
    tenant.add_contact(ids.bakery, None, active=0)
    assert tenant.who_mails("", ids.bakery) == "nobody"


def test_the_mail_of_an_inactive_contact_is_refused(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """No ticket and no callout; the mailbox, which is not Autotask's, has it all the same."""
    tenant.subscribe("http://x.example/", "http://x.example/", "s" * 20)
    tenant.outbox.wake = lambda: None
    before = list(tenant.tickets)

    with pytest.raises(MailRefusedError, match=DORA):
        tenant.receive_mail(ids.alpine, sender=f"Dora <{DORA}>", subject="Help")
    assert [one.subject for one in tenant.mail.mailboxes[HELP_DESK]] == ["Help"]
    with pytest.raises(MailRefusedError):
        tenant.receive_mail(ids.alpine, sender=DORA, subject="Help", copy=False)
    assert len(tenant.mail.mailboxes[HELP_DESK]) == 1

    everything = {"filter": [{"op": "exist", "field": "id"}]}
    found = api.post("/Tickets/query", json=everything).json()["items"]
    assert [one["id"] for one in found] == before
    assert tenant.outbox.queues == {}


def test_one_active_contact_is_enough(tenant: Tenant, ids: Seed) -> None:
    """The inactive one beside, with a lower id, is not asked."""
    new = tenant.add_contact(ids.alpine, "other@x.example", emailAddress3=DORA)

    assert tenant.who_mails(DORA, ids.alpine) == "contact"
    ticket = tenant.receive_mail(ids.alpine, sender=DORA, subject="Help")
    assert tenant.tickets[ticket]["contactID"] == new


def test_a_contact_that_is_switched_off_is_refused_from_then_on(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """Elsewhere the same person is still welcome; without the address it is nobody's mail."""
    path = f"/Companies/{ids.alpine}/Contacts"
    api.patch(path, json={"id": ids.vendor_at_alpine, "isActive": 0})
    assert tenant.who_mails(VENDOR, ids.alpine) == "refused"
    assert tenant.who_mails(VENDOR, ids.harbour) == "contact"

    api.patch(path, json={"id": ids.vendor_at_alpine, "emailAddress": ""})
    assert tenant.who_mails(VENDOR, ids.alpine) == "nobody"
    ticket = tenant.receive_mail(ids.alpine, sender=VENDOR, subject="Help")
    assert tenant.tickets[ticket]["contactID"] is None


def test_a_mail_by_hand_can_be_refused(tenant: Tenant, ids: Seed, api: httpx.Client) -> None:
    """With the reason."""
    given = {"sender": DORA, "subject": "Help", "company_id": ids.alpine}
    answer = httpx.post(str(api.base_url.join("/sandbox/mails")), json=given)

    assert answer.status_code == 400
    assert "inactive" in answer.json()["error"]


def test_who_was_made_and_left_inactive_with_an_address_is_found(tenant: Tenant, ids: Seed) -> None:
    """Neither the active, nor those without an address, nor other people's."""
    add, bakery = tenant.add_contact, ids.bakery
    wrong = add(bakery, "a@mail.test", active=0, note=OURS)
    second = add(bakery, None, active=0, note=OURS, emailAddress3="b@mail.test")
    add(bakery, "c@mail.test", note=OURS)
    add(bakery, None, active=0, note=OURS)
    add(bakery, "", active=0, note=OURS, emailAddress2="")
    add(bakery, "d@mail.test", active=0, note="autotask-ccx")
    add(bakery, "e@mail.test", active=0, note=f"see {OURS}")

    assert [one["id"] for one in tenant.insane_contacts()] == [wrong, second]
