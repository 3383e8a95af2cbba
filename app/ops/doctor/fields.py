"""Check the tenant's fields: Cc lists, contacts, notes, statuses and ticket sources."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from app.autotask.entity_info import FieldFacts
from app.autotask.errors import Unanswered
from app.autotask.models import Choice, NewContact
from app.ops.doctor.deployment import Deployment
from app.ops.doctor.findings import Finding, ok, problem, skipped, warning
from app.outbound.clients import which_end
from app.settings.cc_sources import DESCRIPTION, EML, MAILBOX, field_of
from app.settings.settings import Settings

ENOUGH = 1000
"""Characters that a field for a Cc list should hold."""

_ONE = 45  # characters of one `"Ana Ruiz" <ana.ruiz@client.example>; `
_SINGLE_LINE = 255  # characters of a single-line text field at most
_TEXT = ("string", "text", "memo")


async def sources(deployment: Deployment) -> Sequence[Finding]:
    """Check whether each Cc source of CC_SOURCES can have a list."""
    settings = deployment.settings
    names = [name for source in settings.cc_sources if (name := field_of(source))]
    found = []
    if names:
        fields = await deployment.entity_info().user_defined_fields("Tickets")
        others = len(settings.cc_sources) > len(names) and _has_another(settings)
        found = [judge_list_field(name, fields, others=others) for name in names]
    if MAILBOX in settings.cc_sources and not settings.graph_credentials:
        why = "The source `mailbox` is skipped: GRAPH_MAILBOX and its three ids are not set."
        found.append(skipped("source_mailbox", why, "If you want it: docs/setup/m365.md."))
    return found or [ok("sources", f"Cc sources: {', '.join(settings.cc_sources)}.")]


def _has_another(settings: Settings) -> bool:
    return bool(
        {DESCRIPTION, EML} & set(settings.cc_sources)
        or (MAILBOX in settings.cc_sources and settings.graph_credentials)
    )


def judge_list_field(name: str, fields: Iterable[FieldFacts], *, others: bool) -> Finding:
    """Judge the ticket field that should hold a list; `others`: there are more Cc sources."""
    code = f"udf_{name}"
    by_name = {field.name.casefold(): field for field in fields}
    field = by_name.get(name.casefold())
    if field is None:
        like = get_close_matches(name.casefold(), by_name, n=1)
        hint = f" Did you mean {by_name[like[0]].name}?" if like else ""
        text = f"Tickets have no user-defined field {name} that the API user sees.{hint}"
        cure = "Create it (docs/setup/email2at.md), or correct CC_SOURCES."
        return (
            warning(code, f"{text} It is skipped.", cure) if others else problem(code, text, cure)
        )
    kind = (field.type or "string").lower()
    if field.is_choice or kind not in _TEXT:
        text = f"The ticket field {name} is {'a list of choices' if field.is_choice else kind}."
        return problem(code, text, "Make it a field of the type Text (Multi-Line).")
    if field.length is None:
        return ok(code, f"The ticket field {name} is text; Autotask does not say how long.")
    if field.length >= ENOUGH:
        return ok(code, f"The ticket field {name} is text and has room for {field.length}.")
    line = ", so it is probably single-line" if field.length <= _SINGLE_LINE else ""
    return warning(
        code,
        f"The ticket field {name} has room for {field.length} characters{line}: about "
        f"{field.length // _ONE} people. A longer list loses its end.",
        "Make it a field of the type Text (Multi-Line), as long as Autotask allows.",
    )


async def contacts(deployment: Deployment) -> Sequence[Finding]:
    """Compare the fields that a new contact needs with those that it gets."""
    fields = await deployment.entity_info().fields("Contacts")
    return judge_contact_fields(fields, deployment.settings.contact_defaults)


def judge_contact_fields(
    fields: Sequence[FieldFacts], defaults: Mapping[str, Any]
) -> Sequence[Finding]:
    """Judge CONTACT_DEFAULTS by a contact's fields."""
    given = NewContact("x", "x", "x", "x", defaults).body(1)
    ours = {name.casefold() for name in given}
    missing = [
        field.name
        for field in fields
        if field.required and not field.read_only and field.name.casefold() not in ours
    ]
    by_name = {field.name.casefold(): field for field in fields}
    unknown = [n for n in defaults if n.casefold() not in {*by_name, "userdefinedfields"}]
    long = [
        name
        for name, value in defaults.items()
        if (field := by_name.get(name.casefold()))
        and field.length
        and len(str(value)) > field.length
    ]
    found = []
    cure = "docs/setup/autotask.md, step 4, shows how to write CONTACT_DEFAULTS."
    if missing:
        text = f"New contacts need {', '.join(missing)}, which CONTACT_DEFAULTS does not set."
        found.append(problem("contact_fields", text, cure))
    if unknown:
        text = f"CONTACT_DEFAULTS names fields that contacts do not have: {', '.join(unknown)}."
        found.append(problem("contact_defaults", text, cure))
    if long:
        text = f"CONTACT_DEFAULTS has more characters than fit: {', '.join(long)}."
        found.append(problem("contact_defaults", text, cure))
    done = "New contacts get all fields that Autotask requires; user-defined ones are not checked."
    return found or [ok("contact_fields", done)]


