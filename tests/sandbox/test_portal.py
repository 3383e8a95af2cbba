"""The double's users of the Client Access Portal: read over the API, made by people."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from sandbox.portal_model import PORTAL_USERS
from sandbox.seed import VENDOR, Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.sandbox.test_contract import SCHEMAS, kind_of


def by(field: str, value: object, **more: Any) -> dict[str, Any]:
    return {"filter": [{"op": "eq", "field": field, "value": value}], **more}


def test_the_fields_are_those_of_the_contract() -> None:
    """Names, types and lengths; an answer's password is always null there."""
    published = SCHEMAS["ClientPortalUserModel"]
    properties = {**published["properties"]}

    assert properties.pop("password")["type"] == "null"
    fields = {field.name: field for field in PORTAL_USERS.fields.values()}
    password = fields.pop("password")
    assert {name: field.kind for name, field in fields.items()} == {
        name: kind_of(schema) for name, schema in properties.items()
    }
    assert (fields["userName"].length, password.length) == (200, 50)
    assert published["x-lengths"]["userName"] == 200


def test_a_user_is_read_on_all_paths(tenant: Tenant, ids: Seed, api: httpx.Client) -> None:
    """With every property, and never the password."""
    user = tenant.activate_portal(ids.carla)
    tenant.activate_portal(ids.bruno)

    item = api.get(f"/ClientPortalUsers/{user}").json()["item"]
    assert set(item) == {field.name for field in PORTAL_USERS.fields.values()}
    assert (item["id"], item["contactID"], item["isClientPortalActive"]) == (user, ids.carla, True)
    assert (item["userName"], item["password"]) == ("Carla.Mendes@Alpine-Dental.example", None)

    search = by("contactID", ids.carla)
    posted = api.post("/ClientPortalUsers/query", json=search).json()["items"]
    asked = api.get("/ClientPortalUsers/query", params={"search": json.dumps(search)}).json()
    assert posted == asked["items"] == [item]
    wanted = by("contactID", ids.carla, includeFields=["id", "isClientPortalActive"])
    [short] = api.post("/ClientPortalUsers/query", json=wanted).json()["items"]
    assert short == {"id": user, "isClientPortalActive": True}


def test_users_are_read_page_by_page(tenant: Tenant, ids: Seed, api: httpx.Client) -> None:
    """A query's next page is asked for with the method and the body of the first."""
    people = [ids.ana, ids.bruno, ids.carla]
    for contact in people:
        tenant.activate_portal(contact)
    query = {"filter": [{"op": "in", "field": "contactID", "value": people}], "MaxRecords": 2}

    first = api.post("/ClientPortalUsers/query", json=query).json()
    second = api.post(first["pageDetails"]["nextPageUrl"], json=query).json()

    assert [one["contactID"] for one in first["items"] + second["items"]] == people
    assert second["pageDetails"]["nextPageUrl"] is None


def test_the_password_is_not_for_asking(tenant: Tenant, ids: Seed, api: httpx.Client) -> None:
    """Neither a filter nor an answer tells it."""
    user = tenant.activate_portal(ids.carla)
    wanted = by("id", user, includeFields=["id", "password"])
    [short] = api.post("/ClientPortalUsers/query", json=wanted).json()["items"]
    assert short == {"id": user, "password": None}
    refused = api.post("/ClientPortalUsers/query", json=by("password", "secret"))
    assert refused.json()["errors"] == ["The field password is not queryable."]


def test_an_api_client_only_reads_users(tenant: Tenant, ids: Seed) -> None:
    """Without the contract's checker, as that describes no writing, either."""
    user = tenant.activate_portal(ids.carla)
    before = {**tenant.portal_users[user]}
    body = {"id": user, "contactID": ids.ana, "isClientPortalActive": False}

    with (
        SandboxServer(tenant) as server,
        httpx.Client(base_url=f"{server.api_url}/V1.0", headers=tenant.credentials) as client,
    ):
        made = client.post("/ClientPortalUsers", json=body)
        changed = client.patch("/ClientPortalUsers", json=body)
        deleted = client.delete(f"/ClientPortalUsers/{user}")

    assert [one.status_code for one in (made, changed, deleted)] == [404, 404, 405]
    assert tenant.portal_users == {user: before}


def test_nobody_is_a_user_unasked(ids: Seed, api: httpx.Client) -> None:
    """The seed has none: a test that needs one makes it."""
    everybody = {"filter": [{"op": "exist", "field": "id"}]}
    assert api.post("/ClientPortalUsers/query", json=everybody).json()["items"] == []
    assert api.get("/ClientPortalUsers/41").json() == {"item": None}


def test_reading_users_is_a_thread_of_its_own(tenant: Tenant, ids: Seed, api: httpx.Client) -> None:
    """In any case of the path, as for every other record type."""
    api.get("/clientportalusers/41")
    api.post("/ClientPortalUsers/query", json=by("contactID", ids.ana))

    assert tenant.count(entity="ClientPortalUsers") == 2
    assert tenant.peak["ClientPortalUsers"] == 1


def test_a_contact_has_one_user(tenant: Tenant, ids: Seed) -> None:
    """Who was switched off is on again, under the same id and, unless told otherwise, name."""
    user = tenant.activate_portal(ids.carla, "carla")
    tenant.portal_users[user]["isClientPortalActive"] = False

    assert tenant.activate_portal(ids.carla) == user
    assert tenant.portal_users[user]["userName"] == "carla"
    assert tenant.portal_users[user]["isClientPortalActive"] is True
    assert tenant.activate_portal(ids.carla, "Carla") == user
    assert [one["userName"] for one in tenant.portal_users.values()] == ["Carla"]


def test_no_two_users_have_one_name(tenant: Tenant, ids: Seed) -> None:
    """Given, it is refused; otherwise the second one is called something else."""
    first = tenant.activate_portal(ids.vendor_at_alpine)
    second = tenant.activate_portal(ids.vendor_at_harbour)
    nobody = tenant.activate_portal(tenant.add_contact(ids.bakery, None))

    names = [tenant.portal_users[one]["userName"] for one in (first, second, nobody)]
    assert names[0] == VENDOR
    assert len(set(names)) == 3
    with pytest.raises(ValueError, match="another one"):
        tenant.activate_portal(ids.ana, VENDOR.upper())
    with pytest.raises(KeyError):
        tenant.activate_portal(1)
