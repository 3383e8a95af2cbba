"""Check what the API user may do, as far as that shows without doing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.entity_info import Access, EntityInfo
from app.autotask.errors import AutotaskError, Forbidden
from app.db.states import LedgerState
from app.db.tables import AccountPolicy, Ledger, LinkRecord, Note
from app.decide.policy import in_effect
from app.ops.doctor.deployment import Deployment
from app.ops.doctor.findings import Finding, ok, problem, skipped, warning
from app.outbound import gate, refusals
from app.outbound.gate import GateCode
from app.outbound.refusals import Why
from app.settings.cc_sources import EML
from app.settings.settings import Settings

_LEVEL = "Admin > Account Settings & Users > Security Levels, the API user's level"
_BY_TYPE = (
    "CRM > Organization & Contact Access gives it by type of organization, and contacts need the "
    "right to add and edit organizations."
)
_RECENT = timedelta(days=1)
_ALWAYS = ("Tickets", "Contacts", "Companies", "Resources", "TicketAdditionalContacts")
_NEVER_EMPTY = ("Tickets", "Contacts", "Companies", "Resources")


async def reading(deployment: Deployment) -> Sequence[Finding]:
    """Read one record of each entity that the service reads."""
    info = deployment.entity_info()
    return [await _reads(info, entity) for entity in _read(deployment.settings)]


def _read(settings: Settings) -> list[str]:
    notes = ["TicketNotes"] if settings.ticket_note != "off" else []
    files = ["TicketAttachments"] if EML in settings.cc_sources else []
    return [*_ALWAYS, *notes, *files]


async def _reads(info: EntityInfo, entity: str) -> Finding:
    code = f"read_{entity}"
    try:
        visible = await info.shows_any(entity)
    except Forbidden:
        cure = f"Give the right to view them: {_LEVEL}; docs/setup/autotask.md has the list."
        return problem(code, f"The API user may not read {entity}.", cure)
    except AutotaskError as error:
        return problem(code, f"{entity} cannot be read: {error}.", "Read the message; try again.")
    if not visible and entity in _NEVER_EMPTY:
        cure = f"Unless the tenant is new: let the level see all of them: {_LEVEL}."
        return warning(code, f"{entity} may be read, but the API user sees none.", cure)
    return ok(code, f"{entity} can be read.")


async def lifetimes(deployment: Deployment) -> Sequence[Finding]:
    """Check the rights to retire contacts, if a policy has them retired."""
    ends = in_effect(deployment.settings.default_policy).policy
    async with deployment.records() as session:
        own = (await session.scalars(select(AccountPolicy.document))).all()
    if not any("ticket" in (document.get("lifetime") or {}).values() for document in own) and not (
        ends.ends("inside") or ends.ends("outside")
    ):
        return [ok("lifetimes", "Contacts are created for good: no policy has another lifetime.")]
    return [await _reads(deployment.entity_info(), "ClientPortalUsers")]


async def linking(deployment: Deployment) -> Sequence[Finding]:
    """Check whether tickets may be changed: adding a contact to one presumably needs it."""
    access = await deployment.entity_info().access("Tickets")
    if not access.may_update:
        found = "The API user may not edit tickets, so it presumably cannot add contacts to them."
        return [problem("write_links", found, f"Give the right to edit tickets: {_LEVEL}.")]
    return [
        ok(
            "write_links",
            f"Tickets may be edited (Autotask says {access.update or 'nothing against it'}). "
            "Whether a contact may be added to a ticket shows only when one is.",
        )
    ]


async def creating(deployment: Deployment) -> Sequence[Finding]:
    """Check whether contacts, links and notes may be created, by Autotask's word and our records.

    A refusal that is on record counts more than what Autotask says of the level.
    """
    async with deployment.records() as session:
        refused = await _refused(session)
        done = await _created(session, notes=deployment.settings.ticket_note != "off")
    info = deployment.entity_info()
    levels = {entity: await _access(info, entity) for entity in done}
    found = [
        _lacks(entity, refused[entity]) if entity in refused else _may(levels[entity], entity, at)
        for entity, at in done.items()
    ]
    return [*found, *_sees_and_changes(levels)]


async def _access(info: EntityInfo, entity: str) -> Access:
    """Return what Autotask says of the API user's rights; nothing where it cannot be asked."""
    try:
        return await info.access(entity)
    except AutotaskError:
        return Access()