async def note(deployment: Deployment) -> Sequence[Finding]:
    """Check whether TICKET_NOTE_PUBLISH is one of the tenant's choices, and name it."""
    settings = deployment.settings
    if settings.ticket_note == "off":
        return [ok("note", "No notes are written on tickets (TICKET_NOTE=off).")]
    choices = (await deployment.autotask().note_picklists())["publish"]
    return [judge_publish(settings.ticket_note_publish, choices)]


# A live tenant reported these; no page of the vendor's has the numbers, so labels count, too.
_EVERYBODY, _CO_MANAGED = 1, 4
_CO_MANAGED_LABEL = re.compile(r"co[\W_]*manag", re.I)


def judge_publish(wanted: int | None, choices: Sequence[Choice]) -> Finding:
    """Judge who sees the notes; what is for customers, too, is warned of."""
    active = [choice for choice in choices if choice.active]
    named = ", ".join(f"{choice.value} = {choice.label}" for choice in active) or "none"
    cure = f"Set it to the one for internal people only. There are: {named}."
    chosen = next((choice for choice in active if choice.value == wanted), None)
    if chosen is None:
        text = f"TICKET_NOTE_PUBLISH={wanted} is not one of Autotask's choices."
        return problem("note", text, cure)
    text = f"Notes are for: {chosen.label}."
    if chosen.value == _CO_MANAGED or _CO_MANAGED_LABEL.search(chosen.label):
        who = "Co-managing users are customers' own people, so they see who is held and why."
        return warning("note", f"{text} {who}", cure)
    if chosen.value == _EVERYBODY or chosen.label.casefold().startswith("all "):
        return warning("note", f"{text} That includes customers, in the client portal.", cure)
    return ok("note", f"{text} That must be internal people only.")


async def statuses(deployment: Deployment) -> Sequence[Finding]:
    """Compare COMPLETE_STATUSES with the tenant's ticket statuses, and show which count."""
    choices = await deployment.autotask().status_choices()
    ends, unknown = which_end(choices, deployment.settings.complete_statuses)
    every = ", ".join(f"{choice.value} = {choice.label}" for choice in choices if choice.active)
    if unknown:
        text = f"COMPLETE_STATUSES names statuses that tickets do not have: {', '.join(unknown)}."
        return [problem("statuses", text, f"There are: {every}.")]
    over = ", ".join(choice.label for choice in choices if choice.value in ends)
    alike = [
        choice.label
        for choice in choices
        if choice.active and choice.value not in ends and _ends(choice)
    ]
    if alike:
        text = f"A ticket is over with: {over}. Not with: {', '.join(alike)}."
        return [warning("statuses", text, "Add the ones that end a ticket to COMPLETE_STATUSES.")]
    return [ok("statuses", f"A ticket is over with: {over or 'status 5'}.")]


def _ends(choice: Choice) -> bool:
    words = ("complete", "closed", "resolved", "cancel", "done")
    return any(word in choice.label.casefold() for word in words)


async def ticket_sources(deployment: Deployment) -> Sequence[Finding]:
    """Compare MAIL_TICKET_SOURCES with the tenant's ticket sources."""
    fields = await deployment.entity_info().fields("Tickets")
    field = next((field for field in fields if field.name == "source"), None)
    if field is None:
        raise Unanswered("the ticket's fields have no source")
    return [judge_ticket_sources(field, deployment.settings.mail_ticket_sources)]


def judge_ticket_sources(field: FieldFacts, given: Sequence[int]) -> Finding:
    """Judge which ticket sources mean mail."""
    labels = {choice.value: choice.label for choice in field.choices if choice.active}
    unknown = [str(value) for value in given if value not in labels]
    mail = {value: label for value, label in labels.items() if "mail" in label.casefold()}
    likely = {value: label for value, label in mail.items() if value not in given}
    named = ", ".join(f"{value} = {label}" for value, label in likely.items())
    if unknown:
        text = f"MAIL_TICKET_SOURCES names ticket sources that do not exist: {', '.join(unknown)}."
        every = ", ".join(f"{value} = {label}" for value, label in labels.items())
        return problem("ticket_sources", text, f"There are: {every}.")
    if likely:
        text = f"Ticket sources that look like mail and are not in MAIL_TICKET_SOURCES: {named}."
        cure = "Add the ones that mean mail: their tickets are read again while they have no list."
        return warning("ticket_sources", text, cure)
    means = ", ".join(labels[value] for value in given) or "those of tickets with a contact"
    return ok("ticket_sources", f"Ticket sources that mean mail: {means}.")
