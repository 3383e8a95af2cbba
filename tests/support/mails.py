"""A mail that Ana wrote, as each source has it, and what tests ask about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.db.tables import Look, TicketRecord
from app.services import Services
from sandbox.server import SandboxServer
from tests.support.helpers import mailbox_of, rows

ANA = "Ana Ruiz <ana.ruiz@alpine-dental.example>"
BRUNO = "bruno.keller@alpine-dental.example"
NINA = "nina@radiology.example"
SUBJECT = "Kein Bild am Röntgengerät & >255"
BLOCK = f"""\
From: {ANA}
Sent: Monday, 23 November 2026 09:12
To: Help Desk <help@northwind-msp.example>
Cc: Bruno Keller <{BRUNO}>; "Osei, Nina" <{NINA}>
Subject: {SUBJECT}

Good morning, it does not work.
"""
BOTH = {BRUNO: ("known", "linked"), NINA: ("outside", "created_and_linked")}


def eml(cc: str | None = f"{BRUNO}, Nina <{NINA}>", sender: str = ANA, more: str = "") -> bytes:
    """Write a mail file."""
    copied = f"Cc: {cc}\r\n" if cc is not None else ""
    head = f"From: {sender}\r\nTo: help@northwind-msp.example\r\n{copied}Subject: {SUBJECT}\r\n"
    return f"{head}{more}\r\nGood morning.\r\n".encode()


async def reading_everything(make_services: Callable[..., Any], server: SandboxServer) -> Services:
    """Make services that know all sources."""
    sources = ("udf:CC", "mailbox", "description", "eml")
    services: Services = await make_services(cc_sources=sources, **mailbox_of(server))
    return services


async def record_of(services: Services, ticket: int) -> TicketRecord:
    """Return a ticket's record."""
    [record] = [one for one in await rows(services, TicketRecord) if one.id == ticket]
    assert isinstance(record, TicketRecord)
    return record


async def source_of(services: Services) -> str | None:
    """Return where the last look found its list."""
    source: str | None = (await rows(services, Look))[-1].source
    return source
