"""Airflow's own API, as a person with a password uses it."""

import time
from dataclasses import dataclass
from typing import Any

import requests


@dataclass
class AirflowApi:
    """A client for one user."""

    url: str
    username: str
    password: str

    def __post_init__(self) -> None:
        answer = requests.post(
            f"{self.url}/auth/token",
            json={"username": self.username, "password": self.password},
            timeout=30,
        )
        assert answer.ok, answer.text
        self.token = answer.json()["access_token"]

    def ask(
        self, path: str, *, body: Any = None, token: str | None = "", **options: Any
    ) -> requests.Response:
        """GET, or POST with a body; `token` None asks as nobody."""
        bearer = self.token if token == "" else token
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        method = "GET" if body is None else "POST"
        return requests.request(
            method, f"{self.url}{path}", json=body, headers=headers, timeout=30, **options
        )

    def run(self, dag_id: str, seconds: float = 400, **conf: Any) -> str:
        """Trigger a Dag and wait for the end of the run; returns its state."""
        made = self.ask(f"/api/v2/dags/{dag_id}/dagRuns", body={"conf": conf, "logical_date": None})
        assert made.ok, made.text
        run_id = made.json()["dag_run_id"]
        deadline = time.monotonic() + seconds
        while True:
            state = str(self.ask(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}").json()["state"])
            if state in {"success", "failed"}:
                return state
            assert time.monotonic() < deadline, f"{dag_id} {run_id} is {state} after {seconds:.0f} s"
            time.sleep(1)

    def user_of_role(self, role: str) -> "AirflowApi":
        """A new user of one role, logged in."""
        name = f"one-of-{role.lower()}"
        body = {
            "username": name,
            "password": f"{name}-password",
            "email": f"{name}@localhost",
            "first_name": "A",
            "last_name": "Reader",
            "roles": [{"name": role}],
        }
        made = self.ask("/auth/fab/v1/users", body=body)
        assert made.ok, made.text
        return AirflowApi(self.url, name, f"{name}-password")
