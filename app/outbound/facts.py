"""What is known of a tenant beside the ticket itself: how old it may be, and what is done without.

Two kinds. What is needed keeps a ticket waiting until it can be read. What is only good to know
never does: the last good value counts, however old, and without one the ticket goes on as stated
here. app/outbound/known.py reads and keeps those; /health/work says what is missing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from app.autotask.client import Autotask
from app.autotask.errors import Unanswered
from app.autotask.models import Choice, Company, Threshold
from app.outbound.clients import web_domain

T = TypeVar("T")

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Needed:
    """What a ticket waits for: without it a person could be added who must not be."""

    title: str
    age: timedelta
    """How old it may be when a link leaves."""
    why: str


NEEDED = (
    Needed("the ticket", timedelta(seconds=30), "its account and its contact are what links obey"),
    Needed("its additional contacts", timedelta(seconds=30), "who is on it, and who was taken off"),
    Needed(
        "the contacts of an address",
        timedelta(days=7),
        "the person that an address means in its account",
    ),
    Needed("its contact's addresses", timedelta(minutes=10), "that contact must not be added"),
    Needed("the technicians", timedelta(minutes=15), "none of them must be added"),
)


@dataclass(frozen=True, slots=True)
class Fact(Generic[T]):
    """Something that is only good to know."""

    name: str
    title: str
    age: timedelta
    """After this time it is read again."""
    form: TypeAdapter[T]
    """Of the value; `version` counts its changes, so that older values are read again."""
    read: Callable[[Autotask, int], Awaitable[T]]
    """Ask Autotask, for a record if the fact is about one. Raise what the client raises."""
    without: str
    """What is done while there is no value."""
    decides: bool = True
    """Whether a decision about people may differ without it."""
    of_records: str | None = None
    """What the records are called, if there is a value of each."""
    version: int = 1


async def _companies(autotask: Autotask, _: int) -> tuple[Company, ...]:
    # The domain in place of the address, in which people type anything; and no names.
    return tuple(
        company.model_copy(update={"web_address": web_domain(company.web_address), "name": None})
        for company in _some(await autotask.active_companies(), "companies")
    )


async def _web_domain(autotask: Autotask, company_id: int) -> str | None:
    company = await autotask.company(company_id)
    if company is None:  # a ticket is in it, so it exists: the API user does not see it
        raise Unanswered("Autotask shows no such company")
    return web_domain(company.web_address)


async def _company_types(autotask: Autotask, _: int) -> tuple[Choice, ...]:
    fields = await autotask.entity_info.fields("Companies")
    types = [choice for one in fields if one.name == "companyType" for choice in one.choices]
    return tuple(_some(types, "types of companies"))


async def _lengths(autotask: Autotask, _: int) -> dict[str, int]:
    fields = _some(await autotask.entity_info.fields("Tickets"), "fields")
    return {one.name.casefold(): one.length for one in fields if one.length}


async def _udf_lengths(autotask: Autotask, _: int) -> dict[str, int]:
    fields = await autotask.entity_info.user_defined_fields("Tickets")
    return {one.name.casefold(): one.length for one in fields if one.length}


async def _statuses(autotask: Autotask, _: int) -> tuple[Choice, ...]:
    return tuple(_some(await autotask.status_choices(), "statuses"))


async def _contact_fields(autotask: Autotask, _: int) -> dict[str, str | None]:
    return await autotask.contact_udf_defaults()


async def _note_choices(autotask: Autotask, _: int) -> dict[str, tuple[Choice, ...]]:
    choices = await autotask.note_picklists()
    _some(choices["publish"], "choices for `publish`")
    return choices


async def _use(autotask: Autotask, _: int) -> Threshold:
    return await autotask.use()


def _some(found: Sequence[T], what: str) -> Sequence[T]:
    """Return what was found; every tenant has some of it, so none is no answer."""
    if not found:
        raise Unanswered(f"the answer has no {what}")
    return found


COMPANIES = Fact(
    "companies",
    "the domains of all customers, and which accounts belong together",
    _DAY,
    TypeAdapter(tuple[Company, ...]),
    _companies,
    "an unknown address counts as outside, also where it is another customer's (line 12)",
)
WEB_DOMAIN = Fact(
    "web_domain",
    "the domain of a web address",
    _DAY,
    TypeAdapter(str | None),
    _web_domain,
    "the account has the own_domains of its policy alone; for the help desk's own organization "
    "OWN_ADDRESSES and OWN_DOMAINS count alone",
    of_records="account",
)
COMPANY_TYPES = Fact(
    "company_types",
    "the types of accounts",
    _DAY,
    TypeAdapter(tuple[Choice, ...]),
    _company_types,
    "customers are accounts of the type 1, as usual",
    decides=False,
)
FIELD_LENGTHS = Fact(
    "field_lengths",
    "how long the fields of tickets may be",
    _DAY,
    TypeAdapter(dict[str, int]),
    _lengths,
    "the description holds 8,000 characters",
    decides=False,
)
UDF_LENGTHS = Fact(
    "udf_lengths",
    "how long the user-defined fields of tickets may be",
    _DAY,
    TypeAdapter(dict[str, int]),
    _udf_lengths,
    "a text of exactly 255 or 8,000 characters counts as cut off",
    decides=False,
)
STATUSES = Fact(
    "statuses",
    "the statuses of tickets",
    _DAY,
    TypeAdapter(tuple[Choice, ...]),
    _statuses,
    "a ticket is over with Complete and with the ids in COMPLETE_STATUSES; a name there counts "
    "for none",
)
NOTE_CHOICES = Fact(
    "note_choices",
    "who can be the readers of a note",
    _DAY,
    TypeAdapter(dict[str, tuple[Choice, ...]]),
    _note_choices,
    "no note is written; those of the last day are made up for",
    decides=False,
)
CONTACT_FIELDS = Fact(
    "contact_fields",
    "what new contacts have in user-defined fields",
    _DAY,
    TypeAdapter(dict[str, str | None]),
    _contact_fields,
    "no contact is retired: a person may have changed it",
    decides=False,
)
USE = Fact(
    "use",
    "how many calls all tools of the tenant make",
    timedelta(minutes=15),
    TypeAdapter(Threshold),
    _use,
    "our share is of the limit that was told last, else of 10,000 calls an hour, and nothing "
    "slows down for other tools",
    decides=False,
)

_ALL: tuple[Fact[Any], ...] = (
    COMPANIES,
    COMPANY_TYPES,
    WEB_DOMAIN,
    FIELD_LENGTHS,
    UDF_LENGTHS,
    STATUSES,
    NOTE_CHOICES,
    CONTACT_FIELDS,
    USE,
)
FACTS = {fact.name: fact for fact in _ALL}
"""All that is only good to know, by name."""
