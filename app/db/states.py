"""The words for where things stand: results, outcomes, origins, states, priorities."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Result(StrEnum):
    """How a ticket's looks ended; while one is still due there is none."""

    DONE = "done"
    NOBODY_COPIED = "nobody_copied"  # a source proved it
    NO_LIST = "no_list"  # no source had anything
    AMBIGUOUS_MESSAGE = "ambiguous_message"  # two messages could be the ticket's: nobody is added
    PARKED = "parked"  # in the MSP's own or a catch-all account: nobody is added there
    COMPLETE = "complete"  # it is over: nobody is added any more
    GONE = "gone"  # it does not exist
    FAILED = "failed"  # given up after 72 hours


class Outcome(StrEnum):
    """What came of a decision; while something is still to be done there is none."""

    LINKED = "linked"
    ALREADY_LINKED = "already_linked"
    CREATED_AND_LINKED = "created_and_linked"
    CREATED_NOT_LINKED = "created_not_linked"
    HELD = "held"
    IGNORED = "ignored"
    FAILED = "failed"
    UNLINKED = "unlinked"  # we took it off again
    RETIRED = "retired"  # the ticket was over, and the contact was ended
    WOULD_LINK = "would_link"  # in observe mode nothing is written
    WOULD_CREATE = "would_create"


class Origin(StrEnum):
    """Where a mapping comes from; `created` is derived from the ledger and never stored."""

    FOUND = "found"
    MANUAL = "manual"


class LedgerState(StrEnum):
    """How far the creation of a contact has come."""

    SENDING = "sending"  # the request may be on its way
    UNSURE = "unsure"  # it got no definite answer and may have taken effect, or still take it
    CREATED = "created"
    REFUSED = "refused"  # definitely not created
    GONE = "gone"  # was created, and no longer carries the address
    RETIRED = "retired"  # was created, and ended by us
    RETIRING = "retiring"  # was created, and is about to be ended by us
    RESTORING = "restoring"  # was ended, and is about to be brought back by us


OPEN = (LedgerState.SENDING, LedgerState.UNSURE, LedgerState.CREATED, LedgerState.RESTORING)
"""There is such a contact, or may be: of one address in one account there is one of these."""

AT_AUTOTASK = (LedgerState.CREATED, LedgerState.RETIRING, LedgerState.RESTORING)
"""There is such a contact at Autotask, and it is not ended."""


class EndedBy(StrEnum):
    """Why a contact of ours is ended."""

    UNDO = "undo"  # a person took back what we did: it is not brought back
    LIFETIME = "lifetime"  # its last ticket is over
    MOVED = "moved"  # its ticket moved to another account before it was linked
    STALE = "stale"  # nothing used it for long, and a person said so


class Priority(IntEnum):
    """Who goes first among what is due."""

    URGENT = 0  # a person waits for it
    LIVE = 10  # a callout
    CATCH_UP = 20  # what nobody told us of in time


class NoteError(StrEnum):
    """Why a note was not written, where that decides about further ones."""

    FORBIDDEN = "forbidden"  # the API user lacks the right
    WRONG_SETTING = "wrong_setting"  # TICKET_NOTE_PUBLISH is none of Autotask's choices
    NO_ANSWER = "no_answer"  # the request got none, and the note is not on the ticket


ON_TICKET = (Outcome.LINKED, Outcome.ALREADY_LINKED, Outcome.CREATED_AND_LINKED)
"""The address is on the ticket."""

FAILURES = (Outcome.FAILED, Outcome.CREATED_NOT_LINKED)
"""Autotask refused the contact or its link."""

WOULD = (Outcome.WOULD_LINK, Outcome.WOULD_CREATE)
"""Decided in observe mode: nothing was written."""

UNSETTLED = (LedgerState.SENDING, LedgerState.UNSURE)
"""Whether the request took effect is not known."""
