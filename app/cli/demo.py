"""The command `demo`: the product against doubles of Autotask and Graph."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import typer
import uvicorn
from rich.console import Console
from rich.table import Table

from app.cli.common import INTERRUPTED
from app.db import schema
from app.db.embedded.server import EmbeddedPostgres
from app.services import Services, open_services
from app.settings import log
from app.settings.environment import load_settings
from app.settings.settings import Settings
from app.web.app import create_app
from sandbox.graph import HELP_DESK
from sandbox.seed import VENDOR, Seed, seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant

PATIENCE_SECONDS = 60.0

TRICKY_CCS = (
    "Bruno Keller <BKeller@Alpine-Dental.example>",
    '"Lind, Dora" <dora.lind@alpine-dental.example>',
    "Omar <omar.haddad@mail.test>",
    "Help Desk <help@northwind-msp.example>",
    "ana.ruiz@alpine-dental.example",
    "=?utf-8?Q?M=C3=BCller=2C_J=C3=BCrgen?= <j.mueller@alpine-dental.example>",
    f"Sam Okafor <{VENDOR}>",
    "no-reply@parcels.example",
    "alice@good.example)bob@evil.example",
    "X-ray Team: nina.osei+xray@radiology.example;",
)

JURGEN = "Jürgen Söhne <juergen@harbour-soehne.example>"
MAILBOX_CCS = (
    f"Sam Okafor <{VENDOR}>",
    "Söhne, Petra (Buchhaltung) <petra@harbour-soehne.example>",
    "Lena Vogt <lena@northwind-msp.example>",
    f"Help Desk <{HELP_DESK}>",
)

console = Console(width=None if Console().is_terminal else 130)


def demo(
    keep: Annotated[bool, typer.Option(help="Stay up afterwards, to look around.")] = False,
) -> None:
    """Show the product at work on two tickets; needs no configuration.

    It runs against doubles of Autotask and Microsoft Graph, with a PostgreSQL of its own. Exit
    code 1: the doubles do not agree with what the service says.
    """
    raise typer.Exit(run_demo(keep=keep))


def run_demo(*, keep: bool) -> int:
    """Run the demo on an embedded PostgreSQL; return the exit code."""
    log.configure("console", quiet=True)
    console.print("Starting an embedded PostgreSQL, and doubles of Autotask and Microsoft Graph …")
    tenant = Tenant()
    people = seed(tenant)
    with EmbeddedPostgres() as postgres, SandboxServer(tenant) as server:
        schema.migrate(postgres.url)
        settings = _settings(server)
        try:
            return asyncio.run(_demo(settings, postgres.url, server, people, keep=keep))
        except KeyboardInterrupt:
            return INTERRUPTED
        except TimeoutError:
            console.print(f"The ticket had no result after {PATIENCE_SECONDS:.0f} s.", style="red")
            return 1


def _settings(server: SandboxServer) -> Settings:
    """Configure the product for the doubles, without the environment."""
    tenant = server.tenant
    return load_settings(
        {
            "AUTOTASK_API_URL": server.api_url,
            "AUTOTASK_USERNAME": tenant.username,
            "AUTOTASK_SECRET": tenant.secret,
            "AUTOTASK_INTEGRATION_CODE": tenant.integration_code,
            "WEBHOOK_SECRETS": secrets.token_urlsafe(24),
            "API_KEYS": f"demo:write:{secrets.token_urlsafe(32)}",
            "OWN_ADDRESSES": HELP_DESK,
            "SETTLE_SECONDS": "0.2",
            "GRAPH_TENANT_ID": tenant.mail.tenant_id,
            "GRAPH_CLIENT_ID": tenant.mail.client_id,
            "GRAPH_CLIENT_SECRET": tenant.mail.client_secret,
            "GRAPH_MAILBOX": HELP_DESK,
            "GRAPH_URL": server.graph_url,
            "GRAPH_LOGIN_URL": server.login_url,
        }
    )


async def _demo(
    settings: Settings, url: str, server: SandboxServer, people: Seed, *, keep: bool
) -> int:
    async with open_services(settings, url) as services, serving(services) as own_url:
        tenant = server.tenant
        hooks = f"{own_url}/webhooks/autotask"
        tenant.subscribe(hooks, f"{hooks}/deactivated", settings.webhook_secrets[0])

        first = tenant.new_ticket(
            people.alpine, contact_id=people.ana, cc="; ".join(TRICKY_CCS), callout=False
        )
        tenant.link(first, people.bruno)
        before = tenant.linked_contacts(first)
        tenant.emit("Create", first, None)
        number = tenant.tickets[first]["ticketNumber"]
        console.print("Ana mails the help desk and copies ten; a mail gateway puts them into the")
        console.print(f"field CC of ticket {number}.\n")
        wrong = await _show(settings, own_url, tenant, first, before, len(TRICKY_CCS))

        second = tenant.receive_mail(
            people.harbour, sender=JURGEN, subject="Rechnungsdruck hängt", cc=MAILBOX_CCS
        )
        number = tenant.tickets[second]["ticketNumber"]
        console.print(f"\nJürgen copies four; Autotask's own mail processing makes ticket {number}")
        console.print("and drops the list. It is read from the message in the mailbox.\n")
        wrong += await _show(settings, own_url, tenant, second, [], len(MAILBOX_CCS))

        if wrong:
            console.print("\nThe sandbox does not agree:", *wrong, sep="\n  ", style="red")
        else:
            console.print("\nThe sandbox agrees: right people, one contact each, own company only.")
        _print_next(settings, own_url, second, keep=keep)
        if keep and not wrong:
            with contextlib.suppress(asyncio.CancelledError):  # by Ctrl-C
                await asyncio.Event().wait()
        return 1 if wrong else 0


async def _show(
    settings: Settings,
    own_url: str,
    tenant: Tenant,
    ticket_id: int,
    before: Collection[int],
    copied: int,
) -> list[str]:
    """Wait for a ticket's result and print it; return where the sandbox does not agree."""
    ticket = await _await_result(settings, own_url, ticket_id)
    _print_people(ticket)
    _print_links(tenant, before, tenant.linked_contacts(ticket_id))
    return disagreements(ticket, tenant, before, copied)


