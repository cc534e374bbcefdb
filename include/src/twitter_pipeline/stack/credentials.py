"""The secrets of one installation: generated at random once, one file each, readable only by the owner."""

import base64
import os
import secrets
from pathlib import Path

from twitter_pipeline.stack.private_files import private_folder
from twitter_pipeline.stack.servers import StackError


class Credentials:
    """Secrets in a folder; reading one that does not exist yet creates it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        return self._folder / name

    def __getitem__(self, name: str) -> str:
        path = self.path(name)
        try:
            return path.read_text("ascii")
        except FileNotFoundError:
            pass
        private_folder(self._folder)
        fresh = path.with_name(f".{name}.{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(_random(name), "ascii")
        try:
            os.link(fresh, path)  # never replaces a file: the first process creates the secret
        except FileExistsError:
            pass
        except OSError as error:
            raise StackError(f"the secret {path} could not be written: {error.strerror}") from None
        finally:
            fresh.unlink()
        return path.read_text("ascii")

    def __repr__(self) -> str:
        return f"Credentials({str(self._folder)!r})"


def _random(name: str) -> str:
    if name == "airflow_fernet_key":  # Fernet's own format: 32 bytes, URL-safe base64 with padding
        return base64.urlsafe_b64encode(os.urandom(32)).decode()
    if name == "airflow_admin":  # typed by people
        return secrets.token_urlsafe(12)
    return secrets.token_urlsafe(48)  # 64 characters, as required for signing Airflow's tokens (SHA-512)
