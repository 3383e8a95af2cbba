"""The embedded PostgreSQL: keeps data, ends with its owner, and says what is wrong."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from app.db.embedded import files
from app.db.embedded.server import EmbeddedPostgres, EmbeddedPostgresError, default_data_dir

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another")
START = """
import sys
from pathlib import Path
from app.db.embedded.server import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])) as server:
    print(server.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[EmbeddedPostgres]:
    """A running server for tests that only ask it."""
    with EmbeddedPostgres() as server:
        yield server


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A directory that the demoted server may enter, unlike pytest's tmp_path."""
    with tempfile.TemporaryDirectory(prefix="autotask-cc-test-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def closed_dir(open_dir: Path) -> Path:
    """A directory that only its owner may enter."""
    (open_dir / "closed").mkdir(mode=0o700)
    return open_dir / "closed"


def ask(server: EmbeddedPostgres, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(server.url.replace("+psycopg", ""), autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


def start_elsewhere(data_dir: Path) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", START, data_dir],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_temporary_server_leaves_nothing_behind() -> None:
    """A server without a data directory works, and closing it removes the process and the data."""
    with EmbeddedPostgres() as server:
        pid = server.pid
        directory = Path(str(make_url(server.url).query["host"]))
        assert os.getsid(pid) == pid  # Ctrl-C in our terminal does not reach it
    assert not runs(pid)
    assert not directory.parent.exists()


def test_the_database_is_like_one_in_production(shared: EmbeddedPostgres) -> None:
    """Text is UTF-8 and sorts by code point, the role is no superuser, nothing listens on TCP."""
    assert ask(shared, "SHOW server_encoding") == [("UTF8",)]
    assert ask(shared, "SELECT 'a' < 'B', lower('É')") == [(False, "é")]
    assert ask(shared, "SELECT rolsuper FROM pg_roles WHERE rolname = user") == [(False,)]
    assert ask(shared, "SHOW listen_addresses") == [("",)]


def test_other_databases_can_be_made(shared: EmbeddedPostgres) -> None:
    """The role may clone a database, and url_for() reaches the clone."""
    ask(shared, "CREATE DATABASE clone TEMPLATE template0")
    with psycopg.connect(shared.url_for("clone").replace("+psycopg", "")) as connection:
        assert connection.info.dbname == "clone"


def test_committed_rows_survive(open_dir: Path) -> None:
    """What was committed is there after a restart, and after a crash."""
    with EmbeddedPostgres(open_dir / "data") as server:
        ask(server, "CREATE TABLE kept (id int)")
        server.stop()
        server.start()
        ask(server, "INSERT INTO kept VALUES (7)")
        server.stop("immediate")
        server.start()
        assert ask(server, "SELECT id FROM kept") == [(7,)]


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG")
def test_the_server_ends_with_a_killed_parent(open_dir: Path) -> None:
    """After kill -9 of its owner the server goes away, and the next start finds the data free."""
    owner, pid = start_elsewhere(open_dir / "data")
    with owner:
        owner.kill()
    deadline = time.monotonic() + 20
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not runs(pid)
    with EmbeddedPostgres(open_dir / "data") as server:
        assert server.pid != pid


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG")
def test_leftovers_of_a_killed_server_do_not_matter(open_dir: Path) -> None:
    """A start works after kill -9 of the server, even if its process id is in use again."""
    data_dir = open_dir / "data"
    with EmbeddedPostgres(data_dir) as server:
        os.kill(server.pid, signal.SIGKILL)
        pid_file = data_dir / "postgres" / "postmaster.pid"
        # Only a process of the server's own user makes PostgreSQL believe it.
        bystander = subprocess.Popen(["sleep", "60"], **files.account_for(data_dir))
        pid_file.write_text(pid_file.read_text().replace(str(server.pid), str(bystander.pid), 1))
        try:
            server.stop()
            server.start()
            assert ask(server, "SELECT 1") == [(1,)]
        finally:
            bystander.kill()
            bystander.wait()


def test_a_second_process_uses_the_first_ones_server(open_dir: Path) -> None:
    """The second process gets the same server and leaves it running."""
    with EmbeddedPostgres(open_dir / "data") as server:
        second, pid = start_elsewhere(open_dir / "data")
        second.communicate()
        assert second.returncode == 0
        assert pid == server.pid
        assert ask(server, "SELECT 1") == [(1,)]


def test_two_processes_may_start_at_once(open_dir: Path) -> None:
    """Of two first starts one makes the database and the other uses it."""
    first = subprocess.Popen(
        [sys.executable, "-c", START, open_dir / "data"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with EmbeddedPostgres(open_dir / "data") as server:
        assert first.stdout is not None
        assert int(first.stdout.readline()) == server.pid
        assert ask(server, "SELECT 1") == [(1,)]
        first.communicate()


def test_a_deep_data_directory_works(open_dir: Path) -> None:
    """The socket moves to a shorter path if the data's would be too long for one."""
    with EmbeddedPostgres(open_dir / ("deep" * 30) / "data") as server:
        assert ask(server, "SELECT 1") == [(1,)]


def test_data_of_another_version_are_refused(open_dir: Path) -> None:
    """Data of another major version are left alone, and the message names both."""
    cluster = open_dir / "postgres"
    cluster.mkdir()
    (cluster / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedPostgresError, match=r"PostgreSQL 16, this is 18"):
        EmbeddedPostgres(open_dir).start()


def test_a_failed_start_shows_the_log(open_dir: Path) -> None:
    """The error of a server that does not start contains what it said."""
    with EmbeddedPostgres(open_dir):
        pass
    with (open_dir / "postgres" / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(EmbeddedPostgresError, match="no_such_setting"):
        EmbeddedPostgres(open_dir).start()


def test_a_missing_wheel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the message says how to get it, and what to do instead."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with (
        pytest.raises(EmbeddedPostgresError, match=r"autotask-cc\[embedded\].*DATABASE_URL"),
        EmbeddedPostgres(),
    ):
        pass


def test_a_stopped_server_has_no_address() -> None:
    """The URL of a server that does not run is an error, not an old address."""
    server = EmbeddedPostgres()
    with pytest.raises(EmbeddedPostgresError, match="not started"):
        _ = server.url


@root_only
def test_an_unreachable_data_directory_is_named(closed_dir: Path) -> None:
    """As root, data below a directory that the server may not enter is refused, with a cure."""
    with pytest.raises(EmbeddedPostgresError, match=r"cannot enter .*closed.*Set DATA_DIR"):
        EmbeddedPostgres(closed_dir / "data").start()


@root_only
def test_unreachable_binaries_are_copied(
    open_dir: Path, closed_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root, binaries that the server may not run where they are run from a copy."""
    package = files._package_dir()
    files._copy_binaries(package, closed_dir)
    closed_dir.chmod(0o700)
    monkeypatch.setattr(files, "_package_dir", lambda: closed_dir / package.name)
    monkeypatch.setattr(files, "CACHE_DIR", open_dir / "cache")
    with EmbeddedPostgres() as server:
        assert ask(server, "SELECT 1") == [(1,)]
        server.stop()
        server.start()  # finds the copy


@root_only
def test_programs_that_others_may_change_are_not_run(
    open_dir: Path, closed_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root, nothing is copied to or run from a directory that others may write to."""
    (open_dir / "cache").mkdir()
    (open_dir / "cache").chmod(0o777)
    monkeypatch.setattr(files, "_package_dir", lambda: closed_dir)
    monkeypatch.setattr(files, "CACHE_DIR", open_dir / "cache")
    with pytest.raises(EmbeddedPostgresError, match="only root may write"):
        files.usable_binaries(files.account_for(open_dir / "none"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root's is fixed")
def test_a_relative_xdg_data_home_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default directory is below the home, or below XDG_DATA_HOME if that is absolute."""
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert default_data_dir() == Path.home() / ".local" / "share" / "autotask-cc"
    monkeypatch.setenv("XDG_DATA_HOME", "/absolute")
    assert default_data_dir() == Path("/absolute/autotask-cc")
