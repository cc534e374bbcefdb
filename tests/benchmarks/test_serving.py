"""How fast 100,000 tweets are served, by the plugin and standalone, and exported, and how much memory an export needs."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import requests
from confluent_kafka import Producer

from support.airflow_api import AirflowApi
from support.simulated_envelopes import FIRST_MADE_ID, envelopes
from support.stacks import PIPELINE, wait_until
from twitter_pipeline.settings import TOPIC
from twitter_pipeline.stack.servers import free_port

TWEETS = int(os.environ.get("BENCH_TWEETS", "100000"))
SECONDS = 10
CONNECTIONS = 16

pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not on this machine: apt-get install wrk"),
]


def filled(stack: Any) -> None:
    """Bring TWEETS tweets through Kafka and the Dags into PostgreSQL."""
    producer = Producer({**stack.settings.kafka(), "compression.type": "lz4", "linger.ms": 20})
    for number, value in enumerate(islice(envelopes(stack), TWEETS)):
        while True:
            try:
                producer.produce(TOPIC, value=value, key=str(number))
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(120) == 0
    query = (
        f"select count(*) from twitter.tweets where id >= {FIRST_MADE_ID} and id < {FIRST_MADE_ID + TWEETS}"
    )
    wait_until(lambda: stack.rows(query) == [(TWEETS,)], 900, lambda: str(stack.rows(query)))
    stack.simulator("clock", {"frozen": True})


def load(url: str, token: str) -> tuple[float, float]:
    """Requests per second and the 99th percentile in milliseconds; all answers must be good."""
    words = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{SECONDS}s",
        "--latency",
        "-H",
        f"Authorization: Bearer {token}",
        url,
    ]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    assert rate is not None, said
    assert p99 is not None, said
    return float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]]


@contextmanager
def standalone(stack: Any) -> Iterator[str]:
    """`twitter-pipeline serve` with one worker."""
    port = free_port()
    process = subprocess.Popen([*PIPELINE, "serve", "--port", str(port)], env=stack.environment)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(url), 60, lambda: "serve did not answer")
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code == 401
    except requests.RequestException:
        return False


def exported(stack: Any, file_format: str, folder: Path) -> tuple[float, float, float]:
    """Tweets per second, size in MB and peak memory in MB of the whole command."""
    started = time.monotonic()
    words = [*PIPELINE, "export", "--format", file_format, "--output", str(folder / f"all.{file_format}")]
    process = subprocess.Popen(words, env=stack.environment, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    seconds = time.monotonic() - started
    size = (folder / f"all.{file_format}").stat().st_size / 1e6
    return TWEETS / seconds, size, usage.ru_maxrss / 1000


def test_serving_and_exports(
    make_stack: Callable[..., Any], report: dict[str, list[str]], tmp_path: Path
) -> None:
    """List of 50 and one tweet by id under load; an export in each format."""
    rules = 'rules:\n  - {name: nothing, query: "xyzzynothing", interval_seconds: 86400}\n'
    with make_stack(rules=rules, PIPELINE_EXTRACTION_SECONDS="3600") as stack:
        wait_until(
            lambda: bool(stack.rows("select 1 from pipeline.rules where last_polled_at is not null")),
            180,
            str,
        )
        filled(stack)
        time.sleep(60)  # until the drains and the contracts are through
        given = stack.settings
        airflow = AirflowApi(
            str(given.airflow_url), "admin", (given.home / "secrets" / "airflow_admin").read_text()
        )
        paths = {
            "list of 50": "/api/v1/tweets?limit=50",
            "by id": f"/api/v1/tweets/{FIRST_MADE_ID + TWEETS // 2}",
        }
        rows = [
            f"| {TWEETS:,} tweets, {CONNECTIONS} connections, {SECONDS} s | requests/s | p99 ms |",
            "|---|---|---|",
        ]
        with standalone(stack) as alone:
            for name, path in paths.items():
                rate, p99 = load(alone + path, given.need("api_token"))
                rows.append(f"| {name}, alone, one worker | {rate:,.0f} | {p99:,.0f} |")
        for name, path in paths.items():
            rate, p99 = load(f"{airflow.url}/tweet-pipeline{path}", airflow.token)
            rows.append(f"| {name}, plugin in Airflow | {rate:,.0f} | {p99:,.0f} |")
        report["REST API (wrk on the same cores, the stack idle)"] = rows
        rows = [
            f"| export of {TWEETS:,} tweets, start of the command included | tweets/s | MB | peak memory MB |",
            "|---|---|---|---|",
        ]
        for file_format in ("csv", "jsonl", "parquet"):
            rate, size, memory = exported(stack, file_format, tmp_path)
            rows.append(f"| {file_format} | {rate:,.0f} | {size:,.0f} | {memory:,.0f} |")
        report["Exports"] = rows
