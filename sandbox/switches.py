"""Choose what a real tenant might do where no source says, and what goes wrong on the way.

"fact sheet" below means this project's notes on Autotask; the number is its section.
"""

import random
import threading
from dataclasses import dataclass, field
from typing import Literal

FaultKind = Literal[
    "error_500",
    "error_500_errors",
    "status_429",
    "unauthorized",
    "forbidden",
    "garbage",
    "bomb",
    "drip",
    "firewall",
    "firewall_after",
    "reset_before",
    "reset_after",
    "hang_before",
    "hang_after",
    "late_commit",
    "slow",
    "endless_same",
    "endless_cycle",
    "endless_new",
    "nonsense",
    "empty",
    "answer",
    "answer_after",
    "no_effect",
]

Verb = Literal["query", "create", "update", "delete"]

# Wordings that no source gives; a client must decide by the state it reads again, never by these.
_TEXTS = {
    "company": "The Contact must belong to the same Company as the Ticket.",
    "cap": "A Ticket may not have more than 30 additional contacts.",
    "duplicate": "The Contact is already an additional contact of this Ticket.",
    "own_contact": "The Contact is the contact of this Ticket.",
    "bad_user": "Invalid username or password.",
    "picklist": "The value is not a valid choice for the field",
    "request_limit": "The external request threshold of the database has been exceeded.",
    "right": "The logged in Resource does not have the adequate permissions to {verb} this entity"
    " type.",
    "webhook_right": "The logged in Resource does not have the adequate permissions to create or"
    " change webhooks.",
    "webhook_limit": "The maximum number of webhooks for this resource has been reached.",
    "webhook_duplicate": "A callout with this URL and event type is defined already.",
    "webhook_field": "A webhook needs a subscribed field to be active.",
    # The two notes of a merge: their title, and what the one on the source and the other one say.
    "merge_title": "Ticket Merge",
    "merged_into": "This ticket was merged into the ticket {number}.",
    "merged": "Merged into this ticket: {number}.",
}


