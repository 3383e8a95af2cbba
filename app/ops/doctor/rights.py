"""Check what the API user may do, as far as that shows without doing it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select

from app.autotask.entity_info import EntityInfo
from app.autotask.errors import AutotaskError, Forbidden
from app.db.states import LedgerState
from app.db.tables import AccountPolicy, Ledger, LinkRecord, Note
from app.decide.policy import in_effect
from app.ops.doctor.deployment import Deployment
from app.ops.doctor.findings import Finding, ok, problem, skipped, warning
from app.outbound import gate
from app.outbound.gate import GateCode, call_name
from app.settings.cc_sources import EML
from app.settings.settings import Settings

_LEVEL = "Admin > Account Settings & Users > Security Levels, the API user's level"
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
    """Check in our own records whether contacts, links and notes could be created lately."""
    async with deployment.records() as session:
        shut = await gate.state(session)
        done = {
            "Contacts": await session.scalar(
                select(func.max(Ledger.settled_at)).where(Ledger.state == LedgerState.CREATED)
            ),
            "TicketAdditionalContacts": await session.scalar(
                select(func.max(LinkRecord.first_seen_linked_at)).where(LinkRecord.ours)
            ),
        }
        if deployment.settings.ticket_note != "off":
            done["TicketNotes"] = await session.scalar(
                select(func.max(Note.sent_at)).where(Note.state == LedgerState.CREATED)
            )
    refused = shut.call if shut and shut.code == GateCode.FORBIDDEN else None
    found = []
    for entity, at in done.items():
        code = f"create_{entity}"
        if refused == call_name(entity, write=True):
            cure = f"Give the right to add them: {_LEVEL}."
            found.append(problem(code, f"Autotask has refused to create {entity}.", cure))
        elif at:
            found.append(ok(code, f"{entity} were created, at {at:%Y-%m-%d %H:%M} UTC last."))
        else:
            why = (
                f"Autotask does not say whether {entity} may be created; we have created none yet."
            )
            where = f"{_LEVEL}; then `autotask-cc watch` and a test mail."
            found.append(skipped(code, why, where))
    return found
