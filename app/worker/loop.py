"""The worker: claim due tickets, look at them, and record that the worker is alive."""

from __future__ import annotations

import asyncio
import os
import platform
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from app.autotask.errors import AutotaskError
from app.db.database import db_now, is_outage
from app.due import backlog, work
from app.due.work import BEAT, Lease, LeaseLost
from app.looks.look import look
from app.outbound import gate
from app.outbound.gate import GateCode
from app.outbound.tenant import WrongTenant
from app.services import Services
from app.worker import chores

log = structlog.get_logger()

CONCURRENCY = 4
"""Looks at once in one process; Autotask allows three requests per entity anyway."""

POLL_SECONDS = 0.5
MAILBOX_SECONDS = 10.0
STOP_SECONDS = 10.0
"""How long a look may go on after `stop` before its ticket is handed back."""

_AS_AFTER_A_MOVE = (GateCode.UNAUTHORIZED, GateCode.AWAY)
"""Codes with which the gate shuts when the tenant has moved to another zone."""


class Worker:
    """Work until `stop` is called. One per process."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._looks: dict[Lease, asyncio.Task[None]] = {}
        self._scheduled = False
        self._zone_asked: datetime | None = None
        self._stopping = asyncio.Event()
        self.id = f"{platform.node()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"

    def stop(self) -> None:
        """Make the worker stop: it finishes its looks, or hands their tickets back."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until stopped, through outages of PostgreSQL and Autotask. Raises WrongTenant."""
        log.info("worker_started", worker=self.id)
        others = [
            asyncio.create_task(self._beat_for_ever()),
            asyncio.create_task(self._tend_mailbox()),
        ]
        try:
            while not self._stopping.is_set():
                claimed = await self._survive(self._claim)
                if not claimed:
                    await self._pause()
        finally:
            await self._wind_up()
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            log.info("worker_stopped", worker=self.id)

    async def _survive(self, step: Callable[[], Awaitable[int]]) -> int:
        """Take a step; no trouble outside may end the worker."""
        try:
            return await step()
        except WrongTenant:
            raise
        except AutotaskError as error:
            log.warning("autotask_away", error=str(error))
        except Exception as error:
            if is_outage(error):
                log.warning("database_away", error=type(error).__name__)
            else:
                log.exception("worker_step_failed")
        await self._pause(5.0)
        return 0

    async def _pause(self, seconds: float = POLL_SECONDS) -> None:
        """Wait for some seconds, for the end of a look, or for `stop`."""
        waiting = asyncio.create_task(self._stopping.wait())
        await asyncio.wait(
            [waiting, *self._looks.values()],
            timeout=seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
        waiting.cancel()

    async def _claim(self) -> int:
        """Claim as many due tickets and chores as there is room for, and start them."""
        room = CONCURRENCY - len(self._looks)
        if room <= 0:
            return 0
        await self._services.tenancy.api_url()
        if not self._scheduled:
            await self._services.budget.start()
        async with self._services.sessions() as session, session.begin():
            if not self._scheduled:
                await chores.schedule(session)
            pace = await self._services.budget.pace(session)
            shut = await gate.state(session)
            leases: list[Lease] = []
            if pace.until is None:
                limits = (pace.at_once, pace.least)
                leases = await work.claim(session, work.TICKET, self.id, room, *limits)
                probing = pace.at_once == 1 and leases
                if not probing and not any(lease.kind == work.CHORE for lease in self._looks):
                    leases += await work.claim(session, work.CHORE, self.id, 1, *limits)
        self._scheduled = True
        for lease in leases:
            self._looks[lease] = asyncio.create_task(self._work_on(lease))
        if shut and shut.until and shut.until != self._zone_asked:
            self._zone_asked = shut.until
            await self._ask_zone(shut.code)
        return len(leases)

    async def _ask_zone(self, code: GateCode) -> None:
        """Ask where the tenant is, once each time the gate shuts as it does after a move."""
        if code in _AS_AFTER_A_MOVE and await self._services.tenancy.ask_again():
            log.warning("tenant_moved", api_url=self._services.tenancy.known)

    async def _work_on(self, lease: Lease) -> None:
        about = "ticket" if lease.kind == work.TICKET else lease.kind
        context = {about: lease.ref, "attempt": lease.attempt}
        with structlog.contextvars.bound_contextvars(**context):
            try:
                if lease.kind == work.CHORE:
                    await chores.run(self._services, lease)
                else:
                    await look(self._services, lease)
            except LeaseLost:
                log.warning("lease_lost")
            except asyncio.CancelledError:
                if self._stopping.is_set():
                    await asyncio.shield(self._hand_back(lease))
                raise
            except Exception as error:
                # Nothing could be recorded: the lease expires, and the ticket is claimed again.
                if is_outage(error):
                    log.warning("database_away", error=type(error).__name__)
                else:
                    log.exception("look_not_recorded")
            finally:
                del self._looks[lease]

    async def _hand_back(self, lease: Lease) -> None:
        """Release a ticket whose look was cut short; another worker may claim it at once."""
        try:
            async with work.fenced(self._services.sessions, lease) as session:
                await work.finish(session, lease, await db_now(session), spent=False)
        except LeaseLost:
            return
        except Exception as error:
            log.warning("not_handed_back", error=type(error).__name__)

    async def _beat_for_ever(self) -> None:
        while True:
            try:
                await self._beat()
            except Exception as error:
                # Leases expire meanwhile, and every write is fenced by them.
                log.warning("heartbeat_failed", error=type(error).__name__)
            await asyncio.sleep(BEAT.total_seconds())

    async def _tend_mailbox(self) -> None:
        """Check the mailbox before a ticket needs it, and again after a pause."""
        while self._services.mailbox.configured:
            try:
                await self._services.mailbox.check()
            except Exception as error:
                log.warning("mailbox_not_checked", error=type(error).__name__)
            await asyncio.sleep(MAILBOX_SECONDS)

    async def _beat(self) -> None:
        """Renew this process's leases, and cancel the looks that have lost theirs."""
        # The list comes first: a lease that is claimed during the query must not count as lost.
        held = list(self._looks)
        async with self._services.sessions() as session, session.begin():
            await backlog.sign_of_life(session, self.id)
            lost = await work.beat(session, held) if held else set()
        for lease in lost:
            task = self._looks.get(lease)
            if task:
                log.warning("look_cancelled", ticket=lease.ref)
                task.cancel()

    async def _wind_up(self) -> None:
        if self._looks:
            await asyncio.wait(list(self._looks.values()), timeout=STOP_SECONDS)
        left = list(self._looks.values())
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