@dataclass
class Switches:
    """Choose an answer for each fact that is unknown or contradictory; change it at any time.

    Defaults are the unkind ones. Every field names the section of the fact sheet it stands for,
    or the vendor's page.
    """

    # 3.2: posting a contact that is on the ticket already: 500, 200 with the old id, or a twin row.
    duplicate_link: Literal["refused", "no_op", "second_row"] = "second_row"
    # 3.2: posting the ticket's own contact: 500, or the ticket silently loses its contactID.
    own_contact: Literal["refused", "clears"] = "clears"
    # 3.2, 8.13: whether a contact of the parent company passes the company rule.
    parent_company_contact: Literal["refused", "accepted"] = "refused"
    # 3.2: whether a link or unlink moves lastActivityDate and causes an Update callout.
    link_touches_ticket: bool = True
    # 3.2: whether a ticket that gets into another account keeps the old one's additional contacts.
    moved_links: Literal["stay", "dropped"] = "stay"
    # Ticket_Merge.htm (see sandbox.moves): whether the destination gets the source's additional
    # contacts, and how "Absorbed Ticket Description [ticket number]" is meant.
    merged_links: Literal["left", "carried"] = "left"
    absorbed_title: Literal["brackets", "plain"] = "brackets"
    # Seconds by which the createDate of a new ticket lies ahead: an importing tool may write it.
    created_ahead: float = 0.0
    # 3.6: whether a note moves lastActivityDate and causes an Update callout.
    note_touches_ticket: bool = True
    # 3.6, contract: one live tenant wants a note's title too.
    note_title: Literal["required", "optional"] = "required"
    # 2.5: wording of the refusal for a missing or inactive contact.
    reference_text: Literal["new", "old"] = "new"
    # 2.6: status beyond three requests at once on one entity ("not always HTTP 429").
    thread_limit: Literal[429, 500] = 500
    # 2.6: status at 100 % of the hourly requests.
    request_limit: Literal[429, 500] = 500
    # 2.6: from half of the hourly requests on, each answer takes 0.5 s rising to 1 s.
    threshold_latency: bool = False
    # 2.2, 8.7: wrong user name and wrong integration code: documented 401, reported 500.
    bad_user: Literal[401, 500] = 500
    bad_integration_code: Literal[401, 500] = 500
    # 2.3: string comparison is the database's collation; some fields may be case-sensitive.
    case_sensitive: bool = False
    # 3.3, 8.9: what a filter on the integer Contacts.isActive accepts.
    contact_active_filter: Literal["int_only", "bool_only", "either"] = "int_only"
    # 8.15: pageDetails.count counts this page's rows or all that match.
    page_count: Literal["page", "total"] = "page"
    # 2.4: a missing id answers 200 {"item": null}; the contract also allows 404.
    missing_item: Literal["null", "404"] = "null"
    # 3.6, contract: what the child path answers for one attachment; the root path says item.
    attachment_answer: Literal["items", "item"] = "items"
    # 3.3: GET of one inactive contact gave companyID 0 (n8n issue 154).
    inactive_company_zero: bool = True
    # 3.3: receivesEmailNotifications of a contact created without it.
    notifications_default: bool = False
    # 3.3: what empties an e-mail field in a PATCH; the other is passed over, as if it had worked.
    clearing_address: Literal["empty", "null", "either", "neither"] = "empty"
    # contract, x-source this-file: a property the entity lacks in a create or update body.
    unknown_property: Literal["ignored", "refused"] = "ignored"
    # 2.5: members of `errors`; objects break the contract, as some clients expect them anyway.
    error_style: Literal["strings", "objects"] = "strings"
    # 2.1: where ZoneInformation sends the client; None is this server (a tenant can be moved).
    zone_url: str | None = None
    # 1.3: shape of `Fields`, and of a Delete callout's.
    fields_shape: Literal["object", "array", "absent"] = "object"
    delete_fields: Literal["empty", "absent"] = "absent"
    # 1.3, 8.1: casing of the key, and its value for a ticket that came by mail.
    person_id_key: Literal["PersonID", "PersonId"] = "PersonID"
    mail_person_id: int | None = None
    # 1.3: what SequenceNumber counts.
    sequence: Literal["webhook", "global", "ticket"] = "webhook"
    # 1.3: whether a retried callout keeps its SequenceNumber and EventTime.
    retry_ids: Literal["same", "new"] = "new"
    # 1.3, 8.6: the Deactivated message: signed or not, and where it goes.
    deactivated_signed: bool = False
    deactivated_to: Literal["deactivation_url", "webhook_url", "both"] = "both"
    # A live tenant answered 500 for a right that the level lacks; 403 is published.
    denied: Literal["error_500", "status_403"] = "error_500"
    # 1.1: the answer to a level without "Can create WebHooks", and how many webhooks it may have.
    webhook_right: Literal["granted", "error_500", "status_403"] = "granted"
    webhook_limit: int = 10
    # 1.2: seconds from the first subscribed field until isReady is true.
    webhook_ready_after: float = 0.2
    # 1.2: "at least one subscribed field is needed to activate": isActive without one is refused.
    activate_without_field: Literal["refused", "accepted"] = "refused"
    # 1.2: whether the secretKey can be read.
    secret_shown: bool = False
    # 1.2: a second webhook with the URL and an event of another one.
    duplicate_webhook: Literal["refused", "accepted"] = "refused"
    # 1.2: how the picklist of a webhook's fields writes them: "Ticket Number" or "ticketNumber".
    webhook_field_label: Literal["words", "name"] = "words"
    # 1.2: what the definition of a webhook's user-defined fields calls their picklist.
    webhook_udf_field_name: Literal["udfFieldID", "fieldID"] = "udfFieldID"
    # 5: a request that Autotask is still busy with, though its client is gone, holds a thread.
    late_commit_holds_thread: bool = True
    texts: dict[str, str] = field(default_factory=lambda: dict(_TEXTS))


