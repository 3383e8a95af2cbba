"""The tables. Due work is kept apart from what is known about a ticket."""

from app.db.tables.accounts import AccountPolicy, Audit, Forgotten, Loop, Note
from app.db.tables.calls import Calls, Gate, MailboxGate, RefusedCall, Slot, Tenant
from app.db.tables.chores import Absence, Reconciliation, RetiredSecret, Webhook
from app.db.tables.known import KnownFact
from app.db.tables.people import Ledger, LinkRecord, Mapping, Participant, TicketContact
from app.db.tables.tickets import CalloutCount, Delivery, Due, Look, TicketRecord, Worker

__all__ = [
    "Absence",
    "AccountPolicy",
    "Audit",
    "CalloutCount",
    "Calls",
    "Delivery",
    "Due",
    "Forgotten",
    "Gate",
    "KnownFact",
    "Ledger",
    "LinkRecord",
    "Look",
    "Loop",
    "MailboxGate",
    "Mapping",
    "Note",
    "Participant",
    "Reconciliation",
    "RefusedCall",
    "RetiredSecret",
    "Slot",
    "Tenant",
    "TicketContact",
    "TicketRecord",
    "Webhook",
    "Worker",
]
