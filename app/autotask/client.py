"""The HTTP client: one method per call that the product makes, with a slot and a time limit."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from app.autotask import protocol
from app.autotask.answers import read_data, read_picklists, read_record, read_records
from app.autotask.calls import PERMIT_SECONDS, REQUEST_SECONDS, Calls, Credentials, Throttle
from app.autotask.entity_info import EntityInfo
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
)

__all__ = [
    "PERMIT_SECONDS",
    "REQUEST_SECONDS",
    "Autotask",
    "Credentials",
    "Throttle",
    "http_client",
]

_RECORD_ROOM = 64 * 1024  # bytes of an attachment's record besides its data
_COMPANY_PAGES = 60  # 30,000 companies
_ACTIVE = [{"op": "eq", "field": "isActive", "value": True}]


def http_client() -> httpx.AsyncClient:
    """Return the connection pool that a process's clients share: no redirects, all timed."""
    return httpx.AsyncClient(
        follow_redirects=False,
        timeout=httpx.Timeout(REQUEST_SECONDS - 5, connect=10.0),
        limits=httpx.Limits(max_connections=40, keepalive_expiry=5.0),
        # A jar without a limit would grow by what each answer sets, and so would our requests.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
    )


class Autotask:
    """Autotask for one caller. Cheap to make: the pool is shared.

    Every method raises an AutotaskError (errors.py) or the throttle's exceptions. A write is
    never sent twice, and never after `not_after`, a time.monotonic() (TooLate).
    """

    def __init__(
        self, http: httpx.AsyncClient, api_url: str, credentials: Credentials, throttle: Throttle
    ) -> None:
        self._calls = Calls(http, api_url, credentials, throttle)

    @property
    def asked_at(self) -> float:
        """time.monotonic() when the latest call was permitted, just before it left."""
        return self._calls.asked_at

    @property
    def entity_info(self) -> EntityInfo:
        """Questions about entities, for the same caller."""
        return EntityInfo(self._calls)

    @property
    def made(self) -> int:
        """How many calls were made."""
        return self._calls.made

    @property
    def written(self) -> int:
        """How many of them have changed something."""
        return self._calls.written

    # --- reading ---------------------------------------------------------------------------------

    async def ticket(self, ticket_id: int) -> Ticket | None:
        """Read a ticket; None if it does not exist."""
        return await self._calls.item(f"/Tickets/{ticket_id}", Ticket)

    async def tickets_created(
        self, since: datetime, after_id: int = 0, company_id: int | None = None
    ) -> list[Ticket]:
        """List the first 500 tickets after an id that were created since a time, by id.

        With `company_id`, those of this company only. An empty list means that there are no more.
        """
        wanted = protocol.created_filter(since, after_id, company_id)
        found, _ = await self._calls.page("Tickets", wanted, Ticket)
        return sorted(found, key=lambda ticket: ticket.id)

    async def newer(self, since: datetime, after_id: int = 0) -> tuple[list[NewTicket], bool]:
        """Return the first 500 tickets after an id that were created since a time, by id.

        Also return whether there may be more. Only the times of creation are read.
        """
        wanted = protocol.created_filter(since, after_id)
        found, more = await self._calls.page("Tickets", wanted, NewTicket, ("id", "createDate"))
        return sorted(found, key=lambda ticket: ticket.id), more

    async def states_of(self, ticket_ids: Sequence[int]) -> list[TicketState]:
        """Read the states of up to 500 tickets; a ticket that is not returned does not exist."""
        wanted = [{"op": "in", "field": "id", "value": list(ticket_ids)}]
        fields = ("id", "companyID", "status", "completedDate")
        return await self._calls.query("Tickets", wanted, TicketState, fields)

    async def tickets_numbered(self, numbers: Sequence[str]) -> list[Ticket]:
        """Find tickets by their numbers; only number, account and status are read."""
        wanted = [{"op": "in", "field": "ticketNumber", "value": list(numbers)}]
        fields = ("id", "ticketNumber", "companyID", "status")
        return await self._calls.query("Tickets", wanted, Ticket, fields)

    async def status_choices(self) -> tuple[Choice, ...]:
        """Read the statuses that tickets can have."""
        answer = await self._calls.get("/Tickets/entityInformation/fields")
        return read_picklists(answer, ("status",))["status"]

    async def use(self) -> Threshold:
        """Read how many calls all of the tenant's tools have made; this one counts, too."""
        return read_record(await self._calls.get("/ThresholdInformation"), Threshold)

    async def contact(self, contact_id: int) -> Contact | None:
        """Read a contact; None if it does not exist."""
        return await self._calls.item(f"/Contacts/{contact_id}", Contact)

    async def whole_contact(self, contact_id: int) -> WholeContact | None:
        """Read all fields of a contact; None if it does not exist."""
        return await self._calls.item(f"/Contacts/{contact_id}", WholeContact)

    async def own_tickets(self, contact_id: int) -> set[int]:
        """Return the ids of the tickets whose own contact this is."""
        of_it = [{"op": "eq", "field": "contactID", "value": contact_id}]
        own = await self._calls.query("Tickets", of_it, Ticket, ("id", "companyID"))
        return {ticket.id for ticket in own}

    async def links_of(self, contact_id: int) -> list[ContactLink]:
        """List the rows that make a contact an additional contact."""
        of_it = [{"op": "eq", "field": "contactID", "value": contact_id}]
        return await self._calls.query("TicketAdditionalContacts", of_it, ContactLink)

    async def is_portal_user(self, contact_id: int) -> bool:
        """Return whether a contact has, or had, access to the client portal."""
        of_it = [{"op": "eq", "field": "contactID", "value": contact_id}]
        return bool(await self._calls.query("ClientPortalUsers", of_it, PortalUser, ("id",)))

    async def company(self, company_id: int) -> Company | None:
        """Read a company; None if it does not exist."""
        return await self._calls.item(f"/Companies/{company_id}", Company)

    async def additional_contacts(self, ticket_id: int) -> list[Link]:
        """List a ticket's additional contacts, at most 30."""
        return await self._calls.pages(f"/Tickets/{ticket_id}/AdditionalContacts", Link)

    async def attachments(self, ticket_id: int) -> list[Attachment]:
        """List a ticket's attachments, and those of its notes and time entries."""
        return await self._calls.pages(f"/Tickets/{ticket_id}/Attachments", Attachment)

    async def attachment_data(self, ticket_id: int, attachment_id: int, limit: int) -> bytes | None:
        """Read an attachment's data; None if it is gone, over `limit` bytes, or not base64.

        Reading stops, and the connection is closed, at about one and a half times the limit.
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
                raise Unanswered("404, but the query finds it") from refused
            return None
        data = read_data(answer, attachment_id)
        return None if data is None or len(data) > limit else data

    async def notes(self, ticket_id: int) -> list[Note]:
        """List all notes of a ticket."""
        return await self._calls.pages(f"/Tickets/{ticket_id}/Notes", Note)

    async def note_picklists(self) -> dict[str, tuple[Choice, ...]]:
        """Read the choices of a note's `publish` and `noteType`, by these names, in their order."""
        answer = await self._calls.get("/TicketNotes/entityInformation/fields")
        return read_picklists(answer, ("publish", "noteType"))

    async def contact_udf_defaults(self) -> dict[str, str | None]:
        """Read the user-defined fields of contacts, with the default of each."""
        answer = await self._calls.get("/Contacts/entityInformation/userDefinedFields")
        fields = read_records(answer, UserDefinedFieldInfo, "fields")
        return {field.name: field.default for field in fields}

    async def contacts(
        self, company_id: int, addresses: Sequence[str], contact_ids: Sequence[int]
    ) -> list[Contact]:
        """Find a company's contacts by address, and some by id, inactive ones included.

        At most LOOKUP_ADDRESSES addresses. Contacts found by id can be of another company.
        """
        wanted = protocol.contact_filter(company_id, addresses, contact_ids)
        return await self._calls.query("Contacts", wanted, Contact)

    async def active_companies(self) -> list[Company]:
        """List the active companies, perhaps thousands; only the fields in use are read."""
        fields = ("id", "companyName", "companyType", "webAddress", "parentCompanyID")
        return await self._calls.query("Companies", _ACTIVE, Company, fields, _COMPANY_PAGES)

    async def active_resources(self) -> list[Resource]:
        """List the active users of the MSP's Autotask."""
        return await self._calls.query("Resources", _ACTIVE, Resource)

    async def resources(self, ids: Collection[int]) -> list[Resource]:
        """Read some users of the MSP's Autotask, inactive ones too."""
        wanted = [{"op": "in", "field": "id", "value": sorted(ids)}]
        return await self._calls.query("Resources", wanted, Resource)

    # --- writing ---------------------------------------------------------------------------------

    async def create_contact(self, company_id: int, contact: NewContact, not_after: float) -> int:
        """Create a contact in a company and return its id."""
        path = f"/Companies/{company_id}/Contacts"
        return await self._calls.create(path, contact.body(company_id), not_after)

    async def activate_contact(self, company_id: int, contact_id: int, not_after: float) -> None:
        """Make a company's contact active, whether or not it was."""
        await self._set_active(company_id, contact_id, 1, not_after)

    async def deactivate_contact(self, company_id: int, contact_id: int, not_after: float) -> None:
        """Make a company's contact inactive: deleting is refused too often."""
        await self._set_active(company_id, contact_id, 0, not_after)

    async def set_address(
        self, company_id: int, contact_id: int, email: str | None, not_after: float
    ) -> None:
        """Change only the first address of a company's contact; "" or None clears it."""
        body = {"id": contact_id, "emailAddress": email}
        await self._calls.change(f"/Companies/{company_id}/Contacts", body, not_after)

    async def _set_active(
        self, company_id: int, contact_id: int, active: int, not_after: float
    ) -> None:
        # An integer: true and false are refused. Refused as MISSING means: no such contact there.
        body = {"id": contact_id, "isActive": active}
        await self._calls.change(f"/Companies/{company_id}/Contacts", body, not_after)

    async def link_contact(
        self, ticket_id: int, contact_id: int, not_after: float, account_id: int | None = None
    ) -> int:
        """Make a contact an additional contact of an account's ticket; return the link's id."""
        path = f"/Tickets/{ticket_id}/AdditionalContacts"
        body = {"id": 0, "ticketID": ticket_id, "contactID": contact_id}
        return await self._calls.create(path, body, not_after, protocol.about_account(account_id))

    async def unlink(
        self, ticket_id: int, link_id: int, not_after: float, account_id: int | None = None
    ) -> None:
        """Delete an additional contact's row by its own id; Refused as MISSING if it is gone."""
        path = f"/Tickets/{ticket_id}/AdditionalContacts/{link_id}"
        await self._calls.delete(path, not_after, protocol.about_account(account_id))

    async def create_note(
        self,
        ticket_id: int,
        title: str,
        description: str,
        publish: int,
        note_type: int,
        not_after: float,
    ) -> int:
        """Write a note on a ticket and return its id.

        At most NOTE_TITLE and NOTE_DESCRIPTION characters. `publish` (who sees it) and
        `note_type` are values from `note_picklists`.
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
