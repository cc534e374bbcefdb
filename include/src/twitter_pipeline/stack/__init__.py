"""The embedded stack: real servers installed from packages, to try, develop and test without Docker or root.

Each server module knows how to prepare and start one server and how to ask it whether it is ready; `services` combines
them into the one list that the launcher, `status` and the tests use.
"""
