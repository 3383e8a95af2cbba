"""What is known of a ticket before Autotask is asked: its reading, our records, people's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.autotask.models import Ticket
from app.db.tables import LinkRecord
from app.db.tables import Mapping as MappingRow
from app.decide.policy import Policy
from app.records import mappings


@dataclass(frozen=True, slots=True)
class Reading:
    """A ticket as it was read.

    asked_at: time.monotonic() when its request left. read_at: the database's clock before that.
    """

    ticket: Ticket
    linked: frozenset[int]
    asked_at: float
    read_at: datetime


@dataclass(frozen=True, slots=True)
class Words:
    """What people said: the account's policy, and of single addresses.

    policy_of: when the account's own was changed. observed: the ticket was first decided on in
    observe mode. new_left: outside people that may still be created today.
    """

    policy: Policy
    policy_of: datetime | None
    observed: bool
    forgotten: frozenset[str]
    approved: frozenset[str]
    rejected: frozenset[str]
    new_left: int


@dataclass(frozen=True, slots=True)
class Known:
    """What our records say about a ticket's list.

    origin: the account in which people were first decided about. removed_elsewhere: addresses that
    a person took off while it was in another. retired: contacts of ours that addresses meant until
    they were ended.
    """

    keys: Sequence[str]
    mappings: Mapping[str, MappingRow]
    links: Mapping[int, LinkRecord]
    created: frozenset[int]
    contact_keys: frozenset[str] | None
    words: Words
    origin: int | None
    removed_elsewhere: frozenset[str]
    retired: Mapping[str, int]

    def gone(self, reading: Reading) -> set[int]:
        """Contacts that were on the ticket in this account and are not now."""
        return {
            contact_id
            for contact_id, link in self.links.items()
            if link.first_seen_linked_at
            and link.unlinked_at is None
            and link.account_id == reading.ticket.company_id
            # Becoming the ticket's own contact takes somebody off the additional ones.
            and contact_id not in {*reading.linked, reading.ticket.contact_id}
        }

    def suffices(self, reading: Reading) -> bool:
        """Tell whether the records are fresh and whole enough to do without asking Autotask."""
        verified_since = reading.read_at - mappings.VERIFIED_FOR
        fresh = {m.email: m.contact_id for m in self.mappings.values()}
        return (
            all(key in fresh for key in self.keys)
            and all(m.verified_at > verified_since for m in self.mappings.values())
            and (self.contact_keys is not None or reading.ticket.contact_id is None)
            # Somebody on the ticket whom no mapping explains may be one of these people, too.
            and reading.linked <= set(fresh.values())
            and not self.gone(reading) & set(fresh.values())
        )
