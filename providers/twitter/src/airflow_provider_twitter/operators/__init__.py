"""Airflow operators: pages from X to Kafka."""
