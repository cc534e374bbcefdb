"""What the pipeline says about itself: one catalogue of names, sent by StatsD, read back from Prometheus."""
