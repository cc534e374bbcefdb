"""HTTP access: a read-only REST API and the pipeline's status page.

It is one app, mounted by the Airflow plugin behind Airflow's login, or run alone by `twitter-pipeline serve`. Whoever
creates the app must pass the authentication; it cannot be created without.
"""
