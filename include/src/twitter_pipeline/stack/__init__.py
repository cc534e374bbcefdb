"""The embedded stack: real servers out of packages, to try, develop and test without Docker or root.

Each server module knows how one server is prepared, started and asked whether it is ready; `services` puts
them together as the one list that the launcher, the status page and the tests read.
"""
