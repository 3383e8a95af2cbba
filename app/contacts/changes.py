"""Find what a person has changed of a contact since we created it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.autotask.models import WholeContact

# We never fill these in: a person who does has made the contact their own.
_FILLED_BY_PEOPLE = (
    "emailAddress2 emailAddress3 phone alternatePhone mobilePhone extension faxNumber roomNumber"
    " title namePrefix middleInitial nameSuffix externalID facebookUrl linkedInUrl twitterUrl"
    " primaryContact billingContact"
).split()
_NOT_COMPARED = ("id", "companyID", "isActive", "userDefinedFields")


def changed_by_person(
    contact: WholeContact,
    account_id: int,
    sent: Mapping[str, Any] | None,
    *,
    cleared: bool = False,
    udf_defaults: Mapping[str, str | None] | None = None,
) -> str | None:
    """Return what a person has changed, in words; None if nothing.

    sent: the contact as we wrote it. cleared: we have cleared its address since. udf_defaults: the
    user-defined fields of a new contact; None: those that we did not write are not compared.
    """
    if contact.company_id != account_id:
        return f"it is of company {contact.company_id} now"
    if sent is None:
        return "what we wrote of it is not on record"
    now = contact.fields
    changed = [
        name
        for name, value in sent.items()
        if name not in _NOT_COMPARED
        and not (cleared and name == "emailAddress")
        and name in now
        and (now[name] or None) != (value or None)
    ]
    changed += [name for name in _FILLED_BY_PEOPLE if name not in sent and now.get(name)]
    udfs = {udf.get("name"): udf.get("value") for udf in now.get("userDefinedFields") or ()}
    ours = {udf.get("name"): udf.get("value") for udf in sent.get("userDefinedFields") or ()}
    if udf_defaults is not None:
        ours = {name: udf_defaults.get(name) for name in udfs} | ours
    changed += [
        name
        for name, value in ours.items()
        if name in udfs and str(udfs[name] or "") != str(value or "")
    ]
    return f"a person changed {', '.join(sorted(changed))}" if changed else None
