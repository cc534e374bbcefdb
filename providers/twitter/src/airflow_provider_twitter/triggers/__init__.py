"""Airflow triggers: waits and doorbells. They live here since the triggerer loads no Dag bundles."""
