"""Serve /sandbox/… to drive the sandbox by hand: without credentials, for loopback only."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.graph import HELP_DESK
from sandbox.store import EMAIL_FIELDS
from sandbox.tenant import Tenant

RECENT_CALLS = 20


def create_manual(tenant: Tenant) -> Starlette:
    """Return the application behind /sandbox.

    POST /sandbox/tickets        {company_id, contact_id?, title?, cc?}: a ticket and its callout
    GET /sandbox/tickets/{id}    the ticket, its additional contacts, the latest API calls
    POST /sandbox/webhooks       {url, deactivation_url, secret}: a ticket webhook
    POST /sandbox/mails          {sender, subject, cc?, to?, mailbox?, company_id?}: a mail, and
                                 with a company the ticket that mail processing makes of it
    """

    async def new_ticket(request: Request) -> Response:
        return await _create(request, lambda given: _new_ticket(tenant, given))

    async def new_webhook(request: Request) -> Response:
        return await _create(request, lambda given: _new_webhook(tenant, given))

    async def new_mail(request: Request) -> Response:
        return await _create(request, lambda given: _new_mail(tenant, given))

    async def show_ticket(request: Request) -> Response:
        with tenant.lock:
            ticket = tenant.tickets.get(request.path_params["id"])
            if ticket is None:
                return JSONResponse({"error": "no such ticket"}, 404)
            return JSONResponse(
                {
                    "ticket": ticket,
                    "additional_contacts": _people(tenant, ticket["id"]),
                    "recent_calls": [
                        {**asdict(call), "at": call.at.isoformat()}
                        for call in tenant.calls[-RECENT_CALLS:]
                    ],
                }
            )

    return Starlette(
        routes=[
            Route("/sandbox/tickets", new_ticket, methods=["POST"]),
            Route("/sandbox/tickets/{id:int}", show_ticket, methods=["GET"]),
            Route("/sandbox/webhooks", new_webhook, methods=["POST"]),
            Route("/sandbox/mails", new_mail, methods=["POST"]),
        ]
    )


async def _create(request: Request, create: Callable[[dict[str, Any]], dict[str, Any]]) -> Response:
    # A web page can post text to loopback, but not JSON without asking first.
    if "application/json" not in request.headers.get("content-type", ""):
        return JSONResponse({"error": "send application/json"}, 415)
    try:
        given = json.loads(await request.body())
        return JSONResponse(create(given), 201)
    except (KeyError, TypeError, ValueError) as error:
        return JSONResponse({"error": f"missing or wrong: {error}"}, 400)


def _new_ticket(tenant: Tenant, given: dict[str, Any]) -> dict[str, Any]:
    optional = {name: given[name] for name in ("contact_id", "title", "cc") if name in given}
    ticket_id = tenant.new_ticket(given["company_id"], **optional)
    return {"id": ticket_id, "ticketNumber": tenant.tickets[ticket_id]["ticketNumber"]}


def _new_webhook(tenant: Tenant, given: dict[str, Any]) -> dict[str, Any]:
    number = tenant.subscribe(given["url"], given["deactivation_url"], given["secret"])
    return {"id": number, "guid": tenant.outbox.subscriptions[number].guid}


def _new_mail(tenant: Tenant, given: dict[str, Any]) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "mailbox": given.get("mailbox", HELP_DESK),
        "sender": str(given["sender"]),
        "subject": str(given["subject"]),
        "cc": [str(one) for one in given.get("cc", [])],
        "to": [str(one) for one in given["to"]] if "to" in given else None,
    }
    if "company_id" not in given:
        return {"id": tenant.mail.deliver(**parts)}
    ticket_id = tenant.receive_mail(given["company_id"], **parts)
    return {"id": ticket_id, "ticketNumber": tenant.tickets[ticket_id]["ticketNumber"]}


def _people(tenant: Tenant, ticket_id: int) -> list[dict[str, Any]]:
    people = []
    for row in tenant.link_rows(ticket_id):
        contact = tenant.contacts[row["contactID"]]
        people.append(
            {
                "id": row["id"],
                "contactID": contact["id"],
                "name": f"{contact['firstName']} {contact['lastName']}",
                "addresses": [contact[name] for name in EMAIL_FIELDS if contact[name]],
            }
        )
    return people
