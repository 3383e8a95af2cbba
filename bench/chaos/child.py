"""The product with short times, as the API and the workers run it here.

Times that are minutes in production are seconds here, in the same proportions. None of them is a
setting. Processes are forked from one that has imported this, so a restart costs no imports.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType

from bench.chaos.plan import LATE_SECONDS

LEAVE_SECONDS = 2.5
CREATE_SETTLE = LEAVE_SECONDS + LATE_SECONDS + 2.0
AGAIN = timedelta(seconds=CREATE_SETTLE + 1)

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload([__name__ + "_ready"])


def start(command: str, environ: dict[str, str], log: Path) -> BaseProcess:
    """Start `worker` or `serve` with these settings alone; its log is appended to a file."""
    process = _FORKS.Process(target=run, args=(command, environ, log), daemon=True)
    process.start()
    return process


def run(command: str, environ: dict[str, str], log: Path) -> None:
    """Run one of the product's processes."""
    with log.open("ab") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    os.environ.clear()
    os.environ.update(environ)
    make_short()
    from app.cli import main

    sys.argv = ["autotask-cc", command]
    main()


def make_short() -> None:
    """Shorten the times; may be repeated. Raise AttributeError for a name that is gone."""
    from app.due import work

    # Before the modules are loaded that take these over.
    _set(work, LEASE=timedelta(seconds=3), BEAT=timedelta(seconds=0.6))
    from app.outbound import rules

    _set(rules, LEAVE_SECONDS=LEAVE_SECONDS)

    from app.autotask import calls, client, zone
    from app.contacts import retire, retire_chore
    from app.decide import waiting
    from app.looks import look
    from app.ops import reconcile
    from app.outbound import budget, gate, known, refusals, slots
    from app.records import absences, deliveries, participants
    from app.records import known as known_records
    from app.records.ledger import candidates, common
    from app.worker import chores

    _set(calls, REQUEST_SECONDS=8.0, PERMIT_SECONDS=2.0)
    _set(client, REQUEST_SECONDS=8.0)
    _set(zone, REQUEST_SECONDS=8.0)
    _set(slots, SLOT_LIFE=timedelta(seconds=11))
    _set(budget, _SLOT_WAIT=8.0)
    _set(refusals, _PAUSES=(1, 1, 2), _PROBE=timedelta(seconds=2))
    _set(gate, _SHUT=(1, 1, 2), _AWAY=(1, 1, 2))
    _set(known, READ_SECONDS=3.0, PATIENCE_SECONDS=6.0)
    _set(known_records, PAUSES=(1, 1, 2))
    _set(chores, _START=timedelta(seconds=0), _BACKOFF=timedelta(seconds=1))
    # Longer than a run, it would hide a watermark that passes over something.
    _set(reconcile, OVERLAP=timedelta(seconds=3))
    second = timedelta(seconds=1)
    _set(participants, RETRY=(second, 2 * second), RETRY_EFFECT=(second, second, second))
    _set(absences, BELIEVED_AFTER=4 * second, _PAUSES=(second, 2 * second, 4 * second))
    _set(absences, _APART=0.8 * second)
    _set(deliveries, UPDATE_SETTLE=timedelta(seconds=0.5))
    _set(retire, AGAIN=AGAIN, _SOON=timedelta(seconds=1))
    _set(retire_chore, AGAIN=AGAIN, _NOT_NOW=timedelta(seconds=20))
    _set(common, LONGEST_WAIT=timedelta(seconds=5))
    _set(candidates, _STALLED=timedelta(seconds=CREATE_SETTLE + 10))
    _set(look, _PAUSE=timedelta(seconds=1))
    _set(waiting, _PAUSES=(1,), SHORTEST=timedelta(seconds=1))


def _set(module: ModuleType, **values: object) -> None:
    for name, value in values.items():
        getattr(module, name)
        setattr(module, name, value)
