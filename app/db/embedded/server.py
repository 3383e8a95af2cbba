"""Run a private PostgreSQL for trials, the demo and the tests; production sets DATABASE_URL."""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Literal, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from app.db.embedded.files import (
    ENVIRONMENT,
    Account,
    EmbeddedPostgresError,
    account_for,
    check_reachable,
    default_data_dir,
    end_with_parent,
    ensure_cluster,
    make_private,
    open_directory,
    usable_binaries,
)

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "default_data_dir"]

NAME = "autotask_cc"  # of the role and of the database
START_SECONDS = 60
# A socket's path has 104 bytes on macOS, 108 on Linux, a closing zero included.
SOCKET_PATH_BYTES = 103
# On the command line, not in postgresql.conf, so that they hold for clusters of older releases.
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": "5432",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# These lose data when the machine crashes, not when the server does, as in tests:
# https://www.postgresql.org/docs/18/runtime-config-wal.html#GUC-FSYNC
TEMPORARY_SETTINGS = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}


class EmbeddedPostgres:
    """A PostgreSQL server on a Unix socket that ends with this process.

    Start it in a thread that lives as long as the server is wanted, normally the main thread:
    on Linux the kernel stops the server when the thread that started it ends, even by kill -9.
    macOS cannot do that; there the server stays, and the next start uses it.

    A second process with the same data_dir uses the first one's server and does not stop it.
    As root the server runs as the owner of the data, which at first is `nobody`.
    """

    def __init__(self, data_dir: Path | None = None) -> None:
        """Keep the data in data_dir; without it, in a directory that close() removes."""
        self._temporary = data_dir is None
        self._data_dir = data_dir.absolute() if data_dir else None
        self._process: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._socket_dir: Path | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the database."""
        return self.url_for(NAME)

    def url_for(self, database: str) -> str:
        """Return the SQLAlchemy URL of another database on this server."""
        if self._socket_dir is None:
            raise EmbeddedPostgresError("The embedded PostgreSQL is not started.")
        host = quote(str(self._socket_dir))
        return f"postgresql+psycopg://{NAME}@/{quote(database)}?host={host}&port=5432"

    @property
    def pid(self) -> int:
        """Process id of the server, whether this or another process owns it."""
        if self._pid is None:
            raise EmbeddedPostgresError("The embedded PostgreSQL is not started.")
        return self._pid

    def start(self) -> None:
        """Start the server, or attach to the one that runs on this data_dir, and wait for it.

        Raise EmbeddedPostgresError if it cannot be used or does not answer within START_SECONDS.
        """
        if self._process is not None and self._process.poll() is None:
            return
        try:
            if self._data_dir is None:
                self._data_dir = Path(tempfile.mkdtemp(prefix="autotask-cc-"))
                if os.geteuid() == 0:
                    self._data_dir.chmod(0o711)  # the server's user must enter it
            open_directory(self._data_dir)
            self._attach_or_launch(self._data_dir)
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedPostgresError(
                f"The embedded PostgreSQL cannot use {self._data_dir}: {error}. "
                "Choose another DATA_DIR, or set DATABASE_URL to a PostgreSQL server."
            ) from error

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server if this object owns it; a later start() finds the data.

        "immediate" is a crash, for tests: the next start recovers from the write-ahead log.
        """
        process, self._process, self._pid = self._process, None, None
        socket_dir, self._socket_dir = self._socket_dir, None
        if process is None:
            return
        # https://www.postgresql.org/docs/18/server-shutdown.html
        process.send_signal(signal.SIGINT if mode == "fast" else signal.SIGQUIT)
        for harder in (signal.SIGQUIT, signal.SIGKILL):
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=20)
                break
            process.send_signal(harder)
        process.wait()
        if socket_dir is not None:
            shutil.rmtree(socket_dir, ignore_errors=True)

    def close(self) -> None:
        """Stop the server and remove temporary data."""
        self.stop()
        if self._temporary and self._data_dir is not None:
            shutil.rmtree(self._data_dir, ignore_errors=True)
            self._data_dir = None

    def _attach_or_launch(self, data_dir: Path) -> None:
        # The server inherits this lock: it shows that the data is in use until the server's last
        # process is gone. The process id in postmaster.pid does not: it may have been reused.
        deadline = time.monotonic() + START_SECONDS
        lock_path = data_dir / "postgres.lock"
        lock_path.touch(mode=0o600)
        with lock_path.open("ab") as lock:
            while not _locked(lock):
                if self._attached(data_dir / "postgres"):
                    return
                if time.monotonic() > deadline:
                    raise EmbeddedPostgresError(
                        f"Another process uses {data_dir}, but its server does not answer. "
                        f"End it (its log is {data_dir / 'postgres.log'}), or set DATA_DIR."
                    )
                time.sleep(0.05)
            self._launch(data_dir, lock, deadline)

    def _attached(self, cluster: Path) -> bool:
        # Lines 1 and 5 are the process id and the directory of the socket:
        # https://www.postgresql.org/docs/18/storage-file-layout.html
        try:
            lines = (cluster / "postmaster.pid").read_text().splitlines()
            pid, socket_dir = int(lines[0]), lines[4]
            _connect(socket_dir, NAME, NAME).close()
        except (FileNotFoundError, IndexError, ValueError, psycopg.OperationalError):
            return False
        self._process, self._pid, self._socket_dir = None, pid, Path(socket_dir)
        return True

    def _launch(self, data_dir: Path, lock: IO[bytes], deadline: float) -> None:
        cluster, log_path = data_dir / "postgres", data_dir / "postgres.log"
        account = account_for(cluster)
        check_reachable(data_dir, account)
        binaries = usable_binaries(account)
        ensure_cluster(cluster, binaries, account, sync=not self._temporary)
        # We hold the lock, so a killed server left this file.
        (cluster / "postmaster.pid").unlink(missing_ok=True)
        socket_dir = _make_socket_dir(data_dir, account)
        settings = SETTINGS | (TEMPORARY_SETTINGS if self._temporary else {})
        command: list[Path | str] = [binaries / "postgres", "-D", cluster, "-k", socket_dir]
        command += [f"--{key}={value}" for key, value in settings.items()]
        log_path.touch(mode=0o600)  # errors quote data
        with log_path.open("ab") as log:
            log_start = log.tell()
            self._process = _spawn(command, account, log, lock)
        self._pid, self._socket_dir = self._process.pid, socket_dir
        try:
            _await_database(self._process, socket_dir, deadline)
        except BaseException as error:
            self.stop("immediate")
            if not isinstance(error, psycopg.Error):
                raise
            raise EmbeddedPostgresError(
                f"The embedded PostgreSQL did not start: {error}\n"
                f"The end of its log, {log_path}:\n{_tail(log_path, log_start)}"
            ) from error


