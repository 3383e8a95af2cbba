"""Keep the webhooks of a tenant and the callouts that wait for them, in the order they came.

Delivery rules: https://www.autotask.net/help/developerhelp/Content/APIs/Webhooks/
Webhooks_Error_Handling.htm. A callout waits behind earlier ones of its webhook and action.
"""

import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from sandbox.model import Record
from sandbox.switches import Switches

Action = Literal["Create", "Update", "Delete"]
Queue = tuple[int, Action]


@dataclass
class Subscription:
    """A ticket webhook. `failures` counts events dropped in a row; 25 make it inactive.

    `ready_at`: nothing is called out before; None while it has no subscribed field. `fields`,
    `udf_fields` and `excluded` are its rows by id.
    """

    id: int
    url: str
    deactivation_url: str
    secret: str
    guid: str
    name: str
    actions: frozenset[Action]
    active: bool = True
    failures: int = 0
    ready_at: datetime | None = None
    owner: int | None = None
    notify: bool = False
    notification_email: str | None = None
    fields: dict[int, Record] = field(default_factory=dict)
    udf_fields: dict[int, Record] = field(default_factory=dict)
    excluded: dict[int, Record] = field(default_factory=dict)

    def is_ready(self, now: datetime) -> bool:
        """Return whether it has a subscribed field and is ready to call out."""
        return self.ready_at is not None and self.ready_at <= now

    def leaves_out(self, person_id: int | None) -> bool:
        """Return whether this resource's changes cause no callout."""
        return any(row["resourceID"] == person_id for row in self.excluded.values())


@dataclass
class Callout:
    """One event for one webhook, as long as it has not been delivered or dropped."""

    subscription: Subscription
    action: Action
    ticket_id: int
    payload: dict[str, Any]


@dataclass(frozen=True)
class Attempt:
    """One POST of a callout; `status` is None when no answer came in time."""

    subscription_id: int
    payload: dict[str, Any]
    status: int | None
    at: datetime


@dataclass(frozen=True)
class DroppedCallout:
    """A callout that was given up for good, with what went wrong last."""

    subscription_id: int
    payload: dict[str, Any]
    attempts: int
    error: str


def event_time(moment: datetime) -> str:
    """Format `EventTime`: UTC, whole seconds, Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Outbox:
    """Hold subscriptions and queues; `sandbox.callouts` empties them while a server runs."""

    def __init__(
        self, lock: threading.RLock, switches: Switches, clock: Callable[[], datetime]
    ) -> None:
        self.subscriptions: dict[int, Subscription] = {}
        self.queues: dict[Queue, deque[Callout]] = {}
        self.attempts: list[Attempt] = []
        self.dropped: list[DroppedCallout] = []
        self.changed = threading.Condition(lock)
        self.wake: Callable[[], None] = lambda: None
        self._lock = lock
        self._switches = switches
        self._clock = clock
        self._sequences: Counter[object] = Counter()
        self._last_id = 0

    def next_id(self) -> int:
        """Return the id of a new webhook: none is given twice."""
        self._last_id += 1
        return self._last_id

    def subscribe(
        self,
        url: str,
        deactivation_url: str,
        secret: str,
        *,
        guid: str | None,
        name: str,
        actions: Collection[Action],
    ) -> int:
        """Add a webhook that is active and ready, and return its id."""
        with self._lock:
            number = self.next_id()
            self.subscriptions[number] = Subscription(
                id=number,
                url=url,
                deactivation_url=deactivation_url,
                secret=secret,
                guid=guid or str(uuid.uuid4()),
                name=name,
                actions=frozenset(actions),
                ready_at=self._clock(),
            )
            return number

    def emit(self, action: Action, ticket: Record, person_id: int | None) -> None:
        """Queue a callout about a ticket for every webhook that asks for this action."""
        with self._lock:
            for subscription in self.subscriptions.values():
                if self._wants(subscription, action, person_id):
                    payload = self._payload(subscription, action, ticket, person_id)
                    queue = self.queues.setdefault((subscription.id, action), deque())
                    queue.append(Callout(subscription, action, ticket["id"], payload))
        self.wake()

    def _wants(self, subscription: Subscription, action: Action, person_id: int | None) -> bool:
        return (
            subscription.active
            and action in subscription.actions
            and subscription.is_ready(self._clock())
            and not subscription.leaves_out(person_id)
        )

    def finish(self, key: Queue) -> None:
        """Remove the callout at the head of a queue: it was delivered or dropped."""
        with self.changed:
            self.queues[key].popleft()
            self.changed.notify_all()

    def renumber(self, callout: Callout) -> None:
        """Give a callout the number and time of its next attempt, if retries get new ones."""
        with self._lock:
            if self._switches.retry_ids == "new":
                number = self._next_number(callout.subscription, callout.ticket_id)
                callout.payload = {
                    **callout.payload,
                    "EventTime": event_time(self._clock()),
                    "SequenceNumber": number,
                }

    def _next_number(self, subscription: Subscription, ticket_id: int) -> int:
        scopes = {"webhook": subscription.id, "ticket": (subscription.id, ticket_id)}
        scope = scopes.get(self._switches.sequence, "global")
        self._sequences[scope] += 1
        return self._sequences[scope]

    def _payload(
        self, subscription: Subscription, action: Action, ticket: Record, person_id: int | None
    ) -> dict[str, Any]:
        payload: dict[str, Any] = {
            "Action": action,
            "Guid": subscription.guid,
            "EntityType": "Ticket",
            "Id": ticket["id"],
            "Fields": self._fields(action, ticket),
            "EventTime": event_time(self._clock()),
            "SequenceNumber": self._next_number(subscription, ticket["id"]),
            self._switches.person_id_key: person_id,
        }
        return {
            name: value
            for name, value in payload.items()
            if value is not None or name not in ("Fields", self._switches.person_id_key)
        }

    def _fields(self, action: Action, ticket: Record) -> object:
        if action == "Delete":
            return {} if self._switches.delete_fields == "empty" else None
        fields = {"TicketNumber": ticket["ticketNumber"], "Title": ticket["title"]}
        if self._switches.fields_shape == "array":
            return [{"name": name, "value": value} for name, value in fields.items()]
        return fields if self._switches.fields_shape == "object" else None
