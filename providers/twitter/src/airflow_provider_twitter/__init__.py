"""Airflow's way to the X API v2: a client, pages as envelopes in Kafka, and the triggers around them."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("airflow-provider-twitter")
