"""What Airflow reads to list this provider and draw its connection form. Imports nothing of ours.

The same facts as provider.yaml, which is for people and tools that read providers from their source; a test
holds the two together.
"""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """The provider's description, by Airflow's provider_info schema."""
    return {
        "package-name": "airflow-provider-twitter",
        "name": "X (Twitter)",
        "description": "Collects posts of X (Twitter) over its API v2 into Kafka.",
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
                        "description": "The names in which fields are asked for: tweet.fields or post.fields.",
                        "schema": {"type": ["string", "null"], "enum": ["tweet", "post"], "default": "tweet"},
                    },
                    "total_seconds": {
                        "label": "Request deadline in seconds",
                        "description": "How long one request may take at most, with its whole answer.",
                        "schema": {"type": ["number", "null"], "minimum": 1, "maximum": 600, "default": 60},
                    },
                },
            }
        ],
    }
