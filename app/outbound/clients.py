"""Which domains and companies are customers', and which statuses end a ticket. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from urllib.parse import urlsplit

from app.autotask.models import Choice, Company
from app.autotask.protocol import OWN_ORGANISATION, STATUS_COMPLETE
from app.decide import and_parents
from app.mail.addresses import address_key

_CUSTOMER = 1  # the usual number of the type Customer


def which_are_customers(choices: Iterable[Choice]) -> frozenset[int]:
    """Return the types of companies that are customers, by label; without one the usual number.

    The types are Autotask's own, says .../4_Admin/1FoundationalFeatures/CompaniesContacts/
    COMPANIESMAIN.htm; no page gives their numbers.
    """
    labelled = {one.value for one in choices if one.label.strip().casefold() == "customer"}
    return frozenset(labelled or {_CUSTOMER})


class Clients:
    """The domains of all active companies, and which companies belong together."""

    def __init__(self, companies: Sequence[Company]) -> None:
        self._parents = {
            company.id: company.parent_id for company in companies if company.parent_id
        }
        self._ids = {company.id for company in companies}
        self._by_domain: dict[str, list[Company]] = {}
        for company in companies:
            domain = web_domain(company.web_address)
            if domain and company.id != OWN_ORGANISATION:
                self._by_domain.setdefault(domain, []).append(company)

    def others(
        self, company_id: int, domains: Iterable[str], customers: Collection[int]
    ) -> frozenset[str]:
        """Return those of these domains, and of their parents, that only other customers have.

        customers: the types of companies that are customers; a company whose type cannot be read
        is one, too. A company, its parents and its sub-organisations are one customer.
        """
        family = self._family(company_id)
        parts = {part for domain in domains for part in and_parents(domain)}
        return frozenset(
            part
            for part in parts
            if (companies := self._by_domain.get(part))
            and any(one.type is None or one.type in customers for one in companies)
            and all(self._family(one.id) != family for one in companies)
        )

    def has_family(self, company_id: int) -> bool:
        """Return whether a company has a parent or sub-organisations, or is not known."""
        is_known = company_id in self._ids
        return not is_known or company_id in self._parents or company_id in self._parents.values()

    def _family(self, company_id: int) -> int:
        seen = {company_id}
        while (parent := self._parents.get(company_id)) and parent not in seen:
            seen.add(parent)
            company_id = parent
        return company_id


def which_end(choices: Sequence[Choice], named: Sequence[str]) -> tuple[frozenset[int], list[str]]:
    """Return the statuses that end a ticket, and the names that the picklist does not have.

    They are Complete, and those that `named` lists by label or id. Without any choices the ids in
    `named` count as they are.
    """
    if not choices:
        ids = frozenset(int(name) for name in named if name.strip().isdecimal())
        return ids | {STATUS_COMPLETE}, [name for name in named if not name.strip().isdecimal()]
    by_name: dict[str, set[int]] = {}
    for choice in choices:
        for name in (choice.label.strip().casefold(), str(choice.value)):
            by_name.setdefault(name, set()).add(choice.value)
    values = {name: by_name.get(name.strip().casefold(), set()) for name in ("Complete", *named)}
    ids = frozenset().union(*values.values()) | {STATUS_COMPLETE}
    return ids, [name for name in named if not values[name]]


def web_domain(web_address: str | None) -> str | None:
    """Return the mail domain of a web address: client.com of `http://www.client.com/x`."""
    text = (web_address or "").strip()
    try:
        host = urlsplit(text if "://" in text else f"//{text}").hostname or ""
    except ValueError:
        return None
    key = address_key(f"x@{host.removeprefix('www.')}") if "." in host else None
    return key.removeprefix("x@") if key else None
