"""The pipeline's metrics: one catalogue of names, sent over StatsD, read from Prometheus."""
