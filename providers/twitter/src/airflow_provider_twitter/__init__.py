"""The X API v2 for Airflow: a client, pages written to Kafka as envelopes, and the triggers that go with them."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("airflow-provider-twitter")
