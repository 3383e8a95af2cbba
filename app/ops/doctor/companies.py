"""Check the accounts' web addresses, by which colleagues and other customers are told."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from app.autotask.models import Company
from app.autotask.protocol import OWN_ORGANISATION
from app.decide import is_provider
from app.ops.doctor.deployment import Deployment
from app.ops.doctor.findings import Finding, ok, warning
from app.outbound.clients import web_domain

_MOST = 10
_CODE = "web_addresses"


async def web_addresses(deployment: Deployment) -> Sequence[Finding]:
    """Name accounts whose web address is a provider's, or no domain; and such an OWN_DOMAINS."""
    settings = deployment.settings
    companies = await deployment.autotask().active_companies()
    found = [judge_web_addresses(companies, settings.free_mail_domains)]
    ours = [one for one in settings.own_domains if is_provider(one, settings.free_mail_domains)]
    if ours:
        found.append(
            warning(
                "own_domains",
                f"OWN_DOMAINS names providers' domains: {', '.join(ours)}. Customers who have an "
                "address there are never added.",
                "Name your own mailboxes in OWN_ADDRESSES instead.",
            )
        )
    return found


def judge_web_addresses(companies: Sequence[Company], more: Collection[str]) -> Finding:
    """Judge the web addresses of active accounts. more: FREE_MAIL_DOMAINS."""
    given = [one for one in companies if (one.web_address or "").strip()]
    unread = [one for one in given if web_domain(one.web_address) is None]
    theirs = [
        (one, domain)
        for one in given
        if (domain := web_domain(one.web_address)) and is_provider(domain, more)
    ]
    if not unread and not theirs:
        none = len(companies) - len(given)
        text = f"Of {len(companies)} active accounts {none} have no web address; the others' count."
        return ok(_CODE, text)
    parts = []
    if theirs:
        named = _named([f"{_name(one)} ({domain})" for one, domain in theirs])
        parts.append(f"Accounts whose web address is a provider's ({len(theirs)}): {named}.")
    if unread:
        named = _named([_name(one) for one in unread])
        parts.append(f"Accounts whose web address is no domain ({len(unread)}): {named}.")
    return warning(
        _CODE,
        f"{' '.join(parts)} Such an address makes nobody a colleague there.",
        "At Autotask, set the web address to the account's own mail domain, or clear it; or name "
        "its domains: PUT /admin/accounts/{id}/policy with own_domains. Set FREE_MAIL_DOMAINS for "
        "providers that are not known.",
    )


def _name(company: Company) -> str:
    own = " (your own organization)" if company.id == OWN_ORGANISATION else ""
    return f"{company.name or 'account'} {company.id}{own}"


def _named(names: Sequence[str]) -> str:
    more = f", and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return f"{', '.join(names[:_MOST])}{more}"
