"""The double's webhooks over the API: made, changed, ready, silent where they have to be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from sandbox.model import Entity
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from sandbox.webhook_model import WEBHOOK_ENTITIES
from tests.sandbox.test_contract import SCHEMAS, kind_of

HOOK: dict[str, Any] = {
    "name": "a webhook",
    "webhookUrl": "https://cc.example/hook",
    "deactivationUrl": "https://cc.example/off",
    "secretKey": "a-secret-of-sixteen",
    "isActive": False,
    "sendThresholdExceededNotification": False,
    "isSubscribedToCreateEvents": True,
}


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 10, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tenant(clock: Clock) -> Tenant:
    return Tenant(clock=clock)


def make(api: httpx.Client, **changes: Any) -> int:
    """Make a webhook."""
    answer = api.post("/TicketWebhooks", json=HOOK | changes)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["itemId"])


def choices(api: httpx.Client, entity: str, field: str) -> dict[str, int]:
    """Read a picklist: ids by label."""
    fields = api.get(f"/{entity}/entityInformation/fields").json()["fields"]
    [found] = [one for one in fields if one["name"] == field]
    return {choice["label"]: int(choice["value"]) for choice in found["picklistValues"]}


def subscribe(api: httpx.Client, hook: int) -> None:
    """Add a field to a webhook, and switch it on."""
    number = choices(api, "TicketWebhookFields", "fieldID")["Ticket Number"]
    both = {"isSubscribedField": True, "isDisplayAlwaysField": True}
    api.post(f"/TicketWebhooks/{hook}/Fields", json={"fieldID": number, **both}).raise_for_status()
    api.patch("/TicketWebhooks", json={"id": hook, "isActive": True}).raise_for_status()


def read(api: httpx.Client, hook: int) -> dict[str, Any]:
    """Read a webhook."""
    item = api.get(f"/TicketWebhooks/{hook}").json()["item"]
    assert isinstance(item, dict)
    return item


def waiting(tenant: Tenant) -> list[str]:
    """Name the callouts that were queued."""
    return [one.action for queue in tenant.outbox.queues.values() for one in queue]


@pytest.mark.parametrize("entity", WEBHOOK_ENTITIES.values(), ids=list(WEBHOOK_ENTITIES))
def test_the_fields_are_those_of_the_contract(entity: Entity) -> None:
    """Names and types of every property agree."""
    published = SCHEMAS[f"{entity.singular}Model"]["properties"]

    assert {field.name: field.kind for field in entity.fields.values()} == {
        field: kind_of(schema) for field, schema in published.items()
    }


def test_a_webhook_is_made_and_found_and_keeps_its_secret(
    tenant: Tenant, api: httpx.Client
) -> None:
    """The answer names it alone; a query finds it with guid and owner; the secret is not shown."""
    hook = make(api)

    wanted = {"filter": [{"op": "eq", "field": "webhookUrl", "value": HOOK["webhookUrl"]}]}
    [found] = api.post("/TicketWebhooks/query", json=wanted).json()["items"]

    assert (found["id"], found["ownerResourceID"]) == (hook, tenant.api_resource_id)
    assert (found["secretKey"], found["isActive"], found["isReady"]) == (None, False, False)
    assert found["webhookGUID"]


def test_it_is_ready_a_while_after_it_has_a_field(
    tenant: Tenant, ids: Seed, api: httpx.Client, clock: Clock
) -> None:
    """Until then it is silent, though it is active; without its field it is silent again."""
    tenant.switches.webhook_ready_after = 5
    hook = make(api)
    subscribe(api, hook)
    tenant.new_ticket(ids.alpine)
    assert (read(api, hook)["isReady"], waiting(tenant)) == (False, [])

    clock.now += timedelta(seconds=5)
    tenant.new_ticket(ids.alpine)
    assert (read(api, hook)["isReady"], waiting(tenant)) == (True, ["Create"])

    [row] = api.get(f"/TicketWebhooks/{hook}/Fields").json()["items"]
    api.delete(f"/TicketWebhooks/{hook}/Fields/{row['id']}").raise_for_status()
    tenant.new_ticket(ids.alpine)
    assert (read(api, hook)["isReady"], waiting(tenant)) == (False, ["Create"])


@pytest.mark.parametrize(("rule", "status"), [("refused", 500), ("accepted", 200)])
def test_whether_it_is_activated_without_a_field_is_a_switch(
    tenant: Tenant, api: httpx.Client, rule: Any, status: int
) -> None:
    """The vendor's sample makes it active at once; another client says that a field comes first."""
    tenant.switches.activate_without_field = rule

    answer = api.post("/TicketWebhooks", json=HOOK | {"isActive": True})

    assert answer.status_code == status


