"""Autotask's callouts in: what is verified, what is stored, and what is answered when it is not."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest

from app.db.embedded.server import EmbeddedPostgres
from app.db.tables import CalloutCount, Delivery, Due, TicketRecord
from app.services import Services, open_services
from app.settings.settings import Settings
from app.web import webhooks
from app.web.webhooks import MAX_BODY
from sandbox.callouts import SIGNATURE_HEADER, encode_callout, sign
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.conftest import SECRET
from tests.support.clients import client_of
from tests.support.databases import plain
from tests.support.helpers import rows

URL = "/webhooks/autotask"


@pytest.fixture
def payload(tenant: Tenant, people: Seed) -> dict[str, Any]:
    """What Autotask posts about a new ticket."""
    tenant.subscribe("http://service" + URL, "http://service" + URL, SECRET)
    ticket = tenant.new_ticket(people.alpine, title="Ärger & <Noise>", cc="a@x.example")
    [queue] = [queue for queue in tenant.outbox.queues.values() if queue]
    assert queue[0].payload["Id"] == ticket
    return dict(queue[0].payload)


async def post(api: httpx.AsyncClient, body: bytes, signature: str | None = None) -> httpx.Response:
    """Post a callout, rightly signed unless told otherwise."""
    headers = {SIGNATURE_HEADER: sign(SECRET, body) if signature is None else signature}
    return await api.post(URL, content=body, headers=headers)


async def nothing_is_stored(services: Services) -> bool:
    """Tell that no row tells of a callout."""
    return not any([await rows(services, model) for model in (Delivery, Due, TicketRecord)])


# --- stored and answered -------------------------------------------------------------------------


async def test_a_callout_is_one_delivery_and_one_due_ticket(
    make_services: Callable[..., Any], payload: dict[str, Any]
) -> None:
    """202 says that both rows are committed; of the body only the digest is kept."""
    services = await make_services(settle_seconds=60)
    body = encode_callout(payload)
    async with client_of(services) as api:
        answer = await post(api, body)

    assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
    [delivery], [due] = await rows(services, Delivery), await rows(services, Due)
    assert delivery.entity_id == due.ref == payload["Id"]
    assert (delivery.guid, delivery.sequence_number) == (
        payload["Guid"],
        payload["SequenceNumber"],
    )
    assert delivery.event_time == payload["EventTime"]
    assert delivery.body_sha256 == hashlib.sha256(body).hexdigest()
    assert due.due_at - due.since == timedelta(seconds=60)
    assert [ticket.id for ticket in await rows(services, TicketRecord)] == [payload["Id"]]


async def test_the_same_delivery_again_is_known(
    api: httpx.AsyncClient, services: Services, payload: dict[str, Any]
) -> None:
    """Five at once, byte for byte the same: one is accepted, all are welcome, one look is due."""
    body = encode_callout(payload)
    answers = await asyncio.gather(*(post(api, body) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {202}
    words = sorted(answer.json()["status"] for answer in answers)
    assert words == ["accepted", "known", "known", "known", "known"]
    assert len(await rows(services, Delivery)) == 1
    assert [due.wanted for due in await rows(services, Due)] == [1]


async def test_a_delivery_without_its_marks_is_known_the_second_time(
    api: httpx.AsyncClient, services: Services, payload: dict[str, Any]
) -> None:
    """Fields that are absent are the same as absent ones."""
    for missing in ("Guid", "SequenceNumber", "EventTime"):
        del payload[missing]
    words = [(await post(api, encode_callout(payload))).json()["status"] for _ in range(2)]
    assert words == ["accepted", "known"]
    assert len(await rows(services, Delivery)) == 1


async def test_a_retry_with_a_new_number_is_stored_and_makes_no_second_row(
    api: httpx.AsyncClient, services: Services, payload: dict[str, Any]
) -> None:
    """Autotask may number a retry anew: two deliveries, one due ticket that was wanted twice."""
    await post(api, encode_callout(payload))
    await post(api, encode_callout(payload | {"SequenceNumber": 99}))
    assert len(await rows(services, Delivery)) == 2
    assert [due.wanted for due in await rows(services, Due)] == [2]


SHAPES: tuple[dict[str, Any], ...] = (
    {"Fields": [{"name": "Title", "value": "x"}]},
    {"Fields": None},
    {"PersonID": 7},
    {"Id": "12345"},
    {"Action": "create", "EntityType": "TICKET"},
)


async def test_whatever_the_payload_looks_like_the_ticket_is_due(
    api: httpx.AsyncClient, services: Services, payload: dict[str, Any]
) -> None:
    """Only action, entity and id matter; the ticket itself is read later."""
    for n, change in enumerate(SHAPES):
        body = encode_callout(payload | {"Id": n} | change)
        assert (change, (await post(api, body)).status_code) == (change, 202)
    assert len(await rows(services, Due)) == len(SHAPES)


KINDS: dict[str, dict[str, Any]] = {
    "contact.create": {"EntityType": "Contact"},
    "deactivated": {"Action": "Deactivated"},
    "other.create": {"EntityType": "Somebody's idea"},
    "ticket.delete": {"Action": "Delete", "Fields": {}},
    "ticket.other": {"Action": "Somebody's idea"},
    "ticket.update": {"Action": "Update"},
}


async def test_what_nothing_is_to_be_done_about_is_welcome_and_counted(
    api: httpx.AsyncClient, services: Services, payload: dict[str, Any]
) -> None:
    """An error status would make Autotask try again and, after 25, disable the webhook."""
    for change in [*KINDS.values(), *KINDS.values()]:
        answer = await post(api, encode_callout(payload | change))
        assert (change, answer.is_success) == (change, True)
    counts = {row.kind: row.count for row in await rows(services, CalloutCount)}
    assert counts == dict.fromkeys(KINDS, 2)
    assert await nothing_is_stored(services)


async def test_the_bare_deactivated_message_is_welcome(
    api: httpx.AsyncClient, services: Services
) -> None:
    """It comes to the webhook's own address, too, with an action and a guid alone."""
    answer = await post(api, encode_callout({"Action": "Deactivated", "Guid": "g"}))
    assert answer.is_success
    assert [row.kind for row in await rows(services, CalloutCount)] == ["deactivated"]


