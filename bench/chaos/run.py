"""Play a plan against real processes, and wait until all is quiet again."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, get_args

from app.autotask.protocol import REQUESTS_PER_HOUR
from app.db import schema
from app.db.embedded.server import EmbeddedPostgres
from app.services import open_services
from app.settings import log
from app.settings.environment import load_settings
from bench.chaos.child import CREATE_SETTLE
from bench.chaos.lived import at_once
from bench.chaos.lives import Patience, People, ask_at
from bench.chaos.plan import API, Deed, Event, Plan
from bench.chaos.processes import Processes
from bench.chaos.ran import Ran, read_books
from bench.chaos.struck import Struck, callouts
from bench.chaos.verdict import limits, violations
from bench.chaos.waiting import all_up, comes_to_rest, connected, wait_for
from bench.chaos.world import HELP, World, build, title
from sandbox.calls import Call
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.processes import free_port

SECRET = "a-webhook-secret-of-chaos"  # noqa: S105  of a double
BUDGET_WINDOW, BUDGET_SHARE = 10.0, 0.06
_KEPT_FOR_TICKETS = json.dumps(
    {"lifetime": {"inside": "ticket", "outside": "ticket"}, "grace_days": 0}
)
START_SECONDS = 30.0


class Play:
    """Autotask, the database and the processes, and the events still to come."""

    def __init__(self, plan: Plan, tenant: Tenant, world: World, database: EmbeddedPostgres):
        self.tenant, self.world, self.database = tenant, world, database
        self.struck = Struck()
        self.struck.seed, self.struck.latency = plan.seed, (0.0, 0.15)
        tenant.faults = self.struck
        self.ids: dict[int, int] = {}
        ask = ask_at(database.url)
        self.people, self._patience = People(tenant, world, self.ids, ask), Patience(self.ids, ask)
        self.meanwhile: dict[str, str] = {}
        tenant.before_call = self._watch
        self.lossy = plan.lossy
        self._autotask: SandboxServer | None = None
        self._port = 0
        self._database_is_up = True
        self._order = itertools.count()
        self._to_come: list[tuple[float, int, Callable[[], object]]] = []
        for event in plan.events:
            self._later(event.at, self._action(event))
        self._began = 0.0

    def open_autotask(self) -> SandboxServer:
        """Start the sandbox, on the port that it had before."""
        if self._autotask is None:
            server = SandboxServer(self.tenant, self._port)
            server.callouts.timeout, server.callouts.retry_after = 2.0, 0.4
            server.callouts.max_attempts = 3 if self.lossy else 100_000
            self._autotask = server.__enter__()
            self._port = int(server.url.rpartition(":")[2])
        return self._autotask

    def close_autotask(self) -> None:
        """Make Autotask refuse every connection."""
        server, self._autotask = self._autotask, None
        if server is not None:
            server.__exit__(None, None, None)

    def go(self, processes: Processes) -> None:
        """Play all events in time; in the end everything is up again.

        Single faults that no call has met yet stay, each for one call.
        """
        self.processes, self._began = processes, time.monotonic()
        while self._to_come:
            at = self._to_come[0][0]
            while (left := self._began + at - time.monotonic()) > 0:
                processes.tend()
                time.sleep(min(left, 0.05))
            heapq.heappop(self._to_come)[2]()

    def _later(self, at: float, action: Callable[[], object]) -> None:
        heapq.heappush(self._to_come, (at, next(self._order), action))

    def _watch(self, call: Call) -> None:
        """Look for what must not hold even for a moment; only writes can have caused it."""
        if call.method != "GET" and not call.path.endswith("/query"):
            for wrong in at_once(self.tenant):
                self.meanwhile.setdefault(wrong, f"{wrong}: before {call.method} {call.path}")

    def _action(self, event: Event) -> Callable[[], None]:
        if event.what in get_args(Deed):
            self._patience.expect(event)
            return lambda: self._deed(event, event.at)
        return lambda: getattr(self, f"_{event.what}")(event)

    def _deed(self, event: Event, at: float) -> None:
        if self._patience.must_wait(event, at):
            self._later(at + 0.3, lambda: self._deed(event, at + 0.3))
        else:
            self.people.do(event)

    def _ticket(self, event: Event) -> None:
        case = self.world.cases[event.number]
        self.ids[event.number] = self.tenant.new_ticket(
            case.company_id,
            contact_id=case.contact_id,
            cc=case.cc,
            status=case.status,
            callout=False,
            title=title(event.number),
            description="It says that it is offline.",
        )

    def _callout(self, event: Event) -> None:
        self.tenant.emit("Create", self.ids[event.number], None)

    def _kill(self, event: Event) -> None:
        who = "API" if event.number == API else "worker"
        self.struck.counts[f"{who} killed"] += self.processes.kill(event.number)

    def _deaf(self, event: Event) -> None:
        self.struck.counts["API deaf"] += 1
        self.processes.kill(API, event.seconds)

    def _stop(self, event: Event) -> None:
        go_on = self.processes.freeze(event.number)
        if go_on is not None:
            self.struck.counts["API stopped" if event.number == API else "worker stopped"] += 1
            self._later(event.at + event.seconds, go_on)

    def _crash(self, event: Event) -> None:
        self.struck.counts["PostgreSQL crashed"] += self._database_is_up
        self._database_is_up = False
        self.database.stop("immediate")
        self._later(event.at + event.seconds, self._recover)

    def _recover(self) -> None:
        self.database.start()
        self._database_is_up = True

    def _outage(self, event: Event) -> None:
        if event.how == "refuses":
            self.struck.counts["outage refuses"] += 1
            self.close_autotask()
            self._later(event.at + event.seconds, self.open_autotask)
            return
        assert event.how is not None
        trouble = Fault(event.how, times=None, seconds=20.0)
        self.tenant.faults.add(trouble)
        self._later(event.at + event.seconds, lambda: setattr(trouble, "chance", 0.0))

    def _fault(self, event: Event) -> None:
        assert event.how is not None
        assert event.how != "refuses"
        self.tenant.faults.add(
            Fault(
                event.how,
                method=event.target.get("method"),
                entity=event.target.get("entity"),
                path_contains=event.target.get("path_contains"),
                seconds=event.seconds,
                retry_after="1" if event.how == "status_429" else None,
            )
        )


def play(plan: Plan, logs: Path) -> Ran:
    """Play a plan from an empty database to the end, and read the records then."""
    log.configure("console", quiet=True)
    tenant = Tenant()
    # What is counted are our own requests; one that Autotask goes on with alone is not ours.
    tenant.switches.late_commit_holds_thread = False
    world = build(tenant, plan.seed, plan.tickets)
    if plan.lives:
        _choose(tenant, plan.seed)
    began = time.monotonic()
    with EmbeddedPostgres() as database, ExitStack() as stack:
        schema.migrate(database.url)
        stage = Play(plan, tenant, world, database)
        stack.callback(stage.close_autotask)
        environ = _environ(stage, plan)
        processes = Processes(environ, logs)
        stack.callback(processes.end)
        with connected(database) as books:
            if not wait_for(lambda: all_up(books), processes.tend, START_SECONDS):
                raise RuntimeError(f"the processes did not start; see {logs}")
        asyncio.run(_get_to_know(environ))
        stage.go(processes)
        with connected(database) as books:
            quiet = comes_to_rest(
                stage.struck, tenant, len(stage.ids), books, processes.tend, lives=plan.lives
            )
            took = time.monotonic() - began
            struck = stage.struck.counts + callouts(stage.ids.values(), tenant.callout_attempts)
            read = read_books(books)
            lives, meanwhile = stage.people.lives, list(stage.meanwhile.values())
            return Ran(plan, world, tenant, stage.ids, read, quiet, took, struck, lives, meanwhile)


async def _get_to_know(environ: dict[str, str]) -> None:
    """Read what is only good to know: a plan judges decisions that are made with it."""
    settings = load_settings(environ)
    async with open_services(settings, environ["DATABASE_URL"]) as services:
        asker = await services.autotask()
        await services.directory.clients(asker)
        await services.help_desk(asker)
        assert not services.directory.lacks(asker)


def _choose(tenant: Tenant, seed: int) -> None:
    """Draw what a real tenant might do when tickets move and contacts are retired."""
    dice = random.Random(f"switches {seed}")  # noqa: S311  no secret
    switches = tenant.switches
    switches.moved_links = dice.choice(("stay", "dropped"))
    switches.merged_links = dice.choice(("left", "carried"))
    if switches.merged_links == "carried":
        # A reading counts for 30 s. A merge that carries a link meanwhile makes ours the second.
        switches.duplicate_link = "refused"
    switches.clearing_address = dice.choice(("empty", "null", "either"))
    switches.absorbed_title = dice.choice(("brackets", "plain"))


def _environ(stage: Play, plan: Plan) -> dict[str, str]:
    server, tenant, port = stage.open_autotask(), stage.tenant, free_port()
    updates: list[Literal["Update"]] = ["Update"] if plan.updates else []
    hook = f"http://127.0.0.1:{port}/webhooks/autotask"
    tenant.subscribe(hook, f"{hook}/deactivated", SECRET, actions=["Create", *updates])
    return {
        "DATABASE_URL": stage.database.url,
        "AUTOTASK_API_URL": server.api_url,
        "AUTOTASK_USERNAME": tenant.username,
        "AUTOTASK_SECRET": tenant.secret,
        "AUTOTASK_INTEGRATION_CODE": tenant.integration_code,
        "WEBHOOK_SECRETS": SECRET,
        "OWN_ADDRESSES": HELP,
        "CC_SOURCES": "udf:CC",
        "CATCH_ALL_ACCOUNTS": str(stage.world.catch_all),
        "MAX_NEW_PER_SENDER": "100000",
        "MAX_NEW_PER_DAY": "100000",
        "SETTLE_SECONDS": "0",
        "CREATE_SETTLE": str(CREATE_SETTLE),
        "BUDGET_WINDOW": str(BUDGET_WINDOW),
        "BUDGET_SHARE": str(BUDGET_SHARE),
        "RECONCILE_INTERVAL": "3" if plan.lossy or plan.lives else "86400",
        "DEFAULT_POLICY": _KEPT_FOR_TICKETS if plan.lives else "{}",
        "RUN_WORKER": "false",
        "PORT": str(port),
    }


def allowed_calls(plan: Plan) -> int:
    """Return how many calls a budget window may have.

    A process that is frozen between permission and request sends up to four reads later than they
    were counted; the window here is so short that this shows.
    """
    return round(REQUESTS_PER_HOUR * BUDGET_SHARE) + 4 * plan.count("stop")


def judge(plan: Plan, logs: Path) -> tuple[Ran, list[str]]:
    """Play a plan, and return what is violated."""
    ran = play(plan, logs)
    return ran, [
        *violations(ran),
        *limits(ran.tenant, BUDGET_WINDOW, allowed_calls(plan)),
    ]