async def _created(session: AsyncSession, *, notes: bool) -> dict[str, datetime | None]:
    """Return when each entity was created last; None: never."""
    done = {
        "Contacts": await session.scalar(
            select(func.max(Ledger.settled_at)).where(Ledger.state == LedgerState.CREATED)
        ),
        "TicketAdditionalContacts": await session.scalar(
            select(func.max(LinkRecord.first_seen_linked_at)).where(LinkRecord.ours)
        ),
    }
    if notes:
        done["TicketNotes"] = await session.scalar(
            select(func.max(Note.sent_at)).where(Note.state == LedgerState.CREATED)
        )
    return done


async def _refused(session: AsyncSession) -> dict[str, str]:
    """Return where creating was refused of late, by entity; in words, empty: everywhere."""
    places: dict[str, list[str]] = {}
    for known in await refusals.latest(session, Why.RIGHT, _RECENT):
        verb, _, entity = known.call.partition(" ")
        if verb == "create":
            places.setdefault(entity, []).append(known.about)
    found = {entity: ", ".join(filter(None, where)) for entity, where in places.items()}
    shut = await gate.state(session)
    if shut and shut.code == GateCode.FORBIDDEN and shut.call:
        verb, _, entity = shut.call.partition(" ")
        found |= {entity: ""} if verb in ("create", "write") else {}
    return found


def _lacks(entity: str, where: str) -> Finding:
    code, cure = f"create_{entity}", f"Give the right to add them: {_LEVEL}; {_BY_TYPE}"
    if not where:
        return problem(code, f"Autotask has refused to create {entity}.", cure)
    return problem(code, f"Autotask has refused to create {entity} of {where}.", cure)


def _sees_and_changes(levels: Mapping[str, Access]) -> list[Finding]:
    """Return what Autotask limits of the other rights on contacts and links."""
    found = []
    rights: tuple[tuple[str, Literal["query", "update"], str], ...] = (
        ("Contacts", "query", "people of other accounts are not found, and created again"),
        ("Contacts", "update", "contacts there cannot be activated or retired"),
        ("TicketAdditionalContacts", "query", "nobody can be added to other tickets"),
    )
    for entity, verb, needed in rights:
        level = levels[entity].level(verb)
        text = f"Autotask gives the API user {level} to {verb} {entity}: {needed}."
        code, cure = f"{verb}_{entity}", f"Make it All: {_LEVEL}; {_BY_TYPE}"
        if level == "None" and verb == "query":
            found.append(problem(code, text, cure))
        elif level in ("None", "Restricted"):
            found.append(warning(code, text, cure))
    return found


def _may(access: Access, entity: str, at: datetime | None) -> Finding:
    """Return what Autotask says of the right to create an entity's records."""
    code = f"create_{entity}"
    level = access.level("create")
    last = f"; the last was at {at:%Y-%m-%d %H:%M} UTC" if at else ""
    if level == "None":
        found = f"The API user may not create {entity} (Autotask says None)."
        return problem(code, found, f"Give the right to add them: {_LEVEL}; {_BY_TYPE}")
    if level == "Restricted":
        found = (
            f"The API user may create {entity} in some accounts only (Autotask says Restricted): "
            f"people of others will wait{last}."
        )
        return warning(code, found, f"Make it All: {_LEVEL}; {_BY_TYPE}")
    if level == "All":
        return ok(code, f"{entity} may be created (Autotask says All){last}.")
    if at:
        return ok(code, f"{entity} were created, at {at:%Y-%m-%d %H:%M} UTC last.")
    why = f"Autotask does not say whether {entity} may be created; we have created none yet."
    return skipped(code, why, f"{_LEVEL}; then `autotask-cc watch` and a test mail.")
