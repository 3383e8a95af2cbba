"""Deny calls as the security level of the API user does: by kind, account, or type of account."""

from itertools import pairwise

from sandbox.switches import Verb
from sandbox.tenant import Tenant

_VERBS: dict[str, Verb] = {"PATCH": "update", "PUT": "update", "DELETE": "delete"}


def refusal(tenant: Tenant, method: str, path: str, entity: str) -> str | None:
    """Return the text with which a request is refused; None if it is allowed. See fact sheet 10."""
    asks = "/query" in path.lower() or "/entityinformation" in path.lower() or method == "GET"
    verb = "query" if asks else _VERBS.get(method, "create")
    company_id = _company(tenant, path)
    company = tenant.companies.get(company_id) if company_id is not None else None
    for denied in tenant.denied:
        if "/entityinformation" in path.lower() or (denied.verb, denied.entity) != (verb, entity):
            continue
        here = company_id is not None and denied.company_id == company_id
        of_type = company is not None and denied.company_type == company["companyType"]
        if denied.everywhere or here or (denied.company_type is not None and of_type):
            return tenant.switches.texts["right"].format(verb=verb)
    return None


def level(tenant: Tenant, verb: Verb, entity: str) -> str:
    """Return what entityInformation says of the level: All, Restricted or None."""
    lacks = [one for one in tenant.denied if (one.verb, one.entity) == (verb, entity)]
    if any(one.everywhere for one in lacks):
        return "None"
    return "Restricted" if lacks else "All"


def _company(tenant: Tenant, path: str) -> int | None:
    """Return the company that a path is about, by itself or by its ticket."""
    parts = [part for part in path.lower().split("/") if part]
    for name, number in pairwise(parts):
        if name == "companies" and number.isdigit():
            return int(number)
        if name == "tickets" and number.isdigit():
            ticket = tenant.tickets.get(int(number))
            return ticket["companyID"] if ticket else None
    return None
