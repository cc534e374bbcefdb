"""SecantusDB: MongoDB's protocol on WiredTiger, durable, with authentication.

It is GPL-licensed, so it runs as a separate process and is never imported.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from twitter_pipeline.stack.leftover_processes import marks
from twitter_pipeline.stack.private_files import private_folder, private_tree
from twitter_pipeline.stack.servers import ASK_SECONDS, LOOPBACK, RunningServer, StackError, free_port


@dataclass(frozen=True)
class SecantusDB:
    """One server with its data in `data` and a single user."""

    data: Path
    port: int
    user: str
    password: str = field(repr=False)
    name: str = "mongo"

    def prepare(self) -> None:
        """Create the user before the first start, with the server briefly running without authentication on a free port."""
        storage = self._storage
        private_tree(self.data)  # an earlier version left permissions to the umask
        stamp = storage / "user-created"  # inside the data that it describes, so that they stay together
        if stamp.exists():
            return
        private_folder(storage)
        self._configuration.touch(mode=0o600)
        opened = _Unauthenticated(self, free_port())
        with (
            RunningServer(
                opened,
                self.data / "create-user.log",
                environment=marks(
                    str(self.data.parent), self.name
                ),  # so that it is found if the launcher is killed
            ),
            MongoClient[dict](opened.uri, serverSelectionTimeoutMS=5000) as client,
        ):
            roles = [{"role": "root", "db": "admin"}]
            try:
                client.admin.command("createUser", self.user, pwd=self.password, roles=roles)
            except OperationFailure:
                client.admin.command("updateUser", self.user, pwd=self.password)
        stamp.touch(mode=0o600)

    @property
    def _storage(self) -> Path:
        return self.data / "wiredtiger"

    @property
    def _configuration(self) -> Path:
        return self.data / "secantusd.toml"

    def base_command(self, port: int) -> list[str]:
        program = Path(sys.executable).parent / "secantusd-py"
        words = [sys.executable, str(program), "--config", str(self._configuration)]
        words += ["--host", LOOPBACK, "--port", str(port), "--storage-path", str(self._storage)]
        # Without --standalone the server keeps an oplog for change streams, which nothing here reads. It is as large as
        # the data, and pruning with --oplog-max-entries does not free disk space (0.7.0b3).
        return [*words, "--cache-size", "256M", "--log-level", "WARNING", "--sync-on-commit", "--standalone"]

    def command(self) -> list[str]:
        return [*self.base_command(self.port), "--auth"]

    def environment(self) -> dict[str, str]:
        return {}

    @property
    def uri(self) -> str:
        """The address, including user and password."""
        return f"mongodb://{quote(self.user)}:{quote(self.password)}@{LOOPBACK}:{self.port}/?authSource=admin&directConnection=true"

    def ready(self) -> bool:
        return _answers(self.uri)


@dataclass(frozen=True)
class _Unauthenticated:
    """The same data folder without authentication, only while the first user is created."""

    server: SecantusDB
    port: int
    name: str = "mongo (creating its user)"

    def prepare(self) -> None: ...

    def command(self) -> list[str]:
        return self.server.base_command(self.port)

    def environment(self) -> dict[str, str]:
        return {}

    @property
    def uri(self) -> str:
        return f"mongodb://{LOOPBACK}:{self.port}/?directConnection=true"

    def ready(self) -> bool:
        return _answers(self.uri)


def _answers(uri: str) -> bool:
    try:
        with MongoClient[dict](
            uri,
            serverSelectionTimeoutMS=1000 * ASK_SECONDS,
            connectTimeoutMS=1000 * ASK_SECONDS,
            socketTimeoutMS=1000 * ASK_SECONDS,
        ) as client:
            client.admin.command("listDatabases", nameOnly=True)
    except OperationFailure as error:
        if error.code == 18:
            raise StackError(
                f"the server at {uri.rpartition('@')[2]} refuses this install's password: another server "
                "answers there, or the secrets file was replaced"
            ) from None
        return False
    except PyMongoError:
        return False
    return True
