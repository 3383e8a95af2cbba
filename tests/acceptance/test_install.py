"""An installation as the image and compose run it: its files, its processes, its stop."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from app.db.embedded.server import EmbeddedPostgres
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.acceptance.test_packaging import copied, of, stages
from tests.acceptance.test_processes import all_done, is_live, want
from tests.conftest import SECRET
from tests.support.databases import plain
from tests.support.processes import ROOT, free_port, process, wait_until

pytestmark = pytest.mark.process

STOP_SECONDS = 20
"""What stop_grace_period of docker-compose.yml and the documentation rely on."""


def rows(environ: dict[str, str], statement: str) -> list[tuple[Any, ...]]:
    """Ask the installation's database."""
    with psycopg.connect(plain(environ["DATABASE_URL"])) as connection:
        return connection.execute(statement).fetchall()


@pytest.fixture
def a_plain_role(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The address of an empty database whose owner may do nothing else on the server."""
    name = f"plain_{os.getpid()}"
    superuser = plain(postgres.url).replace("://autotask_cc@", "://postgres@")
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN")
        connection.execute(f"CREATE DATABASE {name} OWNER {name}")
        yield postgres.url_for(name).replace("://autotask_cc@", f"://{name}@")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        connection.execute(f"DROP ROLE {name}")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The command after the steps of the Dockerfile, on this machine's dependencies."""
    context, environment = tmp_path / "build", tmp_path / "venv"
    context.mkdir()
    for name in copied():
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, context / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, context)
    venv.create(environment)
    packages = [path for path in sys.path if path.endswith("site-packages")]
    # In a .pth file: those of the packages themselves are not read, with which this checkout's
    # modules would come.
    [site] = environment.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text("\n".join(packages))
    _, _, options = of(stages()[0], "RUN")[-1].partition("/venv/bin/pip install ")
    # An environment that was made without ensurepip borrows pip, as in the Makefile.
    python = sys.executable if find_spec("pip") else f"{sys.base_prefix}/bin/python3"
    pip = [python, "-m", "pip", "--python", str(environment / "bin/python"), "install"]
    subprocess.run([*pip, "--ignore-installed", *options.split()], cwd=context, check=True)
    shutil.rmtree(context)
    return environment / "bin" / "autotask-cc"


def test_the_images_files_and_a_plain_role_are_enough(
    installed: Path, a_plain_role: str, environ: dict[str, str], tmp_path: Path
) -> None:
    """From an empty folder: refused before `migrate`, which may run twice, ready after."""
    port = str(free_port())
    environ |= {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "PORT": port}
    environ["DATABASE_URL"] = a_plain_role
    folder = tmp_path / "empty"
    folder.mkdir()
    before = set(tmp_path.rglob("*"))

    def start(command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [installed, command], cwd=folder, env=environ, stderr=subprocess.PIPE, text=True
        )

    ended = [(one.communicate(timeout=30)[1], one.returncode) for one in [start("serve")]]
    assert ended == [("Cannot start: the database is empty: run `autotask-cc migrate`.\n", 1)]
    migrations = [start("migrate"), start("migrate")]
    assert [one.communicate(timeout=60)[1] for one in migrations] == ["", ""]
    with start("serve") as serving:
        try:
            wait_until(lambda: is_live(f"http://127.0.0.1:{port}"))
            assert httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
        finally:
            serving.kill()
    assert set(tmp_path.rglob("*")) == before
    with start("demo") as demo:
        assert demo.communicate(timeout=30)[1].startswith("`demo` and `sandbox` need a checkout")


def test_processes_that_are_told_to_stop_hand_back_what_hangs(
    environ: dict[str, str], tenant: Tenant, people: Seed
) -> None:
    """SIGTERM while Autotask does not answer: gone within 20 s, and the next takes over at once."""
    hang = Fault("hang_before", method="GET", entity="Tickets", times=None, seconds=60)
    tenant.faults.add(hang)
    tickets = [tenant.new_ticket(people.alpine, cc=f"{n}@new.example") for n in range(6)]
    want(environ, *tickets)
    port = free_port()
    serving = environ | {"RUN_WORKER": "true", "PORT": str(port)}

    with (
        process("worker", environ, impatient=False) as one,
        process("serve", serving, impatient=False) as other,
    ):
        held = "SELECT count(DISTINCT holder) FROM due WHERE holder IS NOT NULL"
        wait_until(lambda: rows(environ, held) == [(2,)] and is_live(f"http://127.0.0.1:{port}"))
        told_at = time.monotonic()
        one.send_signal(signal.SIGTERM)
        other.send_signal(signal.SIGTERM)
        # uvicorn ends with the signal that it was sent: https://github.com/encode/uvicorn/pull/1600
        assert [one.wait(60), other.wait(60)] == [0, -signal.SIGTERM]
    assert time.monotonic() - told_at < STOP_SECONDS
    assert rows(
        environ, "SELECT holder, tries, deaths, due_at <= now() FROM due WHERE kind = 'ticket'"
    ) == [(None, 0, 0, True)] * len(tickets)

    tenant.faults.clear()
    with process("worker", environ, impatient=False):
        wait_until(lambda: all_done(environ), seconds=20)


def test_several_api_processes_accept_a_callout_once(
    environ: dict[str, str], tenant: Tenant, people: Seed
) -> None:
    """Autotask tries again before the first answer has come, and the balancer takes another."""
    ticket = tenant.new_ticket(people.alpine, cc="nina@radiology.example")
    body = json.dumps(
        {"Action": "Create", "EntityType": "Ticket", "Id": ticket, "Guid": "g", "SequenceNumber": 1}
    ).encode()
    digest = hmac.new(SECRET.encode(), body, hashlib.sha1).digest()
    headers = {"X-Hook-Signature": f"sha1={base64.b64encode(digest).decode()}"}
    urls = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]

    with ExitStack() as stack:
        for url in urls:
            stack.enter_context(process("serve", environ | {"PORT": url.rpartition(":")[2]}))
        wait_until(lambda: all(is_live(url) for url in urls))

        def post(number: int) -> httpx.Response:
            url = urls[number % 2]
            return httpx.post(f"{url}/webhooks/autotask", content=body, headers=headers)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(post, range(8)))

    assert [answer.status_code for answer in answers] == [202] * 8
    assert sorted(answer.json()["status"] for answer in answers) == ["accepted"] + ["known"] * 7
    assert rows(environ, "SELECT entity_id FROM deliveries") == [(ticket,)]
    assert rows(environ, "SELECT ref, wanted FROM due WHERE kind = 'ticket'") == [(ticket, 1)]
