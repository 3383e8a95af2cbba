"""How far the end of a call reaches: a table."""

from __future__ import annotations

import pytest

from app.autotask.errors import (
    AutotaskError,
    Busy,
    Forbidden,
    Intercepted,
    NotSent,
    Overloaded,
    Refusal,
    Refused,
    TooLarge,
    TooLate,
    Unanswered,
    Unauthorized,
)
from app.outbound.reach import Call, Reach, reach

CREATE = Call("create", "Contacts", "account 174")
LINK = Call("create", "TicketAdditionalContacts", "account 174")
NO = Forbidden("no")


@pytest.mark.parametrize(
    ("error", "call", "elsewhere", "expected"),
    [
        # Whatever the call is about, these are everybody's.
        (Unauthorized("x"), CREATE, 0, Reach.ALL),
        (Overloaded("x", 1.0), Call("read", "Tickets", "ticket 5"), 0, Reach.ALL),
        # A right that is missing for one account proves nothing about another one.
        (NO, CREATE, 0, Reach.PLACE),
        (NO, LINK, 0, Reach.PLACE),
        (NO, Call("change", "Contacts", "account 0"), 0, Reach.PLACE),
        (NO, Call("delete", "TicketAdditionalContacts", "account 9"), 0, Reach.PLACE),
        (NO, Call("read", "Companies", "account 174"), 0, Reach.PLACE),
        (NO, Call("read", "Tickets", "ticket 5"), 0, Reach.PLACE),
        (NO, Call("read", "Contacts", "contact 5"), 0, Reach.PLACE),
        # It is refused elsewhere, too, and has succeeded for nobody since.
        (NO, CREATE, 1, Reach.ALL),
        (NO, LINK, 7, Reach.ALL),
        (NO, Call("read", "Tickets", "ticket 5"), 1, Reach.ALL),
        # The same, of calls that tickets can do without.
        (NO, Call("change", "Contacts", "account 174"), 1, Reach.CALL),
        (NO, Call("delete", "TicketAdditionalContacts", "account 174"), 2, Reach.CALL),
        (NO, Call("read", "Companies", "account 174"), 1, Reach.CALL),
        (NO, Call("create", "TicketNotes", "ticket 5"), 1, Reach.CALL),
        # The call is about no account and no record.
        (NO, Call("read", "Tickets"), 0, Reach.ALL),
        (NO, Call("read", "Contacts"), 0, Reach.ALL),
        (NO, Call("read", "Resources"), 0, Reach.ALL),
        (NO, Call("read", "TicketAdditionalContacts"), 0, Reach.ALL),
        (NO, Call("read", "ClientPortalUsers"), 0, Reach.CALL),
        (NO, Call("read", "NotificationHistory"), 0, Reach.CALL),
        (NO, Call("read", "ThresholdInformation"), 0, Reach.CALL),
        # One request, and in a row an outage.
        (Unanswered("x"), CREATE, 5, Reach.SILENCE),
        (NotSent("x"), CREATE, 0, Reach.SILENCE),
        (Intercepted("403"), CREATE, 5, Reach.SILENCE),
        # One request.
        (TooLate("x"), CREATE, 0, Reach.REQUEST),
        (TooLarge("x"), CREATE, 0, Reach.REQUEST),
        (Busy("x"), CREATE, 0, Reach.REQUEST),
        (Refused(["x"], Refusal.CAP), CREATE, 5, Reach.REQUEST),
        (Refused(["You do not have permission"], Refusal.OTHER), LINK, 5, Reach.REQUEST),
    ],
)
def test_a_refusal_reaches_no_further_than_it_proves(
    error: AutotaskError, call: Call, elsewhere: int, expected: Reach
) -> None:
    """Only what every call would meet is everybody's."""
    assert reach(error, call, elsewhere) is expected
