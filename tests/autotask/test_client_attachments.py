"""The HTTP client and attachments: what is listed, what is in one, and how much is read of it."""

from __future__ import annotations

import asyncio
import gzip
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest

from app.autotask import calls
from app.autotask.client import Autotask, Credentials
from app.autotask.errors import AutotaskError, Forbidden, Refused, Unanswered
from app.autotask.models import Attachment
from app.autotask.protocol import entity_of
from sandbox import routes
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.clients import Door, answered_by, raw_server

MAIL = b"From: ana.ruiz@alpine-dental.example\r\n\r\n\xff" * 3
LIMIT = 10_000_000
ENTITY = "TicketAttachments"


@asynccontextmanager
async def endless(chunk: bytes) -> AsyncIterator[tuple[str, list[int]]]:
    """Serve an attachment of a gigabyte, of which each chunk that was taken is counted.

    An empty chunk: the answer begins, and nothing follows.
    """
    taken: list[int] = []
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        with suppress(ConnectionError):
            writer.write(b'{"items": [{"id": 7, "data": "')
            while chunk and not writer.is_closing():
                writer.write(chunk)
                await writer.drain()
                taken.append(len(chunk))
            await reader.read()
        left.set()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", taken
        async with asyncio.timeout(5):
            await left.wait()


def answers(answer: object) -> Any:
    """Answer any request so."""
    return answered_by(lambda _: httpx.Response(200, content=json.dumps(answer)))


# --- the list ------------------------------------------------------------------------------------


async def test_attachments_are_listed(
    autotask: Autotask, tenant: Tenant, people: Seed, door: Door
) -> None:
    """What tells whether one is worth reading, and on what it hangs."""
    ticket = people.open_ticket
    number = tenant.attach(
        ticket, "Original", MAIL, content_type="message/rfc822", full_path="mail.eml"
    )
    tenant.attach(ticket, "reply.eml", MAIL, ticketNoteID=9, parentID=9)
    tenant.attach(people.complete_ticket, "other.eml", MAIL)
    first, second = await autotask.attachments(ticket)

    assert (first.id, first.title, first.full_path) == (number, "Original", "mail.eml")
    assert (first.content_type, first.size) == ("message/rfc822", len(MAIL))
    assert (first.of_ticket, second.of_ticket, second.note_id) == (True, False, 9)
    assert (door.entered, door.writes) == ([ENTITY], 0)


async def test_all_pages_of_attachments_are_read(
    autotask: Autotask, tenant: Tenant, people: Seed, door: Door
) -> None:
    """Each page is a GET, as the first was, and a permitted call of its own."""
    for n in range(1_001):
        tenant.attach(people.open_ticket, f"{n}.eml", b"")
    found = await autotask.attachments(people.open_ticket)

    assert [one.title for one in found] == [f"{n}.eml" for n in range(1_001)]
    assert [call.method for call in tenant.calls] == ["GET"] * 3
    assert door.entered == [ENTITY] * 3


@pytest.mark.parametrize(
    ("size", "read"),
    [(12.0, 12), (12, 12), (None, None), ("12", None), (float("inf"), None), (10**400, 10**400)],
)
def test_a_size_is_a_number_or_unknown(size: object, read: int | None) -> None:
    """The contract has a double."""
    assert Attachment.model_validate({"id": 7, "fileSize": size}).size == read


@pytest.mark.parametrize(
    "path", ["/Tickets/7/Attachments", "/Tickets/7/Attachments/8", "/TicketAttachments/query"]
)
def test_child_and_root_paths_of_attachments_are_one_entity(path: str) -> None:
    """The thread limit is per entity, and the double counts it by itself."""
    assert entity_of(path) == routes.entity_of(f"/ATServicesRest/v1.0{path}") == ENTITY


# --- what is in one ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["items", "item"])
async def test_the_data_of_an_attachment_is_read(
    autotask: Autotask, tenant: Tenant, people: Seed, door: Door, shape: Any
) -> None:
    """Clients report both shapes of the answer."""
    tenant.switches.attachment_answer = shape
    number = tenant.attach(people.open_ticket, "mail.eml", MAIL)

    assert await autotask.attachment_data(people.open_ticket, number, LIMIT) == MAIL
    assert (door.entered, door.inside) == ([ENTITY], 0)


@pytest.mark.parametrize("missing", ["null", "404"])
@pytest.mark.parametrize("shape", ["items", "item"])
async def test_what_is_gone_is_none(
    autotask: Autotask, tenant: Tenant, people: Seed, shape: Any, missing: Any
) -> None:
    """Deleted, or another ticket's, however Autotask says so."""
    tenant.switches.attachment_answer, tenant.switches.missing_item = shape, missing
    other = tenant.attach(people.complete_ticket, "mail.eml", MAIL)

    assert await autotask.attachment_data(people.open_ticket, 7, LIMIT) is None
    assert await autotask.attachment_data(people.open_ticket, other, LIMIT) is None


async def test_a_404_of_everything_does_not_make_it_gone() -> None:
    """A wrong address, a proxy."""
    async with answered_by(lambda _: httpx.Response(404)) as autotask:
        with pytest.raises(Unanswered):
            await autotask.attachment_data(5, 7, LIMIT)