@dataclass(frozen=True)
class Denied:
    """A right that the level lacks: everywhere, in one company, or in those of a type.

    Rights on organizations and their contacts are given by type of organization:
    https://ww4.autotask.net/help/Content/4_Admin/2SecurityLevels/Settings_CRM.htm
    """

    verb: Verb
    entity: str
    company_id: int | None = None
    company_type: int | None = None

    @property
    def everywhere(self) -> bool:
        """Whether it is not limited to some companies."""
        return self.company_id is None and self.company_type is None


@dataclass(eq=False)
class Fault:
    """A fault of matching requests. `seconds` belongs to the hangs, `late_commit` and `slow`.

    hang_*       no answer for `seconds`, then a reset; the write never or already took effect
    reset_*      a reset before or after the write took effect
    late_commit  a reset at once (`silent`: no answer at all until then), and the write takes
                 effect `seconds` later, whether or not the client is still there
    slow         the right answer, `seconds` late
    endless_*    a page of a list that names itself as the next one, or the other of two, or ever
                 new ones with new records
    nonsense     JSON in which nothing has the right type
    empty        an answer without any record or field
    firewall*    a firewall's page with `status` (403); the write never or already took effect
    bomb, drip   an answer that expands to 64 MB, or of which a byte comes now and then for
                 `seconds`; nothing takes effect
    answer       `status` (200) and `text` as the body, HTML unless it is JSON; nothing takes
                 effect
    answer_after the same, after the write took effect
    no_effect    answered as if it had worked, though what `fields` name (all: empty) stays as it is
    The first `after` matching requests pass, then `times` of them are hit (None: all), each with
    probability `chance` (drawn from `Faults.seed`).
    """

    kind: FaultKind
    method: str | None = None
    entity: str | None = None
    path_contains: str | None = None
    body_contains: str | None = None
    times: int | None = 1
    after: int = 0
    seconds: float = 30.0
    text: str = "Object reference not set to an instance of an object."
    retry_after: str | None = None
    silent: bool = False
    status: int | None = None
    fields: tuple[str, ...] = ()
    chance: float = 1.0

    def matches(self, method: str, entity: str, path: str, body: str = "") -> bool:
        """Return whether a request is one of those this fault is for."""
        return (
            self.method in (None, method)
            and self.entity in (None, entity)
            and (self.path_contains is None or self.path_contains.lower() in path.lower())
            and (self.body_contains is None or self.body_contains.lower() in body.lower())
        )


class Faults:
    """Hold the faults to come, and the latency of every request (uniform, seconds)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []
        self.latency: tuple[float, float] = (0.0, 0.0)
        self.seed = 1

    @property
    def seed(self) -> int:
        """Seed of latency and chance; setting it starts their random numbers over."""
        return self._seed

    @seed.setter
    def seed(self, value: int) -> None:
        self._seed = value
        self._random = random.Random(value)

    def add(self, *faults: Fault) -> None:
        """Append faults; of several that match a request, the first that is due hits."""
        with self._lock:
            self._waiting.extend(faults)

    def clear(self) -> None:
        """Forget every fault that has not happened yet, and the latency."""
        with self._lock:
            self._waiting.clear()
            self.latency = (0.0, 0.0)

    def pending(self) -> list[Fault]:
        """Return the faults that can still happen."""
        with self._lock:
            return list(self._waiting)

    def take(self, method: str, entity: str, path: str, body: str = "") -> Fault | None:
        """Return the fault that hits this request, and use it up by one."""
        with self._lock:
            for fault in self._waiting:
                if not fault.matches(method, entity, path, body):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    continue
                if fault.chance < 1.0 and self._random.random() >= fault.chance:
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._waiting.remove(fault)
                return fault
        return None

    def delay(self) -> float:
        """Draw this request's latency in seconds."""
        with self._lock:
            return self._random.uniform(*self.latency)
