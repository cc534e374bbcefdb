"""What is running and in what state: one picture as data, and the same as text.

It comes from the services themselves and from the process supervisor; a stopped stack has a picture too.
"""

import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import psutil

from twitter_pipeline.deployment.topics import read_report
from twitter_pipeline.health import report
from twitter_pipeline.settings import read_environment_file
from twitter_pipeline.stack import settings as settings_of
from twitter_pipeline.stack.launcher import count_starts, read_launch
from twitter_pipeline.stack.leftover_processes import SERVICE_MARK, marked_processes
from twitter_pipeline.stack.servers import StackError
from twitter_pipeline.stack.services import Service, assemble
from twitter_pipeline.stack.settings import LauncherSettings
from twitter_pipeline.stack.supervision import Supervisor

LIVING_STATES = {"RUNNING", "STARTING"}
SHOWN_STATES = {
    "BACKOFF": "restarting",
    "FATAL": "failed",
    "STOPPING": "stopping",
    "UNSUPERVISED": "unsupervised",
}


UNTOLD = {
    part: {"url": "unknown", "kind": "unknown", "why": "another version started this stack; run `make up`"}
    for part in ("x", "broker")
}


def picture(settings: LauncherSettings) -> dict[str, Any]:
    """The state of the stack as JSON types; `running` says whether a supervisor is there. Changes nothing."""
    supervisor = Supervisor(settings.home)
    if not supervisor.launch_file.exists():
        return {
            "home": str(settings.home),
            "running": False,
            "services": [],
            "stages": [],
            "accounts": [],
            "unversioned_tweets": None,
            "x": None,
            "broker": None,
        }
    launch = UNTOLD | read_launch(supervisor)
    launched = read_environment_file(settings.run / "environment")
    settings = settings_of.load(os.environ | launched, root=settings.clone)
    running = supervisor.answers()
    stack = assemble(settings)
    states = supervisor.states() if running else _unsupervised(settings)
    with ThreadPoolExecutor(len(stack.services) + 1) as pool:
        services = [
            pool.submit(_service, settings, service, states.get(service.name, {}))
            for service in stack.services
        ]
        told = pool.submit(_stages_and_accounts, settings, running)
        report = read_report(settings.run / "broker.json")
        return {
            "home": str(settings.home),
            "running": running,
            "x": launch["x"],
            "broker": launch["broker"]
            | {"topics": report.get("topics", {}), "wiped": report.get("wiped", [])},
            "services": [service.result() for service in services],
            **told.result(),
        }


def _unsupervised(settings: LauncherSettings) -> dict[str, dict[str, Any]]:
    """Services still running after their supervisor was killed, each with its oldest process."""
    states: dict[str, dict[str, Any]] = {}
    for process in marked_processes(str(settings.home)):
        with contextlib.suppress(psutil.Error):
            name, start = process.environ()[SERVICE_MARK], process.create_time()
            if name not in states or start < states[name]["start"]:
                states[name] = {
                    "statename": "UNSUPERVISED",
                    "pid": process.pid,
                    "start": start,
                    "now": time.time(),
                }
    return states


def _service(settings: LauncherSettings, service: Service, state: dict[str, Any]) -> dict[str, Any]:
    name = state.get("statename", "STOPPED")
    try:
        answers = name in LIVING_STATES and service.server.ready()
        trouble = None
    except StackError as error:
        answers, trouble = False, str(error)
    if name in LIVING_STATES:
        shown = "ready" if answers else "starting"
    else:
        shown = SHOWN_STATES.get(name, "stopped")
    return {
        "name": service.name,
        "title": service.title,
        "state": shown,
        "pid": state.get("pid") or None,
        "restarts": max(0, count_starts(settings, service.name) - 1),
        "up_seconds": max(0, int(state["now"] - state["start"])) if state.get("pid") else None,
        "port": service.port,
        "url": service.url,
        "login": service.login,
        "log": str(service.log),
        "trouble": trouble,
    }


