"""A problem with the work, and the cures that several checks share."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from app.graph.errors import Trouble
from app.outbound.gate import GateCode

CURES: dict[str, str] = {
    GateCode.UNAUTHORIZED: "Check AUTOTASK_USERNAME, AUTOTASK_SECRET and "
    "AUTOTASK_INTEGRATION_CODE, and whether the API user is active or locked; work resumes "
    "by itself.",
    GateCode.FORBIDDEN: "Give the API user's security level the right that the call needs; work "
    "resumes by itself.",
    GateCode.OVERLOADED: "Find the tool that uses up the tenant's API calls, or lower BUDGET_SHARE "
    "if it is this one; work resumes by itself.",
    GateCode.AWAY: "See https://status.kaseya.com, and check that this machine reaches Autotask; "
    "callouts are stored meanwhile, and work resumes by itself.",
    Trouble.THROTTLED: "Microsoft asks to wait; if it lasts, find what else reads this mailbox.",
    Trouble.SECRET_EXPIRED: "Make a new secret for the app, set GRAPH_CLIENT_SECRET, restart.",
    Trouble.CREDENTIALS: "Check GRAPH_CLIENT_ID and GRAPH_CLIENT_SECRET (its value, not its id).",
    Trouble.TENANT: "Check GRAPH_TENANT_ID: the directory in which the app is registered.",
    Trouble.OUT_OF_SCOPE: "Assign the app the role Application Mail.ReadBasic (or Mail.Read), "
    "with a scope that this mailbox is in.",
    Trouble.MISSING: "Check GRAPH_MAILBOX: a mailbox in Exchange Online, not a group or an alias.",
    Trouble.AWAY: "Check that this machine reaches GRAPH_URL and GRAPH_LOGIN_URL.",
}


class WorkProblem(BaseModel):
    """A problem that a person has to solve."""

    code: str
    since: datetime | None
    """In UTC; None if it is not known."""

    detail: str
    cure: str
