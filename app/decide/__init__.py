"""Facts in, decisions out: the decision table, without I/O."""

from app.decide.caps import Brought, Caps
from app.decide.owners import (
    and_parents,
    belongs_most_to,
    belongs_to,
    is_machine,
    is_own,
    not_customer,
)
from app.decide.providers import is_provider, without_providers
from app.decide.table import LIST_LIMIT, counts_today, decide, listed, needs_contacts
from app.decide.types import (
    NO_ADDRESS,
    NOT_CUSTOMER,
    Candidate,
    Decision,
    Facts,
    HelpDesk,
    Reason,
    Verdict,
)

__all__ = [
    "LIST_LIMIT",
    "NOT_CUSTOMER",
    "NO_ADDRESS",
    "Brought",
    "Candidate",
    "Caps",
    "Decision",
    "Facts",
    "HelpDesk",
    "Reason",
    "Verdict",
    "and_parents",
    "belongs_most_to",
    "belongs_to",
    "counts_today",
    "decide",
    "is_machine",
    "is_own",
    "is_provider",
    "listed",
    "needs_contacts",
    "not_customer",
    "without_providers",
]