async def test_a_404_of_what_the_query_finds_does_not_make_it_gone() -> None:
    """It is unknown which of the two is right: try later."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(404)
        return httpx.Response(200, json={"items": [{"id": 7}], "pageDetails": {}})

    async with answered_by(answer) as autotask:
        with pytest.raises(Unanswered):
            await autotask.attachment_data(5, 7, LIMIT)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("forbidden"), Forbidden),
        (Fault("error_500_errors", text="No, thanks."), Refused),
        (Fault("reset_before"), Unanswered),
        (Fault("garbage"), Unanswered),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else None,
)
async def test_a_failure_is_not_taken_for_its_absence(
    autotask: Autotask, tenant: Tenant, door: Door, fault: Fault, expected: type[AutotaskError]
) -> None:
    """It may be there, and be read at another time."""
    tenant.faults.add(fault)
    with pytest.raises(expected, match="GET TicketAttachments"):
        await autotask.attachment_data(5, 7, LIMIT)
    assert door.inside == 0


@pytest.mark.parametrize("data", ["****", "QUJ", "QU=JD", "é", "\ud800", None])
async def test_what_is_no_base64_is_none(data: str | None) -> None:
    """It will not become readable by asking again."""
    async with answers({"items": [{"id": 7, "data": data}]}) as autotask:
        assert await autotask.attachment_data(5, 7, LIMIT) is None


async def test_base64_may_have_lines() -> None:
    """As MIME writes it."""
    async with answers({"items": [{"id": 7, "data": "QUJD\r\nREVG\r\n"}]}) as autotask:
        assert await autotask.attachment_data(5, 7, LIMIT) == b"ABCDEF"


@pytest.mark.parametrize("shape", ["items", "item"])
async def test_the_data_of_another_attachment_is_not_taken_for_it(shape: str) -> None:
    """Another's Cc list would go on the ticket."""
    other = {"id": 8, "data": "QUJD"}
    async with answers({shape: [other] if shape == "items" else other}) as autotask:
        assert await autotask.attachment_data(5, 7, LIMIT) is None


@pytest.mark.parametrize(
    "answer", [{}, {"items": None}, {"items": [None]}, {"item": 5}, {"item": {"data": "QUJD"}}]
)
async def test_an_attachment_of_another_shape_is_no_answer(answer: object) -> None:
    """Neither there nor gone."""
    async with answers(answer) as autotask:
        with pytest.raises(Unanswered):
            await autotask.attachment_data(5, 7, LIMIT)


# --- how much of it is read ----------------------------------------------------------------------


@pytest.mark.parametrize(("more", "read"), [(0, True), (1, False), (1_000_000, False)])
async def test_the_limit_is_one_of_the_file(
    autotask: Autotask, tenant: Tenant, people: Seed, door: Door, more: int, read: bool
) -> None:
    """Not of its base64; the next call is none the worse for what was given up."""
    data = b"x" * (300_000 + more)
    number = tenant.attach(people.open_ticket, "mail.eml", data)
    found = await autotask.attachment_data(people.open_ticket, number, 300_000)

    assert found == (data if read else None)
    assert door.inside == 0
    assert await autotask.ticket(people.open_ticket)


async def test_what_is_too_large_is_not_read_to_its_end(
    http: httpx.AsyncClient, credentials: Credentials
) -> None:
    """Of a gigabyte, little more than the limit and what the two ends of the connection hold."""
    async with endless(b"QUJD" * 16_384) as (url, taken):
        autotask = Autotask(http, url, credentials, Door())
        assert await autotask.attachment_data(5, 7, 100_000) is None
    assert sum(taken) < 50_000_000


async def test_the_time_is_bounded_while_the_body_comes(
    http: httpx.AsyncClient, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slot is held no longer than for any other call."""
    monkeypatch.setattr(calls, "REQUEST_SECONDS", 0.2)
    door = Door()
    async with endless(b"") as (url, _):
        with pytest.raises(Unanswered):
            await Autotask(http, url, credentials, door).attachment_data(5, 7, LIMIT)
    assert door.inside == 0


async def test_a_body_that_is_cut_off_is_no_answer(
    http: httpx.AsyncClient, credentials: Credentials
) -> None:
    """Half an attachment is none."""
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"items": []}'
    async with raw_server(answer) as (url, _):
        with pytest.raises(Unanswered):
            await Autotask(http, url, credentials, Door()).attachment_data(5, 7, LIMIT)


async def test_a_compressed_answer_is_neither_wanted_nor_read(
    http: httpx.AsyncClient, credentials: Credentials
) -> None:
    """A few bytes of it can become gigabytes, after they were counted."""
    body = gzip.compress(json.dumps({"items": [{"id": 7, "data": "A" * 10_000_000}]}).encode())
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    async with raw_server(head.encode() + body) as (url, asked):
        with pytest.raises(Unanswered, match="compressed"):
            await Autotask(http, url, credentials, Door()).attachment_data(5, 7, LIMIT)
    assert b"accept-encoding: identity" in asked[0].lower()


async def test_what_json_makes_longer_is_within_the_limit() -> None:
    """Escapes and line ends in a file that is just as large as it may be."""
    data = bytes(range(256)) * 4_000
    text = b64encode(data).decode()
    lines = "\r\n".join(text[i : i + 76] for i in range(0, len(text), 76))
    body = json.dumps({"items": [{"id": 7, "data": lines}]}).replace("/", "\\/")
    async with answered_by(lambda _: httpx.Response(200, content=body)) as autotask:
        assert await autotask.attachment_data(5, 7, len(data)) == data
