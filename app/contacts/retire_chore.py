"""The chore that retires contacts: those whose tickets are over, and whose ending was ordered."""

from __future__ import annotations

import time
from datetime import timedelta

import structlog

from app.autotask.client import Autotask
from app.autotask.errors import AutotaskError, Barred, Forbidden, Overloaded
from app.contacts.retire import AGAIN, Retiring
from app.db import database
from app.db.database import db_now, is_outage
from app.db.states import ORDERED, UNSETTLED, EndedBy, LedgerError, LedgerState
from app.db.tables import Ledger
from app.decide.policy import Policy, Side, in_effect
from app.due.work import Lease, LeaseLost
from app.mail.addresses import mask, spellings
from app.outbound.rules import NotNow, RightMissing
from app.records import policies
from app.records.ledger import candidates, creating, ending
from app.services import Services

log = structlog.get_logger()

AT_ONCE = 20
"""Contacts that one pass considers."""

_SECONDS = 60.0  # after which a pass ends, so that other chores have their turn
_SOON = timedelta(seconds=1)
_NOT_NOW = timedelta(hours=1)  # until a contact is considered again that the policy keeps


async def retire_due(services: Services, lease: Lease) -> timedelta:
    """Retire contacts that are no longer needed; the chore. Return when to do it again.

    An ending that has begun goes on, also one that an undo began. Raise what the throttle raises.
    """
    pause = timedelta(seconds=services.settings.reconcile_interval)
    autotask = await services.autotask(lease)
    async with services.sessions() as session:
        rows = await candidates.to_consider(session, AT_ONCE)
    began = time.monotonic()
    for row in rows:
        if time.monotonic() - began > _SECONDS:
            return _SOON
        try:
            await _consider(services, autotask, row)
        except Overloaded:
            raise
        except AutotaskError as error:
            if isinstance(error, Barred) and not isinstance(error, Forbidden):
                raise
            await _put_off(services, row, error)
        except RightMissing as missing:
            await _put_off(services, row, missing)
        except (NotNow, LeaseLost):
            raise
        except Exception as error:
            if is_outage(error):
                raise
            # One contact that raises must not keep all others.
            log.exception("contact_not_ended", contact=row.contact_id)
            await _later(services, row, _NOT_NOW, f"an internal error: {type(error).__name__}")
    return _SOON if len(rows) == AT_ONCE else pause


async def _put_off(services: Services, row: Ledger, error: AutotaskError | RightMissing) -> None:
    """Put off the ending of a contact that Autotask does not allow now."""
    forbidden = isinstance(error, Forbidden | RightMissing)
    code = LedgerError.FORBIDDEN if forbidden else None
    why = f"{code}: {mask(str(error))}" if code else mask(str(error))
    log.warning("contact_not_ended_yet", contact=row.contact_id, error=why)
    await _later(services, row, AGAIN, why, code)


async def _consider(services: Services, autotask: Autotask, row: Ledger) -> None:
    if row.state in UNSETTLED:
        await _find_out(services, autotask, row)
        return
    async with services.sessions() as session:
        document = await policies.document_of(session, row.account_id)
        history = await candidates.history(session, row)
        now = await db_now(session)
    policy = in_effect(services.settings.default_policy, document).policy
    why = EndedBy(row.end_why) if row.end_why else EndedBy.LIFETIME
    begun = row.state != LedgerState.CREATED
    may_end = _may_end(policy, row, why)
    if not begun and not may_end:
        await _later(services, row, _NOT_NOW)
        return
    grace = timedelta(days=policy.grace_days if why is EndedBy.LIFETIME else 0)
    if not begun and history.over_at and history.over_at + grace > now:
        await _later(services, row, history.over_at + grace - now)
        return
    halt = None if may_end else "the policy keeps it"
    result = await Retiring(services, autotask, row, why, grace, halt=halt).run()
    log.info("contact_considered", contact=row.contact_id, action=result.action, why=result.why)


def _may_end(policy: Policy, row: Ledger, why: EndedBy) -> bool:
    """Return whether the policy, as it is now, lets the contact end; a person's order does."""
    if why in ORDERED:
        return True
    whose: Side = "inside" if row.lifetime == "inside" else "outside"
    by_policy = why is not EndedBy.LIFETIME or policy.ends(whose)
    return by_policy and policy.act == "live"


async def _find_out(services: Services, autotask: Autotask, row: Ledger) -> None:
    """Look up an unanswered create that no look asks about any more."""
    now = await database.now(services.sessions)
    settled_at = row.sent_at + services.create_settle
    if settled_at > now:
        await _later(services, row, settled_at - now)
        return
    contacts = await autotask.contacts(row.account_id, spellings(row.email), [])
    async with services.sessions() as session, session.begin():
        carrying = {row.email: contacts}
        await creating.recognise(
            session, row.account_id, carrying, settle=services.create_settle, read_at=now
        )
        await creating.never_created(session, row)


async def _later(
    services: Services,
    row: Ledger,
    pause: timedelta,
    why: str | None = None,
    code: LedgerError | None = None,
) -> None:
    async with services.sessions() as session, session.begin():
        await ending.later(session, row, await db_now(session) + pause, why, code)
