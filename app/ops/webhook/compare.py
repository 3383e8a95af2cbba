"""What our webhook should be, and what is there: compared without I/O."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from app.autotask.models import Choice
from app.autotask.webhooks import ExcludedResource, TicketWebhook, WebhookField

NAME = "autotask-cc"  # 50 characters at most
PATH = "/webhooks/autotask"

# Which field hardly matters, the service reads the ticket itself; without one nothing is called
# out. The picklist writes `Ticket Number` or `ticketNumber`.
_FIELDS = ("ticketnumber", "title", "status")

# Whose changes matter with WEBHOOK_UPDATES. Nobody has published what the picklist calls a company,
# which Autotask's pages have called account and organization as well.
_CHANGES = {
    "status": ("status", "ticketstatus", "statusid"),
    "company": tuple(
        f"{word}{end}"
        for word in ("company", "account", "organization", "organisation", "client")
        for end in ("id", "", "name")
    ),
}

OFF = ("gone", "inactive", "url", "events", "not_ready")
"""With one of these no callouts of new tickets come."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was compared. code: what is wrong; None: it is as it should be."""

    what: str
    there: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """All that was compared; the gravest first among what is wrong. hook: ours; None: gone."""

    lines: tuple[Line, ...]
    hook: TicketWebhook | None

    @property
    def wrong(self) -> tuple[Line, ...]:
        """What is not as it should be."""
        return tuple(line for line in self.lines if line.code)

    @property
    def code(self) -> str | None:
        """The gravest of what is wrong."""
        return self.wrong[0].code if self.wrong else None

    @property
    def detail(self) -> str | None:
        """All that is wrong, in words."""
        return "; ".join(f"{line.what}: {line.there}" for line in self.wrong) or None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What our webhook should be. fields, udfs: labels by their ids in the picklists.

    missing: user-defined fields of CC_SOURCES that this Autotask does not have. us: our own user's
    resource id; None: nobody is found by its name. updates: changes of tickets are called out;
    absent: those that are not, as Autotask offers no such field.
    """

    public_url: str
    fields: tuple[Choice, ...]
    udfs: tuple[Choice, ...]
    missing: tuple[str, ...]
    us: int | None
    updates: bool = False
    absent: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Where Autotask is to post."""
        return self.public_url + PATH

    def values(self) -> dict[str, Any]:
        """Write the properties as they should be, but for secret and isActive."""
        return {
            "webhookUrl": self.url,
            "deactivationUrl": f"{self.url}/deactivated",
            "isSubscribedToCreateEvents": True,
            "isSubscribedToUpdateEvents": self.updates,
            "isSubscribedToDeleteEvents": False,
        }

    def excluded(self, hook: TicketWebhook) -> int | None:
        """Give whose doing is to be left out: our user's, or whoever made the webhook."""
        return self.us if self.us is not None else hook.owner_id


@dataclass(frozen=True, slots=True)
class There:
    """What is at Autotask. hook: ours; None: there is none. twins: more with our address."""

    hook: TicketWebhook | None = None
    twins: tuple[TicketWebhook, ...] = ()
    fields: tuple[WebhookField, ...] = ()
    udfs: tuple[WebhookField, ...] = ()
    excluded: tuple[ExcludedResource, ...] = ()


def choose_field(choices: Collection[Choice]) -> Choice | None:
    """Pick the ticket number out of a picklist, or else any field."""
    named = _named(choices)
    return next((named[name] for name in (*_FIELDS, *named) if name in named), None)


def choose_changes(choices: Collection[Choice]) -> tuple[tuple[Choice, ...], tuple[str, ...]]:
    """Find the fields whose changes matter; and name those that are not offered."""
    named = _named(choices)
    found = {
        what: next((named[name] for name in names if name in named), None)
        for what, names in _CHANGES.items()
    }
    return (
        tuple(choice for choice in found.values() if choice),
        tuple(what for what, choice in found.items() if not choice),
    )


def choose_udfs(
    names: Collection[str], choices: Collection[Choice]
) -> tuple[tuple[Choice, ...], tuple[str, ...]]:
    """Find user-defined fields by name, in any casing; and name those that are not there."""
    by_name = {choice.label.strip().casefold(): choice for choice in choices if choice.active}
    found = {name: by_name.get(name.casefold()) for name in names}
    return (
        tuple(choice for choice in found.values() if choice),
        tuple(name for name, choice in found.items() if not choice),
    )


