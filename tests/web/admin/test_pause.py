"""A pause under load: nothing is written after its answer, nothing is lost, nothing done twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from app.db.states import LedgerState
from app.db.tables import Ledger, LinkRecord, Note
from app.outbound.gate import pause
from app.services import Services
from app.worker.loop import Worker
from sandbox.callouts import SIGNATURE_HEADER, encode_callout, sign
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.conftest import SECRET
from tests.support.helpers import changes, look_at, result_of, rows, want

pytestmark = pytest.mark.wait

Headers = dict[str, str]


@asynccontextmanager
async def working(*all_services: Services) -> AsyncIterator[None]:
    """Let a worker work at each process."""
    workers = [Worker(services) for services in all_services]
    running = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield
    finally:
        for worker in workers:
            worker.stop()
        await asyncio.gather(*running)


async def until(condition: Callable[[], bool], seconds: float = 40.0) -> None:
    """Wait for a condition; bounded."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def test_no_write_after_the_answer_and_after_the_pause_all_are_done_once(
    make_services: Callable[..., Any],
    api: httpx.AsyncClient,
    services: Services,
    server: SandboxServer,
    tenant: Tenant,
    people: Seed,
    writer: Headers,
) -> None:
    """A hundred tickets on three desks; one create is slow, one link gets no answer."""
    emails = [f"person{n}@alpine-dental.example" for n in range(100)]
    tickets = [tenant.new_ticket(people.alpine, cc=email, callout=False) for email in emails]
    tenant.faults.latency = (0.0, 0.06)
    tenant.faults.add(
        Fault("hang_after", method="POST", path_contains="/174/Contacts", after=20, seconds=1.0),
        Fault("reset_after", method="POST", path_contains="AdditionalContacts", after=15),
    )
    await want(services, *tickets)

    async with working(services, await make_services(), await make_services()):
        await until(lambda: len(changes(server)) > 45)
        answer = await api.put("/admin/pause", json={"paused": True}, headers=writer)
        before = len(changes(server))
        assert (answer.status_code, answer.json()["writing"]) == (200, 0)

        late = await post_callout(api, tenant, people)
        await asyncio.sleep(2.5)
        assert len(changes(server)) == before
        assert await result_of(services, late) is None
        assert before < 200  # it was in the middle

        await api.put("/admin/pause", json={"paused": False}, headers=writer)
        for ticket in (*tickets, late):
            await until_done(services, ticket)

    for ticket, email in zip(tickets, emails, strict=True):
        [contact] = tenant.contacts_with(email)
        assert tenant.linked_contacts(ticket) == [contact["id"]]
    assert tenant.linked_contacts(late) == [people.bruno]
    created = [
        row.email for row in await rows(services, Ledger) if row.state == LedgerState.CREATED
    ]
    assert sorted(created) == sorted(emails)


async def post_callout(api: httpx.AsyncClient, tenant: Tenant, people: Seed) -> int:
    """Post the callout of a new ticket, as Autotask does, and name the ticket."""
    tenant.subscribe("http://127.0.0.1:9/x", "http://127.0.0.1:9/x", SECRET)
    ticket = tenant.new_ticket(people.alpine, cc="bruno.keller@mail.test")
    [queue] = [queue for queue in tenant.outbox.queues.values() if queue]
    body = encode_callout(queue[0].payload)
    headers = {SIGNATURE_HEADER: sign(SECRET, body)}
    answer = await api.post("/webhooks/autotask", content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
    return ticket


async def until_done(services: Services, ticket: int, seconds: float = 120.0) -> None:
    """Wait until a ticket is done; bounded."""
    async with asyncio.timeout(seconds):
        while await result_of(services, ticket) != "done":
            await asyncio.sleep(0.05)


async def test_a_pause_holds_in_every_process_at_once(
    make_services: Callable[..., Any], services: Services, tenant: Tenant, people: Seed
) -> None:
    """It stands in the database: a desk that is opened later keeps to it, too."""
    async with services.sessions() as session, session.begin():
        assert await pause(session, "somebody")
    ticket = tenant.new_ticket(people.alpine, cc="x@alpine-dental.example", callout=False)
    await want(services, ticket)
    async with working(await make_services()):
        await asyncio.sleep(1.0)
        assert tenant.calls == []
        async with services.sessions() as session, session.begin():
            assert await pause(session, None)
        await until_done(services, ticket)


@pytest.mark.parametrize(
    ("entity", "path"),
    [
        (Ledger, "/174/Contacts"),
        (LinkRecord, "AdditionalContacts"),
        (Note, "/Notes"),
    ],
    ids=["create", "link", "note"],
)
async def test_a_write_without_an_answer_is_counted_for_as_long_as_it_can_take_effect(
    make_services: Callable[..., Any],
    api: httpx.AsyncClient,
    tenant: Tenant,
    people: Seed,
    writer: Headers,
    entity: Any,
    path: str,
) -> None:
    """None is on its way, and yet the answer does not say that nothing will change any more."""
    services: Services = await make_services(ticket_note="internal", ticket_note_publish=2)
    tenant.faults.add(Fault("reset_before", method="POST", path_contains=path, times=None))
    ticket = tenant.new_ticket(people.alpine, cc="new@alpine-dental.example", callout=False)
    while not any(path in call.path for call in tenant.calls if call.method == "POST"):
        assert await look_at(services, ticket) is None  # on a busy machine a reading may be too old

    shown = (await api.put("/admin/pause", json={"paused": True}, headers=writer)).json()

    assert (shown["writing"], shown["unsure"]) == (0, 1)
    assert "1 sent earlier got no answer" in shown["detail"]
    async with services.sessions() as session, session.begin():
        await session.execute(
            update(entity).values(sent_at=entity.sent_at - services.create_settle)
        )
    later = (await api.get("/admin/pause", headers=writer)).json()
    assert later["unsure"] == 0
    assert "no answer" not in later["detail"]


async def test_a_write_that_took_effect_is_not_unsure(
    api: httpx.AsyncClient, services: Services, tenant: Tenant, people: Seed, reader: Headers
) -> None:
    """Also one whose answer was lost, once a look has seen what it did."""
    tenant.faults.add(Fault("reset_after", method="POST", path_contains="AdditionalContacts"))
    ticket = tenant.new_ticket(people.alpine, cc="new@alpine-dental.example", callout=False)
    assert await look_at(services, ticket) is None
    assert (await api.get("/admin/pause", headers=reader)).json()["unsure"] == 1
    assert await look_at(services, ticket) == "done"
    assert (await api.get("/admin/pause", headers=reader)).json()["unsure"] == 0
