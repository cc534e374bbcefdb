"""Airflow operators: pages of X to Kafka."""
