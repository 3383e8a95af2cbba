"""With WEBHOOK_UPDATES our webhook tells of changes, too: made, judged and mended accordingly."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest

from app.autotask.models import Choice
from app.db.states import Chore
from app.ops.doctor import Finding, State, examine
from app.ops.webhook import install
from app.ops.webhook.compare import choose_changes
from app.services import Services
from app.settings.settings import Settings
from sandbox import webhook_writes
from sandbox.model import Entity
from sandbox.outbox import Action, Subscription
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from sandbox.webhook_model import FIELDS, UDF_FIELDS
from tests.ops.webhook.test_install import PUBLIC, MakeServices, id_of, is_whole, only, wrong
from tests.ops.webhook.test_read_back import due, read_back
from tests.support.helpers import changes

CREATES: frozenset[Action] = frozenset({"Create"})
BOTH: frozenset[Action] = frozenset({"Create", "Update"})


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch, tenant: Tenant) -> None:
    """Let a webhook be ready as soon as it is asked."""
    tenant.switches.webhook_ready_after = 0
    module = importlib.import_module("app.ops.webhook.install")
    monkeypatch.setattr(module, "_READY_POLL", (0.02,))


@pytest.fixture
async def services(make_services: MakeServices) -> Services:
    """The parts of a process that wants to hear of changes."""
    made: Services = await make_services(public_url=PUBLIC, webhook_updates=True)
    return made


@pytest.fixture
async def plain(make_services: MakeServices) -> Services:
    """The parts of one that does not."""
    made: Services = await make_services(public_url=PUBLIC)
    return made


def subscribed(tenant: Tenant) -> set[int]:
    """Give the ids of all fields whose changes are called out."""
    hook = only(tenant)
    return {row["fieldID"] for row in hook.fields.values() if row["isSubscribedField"]} | {
        row["udfFieldID"] for row in hook.udf_fields.values() if row["isSubscribedField"]
    }


def all_fields(tenant: Tenant) -> set[int]:
    """Give the ids of those that should be."""
    names = ("Ticket Number", "Status", "Company ID")
    fields = {id_of(tenant, FIELDS, name) for name in names}
    return fields | {id_of(tenant, UDF_FIELDS, "CC")}


def tells_all(tenant: Tenant) -> bool:
    """Tell whether the one webhook that there is tells of new tickets and of changes."""
    hook = only(tenant)
    return (hook.active, hook.actions, subscribed(tenant)) == (True, BOTH, all_fields(tenant))


async def test_install_subscribes_to_changes_of_status_and_company(
    services: Services, tenant: Tenant
) -> None:
    """And to those of the lists; not to deletions."""
    report = await install.install(services)

    assert wrong(report) == []
    assert tells_all(tenant)
    shown = {line.what: line.there for line in report.lines}
    assert shown["events"] == "create, update"
    assert (shown["field Status"], shown["field Company ID"]) == ("subscribed", "subscribed")


async def test_install_again_changes_nothing(
    services: Services, tenant: Tenant, server: SandboxServer
) -> None:
    """All is found as it should be, and nothing is written."""
    await install.install(services)
    tenant.forget_calls()

    assert wrong(await install.install(services)) == []
    assert changes(server) == []


async def test_without_the_setting_nothing_is_asked_for(plain: Services, tenant: Tenant) -> None:
    """New tickets alone, and the ticket number."""
    report = await install.install(plain)

    assert wrong(report) == []
    assert is_whole(tenant)
    assert "changes of tickets" not in {line.what for line in report.lines}


def remove_field(label: str) -> Callable[[Tenant, Subscription], Any]:
    """Take a field off the webhook."""

    def damage(tenant: Tenant, hook: Subscription) -> None:
        number = id_of(tenant, FIELDS, label)
        [row] = [key for key, row in hook.fields.items() if row["fieldID"] == number]
        del hook.fields[row]

    return damage


def mute_field(tenant: Tenant, hook: Subscription) -> None:
    """Have the status shown with other changes, and its own called out no more."""
    number = id_of(tenant, FIELDS, "Status")
    for row in hook.fields.values():
        if row["fieldID"] == number:
            row["isSubscribedField"] = False


BROKEN: dict[str, tuple[list[str], Callable[[Tenant, Subscription], Any]]] = {
    "no updates": (["updates"], lambda _, hook: setattr(hook, "actions", CREATES)),
    "updates alone": (["events"], lambda _, hook: setattr(hook, "actions", frozenset({"Update"}))),
    "nothing": (["events", "updates"], lambda _, hook: setattr(hook, "actions", frozenset())),
    "deletions": (["noise"], lambda _, hook: setattr(hook, "actions", BOTH | {"Delete"})),
    "status": (["field"], remove_field("Status")),
    "company": (["field"], remove_field("Company ID")),
    "muted": (["field"], mute_field),
}


@pytest.mark.parametrize(("codes", "damage"), BROKEN.values(), ids=list(BROKEN))
async def test_status_names_what_differs_and_install_mends_it(
    services: Services,
    tenant: Tenant,
    server: SandboxServer,
    codes: list[str],
    damage: Callable[[Tenant, Subscription], Any],
) -> None:
    """Status writes nothing; after install all is well again."""
    await install.install(services)
    damage(tenant, only(tenant))
    tenant.forget_calls()

    assert wrong(await install.status(services)) == codes
    assert changes(server) == []

    assert wrong(await install.install(services)) == []
    assert tells_all(tenant)


async def test_the_setting_can_be_switched_on_and_off(
    services: Services, plain: Services, tenant: Tenant
) -> None:
    """On, the changes are missing; off, they are noise. Fields that are left over do no harm."""
    await install.install(plain)
    assert wrong(await install.status(services)) == ["updates", "field", "field"]
    assert wrong(await install.install(services)) == []
    assert tells_all(tenant)

    assert wrong(await install.status(plain)) == ["noise"]
    assert wrong(await install.install(plain)) == []
    assert only(tenant).actions == CREATES


async def test_the_read_back_tells_it_and_mends_it_where_that_is_wanted(
    services: Services, make_services: MakeServices, tenant: Tenant
) -> None:
    """New tickets are still called out: reconciliation keeps its time."""
    await install.install(services)
    only(tenant).actions = CREATES

    found = await read_back(services)
    assert found
    assert found.code == "updates"
    assert "autotask-cc webhook install" in found.cure
    assert await due(services, Chore.RECONCILE) is None

    repairing = await make_services(public_url=PUBLIC, webhook_updates=True, webhook_repair=True)
    assert await read_back(repairing) is None
    assert tells_all(tenant)


# --- how the fields are called -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "what"),
    [
        ("Status", "status"),
        ("status", "status"),
        ("STATUS ID", "status"),
        ("companyID", "company"),
        ("Company ID", "company"),
        ("Company", "company"),
        ("Account", "company"),
        ("AccountID", "company"),
        ("Account Name", "company"),
        ("Organization", "company"),
        ("Organisation", "company"),
        ("Client", "company"),
    ],
)
def test_whatever_a_field_is_called_it_is_found(label: str, what: str) -> None:
    """Nobody has published it; others that are named alike are left alone."""
    others = ("Company Location ID", "Account Manager", "Sub-Status", "Last Status Change", "Title")
    labels = (*others, label, "Contact ID")
    choices = [Choice(value=number, label=one) for number, one in enumerate(labels)]

    found, absent = choose_changes(choices)

    assert [one.label for one in found] == [label]
    assert absent == tuple(one for one in ("status", "company") if one != what)


def test_one_that_is_inactive_is_not_chosen() -> None:
    """It is for no new webhook; of two alike the first is taken, and the id before the name."""
    labels = [("Status", False), ("status", True), ("Account Name", True), ("Account", True)]
    choices = [Choice(value=n, label=one, isActive=on) for n, (one, on) in enumerate(labels)]
    assert [one.value for one in choose_changes(choices)[0]] == [1, 3]


@pytest.fixture
def no_company(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an Autotask that lets no webhook subscribe to the company."""
    choices = webhook_writes.field_choices

    def fewer(tenant: Tenant, entity: Entity) -> list[tuple[int, str]]:
        return [one for one in choices(tenant, entity) if one[1] != "Company ID"]

    monkeypatch.setattr(webhook_writes, "field_choices", fewer)


