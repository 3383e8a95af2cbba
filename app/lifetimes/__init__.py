"""Contacts of ours that are ended, and brought back: what our tables say of it. SQL only.

A row of the ledger is `retiring` while its contact is being ended: no link of it is announced then.
The address stays in the row, so that the contact can be brought back when it is copied again.
"""

from app.lifetimes.considering import Known, Stale, end_left_behind, known, stale, to_consider
from app.lifetimes.ending import (
    answered,
    gone,
    intend,
    intend_unlink,
    is_needed,
    keep,
    keep_link,
    later,
    never_created,
    retired,
    sent,
    step_back,
    unlinked,
)
from app.lifetimes.parts import is_taken
from app.lifetimes.restoring import (
    Restore,
    came_back,
    claim,
    claim_by_hand,
    ended,
    restorable,
    restored,
    vanished,
)

__all__ = [
    "Known",
    "Restore",
    "Stale",
    "answered",
    "came_back",
    "claim",
    "claim_by_hand",
    "end_left_behind",
    "ended",
    "gone",
    "intend",
    "intend_unlink",
    "is_needed",
    "is_taken",
    "keep",
    "keep_link",
    "known",
    "later",
    "never_created",
    "restorable",
    "restored",
    "retired",
    "sent",
    "stale",
    "step_back",
    "to_consider",
    "unlinked",
    "vanished",
]
