"""Accounts and their policies over HTTP: what is in effect, where it comes from, who changed it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from app.db.tables import AccountPolicy, Audit, Mapping, TicketRecord
from app.decide.policy import PolicyDocument
from app.services import Services
from app.web.app import create_app
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.support.helpers import look_at, outcomes, rows

ALPINE = 174
POLICY = f"/admin/accounts/{ALPINE}/policy"
NINA = "nina@radiology.example"
Headers = dict[str, str]


async def errors(api: httpx.AsyncClient, headers: Headers, body: Any) -> list[str]:
    """Put a policy that is refused, and give the errors."""
    answer = await api.put(POLICY, json=body, headers=headers)
    assert answer.status_code == 422
    return list(answer.json()["errors"])


async def test_an_account_without_a_policy_follows_the_default(
    make_services: Callable[..., Any], reader: Headers
) -> None:
    """Every field is shown, with where it comes from."""
    default = PolicyDocument.model_validate({"preset": "guarded", "max_new_per_ticket": 3})
    services = await make_services(default_policy=default)
    transport = httpx.ASGITransport(create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as api:
        shown = (await api.get(POLICY, headers=reader)).json()
    assert shown["own"] is shown["changed_at"] is shown["changed_by"] is None
    assert (shown["policy"]["outside"], shown["policy"]["max_new_per_ticket"]) == ("hold", 3)
    assert shown["policy"].keys() == shown["origins"].keys()
    assert shown["origins"]["outside"] == "default preset"
    assert shown["origins"]["max_new_per_ticket"] == "default"
    assert shown["origins"]["act"] == "built-in"


async def test_a_policy_of_its_own_is_shown_with_who_wrote_it(
    api: httpx.AsyncClient, reader: Headers, writer: Headers
) -> None:
    """PUT answers what GET shows: in effect, as it was set, when and by which key."""
    body = {"preset": "guarded", "outside": "create", "allowed": ["@Radiology.example"]}
    put = await api.put(POLICY, json=body, headers=writer)
    shown = (await api.get(POLICY, headers=reader)).json()
    assert (put.status_code, put.json()) == (200, shown)
    assert shown["own"] == body | {"allowed": ["radiology.example"]}
    assert shown["origins"]["inside"] == "account preset"
    assert shown["origins"]["outside"] == "account"
    assert shown["origins"]["grace_days"] == "built-in"
    assert (shown["changed_by"], shown["changed_at"] is None) == ("writer", False)


async def test_a_put_takes_the_place_of_the_whole_policy(
    api: httpx.AsyncClient, services: Services, writer: Headers
) -> None:
    """What is left out is inherited again; the audit has the old and the new document."""
    await api.put(POLICY, json={"outside": "hold", "grace_days": 1}, headers=writer)
    shown = (await api.put(POLICY, json={"outside": "ignore"}, headers=writer)).json()
    assert shown["own"] == {"outside": "ignore"}
    assert shown["policy"]["grace_days"] == 7
    first, second = await rows(services, Audit)
    assert (first.what, first.who, first.account_id) == ("policy_set", "writer", ALPINE)
    assert first.detail == {"old": None, "new": {"outside": "hold", "grace_days": 1}}
    assert second.detail["old"] == first.detail["new"]


async def test_a_deleted_policy_leaves_the_default(
    api: httpx.AsyncClient, services: Services, writer: Headers
) -> None:
    """204, then 404; the audit keeps what it was."""
    await api.put(POLICY, json={"preset": "off"}, headers=writer)
    assert (await api.delete(POLICY, headers=writer)).status_code == 204
    shown = (await api.get(POLICY, headers=writer)).json()
    assert (shown["policy"]["off"], shown["own"]) == (False, None)
    again = await api.delete(POLICY, headers=writer)
    assert (again.status_code, "follows the default" in again.json()["detail"]) == (404, True)
    assert [row.what for row in await rows(services, Audit)] == ["policy_set", "policy_deleted"]
    assert (await rows(services, Audit))[-1].detail == {"old": {"preset": "off"}}


async def test_the_next_ticket_follows_the_policy(
    api: httpx.AsyncClient, services: Services, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """No restart: what is put counts for the next look."""
    await api.put(POLICY, json={"outside": "hold"}, headers=writer)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, ticket)
    assert await outcomes(services, ticket) == {NINA: ("outside", "held")}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"preset": "openn"}, "body.preset: Input should be 'open', 'guarded'"),
        ({"outside": "link"}, "body.outside: "),
        ({"own_domains": ["x@evil.example"]}, "body.own_domains.0: is an address;"),
        ({"allowed": ["a.example", "evil evil"]}, "body.allowed.1: is neither an e-mail address"),
        ({"denied": "evil.example"}, "body.denied: "),
        ({"max_new_per_ticket": 31}, "body.max_new_per_ticket: "),
        ({"grace_days": -1}, "body.grace_days: "),
        ({"act": "dry"}, "body.act: "),
        ({"lifetime": {"inside": "a month"}}, "body.lifetime.inside: "),
        ({"outsid": "hold"}, "body.outsid: Extra inputs"),
        ({"x@evil.example": "hold"}, "body: Extra inputs"),
        ({"allowed": [f"d{n}.example" for n in range(1001)]}, "body.allowed: "),
    ],
)
async def test_an_error_names_the_field_and_not_what_stood_there(
    api: httpx.AsyncClient, services: Services, writer: Headers, body: Any, named: str
) -> None:
    """422; nothing is stored."""
    [error] = await errors(api, writer, body)
    assert error.startswith(named)
    assert "evil" not in error
    assert await rows(services, AccountPolicy) == []


async def test_what_is_allowed_and_denied_at_once_is_named(
    api: httpx.AsyncClient, writer: Headers
) -> None:
    """However either is spelled."""
    body = {
        "allowed": ["Nina@radiology.example", "b.example"],
        "denied": ["@B.example", "c.example"],
    }
    assert await errors(api, writer, body) == ["body.denied: b.example is in allowed, too"]


async def test_all_errors_of_a_body_come_at_once(api: httpx.AsyncClient, writer: Headers) -> None:
    """One line each."""
    assert len(await errors(api, writer, {"inside": "x", "outside": "y", "grace_days": "z"})) == 3


async def test_the_accounts_are_listed_with_what_is_known_of_them(
    api: httpx.AsyncClient, services: Services, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """From tickets, mappings or policies; a page at a time, without gaps."""
    await api.put(POLICY, json={"outside": "hold"}, headers=writer)
    for _ in range(2):
        await look_at(
            services, tenant.new_ticket(people.alpine, cc=f"{NINA}, bruno.keller@mail.test")
        )
    await api.put("/admin/accounts/900/policy", json={}, headers=writer)
    async with services.sessions() as session, session.begin():
        session.add(TicketRecord(id=1))  # not read yet
        mapping = {"contact_id": 1, "origin": "manual", "verified_at": datetime.now(UTC)}
        session.add(Mapping(account_id=500, email=NINA, **mapping))
    found, cursor = [], None
    while True:
        query = {"limit": "1"} | ({"cursor": cursor} if cursor else {})
        page = (await api.get("/admin/accounts", params=query, headers=writer)).json()
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    names = ("account_id", "tickets", "mappings", "held", "own_policy")
    assert [tuple(one[name] for name in names) for one in found] == [
        (ALPINE, 2, 1, 2, True),
        (500, 0, 1, 0, False),
        (900, 0, 0, 0, True),
    ]