@pytest.mark.usefixtures("no_company")
async def test_a_field_that_is_not_offered_is_left_out_and_said(
    services: Services, settings: Settings, people: Seed
) -> None:
    """It is no reason to go without the other one; the doctor warns of it."""
    report = await install.install(services)

    assert wrong(report) == []
    [there] = [line.there for line in report.lines if line.what == "field company"]
    assert there.startswith("left out: ")
    found = await examined(settings, webhook_updates=True)
    assert found["webhook"].state == State.OK
    assert found["webhook_absent"].state == State.WARNING
    assert "company" in found["webhook_absent"].found
    assert "webhook_absent" not in await examined(settings)


async def examined(settings: Settings, **others: Any) -> dict[str, Finding]:
    """Have the doctor look at the deployment."""
    changed = settings.model_copy(update={"public_url": PUBLIC} | others)
    assert changed.database_url
    return {one.code: one async for one in examine(changed, changed.database_url)}


async def test_the_doctor_judges_by_the_setting(
    plain: Services, settings: Settings, people: Seed
) -> None:
    """What is right without changes lacks them with the setting."""
    await install.install(plain)

    assert (await examined(settings))["webhook"].state == State.OK
    found = await examined(settings, webhook_updates=True)
    assert found["webhook_updates"].state == State.PROBLEM
    assert "autotask-cc webhook install" in found["webhook_updates"].cure