def choose_ours(
    hooks: Sequence[TicketWebhook], url: str, known: tuple[int, str | None] | None
) -> tuple[TicketWebhook | None, tuple[TicketWebhook, ...]]:
    """Find ours by its address; or, if none has it, the one that we knew by id and guid.

    The address is ours whoever made the webhook. Of several one is kept: an active one, an old one.
    """
    ours = [hook for hook in hooks if _same_url(hook.url, url)]
    ours.sort(key=lambda hook: (not hook.active, not hook.creates, hook.id))
    if not ours and known:
        ours = [hook for hook in hooks if (hook.id, hook.guid) == known]
    return (ours[0], tuple(ours[1:])) if ours else (None, ())


def changes(wanted: Wanted, hook: TicketWebhook) -> dict[str, Any]:
    """Give the properties that have to be changed, but for isActive."""
    there = {
        "webhookUrl": hook.url,
        "deactivationUrl": hook.deactivation_url,
        "isSubscribedToCreateEvents": hook.creates,
        "isSubscribedToUpdateEvents": hook.updates,
        "isSubscribedToDeleteEvents": hook.deletes,
    }
    return {name: value for name, value in wanted.values().items() if there[name] != value}


def lacks_field(choice: Choice, rows: Collection[WebhookField]) -> bool:
    """Tell whether a field is not on the webhook, or not as it should be."""
    return not any(row.choice == choice.value and row.subscribed and row.shown for row in rows)


def lacks_exclusion(wanted: Wanted, there: There) -> bool:
    """Tell whether our own doing would be called out."""
    us = wanted.excluded(there.hook) if there.hook else None
    return us is not None and not any(row.resource_id == us for row in there.excluded)


def report(wanted: Wanted, there: There) -> Report:
    """Compare what is there with what should be."""
    hook = there.hook
    if hook is None:
        gone = Line("webhook", f"there is none for {wanted.url}", "gone")
        return Report((gone,), None)
    wrong = changes(wanted, hook)
    no_changes = Line("changes of tickets", "not called out", "updates")
    lines = [
        Line("webhook", f"{hook.id}, made by resource {hook.owner_id}"),
        _line("active", "yes" if hook.active else "no: disabled", "inactive", good=hook.active),
        _line("address", hook.url or "none", "url", good="webhookUrl" not in wrong),
        _line("events", _events(hook), "events", good=hook.creates),
        *([no_changes] if wanted.updates and not hook.updates else []),
        *_field_lines(wanted, there),
        _exclusion(wanted, there),
        _line("ready", "yes" if hook.ready else "not yet", "not_ready", good=hook.ready),
        *(Line("twin", f"webhook {twin.id} has our address too", "twin") for twin in there.twins),
    ]
    if hook.creates and (hook.deletes or (hook.updates and not wanted.updates)):
        lines.append(Line("other events", "called out for nothing", "noise"))
    if "deactivationUrl" in wrong:
        there_is = hook.deactivation_url or "none"
        lines.append(Line("deactivation address", there_is, "deactivation_url"))
    return Report(tuple(lines), hook)


def _line(what: str, there: str, code: str, *, good: bool) -> Line:
    return Line(what, there, None if good else code)


def _events(hook: TicketWebhook) -> str:
    flags = {"create": hook.creates, "update": hook.updates, "delete": hook.deletes}
    return ", ".join(name for name, on in flags.items() if on) or "none"


def _field_lines(wanted: Wanted, there: There) -> list[Line]:
    lacking = [field for field in wanted.fields if lacks_field(field, there.fields)]
    lacking += [udf for udf in wanted.udfs if lacks_field(udf, there.udfs)]
    lines = [
        Line(f"field {choice.label}", "missing", "field")
        if choice in lacking
        else Line(f"field {choice.label}", "subscribed")
        for choice in (*wanted.fields, *wanted.udfs)
    ]
    absent = "left out: webhooks cannot subscribe to it, so its changes are not called out"
    missing = "left out: this Autotask has no such user-defined field for tickets"
    lines += [Line(f"field {name}", absent) for name in wanted.absent]
    return lines + [Line(f"field {name}", missing) for name in wanted.missing]


def _exclusion(wanted: Wanted, there: There) -> Line:
    assert there.hook is not None
    us = wanted.excluded(there.hook)
    if us is None:
        return Line("our own user", "not found by AUTOTASK_USERNAME: its changes are called out")
    missing = lacks_exclusion(wanted, there)
    shown = f"resource {us} {'is not' if missing else 'is'} excluded"
    return _line("our own user", shown, "exclusion", good=not missing)


def _named(choices: Collection[Choice]) -> dict[str, Choice]:
    """Give those that can be used by their plain labels; of two alike the first, in its place."""
    named: dict[str, Choice] = {}
    for choice in choices:
        if choice.active:
            named.setdefault(_plain(choice.label), choice)
    return named


def _plain(label: str) -> str:
    return "".join(char for char in label.casefold() if char.isalnum())


def _same_url(one: str | None, other: str) -> bool:
    return (one or "").rstrip("/").casefold() == other.casefold()
