"""Whose an address is: the help desk's, a machine's, a domain's. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from app.decide.types import HelpDesk, Reason
from app.mail.addresses import without_tag


def is_own(key: str, help_desk: HelpDesk) -> bool:
    """Return whether mail to an address comes to the help desk; `help+x@` counts as `help@`."""
    domain = key.rpartition("@")[2]
    # Autotask's own intake addresses are the last ones.
    own_domain = belongs_to(domain, help_desk.domains) or belongs_to(domain, ("autotask.net",))
    return own_domain or without_tag(key) in help_desk.addresses


def is_technician(key: str, help_desk: HelpDesk) -> bool:
    """Return whether an address is a technician's, in any plus form."""
    return without_tag(key) in help_desk.technicians


def not_customer(keys: Collection[str], help_desk: HelpDesk) -> Reason | None:
    """Return why mail to a contact with these addresses comes to the help desk; None if not."""
    if any(is_own(key, help_desk) for key in keys):
        return Reason.OWN_ADDRESS
    return Reason.TECHNICIAN if any(is_technician(key, help_desk) for key in keys) else None


_MACHINES = frozenset(
    """
    noreply no-reply no_reply no.reply donotreply do-not-reply do_not_reply do.not.reply
    mailer-daemon mailerdaemon mail-daemon postmaster bounce bounces devnull null
    """.split()
)
_MACHINE_PREFIXES = tuple(
    """
    noreply+ noreply- no-reply+ no-reply- no_reply+ no_reply- no.reply+ donotreply+ do-not-reply+
    mailer-daemon+ bounce+ bounce- bounces+ bounces- prvs= msprvs1= srs0= srs1=
    """.split()
)


def is_machine(key: str) -> bool:
    """Return whether a machine reads an address: by exact names and prefixes, never substrings."""
    local = key.rpartition("@")[0]
    return local in _MACHINES or local.startswith(_MACHINE_PREFIXES)


def belongs_to(domain: str, domains: Collection[str]) -> bool:
    """Return whether a domain is one of these or lies below one."""
    return any(part in domains for part in and_parents(domain))


def closest(domain: str, domains: Collection[str]) -> str:
    """Return the longest of these domains that a domain is or lies below; "" if there is none."""
    return next((part for part in and_parents(domain) if part in domains), "")


def belongs_most_to(domain: str, domains: Collection[str], others: Collection[str]) -> bool:
    """Return whether a domain is one of these or below, and not of a longer one of the others."""
    ours = closest(domain, domains)
    return bool(ours) and len(ours) >= len(closest(domain, others))


def and_parents(domain: str) -> Iterator[str]:
    """Yield a domain and those above it, the closest first."""
    while domain:
        yield domain
        domain = domain.partition(".")[2]
