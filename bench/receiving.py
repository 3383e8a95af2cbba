"""Time how fast callouts are accepted while Autotask answers, refuses, and hangs.

Run: `python -m bench.receiving`. A rate below two thirds of the first one is flagged, and the exit
code is 1. A worker works at the same time, as it does in production.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import httpx

from app.db import schema
from app.db.embedded.server import EmbeddedPostgres
from sandbox.callouts import SIGNATURE_HEADER, encode_callout, sign
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.processes import free_port, process, wait_until

SECRET = "a-webhook-secret-of-bench"  # noqa: S105  of a double
CALLOUTS, AT_ONCE, MIN_RATIO = 400, 8, 2 / 3


def post_all(url: str, secret: str, ticket_ids: Sequence[int], at_once: int = AT_ONCE) -> list[int]:
    """Post a callout for each ticket as Autotask does; return the statuses in order."""
    return asyncio.run(_post_all(f"{url}/webhooks/autotask", secret, ticket_ids, at_once))


async def _post_all(url: str, secret: str, ticket_ids: Sequence[int], at_once: int) -> list[int]:
    places = asyncio.Semaphore(at_once)

    async def post(client: httpx.AsyncClient, ticket_id: int) -> int:
        callout = {"Action": "Create", "Guid": "g", "EntityType": "Ticket", "Id": ticket_id}
        body = encode_callout(callout)
        headers = {SIGNATURE_HEADER: sign(secret, body), "Content-Type": "application/json"}
        async with places:
            return (await client.post(url, content=body, headers=headers)).status_code

    async with httpx.AsyncClient(trust_env=False, timeout=10.0) as client:
        return await asyncio.gather(*(post(client, one) for one in ticket_ids))


def measure(tenant: Tenant, url: str) -> float:
    """Return how many callouts of new tickets are accepted per second."""
    company = next(iter(tenant.companies))
    tickets = [tenant.new_ticket(company, cc="nina@shared.example") for _ in range(CALLOUTS)]
    began = time.perf_counter()
    statuses = post_all(url, SECRET, tickets)
    seconds = time.perf_counter() - began
    assert set(statuses) == {202}, f"not all were accepted: {set(statuses)}"
    return CALLOUTS / seconds


def environ_of(
    tenant: Tenant, server: SandboxServer, database_url: str, secret: str, port: int
) -> dict[str, str]:
    """Return the settings of processes that are wired to a sandbox."""
    return {
        "DATABASE_URL": database_url,
        "AUTOTASK_API_URL": server.api_url,
        "AUTOTASK_USERNAME": tenant.username,
        "AUTOTASK_SECRET": tenant.secret,
        "AUTOTASK_INTEGRATION_CODE": tenant.integration_code,
        "WEBHOOK_SECRETS": secret,
        "OWN_DOMAINS": "northwind-msp.example",
        "RUN_WORKER": "false",
        "PORT": str(port),
    }


def main() -> int:
    """Print the table; return 1 if an outage makes accepting slower."""
    tenant, port = Tenant(), free_port()
    tenant.add_company("Northwind Managed IT", id=0)
    tenant.add_company("Alpine Dental Group", "alpine-dental.example")
    url = f"http://127.0.0.1:{port}"
    with EmbeddedPostgres() as database, ExitStack() as stack:
        schema.migrate(database.url)
        server = stack.enter_context(SandboxServer(tenant))
        environ = environ_of(tenant, server, database.url, SECRET, port)
        stack.enter_context(process("serve", environ))
        stack.enter_context(process("worker", environ))
        wait_until(lambda: _is_live(url))
        measure(tenant, url)  # the first ones are slower, whatever Autotask does
        return _compare(tenant, url, lambda: server.__exit__(None, None, None))


def _compare(tenant: Tenant, url: str, close: Callable[[], None]) -> int:
    rates = {"answers": measure(tenant, url)}
    tenant.faults.add(Fault("hang_before", times=None, seconds=60.0))
    rates["hangs"] = measure(tenant, url)
    close()
    rates["refuses connections"] = measure(tenant, url)
    slow = [how for how, rate in rates.items() if rate < MIN_RATIO * rates["answers"]]
    sys.stdout.write("| Autotask | callouts/s | ratio |\n| --- | ---: | ---: |\n")
    for how, rate in rates.items():
        mark = " SLOW" if how in slow else ""
        sys.stdout.write(f"| {how} | {rate:.0f} | {rate / rates['answers']:.2f}{mark} |\n")
    return 1 if slow else 0


def _is_live(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live").status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    sys.exit(main())
