"""Keep tickets and their rows, and change them as people and mail processing do."""

from base64 import b64encode
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any

from sandbox.model import ATTACHMENTS, COMPLETE, LINKS, NOTES, TICKETS, Record, parse_utc, utc_text
from sandbox.outbox import Action, Attempt, DroppedCallout, Outbox
from sandbox.store import CC_UDF, Store, set_udf
from sandbox.switches import Switches

MAX_LINKS = 30
# The resource that changes a ticket when mail processing or a person in the UI does.
UI_USER = 4

_NEW_TICKET = {
    "status": 1,
    "priority": 2,
    "source": 4,
    "queueID": 29682833,
    "ticketCategory": 3,
    "ticketType": 1,
    "creatorResourceID": UI_USER,
    "creatorType": 1,
}


class Tickets(Store):
    """Tickets, with their rows and the callouts about them."""

    def __init__(self, clock: Callable[[], datetime], switches: Switches) -> None:
        super().__init__(clock)
        self.switches = switches
        self.outbox = Outbox(self.lock, switches, clock)
        self._tickets_of_day: dict[str, int] = {}

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
            now = utc_text(self.clock() + timedelta(seconds=self.switches.created_ahead))
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

    def update_ticket(
        self, ticket_id: int, callout: bool = True, *, person: int | None = None, **fields: Any
    ) -> None:
        """Change a ticket's fields, or its CC field with `cc`; completing it sets completedDate,
        and any other status takes that away.

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
            if "status" in fields:
                ticket["completedDate"] = self.now() if fields["status"] == COMPLETE else None
            if fields.get("contactID") is not None:
                for row in self.link_rows(ticket_id, fields["contactID"]):
                    del self.links[row["id"]]
            ticket["lastActivityDate"] = self.now()
            if callout:
                self.emit("Update", ticket_id, person or UI_USER)

    def delete_ticket(self, ticket_id: int, callout: bool = True) -> None:
        """Delete a ticket and all its rows."""
        with self.lock:
            if callout:
                self.emit("Delete", ticket_id, UI_USER)
            del self.tickets[ticket_id]
            for table in (self.links, self.attachments, self.notes):
                for row in [r for r in table.values() if r["ticketID"] == ticket_id]:
                    del table[row["id"]]

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
            if ticket_id not in self.tickets:
                raise KeyError(f"no ticket {ticket_id}")
            values = {
                "ticketID": ticket_id,
                "parentID": ticket_id,
                "title": title,
                "fullPath": title if full_path is None else full_path,
                "contentType": content_type,
                "data": b64encode(data).decode(),
                "fileSize": float(len(data)),
                "attachmentType": "FILE_ATTACHMENT",
                "attachDate": self.now(),
                "attachedByResourceID": UI_USER,
                "publish": 1,
                **fields,
            }
            return self.insert(ATTACHMENTS, values)

    def add_note(
        self, ticket_id: int, title: str, description: str, *, publish: int = 1, **fields: Any
    ) -> int:
        """Write a note on a ticket as a person does, and return its id.

        A contact's has `createdByContactID` in `fields`, and no creatorResourceID.
        """
        with self.lock:
            if ticket_id not in self.tickets:
                raise KeyError(f"no ticket {ticket_id}")
            values = {
                "title": title,
                "description": description,
                "publish": publish,
                "noteType": 1,
                "creatorResourceID": UI_USER,
                **fields,
            }
            note_id = self.insert_note(ticket_id, values)
            self.touch(ticket_id, UI_USER, shows=self.switches.note_touches_ticket)
            return note_id

    def insert_note(self, ticket_id: int, values: Record) -> int:
        """Store a note of a ticket with its times and return its id."""
        now = self.now()
        times = {"createDateTime": now, "lastActivityDate": now}
        return self.insert(NOTES, {**values, "ticketID": ticket_id, **times})

    def notes_of(self, ticket_id: int) -> list[Record]:
        """Return a ticket's notes, oldest first."""
        with self.lock:
            return [note for note in self.notes.values() if note["ticketID"] == ticket_id]

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
            self.touch(ticket_id, UI_USER, shows=self.switches.link_touches_ticket)
            return link_id

    def unlink(self, ticket_id: int, contact_id: int) -> None:
        """Remove an additional contact as a person in the UI would."""
        with self.lock:
            rows = self.link_rows(ticket_id, contact_id)
            if not rows:
                raise KeyError(f"contact {contact_id} is not on ticket {ticket_id}")
            for row in rows:
                del self.links[row["id"]]
            self.touch(ticket_id, UI_USER, shows=self.switches.link_touches_ticket)

    def touch(self, ticket_id: int, person: int, *, shows: bool) -> None:
        """Move the ticket's last activity and queue a callout, if a switch says so."""
        if shows:
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