def _spawn(
    command: list[Path | str], account: Account, log: IO[bytes], lock: IO[bytes]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - fixed command, no shell
        command,
        cwd="/",
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C in the terminal is for us, not for the server
        pass_fds=(lock.fileno(),),
        preexec_fn=end_with_parent(),
        **account,
    )


def _connect(host: Path | str, user: str, database: str) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=str(host), port=5432, user=user, dbname=database, autocommit=True, connect_timeout=5
    )


def _await_database(process: subprocess.Popen[bytes], socket_dir: Path, deadline: float) -> None:
    while True:
        try:
            with _connect(socket_dir, "postgres", "postgres") as connection:
                return _create_database(connection)
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def _create_database(connection: psycopg.Connection[Any]) -> None:
    # No superuser, as in production; tests need CREATEDB to clone a template.
    name = sql.Identifier(NAME)
    if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [NAME]).rowcount:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB").format(name))
    if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [NAME]).rowcount:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, name))


def _locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _tail(path: Path, start: int) -> str:
    with path.open("rb") as file:
        file.seek(start)
        return b"".join(file.readlines()[-20:]).decode(errors="replace")


def _make_socket_dir(data_dir: Path, account: Account) -> Path:
    path = data_dir / "run"
    too_long = len(os.fsencode(path / ".s.PGSQL.5432")) > SOCKET_PATH_BYTES
    if too_long or {",", '"'} & set(str(path)):  # the server and libpq read lists of directories
        path = Path(tempfile.mkdtemp(prefix="autotask-cc-", dir="/tmp"))
    make_private(path, account)
    return path
