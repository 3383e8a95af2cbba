"""Results, outcomes, origins, states and priorities, and groups of them."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Result(StrEnum):
    """Result of a ticket; none while a look is still due."""

    DONE = "done"
    NOBODY_COPIED = "nobody_copied"  # a source proved it
    NO_LIST = "no_list"  # no source had anything
    AMBIGUOUS_MESSAGE = "ambiguous_message"  # two messages could be the ticket's: no one is added
    PARKED = "parked"  # in the MSP's own or a catch-all account: no one is added
    COMPLETE = "complete"  # it is over: no one is added any more
    GONE = "gone"  # it does not exist
    FAILED = "failed"  # given up after 72 hours


class Outcome(StrEnum):
    """Outcome of a decision; none while something is still to be done."""

    LINKED = "linked"
    ALREADY_LINKED = "already_linked"
    CREATED_AND_LINKED = "created_and_linked"
    CREATED_NOT_LINKED = "created_not_linked"
    HELD = "held"
    IGNORED = "ignored"
    FAILED = "failed"
    UNLINKED = "unlinked"  # we took the contact off again
    RETIRED = "retired"  # the ticket was over, and we ended the contact
    WOULD_LINK = "would_link"  # in observe mode nothing is written
    WOULD_CREATE = "would_create"


CLOSED = (Result.COMPLETE, Result.PARKED, Result.GONE)
"""The ticket is over, or no customer's: no one is added."""

ENDS_WORK = (*CLOSED, Result.FAILED)
"""Participants whose work is not finished have failed."""

ON_TICKET = (Outcome.LINKED, Outcome.ALREADY_LINKED, Outcome.CREATED_AND_LINKED)
"""The participant is on the ticket."""

WAS_ON_TICKET = (*ON_TICKET, Outcome.UNLINKED, Outcome.RETIRED)
"""The participant is or was on the ticket."""

BY_US = (Outcome.LINKED, Outcome.CREATED_AND_LINKED, Outcome.CREATED_NOT_LINKED)
"""We linked or created the contact."""


class Origin(StrEnum):
    """Where a mapping comes from; `created` is derived from the ledger and never stored."""

    FOUND = "found"
    MANUAL = "manual"


class LedgerState(StrEnum):
    """State of a contact that we created; app/records/ledger lists the transitions."""

    SENDING = "sending"  # the request may be on its way
    UNSURE = "unsure"  # no definite answer: it may have taken effect, or may still
    CREATED = "created"
    REFUSED = "refused"  # definitely not created
    GONE = "gone"  # was created, and no longer exists or no longer carries the address
    RETIRED = "retired"  # was created, and we ended it
    RETIRING = "retiring"  # was created, and we are ending it
    RESTORING = "restoring"  # was ended, and we are bringing it back


UNSETTLED = (LedgerState.SENDING, LedgerState.UNSURE)
"""A create request was sent, and its fate is unknown."""

OPEN = (*UNSETTLED, LedgerState.CREATED, LedgerState.RESTORING)
"""The contact exists or may exist: one address in one account has at most one of these."""

AT_AUTOTASK = (LedgerState.CREATED, LedgerState.RETIRING, LedgerState.RESTORING)
"""The contact exists at Autotask, and is not ended."""

RETIRABLE = (LedgerState.CREATED, LedgerState.RETIRING)
"""The contact exists at Autotask, and is not retired and not being brought back."""

STANDING = (*UNSETTLED, *AT_AUTOTASK)
"""The contact exists or may exist at Autotask, and is not ended."""

ENDED = (LedgerState.RETIRED, LedgerState.RETIRING, LedgerState.RESTORING)
"""The contact was ended, or its ending has begun, and it is not back yet."""

WAS_CREATED = (*AT_AUTOTASK, LedgerState.RETIRED)
"""The contact exists at Autotask, ended or not."""


class EndedBy(StrEnum):
    """Why a contact that we created is ended."""

    UNDO = "undo"  # a person took back what we did for a ticket
    LIFETIME = "lifetime"  # its last ticket is over
    MOVED = "moved"  # its ticket moved to another account before it was linked
    STALE = "stale"  # nothing used it for long, and a person ordered it
    FORGOTTEN = "forgotten"  # its address was forgotten on request


RESTORABLE = (EndedBy.LIFETIME, EndedBy.MOVED, EndedBy.STALE)
"""A contact that was ended for one of these reasons is brought back when it is copied again."""

ORDERED = (EndedBy.UNDO, EndedBy.STALE, EndedBy.FORGOTTEN)
"""A person ordered the ending, whatever the policy says."""


class LedgerError(StrEnum):
    """What kept a contact from being retired, where a cure depends on it."""

    FORBIDDEN = "forbidden"  # the API user lacks a right
    NO_EFFECT = "no_effect"  # Autotask answers that a change was made, and does not show it


class Priority(IntEnum):
    """Order in which due work is taken."""

    URGENT = 0  # a person is waiting for it
    LIVE = 10  # a callout
    CATCH_UP = 20  # no callout came in time


class Chore(IntEnum):
    """Periodic work; the number is the row's ref."""

    RECONCILE = 1
    WEBHOOK = 2
    RETENTION = 3
    USAGE = 4
    RETIRE = 5
    FOLLOW = 6
    LOOPS = 7


class WaitsFor(StrEnum):
    """What a ticket waits for that was looked at in vain."""

    LIST = "list"  # its list, which may come later: it is read again as planned
    RETRY = "retry"  # a person that Autotask refused: it is tried again as planned
    GATE = "gate"  # Autotask may not be asked now
    PAUSED = "paused"  # an administrator has paused all writes
    RIGHT = "right"  # the API user lacks a right in its account
    BUDGET = "budget"  # our share of the calls is spent
    SLOT = "slot"  # no request to that entity may begin: as many are under way as may be
    MAILBOX = "mailbox"  # the mailbox cannot be read
    WINDOW = "window"  # its own part of the mailbox is long, or cannot be read
    REQUEST = "request"  # whether a request took effect is being looked up
    ENDING = "ending"  # a contact that it wants is being retired
    ANSWER = "answer"  # Autotask gives no good answer
    BUSY = "busy"  # Autotask turns the calls down because of load
    SHOWN = "shown"  # Autotask does not show what was there: it is read again as planned
    CHANGING = "changing"  # it changes while it is read
    NOTE = "note"  # its people are done, its note is not
    BUG = "bug"  # this service has failed


PLANNED = (WaitsFor.LIST, WaitsFor.RETRY, WaitsFor.SHOWN)
"""The ticket waits on purpose, until a time that is known: it is neither late nor in vain."""


class NoteError(StrEnum):
    """Why a note was not written, where that decides about further ones."""

    FORBIDDEN = "forbidden"  # the API user lacks the right
    WRONG_SETTING = "wrong_setting"  # TICKET_NOTE_PUBLISH is none of Autotask's choices
    NO_ANSWER = "no_answer"  # the request got none, and the note is not on the ticket
    UNCHECKED = "unchecked"  # who may read it could not be checked


FAILURES = (Outcome.FAILED, Outcome.CREATED_NOT_LINKED)
"""Autotask refused the contact or its link."""

WOULD = (Outcome.WOULD_LINK, Outcome.WOULD_CREATE)
"""Decided in observe mode: nothing was written."""
