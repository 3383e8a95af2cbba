"""The command line: what each command says, and that what is wrong is said in a sentence."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import structlog
from typer.testing import CliRunner

from app import __version__
from app.cli import COMMANDS, cli, main
from app.settings.settings import Settings
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.acceptance.test_processes import want
from tests.conftest import SECRET
from tests.support.databases import plain

ROOT = Path(__file__).parents[2]
SCRIPT = Path(sys.executable).with_name("autotask-cc")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Commands configure the process's logs; the next test has its own."""
    root = logging.getLogger()
    before = structlog.get_config(), root.handlers[:], root.level
    yield
    structlog.configure(**before[0])
    root.handlers[:], root.level = before[1:]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command in an environment: `run("migrate", **environ)` gives code, output, errors."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.lower().removesuffix("_file") in Settings.model_fields:
            monkeypatch.delenv(name)

    def command(*words: str, **environ: str) -> tuple[int, str, str]:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["autotask-cc", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return command


@pytest.fixture
def taken_port() -> Iterator[str]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield str(listener.getsockname()[1])


def is_a_sentence(text: str) -> bool:
    """Tell a message for people from a traceback."""
    return bool(text.strip()) and "Traceback" not in text and len(text) < 1_000


# --- help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command: str) -> None:
    """Without a configuration, and with what the command does first."""
    shown = CliRunner().invoke(cli, [command, "--help"])
    assert shown.exit_code == 0
    listed = CliRunner().invoke(cli, ["--help"]).output
    assert command in listed
    assert len(shown.output.split("Options")[0].split()) > 8
    assert CliRunner().invoke(cli, [command, "-h"]).output == shown.output


@pytest.mark.parametrize("command", COMMANDS)
def test_the_list_shows_how_the_help_of_a_command_begins(command: str) -> None:
    """The list has its own copy, so that it can be shown without the commands."""
    sentence = COMMANDS[command][1]
    shown = CliRunner().invoke(cli, [command, "--help"], terminal_width=200).output
    assert sentence in " ".join(shown.split())


@pytest.mark.parametrize(
    "words", [["webhook", "install"], ["mappings", "import"], ["contacts", "stale"]]
)
def test_a_command_of_a_group_has_help(words: list[str]) -> None:
    """With the short option as well."""
    shown = CliRunner().invoke(cli, [*words, "-h"])
    assert shown.exit_code == 0
    assert f"{' '.join(words)} [OPTIONS]" in shown.output


@pytest.mark.parametrize("option", ["--help", "-h", "--version"])
def test_help_and_version_start_fast(option: str) -> None:
    """Without what the commands need: the database, HTTP, settings."""
    code = (
        "import sys; from app.cli import cli; cli(standalone_mode=False);"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, option], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(ended.stderr.split())
    assert "typer" in loaded
    assert not loaded & {"sqlalchemy", "fastapi", "httpx", "pydantic", "uvicorn", "asyncio"}


def test_the_version_is_shown(run: Run) -> None:
    """That of the package."""
    assert run("--version") == (0, f"autotask-cc {__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("autotask-cc und", ["undo"]),
        ("autotask-cc webhook r", ["remove", "rotate"]),
        ("autotask-cc undo --s", ["--since"]),
        ("autotask-cc --env", ["--env-file"]),
    ],
)
def test_bash_completes_commands_and_options(words: str, completed: list[str]) -> None:
    """Asked as the script asks that --show-completion prints."""
    asked = {
        "_AUTOTASK_CC_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    answered = subprocess.run(
        [SCRIPT, *words.split()[1:]],
        env={"PATH": os.environ["PATH"], **asked},
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(answered.stdout.split()) == completed


def test_completion_can_be_installed(tmp_path: Path) -> None:
    """For the shell of the user, in the user's own files."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    for option in ("--show-completion", "--install-completion"):
        ended = subprocess.run(
            ["bash", "-c", f"'{SCRIPT}' {option}; exit $?"],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "autotask-cc" in ended.stdout
        assert ended.stderr == ""
    assert "autotask-cc" in (tmp_path / ".bashrc").read_text()


@pytest.mark.process
def test_python_m_app_is_the_same_command() -> None:
    """As the module, from a checkout."""
    shown = subprocess.run(
        [sys.executable, "-m", "app", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(command in shown.stdout for command in COMMANDS)
    assert shown.stderr == ""


@pytest.mark.parametrize("words", [["no-such-command"], ["migrate", "--no-such-option"]])
def test_a_mistyped_command_is_a_usage_error(run: Run, words: list[str]) -> None:
    """With the exit code of usage errors."""
    code, _, errors = run(*words)
    assert code == 2
    assert "no-such" in errors


# --- --env-file ----------------------------------------------------------------------------------


def write_settings(file: Path, environ: dict[str, str]) -> None:
    """Write a file in the form of .env."""
    file.write_text("".join(f"{name}='{value}'\n" for name, value in environ.items()))


def test_settings_can_come_from_a_file(run: Run, environ: dict[str, str], tmp_path: Path) -> None:
    """The file that is named, and not .env; the environment wins over both."""
    file = tmp_path / "other.env"
    write_settings(file, environ)
    (tmp_path / ".env").write_text("PORT=no number\n")
    assert run("--env-file", str(file), "migrate")[:2] == (
        0,
        "The database's schema is up to date.\n",
    )
    assert "PORT: " in run("migrate")[2]
    code, _, errors = run("--env-file", str(file), "migrate", PORT="none either")
    assert code == 1
    assert "PORT: " in errors


def test_a_file_of_settings_that_is_not_there_is_said(run: Run, tmp_path: Path) -> None:
    """As a usage error that names it, before the command does anything."""
    for name in ("absent.env", "."):
        code, out, errors = run("--env-file", str(tmp_path / name), "migrate")
        assert (code, out) == (2, "")
        assert "--env-file" in errors


@pytest.mark.process
def test_ctrl_c_during_the_start_ends_without_a_traceback(tmp_path: Path) -> None:
    """While the first libraries are still imported."""
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    ended = subprocess.run(
        [sys.executable, "-m", "app", "--version"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


# --- what is wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["undo", "watch"])
def test_a_number_that_no_ticket_has_is_a_usage_error(run: Run, command: str) -> None:
    """Not an error of the database."""
    code, out, errors = run(command, "--ticket", "99999999999999999999")
    assert (code, out) == (2, "")
    assert "--ticket" in errors


def test_undo_of_an_unknown_ticket_is_said_once(run: Run, environ: dict[str, str]) -> None:
    """On standard error, with exit code 1."""
    text = "Ticket 424242 is unknown: the service has never worked on it.\n"
    assert run("undo", "--ticket", "424242", **environ) == (1, "", text)


@pytest.mark.parametrize("command", ["serve", "worker", "migrate"])
def test_a_missing_configuration_is_said(run: Run, command: str) -> None:
    """All of it in one message, exit code 1, no traceback."""
    code, out, errors = run(command, PORT="hunter2")
    assert (code, out) == (1, "")
    assert errors.startswith("The configuration needs attention:\n")
    assert "AUTOTASK_SECRET: is missing" in errors
    assert "PORT" in errors
    assert "hunter2" not in errors
    assert is_a_sentence(errors)


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_an_empty_database_is_said(
    run: Run, environ: dict[str, str], empty_url: str, command: str
) -> None:
    """With the command that helps; and that command does."""
    environ |= {"DATABASE_URL": empty_url, "PORT": "0"}
    code, _, errors = run(command, **environ)
    assert code == 1
    assert errors == "Cannot start: the database is empty: run `autotask-cc migrate`.\n"

    assert run("migrate", **environ)[:2] == (0, "The database's schema is up to date.\n")
    assert run("migrate", **environ)[:2] == (0, "The database's schema is up to date.\n")


def test_another_tenants_database_is_said(run: Run, environ: dict[str, str]) -> None:
    """The worker ends by itself, and says what to do."""
    with psycopg.connect(plain(environ["DATABASE_URL"])) as connection:
        connection.execute("INSERT INTO tenant (id, api_url) VALUES (1, 'https://x.example/A')")
    code, _, errors = run("worker", **environ)
    assert code == 1
    assert "One deployment serves one tenant" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("command", ["migrate", "worker"])
def test_a_data_directory_that_cannot_be_used_is_said(
    run: Run, environ: dict[str, str], tmp_path: Path, command: str
) -> None:
    """Without DATABASE_URL the trial database is started there."""
    (tmp_path / "file").touch()
    code, _, errors = run(command, **environ | {"DATABASE_URL": "", "DATA_DIR": f"{tmp_path}/file"})
    assert code == 1
    assert "DATA_DIR" in errors
    assert is_a_sentence(errors)


@pytest.mark.parametrize("command", ["migrate", "worker", "serve"])
def test_a_database_that_does_not_answer_is_said(
    monkeypatch: pytest.MonkeyPatch, run: Run, environ: dict[str, str], command: str
) -> None:
    """The likeliest mistake of a first start."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    url = f"postgresql://user:hunter2@127.0.0.1:{port}/nothing"
    code, _, errors = run(command, **environ | {"DATABASE_URL": url, "PORT": "0"})
    assert code == 1
    assert "hunter2" not in errors
    assert is_a_sentence(errors)


def test_a_database_url_that_is_none_is_said(run: Run, environ: dict[str, str]) -> None:
    """A port that is no number, as an unescaped password makes it."""
    url = "postgresql://user:pass@host:hunter2/nothing"
    code, _, errors = run("migrate", **environ | {"DATABASE_URL": url})
    assert code == 1
    assert "DATABASE_URL" in errors
    assert "hunter2" not in errors


def test_a_taken_port_ends_serve(run: Run, environ: dict[str, str], taken_port: str) -> None:
    """With uvicorn's exit code for it, and the log says which address."""
    code, _, errors = run("serve", **environ | {"PORT": taken_port})
    assert code == 3
    assert "address already in use" in errors
    assert "Traceback" not in errors


def test_a_taken_port_ends_the_sandbox(run: Run, taken_port: str) -> None:
    """The same for the double."""
    code, _, errors = run("sandbox", "--port", taken_port)
    assert code == 1
    assert is_a_sentence(errors)


# --- what works ----------------------------------------------------------------------------------


def test_without_a_database_url_there_is_one_of_its_own(run: Run, environ: dict[str, str]) -> None:
    """For trials: it is started, its schema made, and it ends with the command."""
    with tempfile.TemporaryDirectory(prefix="autotask-cc-test-") as name:
        Path(name).chmod(0o711)
        code, out, _ = run("migrate", **environ | {"DATABASE_URL": "", "DATA_DIR": f"{name}/data"})
        assert (code, out) == (0, "The database's schema is up to date.\n")
        assert not (Path(name) / "data" / "postgres" / "postmaster.pid").exists()


@pytest.mark.process
def test_a_worker_process_works_and_stops_when_told_to(
    environ: dict[str, str], tenant: Tenant, people: Seed
) -> None:
    """One JSON object a line, no address and no secret in any of them, exit code 0."""
    person = "nina.osei@radiology.example"
    ticket = tenant.new_ticket(people.alpine, cc=f"Nina <{person}>")
    refused = tenant.new_ticket(people.alpine, cc=person)
    want(environ, ticket)
    with (
        subprocess.Popen(
            [sys.executable, "-m", "app", "worker"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "LOG_FORMAT": "json", **environ},
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
        _killed_after(process, 60),
    ):
        lines = _read_until(process, "looked")
        tenant.secret = "changed at Autotask"
        want(environ, refused)
        lines += _read_until(process, "calls_paused")
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        lines += process.stderr.readlines()
        assert process.wait(30) == 0

    assert len(tenant.contacts_with(person)) == 1
    events = [json.loads(line)["event"] for line in lines]
    assert (events[0], events[-1]) == ("worker_started", "worker_stopped")
    secrets = [environ["AUTOTASK_SECRET"], environ["AUTOTASK_INTEGRATION_CODE"], SECRET, person]
    assert not [secret for secret in secrets if secret in "".join(lines)]


@contextmanager
def _killed_after(process: subprocess.Popen[str], seconds: float) -> Iterator[None]:
    """Bound the reading of a log that may never say what is waited for."""
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _read_until(process: subprocess.Popen[str], event: str) -> list[str]:
    """Read the log as far as an event; the end of the process ends it, too."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if json.loads(line)["event"] == event:
            return lines
    raise AssertionError(f"it ended without {event}: {lines}")
