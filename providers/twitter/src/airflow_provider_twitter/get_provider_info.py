"""What Airflow reads to list this provider and draw its connection form. Imports none of our modules.

These are the same facts as in provider.yaml, which people and source-reading tools use; a test keeps them in sync.
"""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """The provider's description, following Airflow's provider_info schema."""
    return {
        "package-name": "airflow-provider-twitter",
        "name": "X (Twitter)",
        "description": "Collects posts from X (Twitter) through its API v2 into Kafka.",
        "integrations": [
            {
                "integration-name": "X (Twitter)",
                "external-doc-url": "https://docs.x.com/x-api",
                "tags": ["service"],
            }
        ],
        "hooks": [
            {
                "integration-name": "X (Twitter)",
                "python-modules": ["airflow_provider_twitter.hooks.twitter"],
            }
        ],
        "operators": [
            {
                "integration-name": "X (Twitter)",
                "python-modules": [
                    "airflow_provider_twitter.operators.collect",
                    "airflow_provider_twitter.operators.search_tweets",
                ],
            }
        ],
        "triggers": [
            {
                "integration-name": "X (Twitter)",
                "python-modules": [
                    "airflow_provider_twitter.triggers.kafka_lag",
                    "airflow_provider_twitter.triggers.rate_limit_reset",
                    "airflow_provider_twitter.triggers.sql_condition",
                ],
            }
        ],
        "connection-types": [
            {
                "hook-class-name": "airflow_provider_twitter.hooks.twitter.TwitterHook",
                "hook-name": "X (Twitter)",
                "connection-type": "twitter",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "login", "port"],
                    "relabeling": {"host": "Base URL", "password": "Bearer token"},
                    "placeholders": {"host": "https://api.x.com", "password": "the app's bearer token"},
                },
                "conn-fields": {
                    "allow_local": {
                        "label": "Allow local addresses",
                        "description": (
                            "Allow plain http and loopback or private addresses. "
                            "Only for a simulator or another emulator of the X API."
                        ),
                        "schema": {"type": ["boolean", "null"], "default": False},
                    },
                    "vocabulary": {
                        "label": "Vocabulary",
                        "description": "Which field parameters to use: tweet.fields or post.fields.",
                        "schema": {"type": ["string", "null"], "enum": ["tweet", "post"], "default": "tweet"},
                    },
                    "total_seconds": {
                        "label": "Request deadline in seconds",
                        "description": "Time limit for one request, including the whole response.",
                        "schema": {"type": ["number", "null"], "minimum": 1, "maximum": 600, "default": 60},
                    },
                },
            }
        ],
    }
