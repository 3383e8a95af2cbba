"""The HTTP client: one method per call that the product makes, each slot and time bounded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import httpx

from app.autotask import protocol
from app.autotask.answers import read_data, read_picklists, read_record, read_records
from app.autotask.calls import PERMIT_SECONDS, REQUEST_SECONDS, Calls, Credentials, Throttle
from app.autotask.errors import Refused, TooLarge, Unanswered
from app.autotask.models import (
    Attachment,
    Choice,
    Company,
    Contact,
    ContactLink,
    Link,
    NewContact,
    NewTicket,
    Note,
    PortalUser,
    Resource,
    Threshold,
    Ticket,
    TicketState,
    UserDefinedFieldInfo,
    WholeContact,
    Zone,
)
from app.autotask.sending import send

__all__ = [
    "PERMIT_SECONDS",
    "REQUEST_SECONDS",
    "Autotask",
    "Credentials",
    "Throttle",
    "discover_zone",
    "http_client",
]

_ZONES = "https://webservices.autotask.net/ATServicesRest"
_RECORD_ROOM = 64 * 1024  # what an attachment's record has besides its data
_ACTIVE = [{"op": "eq", "field": "isActive", "value": True}]


def http_client() -> httpx.AsyncClient:
    """Make the connection pool that all clients of a process share; no redirects, all timed."""
    return httpx.AsyncClient(
        follow_redirects=False,
        timeout=httpx.Timeout(REQUEST_SECONDS - 5, connect=10.0),
        limits=httpx.Limits(max_connections=40, keepalive_expiry=5.0),
    )


class Autotask:
    """Autotask as one caller sees it. Cheap to make: the pool is shared.

    Every method raises an AutotaskError as errors.py sorts them, or what the throttle raises.
    What writes is never sent twice, and not after not_after, a time.monotonic() (TooLate).
    """

    def __init__(
        self, http: httpx.AsyncClient, api_url: str, credentials: Credentials, throttle: Throttle
    ) -> None:
        self._calls = Calls(http, api_url, credentials, throttle)

    @property
    def asked_at(self) -> float:
        """time.monotonic() when the latest call was permitted, just before it left."""
        return self._calls.asked_at

    # --- reading ---------------------------------------------------------------------------------

    async def ticket(self, ticket_id: int) -> Ticket | None:
        """Read a ticket; None when it does not exist."""
        return await self._calls.item(f"/Tickets/{ticket_id}", Ticket)

    async def tickets_created(
        self, since: datetime, after_id: int = 0, company_id: int | None = None
    ) -> list[Ticket]:
        """List tickets that were created since a time, by id, the first 500 after after_id.

        company_id: of this company only. An empty list: there are no more.
        """
        wanted = protocol.created_filter(since, after_id, company_id)
        found, _ = await self._calls.page("Tickets", wanted, Ticket)
        return sorted(found, key=lambda ticket: ticket.id)

    async def newer(self, since: datetime, after_id: int = 0) -> tuple[list[NewTicket], bool]:
        """List, by id, the first 500 tickets after after_id that were created since a time.

        No more of each than when it was created; and whether there may be more of them.
        """
        wanted = protocol.created_filter(since, after_id)
        found, more = await self._calls.page("Tickets", wanted, NewTicket, ("id", "createDate"))
        return sorted(found, key=lambda ticket: ticket.id), more

    async def states_of(self, ticket_ids: Sequence[int]) -> list[TicketState]:
        """Tell where up to 500 tickets stand; what is not among them does not exist."""
        wanted = [{"op": "in", "field": "id", "value": list(ticket_ids)}]
        fields = ("id", "companyID", "status", "completedDate")
        return await self._calls.query("Tickets", wanted, TicketState, fields)

    async def tickets_numbered(self, numbers: Sequence[str]) -> list[Ticket]:
        """Find tickets by their numbers, with no more of each than number, account and status."""
        wanted = [{"op": "in", "field": "ticketNumber", "value": list(numbers)}]
        fields = ("id", "ticketNumber", "companyID", "status")
        return await self._calls.query("Tickets", wanted, Ticket, fields)

    async def status_choices(self) -> tuple[Choice, ...]:
        """Read which statuses tickets can have."""
        answer = await self._calls.get("/Tickets/entityInformation/fields")
        return read_picklists(answer, ("status",))["status"]

    async def use(self) -> Threshold:
        """Ask how many calls all of the tenant's tools have made; this one counts, too."""
        return read_record(await self._calls.get("/ThresholdInformation"), Threshold)

    async def contact(self, contact_id: int) -> Contact | None:
        """Read a contact; None when it does not exist."""
        return await self._calls.item(f"/Contacts/{contact_id}", Contact)

    async def whole_contact(self, contact_id: int) -> WholeContact | None:
        """Read all of a contact; None when it does not exist."""
        return await self._calls.item(f"/Contacts/{contact_id}", WholeContact)

    async def tickets_of(self, contact_id: int) -> set[int]:
        """Name all tickets that a contact is on, as their contact or an additional one."""
        links = await self.links_of(contact_id)
        return await self.own_tickets(contact_id) | {link.ticket_id for link in links}

    async def own_tickets(self, contact_id: int) -> set[int]:
        """Name the tickets whose contact a contact is."""
        of_it = [{"op": "eq", "field": "contactID", "value": contact_id}]
        own = await self._calls.query("Tickets", of_it, Ticket, ("id", "companyID"))
        return {ticket.id for ticket in own}

    async def links_of(self, contact_id: int) -> list[ContactLink]:
        """List the rows that make a contact an additional one."""
        of_it = [{"op": "eq", "field": "contactID", "value": contact_id}]
        return await self._calls.query("TicketAdditionalContacts", of_it, ContactLink)

    async def is_portal_user(self, contact_id: int) -> bool:
        """Tell whether a contact has, or had, access to the client portal."""
        of_it = [{"op": "eq", "field": "contactID", "value": contact_id}]
        return bool(await self._calls.query("ClientPortalUsers", of_it, PortalUser, ("id",)))

    async def company(self, company_id: int) -> Company | None:
        """Read a company; None when it does not exist."""
        return await self._calls.item(f"/Companies/{company_id}", Company)

    async def additional_contacts(self, ticket_id: int) -> list[Link]:
        """List a ticket's additional contacts (at most 30, so one page)."""
        answer = await self._calls.get(f"/Tickets/{ticket_id}/AdditionalContacts")
        return read_records(answer, Link)

    async def attachments(self, ticket_id: int) -> list[Attachment]:
        """List a ticket's attachments, and those of its notes and time entries."""
        return await self._calls.pages(f"/Tickets/{ticket_id}/Attachments", Attachment)

    async def attachment_data(self, ticket_id: int, attachment_id: int, limit: int) -> bytes | None:
        """Read what is in an attachment; None: it is gone, over limit bytes, or no base64.

        The answer is given up, and its connection closed, at about one and a half times the limit.
        """
        # Base64 takes four thirds, line ends and escapes in the JSON up to an eighth of that.
        most = limit * 3 // 2 + _RECORD_ROOM
        try:
            path = f"/Tickets/{ticket_id}/Attachments/{attachment_id}"
            answer = await self._calls.get(path, most)
        except TooLarge:
            return None
        except Refused as refused:
            ids = {"id": attachment_id, "ticketID": ticket_id}
            if await self._calls.confirm_missing(refused, "TicketAttachments", ids, Attachment):
                raise Unanswered("404, and yet the query finds it") from refused
            return None
        data = read_data(answer, attachment_id)
        return None if data is None or len(data) > limit else data

    async def notes(self, ticket_id: int) -> list[Note]:
        """List a ticket's notes, whoever wrote them."""
        return await self._calls.pages(f"/Tickets/{ticket_id}/Notes", Note)

    async def note_picklists(self) -> dict[str, tuple[Choice, ...]]:
        """Read what a note's `publish` and `noteType` can be, by these names, in their order."""
        answer = await self._calls.get("/TicketNotes/entityInformation/fields")
        return read_picklists(answer, ("publish", "noteType"))

    async def contact_udf_defaults(self) -> dict[str, str | None]:
        """Read what user-defined fields contacts have, and what a new one has in each."""
        answer = await self._calls.get("/Contacts/entityInformation/userDefinedFields")
        fields = read_records(answer, UserDefinedFieldInfo, "fields")
        return {field.name: field.default for field in fields}

    async def contacts(
        self, company_id: int, addresses: Sequence[str], contact_ids: Sequence[int]
    ) -> list[Contact]:
        """Find a company's contacts by address, and some by id, inactive ones included.

        At most LOOKUP_ADDRESSES addresses. What was asked for by id can be of another company.
        """
        wanted = protocol.contact_filter(company_id, addresses, contact_ids)
        return await self._calls.query("Contacts", wanted, Contact)

    async def active_companies(self) -> list[Company]:
        """List the active companies, thousands perhaps, with no more of each than is used."""
        fields = ("id", "webAddress", "parentCompanyID")
        return await self._calls.query("Companies", _ACTIVE, Company, fields)

    async def active_resources(self) -> list[Resource]:
        """List the MSP's own active people."""
        return await self._calls.query("Resources", _ACTIVE, Resource)

    # --- writing ---------------------------------------------------------------------------------

    async def create_contact(self, company_id: int, contact: NewContact, not_after: float) -> int:
        """Create a contact in a company and give its id."""
        path = f"/Companies/{company_id}/Contacts"
        return await self._calls.create(path, contact.body(company_id), not_after)

    async def activate_contact(self, company_id: int, contact_id: int, not_after: float) -> None:
        """Make a company's contact active, whatever it was."""
        await self._set_active(company_id, contact_id, 1, not_after)

    async def deactivate_contact(self, company_id: int, contact_id: int, not_after: float) -> None:
        """Make a company's contact inactive, whatever it was: deleting is refused too often."""
        await self._set_active(company_id, contact_id, 0, not_after)

    async def set_address(
        self, company_id: int, contact_id: int, email: str | None, not_after: float
    ) -> None:
        """Change the first address of a company's contact, and nothing else; "" or None: none."""
        body = {"id": contact_id, "emailAddress": email}
        await self._calls.change(f"/Companies/{company_id}/Contacts", body, not_after)

    async def _set_active(
        self, company_id: int, contact_id: int, active: int, not_after: float
    ) -> None:
        # An integer: true and false are refused. Refused as MISSING: no such contact there.
        body = {"id": contact_id, "isActive": active}
        await self._calls.change(f"/Companies/{company_id}/Contacts", body, not_after)

    async def link_contact(self, ticket_id: int, contact_id: int, not_after: float) -> int:
        """Make a contact an additional contact of a ticket and give the link's id."""
        body = {"id": 0, "ticketID": ticket_id, "contactID": contact_id}
        return await self._calls.create(f"/Tickets/{ticket_id}/AdditionalContacts", body, not_after)

    async def unlink(self, ticket_id: int, link_id: int, not_after: float) -> None:
        """Delete an additional contact's row by its own id; a missing one is Refused as MISSING."""
        await self._calls.delete(f"/Tickets/{ticket_id}/AdditionalContacts/{link_id}", not_after)

    async def create_note(
        self,
        ticket_id: int,
        title: str,
        description: str,
        publish: int,
        note_type: int,
        not_after: float,
    ) -> int:
        """Write a note on a ticket and give its id.

        At most NOTE_TITLE and NOTE_DESCRIPTION characters. publish (who sees it) and note_type
        are values of note_picklists.
        """
        body = {
            "id": 0,
            "ticketID": ticket_id,
            "title": title,
            "description": description,
            "publish": publish,
            "noteType": note_type,
        }
        return await self._calls.create(f"/Tickets/{ticket_id}/Notes", body, not_after)


async def discover_zone(http: httpx.AsyncClient, username: str) -> Zone:
    """Ask Autotask in which zone a user's tenant is; needs no other credentials.

    Raises Unauthorized for an unknown user, Unanswered for a zone that is not Autotask's.
    """
    url = f"{protocol.api_root(_ZONES)}/ZoneInformation"
    request = http.build_request("GET", url, params={"user": username})
    answer = await send(http, request, REQUEST_SECONDS)
    zone = read_record(protocol.decipher(*answer), Zone)
    if not protocol.is_zone_url(zone.url):
        raise Unanswered("the zone's address is not one of Autotask's")
    return zone