def test_what_an_excluded_resource_does_is_not_called_out(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """Its updates are left out, other people's are not; taken off again, they are called out."""
    tenant.switches.webhook_ready_after = 0
    hook = make(api, isSubscribedToUpdateEvents=True)
    subscribe(api, hook)
    path = f"/TicketWebhooks/{hook}/ExcludedResources"
    row = api.post(path, json={"resourceID": tenant.api_resource_id}).json()["itemId"]

    tenant.update_ticket(ids.open_ticket, person=tenant.api_resource_id, title="ours")
    assert waiting(tenant) == []
    tenant.update_ticket(ids.open_ticket, title="theirs")
    assert waiting(tenant) == ["Update"]
    api.delete(f"{path}/{row}").raise_for_status()
    tenant.update_ticket(ids.open_ticket, person=tenant.api_resource_id, title="ours")
    assert waiting(tenant) == ["Update", "Update"]


def test_user_defined_fields_have_ids_of_their_own(tenant: Tenant, api: httpx.Client) -> None:
    """They are the tenant's, and one makes a webhook ready as any field does."""
    tenant.switches.webhook_ready_after = 0
    number = choices(api, "TicketWebhookUdfFields", "udfFieldID")["CC"]
    hook = make(api)
    path = f"/TicketWebhooks/{hook}/UdfFields"
    body = {"udfFieldID": number, "isSubscribedField": False, "isDisplayAlwaysField": True}

    row = api.post(path, json=body).json()["itemId"]
    assert read(api, hook)["isReady"] is False
    api.patch(path, json={"id": row, "isSubscribedField": True}).raise_for_status()

    assert read(api, hook)["isReady"] is True
    assert api.get(f"{path}/{row}").json()["item"]["udfFieldID"] == number


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "long name": ({"name": "n" * 51}, "name must be less than or equal to 50 characters"),
    "no secret": ({"secretKey": None}, "Missing Required Field: secretKey."),
    "same address": ({"webhookUrl": "HTTPS://cc.example/hook"}, "is defined already"),
}


@pytest.mark.parametrize(("change", "text"), REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_be_made_is_refused(
    api: httpx.Client, change: dict[str, Any], text: str
) -> None:
    """500 and the reason; of the same address and event there is one webhook only."""
    make(api)

    answer = api.post("/TicketWebhooks", json=HOOK | {"webhookUrl": "https://x.example/"} | change)

    assert answer.status_code == 500
    assert text in answer.json()["errors"][0]


@pytest.mark.parametrize(("switch", "status"), [("error_500", 500), ("status_403", 403)])
def test_without_the_right_nothing_is_made(
    tenant: Tenant, api: httpx.Client, switch: Any, status: int
) -> None:
    """Both answers that are seen of a missing permission; reading goes on."""
    tenant.switches.webhook_right = switch

    assert api.post("/TicketWebhooks", json=HOOK).status_code == status
    wanted = {"filter": [{"op": "exist", "field": "id"}]}
    assert api.post("/TicketWebhooks/query", json=wanted).json()["items"] == []


def test_a_deleted_one_is_gone_with_its_rows(api: httpx.Client) -> None:
    """Once more it is 500, with the text that clients know."""
    hook = make(api)
    subscribe(api, hook)

    assert api.delete(f"/TicketWebhooks/{hook}").json() == {"itemId": hook}
    again = api.delete(f"/TicketWebhooks/{hook}")

    assert again.status_code == 500
    assert "No matching records found" in again.json()["errors"][0]
    assert api.get(f"/TicketWebhooks/{hook}/Fields").json()["items"] == []
    assert make(api) != hook
