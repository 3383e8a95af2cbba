"""What a person has changed of a contact since we created it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.autotask.models import WholeContact

# Besides what we wrote, a person who fills one of these in has made the contact their own.
_A_PERSONS = (
    "emailAddress2 emailAddress3 phone alternatePhone mobilePhone extension faxNumber roomNumber"
    " title namePrefix middleInitial nameSuffix externalID primaryContact billingContact"
).split()
_NOT_COMPARED = ("id", "companyID", "isActive", "userDefinedFields")


def touched(
    contact: WholeContact, account_id: int, sent: Mapping[str, Any] | None, *, cleared: bool = False
) -> str | None:
    """Say what a person has changed; None: nothing.

    sent: what we wrote. cleared: we have taken its address off since.
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
    changed += [name for name in _A_PERSONS if name not in sent and now.get(name)]
    udfs = {udf.get("name"): udf.get("value") for udf in now.get("userDefinedFields") or ()}
    for udf in sent.get("userDefinedFields") or ():
        if udf.get("name") in udfs and str(udfs[udf["name"]]) != str(udf.get("value")):
            changed.append(udf["name"])
    return f"a person changed {', '.join(sorted(changed))}" if changed else None
