"""What an API client may write, and what Autotask makes of it."""

from typing import Any

import httpx
import pytest

from sandbox.seed import Seed
from sandbox.tenant import Tenant

ADDRESS = "old@mail.test"
REFERENCE = "Reference value on field: contactID of type: Contact does not exist or is invalid."


def errors(response: httpx.Response) -> list[str]:
    assert response.status_code == 500
    texts = response.json()["errors"]
    assert isinstance(texts, list)
    return texts


def link(api: httpx.Client, ticket_id: int, contact_id: int) -> httpx.Response:
    return api.post(f"/Tickets/{ticket_id}/AdditionalContacts", json={"contactID": contact_id})


def person(**fields: Any) -> dict[str, Any]:
    return {"firstName": "Nia", "lastName": "Obi", "isActive": 1, **fields}


def test_a_created_contact_carries_every_property(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """What was not given comes back as null, and notifications take the tenant's default."""
    body = person(id=0, companyID=ids.bakery, EmailAddress="nia@mail.test")

    response = api.post(
        f"/Companies/{ids.bakery}/Contacts",
        json=body | {"emailAddress": body.pop("EmailAddress")},
    )

    item = api.get(f"/Contacts/{response.json()['itemId']}").json()["item"]
    assert set(item) == set(tenant.contacts[ids.ana])
    assert (item["companyID"], item["emailAddress"]) == (ids.bakery, "nia@mail.test")
    assert (item["phone"], item["receivesEmailNotifications"]) == (None, False)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (person(firstName=""), "Missing Required Field: firstName."),
        (person(lastName="  "), "Missing Required Field: lastName."),
        ({"firstName": "A", "lastName": "B"}, "Missing Required Field: isActive."),
        (person(isActive=True), "Unexpected character encountered while parsing value: t"),
        (person(isActive=False), "Unexpected character encountered while parsing value: f"),
        (person(firstName="x" * 51), "firstName must be less than or equal to 50 characters"),
        (person(emailAddress="x" * 255), "emailAddress must be less than or equal to 254"),
        (person(note="x" * 51), "note must be less than or equal to 50 characters"),
        (person(companyID=0), "companyID cannot differ"),
        (person(userDefinedFields=[{"name": "VIP", "value": "y"}]), "Unable to find VIP in the"),
        ([], "reference Error ID: 1166"),
    ],
)
def test_a_contact_autotask_would_refuse_is_refused(
    tenant: Tenant, ids: Seed, api: httpx.Client, body: Any, text: str
) -> None:
    """Required fields, lengths and types are checked, and nothing is stored."""
    before = len(tenant.contacts)

    response = api.post(f"/Companies/{ids.bakery}/Contacts", json=body)

    assert text in errors(response)[0]
    assert len(tenant.contacts) == before