def _stages_and_accounts(settings: LauncherSettings, running: bool) -> dict[str, Any]:
    """The stages' own figures, the accounts that need attention, and the tweets that wait for a rebuild.

    If the stages cannot be queried, a single line says why.
    """
    if not running:
        return {"stages": [], "accounts": [], "unversioned_tweets": None}
    try:
        now = report.look(settings.stores())
    except Exception as error:  # noqa: BLE001 - the picture must be shown whatever is broken
        unknown = {"stage": "stages", "last_error": f"{type(error).__name__}: {error}"}
        return {"stages": [unknown], "accounts": [], "unversioned_tweets": None}
    return {
        "stages": [asdict(stage) for stage in now.stages],
        "accounts": [account.as_json() for account in now.accounts],
        "unversioned_tweets": now.unversioned_tweets,
    }


def as_text(now: dict[str, Any]) -> str:
    """The picture for people."""
    if not now["services"]:
        return f"Nothing has been started in {now['home']}; `make up` starts the stack."
    lines = [f"{'service':<14} {'state':<11} {'pid':>7} {'restarts':>8}  where"]
    for service in now["services"]:
        where = service["url"] or service["title"]
        pid = service["pid"] or "-"
        lines.append(
            f"{service['name']:<14} {service['state']:<11} {pid:>7} {service['restarts']:>8}  {where}"
        )
        if service["trouble"]:
            lines.append(f"{'':<14} {service['trouble']}")
    lines += ["", f"X API: {now['x']['url']} ({now['x']['why']})"]
    lines.append(f"Kafka: {now['broker']['kind']} ({now['broker']['why']})")
    for change in now["broker"]["wiped"][-1:]:
        lines.append(
            f"       broker wiped or replaced: {change['topic']} was recreated, noticed {change['noticed_at']}"
        )
    if now["stages"]:
        columns = ("count", "lag", "newest", "last_error")
        lines += ["", f"{'stage':<14} {'count':>10} {'lag':>8}  {'newest':<28} last error"]
        for stage in now["stages"]:
            count, lag, newest, error = (
                "-" if stage.get(key) is None else str(stage[key]) for key in columns
            )
            lines.append(f"{stage['stage']:<14} {count:>10} {lag:>8}  {newest:<28} {error}")
    if now["accounts"]:
        lines += ["", f"{'account':<17} {'state':<11}  {'since':<20} reason"]
        for account in now["accounts"]:
            since = f"{account['since']:%Y-%m-%d %H:%M}" if account["since"] else "-"
            name, state = f"@{account['username']}", account["state"] or "not read"
            lines.append(f"{name:<17} {state:<11}  {since:<20} {account['reason'] or '-'}")
    if now["unversioned_tweets"]:
        lines += [
            "",
            f"{now['unversioned_tweets']} tweets were loaded before content had versions: which of several texts they show"
            " is settled when X returns them again.",
        ]
    if any(service["state"] == "unsupervised" for service in now["services"]):
        lines += [
            "",
            "The supervisor is gone, but its services are still running; `make up` stops them and starts the stack again.",
        ]
    elif not now["running"]:
        lines += ["", "The stack is stopped; `make up` continues where it stopped."]
    return "\n".join(lines)


def after_start(now: dict[str, Any]) -> str:
    """What people want to know after a start: what runs, where, how to log in, where the logs are."""
    lines = [as_text(now), "", "Log in:"]
    airflow = next((service["url"] for service in now["services"] if service["name"] == "airflow"), None)
    lines += [f"  {service['url']:<42} {service['login']}" for service in now["services"] if service["login"]]
    if airflow:
        lines += ["", f"Status page: {airflow}/plugin/tweet-pipeline"]
    lines += [
        "",
        f"Logs: {now['home']}/logs     `make status` shows the state, `make down` stops everything",
    ]
    return "\n".join(lines)
