"""Write the secrets that docker-compose.yaml needs into .env: run `python3 deploy/compose_secrets.py` once.

Existing values in .env are kept, so running it again changes nothing. Needs only Python.
"""

import base64
import os
import secrets
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

ENV = Path(__file__).resolve().parents[1] / ".env"
PASSWORDS = (
    "POSTGRES_SUPERUSER_PASSWORD",
    "PIPELINE_MIGRATOR_PASSWORD",
    "PIPELINE_LOADER_PASSWORD",
    "PIPELINE_READER_PASSWORD",
    "AIRFLOW_DATABASE_PASSWORD",
    "MONGO_PASSWORD",
    "KAFKA_PASSWORD",
    "PIPELINE_API_TOKEN",
    "AIRFLOW_SECRET_KEY",
    "AIRFLOW_JWT_SECRET",
    "AIRFLOW_ADMIN_PASSWORD",
    "GRAFANA_ADMIN_PASSWORD",
)


def made() -> dict[str, str]:
    """A fresh value for every name."""
    return {
        "COMPOSE_FILE": "docker-compose.yaml",  # else docker-compose.override.yml, which is for Astro, would be read too
        "SIMULATOR_EPOCH": (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="seconds"),
        "AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        **{name: secrets.token_urlsafe(48) for name in PASSWORDS},
    }


def main() -> None:
    """Add the missing values; only the owner can read the file."""
    text = ENV.read_text("utf-8") if ENV.exists() else ""
    there = {line.partition("=")[0].strip() for line in text.splitlines() if "=" in line}
    missing = {name: value for name, value in made().items() if name not in there}
    if not missing:
        sys.stdout.write(f"{ENV.name} has them all\n")
        return
    if text and not text.endswith("\n"):
        text += "\n"
    fresh = ENV.with_name(f".env.{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(text + "".join(f"{name}={value}\n" for name, value in missing.items()), "utf-8")
    fresh.replace(ENV)
    sys.stdout.write(f"{ENV.name}: {len(missing)} added\n")


if __name__ == "__main__":
    main()
