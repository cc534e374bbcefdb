"""The doors out over HTTP: a REST API that only reads, and the page of the pipeline.

One app, mounted by Airflow's plugin behind Airflow's login or run alone by `twitter-pipeline serve`. Whoever makes
it says who may enter; there is no way to make it without.
"""
