"""Compare our webhook at Autotask with what it should be. Nothing is read or written here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from app.autotask.models import Choice
from app.autotask.webhooks import ExcludedResource, TicketWebhook, WebhookField

NAME = "autotask-cc"  # 50 characters at most
PATH = "/webhooks/autotask"

# Any field will do, as the service reads the ticket itself; without one no callouts come. The
# picklist says `Ticket Number` or `ticketNumber`.
_FIELDS = ("ticketnumber", "title", "status")

# Fields whose changes matter with WEBHOOK_UPDATES. It is not published what the picklist calls a
# company; Autotask's pages have called it account and organization as well.
_CHANGES = {
    "status": ("status", "ticketstatus", "statusid"),
    "company": tuple(
        f"{word}{end}"
        for word in ("company", "account", "organization", "organisation", "client")
        for end in ("id", "", "name")
    ),
}

OFF = ("gone", "inactive", "url", "events", "not_ready")
"""Codes with which no callouts of new tickets come."""


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One thing that was compared."""

    what: str
    there: str
    """What is at Autotask, in words."""

    code: str | None = None
    """What is wrong; None if nothing is."""


@dataclass(frozen=True, slots=True)
class WebhookReport:
    """Everything that was compared."""

    lines: tuple[ReportLine, ...]
    """Of the wrong ones the gravest comes first."""

    hook: TicketWebhook | None
    """Our webhook; None if Autotask has none."""

    @property
    def wrong(self) -> tuple[ReportLine, ...]:
        """The lines that are not as they should be."""
        return tuple(line for line in self.lines if line.code)

    @property
    def code(self) -> str | None:
        """The code of the gravest difference."""
        return self.wrong[0].code if self.wrong else None

    @property
    def detail(self) -> str | None:
        """Every difference, in words."""
        return "; ".join(f"{line.what}: {line.there}" for line in self.wrong) or None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What our webhook should be."""

    public_url: str
    fields: tuple[Choice, ...]
    """Fields to subscribe to, as the picklist has them."""

    udfs: tuple[Choice, ...]
    """User-defined fields to subscribe to."""

    missing: tuple[str, ...]
    """User-defined fields of CC_SOURCES that this Autotask does not have."""

    own_user_id: int | None
    """The resource id of our API user; None if its name is not found."""

    updates: bool = False
    """Whether changes of tickets are called out."""

    absent: tuple[str, ...] = ()
    """Changes that cannot be called out, as Autotask offers no such field."""

    @property
    def url(self) -> str:
        """The address to which Autotask posts."""
        return self.public_url + PATH

    def values(self) -> dict[str, Any]:
        """Return the properties as they should be, without secret and isActive."""
        return {
            "webhookUrl": self.url,
            "deactivationUrl": f"{self.url}/deactivated",
            "isSubscribedToCreateEvents": True,
            "isSubscribedToUpdateEvents": self.updates,
            "isSubscribedToDeleteEvents": False,
        }

    def excluded(self, hook: TicketWebhook) -> int | None:
        """Return whose changes are not called out: our user's, or else the owner's."""
        return self.own_user_id if self.own_user_id is not None else hook.owner_id


@dataclass(frozen=True, slots=True)
class WebhookAtAutotask:
    """What Autotask has of our webhook."""

    hook: TicketWebhook | None = None
    """Our webhook; None if there is none."""

    twins: tuple[TicketWebhook, ...] = ()
    """Further webhooks with our address."""

    fields: tuple[WebhookField, ...] = ()
    udfs: tuple[WebhookField, ...] = ()
    excluded: tuple[ExcludedResource, ...] = ()


def choose_field(choices: Collection[Choice]) -> Choice | None:
    """Choose the ticket number from a picklist, or else any field."""
    named = _named(choices)
    return next((named[name] for name in (*_FIELDS, *named) if name in named), None)


def choose_changes(choices: Collection[Choice]) -> tuple[tuple[Choice, ...], tuple[str, ...]]:
    """Choose the fields whose changes matter, and name those that the picklist lacks."""
    named = _named(choices)
    chosen = {
        what: next((named[name] for name in names if name in named), None)
        for what, names in _CHANGES.items()
    }
    return (
        tuple(choice for choice in chosen.values() if choice),
        tuple(what for what, choice in chosen.items() if not choice),
    )


def choose_udfs(
    names: Collection[str], choices: Collection[Choice]
) -> tuple[tuple[Choice, ...], tuple[str, ...]]:
    """Choose user-defined fields by name in any case, and name those that the picklist lacks."""
    by_name = {choice.label.strip().casefold(): choice for choice in choices if choice.active}
    chosen = {name: by_name.get(name.casefold()) for name in names}
    return (
        tuple(choice for choice in chosen.values() if choice),
        tuple(name for name, choice in chosen.items() if not choice),
    )


def choose_ours(
    hooks: Sequence[TicketWebhook], url: str, known: tuple[int, str | None] | None
) -> tuple[TicketWebhook | None, tuple[TicketWebhook, ...]]:
    """Choose our webhook, and list further ones with our address.

    Ours is the one with our address, no matter who made it; else the one that we know by id and
    guid. Of several an active one is kept, then the oldest.
    """
    ours = [hook for hook in hooks if _same_url(hook.url, url)]
    ours.sort(key=lambda hook: (not hook.active, not hook.creates, hook.id))
    if not ours and known:
        ours = [hook for hook in hooks if (hook.id, hook.guid) == known]
    return (ours[0], tuple(ours[1:])) if ours else (None, ())


def changes(wanted: Wanted, hook: TicketWebhook) -> dict[str, Any]:
    """Return the properties that have to be changed, without isActive."""
    actual = {
        "webhookUrl": hook.url,
        "deactivationUrl": hook.deactivation_url,
        "isSubscribedToCreateEvents": hook.creates,
        "isSubscribedToUpdateEvents": hook.updates,
        "isSubscribedToDeleteEvents": hook.deletes,
    }
    return {name: value for name, value in wanted.values().items() if actual[name] != value}


def lacks_field(choice: Choice, rows: Collection[WebhookField]) -> bool:
    """Return whether a field is missing on the webhook, or is not as it should be."""
    return not any(row.choice == choice.value and row.subscribed and row.shown for row in rows)


def lacks_exclusion(wanted: Wanted, actual: WebhookAtAutotask) -> bool:
    """Return whether our own changes would be called out."""
    own_user_id = wanted.excluded(actual.hook) if actual.hook else None
    return own_user_id is not None and not any(
        row.resource_id == own_user_id for row in actual.excluded
    )


def compare(wanted: Wanted, actual: WebhookAtAutotask) -> WebhookReport:
    """Compare what Autotask has with what it should have."""
    hook = actual.hook
    if hook is None:
        gone = ReportLine("webhook", f"there is none for {wanted.url}", "gone")
        return WebhookReport((gone,), None)
    wrong = changes(wanted, hook)
    no_changes = ReportLine("changes of tickets", "not called out", "updates")
    lines = [
        ReportLine("webhook", f"{hook.id}, made by resource {hook.owner_id}"),
        _line("active", "yes" if hook.active else "no: disabled", "inactive", good=hook.active),
        _line("address", hook.url or "none", "url", good="webhookUrl" not in wrong),
        _line("events", _events(hook), "events", good=hook.creates),
        *([no_changes] if wanted.updates and not hook.updates else []),
        *_field_lines(wanted, actual),
        _exclusion(wanted, actual),
        _line("ready", "yes" if hook.ready else "not yet", "not_ready", good=hook.ready),
        *(
            ReportLine("twin", f"webhook {twin.id} has our address too", "twin")
            for twin in actual.twins
        ),
    ]
    if hook.creates and (hook.deletes or (hook.updates and not wanted.updates)):
        lines.append(ReportLine("other events", "called out for nothing", "noise"))
    if "deactivationUrl" in wrong:
        deactivation = hook.deactivation_url or "none"
        lines.append(ReportLine("deactivation address", deactivation, "deactivation_url"))
    return WebhookReport(tuple(lines), hook)


def _line(what: str, there: str, code: str, *, good: bool) -> ReportLine:
    return ReportLine(what, there, None if good else code)


def _events(hook: TicketWebhook) -> str:
    flags = {"create": hook.creates, "update": hook.updates, "delete": hook.deletes}
    return ", ".join(name for name, on in flags.items() if on) or "none"


def _field_lines(wanted: Wanted, actual: WebhookAtAutotask) -> list[ReportLine]:
    lacking = [field for field in wanted.fields if lacks_field(field, actual.fields)]
    lacking += [udf for udf in wanted.udfs if lacks_field(udf, actual.udfs)]
    lines = [
        ReportLine(f"field {choice.label}", "missing", "field")
        if choice in lacking
        else ReportLine(f"field {choice.label}", "subscribed")
        for choice in (*wanted.fields, *wanted.udfs)
    ]
    absent = "left out: webhooks cannot subscribe to it, so its changes are not called out"
    missing = "left out: this Autotask has no such user-defined field for tickets"
    lines += [ReportLine(f"field {name}", absent) for name in wanted.absent]
    return lines + [ReportLine(f"field {name}", missing) for name in wanted.missing]


def _exclusion(wanted: Wanted, actual: WebhookAtAutotask) -> ReportLine:
    assert actual.hook is not None
    own_user_id = wanted.excluded(actual.hook)
    if own_user_id is None:
        return ReportLine(
            "our own user", "not found by AUTOTASK_USERNAME: its changes are called out"
        )
    missing = lacks_exclusion(wanted, actual)
    shown = f"resource {own_user_id} {'is not' if missing else 'is'} excluded"
    return _line("our own user", shown, "exclusion", good=not missing)


def _named(choices: Collection[Choice]) -> dict[str, Choice]:
    """Return the active choices by their plain labels; of two alike the first one counts."""
    named: dict[str, Choice] = {}
    for choice in choices:
        if choice.active:
            named.setdefault(_plain(choice.label), choice)
    return named


def _plain(label: str) -> str:
    return "".join(char for char in label.casefold() if char.isalnum())


def _same_url(url: str | None, other: str) -> bool:
    return (url or "").rstrip("/").casefold() == other.casefold()
