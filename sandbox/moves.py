"""Move a ticket into another account, or merge it into another ticket, as people do.

Merging: https://ww2.autotask.net/help/content/3_Features/7_ServiceDesk/ManageTickets/
Ticket_Merge.htm; `switches.Switches` decides what that page leaves open.
"""

from sandbox.model import COMPLETE, LINKS, Record
from sandbox.tickets import MAX_LINKS, UI_USER, Tickets

_INTERNAL = 2  # of the picklist of TicketNotes.publish: "Internal Users Only"


class Moves(Tickets):
    """Tickets that change hands as a whole."""

    def move_ticket(
        self,
        ticket_id: int,
        company_id: int,
        *,
        contact_id: int | None = None,
        callout: bool = True,
    ) -> None:
        """Put a ticket into another account, as a person in the UI does; None: no contact.

        Raise ValueError for a contact of another company than the new one.
        """
        with self.lock:
            if company_id not in self.companies:
                raise KeyError(f"no company {company_id}")
            if contact_id is not None and self.contacts[contact_id]["companyID"] != company_id:
                raise ValueError("the contact belongs to another company than the ticket")
            if self.switches.moved_links == "dropped":
                for row in self.link_rows(ticket_id):
                    if self.contacts[row["contactID"]]["companyID"] != company_id:
                        del self.links[row["id"]]
            self.update_ticket(ticket_id, callout, companyID=company_id, contactID=contact_id)

    def merge_tickets(self, source: int, destination: int, callout: bool = True) -> None:
        """Merge a ticket into another one of its company, as a person in the UI does.

        The source is completed and stays. The switches for notes and links say whether the
        destination's notes and links show on it and in a callout. Raise ValueError for tickets of
        two companies, and for one ticket given twice.
        """
        with self.lock:
            absorbed, kept = self.tickets[source], self.tickets[destination]
            if source == destination or absorbed["companyID"] != kept["companyID"]:
                raise ValueError("only another ticket of the same organization can be merged")
            self._note_merge(absorbed, kept)
            carried = self.switches.merged_links == "carried" and self._carry_links(absorbed, kept)
            self.update_ticket(source, callout, status=COMPLETE)
            if self.switches.note_touches_ticket or (carried and self.switches.link_touches_ticket):
                kept["lastActivityDate"] = self.now()
                if callout:
                    self.emit("Update", destination, UI_USER)

    def _note_merge(self, absorbed: Record, kept: Record) -> None:
        texts, number = self.switches.texts, absorbed["ticketNumber"]
        into = texts["merged_into"].format(number=kept["ticketNumber"])
        self._system_note(absorbed, texts["merge_title"], into)
        self._system_note(kept, texts["merge_title"], texts["merged"].format(number=number))
        # No note is without a description, so a ticket that has none leaves none.
        if absorbed["description"]:
            shown = f"[{number}]" if self.switches.absorbed_title == "brackets" else number
            title = f"Absorbed Ticket Description {shown}"
            self._system_note(kept, title, absorbed["description"], publish=_INTERNAL)

    def _system_note(
        self, ticket: Record, title: str, description: str, *, publish: int = 1
    ) -> None:
        values = {"title": title, "description": description, "publish": publish}
        self.insert_note(ticket["id"], {**values, "noteType": 1, "creatorResourceID": UI_USER})

    def _carry_links(self, absorbed: Record, kept: Record) -> bool:
        """Link the additional contacts to the kept ticket, by the rules; return if any were."""
        before = len(self.link_rows(kept["id"]))
        for contact_id in self.linked_contacts(absorbed["id"]):
            linked = self.linked_contacts(kept["id"])
            may_be = (
                contact_id not in (*linked, kept["contactID"])
                and self.contacts[contact_id]["companyID"] == kept["companyID"]
            )
            if may_be and len(linked) < MAX_LINKS:
                self.insert(LINKS, {"ticketID": kept["id"], "contactID": contact_id})
        return len(self.link_rows(kept["id"])) > before