async def test_the_deactivated_route_takes_note_and_believes_nothing(
    api: httpx.AsyncClient, services: Services
) -> None:
    """An empty 200 for anybody, with any body."""
    for body in (b"", b"not JSON", b'{"Action":"Create","EntityType":"Ticket","Id":1}'):
        answer = await api.post(URL + "/deactivated", content=body)
        assert (answer.status_code, answer.content) == (200, b"")
    assert [(row.kind, row.count) for row in await rows(services, CalloutCount)] == [
        ("deactivated", 3)
    ]
    assert await nothing_is_stored(services)


# --- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["Create", "Update", "Deactivated"])
async def test_without_the_right_signature_nothing_is_stored(
    api: httpx.AsyncClient, services: Services, payload: dict[str, Any], action: str
) -> None:
    """401 whatever the action says, not even counted."""
    body = encode_callout(payload | {"Action": action})
    forgeries = {
        "absent": None,
        "empty": b"",
        "no digest": b"sha1=",
        "zeros": b"sha1=AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "not base64": b"rubbish",
        "not ASCII": b"sha1=\xe9\xe9",
        "of another secret": sign("another-secret-of-16", body).encode(),
        "of another body": sign(SECRET, body + b" ").encode(),
    }
    statuses = {}
    for name, signature in forgeries.items():
        headers = [] if signature is None else [(SIGNATURE_HEADER.encode(), signature)]
        statuses[name] = (await api.post(URL, content=body, headers=headers)).status_code
    assert statuses == dict.fromkeys(forgeries, 401)
    assert await nothing_is_stored(services)
    assert await rows(services, CalloutCount) == []