def test_a_tenant_can_require_more_of_a_new_contact(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """A required field of the tenant is named in the refusal; a user-defined one counts too."""
    tenant.udfs["Contacts"] = ["Consent"]
    tenant.required_contact_fields = ("title", "Consent")
    path = f"/Companies/{ids.bakery}/Contacts"

    assert "title" in errors(api.post(path, json=person()))[0]
    assert "Consent" in errors(api.post(path, json=person(title="Baker")))[0]
    udfs = [{"name": "Consent", "value": "asked"}]
    created = api.post(path, json=person(title="Baker", userDefinedFields=udfs)).json()["itemId"]

    assert tenant.contacts[created]["userDefinedFields"] == udfs


def test_patch_keeps_and_put_empties_what_is_left_out(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """PATCH changes one field of a contact; PUT nulls the writable rest."""
    path = f"/Companies/{ids.alpine}/Contacts"

    api.patch(path, json={"id": ids.bruno, "isActive": 0})
    patched = dict(tenant.contacts[ids.bruno])
    api.put(path, json=person(id=ids.bruno))

    assert (patched["isActive"], patched["firstName"]) == (0, "Bruno")
    assert tenant.contacts[ids.bruno]["emailAddress"] is None
    assert tenant.contacts[ids.bruno]["companyID"] == ids.alpine


@pytest.mark.parametrize(
    ("switch", "by_empty", "by_null"),
    [
        ("empty", "", ADDRESS),
        ("null", ADDRESS, None),
        ("either", "", None),
        ("neither", ADDRESS, ADDRESS),
    ],
)
@pytest.mark.parametrize("field", ["emailAddress", "emailAddress2", "emailAddress3"])
def test_an_address_is_emptied_as_the_switch_says(
    tenant: Tenant,
    ids: Seed,
    api: httpx.Client,
    field: str,
    switch: Any,
    by_empty: str | None,
    by_null: str | None,
) -> None:
    """The answer never tells; the rest of the PATCH is done in any case."""
    tenant.switches.clearing_address = switch
    contact, path = tenant.contacts[ids.bruno], f"/Companies/{ids.alpine}/Contacts"

    for title, sent, expected in (("A", "", by_empty), ("B", None, by_null)):
        contact[field] = ADDRESS
        response = api.patch(path, json={"id": ids.bruno, field: sent, "title": title})
        assert response.json() == {"itemId": ids.bruno}
        item = api.get(f"/Contacts/{ids.bruno}").json()["item"]
        assert (item[field], item["title"]) == (expected, title)


def test_the_switch_for_addresses_is_about_nothing_else(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """A new address, another field's null, and PUT are taken as they are."""
    tenant.switches.clearing_address = "neither"
    path, contact = f"/Companies/{ids.alpine}/Contacts", tenant.contacts[ids.bruno]

    api.patch(path, json={"id": ids.bruno, "emailAddress": "b@mail.test", "title": "T"})
    api.patch(path, json={"id": ids.bruno, "title": None})
    assert (contact["emailAddress"], contact["title"]) == ("b@mail.test", None)
    api.put(path, json=person(id=ids.bruno, emailAddress=None, emailAddress2=""))
    assert (contact["emailAddress"], contact["emailAddress2"]) == (None, "")


def test_a_contact_is_changed_only_below_its_own_company(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """A PATCH through another company finds no record."""
    response = api.patch(f"/Companies/{ids.harbour}/Contacts", json={"id": ids.ana, "title": "X"})

    assert errors(response) == ["No matching records found."]
    assert tenant.contacts[ids.ana]["title"] is None


def test_linking_adds_a_row_and_touches_the_ticket(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """The answer names the row, and both read routes show it."""
    row = link(api, ids.open_ticket, ids.carla).json()["itemId"]

    listed = api.get(f"/Tickets/{ids.open_ticket}/AdditionalContacts").json()["items"]
    queried = api.post(
        "/TicketAdditionalContacts/query",
        json={"filter": [{"op": "eq", "field": "ticketID", "value": ids.open_ticket}]},
    ).json()["items"]
    assert {"id": row, "ticketID": ids.open_ticket, "contactID": ids.carla} in listed
    assert queried == listed


@pytest.mark.parametrize("who", ["dora", "nobody"])
def test_an_inactive_or_missing_contact_is_refused_with_the_same_text(
    ids: Seed, api: httpx.Client, who: str
) -> None:
    """The reference error does not tell the two apart."""
    contact = ids.dora if who == "dora" else 1

    assert errors(link(api, ids.open_ticket, contact)) == [REFERENCE]


def test_a_contact_of_another_company_is_refused(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """Neither another customer's nor, by default, the parent company's contact can be added."""
    ticket = tenant.new_ticket(ids.alpine_west)

    assert errors(link(api, ticket, ids.jurgen)) == [tenant.switches.texts["company"]]
    assert errors(link(api, ticket, ids.ana)) == [tenant.switches.texts["company"]]
    tenant.switches.parent_company_contact = "accepted"
    assert link(api, ticket, ids.ana).status_code == 200


def test_the_31st_additional_contact_is_refused(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """Thirty rows fit on a ticket, one more does not."""
    ticket = tenant.new_ticket(ids.bakery)
    people = [tenant.add_contact(ids.bakery, f"{i}@mail.test") for i in range(31)]

    answers = [link(api, ticket, contact).status_code for contact in people]

    assert answers == [200] * 30 + [500]
    assert len(tenant.linked_contacts(ticket)) == 30


def test_linking_twice_does_what_the_switch_says(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """A twin row by default, the old row, or a refusal."""
    (old,) = tenant.link_rows(ids.open_ticket, ids.bruno)

    tenant.switches.duplicate_link = "refused"
    assert errors(link(api, ids.open_ticket, ids.bruno)) == [tenant.switches.texts["duplicate"]]
    tenant.switches.duplicate_link = "no_op"
    assert link(api, ids.open_ticket, ids.bruno).json() == {"itemId": old["id"]}
    tenant.switches.duplicate_link = "second_row"
    link(api, ids.open_ticket, ids.bruno)

    assert tenant.linked_contacts(ids.open_ticket) == [ids.bruno, ids.bruno]


def test_linking_the_tickets_own_contact_clears_it_or_is_refused(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """By default the ticket silently loses its contact."""
    tenant.switches.own_contact = "refused"
    assert errors(link(api, ids.open_ticket, ids.ana)) == [tenant.switches.texts["own_contact"]]

    tenant.switches.own_contact = "clears"
    link(api, ids.open_ticket, ids.ana)

    assert tenant.tickets[ids.open_ticket]["contactID"] is None


def test_linking_to_a_missing_ticket_is_refused(ids: Seed, api: httpx.Client) -> None:
    """A ticket that does not exist gives a refusal with a text."""
    assert "ticketID" in errors(link(api, 1, ids.ana))[0]


def test_a_row_is_deleted_below_its_own_ticket_only(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """Deleting answers with the row's id; a second time there is nothing to delete."""
    (row,) = tenant.link_rows(ids.open_ticket)

    other = api.delete(f"/Tickets/{ids.complete_ticket}/AdditionalContacts/{row['id']}")
    first = api.delete(f"/Tickets/{ids.open_ticket}/AdditionalContacts/{row['id']}")
    second = api.delete(f"/Tickets/{ids.open_ticket}/AdditionalContacts/{row['id']}")

    assert "No matching records found" in errors(other)[0]
    assert first.json() == {"itemId": row["id"]}
    assert "No matching records found" in errors(second)[0]


def test_making_an_additional_contact_the_ticket_contact_removes_its_row(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """A contact is never both."""
    api.patch("/Tickets", json={"id": ids.open_ticket, "contactID": ids.bruno})

    assert tenant.tickets[ids.open_ticket]["contactID"] == ids.bruno
    assert tenant.linked_contacts(ids.open_ticket) == []


def test_a_ticket_cannot_get_another_companys_contact(ids: Seed, api: httpx.Client) -> None:
    """The two texts of a mismatch are Autotask's own."""
    response = api.patch("/Tickets", json={"id": ids.open_ticket, "contactID": ids.jurgen})

    assert errors(response) == [
        "Value does not reference an existing entity for contactID.",
        "Error updating entity for record number [1].",
    ]


def test_the_status_tells_whether_a_ticket_is_completed(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """Its date is set with Complete, stays with other changes, and goes when it is reopened."""
    seen = []
    for change in ({"status": 5}, {"title": "Done"}, {"status": 7}, {"title": "Not done"}):
        api.patch("/Tickets", json={"id": ids.open_ticket, **change}).raise_for_status()
        item = api.get(f"/Tickets/{ids.open_ticket}").json()["item"]
        seen.append(item["completedDate"] is not None)

    assert seen == [True, True, False, False]