@asynccontextmanager
async def serving(services: Services) -> AsyncIterator[str]:
    """Serve the product on a free port of this machine; yield its origin."""
    listener = socket.create_server(("127.0.0.1", 0))
    # asyncio sets it for its own sockets; without it every answer takes 40 ms longer.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = uvicorn.Server(uvicorn.Config(create_app(services), log_config=None, access_log=False))
    # Ctrl-C has to end the whole demo, not only this server.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


async def _await_result(settings: Settings, own_url: str, ticket_id: int) -> dict[str, Any]:
    """Ask the admin API until the ticket has a result. Raise TimeoutError after a minute."""
    headers = {"Authorization": f"Bearer {settings.api_keys[0].key}"}
    async with asyncio.timeout(PATIENCE_SECONDS), httpx.AsyncClient(headers=headers) as http:
        while True:
            answer = await http.get(f"{own_url}/admin/tickets/{ticket_id}")
            if answer.status_code == 200 and answer.json()["result"]:
                ticket: dict[str, Any] = answer.json()
                return ticket
            await asyncio.sleep(0.1)


def _print_people(ticket: dict[str, Any]) -> None:
    columns = ("address", "decision", "reason", "contact", "outcome")
    table = Table(title=f"People and outcomes (result: {ticket['result']})", title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for person in ticket["participants"]:
        cells = person | {"contact": str(person["contact_id"] or "")}
        table.add_row(*(cells[column] for column in columns))
    console.print(table)


def _print_links(tenant: Tenant, before: Collection[int], after: Collection[int]) -> None:
    table = Table(title="Additional contacts, as the sandbox has them", title_justify="left")
    for column in ("contact", "name", "address", "company", "before", "after"):
        table.add_column(column, overflow="fold")
    for contact_id in sorted({*before, *after}):
        contact = tenant.contacts[contact_id]
        company = tenant.companies[contact["companyID"]]["companyName"]
        table.add_row(
            str(contact_id),
            f"{contact['firstName']} {contact['lastName']}",
            contact["emailAddress"],
            company,
            "yes" if contact_id in before else "",
            "yes" if contact_id in after else "",
        )
    console.print(table)


def disagreements(
    ticket: dict[str, Any], tenant: Tenant, before: Collection[int], copied: int
) -> list[str]:
    """Return where our records of a ticket's people differ from the sandbox."""
    after = tenant.linked_contacts(ticket["id"])
    company = tenant.tickets[ticket["id"]]["companyID"]
    people = ticket["participants"]
    expected = {person["contact_id"] for person in people if _is_on(person)} | set(before)
    wrong = []
    if ticket["result"] != "done" or len(people) != copied:
        wrong.append("the ticket is not done, or a copied person is missing from the table")
    if sorted(after) != sorted(expected):
        wrong.append(f"we say {sorted(expected)}, it has {sorted(after)}")
    for person in people:
        address, contact_id = person["address"], person["contact_id"]
        twins = tenant.contacts_with(address, company)
        if len(twins) > 1:
            wrong.append(f"{address} has {len(twins)} contacts in one company")
        if _is_on(person) and [c["id"] for c in twins if c["isActive"]] != [contact_id]:
            wrong.append(f"{address} is not contact {contact_id} of the company")
        if not _is_on(person) and set(after) & {contact["id"] for contact in twins}:
            wrong.append(f"{address} is on the ticket, against our decision")
    return wrong


def _is_on(participant: dict[str, Any]) -> bool:
    return participant["outcome"] in ("linked", "already_linked", "created_and_linked")


def _print_next(settings: Settings, own_url: str, ticket_id: int, *, keep: bool) -> None:
    if keep:
        key = settings.api_keys[0].key
        console.print(
            f"\nIt stays up until Ctrl-C. Look around:\n"
            f"  {own_url}/docs  (Authorize with {key})\n"
            f"  curl -H 'Authorization: Bearer {key}' {own_url}/admin/tickets/{ticket_id}\n"
            f"  curl {own_url}/health/work",
            soft_wrap=True,
            highlight=False,
        )
        return
    console.print(
        "\nWhere to look next:\n"
        "  make demo ARGS=--keep     the same, and it stays up: API, health, API documentation\n"
        "  docs/decision-table.md    why each address was decided as it was\n"
        "  README.md                 how to run it against your own Autotask",
        highlight=False,
    )
