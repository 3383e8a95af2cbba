"""Who is not a customer: the help desk itself, as settings and Autotask tell."""

from __future__ import annotations

from app.autotask.client import Autotask
from app.decide import Us
from app.desk import Desk


async def who_is_us(desk: Desk, autotask: Autotask) -> Us:
    """Gather who is not a customer."""
    technicians = await desk.directory.technicians(autotask)
    domains = await desk.directory.own_domains(autotask)
    settings = desk.settings
    return Us(
        addresses=settings.our_addresses,
        domains=frozenset(settings.own_domains) | domains,
        technicians=technicians,
    )
