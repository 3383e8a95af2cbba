"""Change a contact that is being retired: the intent first, then the request, then read it back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.autotask.client import Autotask
from app.autotask.errors import Refused
from app.autotask.models import Contact
from app.contacts.change import TRIES, until_shown
from app.contacts.retire_steps import Action
from app.db.database import persist_with
from app.db.states import LedgerError
from app.db.tables import Ledger
from app.mail.addresses import address_key
from app.outbound.rules import NOT_DONE, leave_by
from app.records.ledger import ending
from app.services import Services

_CLEARS = ("", None, "")  # which value clears an address is unknown
_SAID = {
    Action.CLEAR: "that its address was cleared, and shows it",
    Action.PUT_BACK: "that its address was set, and does not show it",
    Action.DEACTIVATE: "that it was deactivated, and shows it active",
    Action.REACTIVATE: "that it was activated, and shows it inactive",
}


def in_words(action: Action) -> str:
    """Return what Autotask does where a change has no effect."""
    return f"Autotask answers {_SAID.get(action, action)}"


def was_in_vain(row: Ledger, action: Action) -> bool:
    """Return whether a change had no effect, so that it is not requested again by itself."""
    return row.error_code == LedgerError.NO_EFFECT and row.error == in_words(action)


@dataclass(slots=True)
class ContactChanges:
    """The requests that change a contact. Each raises what the client and the throttle raise.

    A change that no reading shows may still take effect late, as one without an answer may.
    """

    services: Services
    autotask: Autotask

    async def clear(self, row: Ledger) -> bool:
        """Clear its address, by one value after another; return whether a reading shows it."""
        refusal: Refused | None = None
        for value in _CLEARS:
            try:
                if await self._set_address(row, value, lambda contact: not contact.email, tries=1):
                    return True
            except Refused as refused:
                refusal = refused
        if refusal:
            raise refusal
        return False

    async def put_back(self, row: Ledger) -> bool:
        """Set its address again; return whether a reading shows it."""

        def shown(contact: Contact) -> bool:
            return address_key(contact.email or "") == row.email

        return await self._set_address(row, row.email, shown, address=True)

    async def deactivate(self, row: Ledger) -> Contact | None:
        """Deactivate it; return it as the reading shows it that shows it inactive.

        If a person has typed an address in since it was read, the request stays on record.
        """
        shown = await self._change(
            row, self.autotask.deactivate_contact, lambda contact: not contact.active
        )
        if shown and not shown.emails:
            await self._answered(row)
        return shown

    async def activate(self, row: Ledger) -> bool:
        """Activate it; return whether a reading shows it."""
        shown = await self._change(
            row, self.autotask.activate_contact, lambda contact: contact.active
        )
        if shown:
            await self._answered(row)
        return shown is not None

    async def _set_address(
        self,
        row: Ledger,
        email: str | None,
        shows: Callable[[Contact], bool],
        tries: int = TRIES,
        *,
        address: bool = False,
    ) -> bool:
        async def request(account_id: int, contact_id: int, not_after: float) -> None:
            await self.autotask.set_address(account_id, contact_id, email, not_after)

        shown = await self._change(row, request, shows, tries, address=address)
        if shown:
            await self._answered(row)
        return shown is not None

    async def _change(
        self,
        row: Ledger,
        request: Callable[[int, int, float], Awaitable[None]],
        shows: Callable[[Contact], bool],
        tries: int = TRIES,
        *,
        address: bool = False,
    ) -> Contact | None:
        """Store that a request is sent, send it and read the contact, until that shows the change.

        address: it sets the contact's address.
        """
        contact_id, settle = row.contact_id, self.services.create_settle
        assert contact_id is not None

        async def send() -> None:
            await persist_with(self.services.sessions, ending.sent, row, settle, address=address)
            try:
                await request(row.account_id, contact_id, leave_by())
            except NOT_DONE:
                await self._answered(row)
                raise

        return await until_shown(self.autotask, contact_id, send, shows, tries)

    async def _answered(self, row: Ledger) -> None:
        await persist_with(self.services.sessions, ending.answered, row)
