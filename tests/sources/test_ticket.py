"""Lists whose end is missing: the last entry of a field that is full is never believed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.services import Services
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import look_at, outcomes, people_of
from tests.support.mails import ANA, BRUNO, SUBJECT, reading_everything, record_of

LAST = "zoe@elsewhere.co"  # what is left of zoe@elsewhere.com
CUT = "the text was cut off, so the list may go on"


def filled(length: int, last: str = LAST, between: str = "; ", start: str = "") -> str:
    """Give a list of so many characters: Bruno, machines as long as is needed, and the last one."""
    machine = '"{}" <no-reply@elsewhere.example>'
    middle: list[str] = []
    room = length - len(f"{start}{BRUNO}{between}{last}")
    while room > 0:
        take = room if room <= 180 else 90
        middle.append(machine.format("x" * (take - len(machine) + 2 - len(between))))
        room -= take
    text = start + between.join([BRUNO, *middle, last])
    assert len(text) == length
    return text


@pytest.fixture
async def services(
    make_services: Callable[..., Any], server: SandboxServer, people: Seed
) -> Services:
    """A process that knows all sources."""
    return await reading_everything(make_services, server)


@pytest.mark.parametrize(
    ("text", "told", "whole"),
    [
        pytest.param(filled(255), 8_000, False, id="a single line"),
        pytest.param(filled(8_000), 8_000, False, id="several lines"),
        pytest.param(filled(500), 500, False, id="as Autotask tells"),
        pytest.param(filled(254), 255, False, id="a space was trimmed"),
        pytest.param(filled(252, between="\n"), 255, False, id="a line end counts as two"),
        pytest.param(filled(255, between="\n").replace("\n", "\r\n"), 255, False, id="or as one"),
        pytest.param(filled(255, last=f"{LAST}m"), 8_000, False, id="it may be whole all the same"),
        pytest.param(filled(500), 8_000, True, id="with room left"),
        pytest.param(filled(240), None, True, id="not told"),
        pytest.param(filled(300), 255, True, id="longer than told"),
    ],
)
async def test_the_last_of_a_full_field_is_not_believed(
    services: Services, tenant: Tenant, people: Seed, text: str, told: int | None, whole: bool
) -> None:
    """She is shown as cut off, the others are added, and the ticket says that the list goes on."""
    tenant.told = {"Tickets": {"CC": {"length": told}}}
    ticket = tenant.new_ticket(people.alpine, cc=text)
    await look_at(services, ticket)
    found = await people_of(services, ticket)
    assert found[BRUNO].outcome == "linked"
    last = text.rpartition("\n")[2].rpartition("; ")[2]
    assert (found[last].detail, found[last].outcome) == (
        (None, "created_and_linked") if whole else ("cut_off", "ignored")
    )
    assert (CUT in str((await record_of(services, ticket)).note)) is not whole
    assert bool(tenant.contacts_with(last)) is whole


async def test_a_list_that_ends_with_its_separator_is_whole_as_far_as_it_goes(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Nobody in it is cut, but there may be more of them."""
    text = filled(254) + ";"
    ticket = tenant.new_ticket(people.alpine, cc=text)
    await look_at(services, ticket)
    assert (await outcomes(services, ticket))[LAST] == ("outside", "created_and_linked")
    assert CUT in str((await record_of(services, ticket)).note)


@pytest.mark.parametrize("fault", ["error_500", "garbage", "error_500_errors"])
async def test_lengths_that_cannot_be_read_keep_nobody_waiting(
    services: Services, tenant: Tenant, people: Seed, fault: Any
) -> None:
    """The usual ones are known."""
    tenant.faults.add(Fault(fault, path_contains="Tickets/entityInformation/u", times=None))
    ticket = tenant.new_ticket(people.alpine, cc=filled(255))
    await look_at(services, ticket)
    assert (await outcomes(services, ticket))[LAST] == ("invalid", "ignored")


async def test_a_description_is_as_long_as_autotask_tells(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Where it is shorter than usual, or mail processing cuts earlier."""
    tenant.told = {"Tickets": {"description": {"length": 2_000}}}
    block = f"From: {ANA}\nSubject: {SUBJECT}\n"
    ticket = tenant.new_ticket(
        people.alpine,
        contact_id=people.ana,
        title=SUBJECT,
        description=filled(2_000, start=f"{block}Cc: "),
    )
    await look_at(services, ticket)
    assert (await outcomes(services, ticket))[LAST] == ("invalid", "ignored")
    assert CUT in str((await record_of(services, ticket)).note)
