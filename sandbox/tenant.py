"""Hold one tenant: its records and what people do to them, its mail and its calls. No I/O."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from sandbox.calls import Call
from sandbox.graph import HELP_DESK, MailSystem, Who, person
from sandbox.lag import Table
from sandbox.model import Entity, Record
from sandbox.moves import Moves
from sandbox.store import EMAIL_FIELDS
from sandbox.switches import Denied, Faults, Switches
from sandbox.webhook_model import WEBHOOK_ENTITIES
from sandbox.webhook_table import webhook_table

MAX_TITLE = 255
OUR_NOTE = "autotask-cc "  # how the note of the product's contacts begins


class MailRefusedError(ValueError):
    """Mail processing makes no ticket of a mail, and tells its sender so."""


class Tenant(Moves):
    """An Autotask tenant in memory, safe to change while a server thread serves it.

    Methods here are what people and the mail processing do; they raise KeyError for a record or a
    field that does not exist and ValueError for what the UI would not offer. What an API client
    does goes through `sandbox.writes`. `required_contact_fields` is what this tenant wants on a
    new contact beyond Autotask's own. `told` is what entityInformation tells otherwise than usual,
    by entity and field: `{"Tickets": {"CC": {"length": 255}}}`.
    """

    def __init__(
        self,
        *,
        switches: Switches | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(clock, switches or Switches())
        self.username = "api-user@northwind-msp.example"
        self.secret = "sandbox-secret"
        self.integration_code = "SANDBOXINTEGRATIONCODE00001"
        self.api_resource_id = 29682999
        self.faults = Faults()
        self.required_contact_fields: tuple[str, ...] = ()
        self.told: dict[str, dict[str, dict[str, Any]]] = {}
        self.denied: list[Denied] = []  # the rights that the API user's level lacks
        # Called on the server's thread just before a request is worked on, so that a test can
        # let another client be faster.
        self.before_call: Callable[[Call], None] = lambda _call: None
        self.mail = MailSystem(clock)
        self._held_copies: dict[int, Callable[[], str]] = {}

    def table(self, entity: Entity) -> Table:
        """Return the records of an entity by id; those of webhooks as their state is now."""
        if entity.name in WEBHOOK_ENTITIES:
            return webhook_table(self.outbox, entity, self.clock(), self.switches)
        return super().table(entity)

    @property
    def credentials(self) -> dict[str, str]:
        """The three headers that every request needs."""
        return {
            "UserName": self.username,
            "Secret": self.secret,
            "ApiIntegrationCode": self.integration_code,
        }

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
        """Deliver a mail to the help desk's mailbox, and make its ticket as mail processing does.

        Return the ticket's id. Of the mail only title, contact and source are left; who is in
        its Cc is lost. `copy=False`: the mailbox keeps none until `deliver_copy`.
        Raise MailRefusedError where `who_mails` says so; its copy is in the mailbox all the same.
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
            address = person(sender)[1] or ""
            if self.who_mails(address, company_id) == "refused":
                raise MailRefusedError(f"the contact with the address {address} is inactive")
            known = self._contacts_of(address, company_id)
            contact_id = next((one["id"] for one in known if one["isActive"]), None)
            ticket_id = self.new_ticket(
                company_id, contact_id=contact_id, title=subject[:MAX_TITLE], **fields
            )
            if not copy:
                self._held_copies[ticket_id] = deliver
            return ticket_id

    def who_mails(self, address: str, company_id: int) -> Literal["contact", "nobody", "refused"]:
        """Return the fate of a mail from this address in this company now.

        A ticket of the contact; one without a contact; or none, as the contact "must be active":
        https://autotask.net/help/content/4_admin/3Automation/EmailSurvey/EMAILS/
        IncomingEmailProcessing/What_Sender.htm. Autotask looks among the MSP's own staff before.
        """
        known = self._contacts_of(address, company_id)
        if any(one["isActive"] for one in known):
            return "contact"
        return "refused" if known else "nobody"

    def insane_contacts(self) -> list[Record]:
        """Return contacts that autotask-cc left inactive with an address: their mail is refused.

        Contacts whose address an active contact of the company has, too, do not count.
        """
        with self.lock:
            return [
                one
                for one in self.contacts.values()
                if not one["isActive"]
                and any(one[name] for name in EMAIL_FIELDS)
                and (one["note"] or "").startswith(OUR_NOTE)
            ]

    def _contacts_of(self, address: str, company_id: int) -> list[Record]:
        # An empty address matches no one: contacts_with would find every empty e-mail field.
        return self.contacts_with(address, company_id) if address else []

    def deliver_copy(self, ticket_id: int) -> str:
        """Put into the mailbox what `receive_mail` left out, as received then; return its id."""
        with self.lock:
            return self._held_copies.pop(ticket_id)()