async def test_without_a_signature_a_body_is_not_even_parsed(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Malformed JSON of a stranger is 401, not 400, and no parser sees it."""
    monkeypatch.setattr(webhooks, "parse_callout", lambda _: pytest.fail("parsed"))
    answer = await api.post(URL, content=b"{")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


async def test_every_secret_of_the_settings_is_good(
    make_services: Callable[..., Any], payload: dict[str, Any]
) -> None:
    """While a secret is being changed both are in force."""
    secrets = ("the-new-secret-of-16", SECRET)
    services = await make_services(webhook_secrets=secrets)
    body = encode_callout(payload)
    async with client_of(services) as api:
        answers = [await post(api, body, sign(secret, body)) for secret in secrets]
    assert [answer.status_code for answer in answers] == [202, 202]


async def test_without_secrets_the_webhook_is_off(
    make_services: Callable[..., Any], payload: dict[str, Any]
) -> None:
    """Nobody can sign with nothing: 404, and the answer says how to switch it on."""
    services = await make_services(webhook_secrets=())
    body = encode_callout(payload)
    async with client_of(services) as api:
        answer = await post(api, body, sign("", body))
    assert answer.status_code == 404
    assert "WEBHOOK_SECRETS" in answer.json()["detail"]
    assert await nothing_is_stored(services)


NONSENSE = (
    b"{}",
    b"",
    b"[]",
    b"null",
    b"{",
    b'"Create"',
    b"\xff\xfe\xff",
    b"[" * 5000,
    b'{"Action":"Create","EntityType":"Ticket"}',
    b'{"Action":"Create","EntityType":"Ticket","Id":-1}',
    b'{"Action":"Create","EntityType":"Ticket","Id":true}',
    b'{"Action":"Create","EntityType":"Ticket","Id":99999999999999999999}',
    b'{"Action":"Create","Id":1}',
    b'{"Action":{},"EntityType":"Ticket","Id":1}',
)


async def test_what_is_rightly_signed_and_makes_no_sense_is_a_bad_request(
    api: httpx.AsyncClient, services: Services
) -> None:
    """400 with a reason, no row, and never a 500."""
    for body in NONSENSE:
        answer = await post(api, body)
        assert (body, answer.status_code) == (body, 400)
        assert answer.json()["detail"].startswith("The callout cannot be understood: ")
    assert await nothing_is_stored(services)


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_refused(api: httpx.AsyncClient, chunked: bool) -> None:
    """With a Content-Length or without one; one byte less is read, and found to be unsigned."""

    async def chunks(size: int) -> AsyncIterator[bytes]:
        for start in range(0, size, 10_000):
            yield b"x" * min(10_000, size - start)

    for size, status in ((MAX_BODY, 401), (MAX_BODY + 1, 413)):
        content = chunks(size) if chunked else b"x" * size
        assert (await api.post(URL, content=content)).status_code == status


async def test_of_an_endless_body_no_more_than_the_limit_is_read(api: httpx.AsyncClient) -> None:
    """A stranger cannot fill the memory."""
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 65_536
            yield b"x" * 65_536

    async with asyncio.timeout(10):
        assert (await api.post(URL, content=endless())).status_code == 413
    assert read <= MAX_BODY + 2 * 65_536


# --- not stored, and said so ---------------------------------------------------------------------

FAIL_AT_COMMIT = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no commit today'; END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON due
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse();
"""


async def test_a_commit_that_fails_is_never_answered_with_2xx(
    api: httpx.AsyncClient, services: Services, payload: dict[str, Any], database_url: str
) -> None:
    """I1: every statement succeeds and the commit does not; Autotask has to send it again."""
    with psycopg.connect(plain(database_url), autocommit=True) as connection:
        connection.execute(FAIL_AT_COMMIT)

    answer = await post(api, encode_callout(payload))

    assert answer.status_code >= 500
    assert await nothing_is_stored(services)
    with psycopg.connect(plain(database_url), autocommit=True) as connection:
        connection.execute("DROP TRIGGER refuse ON due")
    assert (await post(api, encode_callout(payload))).json() == {"status": "accepted"}


async def test_a_database_that_does_not_answer_is_not_waited_for(
    api: httpx.AsyncClient,
    services: Services,
    payload: dict[str, Any],
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Autotask gives up after ten seconds: it is told 503 before, and nothing is stored after."""
    assert webhooks.STORE_SECONDS < 10
    monkeypatch.setattr(webhooks, "STORE_SECONDS", 0.3)
    with psycopg.connect(plain(database_url)) as connection:
        connection.execute("LOCK TABLE due")
        async with asyncio.timeout(10):
            answer = await post(api, encode_callout(payload))
        assert answer.status_code == 503
        assert "Retry-After" in answer.headers
    assert await nothing_is_stored(services)


async def test_a_stopped_database_is_said_quickly(
    settings: Settings, payload: dict[str, Any]
) -> None:
    """A process that has been serving loses its PostgreSQL: every callout is 503 at once."""
    with EmbeddedPostgres() as own:
        async with open_services(settings, own.url) as services, client_of(services) as api:
            await asyncio.gather(*(api.get("/health/ready") for _ in range(5)))
            await asyncio.to_thread(own.stop, "immediate")
            for _ in range(3):
                began = time.monotonic()
                answer = await post(api, encode_callout(payload))
                assert (answer.status_code, time.monotonic() - began < 3) == (503, True)
                assert "Retry-After" in answer.headers
