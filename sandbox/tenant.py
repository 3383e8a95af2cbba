"""Hold one tenant: its records, what people do to them, its webhooks and its calls. No I/O."""

from base64 import b64encode
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sandbox.calls import Call
from sandbox.graph import HELP_DESK, MailSystem, Who, person
from sandbox.model import ATTACHMENTS, COMPLETE, LINKS, TICKETS, Record, parse_utc
from sandbox.outbox import Action, Attempt, DroppedCallout, Outbox
from sandbox.store import CC_UDF, Store, set_udf
from sandbox.switches import Faults, Switches

MAX_LINKS = 30
MAX_TITLE = 255
# The person whose doing it is when mail processing or somebody in the UI changes a ticket.
SOMEBODY = 4

_NEW_TICKET = {
    "status": 1,
    "priority": 2,
    "source": 4,
    "queueID": 29682833,
    "ticketCategory": 3,
    "ticketType": 1,
    "creatorResourceID": SOMEBODY,
    "creatorType": 1,
}


class Tenant(Store):
    """An Autotask tenant in memory, safe to change while a server thread serves it.

    Methods here are what people and the mail processing do; they raise KeyError for a record or a
    field that does not exist and ValueError for what the UI would not offer. What an API client
    does goes through `sandbox.writes`. `required_contact_fields` is what this tenant wants on a
    new contact beyond Autotask's own.
    """

    def __init__(
        self,
        *,
        switches: Switches | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(clock)
        self.username = "api-user@northwind-msp.example"
        self.secret = "sandbox-secret"
        self.integration_code = "SANDBOXINTEGRATIONCODE00001"
        self.api_resource_id = 29682999
        self.switches = switches or Switches()
        self.faults = Faults()
        self.outbox = Outbox(self.lock, self.switches, clock)
        self.required_contact_fields: tuple[str, ...] = ()
        # Called on the server's thread just before a request is worked on: a test's chance to let
        # somebody else be faster.
        self.before_call: Callable[[Call], None] = lambda _call: None
        self.mail = MailSystem(clock)
        self._tickets_of_day: dict[str, int] = {}
        self._held_copies: dict[int, Callable[[], str]] = {}

    @property
    def credentials(self) -> dict[str, str]:
        """The three headers that every request needs."""
        return {
            "UserName": self.username,
            "Secret": self.secret,
            "ApiIntegrationCode": self.integration_code,
        }

    @property
    def dropped_callouts(self) -> list[DroppedCallout]:
        """Callouts that were given up, oldest first."""
        return self.outbox.dropped

    @property
    def callout_attempts(self) -> list[Attempt]:
        """Every POST of a callout, oldest first."""
        return self.outbox.attempts

    def new_ticket(
        self,
        company_id: int,
        *,
        contact_id: int | None = None,
        title: str = "Printer on the second floor is offline",
        cc: str | None = None,
        callout: bool = True,
        **fields: Any,
    ) -> int:
        """Create a ticket as mail processing does; `cc` fills the user-defined field CC."""
        with self.lock:
            if company_id not in self.companies:
                raise KeyError(f"no company {company_id}")
            now = self.now()
            values = {
                **_NEW_TICKET,
                "companyID": company_id,
                "contactID": contact_id,
                "title": title,
                "ticketNumber": self._ticket_number(),
                "createDate": now,
                "lastActivityDate": now,
                **fields,
            }
            ticket_id = self.insert(TICKETS, values)
            if cc is not None:
                set_udf(self.tickets[ticket_id], CC_UDF, cc)
            if callout:
                self.emit("Create", ticket_id, self.switches.mail_person_id)
            return ticket_id

    def receive_mail(
        self,
        company_id: int,
        *,
        sender: Who,
        subject: str,
        cc: Iterable[Who] = (),
        to: Iterable[Who] | None = None,
        mailbox: str = HELP_DESK,
        received_at: datetime | None = None,
        headers: Mapping[str, str] | None = None,
        copy: bool = True,
        **fields: Any,
    ) -> int:
        """Let a mail reach the help desk's mailbox, and mail processing make a ticket of it.

        Return the ticket's id. Title, contact and source are what is left of the mail; who is in
        its Cc is lost. `copy=False`: the mailbox keeps none until `deliver_copy`.
        """
        deliver = partial(
            self.mail.deliver,
            mailbox,
            sender=sender,
            subject=subject,
            cc=tuple(cc),
            to=to,
            received_at=received_at or self.clock(),
            headers=headers,
        )
        with self.lock:
            if copy:
                deliver()
            known = self.contacts_with(person(sender)[1] or "", company_id)
            contact_id = next((one["id"] for one in known if one["isActive"]), None)
            ticket_id = self.new_ticket(
                company_id, contact_id=contact_id, title=subject[:MAX_TITLE], **fields
            )
            if not copy:
                self._held_copies[ticket_id] = deliver
            return ticket_id

    def deliver_copy(self, ticket_id: int) -> str:
        """Put into the mailbox what `receive_mail` left out, as received then; return its id."""
        with self.lock:
            return self._held_copies.pop(ticket_id)()

    def update_ticket(
        self, ticket_id: int, callout: bool = True, *, person: int | None = None, **fields: Any
    ) -> None:
        """Change a ticket's fields, or its CC field with `cc`; completing it sets completedDate.

        A new contactID leaves the additional contacts, as a contact cannot be both:
        https://www.autotask.net/help/developerhelp/Content/APIs/REST/Entities/
        TicketAdditionalContactsEntity.htm
        """
        with self.lock:
            ticket = self.tickets[ticket_id]
            if "cc" in fields:
                set_udf(ticket, CC_UDF, fields.pop("cc"))
            for name, value in fields.items():
                if name not in ticket:
                    raise KeyError(f"Tickets has no field {name}")
                ticket[name] = value
            if fields.get("status") == COMPLETE:
                ticket["completedDate"] = self.now()
            if fields.get("contactID") is not None:
                for row in self.link_rows(ticket_id, fields["contactID"]):
                    del self.links[row["id"]]
            ticket["lastActivityDate"] = self.now()
            if callout:
                self.emit("Update", ticket_id, person or SOMEBODY)

    def delete_ticket(self, ticket_id: int, callout: bool = True) -> None:
        """Delete a ticket, its additional contacts and its attachments."""
        with self.lock:
            if callout:
                self.emit("Delete", ticket_id, SOMEBODY)
            del self.tickets[ticket_id]
            for row in self.link_rows(ticket_id):
                del self.links[row["id"]]
            for row in [r for r in self.attachments.values() if r["ticketID"] == ticket_id]:
                del self.attachments[row["id"]]

    def attach(
        self,
        ticket_id: int,
        title: str,
        data: bytes,
        *,
        content_type: str | None = None,
        full_path: str | None = None,
        **fields: Any,
    ) -> int:
        """Attach a file to a ticket as mail processing or a person does, and return its id.

        No callout tells of it: the webhook entities of .../REST/Webhooks/REST_WebhooksEntity.htm
        have none for attachments. One of a note has `ticketNoteID` and `parentID` in `fields`.
        """
        with self.lock:
            values = {
                "ticketID": self.tickets[ticket_id]["id"],
                "parentID": ticket_id,
                "title": title,
                "fullPath": title if full_path is None else full_path,
                "contentType": content_type,
                "data": b64encode(data).decode(),
                "fileSize": float(len(data)),
                "attachmentType": "FILE_ATTACHMENT",
                "attachDate": self.now(),
                "attachedByResourceID": SOMEBODY,
                "publish": 1,
                **fields,
            }
            return self.insert(ATTACHMENTS, values)

    def link(self, ticket_id: int, contact_id: int) -> int:
        """Add an additional contact as a person in the UI would, and return the row's id.

        Raise ValueError for a contact of another company and for a 31st row.
        """
        with self.lock:
            if self.contacts[contact_id]["companyID"] != self.tickets[ticket_id]["companyID"]:
                raise ValueError("the contact belongs to another company than the ticket")
            rows = self.link_rows(ticket_id, contact_id)
            if rows:
                return int(rows[0]["id"])
            if len(self.link_rows(ticket_id)) >= MAX_LINKS:
                raise ValueError("the ticket has 30 additional contacts")
            link_id = self.insert(LINKS, {"ticketID": ticket_id, "contactID": contact_id})
            self.touch(ticket_id, SOMEBODY)
            return link_id

    def unlink(self, ticket_id: int, contact_id: int) -> None:
        """Remove an additional contact as a person in the UI would."""
        with self.lock:
            rows = self.link_rows(ticket_id, contact_id)
            if not rows:
                raise KeyError(f"contact {contact_id} is not on ticket {ticket_id}")
            for row in rows:
                del self.links[row["id"]]
            self.touch(ticket_id, SOMEBODY)

    def touch(self, ticket_id: int, person: int) -> None:
        """Let a change of the additional contacts show on the ticket, if the switch says so."""
        if self.switches.link_touches_ticket:
            self.tickets[ticket_id]["lastActivityDate"] = self.now()
            self.emit("Update", ticket_id, person)

    def link_rows(self, ticket_id: int, contact_id: int | None = None) -> list[Record]:
        """Return the additional-contact rows of a ticket, or those of one contact on it."""
        with self.lock:
            return [
                row
                for row in self.links.values()
                if row["ticketID"] == ticket_id and contact_id in (None, row["contactID"])
            ]

    def linked_contacts(self, ticket_id: int) -> list[int]:
        """Return the contact ids of a ticket's rows; a twin row gives its id twice."""
        return [row["contactID"] for row in self.link_rows(ticket_id)]

    def subscribe(
        self,
        url: str,
        deactivation_url: str,
        secret: str,
        *,
        guid: str | None = None,
        name: str = "Ticket webhook",
        actions: Collection[Action] = ("Create", "Update", "Delete"),
    ) -> int:
        """Add an active ticket webhook for these actions and return its id."""
        return self.outbox.subscribe(
            url, deactivation_url, secret, guid=guid, name=name, actions=actions
        )

    def emit(self, action: Action, ticket_id: int, person_id: int | None) -> None:
        """Queue callouts about a ticket as it stands now."""
        self.outbox.emit(action, self.tickets[ticket_id], person_id)

    def _ticket_number(self) -> str:
        day = parse_utc(self.now()).strftime("%Y%m%d")
        self._tickets_of_day[day] = self._tickets_of_day.get(day, 0) + 1
        return f"T{day}.{self._tickets_of_day[day]:04d}"
